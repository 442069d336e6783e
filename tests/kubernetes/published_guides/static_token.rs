//! The Kubernetes documentation's first page on TLS bootstrapping, of version 1.4, when the token was a line in a file
//! of the API server: as it was shown on the web, and its source.
//!
//! 1. A token: 128 random bits in hexadecimal; a file with token, user, number and group; the API server's
//!    `--token-auth-file`. (All of it works today. The group has no rights by itself any more: RBAC has to give it
//!    `system:node-bootstrapper`, and the page asks for such a policy.)
//! 2. `--client-ca-file`, `--cluster-signing-cert-file`, `--cluster-signing-key-file`. (As ever.)
//! 3. Approval of all that a group requests, by a flag of the controller manager. (Gone; today a binding of the group to
//!    the role that the approving controller asks for.)
//! 4. The kubelet with a bootstrap kubeconfig, by an experimental flag, and `--kubeconfig` and `--cert-dir` for the
//!    outcome. (The flag has lost the word; nodestrap reads the same file by `--bootstrap-kubeconfig`, or takes its parts
//!    as flags.)
//! 5. An administrator lists requests, describes one and approves it by changing its status. (Today
//!    `kubectl certificate approve`.)

use std::fs;

use super::{FILING, FIRST, assert_kubelets_request, bind, bootstrap_kubeconfig, start};
use crate::harness::{
    cluster::{Cluster, Options},
    token::STATIC_USER,
};
use crate::support::{node::Node, scratch::Scratch};

/// A cluster as the page leaves it, without approval: an opaque token and nothing of kubeadm's.
fn cluster() -> Cluster {
    let cluster = Cluster::start(Options {
        algorithm: "ECDSA-P256",
        static_token: true,
        published: false,
        ..Options::default()
    });
    let token = cluster.static_token();
    assert!(
        token.len() == 32 && token.bytes().all(|b| b.is_ascii_hexdigit()),
        "as the page's command prints it"
    );
    cluster
}

#[test]
fn the_first_page_with_approval_by_an_administrator() {
    let cluster = cluster();
    let [user, group] = STATIC_USER;
    let (node, scratch) = (Node::named("first-page-by-hand"), Scratch::new());
    let secret = scratch.file("token");
    fs::write(&secret, cluster.static_token()).unwrap();
    let server = format!("https://{}", cluster.address());
    let ca = cluster.scratch.file("pki/ca.crt");
    let ways = ["--server", &server, "--certificate-authority", &ca, "--bearer-token-file", &secret];

    let refused = start(&node, &ways).finish();
    refused.expect("refused");
    assert!(!refused.stderr.contains(&cluster.static_token()));
    bind(&cluster, "kubelet-bootstrap", FILING, group);

    let mut running = start(&node, &ways);
    let name = running.pending_request();
    assert!(cluster.kubectl(&["get", "csr"]).contains(&name));
    assert!(cluster.kubectl(&["describe", "csr", &name]).contains(user));
    assert_kubelets_request(&cluster, &name, user);
    cluster.kubectl(&["certificate", "approve", &name]);
    running.finish().expect("joined");
    node.assert_joined(&cluster);
}

#[test]
fn the_first_pages_source_with_approval_of_the_group() {
    let cluster = cluster();
    let [_, group] = STATIC_USER;
    bind(&cluster, "kubelet-bootstrap", FILING, group);
    bind(&cluster, "kubelet-bootstrap-approved", FIRST, group);
    let (node, scratch) = (Node::named("first-page-automatic"), Scratch::new());
    let file = bootstrap_kubeconfig(&cluster, &scratch, &cluster.static_token());
    start(&node, &["--bootstrap-kubeconfig", &file]).finish().expect("joined");
    node.assert_joined(&cluster);
}
