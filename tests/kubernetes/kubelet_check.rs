//! The judge: a real kubelet, given the files of a join and no token.

use std::fs;

use serde_json::Value;

use crate::harness::{
    cluster::{Cluster, Options},
    kubelet::{Containerd, Kubelet},
};
use crate::support::{node::Node, process::wait_for};

/// It registers under the name in the certificate and asks for no certificate of its own.
#[test]
fn a_kubelet_registers_with_our_identity() {
    let cluster = crate::shared();
    let node = joined(&cluster, "judged");
    let runtime = Containerd::start();
    let mark = cluster.mark();
    let _kubelet = registers(&cluster, &node, &runtime);
    // The kubelet reports its status right after it has registered: by then its certificate manager has had its say.
    wait_for("the Node's status", || {
        let object = cluster.json(&["get", "node", "judged"]);
        object["status"]["nodeInfo"]["kubeletVersion"].as_str().is_some_and(|v| !v.is_empty()).then_some(())
    });
    let user = "system:node:judged";
    let requests = cluster.requests_since(&mark);
    assert!(requests.iter().any(|r| r.user == user && r.uri.starts_with("/api/v1/nodes") && r.code == 201));
    let filed: Vec<_> =
        requests.iter().filter(|r| r.user == user && r.uri.contains("certificatesigning")).collect();
    assert!(filed.is_empty(), "the kubelet wanted a certificate: {filed:#?}");
    assert_eq!(requests_of(&cluster, &node.name), 1);
    node.kubectl(&cluster, &["get", "node", "judged"]);
}

/// Starts a kubelet on a joined node and waits until the cluster lists the node.
pub fn registers(cluster: &Cluster, node: &Node, runtime: &Containerd) -> Kubelet {
    let mut kubelet = Kubelet::start(node, runtime);
    let wanted = format!("node/{}", node.name);
    wait_for("the Node", || {
        kubelet.daemon.assert_alive();
        cluster.kubectl(&["get", "nodes", "-o", "name"]).lines().any(|line| line == wanted).then_some(())
    });
    kubelet
}

/// A certificate near its end is replaced by the kubelet itself, in our file store, with our identity's rights.
#[test]
fn a_kubelet_rotates_our_identity() {
    // The signer dates certificates back by five minutes, and the kubelet renews at 70 to 90 % of the whole.
    let options = Options { algorithm: "ECDSA-P256", signing_duration: "1m", ..Options::default() };
    let cluster = Cluster::start(options);
    let node = joined(&cluster, "rotated");
    rotates_in_place(&cluster, &node, || {});
}

/// Starts a kubelet on a joined node and waits until it has replaced the identity there, asking `meanwhile` to do what
/// that may need.
pub fn rotates_in_place(cluster: &Cluster, node: &Node, mut meanwhile: impl FnMut()) {
    let ours = node.identity_file();
    let runtime = Containerd::start();
    let mut kubelet = Kubelet::start(node, &runtime);
    wait_for("another identity", || {
        kubelet.daemon.assert_alive();
        meanwhile();
        (node.identity_file() != ours).then_some(())
    });
    node.kubectl(cluster, &["auth", "whoami"]);
    let csrs = cluster.json(&["get", "csr"]);
    let user = format!("system:node:{}", node.name);
    let by_node = |csr: &Value| csr["spec"]["username"] == user.as_str();
    assert!(csrs["items"].as_array().unwrap().iter().any(by_node), "renewed with the certificate");
}

/// A joined node without the token's file.
fn joined(cluster: &Cluster, name: &str) -> Node {
    let node = Node::named(name);
    node.join(&cluster.token()).with_cert().run().expect("joined");
    assert!(!node.at("/etc/kubernetes/bootstrap-kubelet.conf").exists());
    fs::create_dir_all(node.at("/var/lib/kubelet")).unwrap();
    node
}

/// How many signing requests there are for a node's name.
fn requests_of(cluster: &Cluster, name: &str) -> usize {
    cluster.signing_requests().into_iter().filter(|node| node == name).count()
}
