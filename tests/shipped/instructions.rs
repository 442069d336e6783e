//! The work of a join as a figure without noise: what callgrind counts is the same on every machine of a kind.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use rcgen::KeyPair;

use crate::support::api::{Api, Setup};
use crate::support::node::Node;
use crate::support::pki::Authority;
use crate::support::run;

/// Instructions outside of the kernel of one join with kubeadm's kind of keys, by what `make build` gives. A change that
/// moves it says so here; a new compiler or crate moves it, too.
const INSTRUCTIONS: u64 = 5_953_000;
/// Signatures of the node's own key, names and the pieces in which answers come differ from run to run, by 0.05 %.
const PERCENT: u64 = 2;

#[test]
fn a_join_computes_what_it_did() {
    // valgrind shows the program a processor with AVX2 at most, and what the cryptography does hangs on that.
    let processor = fs::read_to_string("/proc/cpuinfo").expect("/proc/cpuinfo");
    if !processor.contains(" avx2 ") {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "this takes a processor with AVX2");
        eprintln!("skipped: this takes a processor with AVX2");
        return;
    }
    let key = || KeyPair::from_pem(include_str!("../vectors/rsa-2048.pem")).expect("a key");
    let authority = Authority::of(key(), "kubernetes", |_| {});
    let identity = authority.server_of(&key(), &["localhost"], |_| {});
    let api =
        Api::with(Setup { authority: Arc::new(authority), identity: Some(identity), ..Setup::default() });
    let node = Node::new();
    let log = node.beside("callgrind.log");
    let mut callgrind = Command::new("valgrind");
    // The names of all variables are looked at, and cargo sets a hundred.
    callgrind.env_clear().env("PATH", std::env::var_os("PATH").expect("a PATH"));
    callgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    callgrind.arg(format!("--log-file={}", log.display())).arg(run::program());
    let status = callgrind.args(node.join(&api).with_cert().words()).status().expect("valgrind is installed");
    assert!(status.success(), "the join under valgrind failed");
    let log = fs::read_to_string(log).expect("valgrind wrote a log");
    let count = log.lines().find_map(|line| line.split_once("Collected : ")).expect("a count").1;
    let count: u64 = count.trim().parse().expect("a number");
    let slack = INSTRUCTIONS * PERCENT / 100;
    assert!(
        count.abs_diff(INSTRUCTIONS) <= slack,
        "{count} instructions are not {INSTRUCTIONS} within {PERCENT} %: find out why, then write it down here"
    );
}
