//! A secret in the wrong place: by every flag and every source, it is in no line, no answer and no report.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::join_builder::{JoinBuilder, path};
use crate::support::api::{Api, TOKEN};
use crate::support::node::Node;
use crate::support::run;

/// The secret part of each of [`SECRETS`], in the case that it has there.
const PARTS: [&str; 3] = ["0123456789abcdef", "0123456789ABCDEF", "WlhsS2FHSkhZMmxQYVVw"];

/// What people give in place of something else: the token itself, another one, with slips, and a bearer token.
const SECRETS: [&str; 10] = [
    TOKEN,
    "ghijkl.0123456789abcdef",
    "ABCDEF.0123456789ABCDEF",
    "abcdef.0123456789abcdef0",
    "\"abcdef.0123456789abcdef\"",
    "abcdef%2E0123456789abcdef",
    "abcdef.0123456789abcdef\n",
    "abcdef0123456789abcdef",
    "/abcdef.0123456789abcdef",
    "eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.WlhsS2FHSkhZMmxQYVVwVFZYb3g.WlhsS2FHSkhZMmxQYVVw",
];

/// Asserts that nothing of a secret was said, and nothing is in the report.
fn says_nothing(what: &str, output: &Output, report: &Path) {
    let report = fs::read_to_string(report).unwrap_or_default();
    let said = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
    for part in PARTS {
        assert!(!said.contains(part) && !report.contains(part), "{what}: {said}\n{report}");
    }
    assert!(output.status.code().is_some(), "{what}");
}

/// Runs the program in a folder of its own, with a report.
fn run_with(node: &Node, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = run::command();
    command
        .args(arguments)
        .args(["--report", path(&node.beside("report.json"))])
        .envs(variables.iter().copied())
        .current_dir(node.root())
        .stdin(Stdio::null());
    run::output(&mut command)
}

/// The names of all flags, as the help has them.
fn flags() -> Vec<String> {
    let help = run::command().arg("--help").output().expect("help").stdout;
    let help = String::from_utf8(help).expect("text");
    let words = help.split(|c: char| c.is_whitespace() || ",[]=".contains(c));
    let mut flags: Vec<String> =
        words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned).collect();
    flags.sort();
    flags.dedup();
    assert!(flags.len() > 40, "{flags:?}");
    flags.extend(["--no-such-flag", "--bearer-token-file", "--tls-bootstrap-token-file"].map(str::to_owned));
    flags
}

/// Flags that take a name: what is a good one is in use, and may have a token's shape.
const NAMES: [&str; 3] = ["--node-name", "--hostname-override", "--san"];

#[test]
fn no_flag_repeats_a_secret() {
    let api = Api::start();
    let (endpoint, pin) = (api.endpoint(), api.authority.pin());
    let flags = flags();
    crate::support::all(&flags, Clone::clone, |flag| {
        for secret in SECRETS {
            let is_a_good_name = !secret.contains(['"', '/', '%']) && !secret.starts_with("eyJ");
            if NAMES.contains(&flag.as_str()) && is_a_good_name && secret != TOKEN {
                continue;
            }
            let node = Node::new();
            let token = node.beside("token");
            fs::write(&token, TOKEN).expect("a token");
            let root = node.root().display().to_string();
            let attached = format!("{flag}={secret}");
            let joined = format!("{flag}{secret}");
            for words in [vec![flag.as_str(), secret], vec![&attached], vec![&joined]] {
                for print in [&["--print-config"][..], &["--timeout", "2s"]] {
                    let way = ["join", &endpoint, "--token-file", path(&token)];
                    let rest =
                        ["--discovery-token-ca-cert-hash", &pin, "--root", &root, "--with-serving-cert"];
                    let arguments = [&way[..], &rest, &["--serving-timeout", "0s"], print, &words].concat();
                    let output = run_with(&node, &arguments, &[]);
                    says_nothing(&format!("{arguments:?}"), &output, &node.beside("report.json"));
                }
            }
        }
    });
}

#[test]
fn no_word_in_another_place_is_repeated() {
    let node = Node::new();
    for secret in SECRETS {
        for arguments in [
            vec![secret],
            vec!["join", secret],
            vec!["kubeadm", secret],
            vec!["join", "h:1", secret],
            vec!["join", &format!("{secret}:6443"), "--token", TOKEN],
            vec!["join", "h:1", &format!("--{secret}")],
            vec!["join", "h:1", &format!("-{secret}")],
            vec!["ca-hash", secret],
            vec!["verify", "--cluster-info", secret, "--token", TOKEN],
            vec!["check", secret],
            vec!["check", "--root", secret],
            vec!["join", "--server", &format!("https://u:{secret}@h"), "--token", TOKEN],
            vec!["join", "--discovery-file", &format!("https://h/a?token={secret}"), "--token", TOKEN],
            vec!["join", "--cluster-info", &format!("https://u:{secret}@h/a"), "--token", TOKEN],
        ] {
            let output = run_with(&node, &arguments, &[]);
            says_nothing(&format!("{arguments:?}"), &output, &node.beside("report.json"));
        }
    }
}

#[test]
fn no_source_repeats_a_secret() {
    let node = Node::new();
    let root = node.root().display().to_string();
    let folder = node.beside("credentials");
    fs::create_dir(&folder).expect("a folder");
    for secret in SECRETS {
        for text in [
            secret.to_owned(),
            format!("kubeadm join h:1 --token {secret} {secret}"),
            format!("kubeadm join h:1 --tokn {secret}"),
            format!("kubeadm join {secret} --discovery-token-ca-cert-hash {secret}"),
            format!("kubeadm join h:1 --token-file {secret} --discovery-token-unsafe-skip-ca-verification"),
            format!("{{{secret}: [}}"),
            format!("kind: JoinConfiguration\napiVersion: kubeadm.k8s.io/{secret}\n"),
            // A field's name is shown; one without a dot has not a token's shape.
            format!("kind: JoinConfiguration\napiVersion: kubeadm.k8s.io/v1beta4\na.{secret}: x\n"),
            format!("kind: JoinConfiguration\napiVersion: kubeadm.k8s.io/v1beta4\ncontrolPlane: {secret}\n"),
            format!(
                "kind: JoinConfiguration\napiVersion: kubeadm.k8s.io/v1beta4\ndiscovery: {{file: {{kubeConfigPath: {secret}}}}}\n"
            ),
            format!(
                "kind: JoinConfiguration\napiVersion: kubeadm.k8s.io/v1beta4\ntimeouts: {{discovery: {secret}}}\n"
            ),
        ] {
            if text.contains("\na.abcdef0") {
                continue;
            }
            let join = ["join", "--node-name", "n1", "--root", &root];
            for variable in ["NODESTRAP_TOKEN", "NODESTRAP_JOIN", "NODESTRAP_CONFIG"] {
                let output = run_with(&node, &join, &[(variable, &text)]);
                says_nothing(&format!("{variable} {text}"), &output, &node.beside("report.json"));
            }
            for name in ["nodestrap.token", "nodestrap.join", "nodestrap.config"] {
                fs::write(folder.join(name), &text).expect("a credential");
                let output = run_with(&node, &join, &[("CREDENTIALS_DIRECTORY", path(&folder))]);
                says_nothing(&format!("{name} {text}"), &output, &node.beside("report.json"));
                fs::remove_file(folder.join(name)).expect("a credential");
            }
            let file = node.beside("file");
            fs::write(&file, &text).expect("a file");
            for flag in [
                "--config",
                "--cluster-info",
                "--discovery-file",
                "--bootstrap-kubeconfig",
                "--certificate-authority",
                "--token-file",
                "--bearer-token-file",
            ] {
                let way = match flag {
                    "--certificate-authority" | "--bearer-token-file" => &["--server", "https://h:1"][..],
                    "--token-file" => &["h:1"],
                    _ => &[],
                };
                let token = if flag.contains("token") { &[][..] } else { &["--token", TOKEN] };
                let arguments = [&join[..], way, token, &["--timeout", "1s", flag, path(&file)]].concat();
                let output = run_with(&node, &arguments, &[]);
                says_nothing(&format!("{flag} {text}"), &output, &node.beside("report.json"));
            }
        }
    }
}

/// Settings that hold a mistyped secret, each by what names it: `nodestrap.join` and the like.
fn settings(secret: &str) -> [(&'static str, String); 5] {
    let configuration = format!(
        "kind: JoinConfiguration\napiVersion: kubeadm.k8s.io/v1beta4\ndiscovery: {{file: {{kubeConfigPath: {}}}}}\n",
        secret.trim_end()
    );
    [
        ("nodestrap.token", secret.to_owned()),
        ("nodestrap.join", format!("kubeadm join h:1 --token-file {secret} --discovery-file {secret}")),
        ("nodestrap.join", format!("kubeadm join {secret}:6443 --tokn {secret}")),
        ("nodestrap.config", secret.to_owned()),
        ("nodestrap.config", BASE64_STANDARD.encode(configuration)),
    ]
}

#[test]
fn no_kernel_command_line_repeats_a_secret() {
    let node = Node::new();
    let (root, report) = (node.root().display().to_string(), node.beside("report.json"));
    let line = node.beside("cmdline");
    for secret in SECRETS {
        for (name, value) in settings(secret) {
            for quote in ["\"", ""] {
                let text = format!("quiet {name}={quote}{value}{quote} nodestrap.x={secret} {secret}\n");
                fs::write(&line, &text).expect("a file");
                for more in [&["--print-config"][..], &["--timeout", "1s"]] {
                    let mut command = run::command_under(&line);
                    command.args(["join", "--node-name", "n1", "--root", &root, "--report", path(&report)]);
                    let output = command.args(more).stdin(Stdio::null()).output().expect("it ends");
                    says_nothing(&text, &output, &report);
                    assert_ne!(output.status.code(), Some(32), "{text}: the bind failed");
                }
            }
        }
    }
}

/// Where nothing is asked yet, and a way may have lost to a stronger one.
#[test]
fn print_config_shows_no_secret_of_any_source() {
    let node = Node::new();
    let root = node.root().display().to_string();
    let (folder, token) = (node.beside("credentials"), node.beside("token"));
    fs::create_dir(&folder).expect("a folder");
    fs::write(&token, TOKEN).expect("a token");
    let print = ["join", "--print-config", "--node-name", "n1", "--root", &root];
    let stronger = ["h:1", "--token-file", path(&token), "--discovery-token-unsafe-skip-ca-verification"];
    for secret in SECRETS {
        for (name, value) in settings(secret) {
            let decoded = BASE64_STANDARD.decode(&value).ok().and_then(|text| String::from_utf8(text).ok());
            let value = decoded.unwrap_or(value);
            let variable = name.to_uppercase().replace('.', "_");
            fs::write(folder.join(name), &value).expect("a credential");
            for more in [&[][..], &stronger] {
                // A way that lost is printed, not tried: without a dot it could be a file's name.
                if !more.is_empty() && !secret.contains(['.', '%']) {
                    continue;
                }
                let arguments = [&print[..], more].concat();
                for source in [(variable.as_str(), value.as_str()), ("CREDENTIALS_DIRECTORY", path(&folder))]
                {
                    let output = run_with(&node, &arguments, &[source]);
                    says_nothing(&format!("{source:?} {name} {value}"), &output, &node.beside("report.json"));
                }
            }
            fs::remove_file(folder.join(name)).expect("a credential");
        }
    }
}

/// A token in a file's place was shown in serde's words.
#[test]
fn of_a_parsers_words_class_and_place_are_told() {
    let builder = JoinBuilder::new();
    let file = builder.file("info", &format!("{{\"data\": \"{TOKEN}\"}}"));
    let builder = builder.with(&["--cluster-info", path(&file), "--token", TOKEN]);
    builder.is_refused(2, "is not a ConfigMap");
}

/// The slip that the warning about tokens on command lines invites.
#[test]
fn a_token_in_a_files_place_is_told_by_its_flag() {
    let (api, node) = (Api::start(), Node::new());
    let run =
        node.join(&api).token("").secret("0123456789abcdef").args(&format!("--token-file {TOKEN}")).run();
    run.expect("usage").says(&["--token-file: the given file (not shown: it may be a secret): not found"]);
    let run = node.join(&api).name(TOKEN).secret("0123456789abcdef").with_cert().run();
    run.expect("usage").says(&["--node-name holds a token"]);
    assert_eq!(api.connections().len(), 0);
}

/// A name that happens to have a token's shape is in use, and stays readable.
#[test]
fn a_node_whose_name_has_a_tokens_shape_joins_and_is_named() {
    let name = "node01.prodclustereast1";
    let (api, node) = (Api::start(), Node::new());
    let run = node.join(&api).name(name).with_cert().run();
    run.expect("joined")
        .says(&[&format!("submitted for system:node:{name}"), &format!("joined: {name} can")]);
    assert_eq!(run.report()["nodeName"], name);
    let run = node.join(&api).name(name).with_cert().run();
    run.expect("already-joined").says(&[&format!("already joined: {name}")]);
    assert_eq!(run.report()["nodeName"], name);
    // The other node's name, where the disk is another's.
    let run = node.join(&api).name("n2").with_cert().run();
    run.expect("files").says(&[name]);
    // A host, too, that nobody is at.
    let words = "node02.prodclustereast1:1 --timeout 1s";
    let run = Node::new().join(&api).endpoint("").name(name).with_cert().args(words).run();
    run.expect("unreachable").says(&["node02.prodclustereast1"]);
    assert_eq!(run.report()["nodeName"], name);
    let builder = JoinBuilder::new().without("n1");
    let line = builder.join_line();
    let at = builder.arguments.iter().position(|word| word == "--node-name").expect("a flag");
    let mut builder = builder.variable("NODESTRAP_JOIN", line).with(&["--print-config"]);
    builder.arguments.insert(at + 1, name.to_owned());
    let run = builder.run();
    run.check_success();
    assert!(run.stdout.contains(&format!("node-name: {name} (command line)\n")), "{}", run.stdout);
}

/// A source of higher precedence was taken, so nobody has looked at it.
#[test]
fn print_config_hides_the_user_of_a_url_that_lost() {
    let (api, node) = (Api::start(), Node::new());
    let (endpoint, pin) = (api.endpoint(), api.authority.pin());
    let root = node.root().display().to_string();
    for lost in [
        "--discovery-file https://user:hunter2@h/a",
        "--discovery-file https://user:hun/ter2@h/a",
        "--cluster-info https://user:hunter2@h/a?sig=hunter2",
        "--server https://user:hunter2@h",
        "--server user:hunter2@h:1",
        "user:hunter2@h:1",
        "--bootstrap-kubeconfig https://user:hunter2@h",
    ] {
        let line = format!("kubeadm join {lost}");
        // The command line has the higher precedence.
        let kubeconfig = node.beside("discovery.conf");
        let builder = JoinBuilder::new();
        fs::write(&kubeconfig, builder.kubeconfig(&format!("{{token: {TOKEN}}}"))).expect("a file");
        for arguments in [
            vec!["join", &endpoint, "--token", TOKEN, "--discovery-token-ca-cert-hash", &pin],
            vec!["join", "--discovery-file", path(&kubeconfig)],
        ] {
            let rest = ["--print-config", "--root", &root, "--node-name", "n1"];
            let output = run_with(&node, &[&arguments[..], &rest].concat(), &[("NODESTRAP_JOIN", &line)]);
            let said =
                [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
            assert_eq!(output.status.code(), Some(0), "{lost}: {said}");
            assert!(
                !said.contains("hunter2") && !said.contains("ter2@") && !said.contains("user:"),
                "{said}"
            );
        }
    }
}
