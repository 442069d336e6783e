use super::*;

const PIN: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn parse(line: &str) -> Result<Command> {
    let mut typed = Typed::default();
    typed.read(line.split_whitespace().map(OsString::from))?;
    typed.command()
}

fn join(line: &str) -> Join {
    match parse(line).unwrap() {
        Command::Join(join) => *join,
        other => panic!("{other:?}"),
    }
}

fn problem(line: &str) -> String {
    let error = parse(line).unwrap_err();
    assert_eq!(error.failure(), Failure::Usage);
    error.to_string()
}

#[test]
fn the_printed_join_line_is_taken_with_and_without_kubeadm() {
    let line =
        format!("join 10.0.0.1:6443 --token abcdef.0123456789abcdef --discovery-token-ca-cert-hash {PIN} ");
    for line in [line.clone(), format!("kubeadm {line}")] {
        let join = join(&line);
        assert_eq!(join.endpoints, Endpoint::parse_list("10.0.0.1:6443").unwrap());
        assert_eq!(join.discovery_token.id(), "abcdef");
        assert!(matches!(&join.pins, Pins::Required(pins) if pins.len() == 1));
        assert_eq!(join.discovery_timeout, limits::DISCOVERY);
    }
}

#[test]
fn each_flag_means_what_it_says() {
    let join = join(&format!(
        "join h:1 --discovery-token aaaaaa.0123456789abcdef --tls-bootstrap-token=bbbbbb.0123456789abcdef \
         --discovery-token-ca-cert-hash {PIN},{PIN} --discovery-token-ca-cert-hash={PIN} --node-name n \
         --discovery-token-unsafe-skip-ca-verification --with-client-cert=true --keep-bootstrap-kubeconfig \
         --root /r --timeout 1m --discovery-timeout 2s --tls-bootstrap-timeout 3s"
    ));
    assert_eq!((join.discovery_token.id(), join.tls_bootstrap_token.id()), ("aaaaaa", "bbbbbb"));
    assert!(
        matches!(&join.pins, Pins::Required(pins) if pins.len() == 3),
        "pins hold beside the unsafe flag"
    );
    assert!(join.with_client_cert && join.keep_bootstrap_kubeconfig);
    assert_eq!(join.node_name.as_deref(), Some("n"));
    assert_eq!(join.root, Some(PathBuf::from("/r")));
    assert_eq!(join.timeout, Some(Duration::from_mins(1)));
    assert_eq!(join.discovery_timeout + join.tls_bootstrap_timeout, Duration::from_secs(5));
}

#[test]
fn there_may_be_several_endpoints() {
    let line = format!("--token abcdef.0123456789abcdef --discovery-token-ca-cert-hash {PIN}");
    let join = join(&format!("kubeadm join h:1,[::1]:2,10.0.0.1:3 {line}"));
    assert_eq!(join.endpoints, Endpoint::parse_list("h:1,[::1]:2,10.0.0.1:3").unwrap());
    assert!(problem(&format!("join h:1,hunter2 {line}")).contains("no API server"));
    assert!(problem(&format!("join h:1, h:2 {line}")).contains("more than one word"));
}

#[test]
fn no_pin_needs_the_unsafe_flag() {
    let line = "join h:1 --token abcdef.0123456789abcdef";
    assert!(problem(line).contains("--discovery-token-unsafe-skip-ca-verification"));
    assert!(
        problem(&format!("{line} --discovery-token-unsafe-skip-ca-verification=false"))
            .contains("pin is missing")
    );
    let unsafe_line = format!("{line} --discovery-token-unsafe-skip-ca-verification");
    assert!(matches!(join(&unsafe_line).pins, Pins::UnsafeSkip));
}

#[test]
fn errors_name_the_flag_and_never_the_value() {
    let line = format!("join h:1 --discovery-token-ca-cert-hash {PIN}");
    for bad in ["hunter2", "abcdef.0123456789abcde", "abcdef.0123456789abcdef0", "Abcdef.0123456789abcdef"] {
        let text = problem(&format!("{line} --token {bad}"));
        assert!(text.contains("--token") && !text.contains(bad), "{text}");
    }
    for (line, words) in [
        ("", "command is missing"),
        ("hunter2", "unknown command"),
        ("join", "API server is missing"),
        ("join hunter2 --token abcdef.0123456789abcdef", "no API server"),
        ("join h:1 hunter2", "more than one"),
        ("join h:1", "token is missing"),
        ("join h:1 --token", "--token needs a value"),
        ("join h:1 --with-client-cert=hunter2", "takes true or false"),
        ("join h:1 --timeout hunter2", "takes a duration"),
        ("join h:1 --timeout 0s", "takes a duration"),
        ("join h:1 --wat hunter2", "unknown option --wat"),
        ("join h:1 --hunter2", "unknown option;"),
        ("join h:1 -x", "unknown option"),
        ("join h:1 --control-plane", "workers only"),
    ] {
        let text = problem(line);
        assert!(text.contains(words), "{line}: {text}");
        assert!(!text.contains("hunter2"), "{line}: {text}");
    }
}

#[test]
fn help_and_version_win() {
    assert!(matches!(parse("join --help --wat"), Ok(Command::Help)));
    assert!(matches!(parse("--version"), Ok(Command::Version)));
    assert!(help().contains("10 files"));
}
