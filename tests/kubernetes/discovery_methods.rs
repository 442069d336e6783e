//! The other ways in, with what kubectl and kubeadm print: the cluster decides whether they lead anywhere.

use std::{fs, process::Command};

use crate::harness::{
    cluster::{AUTOMATIC, Anonymous, Cluster, Options},
    token::Token,
};
use crate::support::{node::Node, process::run, scratch::Scratch};

const CLUSTER_INFO: [&str; 5] = ["-n", "kube-public", "get", "configmap", "cluster-info"];

/// Joins with these arguments and holds the node to what a join promises.
fn joins(cluster: &Cluster, name: &str, arguments: &[&str]) {
    let node = Node::named(name);
    let mut all = vec!["--with-client-cert"];
    all.extend(arguments);
    node.join_with(&all).run().expect("joined");
    node.assert_joined(cluster);
}

/// A file beside the node's disk.
fn file(scratch: &Scratch, name: &str, text: &str) -> String {
    let path = scratch.file(name);
    fs::write(&path, text).unwrap();
    path
}

/// The ConfigMap as kubectl prints it replaces the question that such an API server answers with 401.
#[test]
fn a_signed_cluster_info_joins_where_anonymous_requests_are_refused() {
    let cluster = Cluster::start(Options {
        algorithm: "ECDSA-P256",
        anonymous: Anonymous::Nothing,
        ..Options::default()
    });
    let (scratch, token) = (Scratch::new(), cluster.token());
    let secret = file(&scratch, "token", &token.value);
    for format in ["json", "yaml"] {
        let text = run(cluster.tool("kubectl").args(CLUSTER_INFO).args(["-o", format]));
        let info = file(&scratch, format, &text);
        let arguments =
            ["--cluster-info", &info, "--token-file", &secret, "--discovery-token-ca-cert-hash", &token.pin];
        joins(&cluster, &format!("ways-info-{format}"), &arguments);
    }
}

/// An API server that knows nobody without credentials but for this one question.
#[test]
fn an_api_server_that_answers_anonymous_requests_for_cluster_info_only_is_joined() {
    let cluster = Cluster::start(Options {
        algorithm: "ECDSA-P256",
        anonymous: Anonymous::ClusterInfo,
        ..Options::default()
    });
    let anonymously = |path: &str| {
        let url = format!("https://{}{path}", cluster.address());
        let curl = ["--noproxy", "*", "-sk", "-o", "/dev/null", "-w", "%{http_code}", &url];
        run(Command::new("curl").args(curl))
    };
    let path = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
    assert_eq!((anonymously(path), anonymously("/version")), ("200".to_owned(), "401".to_owned()));
    let arguments = cluster.token().arguments;
    joins(&cluster, "ways-one-path", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
}

/// kubeadm's own configuration for a join, filled in as its documentation has it.
#[test]
fn the_configuration_that_kubeadm_prints_is_taken() {
    let cluster = crate::shared();
    let (scratch, token) = (Scratch::new(), cluster.token());
    let Token { value, pin, arguments } = &token;
    let defaults = run(cluster.tool("kubeadm").args(["config", "print", "join-defaults"]));
    let text = defaults
        .replace("kube-apiserver:6443", &arguments[0])
        .replace("abcdef.0123456789abcdef", value)
        .replace("unsafeSkipCAVerification: true", &format!("caCertHashes: ['{pin}']"));
    let named: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("name:")).collect();
    let config = file(&scratch, "join.yaml", &named.join("\n"));
    let node = Node::named("ways-config");
    let arguments = ["--with-client-cert", "--strict", "--config", &config];
    node.join_with(&arguments).run().expect("joined");
    node.assert_joined_with_flags(&cluster);
}

/// The kubeconfig inside cluster-info is a discovery file once the operator vouches for it; so are its parts as flags.
#[test]
fn server_and_ca_by_the_operators_word() {
    let cluster = crate::shared();
    let (scratch, token) = (Scratch::new(), cluster.token());
    let secret = file(&scratch, "token", &token.value);
    let info = cluster.json(&CLUSTER_INFO);
    let kubeconfig = file(&scratch, "discovery.conf", info["data"]["kubeconfig"].as_str().unwrap());
    joins(&cluster, "ways-file", &["--discovery-file", &kubeconfig, "--tls-bootstrap-token-file", &secret]);
    let server = format!("https://{}", cluster.address());
    let ca = cluster.scratch.file("pki/ca.crt");
    let flags = ["--server", &server, "--certificate-authority", &ca, "--bearer-token-file", &secret];
    joins(&cluster, "ways-flags", &flags);
}

/// The kubeconfig that kubeadm makes for a user is a discovery file: its client certificate, signed by the cluster's CA,
/// requests the node's. kubeadm's own bindings for its tokens' group are all the RBAC that it needs.
#[test]
fn a_discovery_file_with_a_client_certificate_joins() {
    let cluster = Cluster::start(Options { algorithm: "ECDSA-P256", ..Options::default() });
    let scratch = Scratch::new();
    let init = cluster.scratch.file("init.yaml");
    let user = ["kubeconfig", "user", "--client-name", "image", "--org", AUTOMATIC, "--config", &init];
    let text = run(cluster.tool("kubeadm").args(user));
    assert!(text.contains("client-key-data"), "kubeadm made a client certificate");
    let kubeconfig = file(&scratch, "discovery.conf", &text);
    joins(&cluster, "ways-client", &["--discovery-file", &kubeconfig]);
    let requests = cluster.json(&["get", "csr"]);
    assert_eq!(requests["items"][0]["spec"]["username"], "image");

    // The same by way of bootstrap-kubelet.conf, which a kubelet would take as well.
    let node = Node::named("ways-client-later");
    let prepared = node.join_with(&["--discovery-file", &kubeconfig]).start();
    prepared.finish().expect("prepared");
    let bootstrap = node.at("/etc/kubernetes/bootstrap-kubelet.conf").display().to_string();
    let user =
        run(cluster.tool("kubectl").args(["--kubeconfig", &bootstrap, "auth", "whoami", "-o", "json"]));
    assert!(user.contains("\"image\"") && user.contains(AUTOMATIC), "{user}");
    let later = ["--with-client-cert", "--bootstrap-kubeconfig", &bootstrap];
    node.join_with(&later).run().expect("joined");
    node.assert_joined(&cluster);
}
