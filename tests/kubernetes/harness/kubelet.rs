//! A real kubelet and its container runtime, on the disk of a node, without a trace on the host.

use std::{fs, os::unix::net::UnixStream, path::Path, process::Command};

use super::{cluster::free_port, components::programs};
use crate::support::{
    node::Node,
    process::{Daemon, tethered, wait_for},
    scratch::Scratch,
};

/// A container runtime with a socket, a root and a state of its own.
pub struct Containerd {
    _daemon: Daemon,
    scratch: Scratch,
}

impl Containerd {
    pub fn start() -> Self {
        let scratch = Scratch::new();
        let mut command = tethered("containerd");
        command.args(["--address", &scratch.file("containerd.sock"), "--log-level", "warn"]);
        command.args(["--root", &scratch.file("root"), "--state", &scratch.file("state")]);
        let mut daemon = Daemon::start(command, scratch.path().join("containerd.log"));
        wait_for("containerd's socket", || {
            daemon.assert_alive();
            UnixStream::connect(scratch.path().join("containerd.sock")).ok()
        });
        Self { _daemon: daemon, scratch }
    }

    /// Its socket's URL.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.scratch.file("containerd.sock"))
    }
}

/// A running kubelet.
pub struct Kubelet {
    pub daemon: Daemon,
    scratch: Scratch,
}

impl Kubelet {
    /// Starts the kubelet on the node's disk.
    pub fn start(node: &Node, runtime: &Containerd) -> Self {
        Self::start_with(node, runtime, "")
    }

    /// The same with more lines in its configuration.
    pub fn start_with(node: &Node, runtime: &Containerd, lines: &str) -> Self {
        let scratch = Scratch::new();
        let command = command(node, runtime, &scratch, &[]);
        let config = scratch.path().join("config.yaml");
        fs::write(&config, fs::read_to_string(&config).unwrap() + lines).unwrap();
        let daemon = Daemon::start(command, scratch.path().join("kubelet.log"));
        Self { daemon, scratch }
    }

    /// The port on which it serves the API server.
    pub fn port(&self) -> u16 {
        let config = fs::read_to_string(self.scratch.path().join("config.yaml")).unwrap();
        config.lines().find_map(|line| line.strip_prefix("port: ")).unwrap().parse().unwrap()
    }

    /// Starts the kubelet as the unit of kubeadm's packages does, with the configuration and the flags that are on the
    /// node's disk.
    pub fn start_packaged(node: &Node) -> Self {
        Self::start_packaged_of(programs(), node, "")
    }

    /// The same with the programs of another version, and with what an image has in `/etc/default/kubelet`.
    pub fn start_packaged_of(programs: &Path, node: &Node, extra: &str) -> Self {
        let scratch = Scratch::new();
        let mut command = namespaced(node, &scratch);
        command.env("KUBELET_EXTRA_ARGS", extra);
        command.args(["sh", "-euc", PACKAGED, "sh"]).arg(programs.join("kubelet"));
        let daemon = Daemon::start(command, scratch.path().join("kubelet.log"));
        Self { daemon, scratch }
    }
}

/// A KubeletConfiguration with which a kubelet runs on this machine without a trace on it.
pub fn configuration(scratch: &Scratch, endpoint: &str) -> String {
    CONFIG
        .replace("PORT", &free_port().to_string())
        .replace("ENDPOINT", endpoint)
        .replace("SCRATCH", &scratch.path().display().to_string())
}

/// The kubelet with its identity's flags and a configuration of the tests', behind the words of `before`.
pub fn command(node: &Node, runtime: &Containerd, scratch: &Scratch, before: &[&str]) -> Command {
    fs::write(scratch.file("config.yaml"), configuration(scratch, &runtime.endpoint())).unwrap();
    let mut command = namespaced(node, scratch);
    command.args(before).arg(programs().join("kubelet")).args(["--config", &scratch.file("config.yaml")]);
    command.args(["--kubeconfig=/etc/kubernetes/kubelet.conf", "--cert-dir=/var/lib/kubelet/pki"]);
    command.args(["--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf"]);
    command.args(["--root-dir=/var/lib/kubelet", "--hostname-override", &node.name]);
    command
}

/// What runs the words that follow in a mount namespace of its own, where `/etc/kubernetes` and `/var/lib/kubelet` of
/// the node's root are at their real places.
pub fn namespaced(node: &Node, scratch: &Scratch) -> Command {
    for directory in ["/etc/kubernetes", "/var/lib/kubelet"] {
        fs::create_dir_all(node.at(directory)).unwrap();
    }
    fs::create_dir(scratch.file("mount")).unwrap();
    let mut command = tethered("unshare");
    command.args(["--mount", "sh", "-euc", NAMESPACE, "sh"]).arg(node.root()).arg(scratch.file("mount"));
    command
}

/// `10-kubeadm.conf` of the packages: its EnvironmentFile, which need not be there, and its ExecStart, word for word behind
/// the program.
const PACKAGED: &str = r#"
KUBELET_KUBEADM_ARGS=
[ ! -e /var/lib/kubelet/kubeadm-flags.env ] || . /var/lib/kubelet/kubeadm-flags.env
exec "$1" --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf \
    --config=/var/lib/kubelet/config.yaml $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
"#;

/// Lays an empty layer over `/etc` and `/var/lib`, so that mount points can be made there, and over `/var/log`, where the
/// kubelet makes a directory; puts the node's directories into it, and becomes the kubelet.
const NAMESPACE: &str = r#"
root=$1 layers=$2
shift 2
for directory in /etc /var/lib /var/log; do
    mount -t tmpfs tmpfs "$layers"
    mkdir "$layers/upper" "$layers/work"
    mount -t overlay overlay -o "lowerdir=$directory,upperdir=$layers/upper,workdir=$layers/work" "$directory"
done
mkdir -p /etc/kubernetes /var/lib/kubelet
mount --bind "$root/etc/kubernetes" /etc/kubernetes
mount --bind "$root/var/lib/kubelet" /var/lib/kubelet
exec "$@"
"#;

/// As `kubeadm` writes it, save for what keeps the kubelet from touching the host: no control groups, no iptables.
const CONFIG: &str = "\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: /etc/kubernetes/pki/ca.crt}
authorization: {mode: Webhook}
rotateCertificates: true
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: [none]
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
containerRuntimeEndpoint: 'ENDPOINT'
port: PORT
healthzPort: 0
podLogsDir: SCRATCH/pod-logs
volumePluginDir: SCRATCH/volume-plugins
";
