//! Private keys. The node's own is ECDSA on P-256, as the kubelet makes it (`k8s.io/client-go/util/keyutil/key.go`); a
//! client certificate that others have issued may have an RSA key ([`RsaKey`]).
//!
//! Each type reads its PEM forms and signs handshakes ([`SignsHandshake`]). Which keys of servers and CAs are accepted is
//! another matter, which [`crate::http`] decides.

mod rsa;

pub use rsa::RsaKey;

use der::Tag;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

use crate::asn1::{self, Malformed, Reader, ctx_constructed, oid, tlv};
use crate::error::{Error, ErrorKind, Result, Step};
use crate::http::{HandshakeSignature, SignsHandshake};
use crate::pem_blocks::{self, PKCS8_LABEL};
use crate::secret::Secret;

/// The PEM label of SEC 1 keys, which Go's `MarshalPrivateKeyToPEM` writes.
const LABEL: &str = "EC PRIVATE KEY";

/// A P-256 key pair and its file form.
pub struct Key {
    pair: EcdsaKeyPair,
    pem: Secret<String>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(***)")
    }
}

impl Key {
    /// Makes a new key.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when the system has no randomness.
    pub fn generate() -> Result<Self> {
        let failed = || Error::new(Step::Request, ErrorKind::Internal, "no random numbers from the kernel");
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| failed())?;
        let pkcs8 = Secret::new(pkcs8.as_ref().to_vec());
        let (scalar, point) = sec1_of_pkcs8(pkcs8.expose()).map_err(|_| failed())?;
        Self::from_parts(scalar, point).ok_or_else(failed)
    }

    /// Reads a key file that this program, a kubelet or an operator has written: the first block that is a private key,
    /// in SEC 1 or PKCS#8 (`crypto/tls`, `X509KeyPair`). `None` for anything that is no P-256 key with its public half.
    pub fn from_pem(pem: &[u8]) -> Option<Self> {
        let (label, der) = pem_blocks::private_key(pem)?;
        let der = der.expose();
        let parsed = match label.as_str() {
            LABEL => parse_sec1(der, true),
            PKCS8_LABEL => sec1_of_pkcs8(der),
            _ => return None,
        };
        let (scalar, point) = parsed.ok()?;
        Self::from_parts(scalar, point)
    }

    fn from_parts(scalar: &[u8], point: &[u8]) -> Option<Self> {
        let rng = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        // ring finds out whether the two halves belong together.
        let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, scalar, point, &rng).ok()?;
        let der = Secret::new(sec1_key(scalar, point));
        let pem = Secret::new(pem_blocks::encode(LABEL, der.expose()));
        Some(Self { pair, pem })
    }

    /// The key as PEM, `EC PRIVATE KEY`, as Go writes it.
    pub fn pem(&self) -> &Secret<String> {
        &self.pem
    }

    /// The DER of its SubjectPublicKeyInfo (RFC 5480, section 2).
    pub fn spki(&self) -> Vec<u8> {
        tlv(Tag::Sequence, &[&algorithm(), &tlv(Tag::BitString, &[&[0], self.point()])])
    }

    /// Whether a SubjectPublicKeyInfo is that of a P-256 key, the only kind that this program makes.
    pub fn is_p256(spki: &[u8]) -> bool {
        let first = Reader::of_sequence(spki).and_then(|mut fields| fields.any());
        first.is_ok_and(|field| field.raw == algorithm())
    }

    /// The uncompressed point.
    pub(crate) fn point(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// An ECDSA signature with SHA-256, DER-encoded.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        signature.map(|s| s.as_ref().to_vec()).map_err(|_| {
            Error::new(Step::Request, ErrorKind::Internal, "the request cannot be signed: no random numbers")
        })
    }
}

impl SignsHandshake for Key {
    fn signatures(&self) -> &'static [HandshakeSignature] {
        &[HandshakeSignature::EcdsaSha256]
    }

    fn sign(&self, _: HandshakeSignature, message: &[u8]) -> Option<Vec<u8>> {
        Self::sign(self, message).ok()
    }
}

/// The AlgorithmIdentifier of such keys (RFC 5480, section 2.1.1).
fn algorithm() -> Vec<u8> {
    tlv(Tag::Sequence, &[&tlv(Tag::ObjectIdentifier, &[oid::EC_PUBLIC_KEY]), &p256()])
}

fn p256() -> Vec<u8> {
    tlv(Tag::ObjectIdentifier, &[oid::P256])
}

/// ECPrivateKey with curve and public half (RFC 5915, section 3), as Go's `MarshalECPrivateKey` writes it.
fn sec1_key(scalar: &[u8], point: &[u8]) -> Vec<u8> {
    let version = tlv(Tag::Integer, &[&[1]]);
    let scalar = Secret::new(tlv(Tag::OctetString, &[scalar]));
    let point = tlv(ctx_constructed(1), &[&tlv(Tag::BitString, &[&[0], point])]);
    tlv(Tag::Sequence, &[&version, scalar.expose(), &tlv(ctx_constructed(0), &[&p256()]), &point])
}

/// The scalar and the point inside PKCS#8 (RFC 5958, section 2).
fn sec1_of_pkcs8(der: &[u8]) -> asn1::Result<(&[u8], &[u8])> {
    let mut fields = Reader::of_sequence(der)?;
    fields.expect(Tag::Integer)?; // version
    is(fields.any()?.raw, &algorithm())?;
    parse_sec1(fields.expect(Tag::OctetString)?.value, false)
}

/// ECPrivateKey (RFC 5915, section 3) with its public half; `named` when the curve must be named inside.
fn parse_sec1(der: &[u8], named: bool) -> asn1::Result<(&[u8], &[u8])> {
    let mut fields = Reader::of_sequence(der)?;
    is(fields.expect(Tag::Integer)?.value, &[1])?; // version
    let scalar = fields.expect(Tag::OctetString)?.value;
    let mut half = fields.any()?;
    if half.tag == ctx_constructed(0) {
        is(half.value, &p256())?;
        half = fields.any()?;
    } else if named {
        return Err(Malformed);
    }
    if half.tag == ctx_constructed(1) {
        Ok((scalar, half.fields().any()?.bit_string()?))
    } else {
        Err(Malformed)
    }
}

fn is(found: &[u8], expected: &[u8]) -> asn1::Result<()> {
    if found == expected { Ok(()) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_file() {
        let key = Key::generate().unwrap();
        let again = Key::from_pem(key.pem().expose().as_bytes()).unwrap();
        assert_eq!(key.spki(), again.spki());
        assert_eq!(key.pem().expose(), again.pem().expose());
    }

    #[test]
    fn a_key_made_by_go_is_read() {
        // openssl ecparam -name prime256v1 -genkey -noout; the same DER as Go's x509.MarshalECPrivateKey.
        let pem = include_bytes!("../tests/vectors/sec1-p256.pem");
        assert_eq!(Key::from_pem(pem).unwrap().pem().expose().as_bytes(), pem);
    }

    #[test]
    fn a_key_in_pkcs8_is_read() {
        // openssl pkcs8 -topk8 -nocrypt of the same key.
        let (sec1, pkcs8) = (
            include_bytes!("../tests/vectors/sec1-p256.pem"),
            include_str!("../tests/vectors/pkcs8-p256.pem"),
        );
        assert_eq!(Key::from_pem(pkcs8.as_bytes()).unwrap().pem().expose().as_bytes(), sec1);
        let rsa = include_str!("../tests/vectors/rsa-2048.pem");
        assert!(Key::from_pem(rsa.as_bytes()).is_none());
        assert!(Key::from_pem(&[rsa.as_bytes(), sec1].concat()).is_none(), "Go takes the first key");
        let other = pkcs8.replace("BEGIN P", "BEGIN ENCRYPTED P").replace("END P", "END ENCRYPTED P");
        assert!(Key::from_pem(other.as_bytes()).is_none());
    }

    #[test]
    fn a_version_is_the_number_one() {
        let der = pem::parse(Key::generate().unwrap().pem().expose()).unwrap().into_contents();
        let read = |at: usize, byte: u8| {
            let mut der = der.clone();
            der[at] = byte;
            Key::from_pem(pem::encode(&pem::Pem::new(LABEL, der)).as_bytes()).is_some()
        };
        assert_eq!(der[2..5], [2, 1, 1]);
        assert!(read(2, 2));
        for (at, byte) in [(2, 4), (2, 0x0a), (2, 0x80), (4, 0), (4, 2), (4, 0xff)] {
            assert!(!read(at, byte), "{byte} at {at}");
        }
    }

    #[test]
    fn torn_and_foreign_keys_are_no_keys() {
        let pem = Key::generate().unwrap().pem().expose().clone();
        assert!(Key::from_pem(b"").is_none());
        assert!(Key::from_pem(&pem.as_bytes()[..pem.len() / 2]).is_none());
        assert!(Key::from_pem(pem.replace("EC PRIVATE", "PRIVATE").as_bytes()).is_none());
    }

    #[test]
    fn a_key_of_another_curve_or_without_its_public_half_is_no_key() {
        let der = pem::parse(Key::generate().unwrap().pem().expose()).unwrap().into_contents();
        let read = |der: &[u8]| Key::from_pem(pem::encode(&pem::Pem::new(LABEL, der)).as_bytes());
        assert!(read(&der).is_some());
        let curve = der.windows(p256().len()).position(|window| window == p256()).unwrap();
        for at in [curve + p256().len() - 1, der.len() - 1] {
            let mut other = der.clone();
            other[at] ^= 1;
            assert!(read(&other).is_none(), "{at}");
        }
        let (scalar, point) = parse_sec1(&der, true).unwrap();
        let version = tlv(Tag::Integer, &[&[1]]);
        let scalar = tlv(Tag::OctetString, &[scalar]);
        let half = tlv(ctx_constructed(1), &[&tlv(Tag::BitString, &[&[0], point])]);
        let nameless = tlv(Tag::Sequence, &[&version, &scalar, &half]);
        assert!(parse_sec1(&nameless, false).is_ok() && read(&nameless).is_none());
        assert!(
            read(&tlv(Tag::Sequence, &[&version, &scalar, &tlv(ctx_constructed(0), &[&p256()])])).is_none()
        );
        assert!(read(&tlv(Tag::Sequence, &[&version, &scalar])).is_none());
    }

    #[test]
    fn handshakes_are_signed_with_the_key() {
        use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
        let key = Key::generate().unwrap();
        let signature = SignsHandshake::sign(&key, HandshakeSignature::EcdsaSha256, b"hello").unwrap();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.point());
        assert!(public.verify(b"hello", &signature).is_ok() && public.verify(b"hullo", &signature).is_err());
    }

    #[test]
    fn debug_hides_the_key() {
        assert_eq!(format!("{:?}", Key::generate().unwrap()), "Key(***)");
    }
}
