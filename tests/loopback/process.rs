//! The process itself: one static file of a floppy disk's size, one thread, one name look-up for each connection, and
//! a README that says what the program says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::api::Api;
use crate::support::node::Node;
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
fn the_readme_shows_the_help_and_the_exit_codes() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("README.md");
    let output = Command::new(run::program()).arg("--help").output().expect("the program runs");
    let help = String::from_utf8(output.stdout).expect("text");
    assert!(readme.contains(help.trim_end()), "README.md does not show the help as it is");
    for line in help.split_once("Exit codes:").expect("a table").1.lines().filter(|line| line.contains(": "))
    {
        let (code, rest) = line.trim().split_once(' ').expect("a code");
        let (name, _) = rest.split_once(':').expect("a name");
        assert!(readme.contains(&format!("| {code} | `{name}` |")), "README.md lacks the row of code {code}");
    }
}
