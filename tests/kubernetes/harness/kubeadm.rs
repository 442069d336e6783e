//! What kubeadm does on a node before it starts the kubelet.

use std::{fs, process::Command};

use super::{cluster::Cluster, node::Node, token::Token};

/// `kubeadm join phase kubelet-start` into the node's root: kubeadm changes its own root to that.
pub fn command(cluster: &Cluster, node: &Node, token: &Token) -> Command {
    fs::create_dir_all(node.file("/etc")).unwrap();
    fs::copy("/etc/hosts", node.file("/etc/hosts")).unwrap();
    let mut command = cluster.tool("kubeadm");
    command.args(["join", "phase", "kubelet-start"]).args(&token.arguments).args(["--node-name", &node.name]);
    command.arg("--cri-socket=unix:///run/none.sock").arg("--rootfs").arg(node.root());
    command
}
