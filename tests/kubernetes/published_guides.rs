//! The published instructions for TLS bootstrapping from which this program grew, each step by step against today's
//! control plane, with nodestrap in the place of the client that they have in mind. Where a flag, a date or an API
//! version is gone, the test says what stands for it today.

mod by_hand;
mod static_token;
mod without_kubeadm;

use std::{fs, process::Command};

use crate::harness::{
    cluster::{Cluster, MANUAL, Options},
    token::{Token, Wanted},
};
use crate::kubelet_check;
use crate::support::{node::Node, process::run, run::Running, scratch::Scratch};

/// Creates what a manifest describes, as `kubectl create -f` does.
fn create(cluster: &Cluster, manifest: &str) {
    let scratch = Scratch::new();
    fs::write(scratch.file("manifest.yaml"), manifest).unwrap();
    cluster.kubectl(&["create", "-f", &scratch.file("manifest.yaml")]);
}

/// Gives a cluster role to a group.
fn bind(cluster: &Cluster, name: &str, role: &str, group: &str) {
    let (role, group) = (format!("--clusterrole={role}"), format!("--group={group}"));
    cluster.kubectl(&["create", "clusterrolebinding", name, &role, &group]);
}

/// The role that lets a group file requests.
const FILING: &str = "system:node-bootstrapper";
/// The role that has the controller approve a group's requests for a first client certificate.
const FIRST: &str = "system:certificates.k8s.io:certificatesigningrequests:nodeclient";
/// The role that has the controller approve a node's renewals.
const RENEWAL: &str = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient";

/// Starts nodestrap for a client certificate with these ways in.
fn start(node: &Node, ways: &[&str]) -> Running {
    node.join_with(&[&["--with-client-cert"], ways].concat()).start()
}

/// `kubectl` that knows the cluster's CA and this token.
fn kubectl_with(cluster: &Cluster, token: &str) -> Command {
    let mut command = cluster.tool("kubectl");
    command.env("KUBECONFIG", "/dev/null").arg(format!("--server=https://{}", cluster.address()));
    command.arg(format!("--certificate-authority={}", cluster.scratch.file("pki/ca.crt")));
    command.arg(format!("--token={token}"));
    command
}

/// A kubeconfig with the cluster's CA inside and this token, made with `kubectl config` as the documents make it.
fn bootstrap_kubeconfig(cluster: &Cluster, scratch: &Scratch, token: &str) -> String {
    let file = scratch.file("bootstrap-kubeconfig");
    set_cluster(cluster, &file);
    let config = |args: &[&str]| {
        run(cluster.tool("kubectl").arg("config").arg(format!("--kubeconfig={file}")).args(args));
    };
    config(&["set-credentials", "kubelet-bootstrap", &format!("--token={token}")]);
    config(&["set-context", "bootstrap", "--user=kubelet-bootstrap", "--cluster=bootstrap"]);
    config(&["use-context", "bootstrap"]);
    file
}

/// A kubeconfig with server and CA, and nothing else.
fn set_cluster(cluster: &Cluster, file: &str) {
    let mut command = cluster.tool("kubectl");
    command.args(["config", "set-cluster", "bootstrap", "--embed-certs=true"]);
    command.arg(format!("--kubeconfig={file}")).arg(format!("--server=https://{}", cluster.address()));
    run(command.arg(format!("--certificate-authority={}", cluster.scratch.file("pki/ca.crt"))));
}

/// The signer, the requester and the usages of a request.
fn assert_kubelets_request(cluster: &Cluster, name: &str, user: &str) {
    let spec = &cluster.json(&["get", "csr", name])["spec"];
    assert_eq!(spec["signerName"], "kubernetes.io/kube-apiserver-client-kubelet");
    assert_eq!(spec["username"], user);
    assert_eq!(spec["usages"], serde_json::json!(["digital signature", "client auth"]));
}

/// The Kubernetes documentation's page on TLS bootstrapping as it stands today, its account of the bootstrap:
///
/// 1. The kubelet has no kubeconfig and finds a bootstrap kubeconfig: URL, CA and a token of little use. (nodestrap
///    itself writes it, from a join line without `--with-client-cert`.)
/// 2. With the token it may file and read a request, and nothing else.
/// 3. It files one for the signer `kubernetes.io/kube-apiserver-client-kubelet`.
/// 4. kube-controller-manager approves it, issues the certificate, and it is retrieved.
/// 5. A kubeconfig with key and certificate is written, and the kubelet begins its work.
/// 6. Near its end the certificate is renewed and approved automatically, in place.
#[test]
fn the_page_of_today_with_automatic_approval() {
    let options = Options { algorithm: "ECDSA-P256", signing_duration: "1m", ..Options::default() };
    let cluster = Cluster::start(options);
    let (node, token) = (Node::named("page-automatic"), cluster.token());
    let file = prepared(&node, &token);
    let refused = kubectl_with(&cluster, &token.value).args(["get", "secrets", "-A"]).output().unwrap();
    assert!(!refused.status.success(), "the token is of little use");

    let outcome = start(&node, &["--bootstrap-kubeconfig", &file]).finish();
    outcome.expect("joined");
    assert_kubelets_request(&cluster, outcome.report()["csrName"].as_str().unwrap(), &token.user());
    node.assert_joined(&cluster);
    kubelet_check::rotates_in_place(&cluster, &node, || {});
}

/// The same page where a person approves, the first request and the renewal: the binding for renewals is taken away.
#[test]
fn the_page_of_today_with_approval_by_a_person() {
    let options = Options { algorithm: "ECDSA-P256", signing_duration: "1m", ..Options::default() };
    let cluster = Cluster::start(options);
    cluster.kubectl(&["delete", "clusterrolebinding", "kubeadm:node-autoapprove-certificate-rotation"]);
    let token = cluster.token_with(Wanted { group: MANUAL, ..Wanted::default() });
    let node = Node::named("page-by-hand");
    let file = prepared(&node, &token);
    let mut running = start(&node, &["--bootstrap-kubeconfig", &file]);
    let name = running.pending_request();
    assert_kubelets_request(&cluster, &name, &token.user());
    cluster.kubectl(&["certificate", "approve", &name]);
    running.finish().expect("joined");
    node.assert_joined(&cluster);

    kubelet_check::rotates_in_place(&cluster, &node, || {
        let requests = cluster.json(&["get", "csr"]);
        for request in requests["items"].as_array().unwrap() {
            let renewal = request["spec"]["username"] == "system:node:page-by-hand";
            if renewal && request["status"].get("conditions").is_none() {
                cluster.kubectl(&["certificate", "approve", request["metadata"]["name"].as_str().unwrap()]);
            }
        }
    });
}

/// The node's bootstrap kubeconfig, as a join without the client certificate leaves it.
fn prepared(node: &Node, token: &Token) -> String {
    node.join_with(&token.arguments).run().expect("prepared");
    let file = node.at("/etc/kubernetes/bootstrap-kubelet.conf");
    assert!(file.exists() && !node.at("/etc/kubernetes/kubelet.conf").exists());
    fs::create_dir_all(node.at("/var/lib/kubelet")).unwrap();
    file.display().to_string()
}
