//! A node that is joined, and what is given now: the same cluster, another one, or nothing that tells.

use std::fs;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::join_builder::{Way, path};
use crate::support::api::{Api, TOKEN};
use crate::support::node::{CA, KUBELET_CONF, Node};
use crate::support::pki::Authority;

const HASH: &str = "--discovery-token-ca-cert-hash";
const SKIP: &str = "--discovery-token-unsafe-skip-ca-verification";

/// What is given, from the cluster `here`, the one that the node is joined to, and another `pin`.
type Case = (&'static str, fn(Way, pin: &str) -> Way);

fn by_token(way: Way) -> Way {
    let (endpoint, token) = (way.api.endpoint(), way.file("token", TOKEN));
    way.with(&[&endpoint, "--token-file", path(&token)])
}

fn by_kubeconfig(way: Way, flag: &str) -> Way {
    let file = way.file("cluster.conf", &way.kubeconfig(&format!("{{token: {TOKEN}}}")));
    way.with(&[flag, path(&file)])
}

fn by_cluster_info(way: Way) -> Way {
    let (file, token) = (way.file("info", &way.config_map().to_string()), way.file("token", TOKEN));
    way.with(&["--cluster-info", path(&file), "--token-file", path(&token)])
}

/// What names the cluster of `way`, with its own pin where there is one.
const GIVEN: [Case; 9] = [
    ("a pin", |way, pin| by_token(way).with(&[HASH, pin])),
    ("pins", |way, pin| by_token(way).with(&[HASH, pin, HASH, &Authority::new("x").pin()])),
    ("a pin beside the flag that asks for none", |way, pin| by_token(way).with(&[HASH, pin, SKIP])),
    ("a pin, and a token that is gone", |way, pin| {
        let endpoint = way.api.endpoint();
        way.with(&[&endpoint, "--token-file", "/nonexistent/token", HASH, pin])
    }),
    ("a cluster-info and a pin", |way, pin| by_cluster_info(way).with(&[HASH, pin])),
    ("a CA", |way, _| {
        let ca = way.api.authority.pem();
        way.by_the_operators_word(&ca)
    }),
    ("discovery.file", |way, _| by_kubeconfig(way, "--discovery-file")),
    ("a bootstrap kubeconfig", |way, _| by_kubeconfig(way, "--bootstrap-kubeconfig")),
    ("a URL and a pin", |way, pin| way.with(&["--discovery-file", "https://localhost:1/a", HASH, pin])),
];

/// Another cluster than the one that `node` is joined to, for the same machine.
fn elsewhere(node: Node) -> Way {
    let mut way = Way::new();
    let position = way.arguments.iter().position(|word| word == "--root").expect("a root");
    way.arguments[position + 1] = node.root().display().to_string();
    way.node = node;
    way
}

fn contents(node: &Node) -> Vec<(String, Vec<u8>)> {
    let read = |file: String| (file.clone(), fs::read(node.at(&file)).unwrap_or_default());
    node.files().into_iter().map(read).collect()
}

#[test]
fn a_node_that_is_joined_to_another_cluster_is_told_so_and_nobody_is_asked() {
    crate::support::all(
        &GIVEN,
        |case| case.0.to_owned(),
        |(_, give)| {
            for more in ["--dry-run=false", "--dry-run"] {
                let (there, node) = (Api::start(), Node::new());
                node.joins(&there);
                let (tree, before) = (node.tree(), contents(&node));
                let (seen, way) = (there.connections().len(), elsewhere(node));
                let pin = way.api.authority.pin();
                let way = give(way, &pin).with(&[more]);
                let output = way.run();
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert_eq!(output.status.code(), Some(10), "{said}");
                assert!(said.contains("kubelet.conf belongs to another cluster"), "{said}");
                assert!(said.contains(&there.authority.pin()) && said.contains("--replace"), "{said}");
                assert_eq!((way.api.connections().len(), there.connections().len()), (0, seen));
                assert_eq!((way.node.tree(), contents(&way.node)), (tree, before));
            }
        },
    );
}

#[test]
fn a_node_whose_ca_is_gone_is_told_of_another_cluster_before_anybody_is_asked() {
    for empty in [false, true] {
        let (api, node) = (Api::start(), Node::new());
        node.joins(&api);
        if empty { fs::write(node.at(CA), "") } else { fs::remove_file(node.at(CA)) }.expect("no CA");
        let before = contents(&node);
        let way = elsewhere(node);
        let pin = way.api.authority.pin();
        let way = by_token(way).with(&[HASH, &pin]);
        let output = way.run();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(10), "{said}");
        assert!(said.contains("belongs to another cluster"), "{said}");
        assert_eq!((way.api.requests().len(), contents(&way.node)), (0, before));
    }
}

#[test]
fn a_node_of_the_cluster_that_is_given_is_joined_already() {
    crate::support::all(
        &GIVEN,
        |case| case.0.to_owned(),
        |(_, give)| {
            let way = Way::new();
            way.node.joins(&way.api);
            let (pin, seen) = (way.api.authority.pin(), way.api.connections().len());
            let way = give(way, &pin);
            assert!(way.joins().contains("already joined"));
            assert_eq!(way.api.connections().len(), seen);
        },
    );
}

/// In the middle of a rotation the node knows two CAs, in one of the files or in both, and either is given.
#[test]
fn a_key_in_kubelet_conf_or_ca_crt_is_enough() {
    let new = Authority::new("kubernetes");
    for (conf, ca, pinned, code) in [
        ("both", "both", "old", 0),
        ("both", "both", "new", 0),
        ("both", "old", "new", 0),
        ("old", "both", "new", 0),
        ("old", "old", "new", 10),
        ("both", "both", "neither", 10),
    ] {
        let way = Way::new();
        way.node.joins(&way.api);
        let old = way.api.authority.pem();
        let pem = |which| if which == "both" { old.clone() + &new.pem() } else { old.clone() };
        let [before, after] = [&old, &pem(conf)].map(|pem| BASE64_STANDARD.encode(pem));
        way.node.write(KUBELET_CONF, way.node.read(KUBELET_CONF).replace(&before, &after));
        way.node.write(CA, pem(ca));
        let pin = match pinned {
            "old" => way.api.authority.pin(),
            "new" => new.pin(),
            _ => Authority::new("kubernetes").pin(),
        };
        let seen = way.api.connections().len();
        let way = by_token(way).with(&[HASH, &pin]);
        let output = way.run();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{conf}, {ca}, {pinned}: {said}");
        assert_eq!(way.api.connections().len(), seen);
    }
}

#[test]
fn without_a_key_that_is_given_a_node_is_joined_already() {
    let cases: [Case; 2] = [
        ("no pin", |way, _| by_token(way).with(&[SKIP])),
        ("a URL", |way, _| way.with(&["--discovery-file", "https://localhost:1/a"])),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, give)| {
            let (there, node) = (Api::start(), Node::new());
            node.joins(&there);
            let way = give(elsewhere(node), "");
            assert!(way.joins().contains("already joined"));
            assert_eq!(way.api.connections().len(), 0);
        },
    );
}

#[test]
fn replacing_joins_the_cluster_that_is_given() {
    let (there, node) = (Api::start(), Node::new());
    node.joins(&there);
    let way = elsewhere(node);
    let pin = way.api.authority.pin();
    by_token(way).with(&[HASH, &pin, "--replace"]).joins();
}
