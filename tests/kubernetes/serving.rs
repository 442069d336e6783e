//! The kubelet's serving certificate, which no controller of Kubernetes approves.

use std::{
    fs,
    net::{IpAddr, UdpSocket},
    path::PathBuf,
    process::Command,
};

use crate::harness::{
    cluster::{Cluster, Options},
    kubelet::{Containerd, Kubelet},
    node::pem_blocks,
};
use crate::support::{
    node::Node,
    process::{run, try_run, wait_for},
    run::Running,
};

const KEY: &str = "/var/lib/kubelet/pki/kubelet-server.key.tmp";
const PREFIX: &str = "node-serving-csr-";

/// Starts a join that waits for a serving certificate, and returns when that is pending: the run and its request.
fn waiting(cluster: &Cluster, node: &Node, flags: &[&str]) -> (Running, String) {
    let arguments = [&["--with-serving-cert", "--serving-timeout", "90s"], flags].concat();
    let mut running = node.join(&cluster.token()).with_cert().flags(&arguments).start();
    running.line_with("requesting a certificate for ");
    let name = running.pending_request();
    assert!(name.starts_with(PREFIX), "{name}");
    (running, name)
}

/// The stored serving pair, the link followed inside the root.
fn pair(node: &Node) -> PathBuf {
    let link = node.at("/var/lib/kubelet/pki/kubelet-server-current.pem");
    let target = fs::read_link(&link).unwrap_or_else(|e| panic!("{}: {e}", link.display()));
    link.with_file_name(target.file_name().unwrap())
}

/// Asserts that the stored pair is a server's in this cluster, and returns its hosts as OpenSSL prints them.
fn hosts(cluster: &Cluster, node: &Node) -> String {
    let pair = pair(node);
    let authority = cluster.scratch.file("pki/ca.crt");
    let verify = ["verify", "-purpose", "sslserver", "-CAfile", &authority];
    run(Command::new("openssl").args(verify).arg(&pair));
    let names =
        run(Command::new("openssl").args(["x509", "-noout", "-ext", "subjectAltName", "-in"]).arg(&pair));
    names.lines().last().unwrap().trim().to_owned()
}

#[test]
fn approved_by_hand_while_waiting() {
    let cluster = crate::shared();
    let node = Node::named("serving-by-hand");
    let mark = cluster.mark();
    let (running, name) = waiting(&cluster, &node, &["--san", "serving-by-hand,10.0.0.5,fd00::5"]);
    cluster.kubectl(&["certificate", "approve", &name]);
    let outcome = running.finish();
    outcome.expect("joined");
    assert_eq!(outcome.report()["servingCsrName"], name);
    let found = hosts(&cluster, &node);
    assert_eq!(found, "DNS:serving-by-hand, IP Address:10.0.0.5, IP Address:FD00:0:0:0:0:0:0:5");
    assert!(!node.at(KEY).exists());

    let spec = cluster.json(&["get", "csr", &name])["spec"].clone();
    assert_eq!(spec["signerName"], "kubernetes.io/kubelet-serving");
    assert_eq!(spec["username"], "system:node:serving-by-hand", "the node's own request: {spec:#}");
    let requests = cluster.requests_since(&mark);
    let ours: Vec<_> = requests.iter().filter(|r| r.user == "system:node:serving-by-hand").collect();
    let seen: Vec<_> = ours.iter().map(|r| (r.verb.as_str(), r.code)).collect();
    assert_eq!(seen, [("create", 201), ("watch", 200)], "{ours:#?}");
}

/// The node is joined meanwhile; the next run finds the same request, and the one after that asks nothing.
#[test]
fn approved_between_two_runs() {
    let cluster = crate::shared();
    let node = Node::named("serving-between-runs");
    let token = cluster.token();
    let mut names = Vec::new();
    for timeout in ["0s", "3s"] {
        let pending =
            node.join(&token).with_cert().flags(&["--with-serving-cert", "--serving-timeout", timeout]).run();
        pending.expect("serving-pending");
        names.push(pending.report()["servingCsrName"].as_str().unwrap().to_owned());
        node.kubectl(&cluster, &["auth", "whoami"]);
    }
    assert_eq!(names[0], names[1]);
    let key = pem_blocks(&node.at(KEY)).remove(0);
    cluster.kubectl(&["certificate", "approve", &names[0]]);
    let resumed = node.join(&token).with_cert().flags(&["--with-serving-cert"]).run();
    resumed.expect("joined");
    assert_eq!(resumed.report()["servingCsrName"], names[0]);
    assert_eq!(pem_blocks(&pair(&node)).last(), Some(&key));
    assert!(hosts(&cluster, &node).contains("DNS:serving-between-runs"));
    let again = node.join(&token).with_cert().flags(&["--with-serving-cert"]).run();
    again.expect("already-joined");
    assert_eq!(again.report()["handshakes"], 0);
}

#[test]
fn denied() {
    let cluster = crate::shared();
    let node = Node::named("serving-denied");
    let (running, name) = waiting(&cluster, &node, &[]);
    cluster.kubectl(&["certificate", "deny", &name]);
    running.finish().expect("denied");
    assert!(!node.at(KEY).exists());
    node.kubectl(&cluster, &["auth", "whoami"]);
    let (running, second) = waiting(&cluster, &node, &[]);
    assert_ne!(second, name);
    cluster.kubectl(&["certificate", "approve", &second]);
    running.finish().expect("joined");
}

/// Under `serverTLSBootstrap` the kubelet serves with our pair and requests none, where one without a pair does.
#[test]
fn a_kubelet_takes_the_pair_over() {
    const BOOTSTRAP: &str = "serverTLSBootstrap: true\n";
    let cluster = Cluster::start(Options { algorithm: "ECDSA-P256", ..Options::default() });
    let node = Node::named("served");
    // The API server of the tests is on loopback, which no kubelet takes for its node's address.
    let address = own_address().to_string();
    let (running, name) = waiting(&cluster, &node, &["--san", &format!("served,{address}")]);
    cluster.kubectl(&["certificate", "approve", &name]);
    running.finish().expect("joined");
    assert_eq!(hosts(&cluster, &node), format!("DNS:served, IP Address:{address}"));

    let unserved = Node::named("unserved");
    unserved.join(&cluster.token()).with_cert().run().expect("joined");
    let (runtime, other_runtime) = (Containerd::start(), Containerd::start());
    let mut kubelet = Kubelet::start_with(&node, &runtime, BOOTSTRAP);
    let port = kubelet.port();
    let ours = pem_blocks(&pair(&node)).remove(0).1;
    wait_for("the kubelet to serve", || {
        kubelet.daemon.assert_alive();
        (served(port)? == ours).then_some(())
    });
    wait_for("the Node's addresses", || {
        let addresses = cluster.json(&["get", "nodes"])["items"][0]["status"]["addresses"].to_string();
        addresses.contains(&address).then_some(())
    });
    let mut other = Kubelet::start_with(&unserved, &other_runtime, BOOTSTRAP);
    wait_for("the other kubelet's own request", || {
        other.daemon.assert_alive();
        (requests_by(&cluster, "unserved") == 1).then_some(())
    });
    kubelet.daemon.assert_alive();
    assert_eq!(requests_by(&cluster, "served"), 1, "ours, and none of the kubelet's");
    assert_eq!(served(port), Some(ours));
}

/// How many serving certificates a node has requested.
fn requests_by(cluster: &Cluster, node: &str) -> usize {
    let requests = cluster.json(&["get", "csr"]);
    let user = format!("system:node:{node}");
    let of_node = |spec: &serde_json::Value| {
        spec["username"] == user.as_str() && spec["signerName"] == "kubernetes.io/kubelet-serving"
    };
    requests["items"].as_array().unwrap().iter().filter(|request| of_node(&request["spec"])).count()
}

/// The certificate that is shown on a port of this machine, DER.
fn served(port: u16) -> Option<Vec<u8>> {
    let mut command = Command::new("openssl");
    let shown = try_run(command.args(["s_client", "-connect", &format!("127.0.0.1:{port}")])).ok()?;
    let block = &shown[shown.find("-----BEGIN CERTIFICATE-----")?..];
    Some(pem::parse(block).ok()?.into_contents())
}

/// This machine's address on its default route, which a kubelet takes where nothing else is said. Sends nothing.
fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("203.0.113.1:9").expect("a default route, as every kubelet needs");
    socket.local_addr().unwrap().ip()
}
