//! config.yaml, instance-config.yaml and kubeadm-flags.env, as kubeadm writes them when a node joins.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nodestrap::testing::clock::Deadline;
use nodestrap::testing::error::ErrorKind::NotPublished;
use nodestrap::testing::http::Proxies;
use nodestrap::testing::kubelet::{ClusterQuery, Machine, NodeRegistration, Patches};
use nodestrap::testing::log::Log;
use nodestrap::testing::node_name::NodeName;
use serde_json::{Value, json};

use super::corruption::Corruption;
use super::diff_report::{Case, Class, DiffReport, Refusal};
use super::network::{Trusted, system};
use super::oracle::{Oracle, given_text};
use super::random::{Random, count};

/// What a join is to write: the cluster's text, a name, taints and arguments.
#[derive(Debug)]
struct Wanted {
    config: String,
    name: String,
    taints: Vec<[String; 3]>,
    arguments: Vec<[String; 2]>,
}

/// The configuration, where it was changed as what it says, and the other two as they are.
type Written = (Value, String, String);

const CLASSES: &[Class<Wanted, Written>] = &[
    Class {
        name: "a form that is not kubeadm's",
        reason: "lines are set where kubeadm writes them; in another text it is said before anything is written",
        explains: |case| case.refused(NotPublished, "is unusable"),
    },
    Class {
        name: "a text that kubeadm's decoder fills, corrects or refuses",
        reason: "what the cluster says is left as it is, also a field of another version or type, for the kubelet to judge",
        explains: |case| {
            let own = [("containerRuntimeEndpoint", json!(SOCKET)), ("rotateCertificates", json!(true))];
            case.ours.as_ref().is_ok_and(|ours| {
                let mut left = said(&case.input.config);
                for (field, value) in own {
                    left[field] = value;
                }
                ours.0 == left
            })
        },
    },
];

const SOCKET: &str = "unix:///run/c.sock";

/// kube-system/kubelet-config as kubeadm uploads it, in 1.36 as in 1.37: its defaults.
const TEXT: &str = include_str!("kubelet-config.yaml");

fn draw(random: &mut Random) -> Wanted {
    let mut config = TEXT.to_owned();
    match random.below(6) {
        0 => config = random.slips(&config),
        1 => config = Corruption::yaml(random, &config),
        _ => {}
    }
    let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
    let taint = |random: &mut Random| {
        let text = |random: &mut Random| {
            let length = random.below(5);
            random.text("abc/._-", length)
        };
        [format!("a{}", text(random)), text(random).replace('/', ""), (*random.pick(&effects)).to_owned()]
    };
    let argument = |random: &mut Random| {
        let name = random
            .pick(&["v", "node-labels", "register-with-taints", "hostname-override", "max-pods"])
            .to_owned();
        let length = random.below(12);
        let value = if name == "hostname-override" {
            "other".to_owned()
        } else {
            random.text("ab=1 \"\\,/'$", length)
        };
        [name, value]
    };
    Wanted {
        config,
        name: format!("n{}", random.below(9)),
        taints: (0..random.below(3)).map(|_| taint(random)).collect(),
        arguments: (0..random.below(3)).map(|_| argument(random)).collect(),
    }
}

/// What a text says; of kubeadm's own text, all of it counts.
fn shape(text: String, wanted: &Wanted) -> Value {
    if wanted.config == TEXT { Value::String(text) } else { said(&text) }
}

fn said(text: &str) -> Value {
    serde_json::from_str(&nodestrap::testing::yaml::to_json(text).expect("YAML")).expect("JSON")
}

fn ours(wanted: &Wanted, hostname: &str, server: &Trusted) -> Result<Written, Refusal> {
    let object = json!({"data": {"kubelet": wanted.config}}).to_string();
    let network = server.answering(move |_, _, _| (200, object.clone()));
    let system = system(SystemTime::now(), Arc::new(network), Proxies::default());
    let api = server.dial(&system)?;
    let mut registration = NodeRegistration::default();
    for [key, value, effect] in &wanted.taints {
        registration.take("taint", &format!("{key}={value}:{effect}"))?;
    }
    for [name, value] in &wanted.arguments {
        registration.take("kubelet-extra-arg", &format!("{name}={value}"))?;
    }
    // An argument for the kubelet decides on the node's name here too.
    let name = wanted.arguments.iter().rev().find(|[name, _]| name == "hostname-override");
    let node = NodeName::new(name.map_or(&wanted.name, |[_, value]| value))?;
    let machine = Machine {
        node: &node,
        hostname: Some(hostname),
        cri_socket: SOCKET,
        has_systemd_resolved: false,
        ca: "/etc/kubernetes/pki/ca.crt",
        path_flags: &[],
        patches: &Patches::default(),
    };
    let deadline = Deadline::after(&*system.clock, Duration::from_secs(1));
    let lookup = ClusterQuery { api: &api, bearer: None, clock: &*system.clock, deadline };
    let files = lookup.kubelet_files(&registration, &machine, &Log::new(None))?;
    let there = |text: Option<String>| text.expect("the configuration is fetched");
    Ok((shape(there(files.config), wanted), there(files.instance), files.flags))
}

#[test]
fn kubelet_files() {
    let (mut random, mut oracle) = (Random::of("kubelet files"), Oracle::start());
    let server = Trusted::new();
    let hostname = given_text(&oracle.ask("node name", &json!("")).expect("a name")["name"]);
    let mut diff = DiffReport::new("kubelet files", CLASSES);
    for _ in 0..count() / 2 {
        let input = draw(&mut random);
        let question = json!({
            "config": input.config, "criSocket": SOCKET, "name": input.name, "taints": input.taints,
            "arguments": input.arguments,
        });
        let theirs = oracle.ask("write kubelet files", &question).map(|written| {
            let [config, instance, flags] = ["config.yaml", "instance-config.yaml", "kubeadm-flags.env"]
                .map(|name| given_text(&written[name]));
            (shape(config, &input), instance, flags)
        });
        diff.hold(&Case { ours: ours(&input, &hostname, &server), theirs, input });
    }
    diff.finish();
}
