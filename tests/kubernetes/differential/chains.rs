//! Certificate chains: what Go's verifier says of what a server shows, beside the whole trust decision here, with a
//! handshake by the key of that very chain.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use nodestrap::discovery;
use nodestrap::http::{Endpoint, Proxies, Unverified};
use nodestrap::trust::{self, Pins, Token};
use rcgen::{
    Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

use super::certificates::{authority, leaf, name_of};
use super::network::{InMemory, system};
use super::oracle::{Oracle, bytes, given_bytes};
use super::pems::block;
use super::random::{Random, count};
use super::tally::{Case, Class, Tally};
use super::trust::chain as words;
use crate::support::api::{jws, tls};
use crate::support::pki::ServerIdentity;

/// What a server shows, to whom.
struct Shown {
    host: String,
    /// What was put into it, for people and for the classes.
    traits: Vec<&'static str>,
    chain: Vec<CertificateDer<'static>>,
    roots: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.host, self.traits.join(", "))?;
        for (name, certificates) in [("chain", &self.chain), ("roots", &self.roots)] {
            let list: Vec<String> = certificates.iter().map(|der| BASE64_STANDARD.encode(der)).collect();
            write!(f, "; {name} {}", list.join(" "))?;
        }
        Ok(())
    }
}

impl Shown {
    fn has(&self, name: &str) -> bool {
        self.traits.contains(&name)
    }
}

/// The kinds of keys, by name, with how each signs.
const KINDS: [(&str, &SignatureAlgorithm); 4] = [
    ("P-256", &PKCS_ECDSA_P256_SHA256),
    ("P-384", &PKCS_ECDSA_P384_SHA384),
    ("Ed25519", &PKCS_ED25519),
    ("RSA-2048", &PKCS_RSA_SHA256),
];

/// The chains that only Go takes, or only nodestrap.
const CLASSES: &[Class<Shown, ()>] = &[
    Class {
        name: "a root that is no CA",
        reason: "Go takes a server's own certificate for its root; a CA bundle is for CAs here",
        explains: |case| {
            let is_root = ["the server's certificate is a root", "the server's certificate is the only root"];
            case.ours.is_err() && case.theirs.is_ok() && is_root.iter().any(|name| case.input.has(name))
        },
    },
    Class {
        name: "any purpose",
        reason: "webpki wants a server's purpose by its name where purposes are named",
        explains: |case| case.stricter("present: [KeyPurposeId(2.5.29.37.0)]"),
    },
    Class {
        name: "a CA as a server",
        reason: "webpki keeps the two apart",
        explains: |case| case.stricter("CaUsedAsEndEntity"),
    },
    Class {
        name: "Ed25519",
        reason: "kubeadm makes no such key, and each algorithm costs bytes",
        explains: |case| case.ours.is_err() && case.theirs.is_ok() && case.input.has("Ed25519"),
    },
    Class {
        name: "a wildcard right above a top-level domain",
        reason: "webpki wants two labels behind the star",
        explains: |case| case.stricter("does not verify") && case.input.has("short wildcard"),
    },
];

/// Keys to choose from; making RSA keys takes long.
struct Keys(Vec<(&'static str, KeyPair)>);

impl Keys {
    fn make(oracle: &mut Oracle) -> Self {
        let mut keys = Vec::new();
        for (kind, algorithm) in KINDS {
            for _ in 0..4 {
                let der = given_bytes(&oracle.ask("key", &json!(kind)).expect("a key"));
                let pair = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), algorithm);
                keys.push((kind, pair.expect("a key")));
            }
        }
        Self(keys)
    }

    /// One of the `nth` of four of each kind: usually the usual.
    fn draw(&self, random: &mut Random, nth: usize, traits: &mut Vec<&'static str>) -> &KeyPair {
        let kind = if random.once_in(6) { random.below(KINDS.len()) } else { 0 };
        let (name, key) = &self.0[kind * 4 + nth];
        traits.push(name);
        key
    }
}

/// A root, up to three CAs below it, and a server.
fn draw(random: &mut Random, keys: &Keys) -> Shown {
    let mut traits = Vec::new();
    let host = loop {
        let host = name_of(random).replace("*.", random.pick(&["x.", "x.y."]));
        if !host.contains('*') {
            break host;
        }
    };
    let length = [0, 0, 1, 1, 2, 3][random.below(6)];
    let root_key = keys.draw(random, 0, &mut traits);
    let root = authority(random, "root", &mut traits);
    let mut roots = vec![root.self_signed(root_key).expect("a root").der().clone()];
    let (mut issuer, mut issuer_key) = (root, root_key);
    let mut chain = Vec::new();
    for (nth, name) in ["one", "two", "three"].into_iter().enumerate().take(length) {
        let key = keys.draw(random, nth + 1, &mut traits);
        let params = authority(random, name, &mut traits);
        let signed = params.signed_by(key, &Issuer::from_params(&issuer, issuer_key)).expect("a CA");
        chain.insert(0, signed.der().clone());
        (issuer, issuer_key) = (params, key);
    }
    let key = keys.draw(random, 3, &mut traits);
    let params = leaf(random, &host, &mut traits);
    let signed = match random.below(20) {
        0 => {
            traits.push("signs itself");
            params.self_signed(key).expect("a certificate")
        }
        1 => {
            traits.push("signed by another key");
            let other = keys.draw(random, 3, &mut traits);
            params.signed_by(key, &Issuer::from_params(&issuer, other)).expect("a certificate")
        }
        _ => params.signed_by(key, &Issuer::from_params(&issuer, issuer_key)).expect("a certificate"),
    };
    chain.insert(0, signed.der().clone());
    disorder(random, &mut chain, &mut roots, &mut traits);
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    Shown { host, traits, chain, roots, key }
}

/// What servers send beside what is needed, and what they leave out.
fn disorder(
    random: &mut Random,
    chain: &mut Vec<CertificateDer<'static>>,
    roots: &mut Vec<CertificateDer<'static>>,
    traits: &mut Vec<&'static str>,
) {
    match random.below(24) {
        0 if chain.len() > 1 => {
            traits.push("a CA is missing");
            let at = 1 + random.below(chain.len() - 1);
            chain.remove(at);
        }
        1 => {
            traits.push("the root is sent too");
            chain.push(roots[0].clone());
        }
        2 => {
            traits.push("the CAs are in another order");
            chain[1..].reverse();
        }
        3 => {
            traits.push("the server's certificate is a root");
            roots.push(chain[0].clone());
        }
        4 if chain.len() > 1 => {
            traits.push("a CA of the chain is a root");
            *roots = vec![chain[1].clone()];
        }
        5 => {
            traits.push("the server's certificate is the only root");
            *roots = vec![chain[0].clone()];
        }
        _ => {}
    }
}

/// nodestrap: a cluster-info by that server, judged with the connection that brought it.
fn ours(shown: &Shown, now: SystemTime) -> Result<(), String> {
    let identity = ServerIdentity { chain: shown.chain.clone(), key: shown.key.clone_key() };
    let token = "abcdef.0123456789abcdef";
    let bundle: String = shown.roots.iter().map(block).collect();
    let bracketed = if shown.host.contains(':') { format!("[{}]", shown.host) } else { shown.host.clone() };
    let kubeconfig = jws::kubeconfig(&bundle, &format!("https://{bracketed}:6443"));
    let info: Value =
        json!({"data": {"kubeconfig": kubeconfig, "jws-kubeconfig-abcdef": jws::sign(token, &kubeconfig)}});
    let network = InMemory {
        tls: tls::config(identity, rustls::DEFAULT_VERSIONS, |_| {}),
        answers: Arc::new(move |_, _, _| (200, info.to_string())),
    };
    let system = system(now, Arc::new(network), Proxies::default());
    let endpoint = Endpoint::parse(&format!("{bracketed}:6443")).ok_or("no endpoint")?;
    let peer = Unverified::to_each(&system, &[endpoint]).map_err(|e| words(&e))?.remove(0);
    let info = discovery::fetch(&peer, Duration::from_secs(10)).map_err(|e| words(&e))?;
    let token = Token::parse(token).ok_or("no token")?;
    let signed = trust::verify(&info, &token, &Pins::UnsafeSkip, now).map_err(|e| words(&e))?;
    signed.over(peer).map(|_| ()).map_err(|e| words(&e))
}

#[test]
fn chains() {
    let (mut random, mut oracle) = (Random::of("chains"), Oracle::start());
    let keys = Keys::make(&mut oracle);
    let now = SystemTime::now();
    let seconds = now.duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
    let mut tally = Tally::new("certificate chains", CLASSES);
    for _ in 0..count() {
        let input = draw(&mut random, &keys);
        let list = |certificates: &[CertificateDer<'_>]| certificates.iter().map(bytes).collect::<Vec<_>>();
        let question = json!({"chain": list(&input.chain), "roots": list(&input.roots), "host": input.host, "now": seconds});
        let theirs = oracle.ask("chain", &question).map(|_| ());
        tally.hold(&Case { ours: ours(&input, now), theirs, input });
    }
    tally.finish();
}
