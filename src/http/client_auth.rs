//! The machine's client certificate, as a TLS handshake shows it.
//!
//! The key stays with whoever holds it and signs when it is asked to: rustls neither sees nor copies it.

use std::fmt;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};

use crate::x509::Certificate;

/// A private key on P-256 that signs handshakes.
pub trait SignsHandshake: Send + Sync {
    /// An ECDSA signature with SHA-256 over `message`, DER-encoded (RFC 8446, section 4.2.3). `None` when the system
    /// has no randomness.
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>>;
}

/// A client certificate with its key.
#[derive(Clone)]
pub struct ClientIdentity(Arc<CertifiedKey>);

impl ClientIdentity {
    /// Takes a chain, leaf first, and the key of the leaf, which the caller has found to belong together.
    pub fn new<'a>(chain: impl IntoIterator<Item = &'a Certificate>, key: Arc<dyn SignsHandshake>) -> Self {
        let chain =
            chain.into_iter().map(|certificate| CertificateDer::from(certificate.der.clone())).collect();
        Self(Arc::new(CertifiedKey::new(chain, Arc::new(HandshakeKey(key)))))
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientIdentity")
    }
}

impl ResolvesClientCert for ClientIdentity {
    /// The one certificate, whatever issuers the server hints at: the API server's list is informative.
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[derive(Clone)]
struct HandshakeKey(Arc<dyn SignsHandshake>);

impl fmt::Debug for HandshakeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandshakeKey")
    }
}

impl SigningKey for HandshakeKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&self.scheme()).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for HandshakeKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.0.sign(message).ok_or(rustls::Error::FailedToGetRandomBytes)
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}
