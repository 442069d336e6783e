//! The program under strace, which tells the system calls of a run, or lets one of them go wrong.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::node::Join;
use crate::support::run::Finished;

/// One system call of a run: the first `openat`, the third `fsync`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    pub call: String,
    pub nth: usize,
}

impl Point {
    /// Whether it can change what is on a disk, so that a failure means that something was not done.
    pub fn is_change(&self) -> bool {
        let changes = ["write", "fsync", "rename", "symlink", "unlink", "mkdir"];
        changes.iter().any(|change| self.call.starts_with(change))
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.call, self.nth)
    }
}

/// Which calls count.
#[derive(Clone, Copy)]
pub enum Calls<'a> {
    /// All of them.
    All,
    /// Those that name one of these files or directories, or have it open.
    On(&'a [PathBuf]),
}

/// Runs it to its end and lists its calls, but for the first, which starts the program.
pub fn record(join: &Join<'_>, calls: Calls<'_>, log: &Path) -> (Vec<Point>, Finished) {
    let run = join.clone().through(strace(calls, log, None)).run();
    let text = fs::read_to_string(log).expect("strace wrote a log");
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut points = Vec::new();
    for call in text.lines().filter_map(call) {
        let count = counts.entry(call).or_default();
        *count += 1;
        if call != "execve" {
            points.push(Point { call: call.to_owned(), nth: *count });
        }
    }
    (points, run)
}

/// Runs it and has the point go wrong: `signal=KILL` on entering it, `error=EIO` or `retval=1` instead of it.
pub fn inject(join: &Join<'_>, calls: Calls<'_>, point: &Point, how: &str, log: &Path) -> Finished {
    let inject = format!("inject={}:{how}:when={}", point.call, point.nth);
    join.clone().through(strace(calls, log, Some((&point.call, inject)))).run()
}

/// The name of the call on a line of the log, behind the number of the process.
fn call(line: &str) -> Option<&str> {
    let (name, _) = line.split_once(' ')?.1.trim_start().split_once('(')?;
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_').then_some(name)
}

fn strace(calls: Calls<'_>, log: &Path, inject: Option<(&str, String)>) -> Vec<OsString> {
    let mut words: Vec<OsString> = ["strace", "-f", "-y", "-qq", "-o"].map(OsString::from).into();
    words.push(log.into());
    if let Calls::On(paths) = calls {
        for path in paths {
            words.extend(["-P".into(), path.into()]);
        }
    }
    if let Some((call, inject)) = inject {
        words.extend(["-e".into(), format!("trace={call}").into(), "-e".into(), inject.into()]);
    }
    words
}
