//! The floor of the benchmark: a client that speaks the protocol over one connection and does nothing else.
//!
//! It verifies neither the server nor the signature of cluster-info, and writes no file. What it takes is what the
//! server and the handshake take.
//!
//! usage: bare HOST:PORT TOKEN NODE-NAME

use std::{
    env,
    io::{Read, Write},
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

const CLUSTER_INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, token, name] = &arguments[..] else { panic!("usage: bare HOST:PORT TOKEN NODE-NAME") };
    let mut connection = connect(address);
    ask(&mut connection, &format!("GET {CLUSTER_INFO} HTTP/1.1\r\nHost: {address}\r\n\r\n"));
    let cluster_info = answer(&mut connection);
    assert!(cluster_info.get("data").is_some(), "{cluster_info}");

    let head = format!("Host: {address}\r\nAuthorization: Bearer {token}\r\n");
    let body = request(name);
    let post = format!("POST {REQUESTS} HTTP/1.1\r\n{head}Content-Type: application/json\r\n");
    ask(&mut connection, &format!("{post}Content-Length: {}\r\n\r\n{body}", body.len()));
    let object = answer(&mut connection);
    let metadata = &object["metadata"];
    let (name, version) = (text(&metadata["name"]), text(&metadata["resourceVersion"]));

    let query = format!("watch=1&fieldSelector=metadata.name%3D{name}&resourceVersion={version}");
    ask(&mut connection, &format!("GET {REQUESTS}?{query} HTTP/1.1\r\n{head}\r\n"));
    let mut seen = Vec::new();
    while !seen.windows(15).any(|window| window == b"\"certificate\":\"") {
        read(&mut connection, &mut seen);
    }
}

type Connection = StreamOwned<ClientConnection, TcpStream>;

fn connect(address: &str) -> Connection {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(Anyone)).with_no_client_auth();
    let host = address.rsplit_once(':').expect("HOST:PORT").0.to_owned();
    let tls = ClientConnection::new(Arc::new(config), ServerName::try_from(host).unwrap()).unwrap();
    let tcp = TcpStream::connect(address).unwrap();
    tcp.set_nodelay(true).unwrap();
    StreamOwned::new(tls, tcp)
}

/// The JSON of a signing request with a new key.
fn request(name: &str) -> String {
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

fn ask(connection: &mut Connection, request: &str) {
    connection.write_all(request.as_bytes()).unwrap();
    connection.flush().unwrap();
}

/// Reads an answer, whose length is either given or told chunk by chunk: its JSON.
fn answer(connection: &mut Connection) -> Value {
    let mut seen = Vec::new();
    loop {
        read(connection, &mut seen);
        let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = str::from_utf8(&seen[..end]).unwrap();
        let body = &seen[end + 4..];
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        if let Some(length) = length {
            if body.len() >= length.parse().unwrap() {
                return serde_json::from_slice(body).expect("JSON");
            }
        } else if body.ends_with(b"\r\n0\r\n\r\n") {
            return serde_json::from_slice(&joined(body)).expect("JSON");
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

fn read(connection: &mut Connection, seen: &mut Vec<u8>) {
    let mut buffer = [0; 16384];
    let count = connection.read(&mut buffer).unwrap();
    assert_ne!(count, 0, "the server closed: {}", String::from_utf8_lossy(seen));
    seen.extend_from_slice(&buffer[..count]);
}

fn text(value: &Value) -> &str {
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
