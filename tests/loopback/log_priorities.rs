//! Lines have a priority exactly where standard error is the journal, which takes it off again.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use crate::support::node::Node;
use crate::support::run::command;

/// A join that nobody answers: with a warning, what it waits for, an error and its help.
fn failing(node: &Node) -> Command {
    let mut command = command();
    command.args(["join", "127.0.0.1:1", "--token", "abcdef.0123456789abcdef", "--node-name", "n1"]);
    command.args(["--discovery-token-unsafe-skip-ca-verification", "--timeout=2s", "--root"]);
    command.arg(node.root()).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Device and inode of what a descriptor leads to, as systemd writes them.
fn stream(file: &impl std::os::fd::AsFd) -> String {
    let file = file.as_fd().try_clone_to_owned().expect("a descriptor");
    let metadata = File::from(file).metadata().expect("its metadata");
    format!("{}:{}", metadata.dev(), metadata.ino())
}

/// What a run says on a socket, where the variable is what `name` makes of that socket's device and inode.
fn said(name: impl Fn(&str) -> Option<String>) -> String {
    let (mut ours, theirs) = UnixStream::pair().expect("two sockets");
    let (node, variable) = (Node::new(), name(&stream(&theirs)));
    let mut command = failing(&node);
    command.env_remove("JOURNAL_STREAM").envs(variable.map(|value| ("JOURNAL_STREAM", value)));
    let mut child = command.stderr(OwnedFd::from(theirs)).spawn().expect("the program");
    drop(command);
    let mut text = String::new();
    ours.read_to_string(&mut text).expect("its lines");
    assert_eq!(child.wait().expect("its end").code(), Some(3), "{text}");
    text
}

/// Asserts that the run's lines are there, none with a priority.
fn assert_plain(text: &str, what: &str) {
    let plain = text.lines().all(|line| line.starts_with("nodestrap: "));
    assert!(plain && text.contains("nodestrap: error: "), "{what}: {text}");
}

#[test]
fn each_line_for_the_journal_begins_with_its_priority() {
    let text = said(|stream| Some(stream.to_owned()));
    let mut found = [0; 4];
    for line in text.lines() {
        let expected = [
            ("<3>nodestrap: error: ", 0),
            ("<3>nodestrap: help: ", 1),
            ("<4>nodestrap: warning: ", 2),
            ("nodestrap: discovery: ", 3),
        ];
        let kind = expected.iter().find(|(start, _)| line.starts_with(start));
        found[kind.unwrap_or_else(|| panic!("{line}\n{text}")).1] += 1;
    }
    assert!(found[0] == 1 && found[1] == 1 && found[2] > 0 && found[3] > 0, "{text}");
}

#[test]
fn what_has_been_redirected_has_no_priority_whatever_the_variable_says() {
    assert_plain(&said(|_| None), "without the variable");
    let (other, _end) = UnixStream::pair().expect("two sockets");
    let other = stream(&other);
    assert_plain(&said(|_| Some(other.clone())), "another socket");
    for name in ["", "1", ":", "8:", "8:1:2", "true", "0x8:0x1"] {
        assert_plain(&said(|_| Some(name.to_owned())), name);
    }
    assert_plain(&said(|stream| Some(stream.replacen(':', " ", 1))), "a blank");
    assert_plain(&said(|stream| Some(format!("1{stream}"))), "another device");

    // A pipe, a file and a terminal, with the variable of a journal that is elsewhere.
    let node = Node::new();
    let piped = failing(&node).env("JOURNAL_STREAM", &other).stderr(Stdio::piped()).output().expect("a run");
    assert_plain(&String::from_utf8_lossy(&piped.stderr), "a pipe");
    let path = node.beside("file");
    let file = File::create(&path).expect("a file");
    failing(&node).env("JOURNAL_STREAM", &other).stderr(file).status().expect("a run");
    assert_plain(&std::fs::read_to_string(&path).expect("the file"), "a file");
    let words: Vec<_> = std::iter::once(failing(&node).get_program().to_owned())
        .chain(failing(&node).get_args().map(std::ffi::OsStr::to_owned))
        .map(|word| word.into_string().expect("text"))
        .collect();
    // script(1) of util-linux runs it on a terminal of its own, and shows what that has shown.
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]).stdin(Stdio::null());
    let shown = script.env("JOURNAL_STREAM", &other).output().expect("util-linux is installed");
    assert_plain(&String::from_utf8_lossy(&shown.stdout), "a terminal");
}
