//! Which signatures can be checked: of certificates, and of handshakes.

use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use webpki::ring as algorithms;

use crate::x509::{key_algorithm, rsa_bits};

/// What kubeadm can give a cluster (`encryptionAlgorithm`: RSA, ECDSA on P-256 and P-384), and nothing older. SHA-1,
/// MD5 and RSA below 2048 bits are not there at all.
pub(super) static SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        algorithms::ECDSA_P256_SHA256,
        algorithms::ECDSA_P256_SHA384,
        algorithms::ECDSA_P384_SHA256,
        algorithms::ECDSA_P384_SHA384,
        algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        algorithms::RSA_PKCS1_2048_8192_SHA256,
        algorithms::RSA_PKCS1_2048_8192_SHA384,
        algorithms::RSA_PKCS1_2048_8192_SHA512,
    ],
    mapping: &[
        // In TLS 1.2 the scheme does not fix the curve; in TLS 1.3 rustls takes the first of each list.
        (
            SignatureScheme::ECDSA_NISTP256_SHA256,
            &[algorithms::ECDSA_P256_SHA256, algorithms::ECDSA_P384_SHA256],
        ),
        (
            SignatureScheme::ECDSA_NISTP384_SHA384,
            &[algorithms::ECDSA_P384_SHA384, algorithms::ECDSA_P256_SHA384],
        ),
        (SignatureScheme::RSA_PSS_SHA256, &[algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA384, &[algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA512, &[algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
        (SignatureScheme::RSA_PKCS1_SHA256, &[algorithms::RSA_PKCS1_2048_8192_SHA256]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[algorithms::RSA_PKCS1_2048_8192_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA512, &[algorithms::RSA_PKCS1_2048_8192_SHA512]),
    ],
};

/// Whether a signature of this algorithm by this key can be checked at all.
pub(super) fn is_checked(algorithm: &[u8], spki: &[u8]) -> bool {
    let key = key_algorithm(spki);
    let mut known = SIGNATURES.all.iter();
    known.any(|known| {
        known.signature_alg_id().as_ref() == algorithm && known.public_key_alg_id().as_ref() == key
    }) && has_length(spki)
}

/// Whether signatures by the key of a SubjectPublicKeyInfo can be checked here.
pub fn checks_key(spki: &[u8]) -> bool {
    let key = key_algorithm(spki);
    SIGNATURES.all.iter().any(|known| known.public_key_alg_id().as_ref() == key) && has_length(spki)
}

/// Whether a key is no RSA key, or one of a length that ring takes.
pub(super) fn has_length(spki: &[u8]) -> bool {
    rsa_bits(spki).is_none_or(|bits| (2048..=8192).contains(&bits))
}
