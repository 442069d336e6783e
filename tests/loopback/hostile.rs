//! Servers that lie, leak, stall or are someone else: nothing may be believed, written or handed over.

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rcgen::{ExtendedKeyUsagePurpose, IsCa, SanType};

use crate::support::api::{Api, Route, Setup, TOKEN, jws};
use crate::support::node::{CA, CURRENT, KUBELET_CONF, Node};
use crate::support::pki::{Authority, DAY, ServerIdentity, valid};
use crate::support::relay::Relay;

/// Long enough for a first answer on a busy machine, short enough to wait for.
const DEADLINE: &str = "--discovery-timeout 3s --tls-bootstrap-timeout 3s";

#[test]
fn a_signature_that_is_not_exactly_the_signers_ends_the_join_at_once() {
    const SECRET: &str = "0123456789abcdef";
    type Forge = fn(&str) -> String;
    let cases: [(&str, Forge); 14] = [
        ("another secret", |text| jws::sign("abcdef.fedcba9876543210", text)),
        ("another content", |text| jws::sign(TOKEN, &format!("{text}#"))),
        ("keys in another order", |text| jws::with_header(r#"{"kid":"abcdef","alg":"HS256"}"#, SECRET, text)),
        ("a space in the header", |text| {
            jws::with_header(r#"{"alg":"HS256", "kid":"abcdef"}"#, SECRET, text)
        }),
        ("one more header", |text| {
            jws::with_header(r#"{"alg":"HS256","kid":"abcdef","typ":"JWT"}"#, SECRET, text)
        }),
        ("another key id", |text| jws::with_header(&jws::header("ghijkl"), SECRET, text)),
        ("algorithm none", |text| jws::with_header(r#"{"alg":"none","kid":"abcdef"}"#, SECRET, text)),
        ("algorithm none, no signature", |_| {
            format!("{}..", BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"abcdef"}"#))
        }),
        ("another algorithm", |text| jws::with_header(r#"{"alg":"HS512","kid":"abcdef"}"#, SECRET, text)),
        ("no signature", |text| {
            jws::sign(TOKEN, text).split_once("..").expect("detached").0.to_owned() + ".."
        }),
        ("padding", |text| jws::sign(TOKEN, text) + "="),
        ("a line break", |text| jws::sign(TOKEN, text) + "\n"),
        ("its payload inside", |text| {
            jws::sign(TOKEN, text).replace("..", &format!(".{}.", BASE64_URL_SAFE_NO_PAD.encode(text)))
        }),
        ("half of it", |text| jws::sign(TOKEN, text)[..70].to_owned()),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, forge)| {
            let (api, node) = (Api::start(), Node::new());
            api.cluster(|cluster| {
                let text = cluster.kubeconfig();
                cluster.publish_as(&text, &forge(&text));
            });
            node.join(&api).with_cert().run().expect("not-trusted");
            assert_eq!(api.routes(), [Route::Discovery]);
            node.is_untouched_by(&api);
        },
    );
}

#[test]
fn signed_content_that_is_not_a_plain_kubeconfig_ends_the_join_at_once() {
    type Text = Box<dyn Fn(&str) -> String + Sync>;
    fn cluster(name: &str, server: &str, data: &str) -> String {
        format!(
            "- name: '{name}'\n  cluster:\n    server: {server}\n    certificate-authority-data: {data}\n"
        )
    }
    const SERVER: &str = "https://localhost:6443";
    let not_pem = BASE64_STANDARD.encode("no certificate");
    let cases: Vec<(&str, Text)> = vec![
        ("not YAML", Box::new(|_| "clusters: [\n".to_owned())),
        ("another kind", Box::new(|data| format!("kind: Secret\nclusters:\n{}", cluster("", SERVER, data)))),
        ("no cluster", Box::new(|_| "clusters: null\n".to_owned())),
        (
            "two clusters, none chosen",
            Box::new(|data| {
                format!("clusters:\n{}{}", cluster("a", SERVER, data), cluster("b", SERVER, data))
            }),
        ),
        (
            "two clusters of one name",
            Box::new(|data| format!("clusters:\n{}{}", cluster("", SERVER, data), cluster("", SERVER, data))),
        ),
        ("no server", Box::new(|data| format!("clusters:\n{}", cluster("", "''", data)))),
        (
            "a server without TLS",
            Box::new(|data| format!("clusters:\n{}", cluster("", "http://localhost:6443", data))),
        ),
        ("no CA", Box::new(|_| format!("clusters:\n{}", cluster("", SERVER, "''")))),
        ("a CA that is not base64", Box::new(|_| format!("clusters:\n{}", cluster("", SERVER, "'%%%'")))),
        ("a CA that is not PEM", Box::new(move |_| format!("clusters:\n{}", cluster("", SERVER, &not_pem)))),
        (
            "a key twice",
            Box::new(|data| format!("clusters:\n{}    server: {SERVER}\n", cluster("", SERVER, data))),
        ),
        (
            "an unknown key twice",
            Box::new(|data| format!("x: 1\nx: 2\nclusters:\n{}", cluster("", SERVER, data))),
        ),
        (
            "deeper than any kubeconfig",
            Box::new(|data| {
                let (open, close) = ("[".repeat(100), "]".repeat(100));
                format!("x: {open}{close}\nclusters:\n{}", cluster("", SERVER, data))
            }),
        ),
        (
            "an alias",
            Box::new(|data| format!("x: &x [{SERVER}]\ny: *x\nclusters:\n{}", cluster("", SERVER, data))),
        ),
        (
            "a billion laughs",
            Box::new(|data| {
                let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
                for n in 1..9 {
                    let _ = writeln!(text, "a{n}: &a{n} [{}]", vec![format!("*a{}", n - 1); 9].join(","));
                }
                format!("{text}clusters:\n{}", cluster("", SERVER, data))
            }),
        ),
        (
            "very deep",
            Box::new(|data| {
                let (open, close) = ("[".repeat(20_000), "]".repeat(20_000));
                format!("x: {open}{close}\nclusters:\n{}", cluster("", SERVER, data))
            }),
        ),
        (
            "very many nodes",
            Box::new(|data| {
                format!("x: [{}]\nclusters:\n{}", "0,".repeat(200_000), cluster("", SERVER, data))
            }),
        ),
        (
            "very long",
            Box::new(|data| format!("# {}\nclusters:\n{}", "x".repeat(1_100_000), cluster("", SERVER, data))),
        ),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, text)| {
            let (api, node) = (Api::start(), Node::new());
            let data = BASE64_STANDARD.encode(api.authority.pem());
            api.cluster(|cluster| cluster.publish(&text(&data)));
            node.join(&api).with_cert().args(DEADLINE).run().expect("not-trusted");
            assert_eq!(api.routes(), [Route::Discovery]);
            node.is_untouched_by(&api);
        },
    );
}

#[test]
fn one_right_pin_is_needed_and_enough() {
    type Words = fn(&str, &str) -> Vec<String>;
    let wrong = format!("sha256:{}", "00".repeat(32));
    let cases: [(&str, Words, bool); 5] = [
        ("a wrong one", |_, wrong| vec![wrong.to_owned()], false),
        (
            "a wrong one beside the flag that asks for none",
            |_, wrong| vec![wrong.to_owned(), "--discovery-token-unsafe-skip-ca-verification".to_owned()],
            false,
        ),
        ("two, the second right", |right, wrong| vec![wrong.to_owned(), right.to_owned()], true),
        ("a list with commas", |right, wrong| vec![format!("{right},{wrong}")], true),
        ("upper case", |right, _| vec![right.to_uppercase().replace("SHA256", "sha256")], true),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, words, good)| {
            let (api, node) = (Api::start(), Node::new());
            let (flags, pins): (Vec<_>, Vec<_>) =
                words(&api.authority.pin(), &wrong).into_iter().partition(|word| word.starts_with("--"));
            let run = node.join(&api).with_cert().pins(&pins).args(&flags.join(" ")).run();
            if *good {
                run.expect("joined");
            } else {
                run.expect("not-trusted");
                assert_eq!(api.routes(), [Route::Discovery]);
                node.is_untouched_by(&api);
            }
        },
    );
}

#[test]
fn a_ca_beside_the_pinned_one_is_trusted_as_in_kubeadm_unless_every_ca_must_be_pinned() {
    let stranger = Authority::new("stranger");
    for (flag, both, good) in
        [("", false, true), ("--pin-every-ca", false, false), ("--pin-every-ca", true, true)]
    {
        let (api, node) = (Api::start(), Node::new());
        let bundle = api.authority.pem() + &stranger.pem();
        let server = format!("https://{}", api.endpoint());
        api.cluster(|cluster| cluster.publish(&jws::kubeconfig(&bundle, &server)));
        let mut pins = vec![api.authority.pin()];
        pins.extend(both.then(|| stranger.pin()));
        let run = node.join(&api).with_cert().pins(&pins).args(flag).run();
        if good {
            run.expect("joined");
            assert_eq!(node.read(CA), bundle);
        } else {
            run.expect("not-trusted").says(&[&stranger.pin()]);
            node.is_untouched_by(&api);
        }
    }
}

#[test]
fn a_certificate_that_does_not_fit_is_never_trusted() {
    type Make = fn() -> (Authority, ServerIdentity);
    const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];
    fn good() -> Authority {
        Authority::new("kubernetes")
    }
    fn served(authority: Authority) -> (Authority, ServerIdentity) {
        let identity = authority.server(&NAMES);
        (authority, identity)
    }
    let cases: [(&str, &str, Make); 11] = [
        ("a handshake signed with another key", "not-trusted", || {
            let authority = good();
            let identity = authority.server(&NAMES).with_another_key();
            (authority, identity)
        }),
        ("a name that is not dialled", "not-trusted", || {
            let authority = good();
            let identity = authority.server(&["kubernetes.example", "127.0.0.1"]);
            (authority, identity)
        }),
        ("an authority of the same name", "not-trusted", || (good(), good().server(&NAMES))),
        ("a certificate for clients", "not-trusted", || {
            let authority = good();
            let clients = vec![ExtendedKeyUsagePurpose::ClientAuth];
            let identity = authority.server_with(&NAMES, |params| params.extended_key_usages = clients);
            (authority, identity)
        }),
        ("an authority without the CA bit", "not-trusted", || {
            served(Authority::with("kubernetes", |params| params.is_ca = IsCa::ExplicitNoCa))
        }),
        ("an authority that says nothing of CAs", "not-trusted", || {
            served(Authority::with("kubernetes", |params| params.is_ca = IsCa::NoCa))
        }),
        ("an expired authority", "clock", || {
            served(Authority::with("kubernetes", |params| valid(params, -9 * DAY, -DAY)))
        }),
        ("an authority of tomorrow", "clock", || {
            served(Authority::with("kubernetes", |params| valid(params, DAY, 9 * DAY)))
        }),
        ("an expired server", "clock", || {
            let authority = good();
            let identity = authority.server_with(&NAMES, |params| valid(params, -9 * DAY, -DAY));
            (authority, identity)
        }),
        ("a server of tomorrow", "clock", || {
            let authority = good();
            let identity = authority.server_with(&NAMES, |params| valid(params, DAY, 9 * DAY));
            (authority, identity)
        }),
        ("a server that is its own authority", "not-trusted", || {
            let own = Authority::with("localhost", |params| {
                params.is_ca = IsCa::NoCa;
                params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().expect("a name"))];
            });
            let identity = own.itself();
            (own, identity)
        }),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, outcome, make)| {
            let (authority, identity) = make();
            let setup =
                Setup { authority: Arc::new(authority), identity: Some(identity), ..Setup::default() };
            let (api, node) = (Api::with(setup), Node::new());
            node.join(&api).with_cert().args(DEADLINE).run().expect(outcome);
            node.is_untouched_by(&api);
        },
    );
}

#[test]
fn a_man_in_the_middle_of_the_redial_gets_nothing() {
    type Impostor = fn(&Arc<Authority>) -> ServerIdentity;
    let cases: [(&str, Impostor); 3] = [
        ("a chain of his own", |_| Authority::new("kubernetes").server(&["localhost"])),
        ("the server's certificate without its key", |real| real.server(&["localhost"]).with_another_key()),
        ("the cluster's certificate for another name", |real| real.server(&["node-2.example"])),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, identity)| {
            let (real, node) = (Api::start(), Node::new());
            let impostor = Api::with(Setup {
                authority: Arc::clone(&real.authority),
                identity: Some(identity(&real.authority)),
                ..Setup::default()
            });
            let relay = Relay::start(vec![real.address(), impostor.address()]);
            let server = format!("https://{}", relay.endpoint());
            real.cluster(|cluster| cluster.publish(&jws::kubeconfig(&real.authority.pem(), &server)));
            real.on(Route::Discovery, |_, _, cluster| Some(cluster.config_map().close()));
            node.join(&real)
                .endpoint(relay.endpoint())
                .with_cert()
                .args(DEADLINE)
                .run()
                .expect("not-trusted");
            assert!(relay.accepted() >= 2, "no redial, so nothing was shown");
            assert_eq!((real.routes(), real.credentials_seen()), (vec![Route::Discovery], 0));
            assert!(!impostor.connections().is_empty(), "the impostor was not dialled");
            assert!(impostor.connections().iter().all(|connection| !connection.completed));
            assert_eq!(impostor.requests().len(), 0, "the impostor was spoken to");
            assert!(!node.has(KUBELET_CONF) && !node.has(CURRENT));
        },
    );
}

#[test]
fn a_dialled_server_without_a_good_chain_is_enough_only_without_pins() {
    for (pinned, outcome) in [(true, "not-trusted"), (false, "joined")] {
        let (named, node) = (Api::start(), Node::new());
        let dialled = Api::with(Setup {
            authority: Arc::clone(&named.authority),
            identity: Some(Authority::new("proxy").server(&["localhost"])),
            server: Some(format!("https://{}", named.endpoint())),
            ..Setup::default()
        });
        let join = node.join(&dialled).with_cert();
        let unpinned = || join.clone().pins(&[]).args("--discovery-token-unsafe-skip-ca-verification");
        let run = if pinned { join.run() } else { unpinned().run() };
        run.expect(outcome);
        assert_eq!(dialled.credentials_seen(), 0);
        assert_eq!(named.requests().is_empty(), pinned);
    }
}

#[test]
fn without_pins_the_dialled_server_must_still_verify_when_it_is_the_one_named() {
    let (node, authority) = (Node::new(), Arc::new(Authority::new("kubernetes")));
    let identity = Some(Authority::new("kubernetes").server(&["localhost"]));
    let api = Api::with(Setup { authority, identity, ..Setup::default() });
    let skip = "--discovery-token-unsafe-skip-ca-verification";
    node.join(&api).with_cert().pins(&[]).args(skip).run().expect("not-trusted");
    assert_eq!((api.credentials_seen(), node.files().len()), (0, 0));
}
