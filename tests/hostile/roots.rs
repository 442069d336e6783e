//! Roots as Go takes them (`crypto/x509`): certificates older than version 3, and servers' own; and the algorithms of
//! those that sign.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::chains::{NO_CA, NOT_READ, NOT_VERIFIED, SERVER_CLOCK, Shown, case, unchecked};
use crate::openssl;
use crate::suite::{Case, Expect, JOINED, waits};
use crate::support::pki::{Authority, DAY, pem_text, valid};
use crate::trust::ANOTHER_NAME;

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// One self-signed certificate for everything, with changes.
fn own(adjust: impl FnOnce(&mut CertificateParams)) -> Authority {
    Authority::with("localhost", |params| {
        params.is_ca = IsCa::NoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().expect("a name"))];
        adjust(params);
    })
}

/// It is shown by the server, and published.
fn alone(adjust: impl FnOnce(&mut CertificateParams)) -> Shown {
    let own = own(adjust);
    let identity = own.itself();
    Shown::of(&own, identity)
}

/// The same beside a CA that has not issued it, which is pinned too.
fn beside(adjust: impl FnOnce(&mut CertificateParams)) -> Shown {
    let (own, ca) = (own(adjust), Authority::new("kubernetes"));
    let identity = own.itself();
    Shown { bundle: own.pem() + &ca.pem(), pins: vec![own.pin(), ca.pin()], identity }
}

/// A certificate that is published and pinned itself, not its CA, which has changed it.
fn published(change: impl FnOnce(&Authority, Vec<u8>) -> Vec<u8>) -> Shown {
    let (ca, key) = (Authority::new("kubernetes"), KeyPair::generate().expect("a key"));
    let identity = ca.server_of(&key, &NAMES, |_| {}).altered(|der| change(&ca, der));
    let pins = vec![Authority::of(key, "", |_| {}).pin()];
    Shown { bundle: pem_text("CERTIFICATE", &identity.chain[0]), pins, identity }
}

fn usages(params: &mut CertificateParams, usages: &[ExtendedKeyUsagePurpose]) {
    params.extended_key_usages = usages.to_vec();
}

fn root(version: u8) -> Shown {
    let ca = Authority::new("kubernetes").of_version(version);
    let identity = ca.server(&NAMES);
    Shown::of(&ca, identity)
}

/// extKeyUsage with nothing in it, which rcgen does not write.
fn empty_usages(params: &mut CertificateParams) {
    params.extended_key_usages.clear();
    params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 37], vec![0x30, 0]));
}

type Row = (&'static str, Expect, fn() -> Shown);

const ROOTS: [Row; 25] = [
    ("a CA of version 1", JOINED, || root(1)),
    ("a CA of version 2", JOINED, || root(2)),
    ("a CA of version 1 with CAs below it", JOINED, || {
        let ca = Authority::new("kubernetes").of_version(1);
        let middle = ca.below("middle", |_| {});
        Shown::of(&ca, middle.server(&NAMES).behind([&middle]))
    }),
    ("a CA of version 1 that is out of time", waits("clock", "; set the clock"), || {
        let ca = Authority::with("kubernetes", |params| valid(params, -9 * DAY, -DAY)).of_version(1);
        let identity = ca.server(&NAMES);
        Shown::of(&ca, identity)
    }),
    ("an intermediate of version 1", NOT_VERIFIED, || {
        let ca = Authority::new("kubernetes");
        let middle = ca.below("middle", |_| {});
        let mut identity = middle.server(&NAMES).behind([&middle]);
        identity.chain[1] = ca.sign_old(&middle.certificate, 1).into();
        Shown::of(&ca, identity)
    }),
    ("an intermediate of version 2", NOT_VERIFIED, || {
        let ca = Authority::new("kubernetes");
        let middle = ca.below("middle", |_| {});
        let mut identity = middle.server(&NAMES).behind([&middle]);
        identity.chain[1] = ca.sign_old(&middle.certificate, 2).into();
        Shown::of(&ca, identity)
    }),
    (
        "a server of version 1",
        waits("not-trusted", "version 1 or 2 certificate, which only a root may be"),
        || {
            let ca = Authority::new("kubernetes");
            let identity = ca.server(&NAMES).altered(|der| ca.sign_old(&der, 1));
            Shown::of(&ca, identity)
        },
    ),
    ("a server of version 1 that is published", NOT_READ, || published(|ca, der| ca.sign_old(&der, 1))),
    ("one certificate for everything", JOINED, || alone(|_| {})),
    ("one that is marked as no CA", JOINED, || alone(|params| params.is_ca = IsCa::ExplicitNoCa)),
    ("one that is marked as a CA", JOINED, || {
        alone(|params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        })
    }),
    ("one that is marked as a CA that signs nothing", JOINED, || {
        alone(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)))
    }),
    ("one that is for any purpose", JOINED, || {
        alone(|params| usages(params, &[ExtendedKeyUsagePurpose::Any]))
    }),
    ("one with an empty extended key usage", JOINED, || alone(empty_usages)),
    ("one for clients only", NO_CA, || {
        alone(|params| usages(params, &[ExtendedKeyUsagePurpose::ClientAuth]))
    }),
    ("one for another name", ANOTHER_NAME, || {
        alone(|params| {
            params.subject_alt_names = vec![SanType::DnsName("other".try_into().expect("a name"))];
        })
    }),
    (
        "one that has expired",
        waits("clock", "days later: the certificate has expired, or the clock is"),
        || alone(|params| valid(params, -9 * DAY, -2 * DAY - 9)),
    ),
    ("one that has expired, beside a CA", SERVER_CLOCK, || beside(|params| valid(params, -9 * DAY, -DAY))),
    ("one with a critical extension that nobody knows, beside a CA", NOT_READ, || {
        beside(|params| {
            let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
            extension.set_criticality(true);
            params.custom_extensions.push(extension);
        })
    }),
    ("a server's certificate without its CA", JOINED, || published(|_, der| der)),
    ("a server's certificate whose signature does not hold", JOINED, || {
        published(|_, mut der| {
            *der.last_mut().expect("a signature") ^= 1;
            der
        })
    }),
    ("a server below a server's own", NOT_VERIFIED, || {
        let own = own(|_| {});
        let identity = own.server(&NAMES);
        Shown::of(&own, identity)
    }),
    ("a server below one that is marked as no CA, beside a CA", NOT_VERIFIED, || {
        let (own, ca) = (own(|params| params.is_ca = IsCa::ExplicitNoCa), Authority::new("kubernetes"));
        let identity = own.server(&NAMES).behind([&own]);
        Shown { bundle: own.pem() + &ca.pem(), pins: vec![own.pin(), ca.pin()], identity }
    }),
    ("an empty extended key usage", unchecked("CN=kube-apiserver has an empty extended key usage"), || {
        let ca = Authority::new("kubernetes");
        let identity = ca.server_with(&NAMES, empty_usages);
        Shown::of(&ca, identity)
    }),
    (
        "an empty extended key usage of an intermediate",
        unchecked("CN=middle has an empty extended key"),
        || {
            let ca = Authority::new("kubernetes");
            let middle = ca.below("middle", empty_usages);
            Shown::of(&ca, middle.server(&NAMES).behind([&middle]))
        },
    ),
];

const RSA: &str = "rsa:2048";
const P256: &str = "ec -pkeyopt ec_paramgen_curve:P-256";
const P384: &str = "ec -pkeyopt ec_paramgen_curve:P-384";
const P521: &str = "ec -pkeyopt ec_paramgen_curve:P-521";

/// A CA's key, how it signs the server's certificate, and how that must end.
const ALGORITHMS: [(&str, Expect, &str, &str); 17] = [
    ("RSA-2048 and SHA-256", JOINED, RSA, "-sha256"),
    ("RSA-2048 and SHA-512", JOINED, RSA, "-sha512"),
    ("RSA-PSS", JOINED, RSA, "-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest"),
    ("RSA-2048 and SHA-1", unchecked("is signed with RSA with SHA-1 by"), RSA, "-sha1"),
    ("RSA-2048 and MD5", unchecked("is signed with RSA with MD5 by"), RSA, "-md5"),
    ("RSA-2048 and SHA-224", unchecked("is signed with RSA with SHA-224 by"), RSA, "-sha224"),
    ("RSA-1024", unchecked("by the key of CN=kubernetes (RSA-1024)"), "rsa:1024", "-sha256"),
    ("RSA-512", unchecked("by the key of CN=kubernetes (RSA-512)"), "rsa:512", "-sha256"),
    ("P-384 and SHA-384", JOINED, P384, "-sha384"),
    (
        "P-384 and SHA-512",
        unchecked("with ECDSA with SHA-512 by the key of CN=kubernetes (P-384)"),
        P384,
        "-sha512",
    ),
    ("P-256 and SHA-1", unchecked("is signed with ECDSA with SHA-1 by"), P256, "-sha1"),
    (
        "P-256 and SHA-512",
        unchecked("with ECDSA with SHA-512 by the key of CN=kubernetes (P-256)"),
        P256,
        "-sha512",
    ),
    ("P-224", unchecked("(P-224)"), "ec -pkeyopt ec_paramgen_curve:P-224", "-sha256"),
    ("P-521", unchecked("with ECDSA with SHA-512 by the key of CN=kubernetes (P-521)"), P521, "-sha512"),
    (
        "P-521 and SHA-256",
        unchecked("with ECDSA with SHA-256 by the key of CN=kubernetes (P-521)"),
        P521,
        "-sha256",
    ),
    ("a curve of Bitcoin's", unchecked("(secp256k1)"), "ec -pkeyopt ec_paramgen_curve:secp256k1", "-sha256"),
    ("Ed25519", unchecked("is signed with Ed25519 by the key of CN=kubernetes (Ed25519)"), "ed25519", ""),
];

pub fn cases() -> Vec<Case> {
    let rows = ROOTS.into_iter().map(|(name, expect, make)| case(name, expect, "localhost", make));
    let algorithms = ALGORITHMS.into_iter().map(|(name, expect, key, signing)| {
        case(&format!("a CA with {name}"), expect, "localhost", move || openssl::shown(key, signing))
    });
    rows.chain(algorithms).collect()
}
