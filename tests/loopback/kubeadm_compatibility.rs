//! In kubeadm's place: commands and files that were written for it.

use std::fs;

use crate::join_builder::{JoinBuilder, path};
use crate::support::api::{Api, Route};
use crate::support::node::{BOOTSTRAP_CONF, CA, Node};

const FLAGS: &str = "var/lib/kubelet/kubeadm-flags.env";

/// What goes into kubeadm-flags.env needs nothing of the cluster.
#[test]
fn what_is_for_the_kubelet_takes_effect_without_the_clusters_configuration() {
    let cases = [
        (
            "--taint a=b:NoSchedule --kubelet-extra-arg v=2 --cri-socket /run/c.sock",
            "",
            "--container-runtime-endpoint=unix:///run/c.sock --hostname-override=n1 \
             --register-with-taints=a=b:NoSchedule --v=2",
        ),
        (
            "",
            "  criSocket: unix:///run/c.sock\n  taints: [{key: node.cluster.x-k8s.io/uninitialized, effect: NoSchedule}]\n",
            "--container-runtime-endpoint=unix:///run/c.sock --hostname-override=n1 \
             --register-with-taints=node.cluster.x-k8s.io/uninitialized:NoSchedule",
        ),
        (
            "",
            "  kubeletExtraArgs: [{name: node-labels, value: a=b}]\n",
            "--hostname-override=n1 --node-labels=a=b",
        ),
        (
            "--cri-socket=/x.sock",
            "  criSocket: /y.sock\n",
            "--container-runtime-endpoint=unix:///x.sock --hostname-override=n1",
        ),
    ];
    crate::support::all(
        &cases,
        |case| format!("{} {}", case.0, case.1),
        |(args, fields, flags)| {
            let (api, node) = (Api::start(), Node::new());
            let file = node.beside("join.yaml");
            let text = format!(
                "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\nnodeRegistration:\n{fields}"
            );
            fs::write(&file, text).expect("a file");
            let args = format!("{args} --config {}", file.display());
            let text = format!("KUBELET_KUBEADM_ARGS=\"{flags}\"\n");
            node.join(&api).args(&args).run().expect("prepared");
            assert_eq!(node.files(), [BOOTSTRAP_CONF, CA, FLAGS]);
            assert_eq!((node.read(FLAGS), node.mode(FLAGS)), (text.clone(), 0o644));
            assert_eq!(api.routes(), [Route::Discovery]);

            let (api, node) = (Api::start(), Node::new());
            node.join(&api).args(&args).with_cert().run().expect("joined");
            assert_eq!(node.read(FLAGS), text);
            assert_eq!(api.routes(), [Route::Discovery, Route::Create, Route::Watch]);
            let requests = api.requests().len();
            node.write(FLAGS, "changed");
            node.join(&api).args(&args).with_cert().run().expect("already-joined");
            assert_eq!(node.read(FLAGS), "changed", "an administrator's word stays");
            fs::remove_file(node.root().join(FLAGS)).expect("it is there");
            node.join(&api).args(&args).with_cert().args("--dry-run").run().expect("already-joined");
            assert!(!node.has(FLAGS));
            node.join(&api).args(&args).with_cert().run().expect("already-joined");
            assert_eq!((node.read(FLAGS), api.requests().len()), (text, requests), "nobody is asked for it");
        },
    );
}

/// The command of Cluster API, kind and kubespray, as they write it.
/// What is given and has no effect is named, whatever it is and wherever it comes from.
#[test]
fn nothing_that_is_given_vanishes_in_silence() {
    let says = |way: JoinBuilder, named: &str| {
        let line = way.join_line();
        let said = way.variable("NODESTRAP_JOIN", line).joins();
        let expected = format!("accepted without effect: {named}\n");
        assert!(said.contains(&expected), "{named}: {said}");
    };
    says(JoinBuilder::new().with(&["--serving-timeout", "5s"]), "--serving-timeout");
    says(JoinBuilder::new().with(&["--bearer-token", "another-token-than-that"]), "--bearer-token");
    says(
        JoinBuilder::new().variable("NODESTRAP_TOKEN_FILE", "/run/token".to_owned()),
        "NODESTRAP_TOKEN_FILE",
    );
    let way = JoinBuilder::new();
    let file = way.file("variables", "NODESTRAP_ROOT=/mnt\nNODESTRAP_ARGS=\n");
    says(way.with(&["--env-file", &file.display().to_string()]), "NODESTRAP_ROOT");
    let way = JoinBuilder::new().with(&["--certificate-authority=/no-such-file"]);
    let line = way.join_line();
    let way = way.variable("NODESTRAP_JOIN", line);
    way.is_refused(2, "--certificate-authority is valid only with --server");
}

#[test]
fn commands_that_others_write_join_and_one_line_says_what_has_no_effect() {
    for words in [
        "--v=6 --skip-phases=preflight",
        "-v 4 --ignore-preflight-errors=all",
        "-v4 --ignore-preflight-errors=DirAvailable--etc-kubernetes-manifests,Swap --skip-phases=preflight",
    ] {
        let builder = JoinBuilder::new();
        let line = format!("{} {words}", builder.join_line().trim_end());
        let builder = builder.variable("NODESTRAP_JOIN", line);
        let said = builder.joins();
        let named: Vec<_> =
            said.lines().filter(|line| line.contains("accepted without effect: --v")).collect();
        assert_eq!(named.len(), 1, "{said}");
    }
    let builder = JoinBuilder::new();
    let line = format!("{} --v=6", builder.join_line().trim_end());
    let said = builder.variable("NODESTRAP_JOIN", line).with(&["--strict"]).joins();
    assert!(said.contains("accepted without effect: --v (NODESTRAP_JOIN)"), "{said}");
    for (flag, words) in [
        ("--control-plane", "--control-plane: nodestrap joins workers only"),
        ("--rootfs=/mnt", "help: use chroot DIR nodestrap join"),
        ("--skip-phases=kubelet-start", "kubelet-start cannot be skipped"),
        ("--discovery-tokn", "help: did you mean --discovery-token?"),
    ] {
        JoinBuilder::new().with(&[flag]).is_refused(2, words);
    }
}

/// A wrapper in kubeadm's place asks for the role and reads nothing else.
#[test]
fn the_role_of_a_join_is_printed_and_nothing_else_done() {
    for (more, role) in [("", "worker\n"), ("controlPlane: {certificateKey: abc}\n", "control-plane\n")] {
        let builder = JoinBuilder::new();
        let file = builder.file("join.yaml", &(builder.configuration() + more));
        let builder = builder.with(&["--config", path(&file), "-v4", "--print-role"]);
        let output = builder.run();
        assert_eq!((output.code, output.stdout.as_str()), (Some(0), role));
        assert_eq!(output.stderr, "");
        builder.node.is_untouched_by(&builder.api);
    }
    let builder = JoinBuilder::new().with(&["--config", "/nonexistent/join.yaml", "--print-role"]);
    builder.is_refused(2, "not found");
}
