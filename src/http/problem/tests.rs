//! What webpki and rustls say, in words.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};
use rustls::pki_types::UnixTime;
use webpki::{Error as E, KeyUsage, RequiredEkuNotFoundContext};

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
