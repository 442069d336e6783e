//! The kubelet's configuration and the question whether a node of this name is Ready, against a loopback API server.

use std::os::unix::net::UnixListener;

use crate::support::all;
use crate::support::api::{Api, KUBELET_CONFIG, Reply, Route, TOKEN};
use crate::support::node::{BOOTSTRAP_CONF, CA, KUBELET, KUBELET_CONF, Node};

const CONFIG: &str = "var/lib/kubelet/config.yaml";
const INSTANCE: &str = "var/lib/kubelet/instance-config.yaml";
const FLAGS: &str = "var/lib/kubelet/kubeadm-flags.env";

/// kubeadm's choice where no container runtime is there yet.
const CONTAINERD: &str = "unix:///var/run/containerd/containerd.sock";

/// The text of config.yaml with this socket.
fn config_with(socket: &str) -> String {
    KUBELET_CONFIG.replace("Endpoint: \"\"", &format!("Endpoint: {socket}"))
}

#[test]
fn both_questions_are_asked_on_the_same_connection_before_the_request() {
    let (api, node) = (Api::start(), Node::new());
    let run = node.join(&api).with_cert().args("--with-kubelet-config --refuse-ready-node").run();
    run.expect("joined");
    let routes = [Route::Discovery, Route::Node, Route::KubeletConfig, Route::Create, Route::Watch];
    assert_eq!(api.routes(), routes);
    assert_eq!(api.connections().len(), 1);
    let bearer = format!("Bearer {TOKEN}");
    for request in &api.requests()[1..] {
        assert_eq!(request.header("authorization"), Some(bearer.as_str()), "{}", request.target);
    }
    assert_eq!(api.requests()[1].target, "/api/v1/nodes/n1");
    assert_eq!(run.report()["requests"], 5);
    assert_eq!(run.report()["handshakes"], 1);
}

#[test]
fn the_files_are_those_of_kubeadm_and_a_second_run_leaves_them_alone() {
    let (api, node) = (Api::start(), Node::new());
    let join = node.join(&api).with_cert().args("--with-kubelet-config");
    join.run().expect("joined");
    assert_eq!(node.read(CONFIG), config_with(CONTAINERD));
    assert_eq!(node.read(INSTANCE), format!("containerRuntimeEndpoint: \"{CONTAINERD}\"\n"));
    assert_eq!(node.read(FLAGS), "KUBELET_KUBEADM_ARGS=\"--hostname-override=n1\"\n");
    for file in [CONFIG, INSTANCE, FLAGS] {
        assert_eq!(node.mode(file), 0o644, "{file}");
    }
    assert_eq!(node.mode(KUBELET), 0o700);

    let (requests, tree) = (api.requests().len(), node.tree());
    // What an administrator has changed since stays.
    node.write(CONFIG, "changed");
    join.run().expect("already-joined");
    assert_eq!((api.requests().len(), node.tree()), (requests, tree));
    assert_eq!(node.read(CONFIG), "changed");
}

/// Without the flag nothing is asked for and nothing is written.
#[test]
fn none_of_it_happens_unasked() {
    let (api, node) = (Api::start(), Node::new());
    node.join(&api).run().expect("prepared");
    assert_eq!(node.files(), [BOOTSTRAP_CONF, CA]);
    assert_eq!(api.routes(), [Route::Discovery]);
}

#[test]
fn a_prepared_node_has_its_configuration_too() {
    let (api, node) = (Api::start(), Node::new());
    node.join(&api).args("--with-kubelet-config").run().expect("prepared");
    assert_eq!(node.files(), [BOOTSTRAP_CONF, CA, CONFIG, INSTANCE, FLAGS]);
    assert_eq!(api.routes(), [Route::Discovery, Route::KubeletConfig]);
}

/// A node that joined before the flag was given, or lost the files: its identity stays as it is.
#[test]
fn a_joined_node_without_its_configuration_gets_it() {
    let (api, node) = (Api::start(), Node::new());
    node.joins(&api);
    let (pair, kubelet_conf) = (node.read_pair(), node.read(KUBELET_CONF));
    // By now its own kubelet may be at work: that is no reason to refuse it.
    api.cluster(|cluster| cluster.nodes.insert("n1".to_owned(), "True"));
    let before = api.requests().len();
    let run = node.join(&api).with_cert().args("--with-kubelet-config --refuse-ready-node").run();
    run.expect("already-joined");
    assert_eq!(api.routes()[before..], [Route::Discovery, Route::KubeletConfig]);
    assert_eq!((node.read_pair(), node.read(KUBELET_CONF)), (pair, kubelet_conf));
    assert!(node.has(CONFIG) && node.has(FLAGS) && !node.has(BOOTSTRAP_CONF));
}

#[test]
fn flags_say_how_the_node_registers() {
    let cases = [
        ("the machine's own name", "N1\n", "n1", "", ""),
        ("another name", "other\n", "n1", "", "--hostname-override=n1"),
        (
            "taints and arguments",
            "n1\n",
            "n1",
            "--taint=a=b:NoSchedule --taint c:NoExecute --kubelet-extra-arg node-labels=x=y,z=1 \
             --kubelet-extra-arg=--v=2",
            "--register-with-taints=a=b:NoSchedule,c:NoExecute --node-labels=x=y,z=1 --v=2",
        ),
        ("an argument with quotes", "n1\n", "n1", r#"--kubelet-extra-arg=a="b\c""#, r#"--a=\"b\\c\""#),
        (
            "the kubelet's own flag names the node",
            "n1\n",
            "n2",
            "--kubelet-extra-arg=hostname-override=n3",
            "--hostname-override=n3",
        ),
    ];
    let api = Api::start();
    all(
        &cases,
        |case| case.0.to_owned(),
        |(_, hostname, name, args, flags)| {
            let node = Node::new();
            node.write("etc/hostname", hostname);
            let run = node.join(&api).name(name).args("--with-kubelet-config").args(args).run();
            run.expect("prepared");
            assert_eq!(node.read(FLAGS), format!("KUBELET_KUBEADM_ARGS=\"{flags}\"\n"));
            let named = if args.contains("n3") { "n3" } else { name };
            assert_eq!(run.report()["nodeName"], *named);
        },
    );
}

#[test]
fn the_container_runtime_is_the_one_that_is_there() {
    let api = Api::start();
    let node = Node::new();
    node.write("run/crio/.keep", "");
    std::os::unix::fs::symlink("/run", node.at("var-run")).expect("a link");
    std::fs::create_dir(node.at("var")).expect("a directory");
    std::fs::rename(node.at("var-run"), node.at("var/run")).expect("var/run");
    let _crio = UnixListener::bind(node.at("run/crio/crio.sock")).expect("a socket");
    let join = node.join(&api).args("--with-kubelet-config");
    join.run().expect("prepared");
    assert_eq!(node.read(CONFIG), config_with("unix:///var/run/crio/crio.sock"));

    let _docker = UnixListener::bind(node.at("run/cri-dockerd.sock")).expect("a socket");
    join.run().expect("usage").says(&["several container runtimes", "--cri-socket"]);
    join.clone().args("--cri-socket /run/own.sock").run().expect("prepared");
    assert_eq!(node.read(CONFIG), config_with("unix:///run/own.sock"));
    assert_eq!(node.read(INSTANCE), "containerRuntimeEndpoint: \"unix:///run/own.sock\"\n");
}

#[test]
fn name_servers_are_those_of_systemd_resolved() {
    let (api, node) = (Api::start(), Node::new());
    node.write("run/systemd/resolve/resolv.conf", "nameserver 192.0.2.1\n");
    node.join(&api).args("--with-kubelet-config").run().expect("prepared");
    let text = node.read(CONFIG);
    assert!(
        text.contains("resolvConf: /run/systemd/resolve/resolv.conf\nrotateCertificates: true\n"),
        "{text}"
    );
}

/// Nothing is requested and nothing written when the cluster has no configuration that could be taken.
#[test]
fn a_configuration_of_no_use_ends_the_join_before_it_leaves_a_trace() {
    let huge = format!("{KUBELET_CONFIG}x: {}\n", "a".repeat(1 << 20));
    let cases: [(&str, Option<&str>, &str); 6] = [
        ("not there", None, "kubeadm init phase upload-config kubelet"),
        ("empty", Some(""), "not a KubeletConfiguration"),
        ("another kind", Some("apiVersion: v1\nkind: Pod\n"), "not a KubeletConfiguration"),
        ("not YAML", Some("a: [\n"), "syntax error"),
        ("larger than a ConfigMap can be", Some(&huge), "longer than 1 MiB"),
        (
            "a flow map",
            Some("{kind: KubeletConfiguration, apiVersion: kubelet.config.k8s.io/v1beta1}"),
            "YAML",
        ),
    ];
    all(
        &cases,
        |case| case.0.to_owned(),
        |(_, text, words)| {
            let (api, node) = (Api::start(), Node::new());
            api.cluster(|cluster| cluster.kubelet_config = text.map(str::to_owned));
            let run = node.join(&api).with_cert().args("--with-kubelet-config").run();
            run.expect("not-published").says(&[words]);
            assert_eq!(api.routes(), [Route::Discovery, Route::KubeletConfig]);
            assert_eq!(node.tree(), Vec::<String>::new());
        },
    );
}

#[test]
fn a_ready_node_of_this_name_is_left_alone() {
    let cases =
        [("Ready", Some("True"), false), ("not Ready", Some("False"), true), ("unheard of", None, true)];
    let cases: Vec<_> = cases.into_iter().chain([("unreachable", Some("Unknown"), true)]).collect();
    all(
        &cases,
        |case| case.0.to_owned(),
        |(_, ready, joins)| {
            let (api, node) = (Api::start(), Node::new());
            api.cluster(|cluster| ready.map(|ready| cluster.nodes.insert("n1".to_owned(), ready)));
            let run = node.join(&api).with_cert().args("--refuse-ready-node").run();
            if *joins {
                run.expect("joined");
                return;
            }
            run.expect("denied").says(&["a Ready Node n1 already exists", "another --node-name"]);
            assert_eq!(api.routes(), [Route::Discovery, Route::Node]);
            assert_eq!(node.tree(), Vec::<String>::new());
        },
    );
}

/// As every request with the token: 401 and 403 for ten seconds, 429 and 5xx until the deadline.
#[test]
fn what_may_heal_is_asked_again() {
    let cases =
        [(403, Some("refused")), (401, Some("refused")), (422, Some("denied")), (503, None), (429, None)];
    all(
        &cases,
        |case| case.0.to_string(),
        |(status, outcome)| {
            for route in [Route::KubeletConfig, Route::Node] {
                let (api, node, status) = (Api::start(), Node::new(), *status);
                let lasting = outcome.is_some();
                api.on(route, move |count, _, _| {
                    (lasting || count == 0).then(|| Reply::status(status, "no"))
                });
                let flags = "--with-kubelet-config --refuse-ready-node --tls-bootstrap-timeout 4s";
                let run = node.join(&api).with_cert().args(flags).run();
                match outcome {
                    None => {
                        run.expect("joined").says(&["retrying"]);
                        assert_eq!(api.count(route), 2);
                    }
                    Some(outcome) => {
                        run.expect(outcome);
                        assert_eq!(api.count(Route::Create), 0);
                        assert_eq!(node.tree(), Vec::<String>::new());
                    }
                }
            }
        },
    );
}

#[test]
fn an_answer_that_is_no_object_is_not_taken_for_one() {
    for route in [Route::KubeletConfig, Route::Node] {
        let (api, node) = (Api::start(), Node::new());
        api.on(route, |_, _, _| Some(Reply::text(200, "text/html", "<html>welcome</html>")));
        let run = node
            .join(&api)
            .args("--with-kubelet-config --refuse-ready-node --tls-bootstrap-timeout 1s")
            .run();
        run.expect("unreachable");
        assert_eq!(node.tree(), Vec::<String>::new());
    }
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let api = Api::start();
    for (args, words) in [
        ("--with-kubelet-config --taint a=b", "--taint expects"),
        ("--with-kubelet-config --kubelet-extra-arg v", "--kubelet-extra-arg expects"),
        ("--with-kubelet-config --cri-socket tcp://h:1", "--cri-socket expects"),
        ("--taint a=b", "--taint expects"),
        ("--kubelet-extra-arg v", "--kubelet-extra-arg expects"),
    ] {
        let node = Node::new();
        node.join(&api).args(args).run().expect("usage").says(&[words]);
        node.is_untouched_by(&api);
    }
    assert!(api.requests().is_empty());
}

/// kubeadm on the machine may upgrade the node one day: what that does is said while there is time to choose.
#[test]
fn a_machine_with_kubeadm_hears_what_an_upgrade_would_do() {
    const WORDS: &str = "joined without --with-kubelet-config: `kubeadm upgrade node` fails";
    let api = Api::start();
    for (kubeadm, flags, is_said) in [
        ("usr/bin/kubeadm", "", true),
        ("opt/bin/kubeadm", "", true),
        ("usr/bin/kubelet", "", false),
        ("usr/bin/kubeadm", "--with-kubelet-config", false),
    ] {
        let node = Node::new();
        node.write(kubeadm, "");
        let run = node.join(&api).with_cert().args(flags).run();
        run.expect("joined");
        assert_eq!(run.stderr.contains(WORDS), is_said, "{kubeadm} {flags}: {}", run.stderr);
    }
}

/// What the flag says, and what a JoinConfiguration says; the files lie below the root.
#[test]
fn patches_are_applied_below_the_root_before_anything_is_requested() {
    for way in ["flag", "configuration"] {
        let (api, node) = (Api::start(), Node::new());
        node.write("etc/patches/kubeletconfiguration0+json.yaml", "- {op: add, path: /maxPods, value: 40}\n");
        node.write(
            "etc/patches/kubeletconfiguration1.yaml",
            "maxPods: 50\ncontainerRuntimeEndpoint: unix:///other\n",
        );
        node.write("etc/patches/kube-apiserver.yaml", "a: [");
        let join = node.join(&api).with_cert().args("--with-kubelet-config");
        let join = match way {
            "flag" => join.args("--patches /etc/patches"),
            _ => join.env(
                "NODESTRAP_CONFIG",
                "{apiVersion: kubeadm.k8s.io/v1beta4, kind: JoinConfiguration, patches: {directory: /etc/patches}}",
            ),
        };
        let run = join.run();
        run.expect("joined").says(&["skipped, not for kubeletconfiguration: kube-apiserver.yaml"]);
        let (made, plain) = (node.read(CONFIG), config_with(CONTAINERD));
        assert!(made.contains("maxPods: 50\n") && !made.contains("unix:///other"), "{made}");
        assert!(plain.lines().all(|line| made.contains(line)), "{made}");
    }
}

#[test]
fn patches_that_cannot_be_applied_end_a_join_without_a_trace() {
    for (file, text, words) in [
        (
            "etc/patches/kubeletconfiguration+json.yaml",
            "- {op: remove, path: /none}",
            "operation 1: a path leads nowhere",
        ),
        ("etc/patches/kubeletconfiguration+x.yaml", "", "json, merge or strategic"),
        ("etc/other/kubeletconfiguration.yaml", "", "/etc/patches not found"),
    ] {
        let (api, node) = (Api::start(), Node::new());
        node.write(file, text);
        let before = node.tree();
        let run = node.join(&api).with_cert().args("--with-kubelet-config --patches /etc/patches").run();
        run.expect("usage").says(&[words]);
        assert_eq!(node.tree(), before);
        assert!(!api.routes().contains(&Route::Create), "{words}");
    }
    for (args, words) in [
        ("--patches /etc/patches", "--patches requires --with-kubelet-config"),
        ("--patches patches --with-kubelet-config", "expects the absolute path of a directory"),
    ] {
        let (api, node) = (Api::start(), Node::new());
        node.join(&api).with_cert().args(args).run().expect("usage").says(&[words]);
        node.is_untouched_by(&api);
    }
}
