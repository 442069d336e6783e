//! Whom a certificate names: RFC 6125 for names, RFC 5280 (4.2.1.6) for addresses.

use rcgen::{CertificateParams, CustomExtension, DnType, SanType};

use crate::chains::{NOT_READ, Shown, case};
use crate::suite::{Case, Expect, JOINED, waits};
use crate::support::pki::Authority;

/// What is dialled through a proxy, which looks names up: this machine knows no such name.
const NAME: &str = "api.cluster.example";
const NOT_NAMED: Expect = waits(
    "not-trusted",
    "; check that the address is that of this cluster's API server; if it is, use a name in its certificate, or add this one to it (kubeadm: apiServer.certSANs)",
);

/// What is dialled, what the certificate is for, and how that must end.
type Row = (&'static str, Expect, &'static str, fn() -> Vec<SanType>);

fn dns(name: &str) -> Vec<SanType> {
    vec![SanType::DnsName(name.try_into().expect("ASCII"))]
}

fn ip(address: &str) -> Vec<SanType> {
    vec![SanType::IpAddress(address.parse().expect("an address"))]
}

const ROWS: [Row; 33] = [
    ("the very name", JOINED, NAME, || dns(NAME)),
    ("the name in capitals", JOINED, NAME, || dns("API.CLUSTER.EXAMPLE")),
    ("another name", NOT_NAMED, NAME, || dns("api.other.example")),
    ("no name at all", NOT_NAMED, NAME, Vec::new),
    ("a wildcard for the first label", JOINED, NAME, || dns("*.cluster.example")),
    ("a wildcard for two labels", NOT_NAMED, NAME, || dns("*.example")),
    ("a wildcard in the middle", NOT_NAMED, NAME, || dns("api.*.example")),
    ("a wildcard at the end", NOT_NAMED, NAME, || dns("api.cluster.*")),
    ("two wildcards", NOT_NAMED, NAME, || dns("*.*.example")),
    ("a wildcard for everything", NOT_NAMED, NAME, || dns("*")),
    ("a wildcard for a part of a label", NOT_NAMED, NAME, || dns("a*.cluster.example")),
    ("a wildcard behind a part of a label", NOT_NAMED, NAME, || dns("*i.cluster.example")),
    ("a wildcard and the bare name below it", NOT_NAMED, "cluster.example", || dns("*.cluster.example")),
    ("a wildcard of a top-level domain", NOT_NAMED, "cluster.example", || dns("*.")),
    ("the name with more in front", NOT_NAMED, NAME, || dns("evil-api.cluster.example")),
    ("the name with more behind", NOT_NAMED, NAME, || dns("api.cluster.example.evil.test")),
    ("the name's parent", NOT_NAMED, NAME, || dns("cluster.example")),
    ("a name that begins with a point", NOT_NAMED, NAME, || dns(".cluster.example")),
    ("the name with a NUL and more behind", NOT_NAMED, NAME, || dns("api.cluster.example\0.evil.test")),
    ("the name with a space behind", NOT_NAMED, NAME, || dns("api.cluster.example ")),
    ("an empty name", NOT_NAMED, NAME, || dns("")),
    ("the name as a URI", NOT_NAMED, NAME, || {
        vec![SanType::URI("https://api.cluster.example".try_into().expect("ASCII"))]
    }),
    ("the name as mail", NOT_NAMED, NAME, || {
        vec![SanType::Rfc822Name("root@api.cluster.example".try_into().expect("ASCII"))]
    }),
    ("the name behind a thousand others", JOINED, NAME, || {
        let others = (0..1000).flat_map(|n| dns(&format!("n{n}.cluster.example")));
        others.chain(dns(NAME)).collect()
    }),
    ("an address for a name", NOT_NAMED, "localhost", || ip("127.0.0.1")),
    ("the very address", JOINED, "127.0.0.1", || ip("127.0.0.1")),
    ("another address", NOT_NAMED, "127.0.0.1", || ip("127.0.0.2")),
    ("the address as a DNS name", NOT_NAMED, "127.0.0.1", || dns("127.0.0.1")),
    ("a wildcard for an address", NOT_NAMED, "127.0.0.1", || dns("*.0.0.1")),
    ("the address mapped into IPv6", NOT_NAMED, "127.0.0.1", || ip("::ffff:127.0.0.1")),
    ("the very IPv6 address", JOINED, "[::1]", || ip("::1")),
    ("another IPv6 address", NOT_NAMED, "[::1]", || ip("::2")),
    ("an IPv4 address for IPv6", NOT_NAMED, "[::1]", || ip("127.0.0.1")),
];

/// Certificates whose names do not stand where names belong.
type Odd = (&'static str, Expect, &'static str, fn(&mut CertificateParams));

const ODD: [Odd; 6] = [
    ("the name as common name only", NOT_NAMED, NAME, |params| common_name(params, NAME)),
    ("the name as common name beside another", NOT_NAMED, NAME, |params| {
        common_name(params, NAME);
        params.subject_alt_names = dns("api.other.example");
    }),
    ("the address as common name only", NOT_NAMED, "127.0.0.1", |params| common_name(params, "127.0.0.1")),
    ("a network for an address", NOT_NAMED, "127.0.0.1", |params| {
        raw(params, &[0x30, 10, 0x87, 8, 127, 0, 0, 0, 255, 0, 0, 0]);
    }),
    ("an address of three bytes", NOT_NAMED, "127.0.0.1", |params| {
        raw(params, &[0x30, 5, 0x87, 3, 127, 0, 0]);
    }),
    ("a name whose length is a lie", NOT_READ, NAME, |params| {
        raw(params, &[&[0x30, 21, 0x82, 120][..], NAME.as_bytes()].concat());
    }),
];

fn common_name(params: &mut CertificateParams, name: &str) {
    params.distinguished_name.push(DnType::CommonName, name);
}

/// The extension with these bytes for a value.
fn raw(params: &mut CertificateParams, value: &[u8]) {
    params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], value.to_vec())];
}

fn shown(adjust: impl FnOnce(&mut CertificateParams)) -> Shown {
    let ca = Authority::new("kubernetes");
    let identity = ca.server_with(&[], adjust);
    Shown::of(&ca, identity)
}

pub fn cases() -> Vec<Case> {
    let rows = ROWS.into_iter().map(|(name, expect, host, names)| {
        case(name, expect, host, move || shown(|params| params.subject_alt_names = names()))
    });
    let odd =
        ODD.into_iter().map(|(name, expect, host, adjust)| case(name, expect, host, move || shown(adjust)));
    rows.chain(odd).collect()
}
