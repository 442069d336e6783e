//! HTTP through the real client, with all that is read from it: the exchange for a certificate, and a whole join.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use nodestrap::testing::cli::{Invocation, SettingSources};
use nodestrap::testing::clock::Deadline;
use nodestrap::testing::config::Command;
use nodestrap::testing::csr::{CertificateRequest, CertificateTemplate, Exchange, Progress};
use nodestrap::testing::http::Bearer;
use nodestrap::testing::join;
use nodestrap::testing::log::Log;
use nodestrap::testing::node::{Layout, NodeFiles, NodeState};
use nodestrap::testing::report::{Report, Success};
use nodestrap::testing::x509::Certificate;

use super::trust::jws;
use super::{files, fixtures, is_one_line, transport};

/// More requests than a minute of pauses leaves room for.
const REQUESTS: usize = 400;

/// The answers to POST, LIST and WATCH, from a server that is trusted. Only a certificate that holds our key and our name
/// ends it well, and nothing makes it ask without end.
pub fn exchange(data: &[u8]) -> bool {
    let (system, other) = transport::server(data);
    let cluster = fixtures::cluster(&system);
    let (key, template) = (fixtures::key(), CertificateTemplate::client(&fixtures::node()));
    let request = CertificateRequest::new(&key, &template).expect("a request");
    let bearer = Bearer::new(fixtures::token().as_bearer()).expect("a header");
    let deadline = Deadline::after(&*system.clock, Duration::from_mins(1));
    let mut exchange = Exchange::new(cluster.api(), Some(&bearer), &request, &*system.clock, deadline);
    let end = loop {
        match exchange.advance() {
            Progress::Submitted | Progress::Resumed | Progress::Watching | Progress::StillPending { .. } => {}
            Progress::Retry { delay, news, .. } => {
                is_one_line(&news.unwrap_or_default());
                system.clock.sleep(delay);
            }
            end => break end,
        }
    };
    let taken = match end {
        Progress::Issued(issued) => {
            let chain = Certificate::chain_from_pem(issued.pem().as_bytes()).expect("what is stored is read");
            assert_eq!(chain[0].spki, key.spki());
            assert!(template.matches(&chain[0]).is_ok() && chain[0].not_after >= fixtures::now());
            is_one_line(&issued.leaf().issuer.to_string());
            true
        }
        Progress::Unusable { error, .. } | Progress::Failed { error, .. } => {
            is_one_line(&error.to_string());
            assert!(!error.to_string().contains(fixtures::SECRET), "{error}");
            false
        }
        going_on => unreachable!("{going_on:?}"),
    };
    assert!(other.requests().len() < REQUESTS, "{} requests", other.requests().len());
    taken
}

/// The answers to all requests of a join, from the first one. The token is in no request before cluster-info was
/// answered with its signature; a join that fails leaves no identity, and one that does not leaves a whole one.
pub fn join(data: &[u8]) -> bool {
    let root = files::root();
    let pki = root.join("var/lib/kubelet/pki");
    fs::create_dir_all(&pki).expect("a directory");
    // The key that the seeds' certificate is for. One that others may know would make way for a new one.
    let key = pki.join("kubelet-client.key.tmp");
    fs::write(&key, fixtures::KEY).expect("a key");
    fs::set_permissions(key, fs::Permissions::from_mode(0o600)).expect("a mode");
    let (system, other) = transport::server(data);
    let words =
        ["join", fixtures::ENDPOINT, "--token", fixtures::TOKEN, "--node-name", "n1", "--with-client-cert"];
    let words = words.into_iter().chain(["--with-kubelet-config", "--refuse-ready-node", "--timeout", "60s"]);
    let words = words.map(OsString::from).chain([
        "--discovery-token-ca-cert-hash".into(),
        fixtures::pin().into(),
        "--root".into(),
        root.clone().into(),
    ]);
    let mut invocation = Invocation::default();
    invocation.read(words, &SettingSources::default()).expect("a join line");
    let Ok(Command::Join(options)) = Command::of(&invocation) else { panic!("a join line") };
    let mut report = Report::new();
    let result = join::join(&options, &system, &Log::silent(), &mut report);

    let signature = jws::sign(fixtures::TOKEN, KUBECONFIG);
    let said = String::from_utf8_lossy(&other.said()).into_owned();
    for request in other.requests() {
        if request.contains(fixtures::SECRET) {
            assert!(said.contains(&signature), "a token before there was a signature: {request}");
        }
    }
    assert!(other.requests().len() < REQUESTS, "{} requests", other.requests().len());
    let json = report.json(&Log::silent()).expect("a report");
    assert!(!json.contains(fixtures::SECRET), "{json}");
    let taken = result.is_ok();
    match result {
        Ok(success) => {
            assert_eq!(success, Success::Joined);
            let files = NodeFiles::open(&root, Layout::default()).expect("a directory");
            let state = files.state(&fixtures::node(), fixtures::now()).expect("files");
            assert!(matches!(state, NodeState::Joined(_)), "{state:?}");
        }
        Err(error) => {
            is_one_line(&error.to_string());
            assert!(!error.to_string().contains(fixtures::SECRET), "{error}");
            assert!(!root.join(files::KUBELET_CONF).exists(), "an identity in spite of {error}");
        }
    }
    let _ = fs::remove_dir_all(&root);
    taken
}

/// The kubeconfig that the seeds have a signature for.
pub const KUBECONFIG: &str = concat!(
    "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: ",
    include_str!("../pki/ca.base64"),
    "\n    server: https://localhost:6443\n  name: \"\"\ncontexts: null\ncurrent-context: \"\"\nkind: Config\nusers: null\n"
);
