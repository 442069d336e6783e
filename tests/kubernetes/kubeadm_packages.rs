//! What a kubelet of kubeadm's packages starts with: our files beside kubeadm's, and such a kubelet at work.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::json;

use crate::harness::{
    cluster::{Cluster, Options},
    components::version,
    kubeadm,
    kubelet::{Containerd, Kubelet, configuration},
};
use crate::support::{
    node::Node,
    process::{run, try_run, wait_for},
    run::Finished,
    scratch::Scratch,
};

/// The files that a join writes for the kubelet, beside its identity.
const FILES: [&str; 3] = [
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/instance-config.yaml",
    "/var/lib/kubelet/kubeadm-flags.env",
];

/// Byte for byte, with the same permissions: under another name than the machine's and under its own.
#[test]
fn kubelet_files_are_those_of_kubeadm() {
    let cluster = crate::shared();
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned();
    for name in ["another-name", hostname.as_str()] {
        let (theirs, ours) = (Node::named(name), Node::named(name));
        fs::create_dir(ours.at("/etc")).unwrap();
        fs::write(ours.at("/etc/hostname"), &hostname).unwrap();
        let token = cluster.token();
        run(&mut kubeadm::command(&cluster, &theirs, &token));
        prepare(&cluster, &ours, &[]);
        assert_same_files(&ours, &theirs);
        let named = ours.read(FILES[2]).contains("--hostname-override");
        assert_eq!(named, name != hostname, "{}", ours.read(FILES[2]));
    }
}

/// Taints, arguments of the kubelet in their order, one of them kubeadm's own, and characters that need quotes.
#[test]
fn registration_is_written_as_kubeadm_writes_it() {
    let cluster = crate::shared();
    let registration = json!({
        "taints": [
            {"key": "example.com/boot", "value": "yes", "effect": "NoSchedule"},
            {"key": "only-a-key", "effect": "NoExecute"},
        ],
        "kubeletExtraArgs": [
            {"name": "v", "value": "2"},
            {"name": "node-labels", "value": "example.com/rack=r1,zone=z"},
            {"name": "hostname-override", "value": "named-by-the-kubelet"},
            {"name": "node-ip", "value": "a \"quoted\" \\ word"},
        ],
    });
    let (theirs, ours) = (Node::named("registered"), Node::named("registered"));
    run(&mut kubeadm::configured(&cluster, &theirs, &cluster.token(), &registration));
    let arguments = [
        "--taint=example.com/boot=yes:NoSchedule",
        "--taint=only-a-key:NoExecute",
        "--kubelet-extra-arg=v=2",
        "--kubelet-extra-arg=node-labels=example.com/rack=r1,zone=z",
        "--kubelet-extra-arg=hostname-override=named-by-the-kubelet",
        "--kubelet-extra-arg=node-ip=a \"quoted\" \\ word",
    ];
    let outcome = prepare(&cluster, &ours, &arguments);
    assert_same_files(&ours, &theirs);
    assert_eq!(outcome.report()["nodeName"], "named-by-the-kubelet");
}

/// Of a text written by hand, what we write says nothing that kubeadm's file does not say: kubeadm's has fields of no
/// value and its own defaults beside it.
#[test]
fn a_configuration_written_by_hand_means_the_same() {
    let cluster = Cluster::start(Options { algorithm: "ECDSA-P256", ..Options::default() });
    let text = "# by hand\nkind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\n\
                maxPods: 50 # few\nfeatureGates: {ContextualLogging: true}\nrotateCertificates: false\n\
                clusterDNS: [10.96.0.10]\nstaticPodPath: ''\nevictionHard:\n    memory.available: '100Mi'\n";
    let patch = json!({"data": {"kubelet": text}}).to_string();
    cluster.kubectl(&["patch", "configmap", "kubelet-config", "--namespace=kube-system", "-p", &patch]);
    let (theirs, ours) = (Node::named("by-hand"), Node::named("by-hand"));
    run(&mut kubeadm::command(&cluster, &theirs, &cluster.token()));
    prepare(&cluster, &ours, &[]);
    let [ours, theirs] = [&ours, &theirs].map(|node| {
        let json = nodestrap::testing::yaml::to_json(&node.read(FILES[0])).unwrap();
        serde_json::from_str::<serde_json::Map<_, _>>(&json).unwrap()
    });
    // An empty value is none: there kubeadm puts its default back.
    for (key, value) in ours.iter().filter(|(_, value)| **value != json!("")) {
        assert_eq!(theirs.get(key), Some(value), "{key}");
    }
    assert_eq!((&ours["maxPods"], &ours["rotateCertificates"]), (&json!(50), &json!(true)));
}

/// A kubelet with the packages' own flags comes up from our files alone, as the node that it was told to be.
#[test]
fn a_packaged_kubelet_starts_from_our_files() {
    let cluster = Cluster::start(Options { algorithm: "ECDSA-P256", ..Options::default() });
    let (scratch, runtime) = (Scratch::new(), Containerd::start());
    cluster.publish_kubelet_config(&configuration(&scratch, "unix:///nowhere.sock"));

    // What an administrator has put into the cluster's configuration comes out as from kubeadm, too.
    let (theirs, ours) = (Node::named("beside"), Node::named("beside"));
    run(&mut kubeadm::command(&cluster, &theirs, &cluster.token()));
    prepare(&cluster, &ours, &[]);
    assert_same_files(&ours, &theirs);

    let node = Node::named("packaged");
    let token = cluster.token();
    let mark = cluster.mark();
    let socket = runtime.endpoint();
    let flags = [
        "--with-kubelet-config",
        "--refuse-ready-node",
        "--cri-socket",
        &socket,
        "--taint=example.com/boot=yes:NoSchedule",
        "--kubelet-extra-arg=node-labels=example.com/rack=r1",
    ];
    let outcome = node.join(&token).with_cert().flags(&flags).run();
    outcome.expect("joined");
    assert_eq!((&outcome.report()["requests"], &outcome.report()["handshakes"]), (&5.into(), &1.into()));
    let asked = cluster.joins_since(&mark);
    let seen: Vec<_> = asked.iter().map(|r| (r.verb.as_str(), r.name.as_str(), r.code)).collect();
    let csr = outcome.report()["csrName"].as_str().unwrap();
    assert_eq!(
        seen,
        [
            ("get", "cluster-info", 200),
            ("get", "packaged", 404),
            ("get", "kubelet-config", 200),
            ("create", csr, 201),
            ("watch", csr, 200),
        ],
    );
    assert!(asked[1..].iter().all(|request| request.user == token.user()), "{asked:#?}");

    let mut kubelet = Kubelet::start_packaged(&node);
    let object = wait_for("the Node's status", || {
        kubelet.daemon.assert_alive();
        let nodes = cluster.json(&["get", "nodes"]);
        let object =
            nodes["items"].as_array().unwrap().iter().find(|n| n["metadata"]["name"] == "packaged")?;
        object["status"]["nodeInfo"]["kubeletVersion"].as_str().filter(|v| !v.is_empty())?;
        Some(object.clone())
    });
    let taints = object["spec"]["taints"].as_array().unwrap();
    let ours = json!({"key": "example.com/boot", "value": "yes", "effect": "NoSchedule"});
    assert!(taints.contains(&ours), "{taints:#?}");
    assert_eq!(object["metadata"]["labels"]["example.com/rack"], "r1");
    let runtime = object["status"]["nodeInfo"]["containerRuntimeVersion"].as_str().unwrap();
    assert!(runtime.starts_with("containerd://"), "the socket is the given one: {runtime}");
    assert_eq!(cluster.signing_requests(), ["packaged"], "the kubelet wanted no certificate of its own");

    node.join(&token).with_cert().flags(&flags).run().expect("already-joined");
}

/// kubeadm's check, with the rights that kubeadm gives to its tokens.
#[test]
fn a_ready_node_is_not_replaced() {
    let cluster = crate::shared();
    let token = cluster.token();
    let scratch = Scratch::new();
    fs::write(scratch.file("node.json"), r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"taken"}}"#)
        .unwrap();
    cluster.kubectl(&["create", "-f", &scratch.file("node.json")]);
    let is_ready = |status: &str| {
        let patch = json!({"status": {"conditions": [{"type": "Ready", "status": status}]}}).to_string();
        cluster.kubectl(&["patch", "node", "taken", "--subresource=status", "-p", &patch]);
    };
    let node = Node::named("taken");
    is_ready("True");
    let outcome = node.join(&token).with_cert().flags(&["--refuse-ready-node"]).run();
    outcome.expect("denied");
    assert!(outcome.stderr.contains("a Ready Node taken already exists"), "{}", outcome.stderr);
    assert_eq!(node.listing(), Vec::<String>::new());
    assert!(!cluster.signing_requests().contains(&"taken".to_owned()));
    let refused = try_run(&mut kubeadm::command(&cluster, &Node::named("taken"), &token));
    assert!(refused.unwrap_err().contains("already exists in the cluster"), "kubeadm refuses it, too");

    is_ready("Unknown");
    node.join(&token).with_cert().flags(&["--refuse-ready-node"]).run().expect("joined");
}

/// Joins without a certificate, with the socket that kubeadm was told of.
fn prepare(cluster: &Cluster, node: &Node, extra: &[&str]) -> Finished {
    let mut arguments = cluster.token().arguments;
    arguments.extend(["--with-kubelet-config", "--cri-socket", kubeadm::CRI_SOCKET].map(str::to_owned));
    arguments.extend(extra.iter().map(|&argument| argument.to_owned()));
    let outcome = node.join_with(&arguments).run();
    outcome.expect("prepared");
    outcome
}

fn assert_same_files(ours: &Node, theirs: &Node) {
    for path in FILES {
        assert_eq!(ours.read(path), without_sandbox_image(&theirs.read(path)), "{path}");
        assert_eq!(mode(&ours.at(path)), mode(&theirs.at(path)), "{path}");
    }
    let listed = |node: &Node| {
        let mut files = node.listing();
        files.retain(|file| file.starts_with("/var/lib/kubelet"));
        files
    };
    assert_eq!(listed(ours), listed(theirs));
    assert_eq!(mode(&ours.at("/var/lib/kubelet")), mode(&theirs.at("/var/lib/kubelet")));
}

/// kubeadm 1.34 is the last to write `--pod-infra-container-image`, which kept the kubelet from removing the sandbox's
/// image. The flag is deprecated: container runtimes say themselves that the image is pinned.
fn without_sandbox_image(text: &str) -> String {
    const FLAG: &str = "--pod-infra-container-image=";
    let Some((before, rest)) = text.split_once(FLAG).filter(|_| version().starts_with("v1.34.")) else {
        return text.to_owned();
    };
    let (_, after) = rest.split_at(rest.find([' ', '"']).expect("the end of the value"));
    match after.strip_prefix(' ') {
        Some(after) => format!("{before}{after}"),
        None => format!("{}{after}", before.trim_end()),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
