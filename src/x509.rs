//! Reading certificates and certificate requests.
//!
//! A reader, not a verifier: chains are judged by webpki in [`crate::http`], with ordinary rules. What is read here is
//! what webpki does not tell: names, dates and the extensions of a root (RFC 5280, section 4.1; RFC 2986 for
//! requests). Foreign input; DER is read strictly and without recursion.

use std::time::{SystemTime, UNIX_EPOCH};

use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, ObjectIdentifier, OctetStringRef, UtcTime};
use der::{DateTime, Decode, Reader, SliceReader, Tag, TagNumber};
use ring::digest;

use crate::limits;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
/// keyCertSign is bit 5 of keyUsage (RFC 5280, section 4.2.1.3).
const KEY_CERT_SIGN: usize = 5;

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
        f.write_str(&crate::error::foreign(&parts.join(", ")))
    }
}

/// The fields of an X.509 certificate that decisions need.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The whole certificate.
    pub der: Vec<u8>,
    /// The raw SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
    /// Who issued it, for people.
    pub issuer: Name,
    /// Whom it names.
    pub subject: Name,
    /// First moment of validity.
    pub not_before: SystemTime,
    /// Last second of validity.
    pub not_after: SystemTime,
    /// basicConstraints says CA, and keyUsage, where there is one, allows it to sign certificates (RFC 5280, section
    /// 6.1.4 (k) and (n)).
    pub is_ca: bool,
    /// extKeyUsage holds clientAuth.
    pub client_auth: bool,
}

impl Certificate {
    /// Reads one certificate.
    ///
    /// # Errors
    /// Whatever is not strict DER of the expected shape, or longer than [`limits::CERTIFICATE_BYTES`].
    pub fn from_der(der: &[u8]) -> der::Result<Self> {
        if der.len() > limits::CERTIFICATE_BYTES {
            return Err(der::ErrorKind::Overlength.into());
        }
        let mut reader = SliceReader::new(der)?;
        let mut certificate = reader.sequence(|reader| {
            let certificate = reader.sequence(Self::tbs)?;
            reader.tlv_bytes()?;
            reader.tlv_bytes()?;
            Ok::<_, der::Error>(certificate)
        })?;
        reader.finish()?;
        certificate.der = der.to_vec();
        Ok(certificate)
    }

    /// TBSCertificate, RFC 5280, section 4.1.
    fn tbs(reader: &mut SliceReader<'_>) -> der::Result<Self> {
        reader.context_specific::<u8>(TagNumber(0), der::TagMode::Explicit)?;
        reader.tlv_bytes()?; // serialNumber
        reader.tlv_bytes()?; // signature
        let issuer = name(reader)?;
        let (not_before, not_after) =
            reader.sequence(|reader| Ok::<_, der::Error>((time(reader)?, time(reader)?)))?;
        let subject = name(reader)?;
        let spki = reader.tlv_bytes()?.to_vec();
        let mut extensions = Extensions::default();
        while !reader.is_finished() {
            let field = AnyRef::decode(reader)?;
            if field.header().tag() == (Tag::ContextSpecific { constructed: true, number: TagNumber(3) }) {
                extensions = Extensions::read(field.value())?;
            }
        }
        Ok(Self {
            der: Vec::new(),
            spki,
            issuer,
            subject,
            not_before,
            not_after,
            is_ca: extensions.ca && extensions.cert_sign.unwrap_or(true),
            client_auth: extensions.client_auth,
        })
    }

    /// The pin of its key: `sha256:` and the hex digest of the raw SubjectPublicKeyInfo
    /// (`cmd/kubeadm/app/util/pubkeypin`).
    #[must_use]
    pub fn pin(&self) -> String {
        let mut pin = "sha256:".to_owned();
        for byte in digest::digest(&digest::SHA256, &self.spki).as_ref() {
            for nibble in [byte >> 4, byte & 15] {
                pin.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
        }
        pin
    }

    /// Whether `now` lies within its validity, both ends included (RFC 5280, section 4.1.2.5).
    #[must_use]
    pub fn is_valid_at(&self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Its validity and the clock in words, for the error that tells them apart.
    #[must_use]
    pub fn validity_against(&self, now: SystemTime) -> String {
        let (edge, bound) = if now < self.not_before {
            ("is valid from", self.not_before)
        } else {
            ("was valid until", self.not_after)
        };
        let distance = now.duration_since(bound).or_else(|_| bound.duration_since(now)).unwrap_or_default();
        let days = distance.as_secs() / 86_400;
        format!(
            "the certificate of {} {edge} {}, the clock says {} ({days} days off)",
            self.subject,
            utc(bound),
            utc(now)
        )
    }
}

/// A moment as RFC 3339 in UTC, to the second.
#[must_use]
pub fn utc(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).ok();
    since
        .and_then(|since| DateTime::from_unix_duration(since).ok())
        .map_or_else(|| "before 1970 or after 9999".to_owned(), |time| time.to_string())
}

#[derive(Default)]
struct Extensions {
    ca: bool,
    cert_sign: Option<bool>,
    client_auth: bool,
}

impl Extensions {
    fn read(der: &[u8]) -> der::Result<Self> {
        let mut found = Self::default();
        let mut reader = SliceReader::new(der)?;
        reader.sequence(|reader| {
            while !reader.is_finished() {
                reader.sequence(|reader| {
                    let id = ObjectIdentifier::decode(reader)?;
                    Option::<bool>::decode(reader)?; // critical
                    let value = <&OctetStringRef>::decode(reader)?.as_bytes();
                    found.take(id, value)
                })?;
            }
            Ok::<_, der::Error>(())
        })?;
        reader.finish()?;
        Ok(found)
    }

    fn take(&mut self, id: ObjectIdentifier, value: &[u8]) -> der::Result<()> {
        match id {
            BASIC_CONSTRAINTS => {
                let mut reader = SliceReader::new(value)?;
                self.ca = reader.sequence(|reader| {
                    let ca = Option::<bool>::decode(reader)?.unwrap_or(false);
                    while !reader.is_finished() {
                        reader.tlv_bytes()?; // pathLenConstraint, which webpki enforces
                    }
                    Ok::<_, der::Error>(ca)
                })?;
            }
            KEY_USAGE => {
                self.cert_sign = Some(BitStringRef::from_der(value)?.get(KEY_CERT_SIGN).unwrap_or(false));
            }
            EXTENDED_KEY_USAGE => {
                let mut reader = SliceReader::new(value)?;
                reader.sequence(|reader| {
                    while !reader.is_finished() {
                        self.client_auth |= ObjectIdentifier::decode(reader)? == CLIENT_AUTH;
                    }
                    Ok::<_, der::Error>(())
                })?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// A PKCS#10 request, as far as it is compared with our own.
#[derive(Debug)]
pub struct Request<'a> {
    /// The signed part.
    pub info: &'a [u8],
    /// Whom it asks for.
    pub subject: Name,
    /// The raw SubjectPublicKeyInfo.
    pub spki: &'a [u8],
    /// The signature over `info`.
    pub signature: &'a [u8],
}

impl<'a> Request<'a> {
    /// Reads a CertificationRequest (RFC 2986, section 4).
    ///
    /// # Errors
    /// Whatever is not strict DER of that shape.
    pub fn from_der(der: &'a [u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(der)?;
        let (info, signature) = reader.sequence(|reader| {
            let info = reader.tlv_bytes()?;
            reader.tlv_bytes()?; // signatureAlgorithm
            Ok::<_, der::Error>((info, BitStringRef::decode(reader)?.raw_bytes()))
        })?;
        reader.finish()?;
        let (subject, spki) = SliceReader::new(info)?.sequence(|reader| {
            reader.tlv_bytes()?; // version
            let fields = (name(reader)?, reader.tlv_bytes()?);
            while !reader.is_finished() {
                reader.tlv_bytes()?; // attributes
            }
            Ok::<_, der::Error>(fields)
        })?;
        Ok(Self { info, subject, spki, signature })
    }
}

fn name(reader: &mut SliceReader<'_>) -> der::Result<Name> {
    let mut name = Name::default();
    reader.sequence(|reader| {
        while !reader.is_finished() {
            let set = AnyRef::decode(reader)?;
            set.header().tag().assert_eq(Tag::Set)?;
            let mut attributes = SliceReader::new(set.value())?;
            while !attributes.is_finished() {
                attributes.sequence(|reader| {
                    let id = ObjectIdentifier::decode(reader)?;
                    let value = AnyRef::decode(reader)?;
                    let text = || match value.header().tag() {
                        Tag::Utf8String | Tag::PrintableString => {
                            Ok(std::str::from_utf8(value.value())?.to_owned())
                        }
                        other => Err(der::Error::from(other.unexpected_error(None))),
                    };
                    match id {
                        ORGANIZATION => name.organizations.push(text()?),
                        COMMON_NAME => name.common_names.push(text()?),
                        _ => name.others += 1,
                    }
                    Ok::<_, der::Error>(())
                })?;
            }
        }
        Ok::<_, der::Error>(())
    })?;
    Ok(name)
}

/// UTCTime or GeneralizedTime (RFC 5280, section 4.1.2.5).
fn time(reader: &mut SliceReader<'_>) -> der::Result<SystemTime> {
    match Tag::peek(reader)? {
        Tag::UtcTime => Ok(UNIX_EPOCH + UtcTime::decode(reader)?.to_unix_duration()),
        _ => Ok(UNIX_EPOCH + GeneralizedTime::decode(reader)?.to_unix_duration()),
    }
}
