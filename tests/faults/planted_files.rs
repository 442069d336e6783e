//! What another user of the machine has planted where files of a join belong: nothing is written through it, nothing
//! hangs, and once it is gone the machine joins.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use super::campaign;
use super::flows::Machine;
use super::state::{State, TEMPORARIES, is_temporary};
use crate::support::api::Api;
use crate::support::node::{BOOTSTRAP_CONF, CA, CURRENT, KEY_TMP, KUBELET, KUBELET_CONF, PKI};
use crate::support::pki::Authority;

/// Everything that a join can write.
const FLAGS: &str = "--with-serving-cert --san 10.0.0.5 --with-kubelet-config";
/// A user that is not root.
const OTHER: u32 = 65_534;
/// What must not change.
const VICTIM: &str = "srv/victim";

/// Makes a trap at a path; `victim` is a file in the root, `outside` one beside it.
type Plant = fn(at: &Path, victim: &Path, outside: &Path);

const TRAPS: [(&str, Plant); 7] = [
    ("link in the root", |at, _, _| symlink(format!("/{VICTIM}"), at).expect("a link")),
    ("link out of the root", |at, _, outside| symlink(outside, at).expect("a link")),
    ("link of dots", |at, _, _| symlink("../".repeat(16) + "outside", at).expect("a link")),
    ("hard link", |at, victim, _| fs::hard_link(victim, at).expect("a hard link")),
    ("fifo", |at, _, _| special(at, &["p"])),
    ("device", |at, _, _| special(at, &["c", "1", "5"])), // /dev/zero, which never ends
    ("socket", |at, _, _| drop(UnixListener::bind(at).expect("a socket"))),
];

/// Directories on the way to the files of a join.
const WAY: [&str; 3] = ["etc", "var", "var/lib"];
/// Directories in which they lie.
const DIRECTORIES: [&str; 4] = ["etc/kubernetes", "etc/kubernetes/pki", KUBELET, PKI];
/// The files.
const FILES: [&str; 10] = [
    CA,
    BOOTSTRAP_CONF,
    KUBELET_CONF,
    KEY_TMP,
    CURRENT,
    SERVING_KEY,
    "var/lib/kubelet/pki/kubelet-server-current.pem",
    "var/lib/kubelet/config.yaml",
    "var/lib/kubelet/instance-config.yaml",
    "var/lib/kubelet/kubeadm-flags.env",
];
const SERVING_KEY: &str = "var/lib/kubelet/pki/kubelet-server.key.tmp";

#[test]
fn nothing_is_written_through_what_another_user_has_planted() {
    let prepared = DIRECTORIES.map(|at| TEMPORARIES.map(|name| format!("{at}/{name}"))).concat();
    let places = WAY.iter().chain(&DIRECTORIES).chain(&FILES).map(|at| (*at).to_owned()).chain(prepared);
    let points: Vec<_> = places.flat_map(|at| TRAPS.map(|trap| (at.clone(), trap))).collect();
    let name = |(at, (trap, _)): &(String, (&str, Plant))| format!("{trap} at {at}");
    campaign::run("planted files", &points, name, |(at, (_, plant))| {
        let machine = machine();
        let (victim, outside) = victims(&machine);
        let trap = machine.node.at(at);
        fs::create_dir_all(trap.parent().expect("a parent")).expect("directories");
        plant(&trap, &victim, &outside);
        let before = [victim.as_path(), &outside].map(facts);
        let run = machine.join().run();
        run.check(matches!(run.code, Some(0 | 10)), "joined, or an error of files");
        assert_eq!([victim.as_path(), &outside].map(facts), before, "what it leads to");
        if run.code == Some(10) {
            let told = if is_temporary(at) { trap.parent().expect("a parent") } else { &trap };
            let told = told.strip_prefix(machine.node.root()).expect("below the root").display();
            run.says(&[&format!("/{told}")]);
            fs::remove_file(&trap).expect("the trap can be removed");
        }
        machine.join().run().check_success();
        // A link where a directory belongs is followed inside the root.
        is_roots(&machine, |path| path == at && !FILES.contains(&path));
        true
    });
}

/// Directories of another user, who plants all the time. Those in which anybody may write are refused
/// (`loopback owners::*`).
#[test]
fn nothing_is_written_through_what_is_planted_while_it_runs() {
    let rounds: Vec<usize> = (0..if campaign::is_full() { 200 } else { 12 }).collect();
    campaign::run("files planted meanwhile", &rounds, usize::to_string, |_| {
        let machine = machine();
        let (victim, outside) = victims(&machine);
        let directories = DIRECTORIES.map(|at| machine.node.at(at));
        for directory in &directories {
            fs::create_dir_all(directory).expect("directories");
            chown(directory, Some(OTHER), Some(OTHER)).expect("root's right to give directories away");
        }
        let before = [victim.as_path(), &outside].map(facts);
        let is_over = AtomicBool::new(false);
        let run = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    for directory in &directories {
                        for name in TEMPORARIES {
                            let _ = symlink(&outside, directory.join(name));
                        }
                    }
                }
            });
            let run = machine.join().run();
            is_over.store(true, Ordering::Relaxed);
            run
        });
        run.check(matches!(run.code, Some(0 | 10)), "joined, or an error of files");
        assert_eq!([victim.as_path(), &outside].map(facts), before, "what it leads to");
        machine.join().run().check_success();
        is_roots(&machine, is_temporary);
        true
    });
}

/// The same user replaces what waits for its name by files of his own: none of them gets it.
#[test]
fn nothing_that_was_put_in_the_place_of_a_file_gets_its_name() {
    let rounds: Vec<usize> = (0..if campaign::is_full() { 100 } else { 6 }).collect();
    campaign::run("files swapped meanwhile", &rounds, usize::to_string, |_| {
        let machine = machine();
        let directories = DIRECTORIES.map(|at| machine.node.at(at));
        for directory in &directories {
            fs::create_dir_all(directory).expect("directories");
            chown(directory, Some(OTHER), Some(OTHER)).expect("root's right to give directories away");
        }
        let is_over = AtomicBool::new(false);
        let run = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    for directory in &directories {
                        for name in
                            TEMPORARIES.map(|name| directory.join(name)).iter().filter(|name| name.exists())
                        {
                            let theirs = directory.join("theirs");
                            fs::write(&theirs, "theirs\n").expect("a file");
                            let _ = fs::rename(&theirs, name);
                        }
                    }
                }
            });
            let run = machine.join().run();
            is_over.store(true, Ordering::Relaxed);
            run
        });
        run.check(matches!(run.code, Some(0 | 10)), "joined, or an error of files");
        for path in FILES.into_iter().filter(|path| machine.node.at(path).is_file()) {
            assert_ne!(machine.node.read(path), "theirs\n", "{path}");
        }
        true
    });
}

/// Who has planted a key knows it; who owns a file can change it later.
#[test]
fn a_file_of_another_user_is_not_taken_for_ones_own() {
    let machine = machine();
    let (_, key) = Authority::new("anybody").client("system:nodes", "system:node:n1");
    for file in [KEY_TMP, SERVING_KEY] {
        machine.node.write(file, &key);
        let at = machine.node.at(file);
        fs::set_permissions(&at, Permissions::from_mode(0o600)).expect("a mode");
        chown(&at, Some(OTHER), Some(OTHER)).expect("root's right to give files away");
    }
    let run = machine.join().args("--keep-bootstrap-kubeconfig").run();
    run.check_success();
    assert!(!State::of(&machine.node.root(), "").holds(&key), "the planted key is nobody's");
    is_roots(&machine, |_| false);

    let bootstrap = machine.node.at(BOOTSTRAP_CONF);
    chown(&bootstrap, Some(OTHER), Some(OTHER)).expect("root's right to give files away");
    fs::remove_file(machine.node.at(KUBELET_CONF)).expect("no identity any more");
    machine.join().args("--keep-bootstrap-kubeconfig").run().check_success();
    is_roots(&machine, |_| false);
}

fn machine() -> Machine {
    let api = Api::start();
    api.cluster(|cluster| cluster.approves_serving = true);
    Machine::new(api, FLAGS)
}

/// A file in the root and one beside it, which another user may read and write.
fn victims(machine: &Machine) -> (PathBuf, PathBuf) {
    machine.node.write(VICTIM, "victim\n");
    let (victim, outside) = (machine.node.at(VICTIM), machine.node.beside("outside"));
    fs::write(&outside, "outside\n").expect("a file outside");
    for file in [&victim, &outside] {
        chown(file, Some(OTHER), Some(OTHER)).expect("root's right to give files away");
    }
    (victim, outside)
}

/// All that a write would change.
fn facts(path: &Path) -> (String, u32, u32, i64, i64) {
    let facts = fs::symlink_metadata(path).expect("a file");
    let text = fs::read_to_string(path).expect("its text");
    (text, facts.mode(), facts.uid(), facts.mtime(), facts.mtime_nsec())
}

/// Every file but these and the victim belongs to root, and is no trap.
fn is_roots(machine: &Machine, except: impl Fn(&str) -> bool) {
    for path in machine.node.files().into_iter().filter(|path| path != VICTIM && !except(path)) {
        let facts = fs::symlink_metadata(machine.node.at(&path)).expect("a file");
        let is_plain = facts.is_file() && facts.nlink() == 1 || path.ends_with("-current.pem");
        assert!(facts.uid() == 0 && is_plain, "{path}: {:#?}", machine.node.tree());
    }
}

fn special(at: &Path, kind: &[&str]) {
    let status = Command::new("mknod").arg(at).args(kind).status().expect("mknod");
    assert!(status.success(), "mknod {}", at.display());
}
