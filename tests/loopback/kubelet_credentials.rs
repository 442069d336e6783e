//! Why an identity is unusable is told, and what a node that has one does not keep.

use std::fs;

use crate::support::api::Api;
use crate::support::node::{BOOTSTRAP_CONF, CA, CURRENT, KUBELET_CONF, Node};
use crate::support::pki::{DAY, valid};
use crate::support::tmpfs::Tmpfs;

/// Has the node's client certificate signed anew, valid until `end` seconds from now.
fn resign(node: &Node, api: &Api, end: i64) {
    let key = node.read_key();
    let request = api.cluster(|cluster| cluster.pkcs10(&cluster.names()[0]));
    let certificate = api.authority.sign_with(&request, |request| {
        valid(&mut request.params, -9 * DAY, end);
    });
    node.write(&node.pair(), certificate + &key);
}

#[test]
fn why_an_identity_is_unusable_is_told_in_one_line() {
    type Break = fn(&Node, &Api);
    fn edit(node: &Node, from: &str, to: &str) {
        let text = node.read(KUBELET_CONF);
        assert!(text.contains(from), "{text}");
        node.write(KUBELET_CONF, text.replace(from, to));
    }
    let cases: [(&str, Break); 16] = [
        ("client certificate expired ", |node, api| resign(node, api, -3 * DAY - 60)),
        (" (3 days ago)", |node, api| resign(node, api, -3 * DAY - 60)),
        (" (1 hour ago)", |node, api| resign(node, api, -3_700)),
        ("kubelet-client-current.pem: not found", |node, _| {
            fs::remove_file(node.at(&node.pair())).expect("the pair");
        }),
        ("kubelet-client-current.pem: not found", |node, _| {
            fs::remove_file(node.at(CURRENT)).expect("a link");
        }),
        ("kubelet-client-current.pem: no PEM certificates found", |node, _| node.write(&node.pair(), "")),
        ("kubelet-client-current.pem: no private key for the certificate found", |node, _| {
            let pair = node.read_pair();
            node.write(&node.pair(), &pair[..pair.find("-----BEGIN EC").expect("a key")]);
        }),
        ("kubelet-client-current.pem: the key of another certificate", |node, api| {
            let other = api.authority.client("system:nodes", "system:node:n1").1;
            let pair = node.read_pair();
            node.write(&node.pair(), pair[..pair.find("-----BEGIN EC").expect("a key")].to_owned() + &other);
        }),
        ("its cluster has no server", |node, _| edit(node, "    server:", "    nothing:")),
        ("the server of its cluster is not an https:// URL", |node, _| edit(node, "https://", "http://")),
        ("insecure-skip-tls-verify is set", |node, _| {
            edit(node, "    server:", "    insecure-skip-tls-verify: true\n    server:");
        }),
        ("certificate-authority: not set", |node, _| edit(node, "certificate-authority-data", "x")),
        ("certificate-authority-data: no PEM certificates found", |node, _| {
            edit(node, "certificate-authority-data: LS0t", "certificate-authority-data: AAAA");
        }),
        ("not a kubeconfig: ", |node, _| node.write(KUBELET_CONF, "{")),
        ("its current-context does not lead to a cluster and a user", |node, _| {
            edit(node, "current-context: default-context", "current-context: none");
        }),
        ("it is not UTF-8 text", |node, _| node.write(KUBELET_CONF, [0xff, 0xfe])),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(words, damage)| {
            let (api, node) = (Api::start(), Node::new());
            node.joins(&api);
            damage(&node, &api);
            api.cluster(|cluster| cluster.names().iter().for_each(|name| cluster.delete(name)));
            let run = node.joins(&api);
            let told: Vec<_> = run.stderr.lines().filter(|line| line.contains(" is unusable: ")).collect();
            let root = node.root().display().to_string();
            let start =
                format!("nodestrap: warning: files: {root}/etc/kubernetes/kubelet.conf is unusable: ");
            run.check(
                matches!(told[..], [line] if line.starts_with(&start)
                    && line.contains(words) && line.ends_with("; joining again")),
                words,
            );
            node.join(&api).with_cert().run().expect("already-joined");
        },
    );
}

#[test]
fn a_missing_ca_beside_an_identity_is_told() {
    for empty in [false, true] {
        let (api, node) = (Api::start(), Node::new());
        node.joins(&api);
        fs::remove_file(node.at(CA)).expect("ca.crt");
        if empty {
            node.write(CA, "");
        }
        node.joins(&api).says(&["/etc/kubernetes/pki/ca.crt is missing or empty", "; joining again"]);
        assert_eq!(node.read(CA), api.authority.pem());
    }
}

/// A node that was prepared and got its identity from a kubelet since: what is left is what a join leaves, and the file
/// that the preparation wrote.
fn prepared_and_joined(api: &Api) -> Node {
    let node = Node::new();
    node.join(api).with_cert().args("--keep-bootstrap-kubeconfig").run().expect("joined");
    assert!(node.has(BOOTSTRAP_CONF));
    node
}

#[test]
fn the_bootstrap_kubeconfig_goes_once_the_node_has_its_identity() {
    let api = Api::start();
    let node = Node::new();
    node.join(&api).run().expect("prepared");
    node.join(&api).run().expect("prepared");
    assert!(node.has(BOOTSTRAP_CONF), "no identity yet");

    let node = prepared_and_joined(&api);
    let seen = api.requests().len();
    for flags in ["--keep-bootstrap-kubeconfig", "--dry-run"] {
        node.join(&api).args(flags).run().expect("already-joined");
        assert!(node.has(BOOTSTRAP_CONF), "{flags}");
    }
    node.write("etc/kubernetes/bootstrap.conf", "another's");
    node.join(&api).run().expect("already-joined");
    assert!(!node.has(BOOTSTRAP_CONF) && node.has("etc/kubernetes/bootstrap.conf"));
    node.join(&api).run().expect("already-joined");
    assert_eq!(api.requests().len(), seen, "read from the given file");
}

#[test]
fn an_identity_that_does_not_work_keeps_the_bootstrap_kubeconfig() {
    let api = Api::start();
    let node = prepared_and_joined(&api);
    fs::remove_file(node.at(CURRENT)).expect("the link");
    node.join(&api).run().expect("prepared");
    assert!(node.has(BOOTSTRAP_CONF));
    // Another node's is none of ours.
    let node = prepared_and_joined(&api);
    node.join(&api).name("n2").run().expect("files");
    assert!(node.has(BOOTSTRAP_CONF));
}

#[test]
fn a_bootstrap_kubeconfig_that_cannot_go_is_a_warning() {
    let (api, node) = (Api::start(), Node::new());
    let Some(disk) = Tmpfs::mount(&node.root(), "size=1m") else { return };
    node.join(&api).with_cert().args("--keep-bootstrap-kubeconfig").run().expect("joined");
    disk.remount("ro,size=1m");
    let tree = node.tree();
    let run = node.join(&api).run();
    run.expect("already-joined").says(&[
        "warning: ",
        "bootstrap-kubelet.conf cannot be removed",
        "read-only",
    ]);
    assert_eq!(node.tree(), tree);
    disk.remount("rw,size=1m");
    node.join(&api).run().expect("already-joined");
    assert!(!node.has(BOOTSTRAP_CONF));
    // A directory of that name is nobody's bootstrap kubeconfig.
    fs::create_dir(node.at(BOOTSTRAP_CONF)).expect("a directory");
    node.join(&api).run().expect("already-joined").says(&["warning: "]);
}
