//! config.yaml with the administrator's patches, as `kubeadm join --patches` writes it.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nodestrap::testing::clock::Deadline;
use nodestrap::testing::error::ErrorKind::Usage;
use nodestrap::testing::http::Proxies;
use nodestrap::testing::kubelet::{ClusterQuery, Machine, NodeRegistration};
use nodestrap::testing::log::Log;
use nodestrap::testing::node::{Layout, NodeFiles};
use nodestrap::testing::node_name::NodeName;
use serde_json::{Map, Value, json};

use super::diff_report::{Case, Class, DiffReport, Refusal};
use super::network::{Trusted, system};
use super::oracle::{Oracle, given_text};
use super::random::{Random, count};
use crate::support::node::Node;

/// Files of patches, by their paths in the directory.
type Files = Vec<(String, String)>;

const CLASSES: &[Class<Files, Value>] = &[
    Class {
        name: "what is left is not a KubeletConfiguration",
        reason: "kubeadm writes anything, and the kubelet does not start from it; here it is said before anything is written",
        explains: |case| case.stricter(Usage, "not a KubeletConfiguration"),
    },
    Class {
        name: "text behind a document",
        reason: "kubeadm reads the first document between two marks, and nothing behind it; what is there must be YAML here",
        explains: |case| {
            case.stricter(Usage, "invalid YAML") && case.input.iter().any(|(_, text)| text.ends_with(BEHIND))
        },
    },
    Class {
        name: "patches for other targets",
        reason: "kubeadm reads them too, and refuses what is not YAML in them; they are named and passed here",
        explains: |case| case.laxer("could not convert patch to JSON") && has_other_target(&case.input),
    },
    Class {
        name: "a patch of nothing but comments",
        reason: "kubeadm passes it but for a merge patch, which it refuses as an invalid one",
        explains: |case| case.laxer("Invalid JSON Patch"),
    },
    Class {
        name: "a field that a KubeletConfiguration does not have",
        reason: "kubeadm looks maps and lists up in the kubelet's type; here the kubelet judges its own fields",
        explains: |case| {
            let looked_up =
                ["unable to find api field", "data type is not struct", "expected slice or array type"];
            looked_up.iter().any(|words| case.laxer(words))
        },
    },
    Class {
        name: "a panic of kubeadm",
        reason: "an error with words, or what the patch says",
        explains: |case| case.laxer("panic: "),
    },
];

fn has_other_target(files: &Files) -> bool {
    files.iter().any(|(path, _)| path.contains("etcd"))
}

/// Not YAML, behind a patch in braces.
const BEHIND: &str = "a: [\n";

const SOCKET: &str = "unix:///run/c.sock";

/// kube-system/kubelet-config as kubeadm uploads it, with lists and maps of each kind.
const TEXT: &str = concat!(
    include_str!("kubelet-config.yaml"),
    "allowedUnsafeSysctls:\n- net.core.somaxconn\n- kernel.msg*\n- net.ipv4.tcp_tw_reuse\n",
    "evictionHard:\n  imagefs.available: 15%\n  memory.available: 100Mi\n",
    "featureGates:\n  ContextualLogging: true\nmaxPods: 110\n",
    "registerWithTaints:\n- effect: NoSchedule\n  key: a\n- effect: NoExecute\n  key: b\n",
);

/// Paths of fields by the type of their values; some are not in the text.
const LISTS: [&str; 3] = ["clusterDNS", "allowedUnsafeSysctls", "tlsCipherSuites"];
const MAPS: [&str; 6] =
    ["authentication", "evictionHard", "featureGates", "kubeReserved", "logging", "memorySwap"];
const SCALARS: [&str; 6] =
    ["maxPods", "clusterDomain", "failSwapOn", "healthzPort", "containerRuntimeEndpoint", "zzz"];
const INNER: [&str; 10] = [
    "anonymous",
    "webhook",
    "x509",
    "enabled",
    "cacheTTL",
    "memory.available",
    "imagefs.available",
    "options",
    "json",
    "infoBufferSize",
];
const WORDS: [&str; 12] = [
    "net.core.somaxconn",
    "kernel.msg*",
    "net.ipv4.tcp_tw_reuse",
    "10.96.0.10",
    "10.0.0.1",
    "true",
    "15%",
    "0s",
    "5",
    "",
    "a: b #",
    "x\ny",
];

fn scalar(random: &mut Random) -> Value {
    match random.below(8) {
        0 => Value::Null,
        1 => json!(random.once_in(2)),
        2 => json!(random.below(200)),
        3 => json!(1.5),
        _ => json!(random.pick(&WORDS)),
    }
}

fn list(random: &mut Random) -> Value {
    let odd = random.once_in(8);
    let item = |random: &mut Random| match random.below(4) {
        0 if odd => scalar(random),
        1 if odd => json!({"key": random.pick(&WORDS), "$patch": "delete", "value": null}),
        2 if odd => json!([random.pick(&WORDS)]),
        _ => json!(random.pick(&WORDS)),
    };
    (0..random.below(4)).map(|_| item(random)).collect()
}

fn value(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth == 0 { 4 } else { 8 }) {
        0 => list(random),
        1..4 => scalar(random),
        _ => Value::Object(map(random, depth - 1, &INNER)),
    }
}

/// Some entries, and directives now and then.
fn map(random: &mut Random, depth: usize, names: &[&str]) -> Map<String, Value> {
    let mut map = Map::new();
    for _ in 0..random.below(4) {
        let value = value(random, depth);
        map.insert(random.pick(names).to_owned(), value);
    }
    if random.once_in(12) {
        map.insert("$patch".into(), json!(random.pick(&["replace", "replace", "delete", "merge"])));
    }
    if random.once_in(12) {
        let mut kept: Vec<String> = map.keys().cloned().collect();
        kept.push(random.pick(names).to_owned());
        if random.once_in(4) {
            kept.remove(0);
        }
        map.insert("$retainKeys".into(), json!(kept));
    }
    map
}

fn merged(random: &mut Random, strategic: bool) -> Value {
    let mut patch = map(random, 0, &SCALARS);
    for _ in 0..random.below(3) {
        let name = random.pick(&MAPS);
        patch.insert(name.into(), value(random, 3));
    }
    for name in LISTS {
        match random.below(if strategic { 12 } else { 2 }) {
            0 => drop(patch.insert(name.into(), list(random))),
            1 => drop(patch.insert(format!("$setElementOrder/{name}"), list(random))),
            // Beside the list itself kubeadm would take the two in any order.
            2 | 3 => drop(patch.insert(format!("$deleteFromPrimitiveList/{name}"), list(random))),
            4 => {
                patch.insert(name.into(), list(random));
                let order = if random.once_in(2) { patch[name].clone() } else { list(random) };
                patch.insert(format!("$setElementOrder/{name}"), order);
            }
            _ => {}
        }
    }
    if random.once_in(40) { value(random, 1) } else { Value::Object(patch) }
}

fn path(random: &mut Random) -> String {
    let odd = [
        "/",
        "",
        "maxPods",
        "x/maxPods",
        "/zzz/y",
        "/a~1b",
        "/a~0b",
        "/clusterDNS/9",
        "/clusterDNS/x",
        "/clusterDNS/-9",
        "/maxPods/x",
        "/tlsCipherSuites/0",
        "/allowedUnsafeSysctls/3",
    ];
    let known = [
        "/clusterDNS",
        "/clusterDNS/0",
        "/clusterDNS/-",
        "/clusterDNS/-1",
        "/clusterDNS/+0",
        "/allowedUnsafeSysctls",
        "/allowedUnsafeSysctls/1",
        "/allowedUnsafeSysctls/02",
        "/allowedUnsafeSysctls/-3",
        "/maxPods",
        "/failSwapOn",
        "/clusterDomain",
        "/containerRuntimeEndpoint",
        "/authentication/x509/clientCAFile",
        "/authentication/webhook",
        "/evictionHard/memory.available",
        "/evictionHard",
        "/featureGates/x",
        "/registerWithTaints/0/key",
        "/registerWithTaints/1",
        "/logging/options/json",
        "/memorySwap/a~1b~0",
    ];
    if random.once_in(8) { random.pick(&odd).to_owned() } else { random.pick(&known).to_owned() }
}

fn operations(random: &mut Random) -> Value {
    let text: Value =
        serde_json::from_str(&nodestrap::testing::yaml::to_json(TEXT).expect("YAML")).expect("JSON");
    let operation = |random: &mut Random| {
        let op = random.pick(&["add", "add", "add", "replace", "replace", "remove", "move", "copy", "test"]);
        let path = path(random);
        let value = match text.pointer(&path) {
            Some(known) if op == "test" && !random.once_in(6) => known.clone(),
            _ => value(random, 2),
        };
        match op {
            "remove" => json!({"op": op, "path": path}),
            "move" | "copy" => json!({"op": op, "path": path, "from": self::path(random)}),
            _ => json!({"op": op, "path": path, "value": value}),
        }
    };
    let mut list: Vec<Value> = (0..random.below(3)).map(|_| operation(random)).collect();
    if random.once_in(40) {
        list.push(value(random, 1));
    }
    if random.once_in(60) { value(random, 1) } else { Value::Array(list) }
}

fn file(random: &mut Random) -> (String, String) {
    let suffix = random.pick(&["", "", "0", "1", "-x", ".x", "merge"]);
    let patch_type = random.pick(&["", "+strategic", "+merge", "+json", "+json"]);
    let suffix = if random.once_in(60) { "+x" } else { suffix };
    let target = if random.once_in(30) { "etcd" } else { "kubeletconfiguration" };
    let ending = if random.once_in(20) {
        random.pick(&[".yml", "", ".txt"])
    } else {
        random.pick(&[".yaml", ".json"])
    };
    let directory = random.pick(&["", "", "", "a/", "kubeletconfiguration0.d/", "a/b/"]);
    let documents = (0..=random.below(2)).map(|_| {
        let patch = match patch_type {
            "+json" => operations(random),
            "+merge" => merged(random, false),
            _ => merged(random, true),
        };
        if random.once_in(2) { nodestrap::testing::yaml::text(&patch) } else { patch.to_string() + "\n" }
    });
    let mut text = documents.collect::<Vec<_>>().join("---\n");
    match random.below(30) {
        0 => text.insert_str(0, "---\n"),
        1 => text.push_str("---\n# nothing\n"),
        2 => text.clear(),
        3 => text.push_str("---\n\n---\n"),
        4 => text.push_str(BEHIND),
        _ => {}
    }
    (format!("{directory}{target}{suffix}{patch_type}{ending}"), text)
}

fn draw(random: &mut Random) -> Files {
    let mut files = Files::new();
    for _ in 0..=random.below(3) {
        let (path, text) = file(random);
        if !files.iter().any(|(other, _)| *other == path) {
            files.push((path, text));
        }
    }
    files
}

/// What a text says: 1.0 is 1.
fn said(text: &str) -> Value {
    fn plain(value: &mut Value) {
        match value {
            Value::Number(number) => *value = json!(number.as_f64()),
            Value::Array(items) => items.iter_mut().for_each(plain),
            Value::Object(map) => map.values_mut().for_each(plain),
            _ => {}
        }
    }
    let mut value =
        serde_json::from_str(&nodestrap::testing::yaml::to_json(text).expect("YAML")).expect("JSON");
    plain(&mut value);
    value
}

fn ours(patches: &Files, server: &Trusted) -> Result<Value, Refusal> {
    let disk = Node::new();
    for (path, text) in patches {
        let file = disk.root().join("patches").join(path);
        fs::create_dir_all(file.parent().expect("a directory")).expect("it is made");
        fs::write(file, text).expect("it is written");
    }
    let files = NodeFiles::open(&disk.root(), Layout::default())?;
    let object = json!({"data": {"kubelet": TEXT}}).to_string();
    let network = server.answering(move |_, _, _| (200, object.clone()));
    let system = system(SystemTime::now(), Arc::new(network), Proxies::default());
    let api = server.dial(&system)?;
    let machine = Machine {
        node: &NodeName::new("n1")?,
        hostname: None,
        cri_socket: SOCKET,
        has_systemd_resolved: false,
        ca: "/etc/kubernetes/pki/ca.crt",
        path_flags: &[],
        patches: &files.patches("/patches")?,
    };
    let deadline = Deadline::after(&*system.clock, Duration::from_secs(1));
    let query = ClusterQuery { api: &api, bearer: None, clock: &*system.clock, deadline };
    let written = query.kubelet_files(&NodeRegistration::default(), &machine, &Log::new(None))?;
    Ok(said(&written.config.expect("it is fetched")))
}

#[test]
fn patches() {
    let (mut random, mut oracle) = (Random::of("patches"), Oracle::start());
    let server = Trusted::new();
    let mut diff = DiffReport::new("patches", CLASSES);
    for _ in 0..count() {
        let input = draw(&mut random);
        let patches: Vec<Value> =
            input.iter().map(|(path, text)| json!({"path": path, "text": text})).collect();
        let question = json!({
            "config": TEXT, "criSocket": SOCKET, "name": "n1", "taints": [], "arguments": [], "patches": patches,
        });
        let theirs = oracle.ask("write kubelet files", &question);
        let theirs = theirs.map(|written| said(&given_text(&written["config.yaml"])));
        diff.hold(&Case { ours: ours(&input, &server), theirs, input });
    }
    diff.finish();
}
