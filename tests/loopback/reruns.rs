//! Second runs: at the same time, on a disk that cannot be written any more, after damage, after an interruption.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::support::api::{Api, Cluster, Reply, Route};
use crate::support::node::{CA, KEY_TMP, KUBELET_CONF, Node, PKI};
use crate::support::pki::{self, Authority, DAY, valid};
use crate::support::run::Running;
use crate::support::tmpfs::Tmpfs;

#[test]
fn two_runs_at_once_join_once() {
    let (api, node) = (Api::start(), Node::new());
    let runs = ["one.json", "two.json"]
        .map(|report| node.join(&api).with_cert().report(node.beside(report)).start())
        .map(Running::finish);
    let mut outcomes = runs.each_ref().map(|run| run.report()["outcome"].as_str().unwrap_or_default());
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["already-joined", "joined"]);
    assert_eq!((api.count(Route::Discovery), api.count(Route::Create)), (1, 1));
    node.join(&api).with_cert().run().expect("already-joined");
}

#[test]
fn a_second_run_gives_up_at_its_time_out_while_the_first_waits_for_approval() {
    let (api, node) = (Api::manual(), Node::new());
    let first = node.join(&api).with_cert().report(node.beside("first.json")).start();
    api.wait_for(Route::Watch, 1);
    let second = node.join(&api).with_cert().args("--timeout 1s").run();
    second.expect("files").says(&["another nodestrap process"]);
    second.check(second.elapsed < Duration::from_secs(20), "its own time-out, not that of the first");
    assert_eq!((api.connections().len(), api.count(Route::Create)), (1, 1), "the second kept out");
    api.cluster(Cluster::grant);
    first.finish().expect("joined");
    assert!(node.has(KUBELET_CONF) && !node.has(KEY_TMP));
}

#[test]
fn a_joined_node_on_a_read_only_disk_is_joined_already() {
    let (api, node) = (Api::start(), Node::new());
    let Some(disk) = Tmpfs::mount(&node.root(), "size=1m") else { return };
    node.joins(&api);
    let tree = node.tree();
    disk.remount("ro,size=1m");
    node.join(&api).with_cert().run().expect("already-joined");
    assert_eq!((node.tree(), api.connections().len()), (tree, 1));
    // A secret that should go and cannot is told.
    disk.remount("rw,size=1m");
    node.write_secret(KEY_TMP, node.read_key());
    disk.remount("ro,size=1m");
    let run = node.join(&api).with_cert().run();
    run.expect("files").says(&["kubelet-client.key.tmp cannot be removed", "read-only file system"]);
}

#[test]
fn a_stored_pair_that_no_kubelet_can_use_counts_as_not_joined() {
    /// The stored pair, from its certificate and its key.
    type Damage = fn(&str, &[u8]) -> String;
    fn pair(certificate: &str, label: &str, key: &[u8]) -> String {
        certificate.to_owned() + &pki::pem_text(label, key)
    }
    let cases: [(&str, Damage); 5] = [
        ("a private half of another key", |certificate, key| {
            let mut key = key.to_vec();
            key[20] ^= 1; // inside the scalar
            pair(certificate, "EC PRIVATE KEY", &key)
        }),
        ("half a key", |certificate, key| pair(certificate, "EC PRIVATE KEY", &key[..key.len() / 2])),
        ("a key that is none", |certificate, _| pair(certificate, "EC PRIVATE KEY", b"key")),
        ("a key of another kind by its label", |certificate, key| pair(certificate, "RSA PRIVATE KEY", key)),
        ("an expired intermediate", |certificate, key| {
            let expired = Authority::with("intermediate", |params| valid(params, -9 * DAY, -DAY)).pem();
            pair(&(certificate.to_owned() + &expired), "EC PRIVATE KEY", key)
        }),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, damage)| {
            let (api, node) = (Api::start(), Node::new());
            node.joins(&api);
            let (whole, key) = (node.read_pair(), node.read_key());
            let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
            let der = BASE64_STANDARD.decode(body).expect("base64");
            node.write(&node.pair(), damage(whole.trim_end_matches(&key), &der));
            node.joins(&api);
            assert_eq!(api.cluster(|cluster| cluster.names().len()), 2, "a request for a new key");
            node.join(&api).with_cert().run().expect("already-joined");
        },
    );
}

#[test]
fn an_identity_whose_ca_cannot_be_read_counts_as_not_joined() {
    let (api, node) = (Api::start(), Node::new());
    node.joins(&api);
    let (good, bad) =
        (BASE64_STANDARD.encode(node.read(CA)), BASE64_STANDARD.encode("not a PEM certificate"));
    node.write(KUBELET_CONF, node.read(KUBELET_CONF).replace(&good, &bad));
    node.joins(&api);
    assert!(node.read(KUBELET_CONF).contains(&good), "a kubelet could not have started");
}

#[test]
fn an_unfinished_pair_file_is_gone_after_the_next_run() {
    let (api, node) = (Api::start(), Node::new());
    // A request that is not accepted leaves the key; the power goes while the pair is written.
    api.on(Route::Create, |number, _, _| (number == 0).then(|| Reply::status(422, "Invalid")));
    node.join(&api).with_cert().run().expect("denied");
    let key = node.read(KEY_TMP);
    node.write(&format!("{PKI}/.nodestrap.new"), api.authority.pem() + &key);
    node.joins(&api);
    let with_key: Vec<_> = node.files().into_iter().filter(|file| node.at(file).exists()).collect();
    let with_key: Vec<_> = with_key.into_iter().filter(|file| node.read(file).contains(&key)).collect();
    assert_eq!(with_key, [node.pair()], "the key is in one file");
}

/// A run may end between kubelet.conf's name and the sync of its directory, when the key's first file is still there. What
/// it left was taken for durable once.
#[test]
fn an_identity_whose_name_may_not_be_durable_is_synced_by_the_next_run() {
    let (api, node) = (Api::start(), Node::new());
    node.joins(&api);
    let key = node.read_key();
    let synced = || {
        let (run, log) = node.join(&api).with_cert().traced(["-e", "trace=fsync,fdatasync"]);
        run.expect("already-joined");
        [PKI, "etc/kubernetes/pki", "etc/kubernetes"]
            .map(|at| log.contains(&format!("<{}>) = 0", node.at(at).display())))
    };
    assert_eq!(synced(), [false; 3], "nothing is waited for where nothing was interrupted");
    node.write_secret(KEY_TMP, key);
    assert_eq!(synced(), [true; 3]);
    assert!(!node.has(KEY_TMP));
    assert_eq!(synced(), [false; 3]);
}
