//! A disk image that was made of another cluster's node, and a kubelet that is told where its files lie.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::harness::{
    cluster::{Cluster, Options},
    kubelet::{Containerd, Kubelet, configuration},
};
use crate::support::{node::Node, process::wait_for, scratch::Scratch};

/// Places in the two directories that a kubelet of the tests sees.
const PLACES: [&str; 3] = [
    "--kubeconfig=/var/lib/kubelet/kubeconfig",
    "--cert-dir=/etc/kubernetes/certs",
    "--ca-cert-path=/etc/kubernetes/cluster.crt",
];

#[test]
fn an_image_of_another_clusters_node_joins_and_its_kubelet_starts() {
    let (there, here) =
        (crate::shared(), Cluster::start(Options { algorithm: "ECDSA-P256", ..Options::default() }));
    let (scratch, runtime) = (Scratch::new(), Containerd::start());
    let config = configuration(&scratch, "unix:///nowhere.sock");
    here.publish_kubelet_config(&config.replace("/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/cluster.crt"));

    let mut node = Node::named("image");
    node.join(&there.token()).with_cert().flags(&PLACES).run().expect("joined");
    node.name = "machine".into();
    let old_ca = node.read("/etc/kubernetes/cluster.crt");
    let before = node.listing();

    let token = here.token();
    let socket = format!("--cri-socket={}", runtime.endpoint());
    let flags = [&PLACES[..], &["--with-kubelet-config", &socket]].concat();
    let mark = here.mark();
    let refused = node.join(&token).with_cert().flags(&flags).run();
    refused.expect("files");
    assert!(refused.stderr.contains("system:node:image") && refused.stderr.contains("--replace"));
    assert_eq!(node.listing(), before);
    assert!(here.joins_since(&mark).is_empty(), "there was nothing to ask for");

    let replacing = [&flags[..], &["--replace"]].concat();
    let outcome = node.join(&token).with_cert().flags(&replacing).run();
    outcome.expect("joined");
    assert!(!outcome.stderr.contains("warning: kubelet"), "clientCAFile is right:\n{}", outcome.stderr);
    let moved: Vec<_> = outcome.stderr.lines().filter_map(|line| line.split("moved aside ").nth(1)).collect();
    assert_eq!(moved.len(), 4, "pair, link, CA and kubeconfig: {moved:?}");
    let root = node.root().display().to_string();
    for line in moved {
        let path = line.strip_suffix(" (of another cluster or node)").expect("why");
        let file = path.strip_prefix(&root).expect("it is shown behind the root");
        let meta = fs::symlink_metadata(node.at(file)).unwrap();
        let is_ca = file.starts_with("/etc/kubernetes/cluster.crt.old-");
        assert!(meta.is_symlink() || meta.permissions().mode() & 0o777 == if is_ca { 0o644 } else { 0o600 });
        assert!(!is_ca || node.read(file) == old_ca);
    }

    let mut kubelet = Kubelet::start_packaged(&node);
    wait_for("the Node's status", || {
        kubelet.daemon.assert_alive();
        let nodes = here.json(&["get", "nodes"]);
        let object =
            nodes["items"].as_array().unwrap().iter().find(|n| n["metadata"]["name"] == "machine")?.clone();
        object["status"]["nodeInfo"]["kubeletVersion"].as_str().filter(|v| !v.is_empty())?;
        Some(())
    });
    assert_eq!(here.signing_requests(), ["machine"], "the kubelet wanted no certificate of its own");
    assert!(node.at("/etc/kubernetes/certs/kubelet.crt").exists(), "the kubelet's own pair is there, too");
    assert!(!node.at("/var/lib/kubelet/pki").exists() && !node.at("/etc/kubernetes/kubelet.conf").exists());

    let again = node.join(&token).with_cert().flags(&replacing).run();
    again.expect("already-joined");
    assert_eq!(again.report()["handshakes"], 0);
}
