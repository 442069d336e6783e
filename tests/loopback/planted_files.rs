//! What other users of the machine have planted where the caller's own files and the node's are.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::api::{Api, Route, TOKEN};
use crate::support::node::{CA, KEY_TMP, KUBELET_CONF, Node};
use crate::support::run;

/// A user that is not root.
const OTHER: u32 = 65_534;

/// A directory beside the node's root, as `/tmp` is one.
fn shared(node: &Node) -> PathBuf {
    let path = node.beside("shared");
    fs::create_dir(&path).expect("a directory");
    fs::set_permissions(&path, Permissions::from_mode(0o1777)).expect("a mode");
    path
}

/// A link that another user has made.
fn plant(target: &Path, at: &Path) {
    symlink(target, at).expect("a link");
    lchown(at, Some(OTHER), Some(OTHER)).expect("root's right to give links away");
}

/// `fs.protected_symlinks` is off on this machine, or the directory is none that it protects.
#[test]
fn a_report_does_not_go_where_another_users_link_leads() {
    let (api, node) = (Api::start(), Node::new());
    let (shared, victim) = (shared(&node), node.beside("victim"));
    fs::write(&victim, "victim").expect("a file");
    fs::create_dir(node.beside("other")).expect("a directory");
    plant(&victim, &shared.join("file"));
    plant(&node.beside("none"), &shared.join("new"));
    plant(&node.beside("other"), &shared.join("directory"));
    for mode in [0o1777, 0o777, 0o755] {
        fs::set_permissions(&shared, Permissions::from_mode(mode)).expect("a mode");
        for name in ["file", "new", "directory/report"] {
            // The runner removes a report that is there; this link has to stay.
            let report = format!("--report {}", shared.join(name).display());
            let run = node.join(&api).with_cert().args(&report).run();
            run.check_success();
            run.says(&["warning: files: the report ", "a symbolic link of another user"]);
        }
    }
    assert_eq!(fs::read_to_string(&victim).expect("the victim"), "victim");
    assert!(!node.beside("none").exists(), "made through a link");
    assert_eq!(fs::read_dir(node.beside("other")).expect("a directory").count(), 0);
}

#[test]
fn a_report_goes_where_ones_own_link_leads() {
    let (api, node) = (Api::start(), Node::new());
    let link = shared(&node).join("report");
    fs::write(node.beside("target"), "a longer text that was there before, and much of it".repeat(99))
        .expect("a file");
    symlink(node.beside("target"), &link).expect("a link");
    let words = node.join(&api).with_cert().report(&link).words();
    run::start(&words, &node.root(), None, Vec::new()).finish().expect("joined");
    let report = fs::read_to_string(node.beside("target")).expect("a report");
    assert!(report.starts_with('{') && report.ends_with("}\n") && link.is_symlink(), "{report}");
}

#[test]
fn a_token_is_neither_read_nor_removed_behind_another_users_link() {
    let (api, node) = (Api::start(), Node::new());
    let shared = shared(&node);
    fs::create_dir(node.beside("other")).expect("a directory");
    let file = node.beside("other/token");
    fs::write(&file, TOKEN).expect("a token");
    plant(&file, &shared.join("file"));
    plant(&node.beside("other"), &shared.join("directory"));
    for name in ["file", "directory/token"] {
        let token = format!("--remove-token-file --token-file {}", shared.join(name).display());
        let run = node.join(&api).with_cert().token("").args(&token).run();
        run.expect("usage").says(&["a symbolic link of another user"]);
        assert!(file.exists());
    }
    assert_eq!((api.connections().len(), node.tree()), (0, Vec::new()));
    // Planted while the node joins.
    fs::remove_file(shared.join("directory")).expect("a link");
    fs::create_dir(shared.join("directory")).expect("a directory");
    fs::write(shared.join("directory/token"), TOKEN).expect("a token");
    let waiting = Api::manual();
    let token = format!("--remove-token-file --token-file {}", shared.join("directory/token").display());
    let run = node.join(&waiting).with_cert().token("").args(&token).start();
    waiting.wait_for(Route::Watch, 1);
    fs::rename(shared.join("directory"), node.beside("away")).expect("a directory that is moved");
    plant(&node.beside("other"), &shared.join("directory"));
    waiting.cluster(crate::support::api::Cluster::grant);
    run.finish().expect("joined").says(&["warning: files: the token in ", "a symbolic link of another user"]);
    assert!(file.exists(), "it was removed behind the link");
}

/// Opening `/dev/watchdog` starts it.
#[test]
fn devices_and_fifos_with_the_names_of_files_are_never_opened() {
    let kinds: [&[&str]; 3] = [&["c", "10", "130"], &["b", "240", "0"], &["p"]];
    let names = ["etc/hostname", KUBELET_CONF, CA, KEY_TMP];
    let cases: Vec<(&str, &[&str])> =
        names.into_iter().flat_map(|name| kinds.map(|kind| (name, kind))).collect();
    crate::support::all(
        &cases,
        |(name, kind)| format!("{kind:?} at {name}"),
        |(name, kind)| {
            let (api, node) = (Api::start(), Node::new());
            let at = node.at(name);
            fs::create_dir_all(at.parent().expect("a parent")).expect("directories");
            let status = Command::new("mknod").arg(&at).args(*kind).status().expect("mknod");
            assert!(status.success(), "mknod");
            let node_name = if name.ends_with("hostname") { "" } else { "n1" };
            let (run, log) = node.join(&api).name(node_name).with_cert().traced(["-e", "trace=open,openat"]);
            run.expect("files").says(&[name, "not a regular file"]);
            let last = format!("\"{}\"", at.file_name().expect("a name").to_string_lossy());
            let opened: Vec<_> =
                log.lines().filter(|line| line.contains(&last) || line.contains("10:130")).collect();
            run.check(opened.is_empty(), &format!("{opened:?}"));
        },
    );
}
