//! Whole joins against a loopback API server that behaves.

use std::fs;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rcgen::{DistinguishedName, DnType, DnValue, PublicKeyData as _};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::json;

use crate::support::api::{Api, Route, Setup, TOKEN};
use crate::support::node::{BOOTSTRAP_CONF, CA, CURRENT, KEY_TMP, KUBELET_CONF, Node, PKI};
use crate::support::pki::{self, Authority};

/// The routes of a join that goes well.
const HAPPY: [Route; 3] = [Route::Discovery, Route::Create, Route::Watch];

#[test]
fn a_join_is_three_requests_on_one_connection() {
    let (api, node) = (Api::start(), Node::new());
    let run = node.join(&api).with_cert().run();
    run.expect("joined");

    assert_eq!(api.routes(), HAPPY);
    let connections = api.connections();
    assert_eq!(connections.len(), 1, "{connections:#?}");
    let connection = &connections[0];
    assert_eq!(connection.sni.as_deref(), Some("localhost"));
    assert_eq!(connection.offered, ["http/1.1"]);
    assert!(connection.completed && !connection.client_certificate && !connection.resumed, "{connection:?}");

    let requests = api.requests();
    let bearer = format!("Bearer {TOKEN}");
    let credentials: Vec<_> = requests.iter().map(|request| request.header("authorization")).collect();
    assert_eq!(credentials, [None, Some(bearer.as_str()), Some(bearer.as_str())]);
    for request in &requests {
        let agent = format!("nodestrap/{} (linux/amd64)", env!("CARGO_PKG_VERSION"));
        assert_eq!(request.header("user-agent"), Some(agent.as_str()));
        assert_eq!(request.header("host"), Some(api.endpoint().as_str()));
        assert_eq!(request.header("accept-encoding"), None, "no compression is understood");
    }
    assert_eq!(requests[1].header("content-type"), Some("application/json"));

    let watch = &requests[2];
    let name = api.cluster(|cluster| cluster.names().remove(0));
    assert_eq!(watch.selected_name(), Some(name.as_str()));
    assert_eq!(watch.query("resourceVersion"), Some("101"), "the version that the POST returned");
    assert_eq!(watch.query("allowWatchBookmarks"), Some("true"));
    assert!(
        watch.query("timeoutSeconds").is_some_and(|text| text.parse::<u32>().is_ok()),
        "{}",
        watch.target
    );
}

#[test]
fn the_request_is_the_kubelets_own() {
    let (api, node) = (Api::start(), Node::new());
    node.join(&api).with_cert().name("Node-7.example").run().expect("joined");

    let body = api.requests()[1].json();
    let name = body["metadata"]["name"].as_str().expect("a name");
    let request = pki::parse_request(&api.cluster(|cluster| cluster.pkcs10(name))).expect("a signed request");
    let user = "system:node:node-7.example";
    assert_eq!(pki::subject(&request.params, &DnType::OrganizationName), "system:nodes");
    assert_eq!(pki::subject(&request.params, &DnType::CommonName), user);
    assert_eq!(request.public_key.algorithm(), &rcgen::PKCS_ECDSA_P256_SHA256);
    assert_eq!(name, csr_name(&request.public_key.subject_public_key_info(), user));
    assert_eq!(body["spec"]["expirationSeconds"], json!(null));
}

/// The digest of `pkg/kubelet/certificate/bootstrap` in Kubernetes, `digestedName`.
fn csr_name(public_key: &[u8], user: &str) -> String {
    let mut stream = String::new();
    for part in [public_key, user.as_bytes(), b"system:nodes", b"digital signature", b"client auth"] {
        stream += &BASE64_URL_SAFE_NO_PAD.encode(part);
        stream.push('|');
    }
    let digest = ring::digest::digest(&ring::digest::SHA512_256, stream.as_bytes());
    format!("node-csr-{}", BASE64_URL_SAFE_NO_PAD.encode(digest))
}

#[test]
fn files_have_the_modes_and_contents_of_kubeadm_and_kubelet() {
    let (api, node) = (Api::start(), Node::new());
    let run = node.join(&api).with_cert().run();
    run.expect("joined");

    let stored = run.report()["certificate"]["file"]
        .as_str()
        .expect("a stored pair")
        .trim_start_matches('/')
        .to_owned();
    let link = fs::read_link(node.at(CURRENT)).expect("a link").display().to_string();
    assert!(link == format!("/{stored}") || link == stored[PKI.len() + 1..], "{link} leads to {stored}");
    let expected = [
        "drwxr-xr-x etc",
        "drwxr-xr-x etc/kubernetes",
        "-rw------- etc/kubernetes/kubelet.conf",
        "drwxr-xr-x etc/kubernetes/pki",
        "-rw-r--r-- etc/kubernetes/pki/ca.crt",
        "drwxr-xr-x var",
        "drwxr-xr-x var/lib",
        "drwx------ var/lib/kubelet",
        "drwxr-xr-x var/lib/kubelet/pki",
        &format!("-rw------- {stored}"),
        &format!("lrwxrwxrwx {CURRENT} -> {link}"),
    ];
    assert_eq!(node.tree(), expected);

    assert_eq!(node.read(CA), api.authority.pem());
    let data = BASE64_STANDARD.encode(api.authority.pem());
    let pair = "/var/lib/kubelet/pki/kubelet-client-current.pem";
    let expected = format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {data}\n    \
         server: https://{}\n  name: default-cluster\ncontexts:\n- context:\n    cluster: default-cluster\n    \
         namespace: default\n    user: default-auth\n  name: default-context\ncurrent-context: default-context\n\
         kind: Config\nusers:\n- name: default-auth\n  user:\n    client-certificate: {pair}\n    \
         client-key: {pair}\n",
        api.endpoint()
    );
    assert_eq!(node.read(KUBELET_CONF), expected);
    assert_pair(&node.read(&stored));
}

/// Asserts that a stored file is one certificate and then its SEC 1 key.
fn assert_pair(text: &str) {
    let labels: Vec<_> = text.lines().filter(|line| line.starts_with("-----BEGIN")).collect();
    assert_eq!(labels, ["-----BEGIN CERTIFICATE-----", "-----BEGIN EC PRIVATE KEY-----"]);
    let chain = vec![CertificateDer::from_pem_slice(text.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).expect("a key");
    rustls::sign::CertifiedKey::from_der(chain, key, &default_provider()).expect("a matching pair");
}

#[test]
fn the_report_has_every_field() {
    let (api, node) = (Api::start(), Node::new());
    let run = node.join(&api).with_cert().run();
    run.expect("joined");
    let report = run.report();
    let name = api.cluster(|cluster| cluster.names().remove(0));
    for (field, value) in [
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("outcome", json!("joined")),
        ("exitCode", json!(0)),
        ("error", json!([])),
        ("nodeName", json!("n1")),
        ("server", json!(format!("https://{}", api.endpoint()))),
        ("csrName", json!(name)),
        ("caHashes", json!([api.authority.pin()])),
        ("requests", json!(3)),
        ("handshakes", json!(1)),
    ] {
        assert_eq!(report[field], value, "{field} in {report:#}");
    }
    let certificate = &report["certificate"];
    assert_eq!(certificate["issuer"], "CN=kubernetes");
    let not_after = certificate["notAfter"].as_str().expect("an expiry");
    assert!(not_after.len() == 20 && not_after.starts_with("20") && not_after.ends_with('Z'), "{not_after}");
    for phase in ["discovery", "request", "approval", "files", "total"] {
        assert!(report["milliseconds"][phase].is_u64(), "milliseconds.{phase} in {report:#}");
    }
    assert_eq!(run.stdout, "");
    run.says(&[&name]);
}

#[test]
fn without_a_client_certificate_the_kubelets_bootstrap_is_prepared() {
    let (api, node) = (Api::start(), Node::new());
    for _ in 0..2 {
        node.join(&api).run().expect("prepared");
    }
    assert_eq!(api.routes(), [Route::Discovery; 2]);
    assert_eq!(api.credentials_seen(), 0);
    assert_eq!(node.files(), [BOOTSTRAP_CONF, CA]);
    assert_eq!((node.mode(BOOTSTRAP_CONF), node.mode(CA)), (0o600, 0o644));
    assert_eq!(node.read(BOOTSTRAP_CONF), bootstrap_conf(&api));
}

/// What `kubeadm join phase kubelet-start` of 1.36 writes.
fn bootstrap_conf(api: &Api) -> String {
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {}\n    server: https://{}\n  \
         name: kubernetes\ncontexts:\n- context:\n    cluster: kubernetes\n    user: tls-bootstrap-token-user\n  \
         name: tls-bootstrap-token-user@kubernetes\ncurrent-context: tls-bootstrap-token-user@kubernetes\n\
         kind: Config\nusers:\n- name: tls-bootstrap-token-user\n  user:\n    token: {TOKEN}\n",
        BASE64_STANDARD.encode(api.authority.pem()),
        api.endpoint(),
    )
}

#[test]
fn the_bootstrap_kubeconfig_stays_when_asked_for() {
    let (api, node) = (Api::start(), Node::new());
    node.join(&api).with_cert().args("--keep-bootstrap-kubeconfig").run().expect("joined");
    assert_eq!(node.read(BOOTSTRAP_CONF), bootstrap_conf(&api));
    assert!(!node.has(KEY_TMP));
}

#[test]
fn a_joined_node_makes_no_connection() {
    let (api, node) = (Api::start(), Node::new());
    node.join(&api).with_cert().run().expect("joined");
    let (tree, conf) = (node.tree(), node.read(KUBELET_CONF));
    let run = node.join(&api).with_cert().run();
    run.expect("already-joined");
    assert_eq!((run.report()["requests"].as_u64(), run.report()["handshakes"].as_u64()), (Some(0), Some(0)));
    assert_eq!((api.connections().len(), api.requests().len()), (1, 3));
    assert_eq!((node.tree(), node.read(KUBELET_CONF)), (tree, conf));
}

#[test]
fn an_interrupted_join_resumes_with_its_key_and_its_request() {
    type Undo = fn(&Node);
    let cases: [(&str, &str, Undo); 4] = [
        ("before the pair", "joined", |node| remove(node, &[KUBELET_CONF, CURRENT, &node.pair()])),
        ("before the link", "joined", |node| remove(node, &[KUBELET_CONF, CURRENT])),
        ("before kubelet.conf", "joined", |node| remove(node, &[KUBELET_CONF])),
        ("before the key file is removed", "already-joined", |_| {}),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, outcome, undo)| {
            let (api, node) = (Api::start(), Node::new());
            node.join(&api).with_cert().args("--keep-bootstrap-kubeconfig").run().expect("joined");
            let key = node.read_key();
            node.write_secret(KEY_TMP, &key);
            undo(&node);
            node.join(&api).with_cert().run().expect(outcome);
            assert_eq!(api.cluster(|cluster| cluster.names().len()), 1, "one request for both runs");
            assert_eq!(node.read_key(), key, "one key for both runs");
            assert!(
                node.has(CURRENT)
                    && node.has(KUBELET_CONF)
                    && !node.has(KEY_TMP)
                    && !node.has(BOOTSTRAP_CONF)
            );
            node.join(&api).with_cert().run().expect("already-joined");
        },
    );
}

fn remove(node: &Node, paths: &[&str]) {
    for path in paths {
        fs::remove_file(node.at(path)).expect("a file to remove");
    }
}

#[test]
fn a_root_has_its_own_host_name_and_stays_out_of_every_file() {
    let (api, node) = (Api::start(), Node::new());
    node.write("etc/hostname", "From-The-Image\n");
    let run = node.join(&api).with_cert().args("--keep-bootstrap-kubeconfig").name("").run();
    run.expect("joined");
    assert_eq!(run.report()["nodeName"], "from-the-image");
    let root = node.root().display().to_string();
    for file in node.files().iter().filter(|file| *file != CURRENT) {
        assert!(!node.read(file).contains(&root), "{file} names the root");
    }
    assert!(
        node.tree().iter().all(|line| !line.contains(&root)),
        "a link names the root: {:#?}",
        node.tree()
    );
}

#[test]
fn the_printed_join_line_works_as_it_is() {
    let (api, node) = (Api::start(), Node::new());
    node.join(&api).with_cert().kubeadm().run().expect("joined");
    assert_eq!(api.routes(), HAPPY);
}

#[test]
fn either_tls_version_will_do() {
    for (name, version) in [("TLSv1_2", &rustls::version::TLS12), ("TLSv1_3", &rustls::version::TLS13)] {
        let versions: &'static [&'static rustls::SupportedProtocolVersion] = Box::leak(Box::new([version]));
        let (api, node) = (Api::with(Setup { versions, ..Setup::default() }), Node::new());
        node.join(&api).with_cert().run().expect("joined");
        assert_eq!(api.connections()[0].version, name);
    }
}

#[test]
fn a_server_that_closes_after_each_answer_is_dialled_again_and_never_resumed() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let versions: &'static [&'static rustls::SupportedProtocolVersion] = Box::leak(Box::new([version]));
        let (api, node) = (Api::with(Setup { versions, ..Setup::default() }), Node::new());
        api.on(Route::Discovery, |_, _, cluster| Some(cluster.config_map().close()));
        api.on(Route::Create, |_, request, cluster| Some(cluster.create(request).close()));
        let run = node.join(&api).with_cert().run();
        run.expect("joined");
        assert_eq!(api.routes(), HAPPY);
        let connections = api.connections();
        assert_eq!(connections.len(), 3, "{connections:#?}");
        assert!(
            connections.iter().all(|connection| connection.completed && !connection.resumed),
            "{connections:#?}"
        );
        assert_eq!(run.report()["handshakes"], 3);
    }
}

#[test]
fn forms_of_cluster_info_that_kubeadm_takes() {
    type Text = fn(&str, &str) -> String;
    let cases: [(&str, Text); 5] = [
        ("as JSON", |data, server| {
            json!({"clusters": [{"name": "", "cluster": {"server": server, "certificate-authority-data": data}}]})
                .to_string()
        }),
        ("as releases before 1.34 wrote it", |data, server| {
            format!(
                "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {data}\n    \
                 server: {server}\n  name: \"\"\ncontexts: []\ncurrent-context: \"\"\nkind: Config\n\
                 preferences: {{}}\nusers: []\n"
            )
        }),
        ("one cluster with a name", |data, server| {
            format!(
                "clusters: [{{name: east, cluster: {{server: '{server}', certificate-authority-data: {data}}}}}]"
            )
        }),
        ("the current context's cluster of two", |data, server| {
            format!(
                "clusters:\n- name: a\n  cluster: {{server: 'https://192.0.2.1:1', certificate-authority-data: {data}}}\n\
                 - name: b\n  cluster: {{server: '{server}', certificate-authority-data: {data}}}\n\
                 contexts:\n- name: c\n  context: {{cluster: b, user: u}}\ncurrent-context: c\n"
            )
        }),
        ("several clusters and null for a list", |data, server| {
            format!(
                "clusters:\n- name: a\n  cluster: {{server: 'https://192.0.2.1:1', certificate-authority-data: {data}}}\n\
                 - name: b\n  cluster: {{server: '{server}', certificate-authority-data: {data}}}\n\
                 contexts:\n- name: c\n  context: {{cluster: b}}\ncurrent-context: c\npreferences: null\nusers: null\n"
            )
        }),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, text)| {
            let (api, node) = (Api::start(), Node::new());
            let server = format!("https://{}", api.endpoint());
            let data = BASE64_STANDARD.encode(api.authority.pem());
            api.cluster(|cluster| cluster.publish(&text(&data, &server)));
            node.join(&api).with_cert().run().expect("joined");
        },
    );
}

#[test]
fn a_ca_with_a_name_in_old_string_types_is_taken() {
    let cases = [
        DnValue::TeletexString("old".try_into().expect("T.61")),
        DnValue::BmpString("alt \u{fc}".try_into().expect("UCS-2")),
        DnValue::Ia5String("ca@example".try_into().expect("ASCII")),
    ];
    crate::support::all(
        &cases,
        |case| format!("{case:?}"),
        |name| {
            let authority = Authority::with("", |params| {
                params.distinguished_name = DistinguishedName::new();
                params.distinguished_name.push(DnType::OrganizationName, name.clone());
                params.distinguished_name.push(DnType::CommonName, name.clone());
            });
            let (api, node) =
                (Api::with(Setup { authority: authority.into(), ..Setup::default() }), Node::new());
            node.joins(&api);
        },
    );
}

#[test]
fn another_server_in_cluster_info_gets_a_verified_connection_of_its_own() {
    let (named, node) = (Api::start(), Node::new());
    let dialled = Api::with(Setup {
        authority: Arc::clone(&named.authority),
        server: Some(format!("https://127.0.0.1:{}", named.address().port())),
        ..Setup::default()
    });
    let run = node.join(&dialled).with_cert().run();
    run.expect("joined");
    assert_eq!((dialled.routes(), dialled.credentials_seen()), (vec![Route::Discovery], 0));
    assert_eq!(named.routes(), [Route::Create, Route::Watch]);
    assert_eq!(named.connections().len(), 1);
    assert_eq!(run.report()["handshakes"], 2);
    let server = format!("server: https://127.0.0.1:{}\n", named.address().port());
    assert!(node.read(KUBELET_CONF).contains(&server));
}
