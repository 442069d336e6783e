//! Which identity is taken for one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::csr::CertificateTemplate;
use crate::node_name::NodeName;
use crate::x509::{AltNames, Certificate};

const RSA: &str = include_str!("../../../tests/vectors/rsa-client.pem");
const PKCS8: &str = include_str!("../../../tests/vectors/pkcs8-p256.pem");
const RSA_KEY: &str = include_str!("../../../tests/vectors/rsa-2048.pem");

/// kubelet.conf as a join writes it.
pub(super) fn conf(authorities: &[u8]) -> String {
    let authorities = CaBundle::from_pem(authorities.to_vec()).unwrap();
    kubeconfig::kubelet("https://192.0.2.1:6443", &authorities.base64(), &format!("/{PAIR}"))
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

/// What is found, in a word, or why it is unusable; with a star where its CAs are known.
fn found(node: &Node, name: &NodeName, now: SystemTime) -> String {
    let word = match node.files().state(name, now).unwrap() {
        NodeState::None => "none",
        NodeState::Unusable(Unusable { problem, authorities }) => {
            let star = if authorities.is_empty() { "" } else { "*" };
            return [star, &without_root(&problem.to_string())].concat();
        }
        NodeState::Joined(_) => "joined",
        NodeState::WithoutCa(_) => "without ca.crt",
        NodeState::OtherCa(_) => "another ca.crt",
        NodeState::OtherNode(_) => "another node",
    };
    word.to_owned()
}

/// kubelet.conf with another line in the place of this one.
fn replaced(node: &Node, line: &str, by: &str) {
    let text = String::from_utf8(node.read(CONF)).unwrap();
    assert!(text.contains(line), "{text}");
    node.write(CONF, text.replace(line, by));
}

const SERVER: &str = "server: https://192.0.2.1:6443";

/// Leaves nothing of the node's PEM but another key.
fn another_key() -> String {
    format!("{NODE}{}", Key::generate().unwrap().pem().expose())
}

#[test]
fn an_identity_is_whole_and_for_this_node() {
    type Change = fn(&Node);
    const NO_KEY: &str = "*client-key /var/lib/kubelet/pki/kubelet-client-current.pem: no private key for the certificate found";
    const NO_CERTIFICATE: &str =
        "*client-certificate /var/lib/kubelet/pki/kubelet-client-current.pem: no PEM certificates found";
    let cases: [(Change, &str); 37] = [
        (|_| {}, "joined"),
        (|node| std::fs::remove_file(node.at(CONF)).unwrap(), "none"),
        (|node| node.write(CONF, ""), "its current-context does not lead to a cluster and a user"),
        (
            |node| node.write(CONF, "kind: Config\n"),
            "its current-context does not lead to a cluster and a user",
        ),
        (|node| node.write(CONF, b"\xff"), "it is not UTF-8 text"),
        (|node| node.write(CONF, "kind: Pod"), "not a kubeconfig: expected `kind: Config`"),
        (
            |node| std::fs::remove_file(node.at(PAIR)).unwrap(),
            "*client-certificate /var/lib/kubelet/pki/kubelet-client-current.pem: not found",
        ),
        (|node| node.write(PAIR, NODE), NO_KEY),
        (|node| node.write(PAIR, KEY), NO_CERTIFICATE),
        (|node| node.write(PAIR, ""), NO_CERTIFICATE),
        (
            |node| node.write(PAIR, another_key()),
            "*client-key /var/lib/kubelet/pki/kubelet-client-current.pem: the key of another certificate",
        ),
        // Of a key of another kind only the presence is seen, where the certificate is for one.
        (|node| node.write(PAIR, format!("{RSA}{RSA_KEY}")), "another node"),
        (|node| node.write(PAIR, RSA), NO_KEY),
        (|node| node.write(PAIR, format!("{NODE}{RSA_KEY}")), NO_KEY),
        (|node| node.write(PAIR, format!("{NODE}{PKCS8}")), "joined"),
        (|node| std::fs::remove_file(node.at(CA_CRT)).unwrap(), "without ca.crt"),
        (|node| node.write(CA_CRT, " \n"), "without ca.crt"),
        (|node| node.write(CA_CRT, OTHER), "another ca.crt"),
        (|node| node.write(CA_CRT, "no certificate"), "another ca.crt"),
        // A CA that is being rotated: either file may be ahead.
        (|node| node.write(CA_CRT, [OTHER, CA].concat()), "joined"),
        (|node| node.write(CONF, conf(&[OTHER, CA].concat())), "joined"),
        (|node| node.write(CONF, conf(OTHER)), "another ca.crt"),
        (
            |node| replaced(node, "-data: LS0t", "-data: AAAA"),
            "certificate-authority-data: no PEM certificates found",
        ),
        (|node| replaced(node, "-data: LS0t", "-data: '%' # "), "certificate-authority-data: invalid base64"),
        (|node| replaced(node, "certificate-authority-data", "none"), "certificate-authority: not set"),
        (
            |node| replaced(node, SERVER, &format!("certificate-authority: /{CA_CRT}\n    {SERVER}")),
            "certificate-authority /etc/kubernetes/pki/ca.crt: set beside embedded data",
        ),
        (|node| replaced(node, SERVER, "x: y"), "*its cluster has no server"),
        (|node| replaced(node, SERVER, "server: ''"), "*its cluster has no server"),
        (|node| replaced(node, "https://", "http://"), "*the server of its cluster is not an https:// URL"),
        (
            |node| replaced(node, SERVER, &format!("insecure-skip-tls-verify: true\n    {SERVER}")),
            "*insecure-skip-tls-verify is set",
        ),
        // Files are looked for beside kubelet.conf.
        (
            |node| {
                node.write("etc/kubernetes/pair.pem", node.read(PAIR));
                std::fs::remove_file(node.at(PAIR)).unwrap();
                replaced(node, &format!("/{PAIR}"), "pair.pem");
            },
            "joined",
        ),
        // What is embedded counts alone (clientcmd, `validateAuthInfo`).
        (
            |node| {
                let data = STANDARD.encode(NODE);
                node.write(CONF, conf(CA) + &format!("    client-certificate-data: {data}\n"));
            },
            "*client-certificate /var/lib/kubelet/pki/kubelet-client-current.pem: set beside embedded data",
        ),
        (
            |node| {
                let line = format!("client-certificate: /{PAIR}");
                replaced(node, &line, &format!("client-certificate-data: {}", STANDARD.encode(NODE)));
            },
            "joined",
        ),
        (
            |node| replaced(node, &format!("client-key: /{PAIR}"), "client-key-data: '%'"),
            "*client-key-data: invalid base64",
        ),
        (|node| replaced(node, "    client-key", "    none"), "*client-key: not set"),
        (
            |node| node.write(CONF, conf(CA) + "    tokenFile: gone\n"),
            "*tokenFile /etc/kubernetes/gone: not found",
        ),
        (|node| node.write(CONF, conf(CA) + "    tokenFile: gone\n    token: abc\n"), "joined"),
    ];
    for (number, (change, expected)) in cases.iter().enumerate() {
        let node = Node::new(&format!("state-{number}"));
        leave_identity(&node);
        change(&node);
        assert_eq!(found(&node, &name("n1"), now()), *expected, "case {number}");
    }
}

#[test]
fn what_others_can_write_is_no_identity() {
    const PAIR_IS: &str =
        "*client-certificate /var/lib/kubelet/pki/kubelet-client-current.pem: other users can write to it";
    for (path, mode, expected) in [
        (CONF, 0o666, "other users can write to it"),
        (CA_CRT, 0o602, "*/etc/kubernetes/pki/ca.crt: other users can write to it"),
        (PAIR, 0o666, PAIR_IS),
        (CONF, 0o644, "joined"),
        (CA_CRT, 0o644, "joined"),
        (PAIR, 0o644, "joined"),
    ] {
        let node = Node::new("state-writable");
        leave_identity(&node);
        node.open(path, mode);
        assert_eq!(found(&node, &name("n1"), now()), expected, "{path} {mode:o}");
    }
    // That of this cluster is written again, that of another one stays.
    let node = Node::new("state-writable");
    node.write(CA_CRT, CA);
    node.open(CA_CRT, 0o666);
    node.files().write_ca(&cluster(CA)).unwrap();
    assert_eq!((node.read(CA_CRT), node.mode(CA_CRT)), (CA.to_vec(), 0o644));
    node.write(CA_CRT, OTHER);
    node.open(CA_CRT, 0o666);
    assert_files(node.files().write_ca(&cluster(CA)), "CA keys that are not the cluster's");
}

#[test]
fn a_server_is_what_a_kubelet_sends_its_certificate_to() {
    let node = Node::new("state-server");
    for (server, is_one) in [
        ("https://api.example", true),
        ("https://192.0.2.1:6443/", true),
        ("HTTPS://[2001:db8::1]:6443/k8s/clusters/c-1", true),
        ("https://api.example:6443?timeout=10s", true),
        ("https://api.example/k8s#x", true),
        ("", false),
        ("api.example:6443", false),
        ("//api.example", false),
        ("http://api.example:6443", false),
        ("https:api.example", false),
        ("https://", false),
        ("https:///k8s", false),
        ("https://user@api.example", false),
        ("https://api.example:port", false),
        ("https://api example", false),
        ("unix:///run/api.sock", false),
    ] {
        leave_identity(&node);
        replaced(&node, SERVER, &format!("server: '{server}'"));
        assert_eq!(found(&node, &name("n1"), now()) == "joined", is_one, "{server}");
    }
}

#[test]
fn an_expired_certificate_is_told_with_its_end() {
    let node = Node::new("state-expired");
    leave_identity(&node);
    let after = |days: u64| end() + Duration::from_hours(24 * days);
    let told = |now| found(&node, &name("n1"), now);
    let end = crate::x509::utc(end());
    assert_eq!(told(after(3)), format!("*client certificate expired {end} (3 days ago)"));
    node.write(PAIR, [NODE, RSA, KEY].concat());
    let rsa = Certificate::chain_from_pem(RSA.as_bytes()).unwrap()[0].not_after;
    assert!(told(rsa + Duration::from_secs(7)).starts_with("*an intermediate certificate expired "));
}

#[test]
fn an_identity_lasts_to_the_last_second_of_its_chain() {
    let node = Node::new("state-time");
    leave_identity(&node);
    for (now, expected) in [
        (now(), "joined"),
        (end(), "joined"),
        (end() + Duration::from_secs(1), "*client certificate expired"),
    ] {
        assert!(found(&node, &name("n1"), now).starts_with(expected));
    }
    assert_eq!(found(&node, &name("n2"), now()), "another node");
    let NodeState::Joined(identity) = node.files().state(&name("n1"), now()).unwrap() else { panic!() };
    assert_eq!(identity.certificate().not_after, end());
    assert_eq!(identity.authorities().len(), 2, "those of kubelet.conf and of ca.crt");
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    for (number, path) in [CONF, PAIR, CA_CRT].into_iter().enumerate() {
        let node = Node::new(&format!("state-error-{number}"));
        leave_identity(&node);
        std::fs::remove_file(node.at(path)).unwrap();
        std::fs::create_dir(node.at(path)).unwrap();
        assert_files(node.files().state(&name("n1"), now()).map(drop), &format!("/{path} cannot be read"));
    }
}

#[test]
fn a_stored_pair_is_what_is_wanted_and_in_time() {
    let node = Node::new("stored");
    let template = CertificateTemplate::client(&name("n1"));
    let is_stored =
        |template: &CertificateTemplate, now| node.files().stored(template, now).unwrap().is_some();
    assert!(!is_stored(&template, now()));
    node.write(PAIR, format!("{NODE}{KEY}"));
    assert!(is_stored(&template, now()) && is_stored(&template, end()));
    assert!(!is_stored(&template, end() + Duration::from_secs(1)));
    assert!(!is_stored(&CertificateTemplate::client(&name("n2")), now()));
    assert!(!is_stored(&CertificateTemplate::serving(&name("n1"), AltNames::default()), now()));
    node.write(PAIR, NODE);
    assert!(!is_stored(&template, now()));
}
