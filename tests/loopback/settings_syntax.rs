//! Join lines as people keep them, files of variables as systemd reads them, and what is no text.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::Arc;

use crate::join_builder::{JoinBuilder, path};
use crate::support::api::{Api, Setup, TOKEN};
use crate::support::node::Node;
use crate::support::pki::Authority;
use crate::support::proxy::Proxy;
use crate::support::run;

#[test]
fn a_join_line_is_read_as_a_shell_reads_it() {
    for line in [
        "kubeadm join \"E\" --token \"T\" --discovery-token-ca-cert-hash \"P\"",
        "kubeadm join 'E' --token='T' --discovery-token-ca-cert-hash='P'\n",
        "kubeadm join E --tok\\\nen T --discovery-token-ca-cert-hash \\\n  P",
        "kubeadm join E \\\r\n  --token T \\\r\n  --discovery-token-ca-cert-hash P\r\n",
        "kubeadm join \"E\" \\\n\t--token \"T\" \\\n\t--discovery-token-ca-cert-hash \"P\" \\\n",
        "sudo kubeadm join E --token T --discovery-token-ca-cert-hash P",
        "sudo /usr/bin/kubeadm join E --token T --discovery-token-ca-cert-hash P",
        "# a worker\nkubeadm join E --token T --discovery-token-ca-cert-hash P # until noon",
        "kubeadm join E/ --token T --discovery-token-ca-cert-hash P",
        "kubeadm join E --token T \\    --discovery-token-ca-cert-hash P",
        "join E --token \"abcdef\".'0123456789abcdef' --discovery-token-ca-cert-hash P",
    ] {
        let builder = JoinBuilder::new();
        let (endpoint, pin) = (builder.api.endpoint(), builder.api.authority.pin());
        let line = line.replace('E', &endpoint).replace('P', &pin).replace('T', TOKEN);
        builder.variable("NODESTRAP_JOIN", line).joins();
    }
}

#[test]
fn a_configuration_says_what_it_says_to_kubeadm() {
    for (version, more) in [
        ("v1beta4", "controlPlane:\ndryRun: null\ntimeouts:\n"),
        (
            "v1beta4",
            "controlPlane: null\ndryRun: off\nnodeRegistration: {kubeletExtraArgs: [{name: v}, {name: w, value: }]}\n",
        ),
        (
            "v1beta4",
            "controlPlane: ~\ndryRun: no\ntimeouts: {discovery: null}\nnodeRegistration: {taints: [null], imagePullSerial: yes}\n",
        ),
        (
            "v1beta3",
            "controlPlane: \nnodeRegistration: {name: , criSocket: null, kubeletExtraArgs: {v: }}\npatches: null\n",
        ),
    ] {
        let builder = JoinBuilder::new();
        let text = format!(
            "apiVersion: kubeadm.k8s.io/{version}\nkind: JoinConfiguration\ndiscovery:\n  file: null\n  bootstrapToken:\n    \
             token: {TOKEN}\n    apiServerEndpoint: {}/\n    caCertHashes: ~\n    unsafeSkipCAVerification: yes\n  \
             tlsBootstrapToken:\n{more}",
            builder.api.endpoint()
        );
        let file = builder.file("join.yaml", &text);
        let said = builder.with(&["--config", path(&file), "--with-kubelet-config"]).joins();
        assert!(!said.contains("unknown field"), "{said}");
    }
    for (more, words) in [
        ("controlPlane: {}\n", "workers only"),
        ("controlPlane: {localAPIEndpoint: null}\n", "workers only"),
        ("nodeRegistration: {name: on}\n", "nodeRegistration.name"),
        ("dryRun: 'yes'\n", "dryRun"),
        ("nodeRegistration: {kubeletExtraArgs: [{value: '1'}]}\n", "nodeRegistration.kubeletExtraArgs"),
    ] {
        let builder = JoinBuilder::new();
        let text = builder.configuration() + more;
        let file = builder.file("join.yaml", &text);
        builder.with(&["--config", path(&file)]).is_refused(2, words);
    }
}

#[test]
fn a_kubeconfig_with_empty_fields_says_what_it_says_to_client_go() {
    for fields in [
        "as: '', as-uid: '', as-groups: [], as-user-extra: {}, username: '', password: ''",
        "as: null, as-groups: null, as-user-extra: , exec: null, auth-provider: ~, username: ",
        "extensions: [], tokenFile: '', client-certificate: '', client-key-data: null",
    ] {
        for flag in ["--discovery-file", "--bootstrap-kubeconfig"] {
            let builder = JoinBuilder::new();
            let text = builder.kubeconfig(&format!("{{token: {TOKEN}, {fields}}}"));
            let text = text.replace(
                "{server:",
                "{proxy-url: '', tls-server-name: , insecure-skip-tls-verify: no, server:",
            );
            let file = builder.file("kubeconfig", &format!("preferences: null\nextensions:\nkind:\n{text}"));
            builder.with(&[flag, path(&file)]).joins();
        }
    }
    for (fields, words) in [
        ("exec: {}", "exec of its user"),
        ("auth-provider: {}", "auth-provider of its user"),
        ("as-groups: [g]", "as-groups of its user"),
        ("as-user-extra: {a: []}", "as-user-extra of its user"),
    ] {
        let builder = JoinBuilder::new();
        let text = builder.kubeconfig(&format!("{{token: {TOKEN}, {fields}}}"));
        let file = builder.file("kubeconfig", &text);
        builder.with(&["--discovery-file", path(&file)]).is_refused(2, words);
    }
}

#[test]
fn a_join_line_with_an_open_quote_or_without_end_is_an_error() {
    let long = format!("kubeadm join {}", "a ".repeat(100_000));
    for (line, words) in [
        ("kubeadm join h:1 --token \"abcdef.0123456789abcdef", "a quote is not closed"),
        ("kubeadm join h:1 --token 'abcdef.0123456789abcdef --x y", "a quote is not closed"),
        ("'kubeadm join' h:1", "it begins with: kubeadm join"),
        (long.as_str(), "longer than 128 KiB"),
    ] {
        let builder = JoinBuilder::new();
        let folder = builder.node.beside("credentials");
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("nodestrap.join"), line).expect("a credential");
        builder.variable("CREDENTIALS_DIRECTORY", path(&folder).to_owned()).is_refused(2, words);
    }
}

#[test]
fn a_source_that_is_no_text_is_an_error_and_not_nothing() {
    for name in ["NODESTRAP_TOKEN", "NODESTRAP_JOIN", "NODESTRAP_CONFIG"] {
        let builder = JoinBuilder::new();
        let (endpoint, pin) = (builder.api.endpoint(), builder.api.authority.pin());
        let bytes = [builder.join_line().as_bytes(), b"\xff"].concat();
        let mut command = run::command();
        command
            .args(&builder.arguments)
            .args([&endpoint, "--token", TOKEN, "--discovery-token-ca-cert-hash", &pin])
            .env(name, OsString::from_vec(bytes));
        let output = run::output(&mut command);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("{name} is not UTF-8")) && !said.contains("0123456789"), "{said}");
        builder.node.is_untouched_by(&builder.api);
    }
}

#[test]
fn a_kernel_command_line_that_is_no_text_is_an_error_where_it_has_settings() {
    for (line, code) in [
        (&b"quiet x=\xff nodestrap.join=\"L\"\n"[..], 2),
        (b"nodestrap.token=\xff\n", 2),
        (b"quiet x=\xff\n", 0),
        (b"quiet nodestrap.token=T y\n", 0),
    ] {
        let builder = JoinBuilder::new();
        let (endpoint, pin) = (builder.api.endpoint(), builder.api.authority.pin());
        let mut bytes = Vec::new();
        for byte in line {
            match byte {
                b'L' => bytes.extend(builder.join_line().replace('\\', "").bytes()),
                b'T' => bytes.extend(TOKEN.bytes()),
                other => bytes.push(*other),
            }
        }
        let file = builder.node.beside("cmdline");
        fs::write(&file, bytes).expect("a file");
        let mut command = run::command_under(&file);
        command.args(&builder.arguments).args([&endpoint, "--discovery-token-ca-cert-hash", &pin]);
        if code == 0 && line.ends_with(b"\xff\n") {
            command.args(["--token-file", path(&builder.file("token", TOKEN))]);
        }
        let output = run::output(&mut command);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert_eq!(said.contains("the kernel command line is not UTF-8"), code == 2, "{said}");
        assert!(!said.contains("0123456789abcdef"), "{said}");
    }
}

#[test]
fn a_file_of_variables_is_what_the_unit_has() {
    // Without a line break at its end, over several lines, in quotes, with comments, and nothing is a pattern.
    for text in [
        "A=@e --token-file=@f --discovery-token-ca-cert-hash=@p --pin-every-ca",
        "# ours\n; too\nA=\"@e --token-file=@f \\\n --discovery-token-ca-cert-hash='@p' --pin-every-ca\"\n",
        "A='x'\nA = @e --token-file \"@f\" --discovery-token-ca-cert-hash @p --pin-every-ca\r\n",
        "NODESTRAP_JOIN='kubeadm join @e --token @t --discovery-token-ca-cert-hash @p'\nA=--pin-every-ca",
        "NODESTRAP_TOKEN=@t\nA=@e --discovery-token-ca-cert-hash @p --pin-every-ca --node-name='n1'",
    ] {
        let builder = JoinBuilder::new();
        let token = builder.file("to*en?", TOKEN);
        let text = text
            .replace("A=", "NODESTRAP_ARGS=")
            .replace("A =", "NODESTRAP_ARGS =")
            .replace("@e", &builder.api.endpoint())
            .replace("@f", path(&token))
            .replace("@p", &builder.api.authority.pin())
            .replace("@t", TOKEN);
        let file = builder.file("variables", &text);
        let printed = JoinBuilder::new().with(&["--env-file", path(&file), "--print-config"]).run();
        let printed = printed.stdout;
        assert!(printed.contains("pin-every-ca: true (command line)\n"), "{text}: {printed}");
        builder.with(&["--env-file", path(&file)]).joins();
    }
}

#[test]
fn a_file_of_variables_counts_over_the_environment_and_behind_the_own_arguments() {
    let builder = JoinBuilder::new();
    let (endpoint, pin) = (builder.api.endpoint(), builder.api.authority.pin());
    let text = format!("NODESTRAP_TOKEN={TOKEN}\nNODESTRAP_JOIN=\nNODESTRAP_ARGS=--timeout=77s {endpoint}\n");
    let file = builder.file("variables", &text);
    let builder = builder
        .with(&["--timeout", "2m", "--env-file", path(&file), "--discovery-token-ca-cert-hash", &pin])
        .variable("NODESTRAP_TOKEN", "mistyped".to_owned())
        .variable("NODESTRAP_JOIN", "none".to_owned());
    let printed = builder.joins();
    assert!(!printed.contains("mistyped"), "{printed}");
    let printed = builder.with(&["--print-config"]).run().stdout;
    assert!(printed.contains("timeout: 77s (command line)\n"), "{printed}");
}

#[test]
fn a_proxy_in_a_file_of_variables_is_used() {
    let authority = Arc::new(Authority::new("kubernetes"));
    let identity = Some(authority.server(&["api.example", "localhost"]));
    let server = Some("https://api.example:6443".to_owned());
    let (api, node) = (Api::with(Setup { authority, identity, server, ..Setup::default() }), Node::new());
    let proxy = Proxy::to(api.address());
    let file = node.beside("variables");
    let text = format!("HTTPS_PROXY=\"http://{}\"\nNO_PROXY=\n", proxy.endpoint());
    fs::write(&file, text).expect("a file");
    let join = node.join(&api).endpoint("api.example:6443").with_cert().env("NO_PROXY", "api.example");
    join.args(&format!("--env-file {}", file.display())).run().expect("joined");
    assert_eq!(proxy.targets(), ["api.example:6443"]);
}

#[test]
fn a_file_of_variables_that_cannot_be_read_is_an_error() {
    for (text, words) in [
        (b"NODESTRAP_ARGS=\xff\n".to_vec(), "is not UTF-8 text"),
        (b"A=b\n".repeat(300_000), "larger than 1 MiB"),
        ([b"NODESTRAP_ARGS=", &b"a ".repeat(70_000)[..]].concat(), "longer than 128 KiB"),
        (b"NODESTRAP_ARGS=--env-file=/etc/other\n".to_vec(), "--env-file is not valid in NODESTRAP_ARGS"),
        (b"NODESTRAP_ARGS=--no-such-flag\n".to_vec(), "unknown option --no-such-flag"),
    ] {
        let builder = JoinBuilder::new();
        let file = builder.node.beside("variables");
        fs::write(&file, text).expect("a file");
        builder.with(&["--env-file", path(&file)]).is_refused(2, words);
    }
    JoinBuilder::new().with(&["--env-file", "/nonexistent"]).is_refused(2, "/nonexistent");
}

#[test]
fn an_empty_file_of_variables_says_nothing() {
    let builder = JoinBuilder::new();
    let (file, line) = (builder.file("variables", ""), builder.join_line());
    builder.variable("NODESTRAP_JOIN", line).with(&["--env-file", path(&file)]).joins();
}
