//! What webpki and rustls say, in words.

use rcgen::{
    CertificateParams, DistinguishedName, DnType, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519,
    SignatureAlgorithm, date_time_ymd,
};
use rustls::pki_types::{ServerName, UnixTime};
use webpki::{
    Error as E, InvalidNameContext, KeyUsage, RequiredEkuNotFoundContext, anchor_from_trusted_cert,
};

use super::*;

/// A certificate by itself, from the first day of one year to that of another.
fn certificate(name: &str, from: i32, to: i32) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(vec!["api.example".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

fn words(error: &E) -> String {
    of_chain(error, &certificate("server", 2020, 2050), &[], &[], &[], UNIX_EPOCH).to_string()
}

#[test]
fn each_fault_of_a_chain_has_words_of_its_own() {
    let purposes = |present: &[usize]| {
        let (required, present) = (KeyUsage::server_auth(), vec![present.to_vec()]);
        E::RequiredEkuNotFoundContext(RequiredEkuNotFoundContext { required, present })
    };
    for (error, expected) in [
        (E::CaUsedAsEndEntity, "CN=server is marked as a CA (basicConstraints)"),
        (E::EmptyEkuExtension, " has an empty extended key usage"),
        (purposes(&[2, 5, 29, 37, 0]), "or of a CA in its chain, is \"any\" without serverAuth"),
        (purposes(&[1, 3, 6, 1, 5, 5, 7, 3, 2]), NOT_FOR_SERVERS),
        (
            E::CertNotValidForName(InvalidNameContext {
                expected: ServerName::try_from("other.example").unwrap(),
                presented: Vec::new(),
            }),
            "it is valid for DNS:api.example, not for other.example",
        ),
        (E::UnknownIssuer, "its issuer CN=server is not a public CA"),
        (E::UnsupportedCertVersion, "it is an X.509 version 1 or 2 certificate, which only a root may be"),
        (E::UnsupportedCriticalExtension, "it has an unknown critical extension"),
        (E::NameConstraintViolation, "the name constraints of a CA in its chain exclude its names"),
        (E::PathLenConstraintViolated, "its chain exceeds the path length that one of its CAs allows"),
        (E::EndEntityUsedAsCa, "its issuer, or a CA in its chain, is not a CA that may sign certificates"),
        (E::InvalidCertValidity, "its validity, or that of a CA in its chain, ends before it begins"),
        (E::MaximumPathDepthExceeded, "its chain is too long, or has too many branches"),
        (E::BadDer, "it, or a certificate in its chain, is malformed"),
    ] {
        let words = words(&error);
        assert!(words.ends_with(expected), "{error:?}: {words}");
    }
}

#[test]
fn the_trusted_cas_are_named_where_a_chain_ends_at_another() {
    let roots = ["one", "two"].map(|name| Certificate::from_der(&certificate(name, 2020, 2050)).unwrap());
    let leaf = certificate("server", 2020, 2050);
    let problem = of_chain(&E::UnknownIssuer, &leaf, &[], &roots, &[], UNIX_EPOCH);
    assert_eq!(problem.to_string(), "its issuer CN=server is not the trusted CA CN=one or CN=two");
}

#[test]
fn the_signature_that_cannot_be_checked_is_named() {
    struct Signed(CertificateParams, KeyPair, CertificateDer<'static>);
    let signed = |name: &str, kind: &'static SignatureAlgorithm, by: Option<&Signed>| {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate_for(kind).unwrap();
        let der = match by {
            Some(by) => params.signed_by(&key, &Issuer::from_params(&by.0, &by.1)).unwrap().der().clone(),
            None => params.self_signed(&key).unwrap().der().clone(),
        };
        Signed(params, key, der)
    };
    let (p256, ed25519) = (&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519);
    let said = |leaf: &Signed, others: &[&Signed], root: &Signed| {
        let others: Vec<_> = others.iter().map(|other| other.2.clone()).collect();
        let signers = [anchor_from_trusted_cert(&root.2).unwrap()];
        of_chain(&E::InvalidSignatureForPublicKey, &leaf.2, &others, &[], &signers, UNIX_EPOCH).to_string()
    };
    let named = |subject: &str, issuer: &str| {
        format!("CN={subject} is signed with Ed25519 by the key of CN={issuer} (Ed25519)")
    };
    let (good, unknown) = (signed("good", p256, None), signed("unknown", ed25519, None));
    assert_eq!(said(&signed("leaf", p256, Some(&unknown)), &[], &unknown), named("leaf", "unknown"));
    let middle = signed("middle", p256, Some(&unknown));
    let leaf = signed("leaf", p256, Some(&middle));
    assert_eq!(said(&leaf, &[&good, &middle], &unknown), named("middle", "unknown"));
    // Behind the trusted CA nothing is looked at.
    let other =
        "it, or a CA in its chain, was signed by another CA that has the name of its issuer (CN=middle)";
    assert_eq!(said(&leaf, &[&middle], &middle), other);
    let middle = signed("middle", p256, Some(&good));
    assert_eq!(said(&signed("leaf", p256, Some(&middle)), &[&middle], &good), other);
}

#[test]
fn of_a_chain_the_certificate_that_is_not_valid_now_is_named() {
    let read = |der: &CertificateDer<'_>| Certificate::from_der(der).unwrap();
    let bound = |der: &CertificateDer<'_>| {
        let not_after = UnixTime::since_unix_epoch(read(der).not_after.duration_since(UNIX_EPOCH).unwrap());
        E::CertExpired { time: not_after, not_after }
    };
    let now = read(&certificate("now", 2040, 2041)).not_before;
    let (good, old) = (certificate("good", 2020, 2050), certificate("old", 2020, 2030));
    let (older, root) = (certificate("older", 2020, 2025), read(&certificate("root", 2020, 2035)));
    for (leaf, others, roots, error, named) in [
        (&good, &[older.clone(), old.clone()][..], vec![], bound(&old), "CN=old expired"),
        (&good, &[], vec![read(&older), root.clone()], bound(&root.der.clone().into()), "CN=root expired"),
        (&old, std::slice::from_ref(&older), vec![], bound(&older), "CN=old expired"),
    ] {
        let problem = of_chain(&error, leaf, others, &roots, &[], now);
        assert!(matches!(problem, Problem::Time(..)) && problem.to_string().starts_with(named), "{problem}");
    }
}

#[test]
fn a_handshake_says_what_is_wrong_with_its_certificate_or_signature() {
    let leaf = certificate("server", 2020, 2050);
    let other = |why: webpki::Error| CertificateError::Other(OtherError(Arc::new(why)));
    for (why, expected) in [
        (other(E::UnsupportedCriticalExtension), "it has an unknown critical extension"),
        (CertificateError::BadEncoding, "it, or a certificate in its chain, is malformed"),
        (
            CertificateError::BadSignature,
            "the server did not sign the handshake with the key of its certificate",
        ),
    ] {
        let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(problem))) =
            of_handshake(rustls::Error::InvalidCertificate(why), &leaf)
        else {
            panic!("{expected}");
        };
        assert_eq!(problem.to_string(), expected);
    }
}

#[test]
fn a_handshake_that_fails_has_words_of_its_own() {
    use rustls::{Error, InvalidMessage, PeerIncompatible};
    for (error, expected) in [
        (
            Error::AlertReceived(AlertDescription::HandshakeFailure),
            "the server sent TLS alert 40 (handshake_failure)",
        ),
        (Error::AlertReceived(AlertDescription::UserCanceled), "the server sent TLS alert 90"),
        (
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            "no TLS version, cipher suite, curve or key in common",
        ),
        (Error::NoCertificatesPresented, "the server presented no certificate"),
        (Error::InvalidMessage(InvalidMessage::MessageTooLarge), "the server sent invalid TLS messages"),
        (Error::FailedToGetRandomBytes, "the kernel has no random numbers yet"),
        (Error::HandshakeNotComplete, "the server violated the TLS protocol"),
    ] {
        assert_eq!(of_tls(&error), expected);
    }
}
