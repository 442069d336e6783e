//! What only openssl(1) still makes and serves, and no library of today: old keys, old signatures, old protocols.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::chains::Shown;
use crate::suite::{Given, Witness};
use crate::support::api::TOKEN;
use crate::support::pki::{ServerIdentity, hex};
use crate::support::scratch::Scratch;

/// What a certificate for this machine says.
const NAMES: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1";

/// Runs openssl in a directory and returns what it writes.
///
/// # Panics
/// When it fails.
pub fn run(directory: &Scratch, words: &str) -> Vec<u8> {
    let output =
        Command::new("openssl").args(words.split_whitespace()).current_dir(directory.path()).output();
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

/// What it says once a command is done.
const DONE: &str = "SSL_do_handshake ->";

/// A server of openssl's with the key and the certificate that [`make`] has left in a directory.
pub struct Server {
    child: Child,
    /// What it was told by its clients, among what it tells itself.
    heard: Arc<Mutex<String>>,
    port: u16,
    _directory: Scratch,
}

impl Server {
    /// Starts one with these words. Once a client asks for something, `typed` is typed, which it takes for commands or
    /// for an answer.
    pub fn start(directory: Scratch, words: &str, typed: &'static [&'static [u8]]) -> Self {
        // Line by line: else it keeps to itself what it has done.
        let common = "-oL openssl s_server -accept 127.0.0.1:0 -cert leaf.pem -key leaf.key";
        let mut child = Command::new("stdbuf")
            .args(common.split_whitespace().chain(words.split_whitespace()))
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        while !line.starts_with("ACCEPT") {
            line.clear();
            assert!(
                output.read_line(&mut line).expect("a line") > 0,
                "openssl s_server {words} does not start"
            );
        }
        let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        let mut input = child.stdin.take().expect("a pipe");
        let heard = Arc::new(Mutex::new(String::new()));
        let told = Arc::clone(&heard);
        std::thread::spawn(move || {
            let (mut bytes, mut next) = ([0; 4096], 0);
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                let mut heard = told.lock().expect("heard");
                heard.push_str(&String::from_utf8_lossy(&bytes[..count]));
                // Each by itself, once the one before is done: only the first letter of what is read makes a command.
                while next < typed.len() && heard.contains("GET /") && heard.matches(DONE).count() >= next {
                    let _ = input.write_all(typed[next]);
                    next += 1;
                }
            }
        });
        Self { child, heard, port, _directory: directory }
    }

    pub fn endpoint(&self) -> String {
        format!("localhost:{}", self.port)
    }
}

impl Witness for Server {
    fn given(&self) -> Given {
        let heard = self.heard.lock().expect("heard").to_ascii_lowercase();
        let count = |word: &str| heard.matches(word).count() as u64;
        Given {
            // It says so again after each of them.
            connections: count("accept"),
            authorizations: count("authorization") + count(TOKEN),
            certificates: count("client certificate"),
            requests_to_sign: count("post /"),
            taken: 0,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
