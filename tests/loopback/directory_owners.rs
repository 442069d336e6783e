//! Whose the directories of the node's files are, and who else may write to them: what is refused, told, and put right.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::process::Command;

use rustix::fs::{XattrFlags, fsetxattr};
use rustix::io::Errno;

use crate::support::api::{Api, Cluster, Reply, Route};
use crate::support::node::{CA, KEY_TMP, KUBELET, KUBELET_CONF, Node, PKI, USER};
use crate::support::run::Finished;
use crate::support::tmpfs::Tmpfs;

/// kubespray's user for `/etc/kubernetes` (`roles/adduser`), here by a number that no machine has.
const KUBE: u32 = 997;

/// Makes a directory of the machine with this mode and owner.
fn directory(node: &Node, path: &str, mode: u32, owner: u32, group: u32) {
    let at = node.at(path);
    fs::create_dir_all(&at).expect("directories");
    chown(&at, Some(owner), Some(group)).expect("root's right to give directories away");
    fs::set_permissions(&at, Permissions::from_mode(mode)).expect("a mode");
}

/// Runs the command that an error tells to run.
fn obey(run: &Finished) {
    let line = run.stderr.lines().last().expect("an error");
    let command = line.split_once("run `").and_then(|(_, rest)| rest.split_once('`')).expect("a command").0;
    run.check(command.starts_with("chmod go-w /"), "a command");
    let status = Command::new("sh").args(["-c", command]).status().expect("a shell");
    run.check(status.success(), command);
}

#[test]
fn where_others_can_write_nothing_is_asked_or_written_until_that_is_put_right() {
    let places = ["", "etc", "etc/kubernetes", "etc/kubernetes/pki", "var", "var/lib", KUBELET, PKI];
    let modes = [(0o777, 0), (0o1777, 0), (0o757, 0), (0o775, USER)];
    let cases: Vec<(&str, (u32, u32))> =
        places.into_iter().flat_map(|at| modes.map(|mode| (at, mode))).collect();
    crate::support::all(
        &cases,
        |(at, (mode, group))| format!("/{at} {mode:o} 0:{group}"),
        |(at, (mode, group))| {
            let (api, node) = (Api::start(), Node::new());
            directory(&node, at, *mode, 0, *group);
            let before = node.tree();
            let shown = node.at(at).display().to_string();
            let shown = format!("{}: other users can write to it", shown.trim_end_matches('/'));
            for flags in ["--with-client-cert", "", "--with-client-cert --replace", "--dry-run"] {
                let run = node.join(&api).args(flags).run();
                run.expect("files").says(&[&shown]);
                assert_eq!((node.tree(), api.connections().len()), (before.clone(), 0), "{flags}");
            }
            obey(&node.join(&api).with_cert().run());
            let run = node.joins(&api);
            run.check(!run.stderr.contains("other users"), "nothing to tell");
        },
    );
}

#[test]
fn a_joined_node_is_not_believed_where_others_can_write() {
    let places = ["", "etc/kubernetes", "etc/kubernetes/pki", KUBELET, PKI];
    crate::support::all(&places, ToString::to_string, |at| {
        let (api, node) = (Api::start(), Node::new());
        node.joins(&api);
        fs::set_permissions(node.at(at), Permissions::from_mode(0o777)).expect("a mode");
        let run = node.join(&api).with_cert().run();
        run.expect("files").says(&["chmod go-w"]);
        obey(&run);
        node.join(&api).with_cert().run().expect("already-joined");
        assert_eq!(api.connections().len(), 1);
    });
}

#[test]
fn a_directory_of_another_user_is_told_and_used() {
    let (api, node) = (Api::start(), Node::new());
    directory(&node, "etc/kubernetes", 0o755, KUBE, 0);
    directory(&node, "etc/kubernetes/ssl", 0o500, KUBE, 0);
    symlink("ssl", node.at("etc/kubernetes/pki")).expect("kubespray's link");
    let told = |run: &Finished| {
        for at in ["etc/kubernetes", "etc/kubernetes/ssl"] {
            let line = format!("warning: files: {}: it belongs to UID {KUBE}", node.at(at).display());
            run.check(run.stderr.matches(&line).count() == 1, &line);
        }
    };
    told(&node.joins(&api));
    told(node.join(&api).with_cert().run().expect("already-joined"));
    assert_eq!(fs::metadata(node.at("etc/kubernetes")).expect("a directory").uid(), KUBE, "it is left");
    assert!(node.has("etc/kubernetes/ssl/ca.crt"));
}

/// A umask of 002 leaves the group of root, or that of the user who runs it, the right to write.
#[test]
fn the_group_of_root_and_ones_own_are_no_others() {
    let (api, node) = (Api::start(), Node::new());
    for at in ["", "etc", "etc/kubernetes", "var/lib", KUBELET] {
        directory(&node, at, 0o775, 0, 0);
    }
    let run = node.joins(&api);
    run.check(!run.stderr.contains("warning: files"), "nothing to tell");
    let node = Node::new();
    for at in ["etc", "etc/kubernetes", "var", "var/lib", KUBELET, PKI] {
        directory(&node, at, 0o775, USER, USER);
    }
    fs::set_permissions(node.root(), Permissions::from_mode(0o2775)).expect("a mode");
    let run = node.join(&api).with_cert().by_user().run();
    run.expect("joined").check(!run.stderr.contains("warning: files"), "nothing to tell");
    // For root that group is another one.
    obey(&node.join(&api).with_cert().run());
}

#[test]
fn with_an_access_control_list_the_group_of_root_is_anybody() {
    let (api, node) = (Api::start(), Node::new());
    let at = "etc/kubernetes";
    directory(&node, at, 0o755, 0, 0);
    // acl(5) in the kernel's form: version 2; owner, user 1000, group, mask, others.
    let list = |rights: u16| {
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for (tag, rights, id) in
            [(1_u16, 7_u16, !0), (2, rights, USER), (4, 5, !0), (0x10, rights, !0), (0x20, 5, !0)]
        {
            bytes.extend(tag.to_le_bytes().into_iter().chain(rights.to_le_bytes()).chain(id.to_le_bytes()));
        }
        bytes
    };
    let give = |rights| {
        let directory = File::open(node.at(at)).expect("a directory");
        fsetxattr(directory, "system.posix_acl_access", &list(rights), XattrFlags::empty())
    };
    match give(7) {
        Err(Errno::OPNOTSUPP) if std::env::var_os("CI").is_none_or(|ci| ci != "true") => {
            eprintln!("skipped: this takes a file system with access control lists");
            return;
        }
        result => result.expect("a list"),
    }
    assert_eq!(node.mode(at), 0o775, "what a look at the mode alone would take for the group of root");
    let run = node.join(&api).with_cert().run();
    run.expect("files").says(&["other users can write to it"]);
    obey(&run);
    node.joins(&api);
    give(5).expect("a list of readers");
    node.join(&api).with_cert().run().expect("already-joined");
    assert_eq!(api.connections().len(), 1);
}

#[test]
fn where_a_link_leads_is_judged_too() {
    let (api, node) = (Api::start(), Node::new());
    directory(&node, "data/kubelet", 0o700, 0, 0);
    directory(&node, "data", 0o1777, 0, 0);
    fs::create_dir_all(node.at("var/lib")).expect("a directory");
    symlink("/data/kubelet", node.at(KUBELET)).expect("a link");
    let run = node.join(&api).with_cert().run();
    run.expect("files").says(&[&format!("{}: other users", node.at("data").display())]);
    assert_eq!(api.connections().len(), 0);
    obey(&run);
    node.join(&api).with_cert().run().expect("joined");
    // Beside the way, and above the root, nobody looks.
    directory(&node, "srv", 0o777, 0, 0);
    fs::set_permissions(node.root().parent().expect("a scratch directory"), Permissions::from_mode(0o777))
        .expect("a mode");
    node.join(&api).with_cert().run().expect("already-joined");
}

#[test]
fn a_users_root_is_his_and_roots() {
    let (api, node) = (Api::start(), Node::new());
    for at in ["", "etc", "etc/kubernetes"] {
        directory(&node, at, 0o755, USER, USER);
    }
    let run = node.join(&api).with_cert().by_user().run();
    run.expect("joined").check(!run.stderr.contains("warning: files"), "nothing to tell");
    let run = node.join(&api).with_cert().run();
    run.expect("already-joined").check(!run.stderr.contains("warning: files"), "nothing to tell");
    let other = Node::new();
    for at in ["", "etc"] {
        directory(&other, at, 0o755, USER, USER);
    }
    let run = other.joins(&api);
    run.check(!run.stderr.contains("warning: files"), "nothing to tell");
}

/// Root outside is nobody inside, and whoever is root inside may not write where it is the owner.
#[test]
fn in_a_user_namespace_roots_directories_are_told_and_used() {
    let (api, node) = (Api::start(), Node::new());
    directory(&node, "etc", 0o755, 0, 0);
    directory(&node, "var/lib", 0o755, 0, 0);
    for at in ["etc/kubernetes", KUBELET] {
        directory(&node, at, 0o755, USER, USER);
    }
    let namespace = ["unshare", "--user", "--map-root-user"].map(OsString::from);
    let join = node.join(&api).with_cert().through(namespace).by_user();
    join.run().expect("joined").says(&[&format!("{}: it belongs to UID 65534", node.at("etc").display())]);
    join.run().expect("already-joined").says(&["it belongs to UID 65534"]);
}

#[test]
fn a_read_only_disk_is_judged_alike() {
    let (api, node) = (Api::start(), Node::new());
    let Some(disk) = Tmpfs::mount(&node.root(), "size=1m,mode=755") else { return };
    directory(&node, "etc/kubernetes", 0o755, KUBE, 0);
    node.joins(&api);
    disk.remount("ro,size=1m,mode=755");
    node.join(&api).with_cert().run().expect("already-joined").says(&["it belongs to UID 997"]);
    disk.remount("rw,size=1m,mode=755");
    directory(&node, "etc/kubernetes", 0o777, 0, 0);
    disk.remount("ro,size=1m,mode=755");
    node.join(&api).with_cert().run().expect("files").says(&["chmod go-w"]);
    assert_eq!(api.connections().len(), 1);
}

/// Whoever owns the directory can put a file of his own in the place of the one that waits for its name.
#[test]
fn a_file_that_was_swapped_while_the_request_is_pending_is_not_committed() {
    for owner in [KUBE, 0] {
        let (api, node) = (Api::manual(), Node::new());
        directory(&node, "etc/kubernetes", 0o755, owner, 0);
        let staged = "etc/kubernetes/.nodestrap.staged";
        let run = node.join(&api).with_cert().start();
        api.wait_for(Route::Watch, 1);
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !node.has(staged) {
            assert!(std::time::Instant::now() < end, "nothing staged: {:#?}", node.tree());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        node.write("etc/kubernetes/theirs", "kind: Config\n# theirs\n");
        fs::rename(node.at("etc/kubernetes/theirs"), node.at(staged)).expect("a file that is moved");
        api.cluster(Cluster::grant);
        run.finish().expect("files").says(&["kubelet.conf", "replaced by another process"]);
        assert!(!node.has(KUBELET_CONF) && !node.has(staged), "{:#?}", node.tree());
        node.joins(&api);
        assert!(!node.read(KUBELET_CONF).contains("theirs"));
    }
}

#[test]
fn a_key_that_others_may_know_is_not_asked_with() {
    type Leave = fn(&Node);
    let cases: [(&str, Leave, bool); 6] = [
        ("as it was left", |_| {}, false),
        (
            "0644",
            |node| fs::set_permissions(node.at(KEY_TMP), Permissions::from_mode(0o644)).expect("a mode"),
            true,
        ),
        (
            "0640",
            |node| fs::set_permissions(node.at(KEY_TMP), Permissions::from_mode(0o640)).expect("a mode"),
            true,
        ),
        (
            "0620",
            |node| fs::set_permissions(node.at(KEY_TMP), Permissions::from_mode(0o620)).expect("a mode"),
            true,
        ),
        (
            "a second name",
            |node| fs::hard_link(node.at(KEY_TMP), node.beside("second")).expect("a link"),
            true,
        ),
        ("another owner", |node| chown(node.at(KEY_TMP), Some(USER), None).expect("root's right"), true),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, leave, is_new)| {
            let (api, node) = (Api::start(), Node::new());
            // An invalid request ends a run at once and leaves the key.
            api.on(Route::Create, |number, _, _| (number == 0).then(|| Reply::status(422, "Invalid")));
            node.join(&api).with_cert().run().expect("denied");
            let key = node.read(KEY_TMP);
            leave(&node);
            let run = node.joins(&api);
            assert_eq!(node.read_key() != key, *is_new);
            run.check(run.stderr.contains("other users could read the key in ") == *is_new, "it is told");
        },
    );
}

#[test]
fn an_image_in_which_others_can_write_is_found() {
    let node = Node::new();
    directory(&node, "etc/kubernetes/pki", 0o777, 0, 0);
    directory(&node, KUBELET, 0o755, KUBE, 0);
    let root = node.root().display().to_string();
    let run = crate::support::run::start(
        &["check", "--root", &root].map(OsString::from),
        &node.root(),
        None,
        vec![],
    );
    let run = run.finish();
    run.expect("files");
    for line in [
        format!(
            "error: /etc/kubernetes/pki: other users can write to it, and could replace the node's files; run `chmod \
             go-w {root}/etc/kubernetes/pki`"
        ),
        format!("warning: /var/lib/kubelet: it belongs to UID {KUBE}"),
    ] {
        run.check(run.stdout.contains(&line), &line);
    }
    assert!(!node.has(CA));
}
