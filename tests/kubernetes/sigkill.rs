//! `kill -9` before every system call that changes something, and a second run that finishes the job.

use std::{collections::BTreeMap, ffi::OsString, thread, time::Duration};

use crate::harness::{
    audit::Mark,
    cluster::{Cluster, Options},
    node::pem_blocks,
    token::Token,
};
use crate::support::node::Node;

/// What a process of ours can do to the network and the disk, and its end.
const CALLS: [&str; 19] = [
    "connect",
    "sendto",
    "recvfrom",
    "write",
    "writev",
    "open",
    "openat",
    "mkdir",
    "mkdirat",
    "fchmod",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "symlinkat",
    "unlink",
    "unlinkat",
    "exit_group",
];
const KEY: &str = "/var/lib/kubelet/pki/kubelet-client.key.tmp";

/// What was there when the first run was killed.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Stage {
    /// The key comes first: what does not depend on the API server's answer is written while that is awaited.
    BeforeKey,
    KeyWritten,
    RequestFiled,
    CertificateStored,
    Committed,
    CleanedUp,
}

/// One request for each node, and the key that was filed with it, however the first run ended.
#[test]
fn killed_anywhere_the_next_run_finishes() {
    let cluster = Cluster::start(Options { algorithm: "ECDSA-P256", ..Options::default() });
    let token = cluster.token();
    let mut points: BTreeMap<Stage, u32> = BTreeMap::new();
    let mut nodes = Vec::new();
    for call in CALLS {
        for count in 1.. {
            let node = Node::named(&format!("killed-{}-{count}", call.replace('_', "-")));
            let mark = cluster.mark();
            let first = node.join(&token).with_cert().through(killed_before(call, count)).run();
            if first.signal != Some(9) {
                first.expect("joined");
                break;
            }
            let stage = stage(&cluster, &node, &mark);
            finish(&cluster, &token, &node, stage);
            *points.entry(stage).or_default() += 1;
            nodes.push(node.name.clone());
        }
    }
    println!("killed at {} points: {points:?}", nodes.len());
    let wanted = [
        Stage::BeforeKey,
        Stage::KeyWritten,
        Stage::RequestFiled,
        Stage::CertificateStored,
        Stage::Committed,
        Stage::CleanedUp,
    ];
    assert_eq!(points.keys().copied().collect::<Vec<_>>(), wanted, "every stage was interrupted");
    let requests = cluster.signing_requests();
    for name in nodes {
        assert_eq!(requests.iter().filter(|node| **node == name).count(), 1, "requests of {name}");
    }
}

/// What has nodestrap killed on entering the `count`th `call`, which then does not happen.
fn killed_before(call: &str, count: u32) -> [OsString; 8] {
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={count}"));
    ["strace", "-f", "-o", "/dev/null", "-e", &trace, "-e", &inject].map(OsString::from)
}

/// The second run: it joins, with the key that was there.
fn finish(cluster: &Cluster, token: &Token, node: &Node, stage: Stage) {
    let key = match stage {
        Stage::BeforeKey => None,
        Stage::KeyWritten | Stage::RequestFiled | Stage::CertificateStored => pem_blocks(&node.at(KEY)).pop(),
        Stage::Committed | Stage::CleanedUp => pem_blocks(&node.identity_file()).pop(),
    };
    if node.listing().iter().any(|file| file.contains("kubelet-client-DATE")) {
        // As after a real crash, the next run comes in another second, and yet finds the pair of the first.
        thread::sleep(Duration::from_secs(1));
    }
    let second = node.join(token).with_cert().run();
    assert_eq!(second.code, Some(0), "{} after {stage:?}: {}", node.name, second.stderr);
    node.assert_joined(cluster);
    if key.is_some() {
        assert_eq!(pem_blocks(&node.identity_file()).pop(), key, "the key of {} after {stage:?}", node.name);
    }
}

fn stage(cluster: &Cluster, node: &Node, mark: &Mark) -> Stage {
    let exists = |path: &str| node.at(path).exists();
    if exists("/etc/kubernetes/kubelet.conf") {
        if exists(KEY) { Stage::Committed } else { Stage::CleanedUp }
    } else if node
        .listing()
        .iter()
        .any(|file| file.starts_with("/var/lib/kubelet/pki/kubelet-client-DATE.pem"))
    {
        Stage::CertificateStored
    } else if exists(KEY) {
        let requests = cluster.joins_since(mark);
        if requests.iter().any(|request| request.verb == "create" && request.code == 201) {
            Stage::RequestFiled
        } else {
            Stage::KeyWritten
        }
    } else {
        Stage::BeforeKey
    }
}
