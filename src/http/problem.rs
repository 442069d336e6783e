//! Why a server's certificate is refused, in words: webpki and rustls tell it in the names of their types.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use der::Tag;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use rustls::{AlertDescription, CertificateError, OtherError};

use super::signatures::{has_length, is_checked};
use crate::asn1::tlv;
use crate::node_name::ORGANIZATION;
use crate::x509::{Certificate, algorithm_name, key_name, signature_algorithm};

/// What is wrong with a chain, or with the signature of a handshake.
pub(super) enum Problem {
    /// This certificate is not valid at that time, and nothing else was found.
    Time(Box<Certificate>, SystemTime),
    /// It may be in order, but this program cannot tell.
    Limit {
        /// What it is; a clause.
        what: String,
        /// What this program does not do, to stand behind "the certificate of SERVER".
        limit: &'static str,
        /// The way out.
        help: &'static str,
    },
    /// It does not hold; a clause.
    Wrong(String),
    /// It is for other names than the one that was dialled; a clause.
    Name(String),
    /// It holds, and its leaf is a kubelet's serving certificate (`pkg/apis/certificates`, `ValidateKubeletServingCSR`).
    Kubelet,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(certificate, now) => f.write_str(&certificate.describe_validity(*now)),
            Self::Limit { what: words, .. } | Self::Wrong(words) | Self::Name(words) => f.write_str(words),
            Self::Kubelet => write!(f, "its organization is {ORGANIZATION}"),
        }
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Problem")
    }
}

impl std::error::Error for Problem {}

/// The purposes do not fit.
pub(super) const NOT_FOR_SERVERS: &str = "its extended key usage does not include serverAuth";

/// anyExtendedKeyUsage (RFC 5280, section 4.2.1.12), as webpki has it.
const ANY_PURPOSE: &[usize] = &[2, 5, 29, 37, 0];

/// What is made in a way that [`super::signatures`] does not have.
fn unknown_algorithm(what: String) -> Problem {
    Problem::Limit {
        what,
        limit: "cannot be verified: nodestrap supports RSA (2048 to 8192 bits, SHA-256, SHA-384, SHA-512) and ECDSA (P-256, \
                P-384, SHA-256, SHA-384)",
        help: "issue the server certificate, and the CA, with one of these",
    }
}

/// webpki's word on a chain, to whose leaf and other certificates the others belong, and which should end at one of
/// `roots`: at one of the `signers` among them, or at one that is the leaf itself.
pub(super) fn of_chain(
    error: &webpki::Error,
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    roots: &[Certificate],
    signers: &[TrustAnchor<'_>],
    now: SystemTime,
) -> Problem {
    use webpki::Error as E;
    let Ok(leaf) = Certificate::from_der(leaf) else {
        return Problem::Wrong("it is malformed".to_owned());
    };
    let subject = &leaf.subject;
    let wrong = |words: &str| Problem::Wrong(words.to_owned());
    match error {
        E::CertExpired { not_after: bound, .. } | E::CertNotValidYet { not_before: bound, .. } => {
            let bound = UNIX_EPOCH + Duration::from_secs(bound.as_secs());
            let shown = others.iter().filter_map(|other| Certificate::from_der(other).ok());
            let mut known = shown.chain(roots.iter().cloned());
            let misfit = known.find(|known| {
                [known.not_before, known.not_after].contains(&bound) && !known.is_valid_at(now)
            });
            Problem::Time(Box::new(misfit.filter(|_| leaf.is_valid_at(now)).unwrap_or(leaf)), now)
        }
        E::UnsupportedSignatureAlgorithmContext(_)
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
        | E::InvalidSignatureForPublicKey => unchecked(&leaf, others, signers).unwrap_or_else(|| {
            let words = format!(
                "it, or a CA in its chain, was signed by another CA that has the name of its issuer ({})",
                leaf.issuer
            );
            Problem::Wrong(words)
        }),
        E::CaUsedAsEndEntity => Problem::Limit {
            what: format!("{subject} is marked as a CA (basicConstraints)"),
            limit: "cannot be verified: a CA certificate can be a server's only if the CA data holds the same certificate",
            help: "issue a server certificate that is not a CA",
        },
        E::EmptyEkuExtension => {
            let shown = others.iter().filter_map(|other| Certificate::from_der(other).ok());
            let empty = shown.filter(|shown| shown.empty_usages).map(|shown| shown.subject).next_back();
            let subject = if leaf.empty_usages { subject } else { &empty.unwrap_or_default() };
            Problem::Limit {
                what: format!("{subject} has an empty extended key usage"),
                limit: "cannot be verified: an extended key usage must name a purpose",
                help: "issue certificates with serverAuth in that extension, or without the extension",
            }
        }
        E::RequiredEkuNotFoundContext(context)
            if context.present.iter().any(|purpose| purpose == ANY_PURPOSE) =>
        {
            Problem::Limit {
                what: format!(
                    "the extended key usage of {subject}, or of a CA in its chain, is \"any\" without serverAuth"
                ),
                limit: "cannot be verified: nodestrap requires serverAuth by name",
                help: "issue certificates with serverAuth",
            }
        }
        E::RequiredEkuNotFoundContext(_) => wrong(NOT_FOR_SERVERS),
        E::CertNotValidForName(context) => {
            let name = context.expected.to_str().into_owned();
            let names = leaf.alt_names.to_string();
            let own = if names.is_empty() { "no name" } else { &names };
            Problem::Name(format!("it is valid for {own}, not for {name}"))
        }
        E::UnknownIssuer => {
            let expected: Vec<_> = roots.iter().map(|root| root.subject.to_string()).collect();
            Problem::Wrong(match &expected[..] {
                [] => format!("its issuer {} is not a public CA", leaf.issuer),
                _ => format!("its issuer {} is not the trusted CA {}", leaf.issuer, expected.join(" or ")),
            })
        }
        E::UnsupportedCertVersion => {
            wrong("it is an X.509 version 1 or 2 certificate, which only a root may be")
        }
        E::UnsupportedCriticalExtension => wrong("it has an unknown critical extension"),
        E::NameConstraintViolation => wrong("the name constraints of a CA in its chain exclude its names"),
        E::PathLenConstraintViolated => wrong("its chain exceeds the path length that one of its CAs allows"),
        E::EndEntityUsedAsCa => {
            wrong("its issuer, or a CA in its chain, is not a CA that may sign certificates")
        }
        E::InvalidCertValidity => wrong("its validity, or that of a CA in its chain, ends before it begins"),
        E::MaximumPathDepthExceeded
        | E::MaximumPathBuildCallsExceeded
        | E::MaximumSignatureChecksExceeded
        | E::MaximumNameConstraintComparisonsExceeded => {
            wrong("its chain is too long, or has too many branches")
        }
        _ => wrong("it, or a certificate in its chain, is malformed"),
    }
}

/// The first signature on the way from the leaf to an anchor that is made in a way, or by a key, that this program cannot
/// check.
fn unchecked(
    leaf: &Certificate,
    others: &[CertificateDer<'_>],
    signers: &[TrustAnchor<'_>],
) -> Option<Problem> {
    let others: Vec<_> = others.iter().filter_map(|other| Certificate::from_der(other).ok()).collect();
    let mut signed = leaf;
    for _ in 0..=others.len() {
        let above = signers.iter().filter(|anchor| *anchor.subject == *signed.raw_issuer);
        let mut keys: Vec<_> =
            above.map(|anchor| tlv(Tag::Sequence, &[&anchor.subject_public_key_info])).collect();
        let is_last = !keys.is_empty();
        let next = others.iter().find(|other| other.raw_subject == signed.raw_issuer);
        keys.extend(next.map(|next| next.spki.clone()));
        let algorithm = signature_algorithm(&signed.der);
        if let Some(key) = keys.iter().find(|key| !is_checked(algorithm, key)) {
            let (name, key) = (algorithm_name(algorithm), key_name(key));
            let (subject, issuer) = (&signed.subject, &signed.issuer);
            let what = format!("{subject} is signed with {name} by the key of {issuer} ({key})");
            return Some(unknown_algorithm(what));
        }
        signed = next.filter(|_| !is_last)?;
    }
    None
}

/// What rustls says of a handshake's signature by the key of `leaf`.
pub(super) fn of_handshake(error: rustls::Error, leaf: &CertificateDer<'_>) -> rustls::Error {
    let rustls::Error::InvalidCertificate(why) = &error else { return error };
    let problem = match why {
        CertificateError::Other(OtherError(why)) => match why.downcast_ref::<webpki::Error>() {
            Some(why) => of_chain(why, leaf, &[], &[], &[], UNIX_EPOCH),
            None => return error,
        },
        CertificateError::BadEncoding => of_chain(&webpki::Error::BadDer, leaf, &[], &[], &[], UNIX_EPOCH),
        _ => match Certificate::from_der(leaf) {
            Ok(leaf) if !has_length(&leaf.spki) => {
                unknown_algorithm(format!("the key of {} is {}", leaf.subject, key_name(&leaf.spki)))
            }
            _ => Problem::Wrong(
                "the server did not sign the handshake with the key of its certificate".to_owned(),
            ),
        },
    };
    to_tls(problem)
}

/// A problem, as rustls hands it through.
pub(super) fn to_tls(problem: Problem) -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(problem))))
}

/// What a failed handshake, or what came behind it, says to people.
pub(super) fn of_tls(error: &rustls::Error) -> String {
    use rustls::Error as E;
    let words = match error {
        E::AlertReceived(alert) => {
            let number = u8::from(*alert);
            let known = ALERTS.iter().find(|(known, _)| known == alert).map_or("", |(_, name)| name);
            return format!("the server sent TLS alert {number} {known}").trim_end().to_owned();
        }
        E::PeerIncompatible(_) | E::NoApplicationProtocol => {
            "no TLS version, cipher suite, curve or key in common"
        }
        E::NoCertificatesPresented => "the server presented no certificate",
        E::InvalidMessage(_) | E::PeerSentOversizedRecord | E::DecryptError => {
            "the server sent invalid TLS messages"
        }
        E::FailedToGetRandomBytes => "the kernel has no random numbers yet",
        _ => "the server violated the TLS protocol",
    };
    words.to_owned()
}

/// The alerts that tell somebody what to do (RFC 8446, section 6).
const ALERTS: [(AlertDescription, &str); 8] = [
    (AlertDescription::HandshakeFailure, "(handshake_failure)"),
    (AlertDescription::BadCertificate, "(bad_certificate)"),
    (AlertDescription::AccessDenied, "(access_denied)"),
    (AlertDescription::ProtocolVersion, "(protocol_version)"),
    (AlertDescription::InsufficientSecurity, "(insufficient_security)"),
    (AlertDescription::InternalError, "(internal_error)"),
    (AlertDescription::UnrecognisedName, "(unrecognized_name)"),
    (AlertDescription::CertificateRequired, "(certificate_required)"),
];

#[cfg(test)]
mod tests;
