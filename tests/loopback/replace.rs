//! What another cluster or another node has left on the disk: refused, and with `--replace` moved aside.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::support::api::{Api, Reply, Route};
use crate::support::join::Join;
use crate::support::node::{BOOTSTRAP_CONF, CA, CURRENT, KEY_TMP, KUBELET_CONF, Node, PKI};

const SERVER: &str = "var/lib/kubelet/pki/kubelet-server-current.pem";

/// Brings a machine into a state, before it is to join `here` as `n1`. `there` is another cluster.
type Leave = fn(&Node, here: &Api, there: &Api);

/// What is refused, each with words of the refusal.
const LEFT: [(&str, Leave, &str); 8] = [
    (
        "another cluster's ca.crt",
        |node, _, there| node.write(CA, there.authority.pem()),
        "ca.crt holds CA keys that are not the cluster's: CN=kubernetes (sha256:",
    ),
    (
        "another node's identity",
        |node, here, _| joined_as("old", node, here),
        "system:node:old, this node is n1",
    ),
    ("another node's in another cluster", |node, _, there| joined_as("old", node, there), "this node is n1"),
    (
        "another cluster's identity without its ca.crt",
        |node, _, there| {
            joined_as("n1", node, there);
            remove(node, CA);
        },
        "kubelet.conf belongs to another cluster",
    ),
    (
        "another cluster's identity beside this cluster's ca.crt",
        |node, here, there| {
            joined_as("n1", node, there);
            node.write(CA, here.authority.pem());
        },
        "have no CA key in common",
    ),
    (
        "what is left of another cluster's identity",
        |node, _, there| {
            joined_as("n1", node, there);
            remove(node, KUBELET_CONF);
        },
        "ca.crt holds CA keys that are not the cluster's: CN=kubernetes (sha256:",
    ),
    (
        "pairs of another node without a kubelet.conf",
        |node, _, there| {
            joined_as("old", node, there);
            remove(node, KUBELET_CONF);
            remove(node, CA);
        },
        "kubelet-server-current.pem belongs to O=system:nodes, CN=system:node:old, this node is n1",
    ),
    (
        "a client's pair of another node beside a kubelet.conf of no use",
        |node, here, _| {
            joined_as("old", node, here);
            remove(node, SERVER);
            node.write(KUBELET_CONF, "kind: Config\n");
        },
        "kubelet-client-current.pem belongs to O=system:nodes, CN=system:node:old",
    ),
];

/// A node with both pairs, a pair that its kubelet has signed itself, and the keys of requests that are not decided.
fn joined_as(name: &str, node: &Node, api: &Api) {
    api.cluster(|cluster| cluster.approves_serving = true);
    node.join(api).name(name).args("--with-serving-cert --san 10.0.0.5").run().expect("joined");
    for file in ["kubelet.crt", "kubelet.key", "kubelet-client.key.tmp", "kubelet-server.key.tmp"] {
        let path = format!("{PKI}/{file}");
        node.write(&path, node.read_key());
        fs::set_permissions(node.at(&path), Permissions::from_mode(0o600)).expect("a mode");
    }
    node.write(&format!("{PKI}/operators.txt"), "not a kubelet's");
}

fn remove(node: &Node, path: &str) {
    fs::remove_file(node.at(path)).expect("a file to remove");
}

fn replacing<'a>(node: &'a Node, api: &Api) -> Join<'a> {
    node.join(api).with_cert().args("--replace")
}

/// Modes, links and contents.
fn state(node: &Node) -> (Vec<String>, BTreeMap<String, String>) {
    let files = node
        .files()
        .into_iter()
        .filter(|file| fs::symlink_metadata(node.at(file)).is_ok_and(|m| m.is_file()));
    (node.tree(), files.map(|file| (file.clone(), node.read(&file))).collect())
}

/// What was moved aside, without the ending.
fn is_aside(file: &str) -> bool {
    file.contains(".old-2")
}

/// Asserts that of all that a kubelet looks at nothing is there but what one join writes, and that its key is new.
fn is_new(node: &Node, api: &Api, before: &BTreeMap<String, String>) {
    let pair = node.pair_in_use();
    let operators = format!("{PKI}/operators.txt");
    let expected = [CA, KUBELET_CONF, CURRENT, pair.as_str(), operators.as_str()];
    let files = node.files();
    let strange: Vec<_> =
        files.iter().filter(|file| !is_aside(file) && !expected.contains(&file.as_str())).collect();
    assert!(strange.is_empty(), "{strange:?} in {:#?}", node.tree());
    assert_eq!(node.read(CA), api.authority.pem());
    let text = node.read(&pair);
    let key = &text[text.find("-----BEGIN EC PRIVATE KEY-----").expect("a key")..];
    assert!(before.values().all(|old| !old.contains(key)), "a key of the old identity is used again");
}

#[test]
fn what_is_foreign_is_refused_and_named() {
    crate::support::all(
        &LEFT,
        |case| case.0.to_owned(),
        |(_, leave, words)| {
            let (here, there, node) = (Api::start(), Api::start(), Node::new());
            leave(&node, &here, &there);
            let (before, seen) = (state(&node), here.credentials_seen());
            for flags in ["--with-client-cert", "", "--dry-run"] {
                let run = node.join(&here).args(flags).run();
                run.expect("files").says(&[words, "--replace"]);
                assert_eq!((state(&node), here.credentials_seen()), (before.clone(), seen));
            }
        },
    );
}

#[test]
fn replacing_moves_it_aside_and_joins() {
    crate::support::all(
        &LEFT,
        |case| case.0.to_owned(),
        |(_, leave, _)| {
            let (here, there, node) = (Api::start(), Api::start(), Node::new());
            leave(&node, &here, &there);
            let (tree, before) = state(&node);
            let (connections, seen) = (here.connections().len(), here.credentials_seen());

            let dry = replacing(&node, &here).args("--dry-run").run();
            dry.expect("dry-run").says(&["would be moved aside"]);
            assert_eq!(state(&node), (tree.clone(), before.clone()), "a dry run writes nothing");
            assert_eq!(here.credentials_seen(), seen);

            let run = replacing(&node, &here).run();
            run.expect("joined").says(&["moved aside /"]);
            assert_eq!(here.connections().len(), connections + 2);
            is_new(&node, &here, &before);

            // Everything that was there is there still, each with its mode, and links with their targets.
            let after = node.tree();
            for line in tree.iter().filter(|line| !line.starts_with('d') && !line.contains("operators.txt")) {
                let (entry, target) =
                    line.split_once(" -> ").map_or((line.as_str(), None), |(e, t)| (e, Some(t)));
                let moved = after.iter().find(|line| {
                    let (new, to) =
                        line.split_once(" -> ").map_or((line.as_str(), None), |(e, t)| (e, Some(t)));
                    new.strip_prefix(entry).is_some_and(|rest| rest.starts_with(".old-2")) && to == target
                });
                let path = entry.split(' ').nth(1).expect("a path");
                if let (Some(moved), Some(content)) = (moved, before.get(path)) {
                    assert_eq!(&node.read(moved.split(' ').nth(1).expect("a path")), content);
                }
                assert!(
                    moved.is_some() || before.get(path) == Some(&here.authority.pem()),
                    "{line}: {after:#?}"
                );
            }
            let seen = here.requests().len();
            replacing(&node, &here).run().expect("already-joined");
            node.join(&here).with_cert().run().expect("already-joined");
            assert_eq!(here.requests().len(), seen, "a pin tells that the identity is this cluster's");
        },
    );
}

#[test]
fn an_identity_in_this_cluster_stays_beside_a_ca_that_goes() {
    let (here, there, node) = (Api::start(), Api::start(), Node::new());
    node.joins(&here);
    node.write(CA, there.authority.pem());
    let pair = node.read_pair();
    node.join(&here).with_cert().run().expect("files").says(&["have no CA key in common", "--replace"]);
    replacing(&node, &here).run().expect("joined");
    let aside: Vec<_> = node.files().into_iter().filter(|file| is_aside(file)).collect();
    assert!(
        matches!(&aside[..], [ca] if node.read(ca) == there.authority.pem() && ca.starts_with(CA)),
        "{aside:?}"
    );
    assert_ne!(node.read_pair(), pair, "as where ca.crt is missing, the node joins anew");
}

#[test]
fn a_node_of_the_same_name_elsewhere_is_refused_unless_it_is_to_be_replaced() {
    let (here, there, node) = (Api::start(), Api::start(), Node::new());
    joined_as("n1", &node, &there);
    let (_, before) = state(&node);
    let run = node.join(&here).with_cert().run();
    run.expect("files").says(&["kubelet.conf belongs to another cluster", &there.authority.pin()]);
    assert_eq!((here.connections().len(), state(&node).1), (0, before.clone()));
    replacing(&node, &here).run().expect("joined");
    is_new(&node, &here, &before);
}

#[test]
fn without_a_pin_the_cluster_is_asked_whose_the_identity_is() {
    let (api, node) = (Api::start(), Node::new());
    node.joins(&api);
    let before = state(&node);
    let seen = api.requests().len();
    let join = replacing(&node, &api).pins(&[]).args("--discovery-token-unsafe-skip-ca-verification");
    let run = join.run();
    run.expect("already-joined").says(&["already joined: n1"]);
    assert!(!run.report()["certificate"].is_null());
    join.clone().args("--dry-run").run().expect("already-joined");
    assert_eq!(state(&node), before);
    assert_eq!(api.routes()[seen..], [Route::Discovery; 2]);
}

#[test]
fn nothing_moves_before_the_cluster_is_trusted_and_has_answered() {
    let (here, there, node) = (Api::start(), Api::start(), Node::new());
    joined_as("old", &node, &there);
    let before = state(&node);
    let wrong = [there.authority.pin()];
    replacing(&node, &here).pins(&wrong).run().expect("not-trusted");
    assert_eq!(state(&node), before);
    let nobody = format!("127.0.0.1:{}", crate::support::ports::closed());
    replacing(&node, &here).endpoint(nobody).args("--discovery-timeout 1s").run().expect("unreachable");
    assert_eq!(state(&node), before);
    here.on(Route::Node, |_, _, _| Some(Reply::status(403, "Forbidden")));
    replacing(&node, &here).args("--refuse-ready-node --timeout 2s").run().expect("refused");
    assert_eq!(state(&node), before);
}

/// The order in which files go is the program's own; a run that ends after any of them leaves a state from which the
/// next one finishes. Without `--replace` that one is refused, or what is left is of no use to a kubelet.
#[test]
fn interrupted_after_any_file_the_next_run_finishes() {
    let cases: [(&str, Leave); 4] = [
        ("this node's in another cluster", |node, _, there| joined_as("n1", node, there)),
        ("another node's in another cluster", |node, _, there| joined_as("old", node, there)),
        ("another node's in this cluster", |node, here, _| joined_as("old", node, here)),
        ("pairs only", |node, _, there| {
            joined_as("old", node, there);
            remove(node, KUBELET_CONF);
            remove(node, CA);
        }),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, leave)| {
            let (here, there) = (Api::start(), Api::start());
            let mut done = 0;
            loop {
                for replace in [true, false] {
                    let node = Node::new();
                    leave(&node, &here, &there);
                    let (_, before) = state(&node);
                    let dry = replacing(&node, &here).args("--dry-run").run();
                    dry.expect("dry-run");
                    let mut order = Vec::new();
                    let start = format!("nodestrap: dry run: {}/", node.root().display());
                    for line in dry.stderr.lines() {
                        let path = line.strip_prefix(&start);
                        order.extend(
                            path.and_then(|path| path.strip_suffix(" would be moved aside"))
                                .map(str::to_owned),
                        );
                    }
                    assert!(order.len() >= 8, "{order:?}");
                    // Whatever order the directory has them in: a pair tells of itself, without its link too.
                    for kind in ["client", "server"] {
                        let at = |part: &str| {
                            order.iter().position(|path| path.contains(&format!("{kind}-{part}")))
                        };
                        assert!(at("current") < at("2"), "{order:?}");
                    }
                    if done > order.len() {
                        return;
                    }
                    for path in &order[..done] {
                        fs::rename(node.at(path), node.at(&format!("{path}.old-2000-01-01-00-00-00")))
                            .expect("a move");
                    }
                    if replace {
                        replacing(&node, &here).run().expect("joined");
                        is_new(&node, &here, &before);
                        continue;
                    }
                    let interrupted = state(&node);
                    let run = node.join(&here).with_cert().run();
                    match run.code {
                        Some(10) => assert_eq!(state(&node), interrupted, "{}", run.stderr),
                        // Nobody has compared clusters: the identity is whole.
                        Some(0) if run.report()["outcome"] == "already-joined" => {}
                        _ => {
                            run.expect("joined");
                            assert!(
                                !node.has(SERVER) || !node.at(SERVER).exists(),
                                "after {done} of {order:?}"
                            );
                            let key = node.read(&node.pair_in_use());
                            let key = &key[key.find("-----BEGIN EC").expect("a key")..];
                            assert!(
                                before.values().all(|old| !old.contains(key)),
                                "after {done} of {order:?}"
                            );
                        }
                    }
                }
                done += 1;
            }
        },
    );
}

#[test]
fn what_was_moved_aside_before_stays() {
    let (east, west, node) = (Api::start(), Api::start(), Node::new());
    node.joins(&east);
    for api in [&west, &east, &west] {
        replacing(&node, api).run().expect("joined");
    }
    let aside = |file: &str| {
        let files = node.files();
        let mut contents: Vec<_> = files
            .iter()
            .filter(|path| path.strip_prefix(file).is_some_and(|rest| rest.starts_with(".old-2")))
            .map(|path| (node.mode(path), node.read(path)))
            .collect();
        contents.sort_unstable();
        contents
    };
    let [east_ca, west_ca] = [&east, &west].map(|api| (0o644, api.authority.pem()));
    let mut expected = vec![east_ca.clone(), west_ca, east_ca];
    expected.sort_unstable();
    assert_eq!(aside(CA), expected);
    let confs = aside(KUBELET_CONF);
    assert!(confs.len() == 3 && confs.iter().all(|(mode, _)| *mode == 0o600), "{:#?}", node.tree());
    let pairs = node.files().into_iter().filter(|file| file.contains("kubelet-client-2") && is_aside(file));
    let modes: Vec<_> = pairs.map(|file| node.mode(&file)).collect();
    assert_eq!(modes, [0o600; 3]);
}

#[test]
fn a_link_is_moved_and_not_what_it_leads_to() {
    let (here, there, node) = (Api::start(), Api::start(), Node::new());
    node.write("srv/cluster.crt", there.authority.pem());
    fs::create_dir_all(node.at("etc/kubernetes/pki")).expect("a directory");
    symlink("/srv/cluster.crt", node.at(CA)).expect("a link");
    replacing(&node, &here).run().expect("joined");
    assert_eq!(node.read("srv/cluster.crt"), there.authority.pem());
    assert_eq!(node.read(CA), here.authority.pem());
    let moved = node.files().into_iter().find(|file| is_aside(file)).expect("a link moved aside");
    assert_eq!(fs::read_link(node.at(&moved)).expect("a link").to_str(), Some("/srv/cluster.crt"));
}

#[test]
fn a_node_is_prepared_and_served_anew() {
    let (here, there, node) = (Api::start(), Api::start(), Node::new());
    joined_as("n1", &node, &there);
    node.join(&here).args("--replace").run().expect("prepared");
    assert!(!node.has(KUBELET_CONF) && !node.has(CURRENT) && !node.has(SERVER) && !node.has(KEY_TMP));
    assert!(node.has(BOOTSTRAP_CONF));
    assert_eq!(node.read(CA), here.authority.pem());

    let node = Node::new();
    joined_as("n1", &node, &there);
    let before = state(&node).1;
    here.cluster(|cluster| cluster.approves_serving = true);
    let run = replacing(&node, &here).args("--with-serving-cert --san 10.0.0.5").run();
    run.expect("joined").says(&["serving: issued by"]);
    let server = node.files().into_iter().find(|file| file.contains("kubelet-server-2") && !is_aside(file));
    let server = node.read(&server.expect("a new pair"));
    assert!(before.values().all(|old| *old != server));
}
