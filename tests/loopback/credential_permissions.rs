//! Files of an identity that others can read or could have written: the ones are closed, the others are not believed.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::support::api::{Api, Cluster};
use crate::support::node::{CA, CURRENT, KUBELET_CONF, Node, USER};
use crate::support::run::Finished;
use crate::support::tmpfs::Tmpfs;

const TOLD: &str = "holds a secret that other users can read";

/// What is done to a machine.
type Change = fn(&Node);
/// Which of its files is meant.
type File = fn(&Node) -> String;

fn set(node: &Node, path: &str, mode: u32) {
    fs::set_permissions(node.at(path), Permissions::from_mode(mode)).expect("a mode");
}

/// Puts the pair into kubelet.conf.
fn embed(node: &Node) {
    let (pair, conf) = (BASE64_STANDARD.encode(node.read_pair()), node.read(KUBELET_CONF));
    let at = format!("/{CURRENT}");
    let conf =
        conf.replace(&format!("client-certificate: {at}"), &format!("client-certificate-data: {pair}"));
    node.write(KUBELET_CONF, conf.replace(&format!("client-key: {at}"), &format!("client-key-data: {pair}")));
    fs::remove_file(node.at(CURRENT)).expect("the link");
}

/// Puts the pair into two files.
fn split(node: &Node) {
    let (pair, conf, key) = (node.read_pair(), node.read(KUBELET_CONF), node.read_key());
    node.write("etc/kubernetes/node.crt", pair.replace(&key, ""));
    node.write("etc/kubernetes/node.key", key);
    let at = format!("/{CURRENT}");
    let conf = conf.replace(&format!("client-certificate: {at}"), "client-certificate: node.crt");
    node.write(KUBELET_CONF, conf.replace(&format!("client-key: {at}"), "client-key: node.key"));
}

fn stays(node: &Node, api: &Api) -> Finished {
    let run = node.join(api).with_cert().secret("BEGIN EC").run();
    run.expect("already-joined");
    run
}

#[test]
fn a_secret_of_the_identity_that_others_can_read_is_closed_and_told() {
    let cases: [(&str, Change, File); 4] = [
        ("the pair", |_| {}, Node::pair),
        ("a key of its own", split, |_| "etc/kubernetes/node.key".to_owned()),
        ("a key in kubelet.conf", embed, |_| KUBELET_CONF.to_owned()),
        (
            "a token in kubelet.conf",
            |node| node.write(KUBELET_CONF, node.read(KUBELET_CONF) + "    token: not-a-bootstrap-token\n"),
            |_| KUBELET_CONF.to_owned(),
        ),
    ];
    for (name, change, file) in cases {
        for mode in [0o644, 0o640, 0o604, 0o444, 0o660] {
            let (api, node) = (Api::start(), Node::new());
            node.joins(&api);
            change(&node);
            set(&node, KUBELET_CONF, 0o600);
            let file = file(&node);
            let before = node.read(&file);
            set(&node, &file, mode);
            // First as it would be.
            node.join(&api).with_cert().args("--dry-run").run().expect("already-joined").says(&[TOLD]);
            assert_eq!(node.mode(&file), mode, "{name}");
            let run = stays(&node, &api);
            run.says(&["warning: files: ", TOLD, "its mode is 0600 now"]);
            assert_eq!((node.mode(&file), node.read(&file)), (0o600, before), "{name}");
            let run = stays(&node, &api);
            run.check(!run.stderr.contains(TOLD), "told once");
            assert_eq!(api.connections().len(), 1, "{name}");
        }
    }
}

/// Older benchmarks allow 0644 for kubelet.conf, and certificates are no secrets.
#[test]
fn what_holds_no_secret_is_left_readable() {
    let (api, node) = (Api::start(), Node::new());
    node.joins(&api);
    set(&node, KUBELET_CONF, 0o644);
    let run = stays(&node, &api);
    split(&node);
    set(&node, "etc/kubernetes/node.key", 0o600);
    let split = stays(&node, &api);
    for (run, file) in [(run, KUBELET_CONF), (split, "etc/kubernetes/node.crt")] {
        run.check(!run.stderr.contains("warning: files"), "nothing to tell");
        assert_eq!(node.mode(file), 0o644);
    }
    assert_eq!(node.mode(KUBELET_CONF), 0o644);
}

#[test]
fn a_serving_pair_that_others_can_read_is_closed_too() {
    let (api, node) = (Api::start(), Node::new());
    api.cluster(|cluster: &mut Cluster| cluster.approves_serving = true);
    let join = || node.join(&api).args("--with-serving-cert --san 10.0.0.5");
    join().run().expect("joined");
    let files = node.files();
    let pair = files.iter().find(|file| file.contains("kubelet-server-2")).expect("a serving pair");
    set(&node, pair, 0o644);
    join().run().expect("already-joined").says(&[TOLD]);
    assert_eq!(node.mode(pair), 0o600);
}

#[test]
fn on_a_read_only_disk_it_is_told_and_no_failure() {
    let (api, node) = (Api::start(), Node::new());
    let Some(disk) = Tmpfs::mount(&node.root(), "size=1m") else { return };
    node.joins(&api);
    set(&node, &node.pair(), 0o644);
    disk.remount("ro,size=1m");
    stays(&node, &api).says(&[TOLD, "its mode cannot be set to 0600: read-only file system"]);
    assert_eq!(node.mode(&node.pair()), 0o644);
}

#[test]
fn what_others_could_write_is_no_identity() {
    let files: [(&str, File); 3] = [
        ("kubelet.conf", |_| KUBELET_CONF.to_owned()),
        ("the pair", Node::pair),
        ("ca.crt", |_| CA.to_owned()),
    ];
    let modes = [(0o666, 0, 0), (0o602, 0, 0), (0o664, 0, USER), (0o620, 0, USER), (0o600, USER, 0)];
    let cases: Vec<_> =
        files.into_iter().flat_map(|(name, file)| modes.map(|mode| (name, file, mode))).collect();
    crate::support::all(
        &cases,
        |(name, _, (mode, owner, group))| format!("{name} {mode:o} {owner}:{group}"),
        |(_, file, (mode, owner, group))| {
            let (api, node) = (Api::start(), Node::new());
            node.joins(&api);
            let (file, first) = (file(&node), node.read_key());
            chown(node.at(&file), Some(*owner), Some(*group)).expect("root's right to give files away");
            set(&node, &file, *mode);
            let before = node.tree();
            // Without a way to join it is not believed, however often it is looked at.
            for _ in 0..2 {
                let run = node.join_at("", &[]).token("").with_cert().run();
                run.check(run.code != Some(0), "it is not believed");
                assert_eq!(node.tree(), before);
            }
            let run = node.joins(&api);
            run.says(&["is unusable: ", "other users can write to it"]);
            assert_ne!(node.read_key(), first, "the key is another one");
            let run = stays(&node, &api);
            run.check(!run.stderr.contains("warning: files"), "nothing to tell");
            assert_eq!(node.mode(CA), 0o644);
        },
    );
}

/// As a umask of 002 would have it, which nobody has here.
#[test]
fn what_the_group_of_root_can_write_is_an_identity() {
    let (api, node) = (Api::start(), Node::new());
    node.joins(&api);
    for file in [KUBELET_CONF, CA] {
        set(&node, file, 0o664);
    }
    let run = stays(&node, &api);
    run.check(!run.stderr.contains("warning: files"), "nothing to tell");
    assert_eq!(api.connections().len(), 1);
}
