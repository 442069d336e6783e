//! What one command takes: a process of its own measures it, so that its children are that command alone.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

use crate::support::process::tethered;

/// The first argument that makes the benchmark's executable a measuring process.
pub const WORD: &str = "measure";

/// What a command took.
#[derive(Clone, Copy, Deserialize, Serialize)]
pub struct Taken {
    pub wall_ms: f64,
    /// User and system time of the command and of all that it started and waited for.
    pub cpu_ms: f64,
    /// Most memory of any one of these (`ru_maxrss`, the kernel's VmHWM).
    pub peak_mib: f64,
    /// Bytes that they had to have read from the disk (`ru_inblock`, 512 each).
    pub read_bytes: f64,
}

impl Taken {
    /// What two commands take, one after the other.
    pub fn then(self, next: Self) -> Self {
        Self {
            wall_ms: self.wall_ms + next.wall_ms,
            cpu_ms: self.cpu_ms + next.cpu_ms,
            peak_mib: self.peak_mib.max(next.peak_mib),
            read_bytes: self.read_bytes + next.read_bytes,
        }
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
    let taken = Taken {
        wall_ms: wall.as_secs_f64() * 1e3,
        cpu_ms: precise(micros[0] + micros[1]) / 1e3,
        peak_mib: precise(usage.max_rss()) / 1024.0,
        read_bytes: precise(usage.block_reads()) * 512.0,
    };
    fs::write(report, serde_json::to_vec(&taken).unwrap()).unwrap();
}

/// Counts of a run are far below what a float holds exactly.
#[allow(clippy::cast_precision_loss)]
fn precise(count: i64) -> f64 {
    count as f64
}

/// Runs a command that begins with a measuring process, and returns what it took. Panics with its output when it fails.
pub fn run(command: &mut Command, report: &Path) -> Taken {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let wrote = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{wrote}", output.status);
    serde_json::from_slice(&fs::read(report).unwrap()).unwrap()
}
