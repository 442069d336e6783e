//! Certificate requests (RFC 2986).

use der::Tag;

use super::{AltNames, Extensions, Name, name};
use crate::asn1::{self, Reader, oid};

/// A PKCS#10 request, as far as it is compared with our own.
#[derive(Debug)]
pub struct Request<'a> {
    /// The signed part.
    pub info: &'a [u8],
    /// Whom it asks for.
    pub subject: Name,
    /// The raw SubjectPublicKeyInfo.
    pub spki: &'a [u8],
    /// The hosts that it asks for (RFC 2985, section 5.4.2).
    pub alt_names: AltNames,
    /// The signature over `info`.
    pub signature: &'a [u8],
}

impl<'a> Request<'a> {
    /// Reads a CertificationRequest (RFC 2986, section 4).
    ///
    /// # Errors
    /// Whatever is not strict DER of that shape.
    pub fn from_der(der: &'a [u8]) -> asn1::Result<Self> {
        let mut fields = Reader::of_sequence(der)?;
        let info = fields.expect(Tag::Sequence)?;
        fields.any()?; // signatureAlgorithm
        let signature = fields.any()?.bit_string()?;
        let mut parts = info.fields();
        parts.any()?; // version
        let subject = name(parts.expect(Tag::Sequence)?)?;
        let spki = parts.expect(Tag::Sequence)?.raw;
        let mut alt_names = AltNames::default();
        if let Some(attributes) = parts.read()? {
            let mut attributes = attributes.fields();
            while let Some(attribute) = attributes.read()? {
                let mut fields = attribute.fields();
                if fields.expect(Tag::ObjectIdentifier)?.value == oid::EXTENSION_REQUEST {
                    alt_names = Extensions::read(fields.expect(Tag::Set)?)?.alt_names;
                }
            }
        }
        Ok(Self { info: info.raw, subject, spki, alt_names, signature })
    }
}
