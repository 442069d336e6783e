//! What one run tells as well as many: requests, system calls, instructions.

use std::{fs, process::Command};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bench_setup::{BenchSetup, new_node};
use crate::support::{node::Node, process::run};

/// How a join works, apart from how long it takes.
#[derive(Deserialize, Serialize)]
pub struct Facts {
    pub requests: usize,
    pub handshakes: u64,
    pub syncs: Syncs,
    /// What a node that is joined already does with sockets: system calls.
    pub calls_when_joined: usize,
    /// Instructions outside of the kernel, as callgrind counts them.
    pub instructions: u64,
    pub baseline_instructions: u64,
}

/// Calls of fsync(2), by what else goes on.
#[derive(Default, Deserialize, Serialize)]
pub struct Syncs {
    /// The key has to be on disk before its request is sent.
    pub before_the_request: usize,
    pub while_it_is_decided: usize,
    pub with_the_certificate: usize,
}

impl Facts {
    pub fn of(setup: &BenchSetup) -> Self {
        let node = new_node("audited");
        let mark = setup.cluster.mark();
        let report = setup.file("report.json");
        run(setup.nodestrap(&node).arg("--report").arg(&report));
        let requests = setup.cluster.joins_since(&mark).len();
        let report: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
        let baseline = setup.baseline("counted-baseline");
        Self {
            requests,
            handshakes: report["handshakes"].as_u64().unwrap(),
            syncs: syncs(&calls(setup, "fsync,fdatasync,sendto,recvfrom", &new_node("traced"))),
            calls_when_joined: calls(setup, "%network", &node).len(),
            instructions: instructions(setup, &setup.nodestrap(&new_node("counted"))),
            baseline_instructions: instructions(setup, &baseline),
        }
    }
}

/// The traced system calls of a join, by name, in order.
fn calls(setup: &BenchSetup, which: &str, node: &Node) -> Vec<String> {
    let log = setup.file("strace.log");
    let mut strace = Command::new("strace");
    strace.arg("-o").arg(&log).args(["-e", &format!("trace={which}")]);
    run(behind(&mut strace, &setup.nodestrap(node)));
    let log = fs::read_to_string(log).unwrap();
    log.lines().filter_map(|line| line.split_once('(')).map(|(call, _)| call.to_owned()).collect()
}

/// Groups syncs by the watch, which is the last request, and by the last that came.
fn syncs(calls: &[String]) -> Syncs {
    let last = |call| calls.iter().rposition(|other| other == call).expect("a call of the network");
    let count = |calls: &[String]| calls.iter().filter(|call| call.ends_with("sync")).count();
    let (sent, received) = (last("sendto"), last("recvfrom"));
    Syncs {
        before_the_request: count(&calls[..sent]),
        while_it_is_decided: count(&calls[sent..received]),
        with_the_certificate: count(&calls[received..]),
    }
}

fn instructions(setup: &BenchSetup, command: &Command) -> u64 {
    let log = setup.file("callgrind.log");
    let mut callgrind = Command::new("valgrind");
    callgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    callgrind.arg(format!("--log-file={}", log.display()));
    run(behind(&mut callgrind, command));
    let log = fs::read_to_string(log).unwrap();
    let count = log.lines().find_map(|line| line.split_once("Collected : ")).expect("a count").1;
    count.trim().parse().unwrap()
}

/// The same command as the last words of another.
fn behind<'a>(words: &'a mut Command, command: &Command) -> &'a mut Command {
    words.arg(command.get_program()).args(command.get_args())
}
