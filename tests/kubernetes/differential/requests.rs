//! The object that lies under the name of a node's request already: whether the kubelet resumes it, and nodestrap.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use nodestrap::testing::clock::Deadline;
use nodestrap::testing::csr::{CertificateRequest, CertificateTemplate, Exchange, Progress};
use nodestrap::testing::error::ErrorKind::{Clock, Denied, NotTrusted, Pending};
use nodestrap::testing::http::Proxies;
use nodestrap::testing::key::Key;
use nodestrap::testing::node_name::NodeName;
use serde_json::{Value, json};

use super::corruption::Corruption;
use super::diff_report::{Case, Class, DiffReport, Refusal};
use super::network::{Trusted, system};
use super::oracle::{Oracle, bytes, given_bytes};
use super::random::{Random, count};
use crate::support::pki::{Authority, DAY, valid};

/// What was found, and what is odd about it.
#[derive(Debug)]
struct Found {
    traits: Vec<&'static str>,
    spec: Value,
    status: Value,
}

impl Found {
    fn has(&self, name: &str) -> bool {
        self.traits.contains(&name)
    }
}

const CLASSES: &[Class<Found, ()>] = &[
    Class {
        name: "other usages or hosts, or no signer",
        reason: "the name is a digest of usages too, and a certificate for something else would be refused when it comes",
        explains: |case| {
            let is_other = ["usages", "hosts", "no signer"].iter().any(|name| case.input.has(name));
            is_other && case.stricter(Denied, "differs from this node's request")
        },
    },
    Class {
        name: "a certificate that is of no use",
        reason: "the kubelet finds out when it starts from it",
        explains: |case| {
            case.input.has("certificate") && case.stricter(NotTrusted, "the certificate issued for")
        },
    },
    Class {
        name: "a certificate whose time has not come",
        reason: "the kubelet finds out when it starts from it; here the clock is waited for",
        explains: |case| case.input.has("out of time") && case.stricter(Clock, "set the clock"),
    },
    Class {
        name: "DER that only nodestrap reads",
        reason: "what tells whose it is is read, and a signature is held against the node's own key; no API server keeps the rest",
        explains: |case| {
            let is_damaged = case.input.has("damage") || case.input.has("certificate");
            is_damaged && ["x509: ", "asn1: "].iter().any(|words| case.laxer(words))
        },
    },
    Class {
        name: "PEM or DER in another form",
        reason: "Go skips what it does not understand",
        explains: |case| {
            case.input.has("damage") && case.stricter(Denied, "differs from this node's request")
        },
    },
];

/// This node's key and request, and what others are made with.
struct Own {
    authority: Authority,
    key: Key,
    other: Key,
    request: CertificateRequest,
}

/// A request that Go has made, and what became of it: the certificate is for `posted`, this node's own.
fn draw(random: &mut Random, oracle: &mut Oracle, own: &Own, posted: &Value) -> Found {
    let mut traits = Vec::new();
    let mut odd = |random: &mut Random, name| {
        let is = random.once_in(10);
        if is {
            traits.push(name);
        }
        is
    };
    let key = if odd(random, "another's key") { &own.other } else { &own.key };
    let common_name = if odd(random, "another name") {
        random.pick(&["system:node:n2", "system:node:N1", "system:node:n1 ", "n1", ""])
    } else {
        "system:node:n1"
    };
    let organization = if odd(random, "another organization") {
        [json!([]), json!(["system:masters"]), json!(["system:nodes", "x"])][random.below(3)].clone()
    } else {
        json!(["system:nodes"])
    };
    let hosts = if odd(random, "hosts") { json!(["n1"]) } else { json!([]) };
    let input = json!({"key": bytes(key.pem().expose()), "organization": organization, "commonName": common_name, "hosts": hosts});
    let mut request = given_bytes(&oracle.ask("request", &input).expect("a request"));
    if odd(random, "damage") {
        request = Corruption::pem(random, &request);
    }
    let signer = if odd(random, "no signer") { "" } else { "kubernetes.io/kube-apiserver-client-kubelet" };
    let signer = if odd(random, "another signer") { "kubernetes.io/kubelet-serving" } else { signer };
    let usages = if odd(random, "usages") {
        let all = [
            json!([]),
            json!(["client auth", "digital signature"]),
            json!(["digital signature", "key encipherment", "client auth"]),
        ];
        all[random.below(all.len())].clone()
    } else {
        json!(["digital signature", "client auth"])
    };
    let mut status = json!({});
    if random.once_in(2) {
        let posted = String::from_utf8(given_bytes(&posted["spec"]["request"])).expect("PEM");
        let mut certificate = own.authority.sign_with(&posted, |request| {
            if odd(random, "out of time") {
                let (from, until) = if random.once_in(2) { (-20 * DAY, -DAY) } else { (DAY, 20 * DAY) };
                valid(&mut request.params, from, until);
            }
        });
        match random.below(8) {
            0 => certificate += &own.authority.pem(),
            1 => certificate += &Authority::with("old", |params| valid(params, -20 * DAY, -DAY)).pem(),
            2 => {
                traits.push("certificate");
                certificate =
                    String::from_utf8_lossy(&Corruption::pem(random, certificate.as_bytes())).into_owned();
            }
            3 => {
                traits.push("certificate");
                certificate = own.authority.client("system:nodes", "system:node:n1").0;
            }
            _ => {}
        }
        status = json!({
            "certificate": BASE64_STANDARD.encode(certificate), "conditions": [{"type": "Approved", "status": "True"}],
        });
    }
    let spec = json!({"request": BASE64_STANDARD.encode(request), "signerName": signer, "usages": usages});
    Found { traits, spec, status }
}

/// Posts its own, is told that there is one, and judges that one. With its own `spec`, as it was posted.
fn ours(own: &Own, found: &Found, server: &Trusted) -> (Result<(), Refusal>, Value) {
    let name = own.request.name().to_owned();
    let list = json!({
        "metadata": {"resourceVersion": "2"},
        "items": [{"metadata": {"name": name, "uid": "u"}, "spec": found.spec, "status": found.status}],
    });
    let posted = Arc::new(Mutex::new(Value::Null));
    let heard = posted.clone();
    let network = server.answering(move |method, _, body| {
        if method == "POST" {
            *heard.lock().unwrap() = serde_json::from_slice(body).expect("JSON");
            return (409, String::new());
        }
        (200, list.to_string())
    });
    let system = system(SystemTime::now(), Arc::new(network), Proxies::default());
    let api = server.dial(&system).expect("a connection");
    let deadline = Deadline::after(&*system.clock, Duration::from_secs(1));
    let mut exchange = Exchange::new(&api, None, &own.request, &*system.clock, deadline).no_wait();
    let outcome = loop {
        match exchange.advance() {
            Progress::Issued(_) => break Ok(()),
            // Resumed, and nobody has decided yet.
            Progress::Failed { error, .. } if error.kind() == Pending => break Ok(()),
            Progress::Unusable { error, .. } | Progress::Failed { error, .. } => break Err(error.into()),
            Progress::Retry { delay, .. } => system.clock.sleep(delay),
            _ => {}
        }
    };
    let posted = posted.lock().unwrap().take();
    (outcome, posted)
}

#[test]
fn requests_that_are_there_already() {
    let (mut random, mut oracle) = (Random::of("requests"), Oracle::start());
    let (key, node) = (Key::generate().expect("a key"), NodeName::new("n1").expect("a name"));
    let request = CertificateRequest::new(&key, &CertificateTemplate::client(&node)).expect("a request");
    let other = Key::generate().expect("a key");
    let own = Own { authority: Authority::new("kubernetes"), key, other, request };
    let server = Trusted::new();
    let nothing = Found { traits: Vec::new(), spec: json!({}), status: json!({}) };
    let (_, posted) = ours(&own, &nothing, &server);
    let mut diff = DiffReport::new("requests that are there already", CLASSES);
    for _ in 0..count() / 2 {
        let input = draw(&mut random, &mut oracle, &own, &posted);
        let (ours, posted) = ours(&own, &input, &server);
        let question = json!({
            "found": {"spec": input.spec, "status": input.status}, "own": posted,
            "key": bytes(own.key.pem().expose()),
        });
        let theirs = oracle.ask("takes up", &question).map(|_| ());
        diff.hold(&Case { ours, theirs, input });
    }
    diff.finish();
}
