//! nodestrap beside its neighbours: the same join, against one control plane, in turn, in one run.
//!
//! Every round runs each contender once, for a node of its own, so that what the machine does meanwhile hits all alike;
//! ratios are taken within a round. A first round, which fills the page cache, does not count.
//!
//! usage: bench [ROUNDS]

mod harness;
mod measure;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use harness::{
    cluster::{Cluster, Options},
    components::programs,
    kubeadm,
    kubelet::{self, Containerd},
    node::{Node, nodestrap},
    scratch::Scratch,
    token::Token,
};
use measure::Taken;

const ROUNDS: usize = 15;
const CURRENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.split_first() {
        Some((word, rest)) if word == measure::WORD => measure::main(rest),
        Some((rounds, _)) => bench(rounds.parse().expect("a number of rounds")),
        None => bench(ROUNDS),
    }
}

/// One way to join, and what it took, round by round.
struct Contender {
    name: &'static str,
    executables: Vec<PathBuf>,
    taken: Vec<Taken>,
}

fn bench(rounds: usize) {
    let ground = Ground::new();
    let mut contenders = contenders();
    for round in 0..=rounds {
        let taken = ground.round(round);
        if round > 0 {
            contenders.iter_mut().zip(taken).for_each(|(contender, taken)| contender.taken.push(taken));
        }
    }
    // A node needs both before its kubelet can work.
    let [kubeadm, kubelet] = [&contenders[1], &contenders[2]];
    let both = Contender {
        name: "kubeadm and kubelet",
        executables: [&kubeadm.executables[..], &kubelet.executables[..]].concat(),
        taken: kubeadm.taken.iter().zip(&kubelet.taken).map(|(a, b)| one_after_the_other(*a, *b)).collect(),
    };
    contenders.insert(3, both);
    print(&contenders, rounds);
}

fn contenders() -> Vec<Contender> {
    let contender = |name, executables| Contender { name, executables, taken: Vec::new() };
    let tool = |name: &str| programs().join(name);
    let shell = ["curl", "jq", "openssl"].map(installed).into_iter().chain([tool("kubectl")]);
    vec![
        contender("nodestrap join", vec![nodestrap()]),
        contender("kubeadm, up to the kubelet", vec![tool("kubeadm")]),
        contender("kubelet, its own bootstrap", vec![tool("kubelet")]),
        contender("curl, jq, openssl, kubectl", shell.collect()),
        contender("bare client, the floor", vec![bare()]),
    ]
}

/// What all contenders meet alike.
struct Ground {
    cluster: Cluster,
    runtime: Containerd,
    token: Token,
    scratch: Scratch,
    path: String,
}

impl Ground {
    fn new() -> Self {
        let cluster = Cluster::start(Options::default());
        let token = cluster.token();
        let path = format!("{}:{}", programs().display(), env::var("PATH").unwrap_or_default());
        Self { cluster, runtime: Containerd::start(), token, scratch: Scratch::new(), path }
    }

    /// Runs every contender once, in their order.
    fn round(&self, round: usize) -> [Taken; 5] {
        let node = |who: &str| Node::new(&format!("{who}-{round}"));
        let address = self.token.arguments[0].as_str();
        let (ours, theirs, shell) = (node("nodestrap"), node("kubeadm"), node("shell"));

        let mut join: Vec<&str> = self.token.arguments.iter().map(String::as_str).collect();
        join.push("--with-client-cert");
        let nodestrap = self.run(&ours.command(Command::new(nodestrap()), &join));

        let kubeadm = self.run(&kubeadm::command(&self.cluster, &theirs, &self.token));

        // On the disk that kubeadm has just prepared, and with the mounts outside of what is measured.
        let scratch = Scratch::new();
        let words = self.words(CURRENT);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = kubelet::command(&theirs, &self.runtime, &scratch, &words);
        let kubelet = measure::run(&mut command, &self.report());

        let mut command =
            Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kubernetes/shell-join.sh"));
        command.args([address, &self.token.value, &self.token.pin, &shell.name]).arg(shell.root());
        let shell = self.run(command.env("PATH", &self.path).env("HOME", self.scratch.path()));

        let bare =
            self.run(Command::new(bare()).args([address, &self.token.value, &format!("bare-{round}")]));
        [nodestrap, kubeadm, kubelet, shell, bare]
    }

    /// Measures a command to its end.
    fn run(&self, command: &Command) -> Taken {
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
        self.scratch.path().join("taken.json")
    }
}

fn one_after_the_other(first: Taken, second: Taken) -> Taken {
    Taken {
        wall_ms: first.wall_ms + second.wall_ms,
        cpu_ms: first.cpu_ms + second.cpu_ms,
        peak_mib: first.peak_mib.max(second.peak_mib),
    }
}

fn print(contenders: &[Contender], rounds: usize) {
    println!("\nMedians of {rounds} rounds; the ratios are medians of each round's ratio to nodestrap.\n");
    println!("| | wall ms | ratio | CPU ms | ratio | peak MiB | ratio | executable bytes | ratio |");
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    let ours = &contenders[0];
    for contender in contenders {
        print!("| {} ", contender.name);
        for column in 0..3 {
            let middle = median(contender.taken.iter().map(|taken| taken.columns()[column]));
            let pairs = contender.taken.iter().zip(&ours.taken);
            let ratio = median(pairs.map(|(theirs, ours)| theirs.columns()[column] / ours.columns()[column]));
            print!("| {middle:.1} | {ratio:.2} ");
        }
        let bytes = size(&contender.executables);
        println!("| {bytes} | {:.2} |", precise(bytes) / precise(size(&ours.executables)));
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

fn size(executables: &[PathBuf]) -> u64 {
    executables
        .iter()
        .map(|path| fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).len())
        .sum()
}

/// Sizes of files are far below what a float holds exactly.
#[allow(clippy::cast_precision_loss)]
fn precise(bytes: u64) -> f64 {
    bytes as f64
}

/// The bare client, which is built beside this program.
fn bare() -> PathBuf {
    let path = env::current_exe().unwrap().with_file_name("bare");
    assert!(path.is_file(), "{} is missing: build the example `bare`", path.display());
    path
}

/// A program of the distribution.
fn installed(name: &str) -> PathBuf {
    let path = Path::new("/usr/bin").join(name);
    assert!(path.is_file(), "{name} is not installed");
    path
}
