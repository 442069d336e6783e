//! What is on the node's disk already, what cannot be written, and what was interrupted.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use crate::support::api::{Api, Cluster, Route};
use crate::support::node::{BOOTSTRAP_CONF, CA, CURRENT, KEY_TMP, KUBELET_CONF, Node, PKI};
use crate::support::pki::{DAY, valid};
use crate::support::tmpfs::Tmpfs;

/// The files of a node that has joined, without the dated pair.
const JOINED: [&str; 3] = [CA, KUBELET_CONF, CURRENT];

#[test]
fn the_same_ca_is_left_alone() {
    let (api, node) = (Api::start(), Node::new());
    node.write(CA, api.authority.pem());
    let before = fs::metadata(node.at(CA)).expect("metadata");
    node.joins(&api);
    let after = fs::metadata(node.at(CA)).expect("metadata");
    assert_eq!(
        (before.ino(), before.mtime_nsec()),
        (after.ino(), after.mtime_nsec()),
        "it was written again"
    );
}

#[test]
fn a_ca_that_is_a_link_counts_by_what_it_leads_to() {
    let cases: Vec<(&str, bool)> = ["/srv/cluster.crt", "../../../srv/cluster.crt"]
        .into_iter()
        .flat_map(|target| [(target, true), (target, false)])
        .collect();
    crate::support::all(
        &cases,
        |case| format!("{}, the same CA: {}", case.0, case.1),
        |(target, same)| {
            let (east, west, node) = (Api::start(), Api::start(), Node::new());
            node.write("srv/cluster.crt", east.authority.pem());
            fs::create_dir_all(node.at("etc/kubernetes/pki")).expect("a directory");
            symlink(target, node.at(CA)).expect("a link");
            if *same {
                node.joins(&east);
            } else {
                node.join(&west).with_cert().run().expect("files").says(&["/etc/kubernetes/pki/ca.crt"]);
                assert_eq!((node.has(KUBELET_CONF), west.credentials_seen()), (false, 0));
            }
            assert_eq!(fs::read_link(node.at(CA)).expect("still a link").to_str(), Some(*target));
            assert_eq!(node.read("srv/cluster.crt"), east.authority.pem());
        },
    );
}

#[test]
fn a_secret_that_others_can_read_is_closed_to_them() {
    let (api, node) = (Api::start(), Node::new());
    node.join(&api).run().expect("prepared");
    let before = node.read(BOOTSTRAP_CONF);
    fs::set_permissions(node.at(BOOTSTRAP_CONF), Permissions::from_mode(0o644)).expect("another mode");
    node.join(&api).run().expect("prepared");
    assert_eq!((node.mode(BOOTSTRAP_CONF), node.read(BOOTSTRAP_CONF)), (0o600, before));
}

#[test]
fn another_clusters_ca_is_never_replaced() {
    let (east, west, node) = (Api::start(), Api::start(), Node::new());
    node.write(CA, west.authority.pem());
    let before = node.tree();
    node.join(&east).with_cert().run().expect("files").says(&["/etc/kubernetes/pki/ca.crt"]);
    assert_eq!(node.tree(), before);
    assert_eq!(node.read(CA), west.authority.pem());
    assert_eq!((east.routes(), east.credentials_seen()), (vec![Route::Discovery], 0));
}

#[test]
fn another_nodes_identity_stays() {
    let (api, node) = (Api::start(), Node::new());
    node.joins(&api);
    let (tree, conf, pair) = (node.tree(), node.read(KUBELET_CONF), node.read_pair());
    node.join(&api).name("n2").with_cert().run().expect("files").says(&["n1", "n2"]);
    assert_eq!((node.tree(), node.read(KUBELET_CONF), node.read_pair()), (tree, conf, pair));
    assert_eq!(api.connections().len(), 1, "there was nothing to ask for");
}

#[test]
fn another_clusters_identity_stays() {
    let cases = [("its CA replaced", true), ("its CA removed", false)];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, replaced)| {
            let (east, west, node) = (Api::start(), Api::start(), Node::new());
            node.joins(&east);
            // Whatever became of ca.crt, kubelet.conf tells where this node belongs.
            fs::remove_file(node.at(CA)).expect("ca.crt");
            if *replaced {
                node.write(CA, west.authority.pem());
            }
            let (tree, conf, pair) = (node.tree(), node.read(KUBELET_CONF), node.read_pair());
            node.join(&west).with_cert().run().expect("files");
            assert_eq!(west.credentials_seen(), 0, "the other cluster was asked for a certificate");
            assert_eq!((node.tree(), node.read(KUBELET_CONF), node.read_pair()), (tree, conf, pair));
        },
    );
}

#[test]
fn an_identity_that_does_not_work_is_replaced() {
    type Break = fn(&Node, &Api);
    let cases: [(&str, Break); 5] = [
        ("expired", |node, api| {
            let key = node.read_key();
            let request = api.cluster(|cluster| cluster.pkcs10(&cluster.names()[0]));
            let expired =
                api.authority.sign_with(&request, |request| valid(&mut request.params, -9 * DAY, -DAY));
            node.write(&node.pair(), expired + &key);
        }),
        ("a dangling link", |node, _| fs::remove_file(node.at(&node.pair())).expect("the pair")),
        ("no link", |node, _| fs::remove_file(node.at(CURRENT)).expect("the link")),
        ("an empty pair", |node, _| node.write(&node.pair(), "")),
        ("a certificate without its key", |node, _| {
            let pair = node.read_pair();
            node.write(&node.pair(), &pair[..pair.find("-----BEGIN EC").expect("a key")]);
        }),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, damage)| {
            let (api, node) = (Api::start(), Node::new());
            node.joins(&api);
            damage(&node, &api);
            // What the server has may be signed again or may be gone; either way the node gets a pair that works.
            api.cluster(|cluster| cluster.names().iter().for_each(|name| cluster.delete(name)));
            node.joins(&api);
            node.join(&api).with_cert().run().expect("already-joined");
        },
    );
}

#[test]
fn a_torn_or_foreign_key_file_does_not_stop_the_node() {
    let certificate = Api::start().authority.pem();
    let cases =
        [("empty", String::new()), ("torn", "-----BEGIN EC PRIV".to_owned()), ("no key", certificate)];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, content)| {
            let (api, node) = (Api::start(), Node::new());
            node.write_secret(KEY_TMP, content);
            node.joins(&api);
        },
    );
}

#[test]
fn what_a_crash_left_is_cleared_away() {
    let (api, node) = (Api::start(), Node::new());
    for folder in ["etc/kubernetes", "etc/kubernetes/pki", "var/lib/kubelet/pki"] {
        node.write(&format!("{folder}/.nodestrap.new"), "half a fi");
    }
    node.write("etc/kubernetes/.nodestrap.staged", "half a fi");
    let updated = node.at(PKI).join("kubelet-client-updated.pem");
    symlink("/var/lib/kubelet/pki/nowhere.pem", updated).expect("a stale link");
    node.joins(&api);
    let left: Vec<_> = node.files().into_iter().filter(|file| file.contains("/.")).collect();
    assert_eq!(left, Vec::<String>::new());
    let pair = node.pair();
    let mut expected: Vec<&str> = JOINED.to_vec();
    expected.push(&pair);
    let strange: Vec<_> = node
        .files()
        .into_iter()
        .filter(|file| !expected.contains(&file.as_str()) && !file.ends_with("kubelet-client-updated.pem"))
        .collect();
    assert_eq!(strange, Vec::<String>::new());
}

#[test]
fn killed_while_waiting_it_finishes_the_next_time() {
    let (api, node) = (Api::manual(), Node::new());
    let running = node.join(&api).with_cert().start();
    api.wait_for(Route::Watch, 1);
    // The durable writes that do not depend on the answer are done while it waits.
    node.wait_for(BOOTSTRAP_CONF);
    assert!(node.has(CA));
    running.kill();
    assert!(!node.has(KUBELET_CONF) && !node.has(CURRENT));
    let key = node.read(KEY_TMP);

    api.cluster(Cluster::grant);
    node.joins(&api);
    assert_eq!(api.cluster(|cluster| cluster.names().len()), 1, "one request for both runs");
    assert!(node.read_pair().ends_with(&key), "one key for both runs");
}

/// Killed between the pair and its link, in the second before: the name is the certificate's, not the hour's.
#[test]
fn a_pair_that_a_crash_left_is_not_left_beside_another() {
    let (api, node) = (Api::start(), Node::new());
    node.joins(&api);
    let (pair, key) = (node.pair(), node.read_key());
    for path in [KUBELET_CONF, CURRENT] {
        fs::remove_file(node.at(path)).expect("a file to remove");
    }
    node.write_secret(KEY_TMP, key);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    node.joins(&api);
    assert_eq!(api.cluster(|cluster| cluster.names().len()), 1, "the same request");
    let pairs = node.files().into_iter().filter(|file| file.contains("kubelet-client-2"));
    assert_eq!(pairs.collect::<Vec<_>>(), [pair]);
}

#[test]
fn a_planted_link_never_leads_out_of_the_root() {
    let targets: [fn(&Node) -> String; 2] =
        [|node| node.beside("outside").display().to_string(), |_| "../".repeat(9) + "outside"];
    let planted = ["etc", "etc/kubernetes", "etc/kubernetes/pki", "var", "var/lib/kubelet", PKI];
    let files = [CA, BOOTSTRAP_CONF, KUBELET_CONF, KEY_TMP, CURRENT];
    let cases: Vec<(&str, usize, bool)> = planted
        .iter()
        .map(|path| (*path, true))
        .chain(files.iter().map(|path| (*path, false)))
        .flat_map(|(path, directory)| [(path, 0, directory), (path, 1, directory)])
        .collect();
    crate::support::all(
        &cases,
        |case| format!("{} -> {}", case.0, case.1),
        |(path, target, directory)| {
            let (api, node) = (Api::start(), Node::new());
            let outside = node.beside("outside");
            if *directory {
                fs::create_dir(&outside).expect("a directory outside");
            } else {
                fs::write(&outside, "victim").expect("a file outside");
            }
            let link = node.at(path);
            fs::create_dir_all(link.parent().expect("a parent")).expect("directories");
            symlink(targets[*target](&node), &link).expect("a planted link");
            let run = node.join(&api).with_cert().args("--keep-bootstrap-kubeconfig").run();
            run.check(run.code == Some(0) || run.code == Some(10), "joined inside the root, or refused");
            if *directory {
                assert_eq!(fs::read_dir(&outside).expect("outside").count(), 0, "written outside");
            } else {
                assert_eq!(fs::read_to_string(&outside).expect("outside"), "victim", "changed outside");
            }
        },
    );
}

#[test]
fn an_absolute_link_inside_an_image_is_followed_inside_it() {
    let (api, node) = (Api::start(), Node::new());
    fs::create_dir_all(node.at("data/kubelet")).expect("a directory");
    fs::create_dir_all(node.at("var/lib")).expect("a directory");
    symlink("/data/kubelet", node.at("var/lib/kubelet")).expect("a link");
    node.join(&api).with_cert().run().expect("joined");
    let pairs =
        node.files().into_iter().filter(|file| file.starts_with("data/kubelet/pki/kubelet-client-")).count();
    assert_eq!(pairs, 2, "{:#?}", node.tree());
}

#[test]
fn something_else_in_the_way_is_an_error_of_files() {
    type Plant = fn(&Node);
    let cases: [(&str, Plant, &str); 5] = [
        (
            "a file where a directory belongs",
            |node| node.write("etc/kubernetes/pki", "x"),
            "/etc/kubernetes/pki/ca.crt cannot be read",
        ),
        (
            "a file where /var/lib/kubelet belongs",
            |node| node.write("var/lib/kubelet", "x"),
            "/var/lib/kubelet",
        ),
        (
            "a directory where ca.crt belongs",
            |node| fs::create_dir_all(node.at(CA)).expect("a directory"),
            "/etc/kubernetes/pki/ca.crt cannot be read",
        ),
        (
            "a directory where the key belongs",
            |node| fs::create_dir_all(node.at(KEY_TMP)).expect("a directory"),
            "/kubelet-client.key.tmp cannot be read",
        ),
        (
            "a file where the link belongs",
            |node| node.write(CURRENT, "x"),
            "/kubelet-client-current.pem is a file, expected a symbolic link",
        ),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, plant, words)| {
            let (api, node) = (Api::start(), Node::new());
            plant(&node);
            node.join(&api).with_cert().run().expect("files").says(&[words]);
            assert!(!node.has(KUBELET_CONF));
        },
    );
    let (api, node) = (Api::start(), Node::new());
    fs::remove_dir(node.root()).expect("an empty root");
    node.join(&api).with_cert().run().expect("usage").says(&[&node.root().display().to_string()]);
    assert_eq!(api.connections().len(), 0);
}

#[test]
fn a_read_only_disk_is_an_error_before_the_request() {
    let (api, node) = (Api::start(), Node::new());
    let Some(_disk) = Tmpfs::mount(&node.root(), "ro,size=1m") else { return };
    node.join(&api).with_cert().run().expect("files").says(&["/var/lib/kubelet"]);
    assert_eq!(api.count(Route::Create), 0, "a certificate that cannot be stored was asked for");
}

#[test]
fn a_disk_that_fills_up_at_any_page_is_told_and_leaves_nothing_half_written() {
    let sizes: Vec<u32> = (1..=8).collect();
    let outcomes = std::sync::Mutex::new(Vec::new());
    crate::support::all(&sizes, u32::to_string, |pages| {
        let (api, node) = (Api::start(), Node::new());
        let Some(disk) = Tmpfs::mount(&node.root(), &format!("size={}k", pages * 4)) else { return };
        let run = node.join(&api).with_cert().run();
        run.check(run.code == Some(0) || run.code == Some(10), "joined, or a full disk");
        outcomes.lock().expect("outcomes").push(run.code);
        let half: Vec<_> = node.files().into_iter().filter(|file| file.contains("/.")).collect();
        run.check(half.is_empty(), &format!("temporary files were left: {half:?}"));
        for file in node.files().iter().filter(|file| *file != CURRENT) {
            let text = node.read(file);
            run.check(text.ends_with('\n'), &format!("{file} is not whole"));
        }
        run.check(node.has(KUBELET_CONF) == (run.code == Some(0)), "kubelet.conf is the commit mark");
        let key = node.has(KEY_TMP).then(|| node.read(KEY_TMP));
        disk.remount("size=1m");
        if run.code == Some(10) {
            node.joins(&api);
            let kept = key.is_none_or(|key| node.read_pair().ends_with(&key));
            run.check(kept, "the key that was on disk is the one that joined");
        }
    });
    let outcomes = outcomes.into_inner().expect("outcomes");
    let both = outcomes.contains(&Some(0)) && outcomes.contains(&Some(10));
    assert!(both || outcomes.is_empty(), "sizes that do not matter prove nothing: {outcomes:?}");
}

/// A disk fault at the link was told as a loop of links once.
#[test]
fn a_link_that_cannot_be_read_is_told_by_its_own_error() {
    let (api, node) = (Api::start(), Node::new());
    node.write("srv/cluster.crt", api.authority.pem());
    fs::create_dir_all(node.at("etc/kubernetes/pki")).expect("a directory");
    symlink("/srv/cluster.crt", node.at(CA)).expect("a link");
    let (run, log) = node.join(&api).with_cert().traced(["-e", "inject=readlinkat:error=EIO:when=1+"]);
    run.expect("files").says(&["/etc/"]);
    // musl's words, and glibc's.
    let has_reason = ["I/O error", "input/output error"].iter().any(|words| run.stderr.contains(words));
    run.check(has_reason, "the system's reason");
    run.check(!run.stderr.contains("os error 40"), "no loop");
    assert!(log.contains("EIO"), "the fault was met");
    assert!(!node.has(KUBELET_CONF));
}

/// Whatever kept the root from being opened was a usage error once. Only one that is not there is.
#[test]
fn a_root_that_cannot_be_opened_is_a_usage_error_only_where_there_is_none() {
    let (api, node) = (Api::start(), Node::new());
    symlink("loop", node.root().join("loop")).expect("a link");
    node.write("file", "");
    for (root, outcome) in [("missing", "usage"), ("file", "usage"), ("loop", "files")] {
        let root = node.root().join(root).display().to_string();
        let run = node.join(&api).with_cert().args("--root").args(&root).run();
        run.expect(outcome).says(&["the root", &root]);
    }
    let root = node.root().display().to_string();
    // musl's words, and glibc's.
    for (errno, words) in [
        ("EACCES", ["permission denied"; 2]),
        ("EIO", ["I/O error", "input/output error"]),
        ("EMFILE", ["no file descriptors available", "too many open files"]),
    ] {
        let inject = format!("inject=openat,open:error={errno}");
        let (run, _) = node.join(&api).with_cert().traced(["-P", &root, "-e", &inject]);
        run.expect("files").says(&["the root", &root]);
        run.check(words.iter().any(|words| run.stderr.contains(words)), "the system's reason");
    }
    assert!(api.connections().is_empty());
}
