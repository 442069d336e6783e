//! The memory of a process, while it waits and when it is about to exit.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use super::needles::Needles;

/// `exit_group` (`arch/x86/entry/syscalls/syscall_64.tbl`).
const EXIT: &str = "231 ";
/// How long strace holds the process at its exit, in microseconds: longer than any look at it takes.
const HOLD: &str = "inject=exit_group:delay_enter=120000000";
const PATIENCE: Duration = Duration::from_mins(1);

/// What stands before a command so that it is held at its exit: the process that is started is the program, not strace.
pub fn held(log: &str) -> Vec<&str> {
    vec!["strace", "-D", "-o", log, "-e", "trace=exit_group", "-e", HOLD]
}

/// Waits until a held process is about to exit, looks for secrets in all of its memory, and lets it go. Where what was
/// found, and how many bytes of it.
///
/// # Panics
/// When it does not come to its exit.
pub fn at_exit(mut child: Child, needles: impl FnOnce() -> Needles) -> BTreeMap<String, usize> {
    let pid = child.id();
    let until = Instant::now() + PATIENCE;
    while !fs::read_to_string(format!("/proc/{pid}/syscall")).is_ok_and(|call| call.starts_with(EXIT)) {
        assert!(child.try_wait().expect("its state").is_none(), "it ended without being held");
        assert!(Instant::now() < until, "it does not exit");
        thread::sleep(Duration::from_millis(5));
    }
    let found = scan(pid, &needles());
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:")).expect("its tracer").trim();
    // Left by strace, it goes on to its exit.
    assert!(Command::new("kill").args(["-KILL", tracer]).status().expect("kill").success());
    child.wait().expect("its end");
    found
}

/// Where in the memory of a process what is found, and how many bytes of it.
pub fn scan(pid: u32, needles: &Needles) -> BTreeMap<String, usize> {
    let memory = File::open(format!("/proc/{pid}/mem")).expect("its memory can be read");
    let mut found = BTreeMap::new();
    for line in fs::read_to_string(format!("/proc/{pid}/maps")).expect("its mappings").lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let (from, to) = words[0].split_once('-').expect("a range");
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).expect("an address"));
        let place = match words.get(5) {
            Some(name) if name.starts_with("[v") => continue, // the kernel's own pages
            Some(name) if name.starts_with('/') => "program",
            Some(name) => name,
            None => "[anonymous]",
        };
        let mut bytes = vec![0; usize::try_from(to - from).expect("a size")];
        memory.read_exact_at(&mut bytes, from).unwrap_or_else(|e| panic!("{line}: {e}"));
        for (name, count) in needles.in_bytes(&bytes) {
            *found.entry(format!("{name} in {place}")).or_default() += count;
        }
    }
    found
}

/// Puts a command behind words that start it.
pub fn behind(words: &[&str], command: &Command) -> Command {
    let mut whole = Command::new(words[0]);
    whole.args(&words[1..]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => whole.env(name, value),
            None => whole.env_remove(name),
        };
    }
    whole
}
