//! What kubeadm does on a node before it starts the kubelet.

use std::{fs, process::Command};

use serde_json::{Value, json};

use super::{cluster::Cluster, node::Node, token::Token};

/// The container runtime's socket that kubeadm is told of. Nobody listens there.
pub const CRI_SOCKET: &str = "unix:///run/none.sock";

/// `kubeadm join phase kubelet-start` into the node's root: kubeadm changes its own root to that.
pub fn command(cluster: &Cluster, node: &Node, token: &Token) -> Command {
    let mut command = phase(cluster, node);
    command.args(&token.arguments).args(["--node-name", &node.name, "--cri-socket", CRI_SOCKET]);
    command
}

/// The same by a JoinConfiguration whose `nodeRegistration` is this, in JSON, beside the node's name and the socket.
pub fn configured(cluster: &Cluster, node: &Node, token: &Token, registration: &Value) -> Command {
    let mut registration = registration.clone();
    registration["name"] = json!(node.name);
    registration["criSocket"] = json!(CRI_SOCKET);
    let discovery =
        json!({"apiServerEndpoint": token.arguments[0], "token": token.value, "caCertHashes": [token.pin]});
    let config = json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "JoinConfiguration",
        "discovery": {"bootstrapToken": discovery}, "nodeRegistration": registration,
    });
    let mut command = phase(cluster, node);
    fs::write(node.file("/etc/join.json"), config.to_string()).unwrap();
    command.args(["--config", "/etc/join.json"]);
    command
}

fn phase(cluster: &Cluster, node: &Node) -> Command {
    fs::create_dir_all(node.file("/etc")).unwrap();
    fs::copy("/etc/hosts", node.file("/etc/hosts")).unwrap();
    let mut command = cluster.tool("kubeadm");
    command.args(["join", "phase", "kubelet-start"]).arg("--rootfs").arg(node.root());
    command
}
