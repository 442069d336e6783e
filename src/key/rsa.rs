//! RSA keys of client certificates that others have issued: kubeadm's default, so that `kubeadm kubeconfig user` makes
//! them. The node's own keys are never of this kind.

use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256};

use crate::asn1::Reader;
use crate::http::{HandshakeSignature, SignsHandshake};
use crate::pem_blocks::{self, PKCS8_LABEL};
use crate::secret::Secret;

/// The PEM label of PKCS#1 keys, which Go's `MarshalPrivateKeyToPEM` writes.
const LABEL: &str = "RSA PRIVATE KEY";

/// An RSA key pair and its file form.
pub struct RsaKey {
    pair: KeyPair,
    pem: Secret<String>,
}

impl std::fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RsaKey(***)")
    }
}

impl RsaKey {
    /// Reads a key file that an operator has written: the first block that is a private key, in PKCS#1 or PKCS#8.
    /// `None` for anything but an RSA key of [`crate::limits::RSA_CLIENT_BITS`] whose parts belong together.
    pub fn from_pem(pem: &[u8]) -> Option<Self> {
        let (label, der) = pem_blocks::private_key(pem)?;
        let pair = match label.as_str() {
            LABEL => KeyPair::from_der(der.expose()),
            PKCS8_LABEL => KeyPair::from_pkcs8(der.expose()),
            _ => return None,
        };
        let key = Self { pair: pair.ok()?, pem: Secret::new(pem_blocks::encode(&label, der.expose())) };
        // Of some of its parts ring finds out only now whether they belong together.
        key.sign(HandshakeSignature::RsaPkcs1Sha256, b"").map(|_| key)
    }

    /// The key as PEM, labelled as it was.
    pub fn pem(&self) -> &Secret<String> {
        &self.pem
    }

    /// Whether a SubjectPublicKeyInfo is that of its public half.
    pub fn is_of(&self, spki: &[u8]) -> bool {
        let public = Reader::of_sequence(spki).and_then(|mut fields| {
            fields.any()?; // algorithm
            fields.any()?.bit_string()
        });
        public.is_ok_and(|public| public == self.public())
    }

    /// The DER of its RSAPublicKey (RFC 8017, appendix A.1.1).
    pub(crate) fn public(&self) -> &[u8] {
        self.pair.public().as_ref()
    }
}

impl SignsHandshake for RsaKey {
    fn signatures(&self) -> &'static [HandshakeSignature] {
        &[HandshakeSignature::RsaPssSha256, HandshakeSignature::RsaPkcs1Sha256]
    }

    fn sign(&self, signature: HandshakeSignature, message: &[u8]) -> Option<Vec<u8>> {
        let padding: &dyn ring::signature::RsaEncoding = match signature {
            HandshakeSignature::RsaPssSha256 => &RSA_PSS_SHA256,
            HandshakeSignature::RsaPkcs1Sha256 => &RSA_PKCS1_SHA256,
            HandshakeSignature::EcdsaSha256 => return None,
        };
        let mut signed = vec![0; self.pair.public().modulus_len()];
        self.pair.sign(padding, &SystemRandom::new(), message, &mut signed).ok()?;
        Some(signed)
    }
}
