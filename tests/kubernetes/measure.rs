//! What one command takes: a process of its own measures it, so that its children are that command alone.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};

use crate::harness::process::tethered;

/// The first argument that makes the benchmark's executable a measuring process.
pub const WORD: &str = "measure";

/// What a command took.
#[derive(Clone, Copy)]
pub struct Taken {
    pub wall_ms: f64,
    /// User and system time of the command and of all that it started and waited for.
    pub cpu_ms: f64,
    /// Most memory of any one of these.
    pub peak_mib: f64,
}

impl Taken {
    /// The figures in the order of the table.
    pub fn columns(&self) -> [f64; 3] {
        [self.wall_ms, self.cpu_ms, self.peak_mib]
    }
}

/// Runs `measure REPORT UNTIL COMMAND…` and writes what the command took into `REPORT`.
///
/// With an empty `UNTIL` the command runs to its end and must succeed; else it is over, and killed, when that file is
/// there.
pub fn main(arguments: &[String]) {
    let [report, until, program, rest @ ..] = arguments else { panic!("measure REPORT UNTIL COMMAND…") };
    let start = Instant::now();
    // What does not end by itself must not outlive this process. That costs it one more exec, a millisecond.
    let mut command = if until.is_empty() { Command::new(program) } else { tethered(program) };
    let mut child = command.args(rest).spawn().unwrap_or_else(|e| panic!("{program}: {e}"));
    let wall = if until.is_empty() {
        let status = child.wait().unwrap();
        assert!(status.success(), "{program}: {status}");
        start.elapsed()
    } else {
        while fs::symlink_metadata(until).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "{program} ended before {until} was there");
            thread::sleep(Duration::from_micros(500));
        }
        let wall = start.elapsed();
        child.kill().unwrap();
        child.wait().unwrap();
        wall
    };
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let micros =
        [usage.user_time(), usage.system_time()].map(|time| time.tv_sec() * 1_000_000 + time.tv_usec());
    let taken = json!({
        "wall_ms": wall.as_secs_f64() * 1e3,
        "cpu_us": micros[0] + micros[1],
        "peak_kib": usage.max_rss(),
    });
    fs::write(report, taken.to_string()).unwrap();
}

/// Runs a command that begins with a measuring process, and returns what it took. Panics with its output when it fails.
pub fn run(command: &mut Command, report: &Path) -> Taken {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let wrote = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{wrote}", output.status);
    let taken: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    let number = |name: &str| taken[name].as_f64().unwrap();
    Taken {
        wall_ms: number("wall_ms"),
        cpu_ms: number("cpu_us") / 1e3,
        peak_mib: number("peak_kib") / 1024.0,
    }
}
