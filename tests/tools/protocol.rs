//! The protocol of a join, as plainly as it can be spoken: for the clients that the benchmarks compare with.
//!
//! Neither the server nor the signature of cluster-info is verified.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use serde_json::{Value, json};

/// Where cluster-info is.
pub const CLUSTER_INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
/// Where signing requests are.
pub const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// A connection to the API server.
pub type Connection = StreamOwned<ClientConnection, TcpStream>;

/// Connects to `HOST:PORT`.
pub fn connect(address: &str) -> io::Result<Connection> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(Anyone)).with_no_client_auth();
    let host = address.rsplit_once(':').expect("HOST:PORT").0.to_owned();
    let tls = ClientConnection::new(Arc::new(config), ServerName::try_from(host).unwrap()).unwrap();
    let tcp = TcpStream::connect(address)?;
    tcp.set_nodelay(true)?;
    Ok(StreamOwned::new(tls, tcp))
}

/// The JSON of a signing request with a new key.
pub fn request(name: &str) -> String {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, format!("system:node:{name}"));
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"generateName": "csr-"},
        "spec": {
            "request": STANDARD.encode(request),
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "usages": ["digital signature", "client auth"],
        },
    })
    .to_string()
}

/// Sends a request.
pub fn ask(connection: &mut Connection, request: &str) -> io::Result<()> {
    connection.write_all(request.as_bytes())?;
    connection.flush()
}

/// Reads an answer, whose length is either given or told chunk by chunk: its status and its JSON, null for what is none.
pub fn answer(connection: &mut Connection) -> io::Result<(u16, Value)> {
    let mut seen = Vec::new();
    loop {
        read(connection, &mut seen)?;
        let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = str::from_utf8(&seen[..end]).unwrap();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let body = &seen[end + 4..];
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        if let Some(length) = length {
            if body.len() >= length.parse().unwrap() {
                return Ok((status, serde_json::from_slice(body).unwrap_or_default()));
            }
        } else if body.ends_with(b"\r\n0\r\n\r\n") {
            return Ok((status, serde_json::from_slice(&joined(body)).unwrap_or_default()));
        }
    }
}

/// The content of complete chunks.
fn joined(mut chunks: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let line = chunks.windows(2).position(|window| window == b"\r\n").expect("a chunk's length");
        let length = usize::from_str_radix(str::from_utf8(&chunks[..line]).unwrap(), 16).unwrap();
        if length == 0 {
            return content;
        }
        content.extend_from_slice(&chunks[line + 2..line + 2 + length]);
        chunks = &chunks[line + 2 + length + 2..];
    }
}

/// Reads what has come, behind what was read before.
pub fn read(connection: &mut Connection, seen: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 16384];
    let count = connection.read(&mut buffer)?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    seen.extend_from_slice(&buffer[..count]);
    Ok(())
}

/// A text in an answer.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// Takes any server for the right one.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
