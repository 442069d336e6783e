//! Servers of another age: keys, signatures and protocols that were good once, by openssl(1).

use crate::openssl::{self, Server};
use crate::suite::{Case, DISAGREES, Expect, Stage, waits};

const NOT_SIGNED: Expect = waits("not-trusted", "the key of CN=kube-apiserver is RSA-1024");
/// What such a server says is read, and is signed with no token at all.
const READ: Expect = waits("not-trusted", "does not match the secret of token abcdef");

const RSA: &str = "rsa:2048";
const P256: &str = "ec -pkeyopt ec_paramgen_curve:P-256";

/// The server's key, and the words of its command line.
const SERVERS: [(&str, Expect, &str, &str); 19] = [
    ("RSA-2048 and TLS 1.3", READ, RSA, "-tls1_3"),
    ("RSA-2048 and TLS 1.2", READ, RSA, "-tls1_2"),
    ("P-384 and TLS 1.3", READ, "ec -pkeyopt ec_paramgen_curve:P-384", "-tls1_3"),
    ("a handshake that asks for another share", READ, P256, "-tls1_3 -groups P-384"),
    ("RSA-1024 and TLS 1.3", NOT_SIGNED, "rsa:1024", "-tls1_3 -cipher ALL:@SECLEVEL=0"),
    ("RSA-1024 and TLS 1.2", NOT_SIGNED, "rsa:1024", "-tls1_2 -cipher ALL:@SECLEVEL=0"),
    ("P-224", DISAGREES, "ec -pkeyopt ec_paramgen_curve:P-224", "-tls1_2"),
    ("P-521", DISAGREES, "ec -pkeyopt ec_paramgen_curve:P-521", "-tls1_3"),
    ("Ed25519", DISAGREES, "ed25519", "-tls1_3"),
    ("TLS 1.1", DISAGREES, RSA, "-tls1_1 -cipher ALL:@SECLEVEL=0"),
    ("TLS 1.0", DISAGREES, RSA, "-tls1 -cipher ALL:@SECLEVEL=0"),
    ("SHA-1 for the handshake", DISAGREES, RSA, "-tls1_2 -sigalgs RSA+SHA1 -cipher ALL:@SECLEVEL=0"),
    ("RSA key exchange", DISAGREES, RSA, "-tls1_2 -cipher AES128-GCM-SHA256:@SECLEVEL=0"),
    ("finite fields", DISAGREES, RSA, "-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0"),
    ("CBC", DISAGREES, P256, "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"),
    ("anonymous keys", DISAGREES, P256, "-tls1_2 -cipher AECDH-AES128-SHA:@SECLEVEL=0"),
    ("no encryption", DISAGREES, P256, "-tls1_2 -cipher ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"),
    ("ChaCha20 only", DISAGREES, P256, "-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256"),
    ("X25519 only", DISAGREES, P256, "-tls1_3 -groups X25519"),
];

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 77\r\n\r\n\
{\"kind\":\"ConfigMap\",\"data\":{\"kubeconfig\":\"x\",\"jws-kubeconfig-abcdef\":\"a..b\"}}";

/// What the server does between the question and its answer.
const BETWEEN: [(&str, Expect, &str, &[&[u8]]); 4] = [
    ("nothing", READ, "-tls1_3", &[ANSWER]),
    ("a wish to negotiate again", waits("unreachable", "localhost:"), "-tls1_2", &[b"r\n"]),
    ("another key of its own", READ, "-tls1_3", &[b"k\n", ANSWER]),
    ("another key, and a wish for another of ours", READ, "-tls1_3", &[b"K\n", b"K\n", b"K\n", ANSWER]),
];

fn case(
    name: String,
    expect: Expect,
    key: &'static str,
    words: &'static str,
    typed: &'static [&'static [u8]],
) -> Case {
    Case::new(name, expect, move || {
        let directory = openssl::make(RSA, key, "-sha256");
        let (_, pin) = openssl::authority(&directory);
        let server = Server::start(directory, words, typed);
        Stage::at(server.endpoint(), vec![pin]).and_untrusted(server)
    })
}

pub fn cases() -> Vec<Case> {
    let servers = SERVERS
        .into_iter()
        .map(|(name, expect, key, words)| case(name.to_owned(), expect, key, words, &[ANSWER]));
    let between = BETWEEN.into_iter().map(|(name, expect, words, typed)| {
        case(format!("between question and answer, {name}"), expect, P256, words, typed)
    });
    servers.chain(between).collect()
}
