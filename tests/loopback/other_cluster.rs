//! A node that is joined, and what is given now: the same cluster, another one, or nothing that tells.

use std::fs;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::join_builder::{JoinBuilder, path};
use crate::support::api::{Api, TOKEN};
use crate::support::node::{CA, KUBELET_CONF, Node};
use crate::support::pki::Authority;

const HASH: &str = "--discovery-token-ca-cert-hash";
const SKIP: &str = "--discovery-token-unsafe-skip-ca-verification";

/// What is given, from the cluster `here`, the one that the node is joined to, and another `pin`.
type Case = (&'static str, fn(JoinBuilder, pin: &str) -> JoinBuilder);

fn by_token(builder: JoinBuilder) -> JoinBuilder {
    let (endpoint, token) = (builder.api.endpoint(), builder.file("token", TOKEN));
    builder.with(&[&endpoint, "--token-file", path(&token)])
}

fn by_kubeconfig(builder: JoinBuilder, flag: &str) -> JoinBuilder {
    let file = builder.file("cluster.conf", &builder.kubeconfig(&format!("{{token: {TOKEN}}}")));
    builder.with(&[flag, path(&file)])
}

fn by_cluster_info(builder: JoinBuilder) -> JoinBuilder {
    let (file, token) =
        (builder.file("info", &builder.config_map().to_string()), builder.file("token", TOKEN));
    builder.with(&["--cluster-info", path(&file), "--token-file", path(&token)])
}

/// What names the cluster, with its own pin where there is one.
const GIVEN: [Case; 9] = [
    ("a pin", |builder, pin| by_token(builder).with(&[HASH, pin])),
    ("pins", |builder, pin| by_token(builder).with(&[HASH, pin, HASH, &Authority::new("x").pin()])),
    ("a pin beside the flag that asks for none", |builder, pin| by_token(builder).with(&[HASH, pin, SKIP])),
    ("a pin, and a token that is gone", |builder, pin| {
        let endpoint = builder.api.endpoint();
        builder.with(&[&endpoint, "--token-file", "/nonexistent/token", HASH, pin])
    }),
    ("a cluster-info and a pin", |builder, pin| by_cluster_info(builder).with(&[HASH, pin])),
    ("a CA", |builder, _| {
        let ca = builder.api.authority.pem();
        builder.by_the_operators_word(&ca)
    }),
    ("discovery.file", |builder, _| by_kubeconfig(builder, "--discovery-file")),
    ("a bootstrap kubeconfig", |builder, _| by_kubeconfig(builder, "--bootstrap-kubeconfig")),
    ("a URL and a pin", |builder, pin| {
        builder.with(&["--discovery-file", "https://localhost:1/a", HASH, pin])
    }),
];

/// Another cluster than the one that `node` is joined to, for the same machine.
fn elsewhere(node: Node) -> JoinBuilder {
    let mut builder = JoinBuilder::new();
    let position = builder.arguments.iter().position(|word| word == "--root").expect("a root");
    builder.arguments[position + 1] = node.root().display().to_string();
    builder.node = node;
    builder
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
                let (seen, builder) = (there.connections().len(), elsewhere(node));
                let pin = builder.api.authority.pin();
                let builder = give(builder, &pin).with(&[more]);
                let output = builder.run();
                let said = output.stderr;
                assert_eq!(output.code, Some(10), "{said}");
                assert!(said.contains("kubelet.conf belongs to another cluster"), "{said}");
                assert!(said.contains(&there.authority.pin()) && said.contains("--replace"), "{said}");
                assert_eq!((builder.api.connections().len(), there.connections().len()), (0, seen));
                assert_eq!((builder.node.tree(), contents(&builder.node)), (tree, before));
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
        let builder = elsewhere(node);
        let pin = builder.api.authority.pin();
        let builder = by_token(builder).with(&[HASH, &pin]);
        let output = builder.run();
        let said = output.stderr;
        assert_eq!(output.code, Some(10), "{said}");
        assert!(said.contains("belongs to another cluster"), "{said}");
        assert_eq!((builder.api.requests().len(), contents(&builder.node)), (0, before));
    }
}

#[test]
fn a_node_of_the_cluster_that_is_given_is_joined_already() {
    crate::support::all(
        &GIVEN,
        |case| case.0.to_owned(),
        |(_, give)| {
            let builder = JoinBuilder::new();
            builder.node.joins(&builder.api);
            let (pin, seen) = (builder.api.authority.pin(), builder.api.connections().len());
            let builder = give(builder, &pin);
            assert!(builder.joins().contains("already joined"));
            assert_eq!(builder.api.connections().len(), seen);
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
        let builder = JoinBuilder::new();
        builder.node.joins(&builder.api);
        let old = builder.api.authority.pem();
        let pem = |which| if which == "both" { old.clone() + &new.pem() } else { old.clone() };
        let [before, after] = [&old, &pem(conf)].map(|pem| BASE64_STANDARD.encode(pem));
        builder.node.write(KUBELET_CONF, builder.node.read(KUBELET_CONF).replace(&before, &after));
        builder.node.write(CA, pem(ca));
        let pin = match pinned {
            "old" => builder.api.authority.pin(),
            "new" => new.pin(),
            _ => Authority::new("kubernetes").pin(),
        };
        let seen = builder.api.connections().len();
        let builder = by_token(builder).with(&[HASH, &pin]);
        let output = builder.run();
        let said = output.stderr;
        assert_eq!(output.code, Some(code), "{conf}, {ca}, {pinned}: {said}");
        assert_eq!(builder.api.connections().len(), seen);
    }
}

#[test]
fn without_a_key_that_is_given_a_node_is_joined_already() {
    let cases: [Case; 2] = [
        ("no pin", |builder, _| by_token(builder).with(&[SKIP])),
        ("a URL", |builder, _| builder.with(&["--discovery-file", "https://localhost:1/a"])),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, give)| {
            let (there, node) = (Api::start(), Node::new());
            node.joins(&there);
            let builder = give(elsewhere(node), "");
            assert!(builder.joins().contains("already joined"));
            assert_eq!(builder.api.connections().len(), 0);
        },
    );
}

#[test]
fn replacing_joins_the_cluster_that_is_given() {
    let (there, node) = (Api::start(), Node::new());
    node.joins(&there);
    let builder = elsewhere(node);
    let pin = builder.api.authority.pin();
    by_token(builder).with(&[HASH, &pin, "--replace"]).joins();
}
