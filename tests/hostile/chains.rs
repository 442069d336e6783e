//! Chains of certificates that lead nowhere, or not to a CA that may vouch for this server now: RFC 5280, section 6.

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, CustomExtension, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyUsagePurpose, NameConstraints,
};

use crate::suite::{Case, Expect, JOINED, Stage, waits};
use crate::support::api::{Api, Setup, jws};
use crate::support::pki::{Authority, DAY, ServerIdentity, valid};
use crate::support::proxy::Proxy;

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// What cluster-info holds, what is pinned, and what the server shows.
pub struct Shown {
    pub bundle: String,
    pub pins: Vec<String>,
    pub identity: ServerIdentity,
}

impl Shown {
    pub fn of(authority: &Authority, identity: ServerIdentity) -> Self {
        Self { bundle: authority.pem(), pins: vec![authority.pin()], identity }
    }
}

/// A server that shows this under a name.
pub fn case(
    name: &str,
    expect: Expect,
    host: &'static str,
    make: impl Fn() -> Shown + Send + Sync + 'static,
) -> Case {
    let good = expect.says.is_empty();
    Case::new(name, expect, move || {
        let Shown { bundle, pins, identity } = make();
        let listen = if host.starts_with('[') { "[::1]:0" } else { "127.0.0.1:0" };
        let api = Api::with(Setup { identity: Some(identity), listen, ..Setup::default() });
        let (address, is_far) = (api.address(), host.contains(".example"));
        let endpoint = if is_far { format!("{host}:6443") } else { format!("{host}:{}", address.port()) };
        api.cluster(|cluster| cluster.publish(&jws::kubeconfig(&bundle, &format!("https://{endpoint}"))));
        let stage = Stage::at(endpoint, pins);
        let mut stage = if good { stage.and_trusted(api) } else { stage.and_untrusted(api) };
        if !is_far {
            return stage;
        }
        let proxy = Proxy::to(address);
        stage.variables.push(("HTTPS_PROXY", format!("http://{}", proxy.endpoint())));
        stage.and(proxy)
    })
}

pub const NOT_VERIFIED: Expect =
    waits("not-trusted", "cannot be verified; check that the address is that of");
/// So broken that not even the handshake's signature can be judged, as of a server that does not hold its key.
pub const NOT_READ: Expect = waits("not-trusted", "cannot be verified; check that the address is that of");
pub const NO_CA: Expect =
    waits("not-trusted", "the cluster's CA data holds no CA certificate that may sign; publish the");
pub const SERVER_CLOCK: Expect = waits("clock", "is not valid now; set the clock, or renew the certificate");
const CA_CLOCK: Expect = waits("clock", "; set the clock");

/// Go may take it; what it is stands in the error.
pub const fn unchecked(what: &'static str) -> Expect {
    waits("not-trusted", what)
}

fn ca() -> Authority {
    Authority::new("kubernetes")
}

fn ca_with(adjust: impl FnOnce(&mut CertificateParams)) -> Shown {
    let ca = Authority::with("kubernetes", adjust);
    let identity = ca.server(&NAMES);
    Shown::of(&ca, identity)
}

fn leaf_with(adjust: impl FnOnce(&mut CertificateParams)) -> Shown {
    let ca = ca();
    let identity = ca.server_with(&NAMES, adjust);
    Shown::of(&ca, identity)
}

/// A server below one intermediate.
fn below(adjust: impl FnOnce(&mut CertificateParams)) -> Shown {
    let ca = ca();
    let middle = ca.below("middle", adjust);
    Shown::of(&ca, middle.server(&NAMES).behind([&middle]))
}

/// A server below so many intermediates.
fn deep(count: usize) -> Shown {
    let ca = ca();
    let mut chain: Vec<Authority> = Vec::new();
    for number in 0..count {
        let next = chain.last().unwrap_or(&ca).below(&format!("middle {number}"), |_| {});
        chain.push(next);
    }
    let identity = chain.last().expect("one at least").server(&NAMES);
    Shown::of(&ca, identity.behind(chain.iter().rev()))
}

/// A critical or harmless extension that nobody knows.
fn unknown(params: &mut CertificateParams, critical: bool) {
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
    extension.set_criticality(critical);
    params.custom_extensions.push(extension);
}

fn permitted(params: &mut CertificateParams, subtree: GeneralSubtree) {
    let permitted_subtrees = vec![subtree];
    params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
}

fn excluded(params: &mut CertificateParams, subtree: GeneralSubtree) {
    let excluded_subtrees = vec![subtree];
    params.name_constraints = Some(NameConstraints { permitted_subtrees: Vec::new(), excluded_subtrees });
}

fn names(name: &str) -> GeneralSubtree {
    GeneralSubtree::DnsName(name.to_owned())
}

fn network(address: [u8; 4], prefix: u8) -> GeneralSubtree {
    GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix(address, prefix))
}

fn usages(params: &mut CertificateParams, usages: &[ExtendedKeyUsagePurpose]) {
    params.extended_key_usages = usages.to_vec();
}

/// Replaces the only place where these bytes stand.
fn replace(der: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = der.windows(from.len()).position(|bytes| bytes == from).expect("the bytes to replace");
    [&der[..at], to, &der[at + from.len()..]].concat()
}

type Row = (&'static str, Expect, fn() -> Shown);

const AUTHORITIES: [Row; 11] = [
    ("the server's own CA, not that of cluster-info", NOT_VERIFIED, || Shown::of(&ca(), ca().server(&NAMES))),
    ("a CA without the CA bit", NO_CA, || ca_with(|params| params.is_ca = IsCa::ExplicitNoCa)),
    ("a CA that says nothing of CAs", NO_CA, || ca_with(|params| params.is_ca = IsCa::NoCa)),
    ("a CA that may not sign certificates", NO_CA, || {
        ca_with(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature])
    }),
    ("a CA that says nothing of usages", JOINED, || ca_with(|params| params.key_usages.clear())),
    ("an expired CA", CA_CLOCK, || ca_with(|params| valid(params, -9 * DAY, -DAY))),
    ("a CA of tomorrow", CA_CLOCK, || ca_with(|params| valid(params, DAY, 9 * DAY))),
    ("a CA whose time ends before it begins", CA_CLOCK, || ca_with(|params| valid(params, DAY, -DAY))),
    ("a CA with a critical extension that nobody knows", NO_CA, || ca_with(|params| unknown(params, true))),
    ("a CA with a harmless one", JOINED, || ca_with(|params| unknown(params, false))),
    ("a CA with nobody below it", JOINED, || {
        ca_with(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)))
    }),
];

const SERVERS: [Row; 24] = [
    ("a handshake signed with another key", NOT_READ, || {
        let ca = ca();
        let identity = ca.server(&NAMES).with_another_key();
        Shown::of(&ca, identity)
    }),
    ("expired", SERVER_CLOCK, || leaf_with(|params| valid(params, -9 * DAY, -DAY))),
    ("of tomorrow", SERVER_CLOCK, || leaf_with(|params| valid(params, DAY, 9 * DAY))),
    ("expired a second ago", SERVER_CLOCK, || leaf_with(|params| valid(params, -DAY, -1))),
    ("valid since a second", JOINED, || leaf_with(|params| valid(params, -1, DAY))),
    ("time that ends before it begins", NOT_VERIFIED, || leaf_with(|params| valid(params, DAY, -DAY))),
    ("for clients only", NOT_VERIFIED, || {
        leaf_with(|params| usages(params, &[ExtendedKeyUsagePurpose::ClientAuth]))
    }),
    ("for servers and clients", JOINED, || {
        let both = [ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        leaf_with(|params| usages(params, &both))
    }),
    ("for signing programs", NOT_VERIFIED, || {
        leaf_with(|params| usages(params, &[ExtendedKeyUsagePurpose::CodeSigning]))
    }),
    (
        "for any purpose, which is not named",
        unchecked("CN=kube-apiserver, or of a CA in its chain, is \"any\""),
        || leaf_with(|params| usages(params, &[ExtendedKeyUsagePurpose::Any])),
    ),
    ("for no purpose in particular", JOINED, || leaf_with(|params| usages(params, &[]))),
    (
        "a CA for a server",
        unchecked(
            ": CN=kube-apiserver is marked as a CA (basicConstraints); issue a server certificate that is not a CA",
        ),
        || leaf_with(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
    ),
    ("a critical extension that nobody knows", NOT_READ, || leaf_with(|params| unknown(params, true))),
    ("a harmless one", JOINED, || leaf_with(|params| unknown(params, false))),
    ("an extension of 50 KB", JOINED, || {
        leaf_with(|params| {
            let padding = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 2], vec![0; 50_000]);
            params.custom_extensions.push(padding);
        })
    }),
    ("one that is longer than a handshake may be", waits("unreachable", "localhost:"), || {
        leaf_with(|params| {
            let padding = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 2], vec![0; 90_000]);
            params.custom_extensions.push(padding);
        })
    }),
    ("a bit of the signature flipped", NOT_VERIFIED, || {
        let ca = ca();
        let identity = ca.server(&NAMES).altered(|mut der| {
            *der.last_mut().expect("a signature") ^= 1;
            der
        });
        Shown::of(&ca, identity)
    }),
    ("a name changed behind the signature", NOT_VERIFIED, || {
        let ca = ca();
        let identity = ca.server(&["evil-host"]).altered(|der| replace(&der, b"evil-host", b"localhost"));
        Shown::of(&ca, identity)
    }),
    ("two algorithms that do not agree", NOT_READ, || {
        // ecdsa-with-SHA256 stands inside and outside of what is signed; inside it becomes SHA384.
        let ca = ca();
        let identity =
            ca.server(&NAMES).altered(|der| replace(&der, &[0xce, 0x3d, 4, 3, 2], &[0xce, 0x3d, 4, 3, 3]));
        Shown::of(&ca, identity)
    }),
    ("of version 1", NOT_READ, || {
        let ca = ca();
        let identity =
            ca.server(&NAMES).altered(|der| replace(&der, &[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 0]));
        Shown::of(&ca, identity)
    }),
    ("bytes behind its end", NOT_READ, || {
        let ca = ca();
        let identity = ca.server(&NAMES).altered(|der| [der, vec![0; 3]].concat());
        Shown::of(&ca, identity)
    }),
    ("half of it", NOT_READ, || {
        let ca = ca();
        let identity = ca.server(&NAMES).altered(|der| der[..der.len() / 2].to_vec());
        Shown::of(&ca, identity)
    }),
    ("no certificate but noise", NOT_READ, || {
        let ca = ca();
        let identity = ca.server(&NAMES).altered(|_| b"certificate".to_vec());
        Shown::of(&ca, identity)
    }),
    ("no certificate at all", waits("unreachable", "localhost:"), || {
        let ca = ca();
        let mut identity = ca.server(&NAMES);
        identity.chain.clear();
        Shown::of(&ca, identity)
    }),
];

const INTERMEDIATES: [Row; 21] = [
    ("an intermediate", JOINED, || below(|_| {})),
    ("two intermediates", JOINED, || deep(2)),
    ("six intermediates", JOINED, || deep(6)),
    ("seven intermediates", NOT_VERIFIED, || deep(7)),
    ("thirty intermediates", NOT_VERIFIED, || deep(30)),
    ("intermediates in another order", JOINED, || {
        let mut shown = deep(3);
        shown.identity.chain[1..].reverse();
        shown
    }),
    ("an intermediate that is not shown", NOT_VERIFIED, || {
        let mut shown = below(|_| {});
        shown.identity.chain.truncate(1);
        shown
    }),
    ("the chain's root too", JOINED, || {
        let ca = ca();
        let middle = ca.below("middle", |_| {});
        Shown::of(&ca, middle.server(&NAMES).behind([&middle, &ca]))
    }),
    ("strangers in the chain", JOINED, || {
        let ca = ca();
        let identity = ca.server(&NAMES).behind([&Authority::new("a"), &Authority::new("b")]);
        Shown::of(&ca, identity)
    }),
    ("an intermediate without the CA bit", NOT_VERIFIED, || {
        below(|params| params.is_ca = IsCa::ExplicitNoCa)
    }),
    ("an intermediate that says nothing of CAs", NOT_VERIFIED, || below(|params| params.is_ca = IsCa::NoCa)),
    ("an intermediate that may not sign certificates", NOT_VERIFIED, || {
        below(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature])
    }),
    ("an intermediate for clients", NOT_VERIFIED, || {
        below(|params| usages(params, &[ExtendedKeyUsagePurpose::ClientAuth]))
    }),
    ("an expired intermediate", SERVER_CLOCK, || below(|params| valid(params, -9 * DAY, -DAY))),
    ("an intermediate of tomorrow", SERVER_CLOCK, || below(|params| valid(params, DAY, 9 * DAY))),
    ("an intermediate with a critical extension that nobody knows", NOT_VERIFIED, || {
        below(|params| unknown(params, true))
    }),
    ("an intermediate that may have none below it", NOT_VERIFIED, || {
        let ca = ca();
        let high = ca.below("high", |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
        let low = high.below("low", |_| {});
        Shown::of(&ca, low.server(&NAMES).behind([&low, &high]))
    }),
    ("a server's certificate for an intermediate", NOT_VERIFIED, || {
        let ca = ca();
        let server = ca.below("kube-apiserver", |params| {
            params.is_ca = IsCa::NoCa;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            usages(params, &[ExtendedKeyUsagePurpose::ServerAuth]);
        });
        Shown::of(&ca, server.server(&NAMES).behind([&server]))
    }),
    ("an intermediate of another root of the same name", NOT_VERIFIED, || {
        let middle = ca().below("middle", |_| {});
        Shown::of(&ca(), middle.server(&NAMES).behind([&middle]))
    }),
    ("two that sign each other, and no root", NOT_VERIFIED, || {
        let (a, b) = (Authority::new("a"), Authority::new("b"));
        let mut identity = a.server(&NAMES);
        identity.chain.extend([a.cross_signed_by(&b), b.cross_signed_by(&a)]);
        Shown::of(&ca(), identity)
    }),
    ("sixty of one name, each of which may be the next", NOT_VERIFIED, || {
        let authorities: Vec<_> = (0..60).map(|_| Authority::new("kubernetes")).collect();
        let identity = authorities[0].server(&NAMES).behind(&authorities[1..]);
        Shown::of(&ca(), identity)
    }),
];

const CONSTRAINTS: [Row; 12] = [
    ("a CA for this name", JOINED, || {
        let ca = Authority::with("kubernetes", |params| permitted(params, names("localhost")));
        let identity = ca.server(&["localhost"]);
        Shown::of(&ca, identity)
    }),
    ("a CA for other names", NOT_VERIFIED, || ca_with(|params| permitted(params, names("cluster.example")))),
    ("a CA for all names but this", NOT_VERIFIED, || ca_with(|params| excluded(params, names("localhost")))),
    ("a CA for all names but others", JOINED, || {
        ca_with(|params| excluded(params, names("cluster.example")))
    }),
    ("a CA for other addresses", NOT_VERIFIED, || {
        ca_with(|params| permitted(params, network([10, 0, 0, 0], 8)))
    }),
    ("a CA for this machine's addresses", JOINED, || {
        ca_with(|params| permitted(params, network([127, 0, 0, 0], 8)))
    }),
    ("a CA for all addresses but this machine's", NOT_VERIFIED, || {
        ca_with(|params| excluded(params, network([127, 0, 0, 0], 8)))
    }),
    ("an intermediate for other names", NOT_VERIFIED, || {
        below(|params| permitted(params, names("cluster.example")))
    }),
    ("an intermediate for all names but this", NOT_VERIFIED, || {
        below(|params| excluded(params, names("localhost")))
    }),
    ("an intermediate for other addresses", NOT_VERIFIED, || {
        below(|params| permitted(params, network([10, 0, 0, 0], 8)))
    }),
    ("an intermediate for this name and the other address", NOT_VERIFIED, || {
        let ca = ca();
        let middle = ca.below("middle", |params| {
            let permitted_subtrees = vec![names("localhost"), network([10, 0, 0, 0], 8)];
            params.name_constraints =
                Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
        });
        Shown::of(&ca, middle.server(&NAMES).behind([&middle]))
    }),
    ("a CA for names, and a name with a wildcard that goes beyond", NOT_VERIFIED, || {
        let ca = Authority::with("kubernetes", |params| excluded(params, names("evil.localhost")));
        let identity = ca.server(&["localhost", "*.localhost"]);
        Shown::of(&ca, identity)
    }),
];

pub fn cases() -> Vec<Case> {
    let rows = AUTHORITIES.into_iter().chain(SERVERS).chain(INTERMEDIATES).chain(CONSTRAINTS);
    rows.map(|(name, expect, make)| case(name, expect, "localhost", make)).collect()
}
