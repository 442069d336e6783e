//! Reading certificates and certificate requests.
//!
//! A reader, not a verifier: chains are verified by webpki in [`crate::http`], with ordinary rules. What is read here is
//! what webpki does not tell: names, dates and the extensions of a root (RFC 5280, section 4.1; RFC 2986 for
//! requests). Untrusted input; DER is read strictly and without recursion.

mod algorithm;
mod alt_names;
mod request;

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use der::{DateTime, Tag};
use ring::digest;

use crate::asn1::{self, Field, Malformed, Reader, ctx_constructed, oid};
use crate::clock::distance;
use crate::limits;
use crate::pem_blocks::blocks;
pub use algorithm::{algorithm_name, is_rsa, key_algorithm, key_name, rsa_bits, signature_algorithm};
pub use alt_names::{AltName, AltNames, is_subdomain};
pub use request::Request;

/// keyCertSign is bit 5 of keyUsage (RFC 5280, section 4.2.1.3), counted from the highest bit of the first byte.
const KEY_CERT_SIGN: u8 = 0x80 >> 5;

/// A distinguished name, reduced to the attributes that Kubernetes uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// The values of O, in order.
    pub organizations: Vec<String>,
    /// The values of CN, in order.
    pub common_names: Vec<String>,
    /// How many attributes of other types there are.
    pub others: usize,
}

/// As people read it: `O=…, CN=…`.
impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.organizations.iter().map(|o| format!("O={o}")));
        parts.extend(self.common_names.iter().map(|cn| format!("CN={cn}")));
        f.write_str(&crate::sanitize::sanitize(&parts.join(", ")))
    }
}

/// The fields of an X.509 certificate that decisions need.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The whole certificate.
    pub der: Vec<u8>,
    /// The raw SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
    /// Who issued it, for messages.
    pub issuer: Name,
    /// The issuer as chains compare it, without the header of its sequence.
    pub raw_issuer: Vec<u8>,
    /// Whom it names.
    pub subject: Name,
    /// The subject as chains compare it, without the header of its sequence.
    pub raw_subject: Vec<u8>,
    /// First moment of validity.
    pub not_before: SystemTime,
    /// Last second of validity.
    pub not_after: SystemTime,
    /// basicConstraints says CA.
    pub is_ca: bool,
    /// As a root it may sign certificates: it is a CA, or older than the extension that says so (version 1 or 2),
    /// keyUsage, where a bit of it is set, allows it, and no critical extension is unknown (RFC 5280, section 6.1.4 (k),
    /// (n) and (o)). webpki asks the second of nobody and the third of no root; Go asks both of each issuer
    /// (`crypto/x509`, `CheckSignatureFrom`).
    pub can_sign_certs: bool,
    /// There is a critical extension that Go does not know: no API server takes the certificate.
    pub unknown_critical: bool,
    /// extKeyUsage, where there is one, holds serverAuth or any. webpki asks it of intermediates, Go of roots too.
    pub allows_server_auth: bool,
    /// extKeyUsage is there and empty: Go takes that for no limit, webpki takes it of roots only.
    pub empty_usages: bool,
    /// How many CAs may stand between this CA and the last certificate of a chain, where it says so.
    pub path_length: Option<usize>,
    /// What is inside the sequence of nameConstraints, where there are some.
    pub name_constraints: Option<Vec<u8>>,
    /// extKeyUsage holds clientAuth.
    pub client_auth: bool,
    /// extKeyUsage holds serverAuth.
    pub server_auth: bool,
    /// The hosts that it is for.
    pub alt_names: AltNames,
}

impl Certificate {
    /// Reads one certificate.
    ///
    /// # Errors
    /// Whatever is not strict DER of the expected shape, or longer than [`limits::CERTIFICATE_BYTES`].
    pub fn from_der(der: &[u8]) -> asn1::Result<Self> {
        if der.len() > limits::CERTIFICATE_BYTES {
            return Err(Malformed);
        }
        let mut fields = Reader::of_sequence(der)?;
        let tbs = fields.expect(Tag::Sequence)?;
        let outer_algorithm = fields.any()?.raw;
        fields.any()?.bit_string()?;
        // TBSCertificate: an optional [0] version stands first.
        let mut tbs = tbs.fields();
        let first = tbs.any()?;
        let mut has_extensions = false;
        if first.tag == ctx_constructed(0) {
            has_extensions = match first.fields().expect(Tag::Integer)?.value {
                [0 | 1] => false,
                [2] => true,
                _ => return Err(Malformed),
            };
            tbs.any()?; // serialNumber
        }
        if tbs.any()?.raw != outer_algorithm {
            return Err(Malformed); // RFC 5280, section 4.1.1.2
        }
        let raw_issuer = tbs.expect(Tag::Sequence)?;
        let mut validity = tbs.expect(Tag::Sequence)?.fields();
        let (not_before, not_after) = (time(validity.any()?)?, time(validity.any()?)?);
        let raw_subject = tbs.expect(Tag::Sequence)?;
        let spki = tbs.expect(Tag::Sequence)?.raw.to_vec();
        let mut extensions = Extensions::default();
        while let Some(field) = tbs.read()? {
            // Go passes over them in older versions (`crypto/x509`, `parseCertificate`).
            if has_extensions && field.tag == ctx_constructed(3) {
                extensions = Extensions::read(field)?;
            }
        }
        Ok(Self {
            der: der.to_vec(),
            spki,
            issuer: name(raw_issuer)?,
            raw_issuer: raw_issuer.value.to_vec(),
            subject: name(raw_subject)?,
            raw_subject: raw_subject.value.to_vec(),
            not_before,
            not_after,
            is_ca: extensions.ca,
            unknown_critical: extensions.unknown_critical,
            can_sign_certs: (extensions.ca || !has_extensions)
                && extensions.cert_sign.unwrap_or(true)
                && !extensions.unknown_critical,
            allows_server_auth: extensions.allows_server_auth.unwrap_or(true),
            empty_usages: extensions.empty_usages,
            path_length: extensions.path_length,
            name_constraints: extensions.name_constraints,
            client_auth: extensions.client_auth,
            server_auth: extensions.server_auth,
            alt_names: extensions.alt_names,
        })
    }

    /// Reads the certificates among the blocks of a PEM text, the leaf first; never none. `None` for anything else.
    pub fn chain_from_pem(text: &[u8]) -> Option<Vec<Self>> {
        let blocks = blocks(text)?;
        let certificates = blocks.iter().filter(|block| is_certificate(block));
        let chain: asn1::Result<Vec<_>> =
            certificates.map(|block| Self::from_der(block.contents())).collect();
        chain.ok().filter(|chain| !chain.is_empty())
    }

    /// The pin of its key: `sha256:` and the hex digest of the raw SubjectPublicKeyInfo
    /// (`cmd/kubeadm/app/util/pubkeypin`).
    pub fn pin(&self) -> String {
        let mut pin = "sha256:".to_owned();
        for byte in digest::digest(&digest::SHA256, &self.spki).as_ref() {
            let _ = write!(pin, "{byte:02x}");
        }
        pin
    }

    /// Whether `now` lies within its validity, both ends included (RFC 5280, section 4.1.2.5).
    pub fn is_valid_at(&self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Its subject, its validity and the clock in words: both times, how far they are apart, and what the reason can
    /// be. For one that is not valid `now`.
    pub fn describe_validity(&self, now: SystemTime) -> String {
        let (edge, bound, side, reason) = if now < self.not_before {
            (
                "is valid from",
                self.not_before,
                "earlier",
                "the clock is behind, or the certificate is not valid yet",
            )
        } else {
            ("expired", self.not_after, "later", "the certificate has expired, or the clock is ahead")
        };
        format!(
            "{} {edge} {}, system time is {}, {} {side}: {reason}",
            self.subject,
            utc(bound),
            utc(now),
            distance(now, bound)
        )
    }
}

/// Whether a block is a certificate to Kubernetes, which passes over those with headers
/// (`k8s.io/client-go/util/cert`, `ParseCertsPEM`).
pub fn is_certificate(block: &pem::Pem) -> bool {
    block.tag() == "CERTIFICATE" && block.headers().iter().next().is_none()
}

/// Whether the subject of a certificate names this organization, in ASCII, in any type of string: a signer may copy the
/// bytes of a request. Untrusted input, of which only so much is read.
///
/// # Errors
/// Whatever is not strict DER of the expected shape, up to the subject's end.
pub fn is_of_organization(der: &[u8], organization: &str) -> asn1::Result<bool> {
    let mut tbs = Reader::of_sequence(der)?.expect(Tag::Sequence)?.fields();
    if tbs.any()?.tag == ctx_constructed(0) {
        tbs.any()?; // serialNumber
    }
    for _ in ["signature", "issuer", "validity"] {
        tbs.any()?;
    }
    let mut found = false;
    let mut sets = tbs.expect(Tag::Sequence)?.fields();
    while let Some(set) = sets.read()? {
        let mut attributes = set.fields();
        while let Some(attribute) = attributes.read()? {
            let mut fields = attribute.fields();
            let is_organization = fields.any()?.value == oid::ORGANIZATION;
            // A BMPString has two bytes for a character, a UniversalString four.
            let text = fields.any()?.value.iter().filter(|byte| **byte != 0);
            found |= is_organization && text.eq(organization.as_bytes());
        }
    }
    Ok(found)
}

/// A moment as RFC 3339 in UTC, to the second.
pub fn utc(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).ok();
    since
        .and_then(|since| DateTime::from_unix_duration(since).ok())
        .map_or_else(|| "before 1970 or after 9999".to_owned(), |time| time.to_string())
}

#[derive(Default)]
struct Extensions {
    ca: bool,
    path_length: Option<usize>,
    cert_sign: Option<bool>,
    allows_server_auth: Option<bool>,
    empty_usages: bool,
    name_constraints: Option<Vec<u8>>,
    unknown_critical: bool,
    client_auth: bool,
    server_auth: bool,
    alt_names: AltNames,
}

impl Extensions {
    /// Reads the list inside `field`: `[3]` of a certificate, or the value of an extensionRequest.
    fn read(field: Field<'_>) -> asn1::Result<Self> {
        let mut found = Self::default();
        let mut ids = Vec::new();
        let mut extensions = Reader::of_sequence(field.value)?;
        while let Some(extension) = extensions.read()? {
            let mut fields = extension.fields();
            let id = fields.expect(Tag::ObjectIdentifier)?.value;
            if ids.contains(&id) {
                return Err(Malformed); // RFC 5280, section 4.2
            }
            ids.push(id);
            let mut value = fields.any()?;
            let mut critical = false;
            if value.tag == Tag::Boolean {
                critical = value.value == [0xff];
                value = fields.any()?;
            }
            if value.tag != Tag::OctetString {
                return Err(Malformed);
            }
            match id {
                oid::BASIC_CONSTRAINTS => {
                    let mut constraints = Reader::of_sequence(value.value)?;
                    let ca = constraints.read()?;
                    found.ca = ca.is_some_and(|ca| ca.tag == Tag::Boolean && ca.value == [0xff]);
                    // No chain is as long as a number of more bytes.
                    found.path_length = match constraints.read()?.map(|length| length.value) {
                        Some([length] | [0, length]) => Some(usize::from(*length)),
                        _ => None,
                    };
                }
                oid::KEY_USAGE => {
                    let bits = value.fields().expect(Tag::BitString)?.value.get(1..).unwrap_or_default();
                    let is_set = |first: &u8| first & KEY_CERT_SIGN != 0;
                    // Go takes one without a bit for none at all.
                    found.cert_sign =
                        bits.iter().any(|byte| *byte != 0).then(|| bits.first().is_some_and(is_set));
                }
                oid::EXTENDED_KEY_USAGE => {
                    let mut purposes = Reader::of_sequence(value.value)?;
                    found.empty_usages = true;
                    while let Some(purpose) = purposes.read()? {
                        found.empty_usages = false;
                        found.client_auth |= purpose.value == oid::CLIENT_AUTH;
                        found.server_auth |= purpose.value == oid::SERVER_AUTH;
                        let allows_server_auth =
                            [oid::SERVER_AUTH, oid::ANY_PURPOSE].contains(&purpose.value);
                        found.allows_server_auth =
                            Some(allows_server_auth || found.allows_server_auth == Some(true));
                    }
                }
                oid::SUBJECT_ALT_NAME => found.alt_names = AltNames::from_der(value.value)?,
                oid::NAME_CONSTRAINTS => {
                    found.name_constraints = Some(value.fields().expect(Tag::Sequence)?.value.to_vec());
                }
                // Go knows these too (`crypto/x509`, `processExtensions`); none of them makes a CA or a node.
                [0x55, 0x1d, 14 | 31..=33 | 35 | 36 | 54] => {}
                _ => found.unknown_critical |= critical,
            }
        }
        Ok(found)
    }
}

fn name(sequence: Field<'_>) -> asn1::Result<Name> {
    let mut name = Name::default();
    let mut sets = sequence.fields();
    while let Some(set) = sets.read()? {
        let mut attributes = set.fields();
        while let Some(attribute) = attributes.read()? {
            let mut fields = attribute.fields();
            let id = fields.expect(Tag::ObjectIdentifier)?.value;
            let value = fields.any()?;
            // Old string types occur in old corporate CAs; no name of Kubernetes has them.
            let readable = matches!(value.tag, Tag::Utf8String | Tag::PrintableString);
            match id {
                oid::ORGANIZATION if readable => {
                    name.organizations.push(std::str::from_utf8(value.value)?.to_owned());
                }
                oid::COMMON_NAME if readable => {
                    name.common_names.push(std::str::from_utf8(value.value)?.to_owned());
                }
                _ => name.others += 1,
            }
        }
    }
    Ok(name)
}

/// UTCTime or GeneralizedTime (RFC 5280, section 4.1.2.5).
fn time(field: Field<'_>) -> asn1::Result<SystemTime> {
    let digits = field.value.strip_suffix(b"Z").filter(|digits| digits.iter().all(u8::is_ascii_digit));
    let pairs = digits.ok_or(Malformed)?.chunks(2);
    let pairs: Vec<u8> =
        pairs.map(|pair| pair.iter().fold(0, |pair, digit| pair * 10 + digit - b'0')).collect();
    let (century, rest) = match (field.tag, pairs.as_slice()) {
        (Tag::UtcTime, rest @ [0..50, ..]) => (20, rest),
        (Tag::UtcTime, rest) => (19, rest),
        (Tag::GeneralizedTime, [century, rest @ ..]) => (*century, rest),
        _ => return Err(Malformed),
    };
    let [year, month, day, hour, minute, second] = *rest else { return Err(Malformed) };
    let year = u16::from(century) * 100 + u16::from(year);
    Ok(UNIX_EPOCH + DateTime::new(year, month, day, hour, minute, second)?.unix_duration())
}

#[cfg(test)]
mod tests;
