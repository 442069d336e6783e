//! A fleet that joins one real control plane, each node by a process of its own, beside the same fleet of polling
//! clients: the controller manager with its own rates and with raised ones.
//!
//! usage: fleet [NODES]

#[path = "../kubernetes/harness/mod.rs"]
mod harness;
#[path = "../support/mod.rs"]
mod support;
mod polling_client;
mod protocol;

use std::{
    env,
    process::Command,
    time::{Duration, Instant},
};

use harness::{
    cluster::{Cluster, Options},
    load::{Load, densest, histogram},
    token::Token,
};
use support::node::Node;

const NODES: usize = 500;
/// So many processes run at one time at most: what a small machine's memory holds. The next starts when one has ended.
const AT_ONCE: usize = 500;
/// Nodes that come in one such stretch come at once.
const STRETCH: Duration = Duration::from_millis(250);
/// No verdict hangs on its exact value.
const PATIENCE: Duration = Duration::from_hours(1);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.split_first() {
        Some((word, rest)) if word == polling_client::WORD => polling_client::main(rest),
        Some((nodes, _)) => fleet(nodes.parse().expect("a number of nodes")),
        None => fleet(NODES),
    }
}

/// Who joins.
#[derive(Clone, Copy, PartialEq)]
enum Client {
    Nodestrap,
    /// With a splay of so many seconds.
    Splayed(u32),
    Polling,
}

fn fleet(nodes: usize) {
    println!("\n{nodes} nodes, at most {AT_ONCE} at one time.\n");
    println!(
        "| client | controller manager | joined | requests a node | rejected | first to last, s | p50 s | p99 s | most requests \
         within {} ms |",
        STRETCH.as_millis()
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|");
    for raised_rates in [false, true] {
        let cluster = Cluster::start(Options { raised_rates, algorithm: "ECDSA-P256", ..Options::default() });
        for client in [Client::Nodestrap, Client::Splayed(30), Client::Polling] {
            joins(&cluster, client, nodes);
        }
    }
}

fn joins(cluster: &Cluster, client: Client, nodes: usize) {
    let token = cluster.token();
    let (name, prefix) = match client {
        Client::Nodestrap => ("nodestrap".to_owned(), "ours"),
        Client::Splayed(seconds) => (format!("nodestrap --splay {seconds}s"), "splayed"),
        Client::Polling => ("polling every second".to_owned(), "polling-client"),
    };
    let mark = cluster.mark();
    let mut load = Load::new(prefix);
    let start = Instant::now();
    while load.len() < nodes {
        let running = load.len() - load.ended();
        let room = (AT_ONCE - running).min(nodes - load.len());
        load.start(room, |node| command(client, &token, node));
        load.wait_for(load.len().saturating_sub(AT_ONCE) + 1, PATIENCE);
    }
    load.wait_for(nodes, PATIENCE);
    let last = start.elapsed();

    let mut requests = cluster.requests_since(&mark);
    requests
        .retain(|request| request.agent.starts_with("nodestrap/") || request.agent == polling_client::AGENT);
    let rejected = requests.iter().filter(|request| request.code == 429 || request.code >= 500).count();
    let mut came: Vec<_> = requests.iter().map(|request| request.came).collect();
    let together = densest(&mut came, STRETCH);
    let times = load.times();
    let share = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64();
    println!(
        "| {name} | {} | {} | {:.2} | {rejected} | {:.1} | {:.2} | {:.2} | {together} |",
        if cluster.options.raised_rates { "1000 a second" } else { "its default, 20 a second" },
        times.len(),
        ratio(requests.len(), nodes),
        last.as_secs_f64(),
        share(50),
        share(99),
    );
    eprintln!("{name}, requests by the tenth of a second: {}", histogram(&came, came[0]));
    let mut made = cluster.signing_requests();
    made.retain(|node| node.starts_with(&format!("{prefix}-")));
    assert_eq!(made.len(), nodes, "one request each");
}

fn command(client: Client, token: &Token, node: &Node) -> Command {
    match client {
        Client::Polling => {
            let mut command = Command::new(env::current_exe().unwrap());
            command.arg(polling_client::WORD).args([&token.arguments[0], &token.value, &node.name]);
            command
        }
        Client::Nodestrap | Client::Splayed(_) => {
            let splay = match client {
                Client::Splayed(seconds) => format!("--splay {seconds}s"),
                _ => String::new(),
            };
            node.join(token).with_cert().args(&splay).command()
        }
    }
}

/// Both are far below what a float holds exactly.
#[allow(clippy::cast_precision_loss)]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}
