//! JoinConfigurations, as kubeadm reads, defaults and validates them. v1beta3 is gone from kubeadm 1.37, and still read
//! here: there the last kubeadm that reads it answers.

use std::fs;

use nodestrap::testing::cli::{Invocation, SettingSources};
use nodestrap::testing::clock::Deadline;
use nodestrap::testing::config::Command;
use nodestrap::testing::discovery::Method;
use nodestrap::testing::error::ErrorKind::Usage;
use nodestrap::testing::http::Endpoint;
use nodestrap::testing::input::Wait;
use nodestrap::testing::limits::DISCOVERY as LIMIT;
use nodestrap::testing::secret::Secret;
use serde_json::{Value, json};

use super::ca_bundles::Bundles;
use super::corruption::Corruption;
use super::diff_report::{Case, Class, DiffReport, Refusal, refused};
use super::oracle::{Oracle, given_text};
use super::random::{Random, count};
use super::yaml;
use crate::support::api::jws;
use crate::support::scratch::Scratch;

/// What a configuration says, under one name for both.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    endpoint: String,
    token: String,
    file: bool,
    pins: usize,
    name: String,
    taints: Vec<String>,
    arguments: Vec<String>,
    cri_socket: String,
    ca: String,
    dry_run: bool,
    timeouts: [u64; 2],
    /// Whether there are fields that nobody knows.
    unknown: bool,
}

const CLASSES: &[Class<String, Said>] = &[
    refused!(
        "an endpoint that nobody could dial",
        "kubeadm looks for a colon",
        Usage,
        "invalid API server address"
    ),
    refused!(
        "durations of nothing or less",
        "kubeadm would give up at once",
        Usage,
        "expects a duration such as"
    ),
    refused!(
        "a path for the CA in odd characters",
        "it is written into files that others read",
        Usage,
        "--ca-cert-path (NODESTRAP_CONFIG) expects"
    ),
    refused!(
        "an argument or a taint that no kubelet takes",
        "kubeadm writes it, and the kubelet does not start",
        Usage,
        "--taint (NODESTRAP_CONFIG) expects",
        "--kubelet-extra-arg (NODESTRAP_CONFIG) expects",
        "--cri-socket (NODESTRAP_CONFIG) expects",
        "not a list of names and values"
    ),
    refused!(
        "places of the kubelet's files",
        "they are written there, so they have to be places of their own",
        Usage,
        "expects an absolute path",
        "paths overlap"
    ),
    refused!(
        "the name of every machine, or none",
        "two machines of one name would share one Node",
        Usage,
        "node name"
    ),
    Class {
        name: "YAML that means nothing in JSON",
        reason: "anchors, tags, merge keys, a key that stands twice: refused instead of interpreted",
        explains: |case| yaml::MEANINGLESS.iter().any(|words| case.stricter(Usage, words)),
    },
    refused!("YAML 1.2 only", "the text is YAML 1.1 alone", Usage, "syntax error"),
    Class {
        name: "YAML that only nodestrap reads, and documents that hold nothing",
        reason: "the text is YAML 1.2 alone",
        explains: |case| {
            let words = [
                "yaml: ",
                "error converting YAML",
                "json parse error",
                "unsupported map key",
                "invalid Yaml document separator",
                "kind and apiVersion is mandatory",
            ];
            words.iter().any(|words| case.laxer(words))
        },
    },
    refused!(
        "a field in letters of another case",
        "kubeadm passes over the case of kind and apiVersion only; a field is spelt as it is",
        Usage,
        "unknown apiVersion of the JoinConfiguration",
        "no JoinConfiguration found"
    ),
    Class {
        name: "a name that the kubelet's argument overrides",
        reason: "hostname-override is the node's name; the other one is not looked at",
        explains: |case| {
            case.input.contains("hostname-override") && case.laxer("nodeRegistration.name: Invalid value")
        },
    },
    Class {
        name: "the ending of the CA's file",
        reason: "kubeadm wants .crt, and no kubelet does",
        explains: |case| case.laxer("caCertPath: Invalid value"),
    },
    Class {
        name: "an unknown field in a part that is not read",
        reason: "patches, and what belongs to them, are kubeadm's",
        explains: |case| {
            let known = |said: &Said| Said { unknown: false, ..said.clone() };
            matches!((&case.ours, &case.theirs), (Ok(ours), Ok(theirs)) if !ours.unknown && *ours == known(theirs))
        },
    },
    Class {
        name: "another type in a field that is not read",
        reason: "what nodestrap does not use it does not judge",
        explains: |case| {
            ["cannot unmarshal", "invalid pull policy", "time: "].iter().any(|words| case.laxer(words))
        },
    },
];

fn odd<'a>(random: &mut Random, usual: &'a str, odd: &[&'a str]) -> Value {
    if random.once_in(12) { random.pick(odd).into() } else { usual.into() }
}

fn draw(random: &mut Random, file: &str) -> String {
    let version = if random.once_in(3) { "v1beta3" } else { "v1beta4" };
    let token = random.token();
    let bootstrap = json!({
        "apiServerEndpoint": odd(random, "api.example:6443", &["10.0.0.1:6443", "api.example:6443/", "[fd00::1]:6443", "h", "", "https://h:1", "h:0", "H:1"]),
        "token": odd(random, &token, &["", "abcdef", "ABCDEF.0123456789abcdef"]),
    });
    let mut discovery = if random.once_in(5) {
        json!({"file": {"kubeConfigPath": odd(random, file, &["/missing", "", "https://h/x", "http://h/x"])}})
    } else {
        json!({"bootstrapToken": bootstrap})
    };
    if discovery["bootstrapToken"].is_object() {
        let pin = format!("sha256:{}", random.text("0123456789abcdef", 64));
        match random.below(10) {
            0 => {}
            1 => {
                discovery["bootstrapToken"]["unsafeSkipCAVerification"] =
                    [json!(true), json!(false), json!("true")][random.below(3)].clone();
            }
            2 => discovery["bootstrapToken"]["caCertHashes"] = json!([pin, "sha256:00"]),
            3 => discovery["bootstrapToken"]["caCertHashes"] = json!([]),
            _ => discovery["bootstrapToken"]["caCertHashes"] = json!([pin]),
        }
        if discovery["bootstrapToken"]["caCertHashes"].is_null() {
            discovery["bootstrapToken"].as_object_mut().expect("a map").remove("caCertHashes");
        }
    }
    if random.once_in(6) {
        discovery["tlsBootstrapToken"] = random.token().into();
    }
    let mut config = json!({
        "apiVersion": format!("kubeadm.k8s.io/{version}"), "kind": "JoinConfiguration",
        "discovery": discovery, "nodeRegistration": registration(random, version),
    });
    if version == "v1beta4" && random.once_in(3) {
        let time = |random: &mut Random| odd(random, "2m30s", &["0s", "-1s", "5", "1.5h", "", "1d", "+3s"]);
        config["timeouts"] =
            json!({"discovery": time(random), "tlsBootstrap": time(random), "kubernetesAPICall": "1m"});
    }
    if version == "v1beta3" && random.once_in(4) {
        config["discovery"]["timeout"] = odd(random, "2m0s", &["0s", "x"]);
    }
    let change = match random.below(40) {
        0 => ("caCertPath", odd(random, "/etc/pki/ca.crt", &["ca.crt", "/a/ca.pem", "", "/a b/ca.crt"])),
        1 => ("controlPlane", json!({"localAPIEndpoint": {"advertiseAddress": "192.0.2.1"}})),
        11 => ("controlPlane", Value::Null),
        12 => ("controlPlane", json!({})),
        2 => ("dryRun", json!(true)),
        3 => ("patches", json!({"directory": "/p"})),
        4 => ("skipPhases", json!(["preflight"])),
        5 => ("unknown", json!(1)),
        6 => ("kind", odd(random, "ClusterConfiguration", &["", "joinConfiguration"])),
        7 => ("apiVersion", odd(random, "kubeadm.k8s.io/v1beta2", &["v1", "", "kubeadm.k8s.io/v1"])),
        8 => ("discovery", Value::Null),
        9 => ("nodeRegistration", Value::Null),
        10 => ("caCertPath", "/etc/pki/ca.crt".into()),
        _ => ("kind", "JoinConfiguration".into()),
    };
    config[change.0] = change.1;
    yaml::with_a_null(random, &mut config);
    let mut text = yaml::write(random, &config);
    match random.below(16) {
        0 => text = Corruption::yaml(random, &text),
        1 => text = random.slips(&text),
        2 => {
            text = format!(
                "{text}\n---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
            );
        }
        3 => text = format!("---\n{text}---\n"),
        _ => {}
    }
    text
}

fn registration(random: &mut Random, version: &str) -> Value {
    let mut registration = json!({"name": odd(random, "n1", &["N1", " n1 ", "a_b", "", "localhost"])});
    if random.once_in(3) {
        registration["criSocket"] =
            odd(random, "unix:///run/c.sock", &["/run/c.sock", "tcp://h:1", "", "npipe:////./x"]);
    }
    if random.once_in(3) {
        let taint = json!({"key": "a", "value": odd(random, "b", &["", "c d"]), "effect": odd(random, "NoSchedule", &["NoExecute", "no"])});
        registration["taints"] = [json!([taint]), json!([]), Value::Null, json!("x")]
            [if random.once_in(8) { 1 + random.below(3) } else { 0 }]
        .clone();
    }
    if random.once_in(3) {
        let name = odd(random, "v", &["node-labels", "hostname-override", "", "cert-dir", "max-pods"]);
        let value = odd(random, "2", &["", "/var/lib/kubelet/pki2", "a=b", "a \"b\" \\c"]);
        let other = if random.once_in(2) { json!({"name": "x"}) } else { json!({"name": "x", "value": "1"}) };
        registration["kubeletExtraArgs"] = if (version == "v1beta4") ^ random.once_in(12) {
            json!([{"name": name, "value": value}, other])
        } else {
            json!({name.as_str().expect("a text"): value, "x": "1"})
        };
    }
    match random.below(20) {
        0 => registration["ignorePreflightErrors"] = json!(["all"]),
        1 => registration["imagePullPolicy"] = odd(random, "Always", &["Sometimes"]),
        2 => registration["unknown"] = json!({}),
        _ => {}
    }
    registration
}

/// The defaults that only kubeadm writes out are put in here.
fn ours(text: &str) -> Result<Said, Refusal> {
    let mut invocation = Invocation::default();
    let surroundings =
        SettingSources { config: Some(Secret::new(text.to_owned())), ..SettingSources::default() };
    invocation.read(["join", "--with-kubelet-config"].map(Into::into), &surroundings)?;
    let Command::Join(join) = Command::of(&invocation)? else { panic!("a join") };
    let show =
        |endpoints: &[Endpoint]| endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let wait = Wait { clock: surroundings.clock.clone(), deadline: Deadline::at(LIMIT) };
    let (endpoint, credentials, file) = match join.method.get(wait)? {
        Method::Token { endpoints, credentials, .. } => (show(endpoints), Some(credentials), false),
        Method::Static(given) => (String::new(), Some(&given.credentials), true),
        Method::RemoteKubeconfig { .. } => (String::new(), None, true),
        Method::Pinned { .. } | Method::LoadedClusterInfo { .. } | Method::RemoteClusterInfo { .. } => {
            panic!("no flag says so")
        }
    };
    let nanoseconds = |time: std::time::Duration| u64::try_from(time.as_nanos()).expect("292 years");
    Ok(Said {
        endpoint,
        token: if file {
            String::new()
        } else {
            credentials.and_then(|own| own.embedded().token.map(str::to_owned)).unwrap_or_default()
        },
        file,
        pins: join.pins.given().len(),
        name: join
            .node_name
            .map(|name| {
                nodestrap::testing::node_name::NodeName::new(&name).map(|name| name.as_str().to_owned())
            })
            .transpose()?
            .unwrap_or_default(),
        taints: join.registration.taints,
        arguments: join.registration.kubelet_extra_args,
        cri_socket: join.registration.cri_socket.unwrap_or_default(),
        ca: join.layout.ca.as_str().to_owned(),
        dry_run: join.dry_run,
        timeouts: [nanoseconds(join.discovery_timeout), nanoseconds(join.tls_bootstrap_timeout)],
        unknown: join.warnings.iter().any(|warning| warning.starts_with("unknown field")),
    })
}

/// What kubeadm says of an API version that it no longer reads.
const DROPPED: &str = "uses an old API spec: \"kubeadm.k8s.io/v1beta3\"";
/// The last version that reads it.
const V1BETA3: &str = "1.36";

fn theirs([oracle, older]: &mut [Oracle; 2], text: &str) -> Result<Said, String> {
    let mut answer = oracle.ask("join configuration", &json!(text));
    if answer.as_ref().is_err_and(|error| error.contains(DROPPED)) {
        answer = older.ask("join configuration", &json!(text));
    }
    let value = answer?;
    if value["controlPlane"] == json!(true) {
        return Err("nodestrap joins workers only".to_owned());
    }
    let list =
        |value: &Value| value.as_array().map_or(Vec::new(), |items| items.iter().map(given_text).collect());
    let time = |name: &str| value[name].as_i64().map(i64::cast_unsigned).expect("a number");
    let endpoint = given_text(&value["endpoint"]);
    let arguments: Vec<String> = list(&value["arguments"]);
    let overriding = arguments.iter().rev().find_map(|argument| argument.strip_prefix("hostname-override="));
    let file = value["file"].is_string();
    Ok(Said {
        // The path of nothing goes into a URL, and means nothing there.
        endpoint: Endpoint::parse(endpoint.trim_end_matches('/'))
            .map_or(endpoint, |endpoint| endpoint.to_string()),
        token: if file { String::new() } else { given_text(&value["tlsBootstrapToken"]) },
        file,
        pins: value["pins"].as_array().map_or(0, Vec::len),
        name: overriding.map_or_else(|| given_text(&value["name"]), str::to_owned),
        // A taint without anything is none to the kubelet.
        taints: list(&value["taints"]).into_iter().filter(|taint| !taint.is_empty()).collect(),
        arguments,
        cri_socket: given_text(&value["criSocket"]),
        ca: given_text(&value["caCertPath"]),
        dry_run: value["dryRun"] == json!(true),
        timeouts: [time("discoveryTimeout"), time("tlsBootstrapTimeout")],
        unknown: given_text(&value["strict"]).contains("unknown field"),
    })
}

#[test]
fn join_configurations() {
    let (mut random, mut oracles) =
        (Random::of("JoinConfigurations"), [Oracle::start(), Oracle::of(V1BETA3)]);
    let bundles = Bundles::make(&mut random);
    let folder = Scratch::new();
    let file = folder.path().join("discovery.conf");
    let user = format!("- name: u\n  user: {{token: \"{}\"}}\n", random.token());
    let kubeconfig = jws::kubeconfig(&bundles.good(&mut random).pem(), "https://h:1")
        .replace("users: null\n", &format!("users:\n{user}"))
        .replace("contexts: null", "contexts: [{name: c, context: {cluster: \"\", user: u}}]")
        .replace("current-context: \"\"", "current-context: c");
    fs::write(&file, kubeconfig).expect("a file");
    let file = file.display().to_string();
    let mut diff = DiffReport::new("JoinConfigurations", CLASSES);
    // Where nothing is said, kubeadm looks at the machine, and nodestrap does when it joins.
    let nobody =
        oracles[0].ask("node name", &json!("")).map(|value| given_text(&value["name"])).expect("a name");
    for _ in 0..count() {
        let input = draw(&mut random, &file);
        let mut theirs = theirs(&mut oracles, &input);
        if let (Ok(theirs), Ok(own)) = (&mut theirs, &ours(&input)) {
            if own.name.is_empty() && theirs.name == nobody {
                theirs.name.clear();
            }
            if own.cri_socket.is_empty() && theirs.cri_socket == "unix:///var/run/containerd/containerd.sock"
            {
                theirs.cri_socket.clear();
            }
        }
        diff.hold(&Case { ours: ours(&input), theirs, input });
    }
    diff.finish();
}
