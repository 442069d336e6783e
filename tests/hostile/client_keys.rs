//! Client certificates with RSA keys in discovery files and bootstrap kubeconfigs: lengths, forms, keys that are damaged or
//! belong to another certificate, and servers that do not ask for a certificate.

use std::fs;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;

use crate::openssl::run;
use crate::suite::{Case, Expect, JOINED, Stage, ends, waits};
use crate::support::api::{Api, Setup};
use crate::support::pki::{Authority, pem_text};
use crate::support::scratch::Scratch;

const LENGTH: Expect = ends("usage", "nodestrap supports P-256, and RSA of 2048 to 4096 bits");
const NOT_A_KEY: Expect = ends("usage", "RSA PRIVATE KEY");
const ANOTHER: Expect = ends("usage", "does not match its client certificate");
const ENCRYPTED: Expect = ends("usage", "encrypted");

/// A client certificate and its key, both PEM.
struct Pair {
    certificate: String,
    key: String,
}

/// A pair that cannot be used: what it is, how the join ends, and how it is made.
type Row = (&'static str, Expect, fn() -> Pair);

/// A certificate that has signed itself, as no API server would take it; the key in PKCS#8.
fn pair(key: &str) -> Pair {
    let directory = Scratch::new();
    run(&directory, &format!("req -x509 -newkey {key} -nodes -keyout key -out certificate -subj /CN=image"));
    let [certificate, key] =
        ["certificate", "key"].map(|name| fs::read_to_string(directory.path().join(name)).expect("a file"));
    Pair { certificate, key }
}

/// The pair of RSA-2048 with its key as this openssl command writes it.
fn converted(words: &str) -> Pair {
    let (directory, pair) = (Scratch::new(), pair("rsa:2048"));
    fs::write(directory.path().join("key"), &pair.key).expect("a file");
    let key = String::from_utf8(run(&directory, words)).expect("PEM");
    Pair { key, ..pair }
}

/// A key in PKCS#1 (RFC 8017, appendix A.1.2), its numbers changed: version, n, e, d, p, q, and what follows from them.
fn changed(change: impl Fn(&mut [Vec<u8>])) -> Pair {
    let pair = converted("rsa -in key -traditional");
    let der = pem::parse(&pair.key).expect("PEM").into_contents();
    let mut numbers = Vec::new();
    let mut rest = element(&der).0;
    while !rest.is_empty() {
        let (number, behind) = element(rest);
        numbers.push(number.to_vec());
        rest = behind;
    }
    change(&mut numbers);
    let all: Vec<u8> = numbers.iter().flat_map(|number| tlv(2, number)).collect();
    Pair { key: pem_text("RSA PRIVATE KEY", &tlv(0x30, &all)), ..pair }
}

/// The content of the first element of a DER text, and what is behind it.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (head, length) = match der[1] {
        0x82 => (4, usize::from(der[2]) << 8 | usize::from(der[3])),
        0x81 => (3, usize::from(der[2])),
        short => (2, usize::from(short)),
    };
    der[head..].split_at(length)
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let length = match content.len() {
        ..128 => vec![low],
        128..256 => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [&[tag], &length[..], content].concat()
}

/// A machine that has this pair in a file for the server.
fn led(flag: &str, api: &Api, pair: &Pair) -> Stage {
    let mut stage = Stage::at(String::new(), Vec::new());
    stage.token = "";
    let [ca, certificate, key] =
        [&api.authority.pem(), &pair.certificate, &pair.key].map(|text| BASE64_STANDARD.encode(text));
    let conf = format!(
        "{{clusters: [{{name: c, cluster: {{server: 'https://{}', certificate-authority-data: {ca}}}}}], contexts: [{{name: x, \
         context: {{cluster: c, user: u}}}}], current-context: x, users: [{{name: u, user: {{client-certificate-data: \
         {certificate}, client-key-data: {key}}}}}]}}",
        api.endpoint()
    );
    let file = stage.node.beside("conf");
    fs::write(&file, conf).expect("a file beside the root");
    stage.words(&[flag, &file.display().to_string()])
}

/// A pair that is refused before anybody is dialled, in both kinds of file.
fn refused(name: &str, expect: Expect, make: fn() -> Pair) -> [Case; 2] {
    ["--discovery-file", "--bootstrap-kubeconfig"].map(|flag| {
        Case::new(format!("{flag}, {name}"), expect, move || {
            let api = Api::start();
            led(flag, &api, &make()).and_untrusted(api).checked(|stage| {
                assert_eq!(stage.untrusted[0].given().connections, 0, "nobody is dialled");
            })
        })
    })
}

/// A server that takes no certificate, whose bearer is nobody to it.
fn asks_for_none(config: &mut ServerConfig) {
    let identity = config.cert_resolver.clone();
    let builder = ServerConfig::builder_with_provider(default_provider().into());
    let builder = builder.with_safe_default_protocol_versions().expect("TLS versions");
    *config = builder.with_no_client_auth().with_cert_resolver(identity);
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let rows: [Row; 18] = [
        ("RSA-1024", LENGTH, || pair("rsa:1024")),
        ("RSA-2047", LENGTH, || pair("rsa:2047")),
        // openssl makes 4096 of 4097.
        ("RSA-4098", LENGTH, || pair("rsa:4098")),
        ("P-384", LENGTH, || pair("ec -pkeyopt ec_paramgen_curve:P-384")),
        ("P-521", LENGTH, || pair("ec -pkeyopt ec_paramgen_curve:P-521")),
        ("Ed25519", LENGTH, || pair("ed25519")),
        ("encrypted PKCS#8", ENCRYPTED, || converted("pkcs8 -topk8 -in key -passout pass:hunter2")),
        ("encrypted PKCS#1", ENCRYPTED, || {
            converted("rsa -in key -traditional -aes128 -passout pass:hunter2")
        }),
        ("a public key", NOT_A_KEY, || converted("rsa -in key -pubout")),
        ("the key of another certificate", ANOTHER, || Pair {
            key: pair("rsa:2048").key,
            ..pair("rsa:2048")
        }),
        ("a shorter key than its certificate's", ANOTHER, || Pair {
            key: pair("rsa:2048").key,
            ..pair("rsa:3072")
        }),
        (
            "a key of 1024 bits for a certificate of 2048",
            ends("usage", "PKCS#8 (PRIVATE KEY) of type RSA"),
            || Pair { key: pair("rsa:1024").key, ..pair("rsa:2048") },
        ),
        ("an even modulus", NOT_A_KEY, || changed(|numbers| *numbers[1].last_mut().expect("a byte") &= 0xfe)),
        ("a modulus of one prime more", NOT_A_KEY, || changed(|numbers| numbers[1][1] ^= 1)),
        ("the exponent 1", NOT_A_KEY, || changed(|numbers| numbers[2] = vec![1])),
        ("an even exponent", NOT_A_KEY, || changed(|numbers| numbers[2] = vec![1, 0, 0])),
        ("an exponent of another key", NOT_A_KEY, || changed(|numbers| numbers[2] = vec![1, 0, 3])),
        ("primes the other way round", NOT_A_KEY, || changed(|numbers| numbers.swap(4, 5))),
    ];
    for (name, expect, make) in rows {
        cases.extend(refused(name, expect, make));
    }
    cases.push(Case::new(
        "a server that asks for no certificate",
        waits("refused", "the credential lacks permission"),
        || {
            let api = Api::with(Setup { adjust: asks_for_none, ..Setup::default() });
            let pair = signed(&api.authority, "rsa:2048");
            let mut stage = led("--discovery-file", &api, &pair).and_trusted(api);
            stage.begins = true;
            stage
        },
    ));
    for bits in [2048, 4096] {
        cases.push(Case::new(format!("RSA-{bits} in PKCS#1"), JOINED, move || {
            let api = Api::start();
            let pair = signed(&api.authority, &format!("rsa:{bits}"));
            let der = pem::parse(&pair.certificate).expect("PEM").into_contents();
            api.cluster(|cluster| cluster.bootstrapper = Some(der));
            led("--discovery-file", &api, &pair).and_trusted(api)
        }));
    }
    cases
}

/// A pair that the cluster's CA has signed, its key in PKCS#1.
fn signed(authority: &Authority, kind: &str) -> Pair {
    let own = pair(kind);
    let key = rcgen::KeyPair::from_pem(&own.key).expect("a key");
    let directory = Scratch::new();
    fs::write(directory.path().join("key"), &own.key).expect("a file");
    Pair {
        certificate: authority.client_of(&key, "system:bootstrappers", "image"),
        key: String::from_utf8(run(&directory, "rsa -in key -traditional")).expect("PEM"),
    }
}
