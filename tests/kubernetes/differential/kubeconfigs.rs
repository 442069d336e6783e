//! Kubeconfigs with credentials: what a discovery file means to kubeadm, and a bootstrap kubeconfig to the kubelet.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use nodestrap::testing::cli::{Invocation, SettingSources};
use nodestrap::testing::clock::Deadline;
use nodestrap::testing::config::Command;
use nodestrap::testing::discovery::Method;
use nodestrap::testing::error::ErrorKind::Usage;
use nodestrap::testing::input::Wait;
use nodestrap::testing::limits::DISCOVERY as LIMIT;
use serde_json::{Value, json};

use super::ca_bundles::Bundles;
use super::corruption::Corruption;
use super::diff_report::{Case, Class, DiffReport, Refusal, refused};
use super::oracle::{Oracle, given_bytes, given_text};
use super::random::{Random, count};
use super::yaml;
use crate::support::scratch::Scratch;

/// What a kubeconfig leads to.
#[derive(Debug, PartialEq)]
struct Known {
    server: String,
    token: String,
    /// The DER of the client's certificates, and of its key.
    pair: Vec<Vec<u8>>,
    ca: String,
}

const CLASSES: &[Class<String, Known>] = &[
    refused!(
        "a server that is no https:// URL",
        "it is noticed when it is dialled",
        Usage,
        "its server is not an https:// URL"
    ),
    refused!(
        "no CA",
        "kubeadm would ask a server that the machine's own public roots vouch for",
        Usage,
        "no certificate authority"
    ),
    refused!(
        "something else than certificates, or PEM in another form",
        "Go skips what it does not understand",
        Usage,
        "other PEM blocks than certificates",
        "CA data is not valid PEM",
        "malformed certificate",
        "0 certificates"
    ),
    refused!(
        "exec, auth-provider, Basic authentication, impersonation",
        "programs are not run, and the rest makes no certificate request",
        Usage,
        "of its user is not supported"
    ),
    refused!(
        "a proxy or another name for the server",
        "HTTPS_PROXY says the one; a certificate that does not name its server the other",
        Usage,
        "is not supported"
    ),
    refused!("no verification", "never", Usage, "insecure-skip-tls-verify"),
    refused!(
        "a token that no header can carry",
        "Go would find out with the first request",
        Usage,
        "its token has characters"
    ),
    refused!(
        "no credentials",
        "nothing could be requested with it",
        Usage,
        "no bearer token and no client certificate"
    ),
    refused!(
        "a client certificate that is of no use",
        "keys on P-256 in SEC 1 form only; a pair that is none is said before it is shown to a server",
        Usage,
        "client certificate",
        "client key"
    ),
    refused!("base64 in another form", "Go leaves bits unread", Usage, "base64"),
    Class {
        name: "YAML that means nothing in JSON",
        reason: "anchors, tags, merge keys, a key that stands twice: refused instead of interpreted",
        explains: |case| yaml::MEANINGLESS.iter().any(|words| case.stricter(Usage, words)),
    },
    refused!("YAML 1.2 only", "the text is YAML 1.1 alone", Usage, "syntax error"),
    refused!(
        "several clusters",
        "one of them has to be meant, as clientcmd has it",
        Usage,
        "no current cluster"
    ),
    Class {
        name: "a cluster of another name",
        reason: "the only cluster is meant, whatever its name; kubeadm wants it to be nameless or current",
        explains: |case| case.laxer("current context is invalid") || case.laxer("no matching cluster"),
    },
    Class {
        name: "a fault in a part that is not used",
        reason: "kubeadm looks at all clusters, contexts and users of the file; here what leads to the cluster counts",
        explains: |case| {
            let times = |word: &str| case.input.matches(word).count();
            // A user stands in the context and in the list, with its key and its name.
            let is_several = times("server") > 1 || times("user") > 3;
            case.laxer("invalid configuration")
                || is_several
                    && ["illegal base64", "failed to create API client"].iter().any(|words| case.laxer(words))
        },
    },
    Class {
        name: "another type in a field that is not read",
        reason: "what nodestrap does not use it does not judge",
        explains: |case| case.laxer("cannot unmarshal") || case.laxer("unsupported value"),
    },
    Class {
        name: "YAML that only nodestrap reads",
        reason: "the text is YAML 1.2 alone",
        explains: |case| {
            ["yaml: ", "error converting YAML", "unsupported map key"].iter().any(|words| case.laxer(words))
        },
    },
    Class {
        name: "DER that only nodestrap reads",
        reason: "what a pin needs is read; webpki reads the rest of a root, and a point when it checks a signature",
        explains: |case| case.laxer("not on curve") || case.laxer("x509: "),
    },
    Class {
        name: "relative names of files",
        reason: "they are relative to the file, as clientcmd has it; kubeadm takes them for relative to where it runs",
        explains: |case| case.laxer("no such file or directory"),
    },
    Class {
        name: "a token beside a token's file",
        reason: "kubeadm leaves both in the file that it writes, and the kubelet takes the file's; so here",
        explains: |case| {
            case.stricter(Usage, "its tokenFile: the given file (not shown: it may be a secret): not found")
                || case.input.contains("tokenFile")
                    && case.ours.as_ref().ok().zip(case.theirs.as_ref().ok()).is_some_and(|(ours, theirs)| {
                        ours.server == theirs.server && ours.ca == theirs.ca && ours.pair == theirs.pair
                    })
        },
    },
];

fn cluster(random: &mut Random, bundles: &Bundles) -> Value {
    let (pem, _) = bundles.draw(random);
    let pem = if random.once_in(3) { pem } else { bundles.good(random).pem().into_bytes() };
    let mut cluster = json!({
        "server": random.pick(&["https://api.example:6443", "https://10.0.0.1:6443", "https://api.example:6443", "https://[fd00::1]/k8s"]),
        "certificate-authority-data": if random.once_in(6) { Corruption::base64(random, &pem) } else { BASE64_STANDARD.encode(&pem) },
    });
    let mut change = |field: &str, value: Value| cluster[field] = value;
    match random.below(30) {
        0 => change("certificate-authority-data", Value::Null),
        1 | 2 => {
            change("certificate-authority-data", Value::Null);
            change("certificate-authority", random.pick(&["ca.crt", "./ca.crt", "missing.crt"]).into());
        }
        3 => change("certificate-authority", "ca.crt".into()),
        4 => change(
            "insecure-skip-tls-verify",
            [json!(true), json!(false), json!("true")][random.below(3)].clone(),
        ),
        5 => change("tls-server-name", random.pick(&["", "other.example"]).into()),
        6 => change("proxy-url", random.pick(&["", "http://proxy:3128", "bad://x"]).into()),
        7 => change("extensions", json!([{"name": "e", "extension": {"a": [1, null]}}])),
        8 => {
            change(
                "server",
                [json!(""), Value::Null, json!("http://h:1"), json!(1)][random.below(4)].clone(),
            );
        }
        9 => change("unknown", json!({"a": 1})),
        10 => change("disable-compression", json!(true)),
        _ => {}
    }
    cluster
}

fn user(random: &mut Random, pair: &(String, String)) -> Value {
    let mut user = json!({});
    let data = |text: &str| Value::from(BASE64_STANDARD.encode(text));
    match random.below(6) {
        0 => {
            user["client-certificate-data"] = data(&pair.0);
            user["client-key-data"] = data(&pair.1);
        }
        1 => {
            user["client-certificate"] = "client.crt".into();
            user["client-key"] =
                random.pick(&["client.key", "client.key", "other.key", "missing.key"]).into();
        }
        2 => user["tokenFile"] = random.pick(&["token", "token", "missing"]).into(),
        _ => user["token"] = random.token().into(),
    }
    let odd = match random.below(30) {
        0 => ("token", random.token().into()),
        1 => ("token", json!(123_456)),
        2 => ("username", "admin".into()),
        3 => (
            "exec",
            json!({"command": "aws", "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}),
        ),
        4 => ("as", "other".into()),
        5 => ("tokenFile", "token".into()),
        6 => ("client-key-data", data(&pair.1)),
        7 => ("client-certificate", "client.crt".into()),
        8 => ("auth-provider", json!({"name": "gcp"})),
        9 => ("as-groups", [json!([]), Value::Null, json!(["g"]), json!([null])][random.below(4)].clone()),
        10 => ("extensions", [Value::Null, json!([])][random.below(2)].clone()),
        11 => ("as-user-extra", [json!({}), Value::Null, json!({"a": []})][random.below(3)].clone()),
        12 => (random.pick(&["as", "as-uid", "username", "password", "client-key"]), json!("")),
        13 => (
            random.pick(&["exec", "auth-provider", "as", "username", "client-certificate-data"]),
            Value::Null,
        ),
        14 => (random.pick(&["exec", "auth-provider"]), json!({})),
        _ => return user,
    };
    user[odd.0] = odd.1;
    user
}

/// A text, whose relative names lead to files beside it.
fn draw(random: &mut Random, bundles: &Bundles, pair: &(String, String)) -> String {
    let name = random.pick(&["kubernetes", "kubernetes", "", "a b", "1", "yes", "x@y"]);
    let mut config = json!({
        "apiVersion": "v1", "kind": "Config", "preferences": {},
        "clusters": [{"name": name, "cluster": cluster(random, bundles)}],
        "users": [{"name": "u", "user": user(random, pair)}],
        "contexts": [{"name": "c", "context": {"cluster": name, "user": "u"}}],
        "current-context": "c",
    });
    match random.below(40) {
        0 => config["kind"] = [json!("Secret"), Value::Null, json!("")][random.below(3)].clone(),
        1 => config["apiVersion"] = [json!("v2"), Value::Null, json!("")][random.below(3)].clone(),
        2 => config["current-context"] = [json!("other"), Value::Null, json!("")][random.below(3)].clone(),
        3 => config["contexts"] = Value::Null,
        4 => config["users"] = json!([]),
        5 | 6 => {
            let other =
                json!({"name": random.pick(&["other", "", name]), "cluster": cluster(random, bundles)});
            config["clusters"].as_array_mut().expect("a list").push(other);
        }
        7 => {
            let other = json!({"name": random.pick(&["u", "v", ""]), "user": user(random, pair)});
            config["users"].as_array_mut().expect("a list").push(other);
        }
        8 => config["clusters"] = json!([{"cluster": cluster(random, bundles)}]),
        9 => config["clusters"] = json!({"a": cluster(random, bundles)}),
        10 => config["users"] = json!([{"name": "u"}]),
        11 => config["contexts"][0]["context"]["user"] = json!("missing"),
        12 => config["contexts"][0]["context"]["namespace"] = json!("default"),
        13 => config["unknown"] = json!([1, "a"]),
        _ => {}
    }
    yaml::with_a_null(random, &mut config);
    let text = yaml::write(random, &config);
    match random.below(8) {
        0 => Corruption::yaml(random, &text),
        1 => random.slips(&text),
        _ => text,
    }
}

/// Certificates and key, as DER: each side writes PEM in its own way.
fn blocks(text: &[u8], tag: &str) -> Vec<Vec<u8>> {
    let blocks = pem::parse_many(text).unwrap_or_default().into_iter();
    blocks.filter(|block| block.tag().contains(tag)).map(pem::Pem::into_contents).collect()
}

fn ours(flag: &str, path: &Path) -> Result<Known, Refusal> {
    let mut invocation = Invocation::default();
    let arguments = ["join".into(), flag.into(), path.into()];
    let surroundings = SettingSources::default();
    invocation.read(arguments, &surroundings)?;
    let Command::Join(join) = Command::of(&invocation)? else { panic!("a join") };
    let wait = Wait { clock: surroundings.clock.clone(), deadline: Deadline::at(LIMIT) };
    let Method::Static(given) = join.method.get(wait)? else { panic!("a given cluster") };
    let user = given.credentials.embedded();
    let pair = user.pair.map_or(Vec::new(), |(certificate, key)| {
        [blocks(certificate.as_bytes(), "CERTIFICATE"), blocks(key.as_bytes(), "KEY")].concat()
    });
    Ok(Known {
        server: given.server.as_str().to_owned(),
        ca: String::from_utf8_lossy(given.ca.pem()).into_owned(),
        token: user.token.unwrap_or_default().to_owned(),
        pair,
    })
}

fn theirs(oracle: &mut Oracle, question: &str, path: &Path) -> Result<Known, String> {
    let value = oracle.ask(question, &json!(path))?;
    let (certificate, key) = (given_bytes(&value["certificate"]), given_bytes(&value["key"]));
    Ok(Known {
        server: given_text(&value["server"]),
        ca: String::from_utf8_lossy(&given_bytes(&value["ca"])).into_owned(),
        token: given_text(&value["token"]).trim().to_owned(),
        pair: [blocks(&certificate, "CERTIFICATE"), blocks(&key, "KEY")].concat(),
    })
}

fn compare(name: &'static str, flag: &str, question: &str) {
    let (mut random, mut oracle) = (Random::of(name), Oracle::start());
    let bundles = Bundles::make(&mut random);
    let pair = bundles.good(&mut random).client("system:bootstrappers", "image");
    let folder = Scratch::new();
    for (name, content) in [
        ("ca.crt", bundles.good(&mut random).pem()),
        ("token", random.token() + "\n"),
        ("client.crt", pair.0.clone()),
        ("client.key", pair.1.clone()),
        ("other.key", bundles.good(&mut random).client("o", "other").1),
    ] {
        fs::write(folder.path().join(name), content).expect("a file");
    }
    let path = folder.path().join("kubeconfig");
    let mut diff = DiffReport::new(name, CLASSES);
    for _ in 0..count() {
        let input = draw(&mut random, &bundles, &pair);
        fs::write(&path, &input).expect("a file");
        diff.hold(&Case { ours: ours(flag, &path), theirs: theirs(&mut oracle, question, &path), input });
    }
    diff.finish();
}

#[test]
fn discovery_files() {
    compare("discovery files", "--discovery-file", "discovery file");
}

#[test]
fn bootstrap_kubeconfigs() {
    compare("bootstrap kubeconfigs", "--bootstrap-kubeconfig", "kubeconfig");
}
