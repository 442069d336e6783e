//! The process itself: one static file of a floppy disk's size, one thread, one name look-up for each connection, few
//! descriptors, and nothing writable and executable.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::process::Command;

use crate::support::api::{Api, Route};
use crate::support::node::{KUBELET_CONF, Node};
use crate::support::run;

/// A floppy disk.
const SIZE: u64 = 1_474_560;

/// Joins under strace and counts each system call that was traced, with the lines themselves.
fn traced_join(calls: &str) -> (BTreeMap<String, usize>, String) {
    let (api, node) = (Api::start(), Node::new());
    let (run, text) = node.join(&api).with_cert().traced(["-e", &format!("trace={calls}")]);
    run.expect("joined");
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        let call = line.split_whitespace().nth(1).and_then(|word| word.split('(').next()).unwrap_or_default();
        *counts.entry(call.to_owned()).or_default() += 1;
    }
    (counts, text)
}

#[test]
fn it_is_one_static_file_that_fits_a_floppy_disk() {
    let bytes = fs::read(run::program()).expect("the program can be read");
    let size = bytes.len() as u64;
    assert!(size <= SIZE, "{size} bytes are {} too many", size - SIZE);
    // ELF header (System V ABI, chapter 4): type 3 is position-independent; program header type 3 names an interpreter.
    assert_eq!(&bytes[..4], b"\x7fELF");
    let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    assert_eq!(half(16), 3, "position-independent");
    let table = usize::from_le_bytes(bytes[32..40].try_into().expect("eight bytes"));
    let headers: Vec<_> = (0..usize::from(half(56)))
        .map(|index| table + index * usize::from(half(54)))
        .map(|at| (word(at), word(at + 4)))
        .collect();
    assert!(headers.iter().all(|(kind, _)| *kind != 3), "static: no interpreter");
    let stack = headers.iter().find(|(kind, _)| *kind == 0x6474_e551).expect("PT_GNU_STACK");
    assert_eq!(stack.1 & 1, 0, "the stack is not executable");
    assert!(
        headers.iter().all(|(kind, flags)| *kind != 1 || flags & 3 != 3),
        "nothing is writable and executable"
    );
    // What is relocated is marked to be sealed, and all of it is at start. musl's start-up code for static programs does
    // not seal it (`ldso/dlstart.c`, `env/__libc_start_main.c`).
    assert!(headers.iter().any(|(kind, _)| *kind == 0x6474_e552), "PT_GNU_RELRO");
    let dynamic =
        Command::new("readelf").arg("-d").arg(run::program()).output().expect("readelf of binutils");
    let dynamic = String::from_utf8_lossy(&dynamic.stdout).into_owned();
    assert!(
        dynamic.contains("BIND_NOW") && !dynamic.contains("TEXTREL") && !dynamic.contains("NEEDED"),
        "{dynamic}"
    );
}

#[test]
fn it_starts_no_thread_and_no_process() {
    let (counts, log) = traced_join("clone,clone3,fork,vfork,execve");
    assert_eq!(counts.get("execve"), Some(&1), "{log}");
    assert!(!log.contains("clone") && !log.contains("fork"), "{log}");
}

#[test]
fn one_connection_asks_for_the_name_once() {
    let (_, log) = traced_join("openat,open,socket");
    let asked = log.lines().filter(|line| line.contains("\"/etc/hosts\"")).count();
    assert_eq!(asked, 1, "{log}");
    let connections = log.lines().filter(|line| line.contains("SOCK_STREAM")).count();
    assert_eq!(connections, 1, "{log}");
}

#[test]
fn a_join_waits_for_the_disk_as_often_as_it_must() {
    // The key's file and directory before the request; ca.crt, its directory and kubelet.conf while that is decided; the
    // pair, its directory with the link, and kubelet.conf's new name after that; the seven directories that got a new
    // one, and the report.
    let (counts, log) = traced_join("fsync,fdatasync,renameat");
    assert_eq!((counts.get("fsync"), counts.get("fdatasync")), (Some(&16), None), "{log}");
    // Nobody had to decide about this join by hand, so that the token never was on the disk.
    assert!(log.contains("kubelet.conf") && !log.contains("bootstrap-kubelet.conf"), "{log}");
}

#[test]
fn nothing_is_writable_and_executable_while_it_runs() {
    let (api, node) = (Api::manual(), Node::new());
    let running = node.join(&api).with_cert().start();
    api.wait_for(Route::Watch, 1);
    let maps = fs::read_to_string(format!("/proc/{}/maps", running.id())).expect("it runs");
    let open = fs::read_dir(format!("/proc/{}/fd", running.id())).expect("it runs").count();
    running.kill();
    let mut executable = 0;
    for line in maps.lines() {
        let flags = line.split(' ').nth(1).expect("the flags of a mapping");
        assert!(!(flags.contains('w') && flags.contains('x')), "{line}");
        executable += usize::from(flags.contains('x') && line.contains('/'));
    }
    assert_eq!(executable, 1, "its own code only: {maps}");
    assert!(maps.lines().any(|line| line.ends_with("[stack]") && line.contains(" rw-p ")), "{maps}");
    // The standard ones, the connection, the root, and a path on which a file is being written at that moment.
    assert!(open <= 16, "{open} descriptors are open");
}

#[test]
fn few_descriptors_are_enough_and_too_few_are_told() {
    let mut ends = BTreeSet::new();
    for limit in 3..=16 {
        let (api, node) = (Api::start(), Node::new());
        let limited = ["sh", "-c", r#"ulimit -n "$0" && exec "$@""#, &limit.to_string()].map(OsString::from);
        let join = node.join(&api).with_cert().through(limited);
        // What has too few waits until the deadline; what has enough has time.
        let run = if limit < 16 { join.args("--timeout 2s") } else { join }.run();
        let joined = run.code == Some(0);
        run.check(joined || run.code.is_some_and(|code| code > 1), "an error that says what to do");
        run.check(joined == node.has(KUBELET_CONF), "an identity when it has joined, and only then");
        let strange = node.files().into_iter().find(|file| file.contains("/.nodestrap."));
        run.check(strange.is_none(), &format!("half a file: {strange:?}"));
        ends.insert((joined, limit));
    }
    assert!(ends.contains(&(true, 16)), "{ends:?}");
    assert!(ends.contains(&(false, 4)), "{ends:?}");
}
