//! Certificate chains: what Go's verifier says of what a server shows, beside the whole trust decision here, with a
//! handshake by the key of that very chain.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use nodestrap::testing::discovery;
use nodestrap::testing::error::ErrorKind::{NotTrusted, Unreachable};
use nodestrap::testing::http::{Endpoint, Proxies, Unverified};
use nodestrap::testing::trust::{Pins, Token, UnverifiedClusterInfo};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use serde_json::{Value, json};

use super::ca_bundles::block;
use super::certificates::{authority, leaf, name_of};
use super::diff_report::{Case, Class, DiffReport, Refusal};
use super::keys::{Key, Keys, Shared, ask};
use super::network::{InMemory, system};
use super::oracle::{Oracle, bytes};
use super::random::{Random, count};
use crate::support::api::jws;

/// What a server shows, to whom.
#[derive(Clone)]
pub struct Shown {
    pub host: String,
    /// What was put into it, for people and for the classes.
    pub traits: Vec<&'static str>,
    pub chain: Vec<CertificateDer<'static>>,
    pub roots: Vec<CertificateDer<'static>>,
    pub key: Arc<dyn SigningKey>,
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
    pub fn has(&self, name: &str) -> bool {
        self.traits.contains(&name)
    }
}

/// The chains that only Go takes, or only nodestrap.
pub const CLASSES: &[Class<Shown, ()>] = &[
    Class {
        name: "any purpose",
        reason: "webpki wants a server's purpose by its name where purposes are named",
        explains: |case| case.stricter(NotTrusted, "is \"any\" without serverAuth"),
    },
    Class {
        name: "an empty extended key usage",
        reason: "webpki takes it of roots only",
        explains: |case| case.stricter(NotTrusted, "has an empty extended key usage"),
    },
    Class {
        name: "a constraint on addresses of mail",
        reason: "webpki does not judge such an address, and refuses one where there is such a constraint",
        explains: |case| {
            let has_both = case.input.has("name constraints") && case.input.has("other types of names");
            case.stricter(NotTrusted, "the name constraints of a CA") && has_both
        },
    },
    Class {
        name: "a CA as a server",
        reason: "webpki keeps the two apart",
        explains: |case| case.stricter(NotTrusted, "is marked as a CA (basicConstraints)"),
    },
    Class {
        name: "Ed25519",
        reason: "kubeadm makes no such key, and each algorithm costs bytes",
        explains: |case| is_of_unknown_kind(case, "Ed25519"),
    },
    Class {
        name: "RSA-1024",
        reason: "a key that short can be factored; ring takes no signature by it",
        explains: |case| case.stricter(NotTrusted, "RSA-1024"),
    },
    Class {
        name: "P-521",
        reason: "kubeadm makes no such key, and ring has no such curve",
        explains: |case| is_of_unknown_kind(case, "P-521"),
    },
    Class {
        name: "a wildcard right above a top-level domain",
        reason: "webpki wants two labels behind the star",
        explains: |case| case.stricter(NotTrusted, "cannot be verified") && case.input.has("short wildcard"),
    },
];

/// A CA's key of this kind, which is named, or a server's, which finds nothing in what is offered that it could sign.
fn is_of_unknown_kind(case: &Case<Shown, ()>, kind: &str) -> bool {
    let is_named = case.stricter(NotTrusted, &format!("({kind})"));
    is_named || case.stricter(Unreachable, "nodestrap supports TLS 1.2 and 1.3") && case.input.has(kind)
}

/// A root, up to three CAs below it, and a server.
pub fn draw(random: &mut Random, keys: &Keys) -> Shown {
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
    let made = root_key.certified(&root, (&root, root_key));
    let mut roots = vec![aged(random, made, root_key, &mut traits)];
    let (mut issuer, mut issuer_key) = (root, root_key);
    let mut chain = Vec::new();
    for (nth, name) in ["one", "two", "three"].into_iter().enumerate().take(length) {
        let key = keys.draw(random, nth + 1, &mut traits);
        let params = authority(random, name, &mut traits);
        let made = key.certified(&params, (&issuer, issuer_key));
        chain.insert(0, aged(random, made, issuer_key, &mut traits));
        (issuer, issuer_key) = (params, key);
    }
    let key = keys.draw(random, 3, &mut traits);
    let params = leaf(random, &host, &mut traits);
    let signed = match random.below(20) {
        0 => {
            traits.push("signs itself");
            key.certified(&params, (&params, key))
        }
        1 => {
            traits.push("signed by another key");
            let other = keys.draw(random, 3, &mut traits);
            key.certified(&params, (&issuer, other))
        }
        _ => {
            let made = key.certified(&params, (&issuer, issuer_key));
            aged(random, made, issuer_key, &mut traits)
        }
    };
    chain.insert(0, signed);
    disorder(random, &mut chain, &mut roots, &mut traits);
    Shown { host, traits, chain, roots, key: key.of_a_server() }
}

/// A certificate that is of an older version now and then, signed anew by that key.
fn aged(
    random: &mut Random,
    made: CertificateDer<'static>,
    issuer: &Key,
    traits: &mut Vec<&'static str>,
) -> CertificateDer<'static> {
    if !random.once_in(16) {
        return made;
    }
    let (version, name) = [(1, "version 1"), (2, "version 2")][random.below(2)];
    let Some(old) = issuer.old(&made, version) else { return made };
    traits.push(name);
    old
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
pub fn ours(shown: &Shown, pins: &Pins, now: SystemTime) -> Result<(), Refusal> {
    let identity = CertifiedKey::new(shown.chain.clone(), shown.key.clone());
    let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .expect("TLS versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    let token = "abcdef.0123456789abcdef";
    let bundle: String = shown.roots.iter().map(block).collect();
    let bracketed = if shown.host.contains(':') { format!("[{}]", shown.host) } else { shown.host.clone() };
    let kubeconfig = jws::kubeconfig(&bundle, &format!("https://{bracketed}:6443"));
    let info: Value =
        json!({"data": {"kubeconfig": kubeconfig, "jws-kubeconfig-abcdef": jws::sign(token, &kubeconfig)}});
    let network =
        InMemory { tls: Arc::new(server), answers: Arc::new(move |_, _, _| (200, info.to_string())) };
    let system = system(now, Arc::new(network), Proxies::default());
    let endpoint = Endpoint::parse(&format!("{bracketed}:6443")).ok_or("no endpoint")?;
    let peer = Unverified::to_each(&system, &[endpoint])?.remove(0);
    let token = Token::parse(token).ok_or("no token")?;
    let info = discovery::cluster_info(&peer, token.id(), Duration::from_secs(10))?;
    let signed = UnverifiedClusterInfo { info, token, pins: pins.clone() }.verify(now)?;
    signed.trust_via(peer)?;
    Ok(())
}

/// Go, with this chain and these roots.
pub fn theirs(
    oracle: &Shared,
    shown: &Shown,
    chain: &[CertificateDer<'_>],
    roots: &[CertificateDer<'_>],
    seconds: u64,
) -> Result<(), String> {
    let list = |certificates: &[CertificateDer<'_>]| certificates.iter().map(bytes).collect::<Vec<_>>();
    let question = json!({"chain": list(chain), "roots": list(roots), "host": shown.host, "now": seconds});
    ask(oracle, "chain", &question).map(|_| ())
}

#[test]
fn chains() {
    let (mut random, oracle) = (Random::of("chains"), Arc::new(Mutex::new(Oracle::start())));
    let keys = Keys::make(&oracle);
    let now = SystemTime::now();
    let seconds = now.duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
    let mut diff = DiffReport::new("certificate chains", CLASSES);
    for _ in 0..count() {
        let input = draw(&mut random, &keys);
        let theirs = theirs(&oracle, &input, &input.chain, &input.roots, seconds);
        diff.hold(&Case { ours: ours(&input, &Pins::None, now), theirs, input });
    }
    diff.finish();
}
