//! Our files beside those that kubeadm and the kubelet write from the same cluster.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::harness::{
    cluster::Cluster,
    kubeadm,
    kubelet::{Containerd, Kubelet},
    node::pem_blocks,
    token::Token,
};
use crate::support::{
    node::Node,
    process::{run, wait_for},
};

const CA: &str = "/etc/kubernetes/pki/ca.crt";
const TOKEN_FILE: &str = "/etc/kubernetes/bootstrap-kubelet.conf";
const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
const PKI: &str = "/var/lib/kubelet/pki";

/// Byte for byte, with the same permissions, for a join by name and one by address.
#[test]
fn discovery_files_are_those_of_kubeadm() {
    let cluster = crate::shared();
    let mut token = cluster.token();
    for (index, host) in ["localhost", "127.0.0.1"].into_iter().enumerate() {
        token.arguments[0] = format!("{host}:{}", cluster.port);
        let (theirs, ours) = (Node::named(&format!("theirs-{index}")), Node::named(&format!("ours-{index}")));
        kubeadm_join(&cluster, &theirs, &token);
        ours.join_with(&token.arguments).run().expect("prepared");
        for path in [CA, TOKEN_FILE] {
            assert_eq!(ours.read(path), theirs.read(path), "{path}");
            assert_eq!(mode(&ours.at(path)), mode(&theirs.at(path)), "{path}");
        }
        for path in ["/etc/kubernetes", "/etc/kubernetes/pki"] {
            assert_eq!(mode(&ours.at(path)), mode(&theirs.at(path)), "{path}");
        }
    }
}

/// `kubelet.conf` byte for byte, the identity in the same shape: blocks and their order, names, permissions.
#[test]
fn identity_files_are_those_of_the_kubelet() {
    let cluster = crate::shared();
    let token = cluster.token();
    let (theirs, ours) = (Node::named("kubelets-own"), Node::named("nodestraps-own"));
    kubeadm_join(&cluster, &theirs, &token);
    let runtime = Containerd::start();
    let mut kubelet = Kubelet::start(&theirs, &runtime);
    wait_for("the kubelet's own bootstrap", || {
        kubelet.daemon.assert_alive();
        fs::symlink_metadata(theirs.at(&format!("{PKI}/kubelet-client-current.pem"))).ok()
    });
    drop(kubelet);
    ours.join(&token).with_cert().run().expect("joined");

    assert_eq!(ours.read(KUBELET_CONF), theirs.read(KUBELET_CONF));
    let shapes = [&ours, &theirs].map(|node| {
        let file = node.identity_file();
        let blocks: Vec<_> = pem_blocks(&file).into_iter().map(|(kind, _)| kind).collect();
        let name = file.file_name().unwrap().to_string_lossy().replace(|c: char| c.is_ascii_digit(), "0");
        (blocks, name, mode(&file), mode(&node.at(KUBELET_CONF)), mode(&node.at(PKI)))
    });
    assert_eq!(shapes[0], shapes[1]);
    assert_eq!(shapes[0].0, ["CERTIFICATE", "EC PRIVATE KEY"]);
    // Line lengths and line ends too: only the base64 may differ.
    let texts = [&ours, &theirs].map(|node| {
        let text = fs::read_to_string(node.identity_file()).unwrap();
        text.lines().filter(|line| line.starts_with('-')).map(str::to_owned).collect::<Vec<_>>()
    });
    assert_eq!(texts[0], texts[1]);
}

fn kubeadm_join(cluster: &Cluster, node: &Node, token: &Token) {
    run(&mut kubeadm::command(cluster, node, token));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).permissions().mode() & 0o7777
}
