//! Where machines boot: a network of their own, with a real control plane in it.

use std::{
    env,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU8, Ordering},
};

use crate::harness::{
    cluster::{Cluster, Options},
    kubelet::{self, Containerd},
};
use crate::support::{process::run, scratch::Scratch};

/// Where the control plane is, for every machine.
pub const SERVER: &str = "10.99.0.1";

/// A bridge with the control plane's address; names of namespaces and mounts that nobody else sees.
const ENTER: &str = r#"
ip link set lo up
ip link add net type bridge
ip address add 10.99.0.1/24 dev net
ip link set net up
mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns
exec "$@"
"#;

/// Moves this process into a network and a mount namespace of its own, unless it is there already.
pub fn enter() {
    if env::var_os("NODESTRAP_LAB").is_some() {
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-euc", ENTER, "sh"]).args(env::args_os());
    let error = command.env("NODESTRAP_LAB", "1").exec();
    panic!("cannot enter a namespace: {error}");
}

/// The control plane, and the network's numbers that are still free.
pub struct BootNetwork {
    pub cluster: Cluster,
    runtime: Containerd,
    scratch: Scratch,
    next: AtomicU8,
}

impl BootNetwork {
    pub fn start() -> Self {
        let options = Options { host: SERVER, bind: SERVER, algorithm: "ECDSA-P256", ..Options::default() };
        let cluster = Cluster::start(options);
        let (scratch, runtime) = (Scratch::new(), Containerd::start());
        let configuration = kubelet::configuration(&scratch, &runtime.endpoint());
        // Each machine has ports of its own, and kubeadm asks at this one whether the kubelet lives.
        cluster.publish_kubelet_config(&configuration.replace("healthzPort: 0", "healthzPort: 10248"));
        Self { cluster, runtime, scratch, next: AtomicU8::new(2) }
    }

    /// nspawn's argument that gives a machine the line that kubeadm prints.
    pub fn join_credential(&self) -> String {
        format!("--set-credential=nodestrap.join:{}", self.cluster.token().join_line())
    }

    /// The container runtime's socket, which real kubelets share.
    pub fn runtime(&self) -> String {
        self.runtime.endpoint()
    }

    /// nspawn's arguments that give a machine what a real kubelet needs of the world.
    pub fn for_kubelet(&self) -> Vec<String> {
        let socket = self.runtime().replace("unix://", "");
        let directory = Path::new(&socket).parent().unwrap().display().to_string();
        let binds = ["/dev/kmsg".into(), directory, self.scratch.path().display().to_string()];
        let binds = binds.map(|bind| format!("--bind={bind}"));
        [vec!["--capability=CAP_SYSLOG".to_owned()], binds.to_vec()].concat()
    }

    /// A network namespace with one interface, `eth0`, in the net's network.
    pub fn network(&self) -> Network {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let network = Network { name: format!("m{number}"), outside: format!("net{number}") };
        let script = format!(
            "ip netns add {0} && ip -n {0} link set lo up && \
             ip link add {1} type veth peer name eth0 netns {0} && ip link set {1} master net up && \
             ip -n {0} address add 10.99.0.{number}/24 dev eth0 && ip -n {0} link set eth0 up",
            network.name, network.outside
        );
        run(Command::new("sh").args(["-euc", &script]));
        network
    }
}

/// A machine's network. It goes with the namespaces that all of this runs in.
pub struct Network {
    name: String,
    outside: String,
}

impl Network {
    /// The file by which others join the namespace.
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// Plugs the machine's cable in, or pulls it.
    pub fn set_connected(&self, connected: bool) {
        run(Command::new("ip").args(["link", "set", &self.outside, if connected { "up" } else { "down" }]));
    }
}

/// A root file system by its name in `rootfs.sh`.
pub fn rootfs(name: &str) -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/images/rootfs.sh");
    run(Command::new(script).arg(name)).trim().into()
}
