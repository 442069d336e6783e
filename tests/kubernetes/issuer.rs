//! An issuer of JWTs: discovery and keys over https (OpenID Connect Discovery 1.0), and tokens of any claims.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::Arc,
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};

/// The key's name in its set, and in each token.
const KEY: &str = "1";

/// An issuer for each path of its server, all with one key.
pub struct Issuer {
    /// The server's certificate, its own CA, in PEM.
    pub ca: String,
    port: u16,
    key: EcdsaKeyPair,
}

impl Issuer {
    /// Serves until the tests end.
    pub fn start() -> Self {
        let own = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&own).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let key = key();
        let point = key.public_key().as_ref()[1..].to_vec();
        let (x, y) = point.split_at(32);
        let keys = json!({"keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY, "x": encode(x), "y": encode(y)
        }]});
        let shown = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.serialize_der()));
        let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], shown)
            .unwrap();
        let tls = Arc::new(tls);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tls, keys) = (Arc::clone(&tls), keys.clone());
                thread::spawn(move || {
                    let connection = ServerConnection::new(tls).unwrap();
                    // Whoever hangs up is no concern of the issuer's.
                    let _ = answer(StreamOwned::new(connection, stream), port, &keys);
                });
            }
        });
        Self { ca: certificate.pem(), port, key }
    }

    /// The issuer of this name.
    pub fn url(&self, name: &str) -> String {
        url(self.port, name)
    }

    /// A token of these claims, signed with the issuer's key.
    pub fn sign(&self, claims: &Value) -> String {
        signed(&self.key, claims)
    }

    /// The same, signed with another key of the same name.
    pub fn forge(claims: &Value) -> String {
        signed(&key(), claims)
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn url(port: u16, name: &str) -> String {
    format!("https://localhost:{port}/{name}")
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn key() -> EcdsaKeyPair {
    let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap()
}

fn signed(key: &EcdsaKeyPair, claims: &Value) -> String {
    let header = json!({"alg": "ES256", "kid": KEY, "typ": "JWT"});
    let text = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    format!("{text}.{}", encode(signature))
}

/// Answers one request for `/NAME/.well-known/openid-configuration` or `/NAME/keys`.
fn answer(mut stream: impl Read + Write, port: u16, keys: &Value) -> std::io::Result<()> {
    let mut head = BufReader::new(&mut stream).lines();
    let line = head.next().unwrap_or(Ok(String::new()))?;
    while head.next().transpose()?.is_some_and(|header| !header.is_empty()) {}
    let path = line.split(' ').nth(1).unwrap_or_default();
    let (name, rest) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    let body = match rest {
        ".well-known/openid-configuration" => {
            let issuer = url(port, name);
            let keys = format!("{issuer}/keys");
            json!({
                "issuer": issuer, "jwks_uri": keys, "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
            })
        }
        _ => keys.clone(),
    };
    let body = body.to_string();
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length:";
    write!(stream, "{head} {}\r\n\r\n{body}", body.len())?;
    stream.flush()
}
