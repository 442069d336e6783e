//! `--remove-token-file`: the token goes once the node has its identity, and not a moment earlier.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::support::api::{Api, Cluster, TOKEN};
use crate::support::join::Join;
use crate::support::node::{KUBELET_CONF, Node};
use crate::support::tmpfs::Tmpfs;

/// A file with the token beside the node's root.
fn token_file(node: &Node) -> PathBuf {
    let path = node.beside("token");
    fs::write(&path, format!("{TOKEN}\n")).expect("a token file");
    path
}

/// A join that takes its token from this file and removes it, without a token on the command line.
fn join<'a>(node: &'a Node, api: &Api, file: &str) -> Join<'a> {
    node.join(api)
        .token("")
        .secret("0123456789abcdef")
        .args(&format!("--remove-token-file --token-file {file}"))
}

#[test]
fn it_goes_with_the_join_and_the_next_run_does_not_miss_it() {
    let (api, node) = (Api::start(), Node::new());
    let file = token_file(&node);
    let path = file.to_str().expect("text");
    let run = join(&node, &api, path).with_cert().run();
    run.expect("joined");
    run.check(!file.exists() && !run.stderr.contains("warning"), "it is gone, and there is nothing to tell");
    let asked = api.requests().len();
    join(&node, &api, path).with_cert().run().expect("already-joined");
    // A token that is put there again is of no use to a node that has its identity.
    fs::write(&file, TOKEN).expect("a token file");
    join(&node, &api, path).with_cert().run().expect("already-joined");
    assert_eq!((file.exists(), api.requests().len()), (false, asked));
}

#[test]
fn every_file_that_held_a_token_goes() {
    let (api, node) = (Api::start(), Node::new());
    let (one, two) = (token_file(&node), node.beside("two"));
    fs::write(&two, TOKEN).expect("a token file");
    let others = ["--discovery-token-file", "--tls-bootstrap-token-file"];
    let flags =
        [(others[0], &one), (others[1], &two)].map(|(flag, file)| format!("{flag} {}", file.display()));
    let run = node.join(&api).token("").with_cert().args(&flags.join(" ")).args("--remove-token-file").run();
    run.expect("joined");
    assert!(!one.exists() && !two.exists());
}

#[test]
fn it_stays_where_the_machine_is_not_joined() {
    /// Flags, what the server does not do, the outcome.
    type Case = (&'static str, fn(&mut Cluster), &'static str);
    let cases: [Case; 5] = [
        ("", |_| {}, "prepared"),
        ("--with-client-cert --dry-run", |_| {}, "dry-run"),
        ("--with-client-cert --tls-bootstrap-timeout 1s", |cluster| cluster.approves = false, "pending"),
        ("--with-client-cert --timeout 1s", |cluster| cluster.published.clear(), "not-published"),
        ("--with-serving-cert --san n1 --serving-timeout 0s", |_| {}, "serving-pending"),
    ];
    crate::support::all(
        &cases,
        |case| case.2.to_owned(),
        |(flags, lacks, outcome)| {
            let (api, node) = (Api::start(), Node::new());
            api.cluster(*lacks);
            let file = token_file(&node);
            let run = join(&node, &api, file.to_str().expect("text")).args(flags).run();
            run.expect(outcome);
            assert_eq!(fs::read_to_string(&file).ok(), Some(format!("{TOKEN}\n")));
        },
    );
    let (api, node) = (Api::start(), Node::new());
    node.joins(&api);
    let file = token_file(&node);
    join(&node, &api, file.to_str().expect("text"))
        .with_cert()
        .args("--dry-run")
        .run()
        .expect("already-joined");
    assert!(file.exists(), "a dry run writes nothing on a joined node either");
    let file = file.display();
    node.join(&api)
        .token("")
        .with_cert()
        .args(&format!("--token-file {file}"))
        .run()
        .expect("already-joined");
    assert!(token_file(&node).exists(), "nobody asked for it");
}

#[test]
fn a_machine_that_is_not_joined_misses_it() {
    let (api, node) = (Api::start(), Node::new());
    let file = node.beside("token");
    let run = join(&node, &api, file.to_str().expect("text")).with_cert().run();
    run.expect("usage").says(&[": not found", file.to_str().expect("text")]);
    assert_eq!((node.tree(), api.connections().len()), (Vec::<String>::new(), 0));
}

/// What only a join needs may be gone with it: the token's file, or all that was said.
#[test]
fn a_joined_machine_needs_neither_token_nor_address() {
    let (api, node) = (Api::start(), Node::new());
    node.joins(&api);
    let before = api.connections().len();
    let gone = format!("--token-file {}", node.beside("token").display());
    node.join(&api).token("").with_cert().args(&gone).run().expect("already-joined");
    node.join(&api).endpoint("").pins(&[]).token("").with_cert().run().expect("already-joined");
    assert_eq!(api.connections().len(), before);
}

#[test]
fn what_is_no_regular_file_stays() {
    let (api, node) = (Api::start(), Node::new());
    node.joins(&api);
    let (target, link) = (token_file(&node), node.beside("link"));
    symlink(&target, &link).expect("a link");
    let run = join(&node, &api, link.to_str().expect("text")).with_cert().run();
    run.expect("already-joined").says(&["warning: files: ", "not removed"]);
    assert!(target.is_file() && link.is_symlink());
    // A FIFO, as a shell's process substitution is one: somebody writes once and closes it.
    let node = Node::new();
    let fifo = node.beside("fifo");
    mkfifoat(CWD, &fifo, Mode::from_raw_mode(0o600)).expect("a FIFO");
    let running = join(&node, &api, fifo.to_str().expect("text")).with_cert().start();
    fs::write(&fifo, TOKEN).expect("a reader"); // waits until the program has opened its end
    running.finish().expect("joined").says(&["not removed"]);
    assert!(fifo.exists() && node.has(KUBELET_CONF));
}

#[test]
fn one_that_cannot_be_removed_is_told_and_the_node_is_joined() {
    let (api, node) = (Api::start(), Node::new());
    let directory = node.beside("credentials");
    fs::create_dir(&directory).expect("a directory");
    let Some(disk) = Tmpfs::mount(&directory, "size=1m") else { return };
    let file = directory.join("token");
    fs::write(&file, TOKEN).expect("a token file");
    disk.remount("ro,size=1m");
    let run = join(&node, &api, file.to_str().expect("text")).with_cert().run();
    run.expect("joined").says(&["warning: files: the token in ", "cannot be removed"]);
    assert!(file.exists() && node.has(KUBELET_CONF));
}
