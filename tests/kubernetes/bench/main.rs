//! nodestrap beside the alternatives: the same join, against one control plane, in turn, in one run; and nodestrap held
//! against its budgets.
//!
//! Every round runs each contender once, for a node of its own, so that what the machine does meanwhile hits all alike;
//! ratios are taken within a round. A first round, which fills the page cache, does not count. What was measured is kept
//! in `figures.json`, and `chart.svg` is drawn from it.
//!
//! cargo bench --bench join [-- ROUNDS]    measures, prints, keeps and draws
//! cargo bench --bench join -- again       prints and draws what was kept

mod bench_setup;
mod chart;
mod counts;
mod figures;
#[path = "../harness/mod.rs"]
mod harness;
#[path = "../../support/mod.rs"]
mod support;
mod measure;
mod slow_link;
mod table;

use std::{env, fs, net::SocketAddr, path::Path, process::Command, time::Duration};

use serde_json::json;

use bench_setup::{BenchSetup, executables, new_node};
use counts::Facts;
use figures::{Cold, Far, Figures, contenders};
use harness::components::version;
use slow_link::Link;
use support::{
    process::{run, wait_for},
    repository::program,
};

const ROUNDS: usize = 30;
/// Joins over each long way, and with nothing in the page cache.
const FAR_JOINS: usize = 10;
const COLD_JOINS: usize = 5;
/// Milliseconds.
const ROUND_TRIPS: [u64; 2] = [20, 100];

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kubernetes/bench");

fn main() {
    // `cargo bench` adds its own word; `cargo test --all-targets` does not, and measures nothing.
    let (own, arguments): (Vec<String>, Vec<_>) = env::args().skip(1).partition(|word| word == "--bench");
    let kept = Path::new(FOLDER).join("figures.json");
    let figures = match arguments.split_first() {
        Some((word, rest)) if word == measure::WORD => return measure::main(rest),
        _ if own.is_empty() => return,
        Some((word, _)) if word == "again" => Figures::read(&kept),
        Some((rounds, _)) => measured(rounds.parse().expect("a number of rounds")),
        None => measured(ROUNDS),
    };
    figures.write(&kept);
    fs::write(Path::new(FOLDER).join("chart.svg"), chart::draw(&figures)).unwrap();
    table::print(&figures);
}

fn measured(rounds: usize) -> Figures {
    let setup = BenchSetup::new();
    // What was written before, by builds for one, would be written beside the joins that wait for the disk.
    run(&mut Command::new("sync"));
    eprintln!("{rounds} rounds");
    let rounds: Vec<_> = (0..=rounds).map(|turn| setup.round(&turn.to_string(), turn)).skip(1).collect();
    eprintln!("{COLD_JOINS} joins with nothing in the page cache");
    let cold = (0..COLD_JOINS).map(|turn| cold(&setup, turn)).collect();
    eprintln!("requests, system calls, instructions");
    let facts = Facts::of(&setup);
    eprintln!("{FAR_JOINS} joins over each long way");
    Figures {
        kubernetes: version().to_owned(),
        processor: processor(),
        sizes: ["x86_64", "aarch64"].map(|arch| (arch.to_owned(), size(arch))).into(),
        contenders: contenders(
            &rounds,
            executables().map(|files| files.iter().map(|file| bytes(file)).sum()),
        ),
        again: rounds.iter().map(|round| round.again).collect(),
        in_memory: rounds.iter().map(|round| round.in_memory).collect(),
        cold,
        facts,
        far: far(&setup),
    }
}

fn cold(setup: &BenchSetup, turn: usize) -> Cold {
    let forget = || {
        run(&mut Command::new("sync"));
        fs::write("/proc/sys/vm/drop_caches", "3").expect("root may drop the page cache");
    };
    let join = |name: &str, prepare: fn(&Path)| {
        let node = new_node(&format!("{name}-{turn}"));
        forget();
        prepare(&program());
        setup.run(&setup.nodestrap(&node))
    };
    // The directories on the way to the executable are known in both, so that the difference is what is read of it.
    let ours = join("cold", |executable| assert!(executable.is_file()));
    let beside_the_executable = join("cached", |executable| assert!(fs::read(executable).is_ok()));
    let (kubeadm, kubelet) = setup.kubeadm_and_kubelet(&format!("cold-kubeadm-{turn}"), forget);
    Cold { nodestrap: ours, beside_the_executable, kubeadm_and_kubelet: kubeadm.then(kubelet) }
}

/// Joins over relays, by which cluster-info names the API server from here on.
fn far(setup: &BenchSetup) -> Vec<Far> {
    let link = Link::to(SocketAddr::from(([127, 0, 0, 1], setup.cluster.port)));
    let names = |port: u16| format!("https://localhost:{port}");
    let cluster_info =
        || setup.cluster.json(&["get", "configmap", "cluster-info", "--namespace=kube-public"]);
    let before = cluster_info();
    let kubeconfig = before["data"]["kubeconfig"].as_str().unwrap();
    let kubeconfig = kubeconfig.replace(&names(setup.cluster.port), &names(link.port));
    let patch = json!({"data": {"kubeconfig": kubeconfig}}).to_string();
    setup.cluster.kubectl(&[
        "patch",
        "configmap",
        "cluster-info",
        "--namespace=kube-public",
        "--patch",
        &patch,
    ]);
    let signature = format!("jws-kubeconfig-{}", setup.token.id());
    wait_for("the new signature", || {
        (cluster_info()["data"][&signature] != before["data"][&signature]).then_some(())
    });

    let endpoint = format!("localhost:{}", link.port);
    let joins = ROUND_TRIPS.map(|round_trip| {
        link.set(Duration::from_millis(round_trip));
        let mut far = Far {
            round_trip_ms: Duration::from_millis(round_trip).as_secs_f64() * 1e3,
            wall_ms: Vec::new(),
            round_trips: 0,
            connections: 0,
        };
        for turn in 0..FAR_JOINS {
            let node = new_node(&format!("far-{round_trip}-{turn}"));
            far.wall_ms.push(setup.run(&setup.nodestrap_by(&endpoint, &node)).wall_ms);
            let passed = link.passed();
            far.round_trips = far.round_trips.max(passed.round_trips);
            far.connections = far.connections.max(passed.connections);
        }
        far
    });
    joins.into()
}

fn bytes(file: &Path) -> u64 {
    fs::metadata(file).unwrap_or_else(|e| panic!("{}: {e}", file.display())).len()
}

/// The shipped executable for an architecture, where it is built.
fn size(arch: &str) -> Option<u64> {
    let root = env!("CARGO_MANIFEST_DIR");
    let path = format!("{root}/target/{arch}-unknown-linux-musl/release/nodestrap");
    fs::metadata(path).ok().map(|found| found.len())
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let count = info.lines().filter(|line| line.starts_with("processor")).count();
    format!("{count} × {}", name.map_or("unknown", |(_, name)| name))
}
