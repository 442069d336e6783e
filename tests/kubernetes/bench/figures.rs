//! What a run of the benchmark has measured, as it is kept in `figures.json`.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::{bench_setup::Round, counts::Facts, measure::Taken};

/// All of it.
#[derive(Deserialize, Serialize)]
pub struct Figures {
    /// Where: `v1.36.3`, and what processor.
    pub kubernetes: String,
    pub processor: String,
    /// Bytes of the shipped executable by architecture; `None` where it is not built.
    pub sizes: BTreeMap<String, Option<u64>>,
    pub contenders: Vec<Contender>,
    /// nodestrap on a node that is joined, and with the node's disk in memory.
    pub again: Vec<Taken>,
    pub in_memory: Vec<Taken>,
    pub cold: Vec<Cold>,
    pub far: Vec<Far>,
    pub facts: Facts,
}

/// One way to join, and what it took, round by round.
#[derive(Deserialize, Serialize)]
pub struct Contender {
    pub name: String,
    /// Bytes of all its executables.
    pub bytes: u64,
    pub taken: Vec<Taken>,
}

/// Joins with nothing in the page cache.
#[derive(Deserialize, Serialize)]
pub struct Cold {
    pub nodestrap: Taken,
    /// nodestrap with nothing but its executable there: the rest is the file system's directories and inodes.
    pub beside_the_executable: Taken,
    pub kubeadm_and_kubelet: Taken,
}

/// Joins over a long way.
#[derive(Deserialize, Serialize)]
pub struct Far {
    pub round_trip_ms: f64,
    pub wall_ms: Vec<f64>,
    /// The most that any of the joins needed.
    pub round_trips: usize,
    pub connections: usize,
}

/// The contenders' places in [`Figures::contenders`].
pub const NODESTRAP: usize = 0;
pub const KUBEADM_AND_KUBELET: usize = 3;
pub const SHELL: usize = 4;
pub const BASELINE: usize = 5;

/// The contenders of these rounds, with the bytes of the executables of nodestrap, kubeadm, the kubelet, the shell's way
/// and the baseline client.
pub fn contenders(
    rounds: &[Round],
    [nodestrap, kubeadm, kubelet, shell, baseline]: [u64; 5],
) -> Vec<Contender> {
    let contender = |name: &str, bytes, taken: fn(&Round) -> Taken| Contender {
        name: name.to_owned(),
        bytes,
        taken: rounds.iter().map(taken).collect(),
    };
    vec![
        contender("nodestrap join", nodestrap, |round| round.nodestrap),
        contender("kubeadm, up to the kubelet", kubeadm, |round| round.kubeadm),
        contender("kubelet, its own bootstrap", kubelet, |round| round.kubelet),
        // A node needs both before its kubelet can work.
        contender("kubeadm and kubelet", kubeadm + kubelet, |round| round.kubeadm.then(round.kubelet)),
        contender("curl, jq, openssl, kubectl", shell, |round| round.shell),
        contender("baseline client, the floor", baseline, |round| round.baseline),
    ]
}

impl Contender {
    /// The median of one figure.
    pub fn median(&self, figure: fn(&Taken) -> f64) -> f64 {
        median(self.taken.iter().map(figure))
    }

    /// The median of what it takes for each of what `other` takes, round by round.
    pub fn ratio(&self, other: &Self, figure: fn(&Taken) -> f64) -> f64 {
        ratio(&self.taken, &other.taken, figure)
    }
}

impl Figures {
    /// Keeps them, for people and for the chart.
    pub fn write(&self, path: &Path) {
        let json = serde_json::to_string_pretty(self).unwrap();
        fs::write(path, json + "\n").unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// Those of an earlier run.
    pub fn read(path: &Path) -> Self {
        let json = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        serde_json::from_slice(&json).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }
}

/// The median of what the first take for each of what the others take, round by round.
pub fn ratio(ours: &[Taken], theirs: &[Taken], figure: fn(&Taken) -> f64) -> f64 {
    median(ours.iter().zip(theirs).map(|(ours, theirs)| figure(ours) / figure(theirs)))
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// Sizes and counts are far below what a float holds exactly.
#[allow(clippy::cast_precision_loss)]
pub fn precise(count: u64) -> f64 {
    count as f64
}
