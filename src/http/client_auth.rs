//! What the machine authenticates with: a client certificate, as a TLS handshake presents it, or a bearer token.
//!
//! The key stays with its owner and signs when it is asked to: rustls neither sees nor copies it.

use std::fmt;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use ureq::http::header::HeaderValue;

use crate::error::{self, usage};
use crate::secret::Secret;
use crate::x509::Certificate;

/// What stands before the token.
const SCHEME: &str = "Bearer ";

/// A bearer token, ready to be sent. ureq keeps copies of it in its buffers until the process ends.
pub struct Bearer(Token);

enum Token {
    /// The header's value, for all requests.
    Value(HeaderValue),
    /// Read for each request.
    Source(Box<dyn Fn() -> error::Result<Secret<String>>>),
}

impl Bearer {
    /// A token that stays (RFC 6750, section 2.1).
    ///
    /// # Errors
    /// A usage error for a token with characters that no header can carry.
    pub fn new(token: &Secret<String>) -> error::Result<Self> {
        Ok(Self(Token::Value(header(token)?)))
    }

    /// A token that others keep fresh: `read` is called for each request, whose error is the request's.
    pub fn reread(read: impl Fn() -> error::Result<Secret<String>> + 'static) -> Self {
        Self(Token::Source(Box::new(read)))
    }

    /// The header of the next request.
    pub(super) fn header(&self) -> error::Result<HeaderValue> {
        match &self.0 {
            Token::Value(value) => Ok(value.clone()),
            Token::Source(read) => header(&read()?),
        }
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(***)")
    }
}

fn header(token: &Secret<String>) -> error::Result<HeaderValue> {
    let text = Secret::new([SCHEME, token.expose()].concat());
    let mut value = HeaderValue::from_str(text.expose())
        .map_err(|_| usage("the token has characters that an HTTP header cannot carry"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// By what a request names this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credential {
    /// A bootstrap token, or any other but a JWT.
    Token,
    /// A signed token: three parts, the first of which is an object (RFC 7519, section 3.1).
    Jwt,
    /// None in the request: the client certificate of its connection, if anything.
    Certificate,
}

impl Credential {
    /// What a request has with this header.
    pub(super) fn of(authorization: Option<&HeaderValue>) -> Self {
        match authorization.map(|value| value.as_bytes().strip_prefix(SCHEME.as_bytes())) {
            None => Self::Certificate,
            Some(Some(token)) if is_jwt(token) => Self::Jwt,
            Some(_) => Self::Token,
        }
    }
}

fn is_jwt(token: &[u8]) -> bool {
    token.starts_with(b"eyJ") && token.split(|byte| *byte == b'.').count() == 3
}

/// How a key signs a handshake, in the terms of RFC 8446, section 4.2.3. SHA-256 is in every server's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeSignature {
    /// ECDSA on P-256, DER-encoded.
    EcdsaSha256,
    /// RSASSA-PSS, the only one for RSA in TLS 1.3.
    RsaPssSha256,
    /// RSASSA-PKCS1-v1_5, for TLS 1.2 with servers that know no other.
    RsaPkcs1Sha256,
}

impl HandshakeSignature {
    fn scheme(self) -> SignatureScheme {
        match self {
            Self::EcdsaSha256 => SignatureScheme::ECDSA_NISTP256_SHA256,
            Self::RsaPssSha256 => SignatureScheme::RSA_PSS_SHA256,
            Self::RsaPkcs1Sha256 => SignatureScheme::RSA_PKCS1_SHA256,
        }
    }
}

/// A private key that signs handshakes.
pub trait SignsHandshake: fmt::Debug + Send + Sync {
    /// The signatures that it can make, the preferred one first.
    fn signatures(&self) -> &'static [HandshakeSignature];

    /// Such a signature over `message`. `None` when the system has no randomness.
    fn sign(&self, signature: HandshakeSignature, message: &[u8]) -> Option<Vec<u8>>;
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

#[derive(Debug)]
struct HandshakeKey(Arc<dyn SignsHandshake>);

impl SigningKey for HandshakeKey {
    /// Of what the server takes, which rustls has cut down to the version of TLS, the signature that the key prefers.
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let signature = *self.0.signatures().iter().find(|own| offered.contains(&own.scheme()))?;
        Some(Box::new(HandshakeSigner { key: self.0.clone(), signature }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.0.signatures() {
            [HandshakeSignature::EcdsaSha256] => SignatureAlgorithm::ECDSA,
            _ => SignatureAlgorithm::RSA,
        }
    }
}

#[derive(Debug)]
struct HandshakeSigner {
    key: Arc<dyn SignsHandshake>,
    signature: HandshakeSignature,
}

impl Signer for HandshakeSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.key.sign(self.signature, message).ok_or(rustls::Error::FailedToGetRandomBytes)
    }

    fn scheme(&self) -> SignatureScheme {
        self.signature.scheme()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that shows what it was asked to sign with.
    #[derive(Debug)]
    struct Key(&'static [HandshakeSignature]);

    impl SignsHandshake for Key {
        fn signatures(&self) -> &'static [HandshakeSignature] {
            self.0
        }

        fn sign(&self, signature: HandshakeSignature, _: &[u8]) -> Option<Vec<u8>> {
            Some(format!("{signature:?}").into_bytes())
        }
    }

    #[test]
    fn a_key_signs_as_it_prefers_of_what_the_server_takes() {
        use HandshakeSignature::{EcdsaSha256, RsaPkcs1Sha256, RsaPssSha256};
        use SignatureScheme as S;
        let (ec, rsa): (&[_], &[_]) = (&[EcdsaSha256], &[RsaPssSha256, RsaPkcs1Sha256]);
        for (own, offered, chosen) in [
            (ec, &[S::RSA_PSS_SHA256, S::ECDSA_NISTP256_SHA256][..], Some(EcdsaSha256)),
            (ec, &[S::RSA_PSS_SHA256, S::ECDSA_NISTP384_SHA384], None),
            (rsa, &[S::RSA_PKCS1_SHA256, S::RSA_PSS_SHA256], Some(RsaPssSha256)),
            (rsa, &[S::RSA_PKCS1_SHA1, S::RSA_PKCS1_SHA256], Some(RsaPkcs1Sha256)),
            (rsa, &[S::RSA_PSS_SHA512, S::ECDSA_NISTP256_SHA256], None),
            (rsa, &[], None),
        ] {
            let signer = HandshakeKey(Arc::new(Key(own))).choose_scheme(offered);
            let found = signer.map(|signer| (signer.scheme(), signer.sign(b"hello").unwrap()));
            let expected = chosen.map(|chosen| (chosen.scheme(), format!("{chosen:?}").into_bytes()));
            assert_eq!(found, expected, "{offered:?}");
        }
        let [ec, rsa] = [ec, rsa].map(|own| HandshakeKey(Arc::new(Key(own))).algorithm());
        assert_eq!((ec, rsa), (SignatureAlgorithm::ECDSA, SignatureAlgorithm::RSA));
    }
}
