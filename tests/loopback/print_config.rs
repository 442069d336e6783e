//! What was decided, as `--print-config` shows it, and errors that say where to look.

use crate::join_builder::{JoinBuilder, path};
use crate::support::api::TOKEN;
use crate::support::pki::{Authority, DAY, valid};

#[test]
fn print_config_shows_origins_and_no_secret() {
    let builder = JoinBuilder::new();
    let line = builder.join_line();
    let builder = builder.variable("NODESTRAP_JOIN", line).with(&["--print-config"]);
    let output = builder.run();
    let text = output.stdout;
    assert!(
        text.contains("token: *** (environment)") && text.contains("node-name: n1 (command line)"),
        "{text}"
    );
    assert_eq!(builder.api.requests().len(), 0);
}

fn printed(builder: &JoinBuilder) -> (Option<i32>, String, String) {
    let run = builder.run();
    (run.code, run.stdout, run.stderr)
}

/// What has commas in it has a line for each value, and nothing is cut.
#[test]
fn print_config_prints_lists_that_can_be_given_again() {
    let pins: Vec<String> = (10..20).map(|n| format!("sha256:{}", n.to_string().repeat(32))).collect();
    let builder = JoinBuilder::new();
    let line = builder.join_line();
    let pins = pins.join(",");
    let given = [
        "--kubelet-extra-arg=node-labels=a=1,b=2",
        "--kubelet-extra-arg=v=2",
        "--taint=k=v:NoSchedule",
        "--taint=b:NoExecute",
        "--discovery-token-ca-cert-hash",
        &pins,
    ];
    let builder = builder
        .variable("NODESTRAP_JOIN", line)
        .with(&["--print-config", "--with-kubelet-config"])
        .with(&given);
    let (code, said, _) = printed(&builder);
    assert_eq!(code, Some(0), "{said}");
    for line in [
        "kubelet-extra-arg: node-labels=a=1,b=2 (command line)\nkubelet-extra-arg: v=2 (command line)\n",
        "taint: k=v:NoSchedule (command line)\ntaint: b:NoExecute (command line)\n",
        &format!("discovery-token-ca-cert-hash: {pins} (command line)\n"),
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

/// A join would wait for the clock.
#[test]
fn print_config_takes_a_ca_that_is_not_valid_yet() {
    let builder = JoinBuilder::new();
    let later = Authority::with("later", |params| valid(params, 30 * DAY, 60 * DAY));
    let builder = builder.by_the_operators_word(&later.pem()).with(&["--print-config"]);
    let (code, said, told) = printed(&builder);
    assert!(code == Some(0) && said.contains("certificate-authority"), "{said}{told}");
}

#[test]
fn print_config_tells_unknown_fields_and_refuses_what_a_join_would() {
    let builder = JoinBuilder::new();
    let config = builder.file("join.yaml", &(builder.configuration() + "nodeRegistration: {nmae: x}\n"));
    let builder = builder.with(&["--config", path(&config), "--print-config"]);
    let (code, said, told) = printed(&builder);
    assert_eq!(code, Some(0), "{told}");
    assert!(
        said.contains("(configuration)\n") && told.contains("warning: unknown field nodeRegistration.nmae")
    );

    for (words, text) in [
        (&["--strict"][..], "unknown field nodeRegistration.nmae"),
        (&["--token-file", "/nonexistent/token"], "--token-file: /nonexistent/token: not found"),
        (&["--node-name", "n_1"], "--node-name: node name is not a DNS-1123 subdomain"),
        (&["--root", "/nonexistent"], "the root /nonexistent cannot be opened"),
        (&["--taint", "x", "--with-kubelet-config"], "--taint expects KEY=VALUE:EFFECT"),
        (&["--cert-dir", "pki"], "--cert-dir expects an absolute path"),
    ] {
        let builder = JoinBuilder::new();
        let config = builder.file("join.yaml", &(builder.configuration() + "nodeRegistration: {nmae: x}\n"));
        let builder = builder.with(&["--config", path(&config), "--print-config"]).with(words);
        let (code, said, told) = printed(&builder);
        assert!(code == Some(2) && said.is_empty() && told.contains(text), "{words:?}: {said}{told}");
    }
    // So are pins that given CAs do not have.
    let pin = Authority::new("x").pin();
    let with_other_pin =
        |builder: JoinBuilder| builder.with(&["--print-config", "--discovery-token-ca-cert-hash", &pin]);
    let builder = JoinBuilder::new();
    let (info, token) =
        (builder.file("info", &builder.config_map().to_string()), builder.file("token", TOKEN));
    with_other_pin(builder.with(&["--cluster-info", path(&info), "--token-file", path(&token)]))
        .is_refused(5, "not pinned");
    let builder = JoinBuilder::new();
    let ca = builder.api.authority.pem();
    with_other_pin(builder.by_the_operators_word(&ca)).is_refused(5, "not pinned");
    // What is needed and was never said is told, too.
    let builder = JoinBuilder::new().with(&["--print-config"]);
    builder.is_refused(2, "API server address not set");
}

/// Setting, source and file: whoever reads the line knows where to look.
#[test]
fn errors_name_setting_source_and_file() {
    let builder = JoinBuilder::new();
    let config = builder.file("join.yaml", &builder.configuration().replace("discovery:", "discovery: ["));
    let shown = format!("(in --config: {})", path(&config));
    builder.with(&["--config", path(&config)]).is_refused(2, &shown);
    for (variable, text, words) in [
        ("NODESTRAP_CONFIG", "kind: [", "invalid configuration"),
        ("NODESTRAP_CONFIG", "kind: [", "(in NODESTRAP_CONFIG)"),
        (
            "NODESTRAP_JOIN",
            "kubeadm join h:1 --timeout soon",
            "--timeout (NODESTRAP_JOIN) expects a duration",
        ),
        ("NODESTRAP_JOIN", "kubeadm join h:1 --wat", "unknown option --wat (in NODESTRAP_JOIN)"),
        ("NODESTRAP_JOIN", "kubeadm join h", "HOST:PORT (NODESTRAP_JOIN): invalid API server address"),
        ("NODESTRAP_TOKEN", "abcdef", "--token (NODESTRAP_TOKEN) is not a bootstrap token"),
    ] {
        let builder = JoinBuilder::new();
        let builder = if variable == "NODESTRAP_TOKEN" { builder.with(&["h:1"]) } else { builder };
        builder.variable(variable, text.to_owned()).is_refused(2, words);
    }
    for (version, kubeadm) in [
        ("v1beta1", "v1.15, then with kubeadm v1.22"),
        ("v1beta2", "v1.22"),
        ("v1alpha3", "v1.14, then with"),
    ] {
        let builder = JoinBuilder::new();
        let text = builder.configuration().replace("v1beta4", version);
        let words = format!("migrate it with kubeadm {kubeadm}");
        builder.variable("NODESTRAP_CONFIG", text).is_refused(2, &words);
    }
}
