//! What is foreign, and goes in which order.

use super::super::replace::is_moved_aside;
use super::state::{conf, leave_identity, name};
use super::*;
use crate::x509::Certificate;

/// What a kubelet may keep beside its certificates, in the order in which it goes.
const PAIRS: [&str; 9] = [
    "kubelet-client.key.tmp",
    "kubelet-server.key.tmp",
    "kubelet.crt",
    "kubelet.key",
    "kubelet-server-current.pem",
    "kubelet-client-current.pem",
    "kubelet-client-updated.pem",
    "kubelet-server-2030-01-01-00-00-00.pem",
    "kubelet-client-2030-01-01-00-00-00.pem",
];
/// What is not a kubelet's, or was moved aside before.
const OTHERS: [&str; 4] = [
    "kubelet-client-current.pem.old-2030-01-01-00-00-00",
    "kubelet-client.txt",
    "client-current.pem",
    "ca.pem",
];

/// An identity that does not work, and trusts these CAs.
fn unusable(authorities: &[u8]) -> NodeState {
    let authorities = Certificate::chain_from_pem(authorities).unwrap_or_default();
    NodeState::Unusable(Unusable { problem: Problem::Context, authorities })
}

fn both() -> Vec<u8> {
    [CA, OTHER].concat()
}

fn at_pki(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("/{PKI}/{name}")).collect()
}

/// Asserts what goes when it may, for a node of this name in the cluster with the CA; where anything is refused
/// otherwise, by these words.
fn assert_goes(node: &Node, state: &NodeState, as_node: &str, refusal: Option<&str>, expected: &[String]) {
    let authorities = CaBundle::from_pem(CA.to_vec()).unwrap();
    let find = |replace| node.files().replacement(&authorities, state, &name(as_node), replace);
    match refusal {
        Some(words) => assert_files(find(false), words),
        None => assert!(find(false).unwrap().is_empty()),
    }
    let replacement = find(true).unwrap();
    assert_eq!(replacement.paths().collect::<Vec<_>>(), expected);
    assert_eq!(replacement.is_empty(), expected.is_empty());
}

#[test]
fn all_that_a_kubelet_keeps_goes_in_order() {
    let node = Node::new("order");
    for file in PAIRS.iter().chain(&OTHERS).rev() {
        node.write(&format!("{PKI}/{file}"), KEY);
    }
    // The only one that tells whose they are.
    node.write(&format!("{PKI}/{}", PAIRS[8]), format!("{KEY}{NODE}"));
    let words = "2030-01-01-00-00-00.pem belongs to O=system:nodes, CN=system:node:n1, this node is n2";
    assert_goes(&node, &NodeState::None, "n2", Some(words), &at_pki(&PAIRS));
    assert_goes(&node, &NodeState::None, "n1", None, &[]);
    let mut with_conf = at_pki(&PAIRS);
    with_conf.push(format!("/{CONF}"));
    assert_goes(&node, &unusable(b""), "n2", Some(words), &with_conf);
    assert_goes(&node, &unusable(b""), "n1", None, &[]);
    node.write(CA_CRT, OTHER);
    with_conf.insert(9, format!("/{CA_CRT}"));
    let words = "/etc/kubernetes/pki/ca.crt holds CA keys that are not the cluster's: CN=";
    assert_goes(&node, &NodeState::None, "n1", Some(words), &with_conf[..10]);
    assert_goes(&node, &unusable(b""), "n1", Some(words), &with_conf);
}

#[test]
fn an_identity_in_the_cluster_stays_through_a_rotation_of_its_ca() {
    let node = Node::new("rotation");
    leave_identity(&node);
    let state = || node.files().state(&name("n1"), now()).unwrap();
    assert_goes(&node, &state(), "n1", None, &[]);
    // The new CA beside the old one.
    node.write(CA_CRT, both());
    node.write(CONF, conf(&both()));
    assert_goes(&node, &state(), "n1", None, &[]);
    node.write(CA_CRT, OTHER);
    node.write(CONF, conf(OTHER));
    let all =
        [&at_pki(&["kubelet-client-current.pem"])[..], &[format!("/{CA_CRT}"), format!("/{CONF}")]].concat();
    assert_goes(&node, &state(), "n1", Some("kubelet.conf belongs to another cluster"), &all);
    let words = "kubelet.conf belongs to O=system:nodes, CN=system:node:n1, this node is n2";
    assert_goes(&node, &node.files().state(&name("n2"), now()).unwrap(), "n2", Some(words), &all);
    node.write(CA_CRT, CA);
    let without_ca = [all[0].clone(), all[2].clone()];
    assert_goes(&node, &node.files().state(&name("n2"), now()).unwrap(), "n2", Some(words), &without_ca);
}

#[test]
fn of_an_identity_of_no_use_the_cas_tell_where_it_belongs() {
    let node = Node::new("trusted");
    node.write(&format!("{PKI}/kubelet.key"), KEY);
    let trusting = |pem: &[u8]| Certificate::chain_from_pem(pem).unwrap();
    let [key, ca, conf] = [format!("/{PKI}/kubelet.key"), format!("/{CA_CRT}"), format!("/{CONF}")];
    let elsewhere = Some("kubelet.conf belongs to another cluster");
    let foreign = Some("ca.crt holds CA keys that are not the cluster's");
    let all = [key.clone(), conf.clone()];
    assert_goes(&node, &unusable(CA), "n1", None, &[]);
    assert_goes(&node, &unusable(OTHER), "n1", None, &all);
    assert_goes(&node, &NodeState::WithoutCa(trusting(CA)), "n1", None, &[]);
    assert_goes(&node, &NodeState::WithoutCa(trusting(OTHER)), "n1", elsewhere, &all);
    node.write(CA_CRT, OTHER);
    let all = [key, ca.clone(), conf];
    for state in [unusable(CA), unusable(&both()), NodeState::OtherCa(trusting(CA))] {
        assert_goes(&node, &state, "n1", foreign, std::slice::from_ref(&ca));
    }
    assert_goes(&node, &unusable(OTHER), "n1", foreign, &all);
    assert_goes(&node, &NodeState::OtherCa(trusting(OTHER)), "n1", elsewhere, &all);
    // An older CA beside the cluster's does not make all else foreign.
    node.write(CA_CRT, both());
    assert_goes(&node, &unusable(b""), "n1", foreign, std::slice::from_ref(&ca));
    assert_goes(&node, &NodeState::None, "n1", foreign, std::slice::from_ref(&ca));
}

#[test]
fn another_nodes_identity_is_refused_whatever_the_cluster() {
    let node = Node::new("foreign");
    leave_identity(&node);
    let refuse = |as_node| {
        let (files, as_node) = (node.files(), name(as_node));
        files.refuse_other_identity(&files.state(&as_node, now()).unwrap(), &as_node)
    };
    refuse("n1").unwrap();
    assert_files(refuse("n2"), "CN=system:node:n1, this node is n2; if the hostname is wrong, correct it");
    node.write(CA_CRT, OTHER);
    assert_files(
        refuse("n1"),
        "/etc/kubernetes/kubelet.conf and /etc/kubernetes/pki/ca.crt have no CA key in common",
    );
    node.write(CA_CRT, "nothing that a kubelet could read");
    assert_files(refuse("n1"), "/etc/kubernetes/pki/ca.crt does not hold valid PEM");
    std::fs::remove_file(node.at(CA_CRT)).unwrap();
    refuse("n1").unwrap();
    std::fs::remove_file(node.at(CONF)).unwrap();
    refuse("n2").unwrap();
}

#[test]
fn a_name_with_a_date_is_one_that_was_moved_aside() {
    for (path, expected) in [
        ("/etc/kubernetes/kubelet.conf.old-2030-01-01-00-00-00", true),
        ("/a.old-2030-01-01", true),
        ("/a.old-2030", false),
        ("/a.old-2030-01-01.bak", false),
        ("/a.old-configuration", false),
        ("/a", false),
    ] {
        assert_eq!(is_moved_aside(path), expected, "{path}");
    }
}

#[test]
fn what_is_moved_aside_is_named_by_the_time() {
    let node = Node::new("aside");
    leave_identity(&node);
    let files = node.files();
    let state = files.state(&name("n2"), now()).unwrap();
    let authorities = CaBundle::from_pem(CA.to_vec()).unwrap();
    let replacement = files.replacement(&authorities, &state, &name("n2"), true).unwrap();
    let aside = [PAIR, CONF].map(|path| format!("{path}.old-2030-01-01-00-00-00"));
    assert_eq!(files.move_aside(&replacement, now()).unwrap(), aside.clone().map(|path| format!("/{path}")));
    assert_eq!(node.names(), [&aside[1], CA_CRT, &aside[0]]);
    assert_eq!(files.move_aside(&replacement, now()).unwrap(), [""; 0], "there is nothing left");
    std::fs::remove_dir_all(node.at(PKI)).unwrap();
    assert_files(files.move_aside(&replacement, now()), &format!("/{PAIR} cannot be moved aside"));
    node.write(PKI, "a file");
    let found = files.replacement(&authorities, &NodeState::None, &name("n2"), true);
    assert_files(found, "directory /var/lib/kubelet/pki cannot be read");
}
