//! Ways to the API server: through a proxy, and by more than one endpoint.

use std::net::SocketAddr;

use serde_json::json;

use crate::harness::{
    cluster::{Cluster, Options, free_port},
    token::Token,
};
use crate::joins::assert_three_requests;
use crate::support::{node::Node, proxy::Proxy};

/// A name that kubeadm puts into every API server's certificate, and that no resolver here knows.
const NAME: &str = "kubernetes.default.svc";

/// One cluster for both, in turn: requests are counted, and cluster-info is changed.
#[test]
fn a_proxy_and_two_endpoints() {
    let cluster = Cluster::start(Options { algorithm: "ECDSA-P256", ..Options::default() });
    by_two_endpoints(&cluster);
    through_a_proxy(&cluster);
}

fn by_two_endpoints(cluster: &Cluster) {
    let token = cluster.token();
    let endpoints = format!("localhost:{},{}", free_port(), cluster.address());
    joins(cluster, &token, &endpoints, &[]);
}

/// With the whole cluster behind the proxy: cluster-info names the API server as the proxy knows it.
fn through_a_proxy(cluster: &Cluster) {
    let cluster_info = cluster.json(&["get", "configmap", "cluster-info", "--namespace=kube-public"]);
    let kubeconfig = cluster_info["data"]["kubeconfig"].as_str().unwrap();
    let kubeconfig = kubeconfig.replace("https://localhost:", &format!("https://{NAME}:"));
    let patch = json!({"data": {"kubeconfig": kubeconfig}}).to_string();
    cluster.kubectl(&["patch", "configmap", "cluster-info", "--namespace=kube-public", "--patch", &patch]);

    let token = cluster.token();
    let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], cluster.port)));
    let endpoint = format!("{NAME}:{}", cluster.port);
    let url = format!("http://node:hunter2@{}", proxy.endpoint());
    joins(cluster, &token, &endpoint, &[("HTTPS_PROXY", &url), ("NO_PROXY", "10.0.0.0/8,.local")]);
    assert_eq!(proxy.targets(), [endpoint]);
    let (_, secret) = token.value.split_once('.').unwrap();
    proxy.seen()[0].assert_only_tls(&[secret, "kube-public", "Bearer"]);
}

/// Joins a node by these endpoints, on one connection.
fn joins(cluster: &Cluster, token: &Token, endpoints: &str, variables: &[(&str, &str)]) {
    let node = Node::named("network");
    let mark = cluster.mark();
    let join = node.join(token).endpoint(endpoints).with_cert().secret("hunter2");
    let join = variables.iter().fold(join, |join, (name, value)| join.env(name, *value));
    let outcome = join.run();
    outcome.expect("joined");
    node.assert_joined(cluster);
    assert_three_requests(&cluster.joins_since(&mark), token, outcome.report(), 1);
}
