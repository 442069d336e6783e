//! Certificates that only openssl(1) still makes, and that no library of today signs.

use std::process::Command;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::chains::Shown;
use crate::support::pki::{ServerIdentity, hex};
use crate::support::scratch::Scratch;

/// What a certificate for this machine says.
const NAMES: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1";

/// Runs openssl in a directory and returns what it writes.
///
/// # Panics
/// When it fails.
pub fn run(directory: &Scratch, words: &str) -> Vec<u8> {
    let output = Command::new("openssl").args(words.split_whitespace()).current_dir(directory.path()).output();
    let output = output.expect("openssl");
    assert!(output.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A CA with such a key in `ca.key` and `ca.pem`, and a server's key and certificate in `leaf.key` and `leaf.pem`, which
/// that CA has signed in such a way.
pub fn make(ca: &str, leaf: &str, signing: &str) -> Scratch {
    let directory = Scratch::new();
    run(
        &directory,
        &format!(
            "req -x509 -newkey {ca} -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=kubernetes -addext \
             keyUsage=critical,digitalSignature,keyCertSign"
        ),
    );
    run(
        &directory,
        &format!(
            "req -x509 -newkey {leaf} -nodes -keyout leaf.key -out leaf.pem -CA ca.pem -CAkey ca.key {signing} -days 9 \
             -subj /CN=kube-apiserver -addext {NAMES} -addext extendedKeyUsage=serverAuth -addext \
             basicConstraints=critical,CA:FALSE"
        ),
    );
    directory
}

/// The CA in `ca.pem` with its pin.
pub fn authority(directory: &Scratch) -> (String, String) {
    let pem = std::fs::read_to_string(directory.path().join("ca.pem")).expect("a CA");
    let public = run(directory, "x509 -in ca.pem -noout -pubkey");
    let der = pem::parse(public).expect("a public key");
    let digest = ring::digest::digest(&ring::digest::SHA256, der.contents());
    (pem, format!("sha256:{}", hex(digest.as_ref())))
}

/// A P-256 server whose certificate such a CA has signed in such a way.
pub fn shown(ca: &str, signing: &str) -> Shown {
    let directory = make(ca, "ec -pkeyopt ec_paramgen_curve:P-256", signing);
    let (bundle, pin) = authority(&directory);
    let read = |name: &str| {
        let text = std::fs::read(directory.path().join(name)).expect("a file of openssl's");
        pem::parse(text).expect("PEM").into_contents()
    };
    let key: PrivateKeyDer<'_> = PrivatePkcs8KeyDer::from(read("leaf.key")).into();
    let identity = ServerIdentity { chain: vec![CertificateDer::from(read("leaf.pem"))], key };
    Shown { bundle, pins: vec![pin], identity }
}

