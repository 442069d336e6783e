//! The trust decision: signatures, pins, and all of what is made of a cluster-info.

use std::time::SystemTime;

use nodestrap::testing::error::ErrorKind::{Clock, NotPublished, NotTrusted, Usage};
use nodestrap::testing::trust::{self, ClusterInfo, Pin, Pins, Token, UnverifiedClusterInfo};
use serde_json::{Value, json};

use super::ca_bundles::Bundles;
use super::corruption::Corruption;
use super::diff_report::{Case, Class, DiffReport, Refusal};
use super::oracle::{Oracle, bytes, given_bytes, given_text};
use super::random::{Random, count};
use super::yaml;
use crate::support::api::jws;

/// A cluster-info, and what it is judged by.
#[derive(Debug)]
pub struct Published {
    pub data: Value,
    pub token: String,
    pub pins: Vec<String>,
}

/// Server and CAs.
pub type Cluster = (String, String);

/// What is refused in a cluster-info that kubeadm takes, or finds out later.
pub const CLASSES: &[Class<Published, Cluster>] = &[
    Class {
        name: "a server that is no https:// URL",
        reason: "kubeadm notices when it dials it",
        explains: |case| case.stricter(NotTrusted, "its server is not an https:// URL"),
    },
    Class {
        name: "a certificate that is not pinned, in a file",
        reason: "no server vouches for it, and all of them become the kubelet's clientCAFile; kubeadm asks a server",
        explains: |case| case.stricter(NotTrusted, "pin each key that is the cluster's"),
    },
    Class {
        name: "no valid CA",
        reason: "kubeadm notices when it verifies a chain; here nothing else is tried before the clock is right",
        explains: |case| case.stricter(NotTrusted, "that may sign") || case.stricter(Clock, "set the clock"),
    },
    Class {
        name: "other PEM blocks than certificates",
        reason: "a bundle that holds a key or a list of revocations was put together by mistake",
        explains: |case| case.stricter(NotTrusted, "other PEM blocks than certificates"),
    },
    Class {
        name: "a malformed certificate",
        reason: "DER is read strictly here",
        explains: |case| case.stricter(NotTrusted, "malformed certificate"),
    },
    Class {
        name: "PEM in another form",
        reason: "Go skips what it does not understand, down to a torn block",
        explains: |case| case.stricter(NotTrusted, "CA data is not valid PEM"),
    },
    Class {
        name: "a key that lies on no curve",
        reason: "curve and point are looked at when a signature is checked, and no chain verifies by it",
        explains: |case| case.laxer("not on curve") || case.laxer("invalid ECDSA parameters"),
    },
    Class {
        name: "a cluster of another name",
        reason: "the only cluster is meant, whatever its name; kubeadm wants it to be nameless or current",
        explains: |case| case.laxer("the current context is invalid") || case.laxer("no matching cluster"),
    },
    Class {
        name: "YAML that means nothing in JSON",
        reason: "anchors, tags, merge keys, a key that stands twice: refused instead of interpreted",
        explains: |case| yaml::MEANINGLESS.iter().any(|words| case.stricter(NotTrusted, words)),
    },
    Class {
        name: "YAML 1.1's numbers and switches",
        reason: "0x1F, 1_000 and yes are texts in YAML 1.2; no name and no token becomes something else by them",
        explains: |case| {
            let words = ["cannot unmarshal number", "cannot unmarshal bool", "unsupported value"];
            words.iter().any(|words| case.laxer(words))
        },
    },
    Class {
        name: "YAML that one of the parsers does not read",
        reason: "YAML 1.2 here, 1.1 there; neither text is one that Kubernetes writes",
        explains: |case| {
            case.stricter(NotTrusted, "syntax error")
                || ["error converting YAML to JSON", "unsupported map key", "yaml: line"]
                    .iter()
                    .any(|words| case.laxer(words))
        },
    },
];

/// nodestrap's decision.
pub fn decide(published: &Published, now: SystemTime) -> Result<Cluster, Refusal> {
    let text = json!({"data": published.data}).to_string();
    let token = Token::parse(&published.token).ok_or("no token")?;
    let info = ClusterInfo::from_text(&text, token.id()).map_err(|e| e.to_string())?;
    let pins: Option<Vec<Pin>> = published.pins.iter().map(|pin| Pin::parse(pin)).collect();
    let pins = pins.ok_or("no pin")?;
    let pins = if pins.is_empty() { Pins::None } else { Pins::AnyCa(pins) };
    let cluster = UnverifiedClusterInfo { info, token, pins }.verify(now)?;
    Ok((cluster.server().as_str().to_owned(), String::from_utf8_lossy(cluster.ca().pem()).into_owned()))
}

/// kubeadm's decision.
pub fn discover(oracle: &mut Oracle, published: &Published) -> Result<Cluster, String> {
    let input = json!({"data": published.data, "token": published.token, "pins": published.pins});
    let value = oracle.ask("discover", &input)?;
    Ok((given_text(&value["server"]), String::from_utf8_lossy(&given_bytes(&value["ca"])).into_owned()))
}

/// Most are right, or wrong in one way.
pub fn draw(random: &mut Random, bundles: &Bundles) -> Published {
    let token = random.token();
    let (pem, mut pins) = bundles.draw(random);
    let server = random.pick(&[
        "https://10.0.0.1:6443",
        "https://api.example:6443/",
        "https://[fd00::1]:6443",
        "http://h:1",
        "",
    ]);
    let server = if random.once_in(8) { server } else { "https://api.example:6443" };
    let mut kubeconfig = jws::kubeconfig(&String::from_utf8_lossy(&pem), server);
    match random.below(12) {
        0 => kubeconfig = kubeconfig.replace("name: \"\"", "name: other"),
        1 => kubeconfig = Corruption::yaml(random, &kubeconfig),
        2 => kubeconfig = random.slips(&kubeconfig),
        _ => {}
    }
    let signer = if random.once_in(12) { random.token() } else { token.clone() };
    let mut signature = jws::sign(&signer, &kubeconfig);
    if random.once_in(12) {
        signature = random.slips(&signature);
    }
    match random.below(8) {
        0 => kubeconfig = random.slips(&kubeconfig),
        1 => pins = vec![format!("sha256:{}", random.text("0123456789abcdef", 64))],
        2 => pins.push(format!("SHA256:{}", random.text("0123456789abcdefABCDEF", 64))),
        3 => pins.clear(),
        _ => {}
    }
    let id = if random.once_in(20) { "fedcba" } else { &token[..6] };
    let mut data = json!({"kubeconfig": kubeconfig});
    data[format!("jws-kubeconfig-{id}")] = signature.into();
    if random.once_in(30) {
        data["kubeconfig"] = "".into();
    }
    Published { data, token, pins }
}

#[test]
fn cluster_infos() {
    let (mut random, mut oracle) = (Random::of("cluster-infos"), Oracle::start());
    let bundles = Bundles::make(&mut random);
    let mut diff = DiffReport::new("cluster-infos", CLASSES);
    for _ in 0..count() {
        let input = draw(&mut random, &bundles);
        let (ours, theirs) = (decide(&input, SystemTime::now()), discover(&mut oracle, &input));
        diff.hold(&Case { ours, theirs, input });
    }
    diff.finish();
}

#[test]
fn signatures() {
    let (mut random, mut oracle) = (Random::of("signatures"), Oracle::start());
    let mut diff = DiffReport::<_, bool>::new("signatures", &[]);
    for _ in 0..count() {
        let token = random.token();
        let length = random.below(300);
        let content = random.text("ab \n:\u{e4}\u{1f600}\"{}\u{0}", length) + "x";
        let (id, secret) = token.split_once('.').expect("a token");
        // Theirs, whole, and changed in any way.
        let input = json!({"content": content, "id": id, "secret": secret});
        let right = given_text(&oracle.ask("sign", &input).expect("a signature"));
        let signature = match random.below(4) {
            0 => right.clone(),
            1 => jws::sign(&random.token(), &content),
            2 => jws::with_header(&random.slips(&jws::header(id)), secret, &content),
            _ => random.slips(&right),
        };
        let input = json!({"content": content, "id": id, "secret": secret, "signature": signature});
        let theirs = oracle.ask("is signed", &input).map(|value| value == json!(true));
        let mut data = json!({"kubeconfig": content});
        data[format!("jws-kubeconfig-{id}")] = signature.clone().into();
        let ours =
            match decide(&Published { data, token: token.clone(), pins: Vec::new() }, SystemTime::now()) {
                Err(Refusal { kind: Some(NotPublished), .. }) => Ok(false),
                Err(error) if error.words.contains("does not match the secret of token") => Ok(false),
                // What is signed is no kubeconfig.
                Err(_) | Ok(_) => Ok(true),
            };
        diff.hold(&Case { input: (token, content, signature), ours, theirs });
    }
    diff.finish();
}

/// What is a bundle of CAs here and not to Kubernetes, or the other way round.
pub const HASHES: &[Class<String, Vec<String>>] = &[
    Class {
        name: "PEM in another form",
        reason: "Go skips what it does not understand, down to a torn block",
        explains: |case| case.stricter(Usage, "not valid PEM"),
    },
    Class {
        name: "other PEM blocks than certificates",
        reason: "a bundle that holds a key or a list of revocations was put together by mistake",
        explains: |case| case.stricter(Usage, "other PEM blocks than certificates"),
    },
    Class {
        name: "DER that only Go takes",
        reason: "strict DER here: Go leaves some fields unread",
        explains: |case| case.stricter(Usage, "malformed certificate"),
    },
    Class {
        name: "DER that only nodestrap takes",
        reason: "what a pin needs is read here; webpki reads the rest before a certificate becomes a root",
        explains: |case| case.ours.is_ok() && !case.laxer("any valid RSA or ECDSA certificates"),
    },
];

#[test]
fn hashes_of_certificates() {
    let (mut random, mut oracle) = (Random::of("hashes"), Oracle::start());
    let bundles = Bundles::make(&mut random);
    let mut diff = DiffReport::<String, _>::new("hashes of certificates", HASHES);
    for _ in 0..count() {
        let (pem, _) = bundles.draw(&mut random);
        let input = if random.once_in(2) { Corruption::pem(&mut random, &pem) } else { pem };
        let ours =
            trust::CaBundle::from_pem(input.clone()).map(|bundle| bundle.pins()).map_err(Refusal::from);
        let theirs = oracle
            .ask("hashes", &bytes(&input))
            .map(|value| value.as_array().expect("a list").iter().map(given_text).collect());
        let input = String::from_utf8_lossy(&input).into_owned();
        diff.hold(&Case { ours, theirs, input });
    }
    diff.finish();
}
