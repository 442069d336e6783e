//! Which identity is taken for one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::identity::Wanted;
use crate::node::NodeName;
use crate::x509::{AltNames, Certificate};

const RSA: &str = include_str!("../../../tests/vectors/rsa-client.pem");
const RSA_KEY: &str = include_str!("../../../tests/vectors/rsa-2048.pem");

/// kubelet.conf as a join writes it.
pub(super) fn conf(authorities: &[u8]) -> String {
    let authorities = Bundle::from_pem(authorities.to_vec()).unwrap();
    kubeconfig::kubelet("https://192.0.2.1:6443", authorities.base64(), &format!("/{PAIR}"))
}

/// Leaves the identity of n1.
pub(super) fn leave_identity(node: &Node) {
    node.write(CA_CRT, CA);
    node.write(PAIR, format!("{NODE}{KEY}"));
    node.write(CONF, conf(CA));
}

pub(super) fn name(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

/// The end of the certificate of n1.
fn end() -> SystemTime {
    Certificate::chain_from_pem(NODE.as_bytes()).unwrap()[0].not_after
}

/// What is found, in a word.
fn found(node: &Node, name: &NodeName, now: SystemTime) -> &'static str {
    match node.files().existing(name, now).unwrap() {
        Existing::None => "none",
        Existing::Unusable(None) => "unusable",
        Existing::Unusable(Some(trusted)) if trusted == CA => "unusable here",
        Existing::Unusable(Some(_)) => "unusable elsewhere",
        Existing::Joined(_) => "joined",
        Existing::WithoutCa(_) => "without ca.crt",
        Existing::OtherCa(_) => "another ca.crt",
        Existing::OtherNode(_) => "another node",
    }
}

#[test]
fn an_identity_is_whole_and_for_this_node() {
    type Change = fn(&Node);
    let cases: [(Change, &str); 19] = [
        (|_| {}, "joined"),
        (|node| std::fs::remove_file(node.at(CONF)).unwrap(), "none"),
        (|node| node.write(CONF, "kind: Config\n"), "unusable"),
        (|node| node.write(CONF, b"\xff"), "unusable"),
        (|node| std::fs::remove_file(node.at(PAIR)).unwrap(), "unusable here"),
        (|node| node.write(PAIR, NODE), "unusable here"),
        (|node| node.write(PAIR, KEY), "unusable here"),
        (
            |node| node.write(PAIR, format!("{NODE}{}", Key::generate().unwrap().pem().expose())),
            "unusable here",
        ),
        // Of a key of another kind only the presence is seen, where the certificate is for one.
        (|node| node.write(PAIR, format!("{RSA}{RSA_KEY}")), "another node"),
        (|node| node.write(PAIR, RSA), "unusable here"),
        (|node| node.write(PAIR, format!("{NODE}{RSA_KEY}")), "unusable here"),
        (|node| std::fs::remove_file(node.at(CA_CRT)).unwrap(), "without ca.crt"),
        (|node| node.write(CA_CRT, OTHER), "another ca.crt"),
        (|node| node.write(CONF, conf(CA).replace("-data: LS0t", "-data: AAAA")), "unusable elsewhere"),
        (|node| node.write(CONF, conf(OTHER)), "another ca.crt"),
        // Embedded data counts before files, which are looked for beside kubelet.conf.
        (
            |node| {
                node.write("etc/kubernetes/pair.pem", node.read(PAIR));
                std::fs::remove_file(node.at(PAIR)).unwrap();
                node.write(CONF, conf(CA).replace(&format!("/{PAIR}"), "pair.pem"));
            },
            "joined",
        ),
        (
            |node| {
                let data = STANDARD.encode(NODE);
                node.write(CONF, conf(CA) + &format!("    client-certificate-data: {data}\n"));
            },
            "joined",
        ),
        (|node| node.write(CONF, conf(CA) + "    client-certificate-data: '%'\n"), "unusable here"),
        (|node| node.write(CONF, conf(CA).replace("    client-key", "    none")), "unusable here"),
    ];
    for (number, (change, expected)) in cases.iter().enumerate() {
        let node = Node::new(&format!("existing-{number}"));
        leave_identity(&node);
        change(&node);
        assert_eq!(found(&node, &name("n1"), now()), *expected, "case {number}");
    }
}

#[test]
fn an_identity_lasts_to_the_last_second_of_its_chain() {
    let node = Node::new("existing-time");
    leave_identity(&node);
    for (now, expected) in
        [(now(), "joined"), (end(), "joined"), (end() + Duration::from_secs(1), "unusable here")]
    {
        assert_eq!(found(&node, &name("n1"), now), expected);
    }
    assert_eq!(found(&node, &name("n2"), now()), "another node");
    let Existing::Joined(identity) = node.files().existing(&name("n1"), now()).unwrap() else { panic!() };
    assert_eq!(identity.certificate().not_after, end());
    assert_eq!(identity.authorities().unwrap().pem(), CA);
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    for (number, path) in [CONF, PAIR, CA_CRT].into_iter().enumerate() {
        let node = Node::new(&format!("existing-error-{number}"));
        leave_identity(&node);
        std::fs::remove_file(node.at(path)).unwrap();
        std::fs::create_dir(node.at(path)).unwrap();
        assert_files(node.files().existing(&name("n1"), now()).map(drop), &format!("/{path} cannot be read"));
    }
}

#[test]
fn a_stored_pair_is_what_is_wanted_and_in_time() {
    let node = Node::new("stored");
    let wanted = Wanted::client(&name("n1"));
    let is_stored = |wanted: &Wanted, now| node.files().stored(wanted, now).unwrap().is_some();
    assert!(!is_stored(&wanted, now()));
    node.write(PAIR, format!("{NODE}{KEY}"));
    assert!(is_stored(&wanted, now()) && is_stored(&wanted, end()));
    assert!(!is_stored(&wanted, end() + Duration::from_secs(1)));
    assert!(!is_stored(&Wanted::client(&name("n2")), now()));
    assert!(!is_stored(&Wanted::serving(&name("n1"), AltNames::default()), now()));
    node.write(PAIR, NODE);
    assert!(!is_stored(&wanted, now()));
}
