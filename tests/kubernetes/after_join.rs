//! What people do with a node later, with kubeadm: upgrade it, and take it out of the cluster.

use std::{fs, path::Path, process::Command};

use crate::harness::{
    cluster::{Cluster, Options},
    components::{older_programs, programs, version},
    kubeadm,
    kubelet::{Containerd, Kubelet, configuration},
};
use crate::support::{
    node::Node,
    process::{run, try_run, wait_for},
    scratch::Scratch,
};

const CONFIG: &str = "/var/lib/kubelet/config.yaml";
const INSTANCE: &str = "/var/lib/kubelet/instance-config.yaml";
const FLAGS: &str = "/var/lib/kubelet/kubeadm-flags.env";
const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";

/// What kubeadm says of this machine's kernel and control groups is not the matter.
const UPGRADE: [&str; 3] = ["upgrade", "node", "--ignore-preflight-errors=SystemVerification"];
const RESET: [&str; 3] = ["reset", "-f", "--cleanup-tmp-dir"];

/// A cluster whose kubelets run on this machine.
struct Setup {
    cluster: Cluster,
    runtime: Containerd,
    // Where those kubelets write.
    scratch: Scratch,
}

impl Setup {
    fn new() -> Self {
        let cluster = Cluster::start(Options { algorithm: "ECDSA-P256", ..Options::default() });
        let (runtime, scratch) = (Containerd::start(), Scratch::new());
        let setup = Self { cluster, runtime, scratch };
        setup.cluster.publish_kubelet_config(&setup.configuration());
        setup
    }

    fn configuration(&self) -> String {
        configuration(&self.scratch, &self.runtime.endpoint())
    }

    fn join(&self, node: &Node, flags: &[&str]) {
        node.join(&self.cluster.token()).with_cert().flags(flags).run().expect("joined");
    }

    /// Joins with the kubelet's configuration.
    fn join_whole(&self, node: &Node) {
        self.join(node, &["--with-kubelet-config", "--cri-socket", &self.runtime.endpoint()]);
    }

    /// Starts a kubelet and waits until the cluster has its version.
    fn run(&self, programs: &Path, node: &Node, extra: &str) -> Kubelet {
        let mut kubelet = Kubelet::start_packaged_of(programs, node, extra);
        let wanted = run(Command::new(programs.join("kubelet")).arg("--version"));
        let wanted = wanted.trim().trim_start_matches("Kubernetes ");
        let path = "jsonpath={.status.nodeInfo.kubeletVersion}";
        wait_for("the Node's kubelet", || {
            kubelet.daemon.assert_alive();
            let seen =
                try_run(self.cluster.tool("kubectl").args(["get", "node", &node.name, "-o", path])).ok()?;
            (seen == wanted).then_some(())
        });
        kubelet
    }

    fn kubeadm(&self, node: &Node, arguments: &[&str]) -> Result<String, String> {
        kubeadm::on(node, &self.runtime, programs(), arguments)
    }

    fn upgrade(&self, node: &Node) {
        self.kubeadm(node, &UPGRADE).unwrap_or_else(|e| panic!("{e}"));
    }

    /// Takes all of a cluster from the node's disk.
    fn reset(&self, node: &Node) {
        self.kubeadm(node, &RESET).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(node.listing(), Vec::<String>::new());
    }

    fn delete(&self, node: &Node) {
        self.cluster.kubectl(&["delete", "node", &node.name]);
    }
}

/// The files that a join and an upgrade have in common.
fn files(node: &Node) -> [String; 4] {
    [CONFIG, INSTANCE, FLAGS, KUBELET_CONF].map(|path| node.read(path))
}

/// With the kubelet's configuration a node is as kubeadm's own: an upgrade changes none of its files, and after a reset it
/// joins again.
#[test]
fn a_node_is_upgraded_reset_and_joined_again() {
    let setup = Setup::new();
    let node = Node::named("kept-up");
    setup.join_whole(&node);
    let kubelet = setup.run(programs(), &node, "");
    let before = files(&node);
    setup.upgrade(&node);
    assert_eq!(files(&node), before);
    drop(kubelet);
    drop(setup.run(programs(), &node, ""));
    assert_eq!(setup.cluster.signing_requests(), ["kept-up"], "the kubelet wanted no certificate of its own");

    setup.reset(&node);
    setup.delete(&node);
    setup.join_whole(&node);
    let _kubelet = setup.run(programs(), &node, "");
    node.assert_known(&setup.cluster);
}

/// The cluster is upgraded first, then kubeadm on the node, then its kubelet.
#[test]
fn a_node_of_the_version_before_is_upgraded() {
    let Some(older) = older_programs() else { return };
    let setup = Setup::new();
    let node = Node::named("moved-up");
    setup.join_whole(&node);
    let kubelet = setup.run(older, &node, "");
    let before = files(&node);
    setup.upgrade(&node);
    assert_eq!(files(&node), before);
    drop(kubelet);
    drop(setup.run(programs(), &node, ""));
    assert_eq!(setup.cluster.signing_requests(), ["moved-up"]);
    setup.reset(&node);
}

/// Without the kubelet's configuration the kubelet has one of the image's. kubeadm takes it away, unless it
/// is told not to: from 1.37 on it writes the cluster's in its place; before, it fails where no kubeadm-flags.env is.
#[test]
fn without_the_kubelets_configuration_an_upgrade_replaces_it_or_fails() {
    let setup = Setup::new();
    let node = Node::named("images-own");
    fs::create_dir_all(node.at("/var/lib/kubelet")).unwrap();
    let own = format!("{}maxPods: 42\n", setup.configuration());
    fs::write(node.at(CONFIG), &own).unwrap();
    setup.join(&node, &[]);
    let kubelet = setup.run(programs(), &node, "--hostname-override=images-own");
    // That of 1.35 alone looks for kubeadm-flags.env at the end, too.
    let also = if version().starts_with("v1.35.") { ",post-upgrade" } else { "" };
    let skipped = format!("--skip-phases=kubelet-config{also}");
    let spared = setup.kubeadm(&node, &[&UPGRADE[..], &[&skipped]].concat());
    if version().starts_with("v1.34.") {
        let failure = spared.unwrap_err();
        assert!(failure.contains("/var/lib/kubelet/instance-config.yaml"), "{failure}");
        drop(kubelet);
        return setup.reset(&node);
    }
    spared.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(node.read(CONFIG), own);
    let upgraded = setup.kubeadm(&node, &UPGRADE);
    drop(kubelet);
    if ["v1.34.", "v1.35.", "v1.36."].iter().any(|old| version().starts_with(old)) {
        let failure = upgraded.unwrap_err();
        assert!(failure.contains("kubeadm-flags.env"), "{failure}");
    } else {
        upgraded.unwrap_or_else(|e| panic!("{e}"));
        assert!(!node.read(CONFIG).contains("maxPods: 42"), "the cluster's is in its place");
        assert!(node.read(INSTANCE).contains("/containerd.sock"), "{}", node.read(INSTANCE));
    }
    setup.reset(&node);
}
