use std::time::Duration;

use super::*;
use crate::asn1::tlv;

/// 2001-09-09T01:46:40Z and 2033-05-18T03:33:20Z, as UTCTime.
const TIMES: [(&str, u64); 2] = [("010909014640Z", 1_000_000_000), ("330518033320Z", 2_000_000_000)];

/// Extensions: one that Go knows (id-ce-subjectKeyIdentifier), and one that it does not.
const KNOWN: &[u8] = &[0x55, 0x1d, 14];
const UNKNOWN: &[u8] = &[0x55, 0x1d, 50];
/// id-at-organizationalUnitName.
const UNIT: &[u8] = &[0x55, 4, 11];

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(Tag::Sequence, parts)
}

fn attribute(id: &[u8], tag: Tag, value: &[u8]) -> Vec<u8> {
    tlv(Tag::Set, &[&sequence(&[&tlv(Tag::ObjectIdentifier, &[id]), &tlv(tag, &[value])])])
}

fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { tlv(Tag::Boolean, &[&[0xff]]) } else { Vec::new() };
    sequence(&[&tlv(Tag::ObjectIdentifier, &[id]), &critical, &tlv(Tag::OctetString, &[value])])
}

/// A certificate: the number of its version if it says one, the attributes of its subject, its extensions if there are any.
fn certificate(version: Option<u8>, subject: &[Vec<u8>], extensions: &[Vec<u8>]) -> Vec<u8> {
    let algorithm = sequence(&[&tlv(Tag::ObjectIdentifier, &[oid::ECDSA_SHA256])]);
    let validity = TIMES.map(|(time, _)| tlv(Tag::UtcTime, &[time.as_bytes()])).concat();
    let listed = tlv(ctx_constructed(3), &[&sequence(&[&extensions.concat()])]);
    let tbs = [
        version.map_or_else(Vec::new, |number| tlv(ctx_constructed(0), &[&tlv(Tag::Integer, &[&[number]])])),
        tlv(Tag::Integer, &[&[1]]),
        algorithm.clone(),
        sequence(&[&attribute(oid::COMMON_NAME, Tag::Utf8String, b"issuer")]),
        sequence(&[&validity]),
        sequence(&[&subject.concat()]),
        sequence(&[]),
        if extensions.is_empty() { Vec::new() } else { listed },
    ];
    sequence(&[&sequence(&[&tbs.concat()]), &algorithm, &tlv(Tag::BitString, &[&[0, 1]])])
}

/// What is read of one of version 3 with these extensions.
fn read(extensions: &[Vec<u8>]) -> Certificate {
    Certificate::from_der(&certificate(Some(2), &[], extensions)).unwrap()
}

fn constraints(parts: &[&[u8]]) -> Vec<u8> {
    extension(oid::BASIC_CONSTRAINTS, true, &sequence(parts))
}

fn ca() -> Vec<u8> {
    constraints(&[&tlv(Tag::Boolean, &[&[0xff]])])
}

fn usage(bits: &[u8]) -> Vec<u8> {
    extension(oid::KEY_USAGE, true, &tlv(Tag::BitString, &[&[0], bits]))
}

fn purposes(ids: &[&[u8]]) -> Vec<u8> {
    let listed: Vec<_> = ids.iter().map(|id| tlv(Tag::ObjectIdentifier, &[id])).collect();
    extension(oid::EXTENDED_KEY_USAGE, false, &sequence(&[&listed.concat()]))
}

#[test]
fn a_certificate_is_as_long_as_the_limit_says() {
    let padded = |padding: usize| certificate(Some(2), &[], &[extension(KNOWN, false, &vec![0; padding])]);
    let rest = padded(1024).len() - 1024;
    for (length, taken) in [(limits::CERTIFICATE_BYTES, true), (limits::CERTIFICATE_BYTES + 1, false)] {
        let der = padded(length - rest);
        assert_eq!((der.len(), Certificate::from_der(&der).is_ok()), (length, taken));
    }
}

#[test]
fn a_certificate_older_than_extensions_is_a_ca_and_has_none() {
    let no_ca = [constraints(&[]), purposes(&[oid::CLIENT_AUTH])];
    for version in [None, Some(0), Some(1)] {
        let old = Certificate::from_der(&certificate(version, &[], &no_ca)).unwrap();
        assert!(
            old.can_sign_certs && !old.is_ca && old.allows_server_auth && !old.client_auth,
            "{version:?}"
        );
    }
    let of_today = read(&no_ca);
    assert!(!of_today.can_sign_certs && !of_today.allows_server_auth && of_today.client_auth);
    assert!(!read(&[]).can_sign_certs);
    assert!(Certificate::from_der(&certificate(Some(3), &[], &[])).is_err());
    assert!(Certificate::from_der(&certificate(Some(0xff), &[], &[])).is_err());
}

#[test]
fn both_places_name_the_same_signature_algorithm() {
    let der = certificate(Some(2), &[], &[]);
    assert_eq!(algorithm_name(signature_algorithm(&der)), "ECDSA with SHA-256");
    assert_eq!(signature_algorithm(&der[1..]), b"");
    let outer = der.windows(oid::ECDSA_SHA256.len()).rposition(|part| part == oid::ECDSA_SHA256).unwrap();
    let mut other = der;
    other[outer + oid::ECDSA_SHA256.len() - 1] += 1;
    assert_eq!(algorithm_name(signature_algorithm(&other)), "ECDSA with SHA-384");
    assert!(Certificate::from_der(&other).is_err());
}

#[test]
fn a_ca_says_so_with_the_one_true_value() {
    let [yes, no, one] = [0xff, 0, 1].map(|value| tlv(Tag::Boolean, &[&[value]]));
    let number = |value: &[u8]| tlv(Tag::Integer, &[value]);
    for (parts, is_ca) in [
        (&[][..], false),
        (&[&yes[..]][..], true),
        (&[&no[..]][..], false),
        (&[&number(&[0xff])[..]][..], false),
    ] {
        let read = read(&[constraints(parts)]);
        assert_eq!((read.is_ca, read.can_sign_certs), (is_ca, is_ca), "{parts:x?}");
    }
    // Not DER; whoever reads it so, no CA comes out of it.
    assert!(
        !Certificate::from_der(&certificate(Some(2), &[], &[constraints(&[&one])])).is_ok_and(|c| c.is_ca)
    );
    for (length, read_as) in [
        (&[0][..], Some(0)),
        (&[5], Some(5)),
        (&[0, 0x80], Some(128)),
        (&[1, 0], None),
        (&[0, 0x80, 0], None),
    ] {
        assert_eq!(read(&[constraints(&[&yes, &number(length)])]).path_length, read_as, "{length:x?}");
    }
}

#[test]
fn a_key_usage_forbids_to_sign_where_a_bit_of_it_is_set() {
    let (sign, others) = (KEY_CERT_SIGN, 0xff - KEY_CERT_SIGN);
    for (bits, can_sign_certs) in [
        (&[sign][..], true),
        (&[0xff], true),
        (&[others], false),
        (&[0x80], false),
        (&[0, 0x80], false),
        (&[0, sign], false),
        (&[0], true),
        (&[], true),
    ] {
        assert_eq!(read(&[ca(), usage(bits)]).can_sign_certs, can_sign_certs, "{bits:x?}");
        assert!(!read(&[usage(bits)]).can_sign_certs, "no CA: {bits:x?}");
    }
}

#[test]
fn purposes_are_for_servers_wherever_one_of_them_is() {
    let (server, client, any, other) = (oid::SERVER_AUTH, oid::CLIENT_AUTH, oid::ANY_PURPOSE, &[0x2a, 3][..]);
    for (ids, allows_server_auth) in [
        (&[server][..], true),
        (&[any], true),
        (&[client, server], true),
        (&[server, client], true),
        (&[any, other, client], true),
        (&[client], false),
        (&[other, client], false),
        (&[], true),
    ] {
        let read = read(&[purposes(ids)]);
        let named = |id| ids.contains(&id);
        assert_eq!(read.allows_server_auth, allows_server_auth, "{ids:x?}");
        assert_eq!(
            (read.server_auth, read.client_auth, read.empty_usages),
            (named(server), named(client), ids.is_empty()),
            "{ids:x?}"
        );
    }
    assert!(read(&[]).allows_server_auth && !read(&[]).empty_usages);
}

#[test]
fn a_critical_extension_that_go_does_not_know_makes_no_issuer() {
    for last in [14, 31, 32, 33, 35, 36, 54] {
        let read = read(&[ca(), extension(&[0x55, 0x1d, last], true, &[])]);
        assert!(read.can_sign_certs && !read.unknown_critical, "{last}");
    }
    for (id, critical, known) in
        [(UNKNOWN, true, false), (UNKNOWN, false, true), (&[0x55, 0x1e, 14], true, false)]
    {
        for listed in [[ca(), extension(id, critical, &[])], [extension(id, critical, &[]), ca()]] {
            let read = read(&listed);
            assert_eq!((read.can_sign_certs, read.unknown_critical), (known, !known), "{id:x?} {critical}");
        }
    }
    let last = extension(&[0x55, 0x1d, 99], false, &[]);
    assert!(read(&[extension(UNKNOWN, true, &[]), last]).unknown_critical, "one is enough");
    assert!(Certificate::from_der(&certificate(Some(2), &[], &[ca(), ca()])).is_err(), "twice");
}

#[test]
fn name_constraints_are_kept_for_the_verifier() {
    let inside = tlv(ctx_constructed(0), &[b"anything"]);
    let read_back = read(&[extension(oid::NAME_CONSTRAINTS, true, &sequence(&[&inside]))]);
    assert_eq!(read_back.name_constraints, Some(inside));
    assert!(!read_back.unknown_critical);
    assert_eq!(read(&[]).name_constraints, None);
}

#[test]
fn a_name_is_read_in_todays_strings_and_the_rest_of_it_counted() {
    let named =
        |subject: &[Vec<u8>]| Certificate::from_der(&certificate(Some(2), subject, &[])).map(|c| c.subject);
    let (old, o, cn) = (Tag::TeletexString, oid::ORGANIZATION, oid::COMMON_NAME);
    let subject = [
        attribute(o, Tag::Utf8String, b"one"),
        attribute(o, Tag::PrintableString, b"two"),
        attribute(cn, Tag::PrintableString, b"n1"),
        attribute(o, old, b"three"),
        attribute(cn, old, b"n2"),
        attribute(UNIT, Tag::Utf8String, b"four"),
    ];
    let expected = Name {
        organizations: vec!["one".to_owned(), "two".to_owned()],
        common_names: vec!["n1".to_owned()],
        others: 3,
    };
    assert_eq!(named(&subject).unwrap(), expected);
    assert!(named(&[attribute(cn, Tag::Utf8String, b"\xff")]).is_err());
}

#[test]
fn an_organization_is_found_in_any_string_at_any_place() {
    let is_of = |subject: &[Vec<u8>]| {
        [None, Some(2)].map(|version| is_of_organization(&certificate(version, subject, &[]), "org").unwrap())
    };
    let (o, utf8) = (oid::ORGANIZATION, Tag::Utf8String);
    let org = attribute(o, utf8, b"org");
    let other = attribute(o, utf8, b"orgs");
    let pair =
        |id: &[u8], value: &[u8]| sequence(&[&tlv(Tag::ObjectIdentifier, &[id]), &tlv(utf8, &[value])]);
    for yes in [
        vec![org.clone()],
        vec![org.clone(), other.clone()],
        vec![other.clone(), org.clone()],
        vec![tlv(Tag::Set, &[&pair(UNIT, b"x"), &pair(o, b"org")])],
        vec![tlv(Tag::Set, &[&pair(o, b"org"), &pair(UNIT, b"x")])],
        vec![attribute(o, Tag::TeletexString, b"org")],
        vec![attribute(o, Tag::BmpString, b"\0o\0r\0g")],
        vec![attribute(o, Tag::BmpString, b"\0\0\0o\0\0\0r\0\0\0g")],
    ] {
        assert_eq!(is_of(&yes), [true; 2], "{yes:x?}");
    }
    for no in [
        vec![],
        vec![other],
        vec![attribute(UNIT, utf8, b"org")],
        vec![attribute(o, utf8, b"or")],
        vec![attribute(o, utf8, b"")],
        vec![attribute(o, utf8, b"x"), attribute(UNIT, utf8, b"org")],
    ] {
        assert_eq!(is_of(&no), [false; 2], "{no:x?}");
    }
    assert!(is_of_organization(b"no certificate", "org").is_err());
}

#[test]
fn times_are_valid_to_both_ends_and_told_with_the_nearer_one() {
    let read = read(&[]);
    let [from, to] = TIMES.map(|(_, since)| UNIX_EPOCH + Duration::from_secs(since));
    let second = Duration::from_secs(1);
    for (now, valid) in [(from - second, false), (from, true), (to, true), (to + second, false)] {
        assert_eq!(read.is_valid_at(now), valid, "{}", utc(now));
        let told = read.describe_validity(now);
        let (near, far) = if now <= from { (from, to) } else { (to, from) };
        if !valid {
            assert!(told.contains(&utc(now)) && told.contains(&utc(near)), "{told}");
            assert!(!told.contains(&utc(far)), "{told}");
        }
    }
}
