//! A real cluster for tests: what starts it, what joins it, and what looks at the outcome.
#![allow(dead_code, reason = "each test program uses its own part of this")]

pub mod audit;
pub mod cluster;
pub mod components;
pub mod kubeadm;
pub mod kubelet;
pub mod load;
#[path = "../../support/locks.rs"]
pub mod locks;
pub mod node;
pub mod process;
pub mod requests;
pub mod running;
#[path = "../../support/repository.rs"]
pub mod repository;
#[path = "../../support/schema.rs"]
pub mod schema;
pub mod scratch;
pub mod token;
#[path = "../../support/wording.rs"]
pub mod wording;

use std::{
    thread,
    time::{Duration, Instant},
};

/// Longest wait for anything that a healthy machine does in seconds; no verdict hangs on its exact value.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Asks `probe` until it has an answer. Panics, naming `what`, when [`PATIENCE`] runs out.
pub fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
