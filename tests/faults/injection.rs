//! The program under strace, which tells the system calls of a run, or lets one of them go wrong.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use crate::support::join::Join;
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

impl Calls<'_> {
    /// As words of strace's.
    fn words(self) -> Vec<OsString> {
        match self {
            Self::All => Vec::new(),
            Self::On(paths) => paths.iter().flat_map(|path| ["-P".into(), path.into()]).collect(),
        }
    }
}

/// Runs it to its end and lists its calls, but for the first, which starts the program.
pub fn record(join: &Join<'_>, calls: Calls<'_>) -> (Vec<Point>, Finished) {
    let (run, text) = join.traced(calls.words());
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

/// Runs it and has the point go wrong: `signal=KILL` on entering it, `error=EIO` or `retval=1` instead of it. With
/// strace's log of all such calls.
pub fn inject(join: &Join<'_>, calls: Calls<'_>, point: &Point, how: &str) -> (Finished, String) {
    let Point { call, nth } = point;
    let inject = [format!("trace={call}"), format!("inject={call}:{how}:when={nth}")];
    let inject = inject.into_iter().flat_map(|word| ["-e".into(), word.into()]);
    join.traced(calls.words().into_iter().chain(inject))
}

/// The name of the call on a line of the log, behind the number of the process.
fn call(line: &str) -> Option<&str> {
    let (name, _) = line.split_once(' ')?.1.trim_start().split_once('(')?;
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_').then_some(name)
}
