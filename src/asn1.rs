//! DER: reading it field by field, and writing the few structures that a node sends (X.690).
//!
//! The `der` crate reads each header, strictly; the steps from field to field are ours, because its typed sequences
//! cost 25 KB of generated code for what a certificate needs.

use der::asn1::AnyRef;
use der::{Decode as _, Reader as _, SliceReader, Tag, TagNumber};

/// Bytes that are not DER of the expected shape. Why not is not reported: no message is about that, and an error that
/// carries it through each step takes 3 KB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl From<der::Error> for Malformed {
    fn from(_: der::Error) -> Self {
        Self
    }
}

impl From<std::str::Utf8Error> for Malformed {
    fn from(_: std::str::Utf8Error) -> Self {
        Self
    }
}

/// What reading DER returns.
pub type Result<T> = std::result::Result<T, Malformed>;

/// Object identifiers, as the value of their field.
pub mod oid {
    /// id-at-commonName (RFC 5280, appendix A.1).
    pub const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    /// id-at-organizationName (RFC 5280, appendix A.1).
    pub const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
    /// id-ce-basicConstraints (RFC 5280, section 4.2.1.9).
    pub const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
    /// id-ce-nameConstraints (RFC 5280, section 4.2.1.10).
    pub const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e];
    /// id-ce-keyUsage (RFC 5280, section 4.2.1.3).
    pub const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
    /// id-ce-extKeyUsage (RFC 5280, section 4.2.1.12).
    pub const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
    /// id-ce-subjectAltName (RFC 5280, section 4.2.1.6).
    pub const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
    /// id-kp-serverAuth (RFC 5280, section 4.2.1.12).
    pub const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
    /// anyExtendedKeyUsage (RFC 5280, section 4.2.1.12).
    pub const ANY_PURPOSE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];
    /// pkcs-9-at-extensionRequest (RFC 2985, section 5.4.2).
    pub const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
    /// id-kp-clientAuth (RFC 5280, section 4.2.1.12).
    pub const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
    /// id-ecPublicKey (RFC 5480, section 2.1.1).
    pub const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    /// secp256r1, which is P-256 (RFC 5480, section 2.1.1.1).
    pub const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    /// ecdsa-with-SHA256 (RFC 5758, section 3.2).
    pub const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
}

/// The fields of one constructed value, in order: those that were not read yet. Untrusted input.
pub struct Reader<'a>(&'a [u8]);

/// One field.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Its tag.
    pub tag: Tag,
    /// What it holds.
    pub value: &'a [u8],
    /// All of it, header included.
    pub raw: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Begins to read the fields that `bytes` holds.
    pub fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The fields inside the only field of `bytes`, a sequence.
    ///
    /// # Errors
    /// Anything else, and anything behind it.
    pub fn of_sequence(bytes: &'a [u8]) -> Result<Self> {
        let mut outer = Self::of(bytes);
        let inner = outer.expect(Tag::Sequence)?.fields();
        if outer.0.is_empty() { Ok(inner) } else { Err(Malformed) }
    }

    /// The next field; `None` behind the last.
    ///
    /// # Errors
    /// What is not strict DER.
    #[inline(never)]
    pub fn read(&mut self) -> Result<Option<Field<'a>>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let raw = SliceReader::new(self.0)?.tlv_bytes()?;
        let any = AnyRef::from_der(raw)?;
        self.0 = &self.0[raw.len()..];
        Ok(Some(Field { tag: any.header().tag(), value: any.value(), raw }))
    }

    /// The next field, which must be there.
    ///
    /// # Errors
    /// When it is not, or is not strict DER.
    pub fn any(&mut self) -> Result<Field<'a>> {
        self.read()?.ok_or(Malformed)
    }

    /// The next field, which must have this tag.
    ///
    /// # Errors
    /// When it has not, or is not there, or is not strict DER.
    pub fn expect(&mut self, tag: Tag) -> Result<Field<'a>> {
        let field = self.any()?;
        if field.tag == tag { Ok(field) } else { Err(Malformed) }
    }
}

impl<'a> Field<'a> {
    /// The fields that it is made of.
    pub fn fields(self) -> Reader<'a> {
        Reader::of(self.value)
    }

    /// The bytes of a BIT STRING that is made of whole bytes, as keys and signatures are.
    ///
    /// # Errors
    /// Unused bits, or no bytes at all.
    pub fn bit_string(self) -> Result<&'a [u8]> {
        match self.value {
            [0, bytes @ ..] if self.tag == Tag::BitString => Ok(bytes),
            _ => Err(Malformed),
        }
    }
}

/// The tag of `[number]`, constructed.
pub const fn ctx_constructed(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

/// The tag of `[number]`, primitive, as implicit tagging makes it.
pub const fn ctx_primitive(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: false, number: TagNumber(number) }
}

/// Writes one field. Every value that a node sends is shorter than 64 KiB: a name has at most 253 characters, and there
/// are at most [`crate::limits::ALT_NAMES`] of them.
pub fn tlv(tag: Tag, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let [.., high, low] = value.len().to_be_bytes();
    let number = tag.number().value().to_be_bytes()[3] & 0x1f;
    let mut out = vec![tag.class().bits() | u8::from(tag.is_constructed()) << 5 | number];
    match value.len() {
        0..=0x7f => out.push(low),
        0x80..=0xff => out.extend([0x81, low]),
        _ => out.extend([0x82, high, low]),
    }
    out.extend_from_slice(&value);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 127, 128, 255, 256, 65_535] {
            let value = vec![7; length];
            let der =
                tlv(Tag::Sequence, &[&tlv(Tag::OctetString, &[&value[..length / 2], &value[length / 2..]])]);
            if der.len() > 65_539 {
                continue; // the sequence around it no longer fits
            }
            assert_eq!(Reader::of_sequence(&der).unwrap().any().unwrap().value, value);
        }
    }

    #[test]
    fn what_is_not_strict_der_is_refused() {
        for bad in [
            &[0x30, 0x80, 0x00, 0x00][..], // indefinite length
            &[0x30, 0x81, 0x00],           // length longer than needed
            &[0x30, 0x01],                 // too short
            &[0x30, 0x00, 0x00],           // more behind it
            &[0x31, 0x00],                 // another tag
            &[],
        ] {
            assert!(Reader::of_sequence(bad).is_err(), "{bad:x?}");
        }
    }

    #[test]
    fn a_bit_string_has_its_tag_and_whole_bytes() {
        for (tag, value, bytes) in [
            (Tag::BitString, &[0, 1, 2][..], Some(&[1, 2][..])),
            (Tag::BitString, &[0], Some(&[])),
            (Tag::BitString, &[1, 2], None),
            (Tag::BitString, &[], None),
            (Tag::OctetString, &[0, 1, 2], None),
        ] {
            assert_eq!(Field { tag, value, raw: &[] }.bit_string().ok(), bytes, "{tag} {value:x?}");
        }
    }
}
