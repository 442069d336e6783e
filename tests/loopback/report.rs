//! Where the report goes: a file, a FIFO, standard output, a directory that other runs report into.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;

use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};
use serde_json::Value;

use crate::support::api::Api;
use crate::support::join::Join;
use crate::support::node::{KUBELET_CONF, Node};
use crate::support::run::{self, Finished};

/// Runs a join whose report is no file that the runner could read.
fn run_unread(join: &Join<'_>, node: &Node) -> Finished {
    run::start(&join.words(), &node.root(), None, Vec::new()).finish()
}

#[test]
fn a_fifo_that_nobody_reads_does_not_hold_the_program_up() {
    let (api, node) = (Api::start(), Node::new());
    let fifo = node.beside("fifo");
    mkfifoat(CWD, &fifo, Mode::from_raw_mode(0o600)).expect("a FIFO");
    let join = node.join(&api).with_cert().report(&fifo);
    // The exit code tells how the join ended, not how its report did.
    run_unread(&join, &node).expect("joined").says(&["warning: files: the report"]);
    assert!(node.has(KUBELET_CONF), "the node has joined all the same");
    let run = run_unread(&join.args("--timeout soon"), &node);
    run.expect("usage").says(&["nodestrap: warning: ", "report"]);
}

#[test]
fn a_fifo_that_somebody_reads_gets_the_report() {
    let (api, node) = (Api::start(), Node::new());
    let fifo = node.beside("fifo");
    mkfifoat(CWD, &fifo, Mode::from_raw_mode(0o600)).expect("a FIFO");
    // Opened for both and without waiting: what the program wrote stays in the FIFO, and an empty one is an error.
    let reader =
        open(&fifo, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).expect("the FIFO");
    run_unread(&node.join(&api).with_cert().report(&fifo), &node).expect("joined");
    let mut text = vec![0; 65_536];
    let length = File::from(reader).read(&mut text).expect("a report");
    let report: Value = serde_json::from_slice(&text[..length]).expect("JSON");
    assert_eq!(report["outcome"], "joined");
}

#[test]
fn standard_output_gets_the_report_and_stays_what_it_is() {
    // First through a link of our own: whoever replaces links does not get to the machine's.
    let (api, node) = (Api::start(), Node::new());
    let own = node.beside("stdout");
    std::os::unix::fs::symlink("/proc/self/fd/1", &own).expect("a link as /dev/stdout is");
    for path in [own.as_path(), Path::new("/dev/stdout")] {
        let before = fs::read_link(path).expect("a link");
        let output = node.beside("output");
        let mut command = run::command();
        command
            .args(node.join(&api).with_cert().report(path).words())
            .stdin(Stdio::null())
            .stdout(File::create(&output).expect("a file"))
            .stderr(Stdio::null());
        let status = run::status(&mut command);
        assert_eq!(fs::read_link(path).ok().as_ref(), Some(&before), "{} was replaced", path.display());
        assert!(status.success(), "{status}");
        let report: Value =
            serde_json::from_slice(&fs::read(&output).expect("the output")).expect("one JSON object");
        assert_eq!(report["exitCode"], 0);
    }
}

/// As systemd's journal is one: it cannot be opened by name.
#[test]
fn standard_output_and_error_may_be_sockets() {
    for path in ["-", "/dev/stdout", "/dev/stderr"] {
        let (api, node) = (Api::start(), Node::new());
        let (ours, theirs) = UnixStream::pair().expect("a socket");
        let socket = Stdio::from(OwnedFd::from(theirs));
        let (stdout, stderr) =
            if path == "/dev/stderr" { (Stdio::null(), socket) } else { (socket, Stdio::null()) };
        let mut command = run::command();
        command
            .args(node.join(&api).with_cert().report(path).words())
            .current_dir(node.root())
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr);
        let status = run::status(&mut command);
        drop(command);
        assert!(status.success(), "{status}");
        let text = io::read_to_string(ours).expect("what it says");
        let report = text.lines().find(|line| line.starts_with('{')).expect("a report");
        let report: Value = serde_json::from_str(report).expect("one JSON object");
        assert_eq!(report["outcome"], "joined", "{path}");
        assert!(!node.has("-"), "a file of that name");
    }
}

#[test]
fn several_runs_report_into_one_directory() {
    let (api, shared) = (Api::start(), Node::new());
    // What other runs have begun to write is not touched, even where none of them is a process of this machine: no Linux
    // has so high a PID (proc(5), on pid_max).
    let begun = [".n1.json.4194305.new", ".nodestrap.new"];
    for name in begun {
        shared.write(name, "half a rep");
    }
    let names: Vec<String> = (1..=8).map(|number| format!("n{number}")).collect();
    crate::support::all(&names, Clone::clone, |name| {
        let node = Node::new();
        let run = node.join(&api).name(name).with_cert().report(shared.at(&format!("{name}.json"))).run();
        run.expect("joined");
        assert_eq!(run.report()["nodeName"], name.as_str());
    });
    let reports = names.iter().map(|name| format!("{name}.json"));
    let expected: Vec<String> = begun.map(str::to_owned).into_iter().chain(reports).collect();
    assert_eq!(shared.files(), expected);
    assert!(begun.iter().all(|name| shared.read(name) == "half a rep"));
}
