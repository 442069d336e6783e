//! What all contenders meet alike, and one round of them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command},
};

use crate::harness::{
    cluster::{Cluster, Options},
    components::programs,
    kubeadm,
    kubelet::{self, Containerd},
    token::Token,
};
use crate::measure::{self, Taken};
use crate::support::{
    node::Node,
    repository::{program, root},
    scratch::Scratch,
};

const CURRENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

/// The directories of an image that has the kubelet's package (`kubernetes/release`, `kubelet.spec`).
const IMAGE: [&str; 2] = ["/etc/kubernetes/manifests", "/var/lib/kubelet"];

/// One cluster, one token, one container runtime.
pub struct BenchSetup {
    pub cluster: Cluster,
    pub token: Token,
    runtime: Containerd,
    scratch: Scratch,
    path: String,
}

/// What each contender took in one round.
pub struct Round {
    pub nodestrap: Taken,
    /// nodestrap once more on the same node.
    pub again: Taken,
    /// nodestrap with the node's disk in memory.
    pub in_memory: Taken,
    pub kubeadm: Taken,
    pub kubelet: Taken,
    pub shell: Taken,
    pub baseline: Taken,
}

impl BenchSetup {
    pub fn new() -> Self {
        let cluster = Cluster::start(Options::default());
        let token = cluster.token();
        let path = format!("{}:{}", programs().display(), env::var("PATH").unwrap_or_default());
        Self { cluster, token, runtime: Containerd::start(), scratch: Scratch::new(), path }
    }

    /// Runs every contender once, nodestrap and the baseline client one behind the other, which of them first by turns.
    pub fn round(&self, name: &str, turn: usize) -> Round {
        let node = new_node(&format!("nodestrap-{name}"));
        let baseline = || self.run(&self.baseline(&format!("baseline-{name}")));
        let (nodestrap, baseline) = if turn.is_multiple_of(2) {
            let nodestrap = self.run(&self.nodestrap(&node));
            (nodestrap, baseline())
        } else {
            let baseline = baseline();
            (self.run(&self.nodestrap(&node)), baseline)
        };
        let again = self.run(&self.nodestrap(&node));
        let in_memory = self.in_memory(&format!("memory-{name}"));
        let (kubeadm, kubelet) = self.kubeadm_and_kubelet(&format!("kubeadm-{name}"), || {});
        let shell = self.run(&self.shell(&new_node(&format!("shell-{name}"))));
        Round { nodestrap, again, in_memory, kubeadm, kubelet, shell, baseline }
    }

    fn in_memory(&self, name: &str) -> Taken {
        let disk = format!("/dev/shm/nodestrap-bench-{}", process::id());
        fs::create_dir(&disk).unwrap();
        let taken = self.run(&self.nodestrap(&prepared(Node::on(name, disk.clone().into()))));
        fs::remove_dir_all(disk).unwrap();
        taken
    }

    /// nodestrap's command for a node.
    pub fn nodestrap(&self, node: &Node) -> Command {
        self.nodestrap_by(&self.token.arguments[0], node)
    }

    /// The same by another endpoint. Without a report, which an image has in memory (`image/systemd`), not on this disk.
    pub fn nodestrap_by(&self, endpoint: &str, node: &Node) -> Command {
        let mut command = Command::new(program());
        command.args(["join", endpoint]).args(&self.token.arguments[1..]).arg("--with-client-cert");
        command.args(["--node-name", &node.name]).arg("--root").arg(node.root());
        command
    }

    /// kubeadm, up to where it starts the kubelet, and the kubelet until it has its certificate. `between` comes before
    /// each of them.
    pub fn kubeadm_and_kubelet(&self, name: &str, between: impl Fn()) -> (Taken, Taken) {
        let node = new_node(name);
        between();
        let kubeadm = self.run(&kubeadm::command(&self.cluster, &node, &self.token));
        between();
        // On the disk that kubeadm has just prepared, and with the mounts outside of what is measured.
        let scratch = Scratch::new();
        let words = self.words(CURRENT);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = kubelet::command(&node, &self.runtime, &scratch, &words);
        (kubeadm, measure::run(&mut command, &self.report()))
    }

    fn shell(&self, node: &Node) -> Command {
        let mut command = Command::new(root().join("tests/kubernetes/shell-join.sh"));
        command.args([&self.token.arguments[0], &self.token.value, &self.token.pin, &node.name]);
        command.arg(node.root()).env("PATH", &self.path).env("HOME", self.scratch.path());
        command
    }

    /// The baseline client's command for a node of this name.
    pub fn baseline(&self, name: &str) -> Command {
        let mut command = Command::new(baseline());
        command.args([&self.token.arguments[0], &self.token.value, name]);
        command
    }

    /// Measures a command to its end.
    pub fn run(&self, command: &Command) -> Taken {
        let words = self.words("");
        let mut measured = Command::new(&words[0]);
        measured.args(&words[1..]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            measured.env(name, value.expect("no variable is removed"));
        }
        measure::run(&mut measured, &self.report())
    }

    /// The words that make the command after them a measured one.
    fn words(&self, until: &str) -> [String; 4] {
        let executable = env::current_exe().unwrap().display().to_string();
        [executable, measure::WORD.into(), self.report().display().to_string(), until.into()]
    }

    fn report(&self) -> PathBuf {
        self.scratch.file("taken.json").into()
    }

    /// A file of the benchmark's own.
    pub fn file(&self, name: &str) -> PathBuf {
        self.scratch.file(name).into()
    }
}

/// A node whose disk is that of an image with a kubelet in it.
pub fn new_node(name: &str) -> Node {
    prepared(Node::named(name))
}

fn prepared(node: Node) -> Node {
    for directory in IMAGE {
        fs::create_dir_all(node.at(directory)).unwrap();
    }
    node
}

/// The executables of nodestrap, kubeadm, the kubelet, the shell's way and the baseline client.
pub fn executables() -> [Vec<PathBuf>; 5] {
    let tool = |name: &str| programs().join(name);
    let shell = ["curl", "jq", "openssl"].map(installed).into_iter().chain([tool("kubectl")]);
    [vec![program()], vec![tool("kubeadm")], vec![tool("kubelet")], shell.collect(), vec![baseline()]]
}

/// The baseline client, a program of tests/tools.
fn baseline() -> PathBuf {
    let path = root().join("target/x86_64-unknown-linux-musl/release/baseline_client");
    assert!(path.is_file(), "{} is missing: `make bench` builds it", path.display());
    path
}

/// A program of the distribution.
fn installed(name: &str) -> PathBuf {
    let path = Path::new("/usr/bin").join(name);
    assert!(path.is_file(), "{name} is not installed");
    path
}
