//! What lies on a node's disk: judged by the kubelet's own bootstrap and FileStore, and written by them for nodestrap to
//! judge.

use std::fs;
use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use nodestrap::testing::csr::{CertificateKind, CertificateRequest, CertificateTemplate};
use nodestrap::testing::key::Key;
use nodestrap::testing::kubeconfig::{self, BootstrapUser};
use nodestrap::testing::node::{Layout, NodeFiles, NodeState};
use nodestrap::testing::node_name::NodeName;
use serde_json::json;

use super::diff_report::{Case, Class, DiffReport, Refusal};
use super::disks::{Traits, draw, has};
use super::oracle::{Oracle, bytes, given_bytes, given_text};
use super::random::{Random, count};
use crate::support::api::Api;
use crate::support::node::{BOOTSTRAP_CONF, CA, CURRENT, KEY_TMP, KUBELET_CONF, Node, PKI};
use crate::support::pki::Authority;

fn files(node: &Node) -> NodeFiles {
    NodeFiles::open(&node.root(), Layout::default()).expect("a root")
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("a name")
}

#[test]
fn identities() {
    const CLASSES: &[Class<Traits, bool>] = &[
        Class {
            name: "another's key",
            reason: "the kubelet would start, and no API server would know it",
            explains: |case| case.ours == Ok(false) && has(&case.input, "another's key"),
        },
        Class {
            name: "DER that only nodestrap reads",
            reason: "what tells whose identity it is is read; points on curves and the like by who checks a signature",
            explains: |case| {
                let is_damaged = |name| has(&case.input, name);
                case.ours == Ok(true) && (is_damaged("a damaged pair") || is_damaged("a damaged CA"))
            },
        },
        Class {
            name: "a CA that is not trusted",
            reason: "an identity without a usable CA is no whole one; a kubelet would take the machine's own roots",
            explains: |case| case.ours == Ok(false) && has(&case.input, "a damaged kubeconfig"),
        },
        Class {
            name: "a server without a host, or with a user",
            reason: "no certificate names the one; the other would be a credential that nobody vouches for",
            explains: |case| {
                let is = |server| has(&case.input, server);
                case.ours == Ok(false) && (is("https://:6443") || is("https://user@api.example"))
            },
        },
        Class {
            name: "PEM in another form",
            reason: "Go skips what it does not understand",
            explains: |case| {
                let is_damaged = |name| has(&case.input, name);
                case.ours == Ok(false) && (is_damaged("a damaged pair") || is_damaged("a damaged CA"))
            },
        },
    ];
    let (mut random, mut oracle) = (Random::of("identities"), Oracle::start());
    let authority = Authority::new("kubernetes");
    let mut diff = DiffReport::new("identities", CLASSES);
    for _ in 0..count() / 4 {
        let (node, input) = draw(&mut random, &authority);
        let existing = files(&node).state(&name("n1"), SystemTime::now());
        let ours = existing.map(|found| !matches!(found, NodeState::None | NodeState::Unusable(_)));
        let question = json!({"root": node.root(), "kubeconfig": format!("/{KUBELET_CONF}")});
        let theirs = oracle.ask("is valid", &question).map(|value| value == json!(true));
        diff.hold(&Case { ours: ours.map_err(Refusal::from), theirs, input });
    }
    diff.finish();
}

#[test]
fn stored_pairs() {
    const CLASSES: &[Class<Traits, Vec<u8>>] = &[
        Class {
            name: "a pair that is of no use to this node",
            reason: "the store hands out any pair that belongs together; a join goes on with its own that is in time",
            explains: |case| {
                let is = |name| has(&case.input, name);
                case.ours.is_err()
                    && (is("another node's") || is("out of time") || is("an expired CA behind it"))
            },
        },
        Class {
            name: "DER that only nodestrap reads",
            reason: "what tells whose identity it is is read; all else in a certificate by who checks its signature",
            explains: |case| case.laxer("x509: ") && has(&case.input, "a damaged pair"),
        },
        Class {
            name: "a link that was not renamed, or two files",
            reason: "the store finishes the one and falls back to the other; a join stores a new pair",
            explains: |case| {
                let is = |name| has(&case.input, name);
                case.ours.is_err() && (is("a link that was not renamed") || is("two files"))
            },
        },
        Class {
            name: "PEM in another form",
            reason: "Go skips what it does not understand; the kubelet's bootstrap skips blocks with headers",
            explains: |case| {
                let is = |name| has(&case.input, name);
                case.ours.is_err() && (is("a damaged pair") || is("headers"))
            },
        },
    ];
    let (mut random, mut oracle) = (Random::of("stored pairs"), Oracle::start());
    let authority = Authority::new("kubernetes");
    let mut diff = DiffReport::new("stored pairs", CLASSES);
    for _ in 0..count() / 4 {
        let (node, input) = draw(&mut random, &authority);
        let stored = files(&node).stored(&CertificateTemplate::client(&name("n1")), SystemTime::now());
        let ours =
            stored.map_err(Refusal::from).and_then(|found| found.map(|leaf| leaf.der).ok_or(Refusal::BARE));
        let question = json!({"root": node.root(), "directory": format!("/{PKI}"), "name": CertificateKind::CLIENT.file_prefix});
        let theirs = oracle.ask("current pair", &question).map(|chain| given_bytes(&chain[0]));
        diff.hold(&Case { ours, theirs, input });
    }
    diff.finish();
}

#[test]
fn request_names() {
    let (mut random, mut oracle) = (Random::of("request names"), Oracle::start());
    let mut diff = DiffReport::new("request names", &[]);
    for _ in 0..count() {
        let length = 1 + random.below(63);
        let input = format!("n{}", random.text("abc019", length));
        let key = Key::generate().expect("a key");
        let request =
            CertificateRequest::new(&key, &CertificateTemplate::client(&name(&input))).expect("a request");
        let question = json!({"publicKey": bytes(key.spki()), "node": input});
        let theirs = oracle.ask("request name", &question).map(|value| given_text(&value));
        diff.hold(&Case { ours: Ok(request.name().to_owned()), theirs, input });
    }
    diff.finish();
}

/// What nodestrap leaves behind is what a kubelet starts from, rotates, and leaves behind for nodestrap in turn.
#[test]
fn joined_nodes() {
    let mut oracle = Oracle::start();
    let mut random = Random::of("joined nodes");
    let api = Api::start();
    let joins = (count() / 100).max(3);
    for at in 0..joins {
        let (node, own) = (Node::new(), format!("n{at}"));
        let finished = node.join(&api).name(&own).with_cert().run();
        finished.expect("joined");
        let root = json!(node.root());
        let valid = oracle.ask("is valid", &json!({"root": root, "kubeconfig": format!("/{KUBELET_CONF}")}));
        assert_eq!(valid, Ok(json!(true)), "{:#?}", node.tree());
        let store = json!({"root": root, "directory": format!("/{PKI}"), "name": CertificateKind::CLIENT.file_prefix});
        let chain = oracle.ask("current pair", &store).expect("a pair");
        let stored = files(&node)
            .stored(&CertificateTemplate::client(&name(&own)), SystemTime::now())
            .expect("a disk");
        assert_eq!(stored.expect("a pair").der, given_bytes(&chain[0]));
        let key = Key::from_pem(node.read_key().as_bytes()).expect("a key");
        let asked = oracle.ask("request name", &json!({"publicKey": bytes(key.spki()), "node": own}));
        assert_eq!(asked.as_ref(), Ok(&finished.report()["csrName"]));
        // The kubelet rotates, and may be interrupted before its last rename.
        let (certificate, key) = api.authority.client("system:nodes", &format!("system:node:{own}"));
        let mut update = store.clone();
        update["certificate"] = bytes(&certificate);
        update["key"] = bytes(&key);
        let updated = oracle.ask("update pair", &update).expect("an update");
        let stored = files(&node)
            .stored(&CertificateTemplate::client(&name(&own)), SystemTime::now())
            .expect("a disk");
        assert_eq!(stored.expect("a pair").der, given_bytes(&updated[0]));
        node.join(&api).name(&own).with_cert().run().expect("already-joined");
        if random.once_in(2) {
            fs::rename(node.at(CURRENT), node.at(&format!("{PKI}/kubelet-client-updated.pem")))
                .expect("a link");
            node.join(&api).name(&own).with_cert().run().expect("joined");
            let stored = files(&node)
                .stored(&CertificateTemplate::client(&name(&own)), SystemTime::now())
                .expect("a disk");
            let chain = oracle.ask("current pair", &store).expect("a pair");
            assert_eq!(stored.expect("a pair").der, given_bytes(&chain[0]));
        }
    }
    println!("joined nodes: {joins} joins, each pair found, rotated and found again by both");
}

/// The kubelet's bootstrap goes on from what nodestrap has prepared, with its key where there is one.
#[test]
fn bootstraps() {
    let mut oracle = Oracle::start();
    let mut random = Random::of("bootstraps");
    let server = oracle.ask("server of the oracle", &json!({})).expect("a server");
    let (url, ca) = (given_text(&server["server"]), given_bytes(&server["ca"]));
    let rounds = (count() / 100).max(3);
    for at in 0..rounds {
        let (node, own) = (Node::new(), format!("n{at}.example"));
        let token = random.token();
        let user = BootstrapUser { token: Some(&token), token_file: None, pair: None };
        node.write(BOOTSTRAP_CONF, kubeconfig::bootstrap(&url, &BASE64_STANDARD.encode(&ca), &user).expose());
        node.write(CA, &ca);
        let kept = if random.once_in(2) {
            Some(files(&node).pending_key(CertificateKind::CLIENT).expect("a key"))
        } else {
            None
        };
        assert_eq!(node.has(KEY_TMP), kept.is_some());
        let seen = oracle.ask("bootstrap", &json!({
            "root": node.root(), "kubeconfig": format!("/{KUBELET_CONF}"), "bootstrap": format!("/{BOOTSTRAP_CONF}"),
            "directory": format!("/{PKI}"), "name": own,
        })).expect("a certificate");
        assert_eq!(given_text(&seen["bearers"][0]), token);
        let key = Key::from_pem(node.read_key().as_bytes()).expect("a key");
        assert!(kept.is_none_or(|kept| kept.spki() == key.spki()), "the kubelet takes the key that is there");
        let request =
            CertificateRequest::new(&key, &CertificateTemplate::client(&name(&own))).expect("a request");
        assert_eq!(given_text(&seen["requests"][0]["metadata"]["name"]), request.name());
        let spec = &seen["requests"][0]["spec"];
        assert_eq!(spec["signerName"], "kubernetes.io/kube-apiserver-client-kubelet");
        assert_eq!(spec["usages"], json!(["digital signature", "client auth"]));
        let conf = kubeconfig::kubelet(&url, &BASE64_STANDARD.encode(&ca), &format!("/{CURRENT}"));
        assert_eq!(node.read(KUBELET_CONF), conf);
        let existing = files(&node).state(&name(&own), SystemTime::now()).expect("a disk");
        assert!(matches!(existing, NodeState::Joined(_)), "{existing:?}");
    }
    println!(
        "bootstraps: {rounds} by the kubelet, each from nodestrap's files to an identity that nodestrap takes"
    );
}
