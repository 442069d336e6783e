//! TLS: which algorithms there are, and the two ways in which a server's certificate is taken.
//!
//! Until the cluster is trusted the chain is only recorded ([`ServerCertificate::Unverified`]), while the handshake's
//! signature is checked in both: the peer holds the key of the certificate that it shows. Afterwards the recorded chain
//! is verified by [`Anchors`], which also verify every later handshake.

use std::fmt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use ring::rand::SystemRandom;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::{cipher_suite, kx_group};
use rustls::crypto::{
    CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, verify_tls12_signature,
    verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::SigningKey;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedCipherSuite};

use super::chain::Anchors;
use super::client_auth::ClientIdentity;
use super::problem;
use super::signatures::SIGNATURES;
use crate::clock::Clock;

/// Every API server of Kubernetes offers one of these: Go's `crypto/tls` prefers AES-GCM where the machine has AES, and
/// accepts it everywhere.
static CIPHER_SUITES: &[SupportedCipherSuite] = &[
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
];

/// ring's algorithms, but fewer than rustls' own list of them (150 KB less): what is not named here is not linked. The
/// curves are those that FIPS allows too; an API server whose `--tls-curve-preferences` name neither is unreachable.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: CIPHER_SUITES.to_vec(),
        kx_groups: vec![kx_group::SECP256R1, kx_group::SECP384R1],
        signature_verification_algorithms: SIGNATURES,
        secure_random: &Ring,
        key_provider: &Ring,
    }
}

#[derive(Debug)]
struct Ring;

impl SecureRandom for Ring {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        ring::rand::SecureRandom::fill(&SystemRandom::new(), bytes).map_err(|_| GetRandomFailed)
    }
}

impl KeyProvider for Ring {
    /// A client's key is never loaded: its holder signs ([`super::client_auth`]).
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("there are no client keys".to_owned()))
    }
}

/// How a server's certificate is taken during the handshake.
pub(super) enum ServerCertificate {
    /// Any certificate whose key signs the handshake. Nothing secret may travel on such a connection.
    Unverified,
    /// Only a chain that ends at one of these roots and names the host.
    Verified(Arc<Anchors>),
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerCertificate")
    }
}

impl ServerCertVerifier for ServerCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self {
            Self::Unverified => Ok(ServerCertVerified::assertion()),
            Self::Verified(anchors) => anchors
                .check(end_entity, intermediates, server_name, now)
                .map(|()| ServerCertVerified::assertion())
                .map_err(problem::to_tls),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &SIGNATURES)
            .map_err(|e| problem::of_handshake(e, cert))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &SIGNATURES)
            .map_err(|e| problem::of_handshake(e, cert))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SIGNATURES.supported_schemes()
    }
}

/// A client's configuration: HTTP/1.1 only, a client certificate only where one is given, and no resumption, because a
/// resumed session skips the server's certificate and with it the check.
pub(super) fn client_config(
    certificate: ServerCertificate,
    identity: Option<ClientIdentity>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let builder = ClientConfig::builder_with_details(Arc::new(provider()), Arc::new(WallTime(clock)))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(certificate));
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(identity)),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The program's clock, as rustls asks for it.
struct WallTime(Arc<dyn Clock>);

impl fmt::Debug for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallTime")
    }
}

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        self.0.now().duration_since(UNIX_EPOCH).ok().map(UnixTime::since_unix_epoch)
    }
}
