//! The command line: what is wrong with it is told with exit code 2, and never with a secret.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use crate::support::api::{Api, TOKEN};
use crate::support::node::Node;
use crate::support::run::{self, Finished};

const PIN: &str = "sha256:00000000000000000000000000000000000000000000000000000000000000aa";
const SECRET: &str = "0123456789abcdef";

/// Runs the program with these words and nothing else.
fn nodestrap(words: &[OsString], secrets: &[&str]) -> Finished {
    let node = Node::new();
    let secrets = secrets.iter().map(ToString::to_string).collect();
    let run = run::start(words, &node.root(), None, secrets).finish();
    assert_eq!(node.tree(), Vec::<String>::new());
    run
}

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

#[test]
fn a_wrong_command_line_is_told() {
    let good = format!(
        "join localhost:1 --token abcdef.{SECRET} --discovery-token-ca-cert-hash {PIN} --node-name n1"
    );
    let without = |words: &str| good.replace(words, "");
    let with = |words: &str| format!("{good} {words}");
    let cases: Vec<(String, &str)> = vec![
        (String::new(), "join"),
        ("leave".to_owned(), "unknown command"),
        ("kubeadm".to_owned(), "join"),
        ("kubeadm init".to_owned(), "unknown command"),
        (without("localhost:1"), "HOST:PORT"),
        (with("localhost:2"), "HOST:PORT"),
        (good.replace("localhost:1", "localhost"), "HOST:PORT"),
        (good.replace("localhost:1", "localhost:0"), "HOST:PORT"),
        (good.replace("localhost:1", "localhost:65536"), "HOST:PORT"),
        (good.replace("localhost:1", "::1:6443"), "HOST:PORT"),
        (good.replace("localhost:1", "https://localhost:6443"), "HOST:PORT"),
        (without(&format!("--token abcdef.{SECRET}")), "--token"),
        (without(&format!("--discovery-token-ca-cert-hash {PIN}")), "--discovery-token-ca-cert-hash"),
        (good.replace(PIN, "md5:00"), "--discovery-token-ca-cert-hash"),
        (good.replace(PIN, "sha256:00"), "--discovery-token-ca-cert-hash"),
        (good.replace(PIN, &PIN.replace("aa", "zz")), "--discovery-token-ca-cert-hash"),
        (good.replace("n1", "-n"), "node"),
        (good.replace("n1", "Under_Score"), "node"),
        (good.replace("node-name n1", "node-name localhost"), "node"),
        (good.replace("n1", "(none)"), "node"),
        (good.replace("n1", &"a".repeat(254)), "253"),
        (with("--discovery-timeout"), "--discovery-timeout"),
        (with("--discovery-timeout soon"), "--discovery-timeout"),
        (with("--discovery-timeout 5"), "--discovery-timeout"),
        (with("--tls-bootstrap-timeout -5s"), "--tls-bootstrap-timeout"),
        (with("--timeout 1d"), "--timeout"),
        (with("--no-such-flag"), "--no-such-flag"),
        (with("--with-client-cert=maybe"), "--with-client-cert"),
        (with("--control-plane"), "--control-plane"),
    ];
    crate::support::all(
        &cases,
        |case| case.0.clone(),
        |(line, text)| {
            let run = nodestrap(&words(line), &[SECRET]);
            run.expect("usage").says(&[text]);
            assert_eq!(run.stdout, "");
        },
    );
}

#[test]
fn a_malformed_token_is_refused_and_never_repeated() {
    let flags = ["--token", "--discovery-token", "--tls-bootstrap-token"];
    let tokens = [
        "abcdef.0123456789ABCDEF",
        "abcdef.0123456789abcde",
        "abcdef.0123456789abcdef0",
        "abcdef:0123456789abcdef",
        "abcdef0123456789abcdef",
        "0123456789abcdef",
        "ABCDEF.0123456789abcdef",
        "abcdef.0123456789abcdeg\u{e4}",
    ];
    let cases: Vec<_> =
        flags.iter().flat_map(|flag| tokens.iter().map(move |token| (*flag, *token))).collect();
    crate::support::all(
        &cases,
        |case| format!("{} {}", case.0, case.1),
        |(flag, token)| {
            // With a good one for discovery, so that each of the three flags is the one to blame.
            let good = if *flag == "--tls-bootstrap-token" {
                "--discovery-token ghijkl.fedcba9876543210"
            } else {
                ""
            };
            let line = format!(
                "join localhost:1 {good} {flag} {token} --discovery-token-ca-cert-hash {PIN} --node-name n1"
            );
            for line in [line.clone(), line.replace(&format!("{flag} {token}"), &format!("{flag}={token}"))] {
                let run = nodestrap(&words(&line), &["0123456789"]);
                run.expect("usage").says(&[flag]);
            }
        },
    );
}

#[test]
fn a_token_in_the_wrong_place_is_never_repeated() {
    let token = format!("abcdef.{SECRET}");
    let cases = [
        format!("join {token}"),
        format!("join localhost:1 {token}"),
        format!("join localhost:1 localhost:2 {token}"),
        format!("join {token} --token {token} --discovery-token-ca-cert-hash {PIN} --node-name n1"),
        token.clone(),
        format!("join localhost:1 --tokn {token} --discovery-token-ca-cert-hash {PIN}"),
        format!("join localhost:1 --tokn={token} --discovery-token-ca-cert-hash {PIN}"),
        format!("join localhost:1 --token {PIN} --discovery-token-ca-cert-hash {token}"),
        format!(
            "join localhost:1 --token {token} --discovery-token-ca-cert-hash {PIN} --discovery-timeout {token}"
        ),
        format!(
            "join localhost:1 --token {token} --discovery-token-ca-cert-hash {PIN} --with-client-cert={token}"
        ),
    ];
    crate::support::all(&cases, Clone::clone, |line| {
        nodestrap(&words(line), &[SECRET]).expect("usage");
    });
}

#[test]
fn a_rejected_word_is_repeated_neither_on_the_terminal_nor_in_the_report() {
    let token = format!("abcdef.{SECRET}");
    let cases = [
        format!("join {token}"),
        format!("join --token= {token}"),
        format!("join localhost:1 --token= {token}"),
        format!("join localhost:1 {token}"),
        format!("join https://{token}:6443"),
        format!("join --{token}"),
        format!("join --{token}=x"),
        format!("join --{SECRET}"),
        format!("join -{token}"),
        format!("join localhost:1 --no-such-flag={token}"),
        format!("join localhost:1 --control-plane={token}"),
        format!("join localhost:1 --with-client-cert={token}"),
        format!("join localhost:1 --timeout={token}"),
        format!("join localhost:1 --token={token} --discovery-token-ca-cert-hash={token}"),
        format!("join localhost:1 --token={token}: --discovery-token-ca-cert-hash={PIN}"),
        format!("kubeadm {token}"),
        token.clone(),
    ];
    crate::support::all(&cases, Clone::clone, |line| {
        let node = Node::new();
        let report = node.beside("report.json");
        let mut typed = vec!["--report".into(), report.clone().into()];
        typed.extend(words(line));
        let never = vec![SECRET.to_owned(), "abcdef".to_owned()];
        run::start(&typed, &node.root(), Some(report), never).finish().expect("usage");
    });
}

#[test]
fn words_that_are_not_text_are_refused() {
    for flag in ["--token", "--node-name", "--discovery-token-ca-cert-hash"] {
        let mut line = words("join localhost:1");
        line.extend([flag.into(), OsString::from_vec(b"abcdef.0123456789abcde\xff".to_vec())]);
        nodestrap(&line, &["0123456789"]).expect("usage");
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    for line in ["--help", "-h", "join --help"] {
        let run = nodestrap(&words(line), &[]);
        run.check(run.code == Some(0) && run.stderr.is_empty(), "help is no failure");
        for text in [
            "--token",
            "--discovery-token",
            "--tls-bootstrap-token",
            "--discovery-token-ca-cert-hash",
            "--discovery-token-unsafe-skip-ca-verification",
            "--node-name",
            "--with-client-cert",
            "--keep-bootstrap-kubeconfig",
            "--root",
            "--report",
            "--timeout",
            "--discovery-timeout",
            "--tls-bootstrap-timeout",
        ] {
            run.check(run.stdout.contains(text), &format!("{line} does not tell of {text}"));
        }
        for outcome in [
            "internal",
            "usage",
            "unreachable",
            "not-published",
            "not-trusted",
            "refused",
            "denied",
            "pending",
            "clock",
        ] {
            run.check(
                run.stdout.contains(outcome),
                &format!("{line} does not tell of the exit code {outcome}"),
            );
        }
    }
    let run = nodestrap(&words("--version"), &[]);
    run.check(run.code == Some(0) && run.stderr.is_empty(), "the version is no failure");
    run.check(
        run.stdout.starts_with(&format!("nodestrap {}", env!("CARGO_PKG_VERSION"))),
        "name and version",
    );
    run.check(run.stdout.lines().count() == 1, "one line");
}

#[test]
fn readme_and_manual_have_the_exit_codes_of_the_help() {
    let read = |name| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect(name);
    let (readme, manual) = (read("README.md"), read("image/man/nodestrap.8"));
    let output = run::command().arg("--help").output().expect("the program runs");
    let help = String::from_utf8(output.stdout).expect("text");
    for line in help.split_once("Exit codes:").expect("a table").1.lines().filter(|line| line.contains(": "))
    {
        let (code, rest) = line.trim().split_once(' ').expect("a code");
        let (name, _) = rest.split_once(':').expect("a name");
        assert!(readme.contains(&format!("| {code} | `{name}` |")), "README.md lacks the row of code {code}");
        assert!(manual.contains(&format!("\n.It {code} {name}\n")), "nodestrap(8) lacks code {code}");
    }
}

/// The join that README shows has happened like this, but for what differs from one to the next.
#[test]
fn the_join_in_the_readme_is_a_real_one() {
    let block = include_str!("../../README.md").split("```\n").nth(1).expect("the first block");
    let (told, typed): (Vec<&str>, Vec<&str>) =
        block.lines().partition(|line| line.starts_with("nodestrap: "));
    let command = typed.join(" ").replace('\\', "");
    let (api, node) = (Api::start(), Node::new());
    let token = node.beside("token");
    fs::write(&token, TOKEN).expect("a token file");
    let words =
        command.split_whitespace().skip(3).take_while(|word| !word.contains('$')).map(|word| match word {
            "token" => token.clone().into_os_string(),
            _ if word.starts_with("localhost:") => api.endpoint().into(),
            _ if word.starts_with("sha256:") => api.authority.pin().into(),
            other => other.into(),
        });
    let mut args: Vec<OsString> = vec!["join".into()];
    args.extend(words);
    args.extend(["--root".into(), node.root().into()]);
    let run = run::start(&args, &node.root(), None, Vec::new()).finish();
    run.check_success();
    assert_eq!(undated(&run.stderr), undated(&(told.join("\n") + "\n")));
}

/// Without the names of requests, ports and times.
fn undated(text: &str) -> String {
    let plain = |word: &str| -> String {
        let is_time = word.len() == 20 && word.ends_with('Z');
        if word.starts_with("node-csr-") || is_time {
            "…".to_owned()
        } else {
            word.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned()
        }
    };
    text.lines().map(|line| line.split(' ').map(plain).collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[test]
fn a_wrong_command_line_is_reported_too() {
    let (api, node) = (Api::start(), Node::new());
    let run = node.join(&api).token("abcdef.0123456789abcdeF").with_cert().run();
    run.expect("usage");
    assert_eq!((run.report()["requests"].as_u64(), api.connections().len()), (Some(0), 0));
}

#[test]
fn a_fault_behind_the_report_flag_is_reported() {
    let faults = [
        "--no-such-flag",
        "-x",
        "--token",
        "--timeout soon",
        "--with-client-cert=maybe",
        "--control-plane",
        "--discovery-token-ca-cert-hash md5:00",
        "--node-name (none)",
        "localhost:2",
    ];
    let api = Api::start();
    crate::support::all(&faults, ToString::to_string, |fault| {
        let node = Node::new();
        let run = node.join(&api).args(fault).run();
        run.expect("usage");
        let line = format!("nodestrap: error: {}", run.report()["error"][0].as_str().unwrap_or_default());
        run.check(run.stderr.lines().any(|said| said == line), "the report says what standard error says");
        run.check(run.report()["requests"] == 0, "nothing was asked for");
    });
    assert_eq!(api.connections().len(), 0);
}

#[test]
fn the_flags_of_both_tokens_default_to_one() {
    let (api, node) = (Api::start(), Node::new());
    let other = "ghijkl.fedcba9876543210";
    // The right token for discovery, another one, which the server refuses, for the rest.
    let run = node.join(&api).with_cert().args(&format!("--tls-bootstrap-token {other} --timeout 3s")).run();
    run.expect("refused");
    run.check(!run.stderr.contains("fedcba9876543210"), "a secret was printed");
    let sent: Vec<_> =
        api.requests().iter().filter_map(|r| r.header("authorization").map(str::to_owned)).collect();
    assert!(!sent.is_empty() && sent.iter().all(|value| *value == format!("Bearer {other}")), "{sent:?}");

    let node = Node::new();
    let discovery = format!("--discovery-token abcdef.{SECRET} --tls-bootstrap-token abcdef.{SECRET}");
    node.join(&api).token("").args(&discovery).with_cert().run().expect("joined");
}

#[test]
fn a_long_name_is_taken_with_a_warning() {
    let (api, node) = (Api::start(), Node::new());
    let name = format!("{}.example", "a".repeat(60));
    let run = node.join(&api).name(&name).with_cert().run();
    run.expect("joined").says(&["longer than 63 characters"]);
    assert_eq!(run.report()["nodeName"], name.as_str());
    let run = Node::new().join(&api).name(&"a".repeat(63)).with_cert().run();
    run.check(!run.stderr.contains("63 characters"), "no warning for what fits a label");
}
