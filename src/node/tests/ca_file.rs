//! ca.crt beside the cluster's CAs.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::node::ca_file::CaState;
use crate::x509::Certificate;

fn pem_of(der: &[u8]) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE", der))
}

/// Another certificate of the CA's key: nobody asks for its signature here.
fn renewed() -> Vec<u8> {
    let mut der = Certificate::chain_from_pem(CA).unwrap()[0].der.clone();
    *der.last_mut().unwrap() ^= 1;
    pem_of(&der).into_bytes()
}

/// What a join makes of a ca.crt that holds this, where the cluster has those; a problem by its words.
fn compared(held: &[u8], cluster: &[u8]) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let node = Node::new(&format!("ca-compared-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    node.write(CA_CRT, held);
    let found = node.files().compare_ca(&CaBundle::from_pem(cluster.to_vec()).unwrap()).unwrap();
    match found {
        CaState::Missing => "missing".to_owned(),
        CaState::Same => "same".to_owned(),
        CaState::Renewed => "renewed".to_owned(),
        CaState::Other { problem, elsewhere } => format!("{elsewhere}: {}", without_root(&problem)),
    }
}

#[test]
fn the_same_certificates_are_the_same_in_any_bytes_order_and_number() {
    let text = std::str::from_utf8(CA).unwrap();
    let rewrapped = pem_of(&Certificate::chain_from_pem(CA).unwrap()[0].der);
    let with_headers = String::from_utf8(OTHER.to_vec()).unwrap().replacen("-----\n", "-----\na: b\n\n", 1);
    for held in [
        text.to_owned(),
        text.trim_end().to_owned(),
        text.replace('\n', "\r\n"),
        format!("\u{feff}# the CA of our cluster\n{text}\nthe end"),
        format!("{text}\n\n{text}"),
        rewrapped.replace("\r\n", "\n"),
        // What a kubelet passes over too.
        format!("{text}{with_headers}"),
        format!("{text}{}", pem::encode(&pem::Pem::new("X509 CRL", [1]))),
    ] {
        assert_eq!(compared(held.as_bytes(), CA), "same", "{held}");
    }
    let both = [CA, OTHER].concat();
    for held in [both.clone(), [OTHER, CA].concat(), [OTHER, CA, OTHER].concat()] {
        assert_eq!(compared(&held, &both), "same");
    }
}

#[test]
fn other_certificates_of_the_same_keys_are_renewed_ones() {
    let both = [CA, OTHER].concat();
    assert_eq!(compared(&renewed(), CA), "renewed");
    assert_eq!(compared(CA, &renewed()), "renewed");
    assert_eq!(compared(&[&renewed(), CA].concat(), CA), "renewed", "the old one beside it");
    assert_eq!(compared(CA, &both), "renewed", "one was added");
    assert_eq!(compared(&renewed(), &both), "renewed");
}

#[test]
fn a_key_that_the_cluster_does_not_have_is_named() {
    let other = &Certificate::chain_from_pem(OTHER).unwrap()[0];
    let named = format!(
        "/etc/kubernetes/pki/ca.crt holds CA keys that are not the cluster's: {} ({})",
        other.subject,
        other.pin()
    );
    assert_eq!(compared(OTHER, CA), format!("true: {named}"));
    for held in [[CA, OTHER].concat(), [OTHER, &renewed()].concat()] {
        assert_eq!(compared(&held, CA), format!("false: {named}"));
    }
    let node = Certificate::chain_from_pem(NODE.as_bytes()).unwrap()[0].pin();
    let all = compared(&[NODE.as_bytes(), OTHER, CA].concat(), CA);
    assert!(all.contains(&node) && all.contains(&other.pin()), "{all}");
}

#[test]
fn what_holds_no_certificates_is_told_unless_it_is_empty() {
    for empty in [&b""[..], b"\n", b" \r\n\t"] {
        assert_eq!(compared(empty, CA), "missing");
    }
    let torn = &CA[..CA.len() - 40];
    let words = "true: /etc/kubernetes/pki/ca.crt does not hold valid PEM certificates";
    for garbage in [&b"# to come"[..], b"\0", KEY.as_bytes(), torn, pem_of(b"no DER").as_bytes()] {
        assert_eq!(compared(garbage, CA), words, "{garbage:?}");
    }
}

#[test]
fn what_may_go_is_written_over_and_what_may_not_stays() {
    let (node, cluster) = (Node::new("ca-written"), cluster(CA));
    for (held, after) in [
        (CA.trim_ascii_end().to_vec(), None),
        ([CA, CA].concat(), None),
        (renewed(), Some(CA)),
        (Vec::new(), Some(CA)),
    ] {
        node.write(CA_CRT, &held);
        node.files().write_ca(&cluster).unwrap();
        assert_eq!(node.read(CA_CRT), after.map_or(held, <[u8]>::to_vec));
    }
    for held in [OTHER.to_vec(), [CA, OTHER].concat(), b"text".to_vec()] {
        node.write(CA_CRT, &held);
        assert_files(
            node.files().write_ca(&cluster),
            "; to join as a different node or to a different cluster, stop the kubelet and use --replace",
        );
        assert_eq!(node.read(CA_CRT), held);
    }
}
