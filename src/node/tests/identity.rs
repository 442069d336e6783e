//! What an identity says of its cluster and of its node, and who else could have made it.

use super::state::{leave_identity, name};
use super::*;

#[test]
fn an_identity_names_its_cluster_by_each_key_once_and_by_its_host() {
    let node = Node::new("identity-cluster");
    leave_identity(&node);
    node.write(CA_CRT, [CA, OTHER, CA].concat());
    let NodeState::Joined(identity) = node.files().state(&name("n1"), now()).unwrap() else { panic!() };
    assert_eq!(identity.cluster_keys(), CaBundle::from_pem([CA, OTHER].concat()).unwrap().pins());
    assert_eq!(identity.host().as_deref(), Some("192.0.2.1"));
}

#[test]
fn the_node_of_a_disk_is_told_by_an_identity_that_works() {
    let node = Node::new("identity-node");
    let own_name = || node.files().own_name(now()).unwrap();
    assert_eq!(own_name(), None);
    leave_identity(&node);
    assert_eq!(own_name(), Some(name("n1")));
    node.write(PAIR, NODE);
    assert_eq!(own_name(), None);
}

#[test]
fn of_an_identity_its_secrets_are_closed_and_nothing_else() {
    let node = Node::new("identity-exposed");
    leave_identity(&node);
    for path in [CA_CRT, CONF, PAIR] {
        node.open(path, 0o644);
    }
    let key = "etc/kubernetes/key.pem";
    let with_files = |certificate: &str| {
        let conf = String::from_utf8(node.read(CONF)).unwrap();
        conf.replace(&format!("client-certificate: /{PAIR}"), certificate)
            .replace(&format!("client-key: /{PAIR}"), "client-key: key.pem")
    };
    node.write(CONF, with_files("client-certificate: chain.pem"));
    node.write("etc/kubernetes/chain.pem", NODE);
    node.write(key, KEY);
    for path in ["etc/kubernetes/chain.pem", key] {
        node.open(path, 0o644);
    }
    let files = node.files();
    assert!(matches!(files.state(&name("n1"), now()).unwrap(), NodeState::Joined(_)));
    files.log_findings(true, &Log::silent());
    assert_eq!(node.mode(key), 0o600);
    for path in [CA_CRT, "etc/kubernetes/chain.pem", PAIR] {
        assert_eq!(node.mode(path), 0o644, "{path}");
    }
}

#[test]
fn directories_that_others_can_write_to_are_refused() {
    let node = Node::new("judged");
    node.files().check_directories().unwrap();
    for path in ["etc/kubernetes/pki", "etc/kubernetes", PKI, "var/lib/kubelet", "var/lib"] {
        std::fs::create_dir_all(node.at(path)).unwrap();
        node.open(path, 0o757);
        assert_files(node.files().check_directories(), "other users can write to it");
        node.open(path, 0o755);
        node.files().check_directories().unwrap();
    }
    // Not judged here: whoever needs it tells.
    std::fs::remove_dir_all(node.at(PKI)).unwrap();
    node.write(PKI, "a file");
    node.files().check_directories().unwrap();
}

#[test]
fn a_ca_that_is_renewed_is_told_from_one_that_stays() {
    let node = Node::new("identity-renewed");
    let cluster = CaBundle::from_pem([CA, OTHER].concat()).unwrap();
    for (held, renews) in [(&b""[..], false), (&[CA, OTHER].concat(), false), (CA, true)] {
        node.write(CA_CRT, held);
        for replace in [false, true] {
            let found = node.files().replacement(&cluster, &NodeState::None, &name("n1"), replace).unwrap();
            assert_eq!((found.renews_ca(), found.is_empty()), (renews, true), "{held:?}");
        }
    }
}

#[test]
fn a_key_that_others_may_know_is_told_of_and_no_other() {
    let node = Node::new("identity-key");
    let warnings = |prepare: &dyn Fn()| {
        prepare();
        let files = node.files();
        files.pending_key(CertificateKind::CLIENT).unwrap();
        files.warnings.take().len()
    };
    assert_eq!(warnings(&|| {}), 0, "there is none yet");
    assert_eq!(warnings(&|| {}), 0, "it is this user's alone");
    assert_eq!(warnings(&|| node.open(KEY_TMP, 0o644)), 1);
    assert_eq!((warnings(&|| {}), node.mode(KEY_TMP)), (0, 0o600));
}
