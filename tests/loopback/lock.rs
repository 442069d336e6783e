//! One run at a time on one root, and nobody else in the way: where the lock is, and what it is where it cannot be there.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

use crate::support::api::{Api, Cluster, Route};
use crate::support::join::Join;
use crate::support::node::{BOOTSTRAP_CONF, KUBELET_CONF, Node};
use crate::support::run::Finished;

/// What is said where the root directory is locked instead.
const TOLD: &str = "lock: cannot use /run/nodestrap (";
/// Joins in a mount namespace whose `/run` is a new one that this script has changed. What is there then is told by `ls`.
fn with_run<'a>(join: Join<'a>, script: &str) -> Join<'a> {
    let script = format!("mount -t tmpfs -o mode=755 tmpfs /run && {{ {script}; }} && exec \"$@\"");
    join.through(["unshare", "--mount", "sh", "-c", &script, "sh"].map(OsString::from))
}

fn is_not_told(run: &Finished) {
    run.check(!run.stderr.contains("lock: "), "no word about the lock");
}

#[test]
fn another_user_who_locks_the_root_keeps_nobody_out() {
    let (api, node) = (Api::start(), Node::new());
    let root = File::open(node.root()).expect("a root that everybody can read");
    flock(&root, FlockOperation::LockExclusive).expect("a lock");
    is_not_told(&node.joins(&api));
    is_not_told(node.join(&api).with_cert().run().expect("already-joined"));
}

#[test]
fn runs_on_different_roots_do_not_wait_for_each_other() {
    let (east, west) = (Api::manual(), Api::start());
    let (first, second) = (Node::new(), Node::new());
    let waiting = first.join(&east).with_cert().start();
    east.wait_for(Route::Watch, 1);
    second.joins(&west);
    east.cluster(Cluster::grant);
    waiting.finish().expect("joined");
}

#[test]
fn a_root_and_a_bind_mount_of_it_are_one() {
    let (api, node) = (Api::manual(), Node::new());
    let bound = node.beside("bound");
    fs::create_dir(&bound).expect("a directory");
    let mount = |words: &[&str]| {
        let status =
            Command::new(words[0]).args(&words[1..]).arg(&bound).status().expect("mount of util-linux");
        assert!(status.success(), "{words:?}");
    };
    mount(&["mount", "--bind", node.root().to_str().expect("a path of plain characters")]);
    let first = node.join(&api).with_cert().start();
    api.wait_for(Route::Watch, 1);
    let join = node.join(&api).with_cert().report(node.beside("second.json")).args("--timeout 1s");
    let second = join.args(&format!("--root {}", bound.display())).run();
    mount(&["umount"]);
    second.expect("files").says(&["another nodestrap process"]);
    api.cluster(Cluster::grant);
    first.finish().expect("joined");
    assert_eq!(api.count(Route::Create), 1);
}

#[test]
fn a_lock_file_is_made_beside_the_node_and_stays() {
    let (api, node) = (Api::start(), Node::new());
    let listing = node.beside("listing");
    // What is there after the run.
    let script = format!("\"$@\"; code=$?; ls -lnR /run > {}; exit $code; :", listing.display());
    let join = node.join(&api).with_cert();
    let run = with_run(join, &script).run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    is_not_told(&run);
    let listing = fs::read_to_string(listing).expect("ls wrote a list");
    let files: Vec<_> = listing.lines().filter(|line| line.starts_with('-')).collect();
    assert!(matches!(files[..], [file] if file.starts_with("-rw------- 1 0 0 0 ")), "{listing}");
    assert!(listing.contains("drwxr-xr-x 2 0 0 "), "{listing}");
    let strange: Vec<_> = node.files().into_iter().filter(|file| file.contains("lock")).collect();
    assert_eq!(strange, Vec::<String>::new());
}

#[test]
fn where_run_cannot_be_used_the_root_is_locked_and_that_is_told() {
    let cases = [
        ("read-only", "mount -o remount,ro /run"),
        ("a file", "touch /run/nodestrap"),
        ("a link", "mkdir /run/other; ln -s other /run/nodestrap"),
        ("a link that leads nowhere", "ln -s other /run/nodestrap"),
        ("a directory of another user", "mkdir /run/nodestrap; chown 65534 /run/nodestrap"),
        ("a directory in which all may write", "mkdir -m 0777 /run/nodestrap"),
        ("a directory in which a group may write", "mkdir -m 0770 /run/nodestrap"),
        ("a FIFO", "mkfifo /run/nodestrap"),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, script)| {
            let (api, node) = (Api::manual(), Node::new());
            let join = |report: &str| {
                let join = node.join(&api).with_cert().args("--timeout 20s").report(node.beside(report));
                // Nothing is made through what is planted.
                with_run(join, &format!("{script} && true"))
            };
            let first = join("first.json").start();
            api.wait_for(Route::Watch, 1);
            let second = join("second.json").args("--timeout 1s").run();
            second.expect("files").says(&[TOLD, "another nodestrap process"]);
            api.cluster(Cluster::grant);
            let first = first.finish();
            first.expect("joined").says(&[TOLD]);
            first.check(first.stderr.matches("lock: ").count() == 1, "told once");
            assert_eq!(api.count(Route::Create), 1);
        },
    );
}

#[test]
fn a_lock_file_that_others_could_have_made_or_opened_is_not_used() {
    let changes = [
        "mv $1 /run/own; ln -s /run/own $1",
        "ln $1 /run/second",
        "chmod 0644 $1",
        "chown 65534 $1",
        "rm $1; mkfifo -m 0600 $1",
        "rm $1; mkdir $1",
    ];
    crate::support::all(&changes, ToString::to_string, |change| {
        let (api, node) = (Api::start(), Node::new());
        // A first run makes it, the second one meets what became of it.
        let script = format!(
            "\"$@\" 2>&1; \
                 change() {{ {change}; }}; change /run/nodestrap/root-*.lock"
        );
        let run = with_run(node.join(&api).with_cert(), &script).run();
        run.expect("already-joined").says(&[TOLD]);
    });
}

#[test]
fn a_user_locks_his_own_root_and_is_told() {
    let (api, node) = (Api::manual(), Node::new());
    let join = |report: &str| node.join(&api).with_cert().report(node.beside(report)).by_user();
    let first = join("first.json").start();
    api.wait_for(Route::Watch, 1);
    let second = join("second.json").args("--timeout 1s").run();
    second.expect("files").says(&[TOLD, "another nodestrap process"]);
    api.cluster(Cluster::grant);
    let first = first.finish();
    first.expect("joined").says(&[TOLD]);
    assert!(node.has(KUBELET_CONF));
}

/// In a container of a user's own root is somebody else outside, and `/run` may be the machine's.
#[test]
fn in_a_user_namespace_the_root_is_locked() {
    let (api, node) = (Api::start(), Node::new());
    let namespace = ["unshare", "--user", "--map-root-user"].map(OsString::from);
    node.join(&api).with_cert().through(namespace).by_user().run().expect("joined").says(&[TOLD]);
    assert_eq!(
        fs::metadata(node.at(KUBELET_CONF)).map(|file| file.permissions().mode() & 0o777).ok(),
        Some(0o600)
    );
}

/// A killed run has no lock any more, whoever ends it.
#[test]
fn a_lock_ends_with_its_process() {
    let (api, node) = (Api::manual(), Node::new());
    let first = node.join(&api).with_cert().start();
    api.wait_for(Route::Watch, 1);
    node.wait_for(BOOTSTRAP_CONF);
    first.kill();
    api.cluster(Cluster::grant);
    is_not_told(&node.joins(&api));
}
