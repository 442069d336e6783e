//! What kubeadm does on a node before it starts the kubelet, and later.

use std::{env, fs, path::Path, process::Command};

use serde_json::{Value, json};

use super::{
    cluster::Cluster,
    kubelet::{Containerd, namespaced},
    token::Token,
};
use crate::support::{node::Node, process::try_run, scratch::Scratch};

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
    fs::write(node.at("/etc/join.json"), config.to_string()).unwrap();
    command.args(["--config", "/etc/join.json"]);
    command
}

fn phase(cluster: &Cluster, node: &Node) -> Command {
    fs::create_dir_all(node.at("/etc")).unwrap();
    fs::copy("/etc/hosts", node.at("/etc/hosts")).unwrap();
    let mut command = cluster.tool("kubeadm");
    command.args(["join", "phase", "kubelet-start"]).arg("--rootfs").arg(node.root());
    command
}

/// Runs kubeadm on the node as on a machine of its own: its output, or all that it wrote when it fails. It sees no service
/// manager of this machine, whose kubelet it would stop, and at containerd's usual place this runtime, not this machine's,
/// whose containers it would remove.
pub fn on(node: &Node, runtime: &Containerd, programs: &Path, arguments: &[&str]) -> Result<String, String> {
    const ALONE: &str = "mount -t tmpfs tmpfs /run; mkdir /run/containerd; \
                         ln -s \"$1\" /run/containerd/containerd.sock; shift; exec \"$@\"";
    let scratch = Scratch::new();
    let mut command = namespaced(node, &scratch);
    // It asks `kubelet` for its version.
    command.env("PATH", format!("{}:{}", programs.display(), env::var("PATH").unwrap_or_default()));
    command.args(["sh", "-euc", ALONE, "sh", runtime.endpoint().trim_start_matches("unix://")]);
    try_run(command.arg(programs.join("kubeadm")).args(arguments))
}
