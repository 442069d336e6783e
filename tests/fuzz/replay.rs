//! The fuzz targets over their committed seeds, and over mutations of these, as ordinary tests. What they once found
//! lies among the seeds. Beside them the exchange for a certificate, which the same network lets see step by step.
//! `MUTATIONS=100000 cargo test --test fuzz` looks longer.

mod answers;
mod exchanges;
mod mutate;
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use mutate::{Numbers, mutate};

/// How many mutations one target sees. Those that shake hands see a tenth.
const MUTATIONS: usize = 2000;

/// More memory than all of them together need: a bound that a bomb would break.
const MEMORY_KB: u64 = 512 * 1024;

fn replay(name: &str) {
    // A mutation may well come to name it as a file.
    let nothing = fs::File::open("/dev/null").expect("an empty input");
    rustix::stdio::dup2_stdin(nothing).expect("a standard input");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut seeds: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "no seeds in {}", folder.display());
    let seeds: Vec<_> = seeds.iter().map(|path| fs::read(path).expect("a seed")).collect();
    let taken = seeds.iter().filter(|seed| check(name, seed)).count();
    assert!(taken > 0, "none of the seeds is taken");

    let wanted = std::env::var("MUTATIONS").ok().map(|text| text.parse().expect("MUTATIONS is a number"));
    let slow = matches!(name, "connection" | "wire" | "exchange" | "join" | "identity");
    let count = wanted.unwrap_or(MUTATIONS) / if slow { 10 } else { 1 };
    let mut numbers = Numbers::of(name);
    for _ in 0..count {
        let (seed, other) = (&seeds[numbers.below(seeds.len())], &seeds[numbers.below(seeds.len())]);
        check(name, &mutate(seed, other, &mut numbers));
    }
    let status = fs::read_to_string("/proc/self/status").expect("the process's own status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let peak: u64 = peak.and_then(|text| text.trim().parse().ok()).expect("the peak of memory");
    assert!(peak < MEMORY_KB, "{peak} KiB of memory");
}

/// Keeps the bytes of a failure, so that they can become a seed.
fn check(name: &str, data: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| targets::run(name, data))).unwrap_or_else(|_| {
        let file = std::env::temp_dir().join(format!("nodestrap-fuzz-failure-{name}"));
        fs::write(&file, data).expect("the failure is kept");
        panic!(
            "target {name} fails on {} (its panic is printed above): {}",
            file.display(),
            data.escape_ascii()
        );
    })
}

/// The lines with name and version of each package in a lock file.
fn packages(lock: &str) -> Vec<[&str; 2]> {
    let lines: Vec<_> = lock.lines().collect();
    let is_name = |pair: &&[&str]| pair[0].starts_with("name = ");
    lines.windows(2).filter(is_name).map(|pair| [pair[0], pair[1]]).collect()
}

#[test]
fn what_is_fuzzed_has_the_versions_that_ship() {
    let fuzzed = packages(include_str!("Cargo.lock"));
    let ours = packages(include_str!("../../Cargo.lock"));
    // Tests of our own may have another version beside the one that ships.
    for [name, _] in &ours {
        let is_there = fuzzed.iter().any(|[other, _]| other == name);
        let is_same = fuzzed.iter().any(|package| package[0] == *name && ours.contains(package));
        assert!(!is_there || is_same, "copy Cargo.lock beside tests/fuzz/Cargo.toml: {name}");
    }
    assert!(fuzzed.len() > 40, "{} packages", fuzzed.len());
}

/// One test for each target.
macro_rules! replay {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                replay(stringify!($name));
            }
        )*

        #[test]
        fn every_target_has_a_test_and_a_program() {
            let names = targets::TARGETS.map(|(name, _)| name);
            assert_eq!(names, [$(stringify!($name)),*]);
            let manifest = include_str!("Cargo.toml");
            let programs: Vec<_> = manifest
                .lines()
                .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
                .skip(1)
                .collect();
            assert_eq!(programs, names);
        }
    };
}

replay! {
    yaml kubeconfig kubelet_config cluster_info signed connection certificate request bundle pair join_configuration join_line
    kernel_command_line duration address proxy_variables written identity wire exchange join
}
