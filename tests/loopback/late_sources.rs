//! Sources that are not there yet: a pipe is waited for until the deadline, and no longer.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::join_builder::{JoinBuilder, path};
use crate::support::api::{Api, TOKEN};
use crate::support::join::Join;
use crate::support::node::{KUBELET_CONF, Node};
use crate::support::run;

fn fifo(node: &Node, name: &str) -> PathBuf {
    let path = node.beside(name);
    mkfifoat(CWD, &path, Mode::from_raw_mode(0o600)).expect("a FIFO");
    path
}

/// Far less than the deadline without `--timeout`, which is five minutes.
const SOON: Duration = Duration::from_secs(40);

/// Every setting that names a source, with what else a join needs.
fn each_source(api: &Api, source: &str) -> Vec<String> {
    let (endpoint, pin) = (api.endpoint(), api.authority.pin());
    let pinned = format!("{endpoint} --discovery-token-ca-cert-hash {pin}");
    let token = format!("--token {TOKEN} --discovery-token-ca-cert-hash {pin}");
    vec![
        format!("--config {source}"),
        format!("{pinned} --token-file {source}"),
        format!("{pinned} --discovery-token-file {source} --tls-bootstrap-token {TOKEN}"),
        format!("{pinned} --tls-bootstrap-token-file {source} --discovery-token {TOKEN}"),
        format!("--cluster-info {source} {token}"),
        format!("--discovery-file {source}"),
        format!("--bootstrap-kubeconfig {source}"),
        format!("--server https://{endpoint} --certificate-authority {source} --token {TOKEN}"),
        format!("--server https://{endpoint} --certificate-authority /dev/null --bearer-token-file {source}"),
        format!("--discovery-file https://{endpoint}/a --discovery-ca {source} --token {TOKEN}"),
    ]
}

fn join<'a>(node: &'a Node, api: &Api, words: &str) -> Join<'a> {
    node.join(api).endpoint("").pins(&[]).token("").secret("0123456789abcdef").with_cert().args(words)
}

#[test]
fn a_pipe_that_nobody_writes_to_ends_with_the_time_out() {
    let api = Api::start();
    let cases = each_source(&api, "FIFO");
    crate::support::all(&cases, Clone::clone, |words| {
        let node = Node::new();
        let pipe = fifo(&node, "pipe");
        let words = words.replace("FIFO", path(&pipe)).replace("/dev/null", path(&pipe));
        let run = join(&node, &api, &words).args("--timeout 1s").run();
        run.expect("usage").says(&["no end of file by the deadline", path(&pipe)]);
        run.check(
            run.elapsed > Duration::from_millis(900) && run.elapsed < SOON,
            "it waits for the deadline",
        );
        assert_eq!(node.tree(), Vec::<String>::new());
    });
    assert_eq!(api.connections().len(), 0);
}

/// Standard input with a writer that says nothing, and one that says half a token.
#[test]
fn standard_input_that_does_not_end_ends_with_the_time_out() {
    let api = Api::start();
    let mut cases: Vec<(String, &str)> = Vec::new();
    for begun in ["", "abcdef.0123"] {
        cases.extend(each_source(&api, "-").into_iter().map(|words| (words, begun)));
    }
    cases.push(("verify".to_owned(), ""));
    cases.push(("ca-hash".to_owned(), ""));
    crate::support::all(
        &cases,
        |case| format!("{case:?}"),
        |(words, begun)| {
            let node = Node::new();
            let root = node.root().display().to_string();
            let line = match words.as_str() {
                "verify" => {
                    format!(
                        "verify --cluster-info - --timeout 1s --token {TOKEN} \
                         --discovery-token-unsafe-skip-ca-verification"
                    )
                }
                "ca-hash" => "ca-hash - --timeout 1s".to_owned(),
                words if words.contains("/dev/null") => return,
                words => format!("join {words} --timeout 1s --node-name n1 --root {root}"),
            };
            let started = Instant::now();
            let mut child = run::command()
                .args(line.split_whitespace())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("it starts");
            let mut input = child.stdin.take().expect("a pipe");
            input.write_all(begun.as_bytes()).expect("it is open");
            let output = child.wait_with_output().expect("it ends");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{line}: {said}");
            assert!(said.contains("standard input: no end of file") && started.elapsed() < SOON, "{said}");
            assert!(!said.contains("abcdef"), "{said}");
            drop(input);
        },
    );
}

/// A writer that comes late, and one that writes slowly: no byte and no writer is no end.
#[test]
fn a_pipe_is_waited_for_until_somebody_has_written_and_closed_it() {
    let (api, node) = (Api::start(), Node::new());
    let (endpoint, pin, pipe) = (api.endpoint(), api.authority.pin(), fifo(&node, "pipe"));
    let words = format!("{endpoint} --discovery-token-ca-cert-hash {pin} --token-file {}", pipe.display());
    let running = join(&node, &api, &words).start();
    thread::sleep(Duration::from_millis(300));
    let mut writer = fs::OpenOptions::new().write(true).open(&pipe).expect("a reader is there");
    for part in ["", "abcdef.", "0123456789", "abcdef\n"] {
        thread::sleep(Duration::from_millis(200));
        writer.write_all(part.as_bytes()).expect("it reads");
    }
    drop(writer);
    running.finish().expect("joined");
    assert!(node.has(KUBELET_CONF));

    // Nothing of it on a joined node: nobody writes, and nobody is waited for.
    let run = join(&node, &api, &words).run();
    run.expect("already-joined");
    run.check(run.elapsed < SOON, "it does not wait");
}

#[test]
fn a_configuration_comes_late_from_a_pipe() {
    let builder = JoinBuilder::new();
    let (pipe, text) = (fifo(&builder.node, "pipe"), builder.configuration());
    let builder = builder.with(&["--config", path(&pipe)]);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(300));
            fs::write(&pipe, &text).expect("a reader");
        });
        builder.joins();
    });
}

/// The same through a shell, as people do it: the writer of the pipe is a slow command.
#[test]
fn a_token_from_a_slow_command() {
    let (api, node) = (Api::start(), Node::new());
    let words = format!(
        "join {} --discovery-token-ca-cert-hash {} --node-name n1 --with-client-cert --root {} --token-file -",
        api.endpoint(),
        api.authority.pin(),
        node.root().display()
    );
    let script = format!("(sleep 1; echo {TOKEN}) | \"$0\" {words}");
    let status = Command::new("sh").args(["-c", &script]).arg(run::program()).status().expect("a shell");
    assert!(status.success() && node.has(KUBELET_CONF));
}

#[test]
fn standard_input_is_read_once() {
    let (api, node) = (Api::start(), Node::new());
    for words in [
        "--config - --token-file -",
        "h:1 --discovery-token-file - --tls-bootstrap-token-file -",
        "--cluster-info - --token-file -",
    ] {
        join(&node, &api, words).run().expect("usage").says(&["both read standard input"]);
    }
}

/// A service without standard input has an empty one.
#[test]
fn a_joined_node_misses_no_configuration_on_standard_input() {
    let builder = JoinBuilder::new();
    let text = builder.configuration();
    let mut builder = builder.with(&["--config", "-"]);
    builder.input = text;
    builder.joins();
    builder.input.clear();
    let builder = builder.without("--node-name").without("n1");
    let run = builder.run();
    run.check_success();
    run.says(&["--config: standard input is empty; the node is n1"]);
}
