//! TLS of the API server: Go's ALPN list, a client certificate asked for but not required, and a log of each handshake.

use std::net::TcpStream;
use std::sync::Arc;

use rustls::crypto::ring::{default_provider, sign::any_supported_type};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::UnixTime;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    DigitallySignedStruct, DistinguishedName, HandshakeKind, ServerConfig, ServerConnection, SignatureScheme,
    StreamOwned,
};

use crate::support::pki::ServerIdentity;

/// A connection that the server speaks HTTP on.
pub type Stream = StreamOwned<ServerConnection, TcpStream>;

/// What the server learnt of one connection.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// The host name of the `ClientHello`.
    pub sni: Option<String>,
    /// The protocols that the client offered.
    pub offered: Vec<String>,
    /// Whether the handshake was completed.
    pub completed: bool,
    /// Whether it resumed an earlier session.
    pub resumed: bool,
    /// Whether the client showed a certificate.
    pub client_certificate: bool,
    /// `TLSv1_3` or `TLSv1_2`.
    pub version: String,
    /// Bytes of answers that were sent, before encryption.
    pub sent: usize,
    /// What ended the handshake, when something did.
    pub error: Option<String>,
}

/// The server's configuration. The key is not checked against the certificate: some servers lie.
pub fn config(
    identity: ServerIdentity,
    versions: &'static [&'static rustls::SupportedProtocolVersion],
    adjust: fn(&mut ServerConfig),
) -> Arc<ServerConfig> {
    let key = any_supported_type(&identity.key).expect("a key that can sign");
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .expect("TLS versions")
        .with_client_cert_verifier(Arc::new(AskForCertificate))
        .with_cert_resolver(Arc::new(Always(Arc::new(CertifiedKey::new(identity.chain, key)))));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    adjust(&mut config);
    Arc::new(config)
}

/// Shakes hands and tells what was seen, also of a handshake that failed.
pub fn handshake(mut socket: TcpStream, config: &Arc<ServerConfig>) -> (Connection, Option<Stream>) {
    let mut seen = Connection::default();
    match try_handshake(&mut socket, config, &mut seen) {
        Ok(connection) => (seen, Some(StreamOwned::new(connection, socket))),
        Err(error) => {
            seen.error = Some(error);
            (seen, None)
        }
    }
}

fn try_handshake(
    socket: &mut TcpStream,
    config: &Arc<ServerConfig>,
    seen: &mut Connection,
) -> Result<ServerConnection, String> {
    let mut acceptor = Acceptor::default();
    let accepted = loop {
        if acceptor.read_tls(socket).map_err(|error| error.to_string())? == 0 {
            return Err("closed before a ClientHello".to_owned());
        }
        if let Some(accepted) = acceptor.accept().map_err(|(error, _)| error.to_string())? {
            break accepted;
        }
    };
    let hello = accepted.client_hello();
    seen.sni = hello.server_name().map(str::to_owned);
    seen.offered =
        hello.alpn().into_iter().flatten().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let mut connection = match accepted.into_connection(Arc::clone(config)) {
        Ok(connection) => connection,
        Err((error, mut alert)) => {
            let _ = alert.write_all(socket);
            return Err(error.to_string());
        }
    };
    while connection.is_handshaking() {
        connection.complete_io(socket).map_err(|error| error.to_string())?;
    }
    seen.completed = true;
    seen.resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    seen.client_certificate = connection.peer_certificates().is_some();
    seen.version = format!("{:?}", connection.protocol_version().expect("a version"));
    Ok(connection)
}

/// Shows one certificate to everyone.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Asks for a client certificate, as an API server does, and takes any or none, if its holder has its key: who the client
/// is is judged with each request.
#[derive(Debug)]
struct AskForCertificate;

impl ClientCertVerifier for AskForCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
