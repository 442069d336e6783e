//! The whole join, under every kind of cluster CA that kubeadm makes, and what the API server saw of it.

use std::{fs, process::Command};

use serde_json::Value;

use crate::harness::{
    audit::Request,
    cluster::{Cluster, Options},
    node::pem_blocks,
    token::Token,
};
use crate::support::{node::Node, process::try_run};

#[test]
fn rsa_2048() {
    joins_by_name_and_by_address(Options::default());
}

#[test]
fn rsa_4096() {
    joins_by_name_and_by_address(Options { algorithm: "RSA-4096", ..Options::default() });
}

#[test]
fn ecdsa_p256() {
    joins_by_name_and_by_address(Options { algorithm: "ECDSA-P256", ..Options::default() });
}

/// Here cluster-info names the server by address, so that one connection by address carries everything.
#[test]
fn ecdsa_p384() {
    joins_by_name_and_by_address(Options {
        algorithm: "ECDSA-P384",
        host: "127.0.0.1",
        ..Options::default()
    });
}

#[test]
fn separate_node_ca() {
    let cluster = joins_by_name_and_by_address(Options {
        algorithm: "ECDSA-P256",
        separate_node_ca: true,
        ..Options::default()
    });
    let node = Node::named("separate-ca");
    let outcome = node.join(&cluster.token()).with_cert().run();
    outcome.expect("joined");
    let issuer = outcome.report()["certificate"]["issuer"].as_str().unwrap();
    assert!(issuer.contains("node signer"), "{issuer}");
}

fn joins_by_name_and_by_address(options: Options) -> Cluster {
    let cluster = Cluster::start(options);
    let token = cluster.token();
    for dialled in ["localhost", "127.0.0.1"] {
        let node = Node::named(&format!("node-{}.example", dialled.replace('.', "-")));
        let mark = cluster.mark();
        let endpoint = with_host(&token, dialled);
        let outcome = node.join(&token).endpoint(endpoint).with_cert().run();
        outcome.expect("joined");
        node.assert_joined(&cluster);
        // Where cluster-info names another host than the one dialled, the requests with the token go there.
        let handshakes = if dialled == options.host { 1 } else { 2 };
        assert_three_requests(&cluster.joins_since(&mark), &token, outcome.report(), handshakes);
    }
    cluster
}

/// The endpoint of the token's join command with another host.
fn with_host(token: &Token, host: &str) -> String {
    let (_, port) = token.arguments[0].rsplit_once(':').unwrap();
    format!("{host}:{port}")
}

/// GET without a credential, POST, WATCH: exactly these, in the audit log and in the report.
pub fn assert_three_requests(requests: &[Request], token: &Token, report: &Value, handshakes: u32) {
    let seen: Vec<_> = requests.iter().map(|r| (r.verb.as_str(), r.user.as_str(), r.code)).collect();
    let user = token.user();
    let wanted =
        [("get", "system:anonymous", 200), ("create", user.as_str(), 201), ("watch", user.as_str(), 200)];
    assert_eq!(seen, wanted, "{requests:#?}");
    assert_eq!(requests[0].uri, "/api/v1/namespaces/kube-public/configmaps/cluster-info");
    assert_eq!(requests[2].name, report["csrName"].as_str().unwrap(), "the watch is for this name only");
    let agent = format!("nodestrap/{} (linux/amd64)", report["version"].as_str().unwrap());
    assert!(requests.iter().all(|request| request.agent == agent), "{requests:#?}");
    assert_eq!((&report["requests"], &report["handshakes"]), (&3.into(), &handshakes.into()));
}

/// The printed line works verbatim after `nodestrap`, and without a certificate only the discovery files are there.
#[test]
fn the_printed_join_line_works() {
    let cluster = crate::shared();
    let token = cluster.token();
    let node = Node::named("printed-line");
    node.join_with(&token.arguments).kubeadm().run().expect("prepared");
    let wanted = ["/etc/kubernetes/bootstrap-kubelet.conf 600", "/etc/kubernetes/pki/ca.crt 644"];
    assert_eq!(node.listing(), wanted);
    node.join(&token).with_cert().run().expect("joined");
    node.assert_joined(&cluster);
}

#[test]
fn a_second_run_asks_nothing() {
    let cluster = crate::shared();
    let token = cluster.token();
    let node = Node::named("second-run");
    node.join(&token).with_cert().run().expect("joined");
    let identity = fs::read(node.identity_file()).unwrap();
    let again = node.join(&token).with_cert().run();
    again.expect("already-joined");
    assert_eq!((&again.report()["requests"], &again.report()["handshakes"]), (&0.into(), &0.into()));
    assert_eq!(fs::read(node.identity_file()).unwrap(), identity);
    node.assert_joined(&cluster);
}

#[test]
fn the_bootstrap_kubeconfig_is_kept_on_request() {
    let cluster = crate::shared();
    let node = Node::named("kept-kubeconfig");
    node.join(&cluster.token()).with_cert().flags(&["--keep-bootstrap-kubeconfig"]).run().expect("joined");
    assert!(
        node.listing().contains(&"/etc/kubernetes/bootstrap-kubelet.conf 600".to_owned()),
        "{:?}",
        node.listing()
    );
}

/// The signer takes names that a kubelet's hostname label would not hold.
#[test]
fn a_name_of_243_characters() {
    let cluster = crate::shared();
    let label = "n".repeat(60);
    let name = format!("{label}.{label}.{label}.{}", "n".repeat(60));
    assert_eq!(name.len(), 243);
    let node = Node::named(&name);
    let outcome = node.join(&cluster.token()).with_cert().run();
    outcome.expect("joined");
    assert!(outcome.stderr.contains("63"), "a warning about the label's limit:\n{}", outcome.stderr);
    node.assert_joined(&cluster);
}

/// The controller manager makes both certificates as short as they were asked for, and dates them back.
#[test]
fn a_short_certificate_is_issued() {
    let cluster = crate::shared();
    let node = Node::named("short-lived");
    let flags = ["--expiration-seconds", "3600", "--with-serving-cert", "--san", "short-lived"];
    let mut running = node
        .join(&cluster.token())
        .with_cert()
        .flags(&[&flags[..], &["--serving-timeout", "90s"]].concat())
        .start();
    running.line_with("requesting a certificate for ");
    cluster.kubectl(&["certificate", "approve", &running.pending_request()]);
    let outcome = running.finish();
    outcome.expect("joined");
    for certificate in ["certificate", "servingCertificate"] {
        let file = node.at(outcome.report()[certificate]["file"].as_str().unwrap());
        let ends_after = |seconds: u32| {
            let mut openssl = Command::new("openssl");
            openssl.args(["x509", "-noout", "-checkend", &seconds.to_string(), "-in"]).arg(&file);
            try_run(&mut openssl).is_ok()
        };
        // Five minutes are taken off a long life and not off a short one (`authority/policies.go`); the rest is the
        // time that the test itself took.
        assert!(ends_after(3600 - 300 - 600) && !ends_after(3600), "{certificate}");
    }
}

/// Two nodes that join under one name have two keys, hence two requests; Kubernetes itself allows that.
#[test]
fn the_key_in_the_identity_is_new() {
    let cluster = crate::shared();
    let token = cluster.token();
    let keys = [Node::named("same-name"), Node::named("same-name")].map(|node| {
        node.join(&token).with_cert().run().expect("joined");
        let blocks = pem_blocks(&node.identity_file());
        blocks.last().unwrap().1.clone()
    });
    assert_ne!(keys[0], keys[1]);
}
