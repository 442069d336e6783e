mod compatibility;
mod edges;
mod versions;
mod ways;

use std::ffi::OsString;

use super::*;
use crate::cli::{Kind, SettingSources, help};
use crate::clock::Deadline;
use crate::discovery::Method;
use crate::error::ErrorKind;
use crate::http::Endpoint;
use crate::input::Wait;
use crate::secret::Secret;
use crate::trust::{Pins, Token};

const PIN: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn parse_in(line: &str, sources: &SettingSources) -> Result<Command> {
    let mut invocation = Invocation::default();
    invocation.read(line.split_whitespace().map(OsString::from), sources)?;
    Command::of(&invocation)
}

fn parse(line: &str) -> Result<Command> {
    parse_in(line, &SettingSources::default())
}

fn join(line: &str) -> JoinConfig {
    match parse(line).unwrap() {
        Command::Join(join) => *join,
        other => panic!("{other:?}"),
    }
}

/// What a join by token says.
fn by_token(join: &JoinConfig) -> (String, &Token, &Pins) {
    match join.method.known().unwrap() {
        Method::Token { endpoints, token, .. } => (endpoints[0].to_string(), token, &join.pins),
        other => panic!("{other:?}"),
    }
}

fn token_id(join: &JoinConfig) -> &str {
    match join.method.known().unwrap() {
        Method::Token { credentials, .. } => &credentials.embedded().token.unwrap()[..6],
        other => panic!("{other:?}"),
    }
}

/// What a run that needs all of it is told.
fn needed(line: &str, sources: &SettingSources) -> Result<Command> {
    let command = parse_in(line, sources)?;
    if let Command::Join(join) | Command::PrintConfig(join, _) = &command {
        let deadline = Deadline::at(limits::DISCOVERY);
        join.method.get(Wait { clock: sources.clock.clone(), deadline })?;
    }
    Ok(command)
}

fn problem(line: &str) -> String {
    let error = needed(line, &SettingSources::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    error.to_string()
}

#[test]
fn the_printed_join_line_is_taken_with_and_without_kubeadm() {
    let line =
        format!("join 10.0.0.1:6443 --token abcdef.0123456789abcdef --discovery-token-ca-cert-hash {PIN} ");
    for line in [line.clone(), format!("kubeadm {line}")] {
        let join = join(&line);
        let (endpoint, token, pins) = by_token(&join);
        assert_eq!((endpoint.as_str(), token.id(), token_id(&join)), ("10.0.0.1:6443", "abcdef", "abcdef"));
        assert!(matches!(pins, Pins::AnyCa(pins) if pins.len() == 1));
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
    assert_eq!((by_token(&join).1.id(), token_id(&join)), ("aaaaaa", "bbbbbb"));
    assert!(
        matches!(by_token(&join).2, Pins::AnyCa(pins) if pins.len() == 3),
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
    assert!(matches!(join.method.known(), Some(Method::Token { endpoints, .. })
        if *endpoints == Endpoint::parse_list("h:1,[::1]:2,10.0.0.1:3").unwrap()));
    assert!(problem(&format!("join h:1,hunter2 {line}")).contains("invalid API server address"));
    assert!(problem(&format!("join h:1, h:2 {line}")).contains("more than one API server argument"));
}

#[test]
fn no_pin_needs_the_unsafe_flag() {
    let line = "join h:1 --token abcdef.0123456789abcdef";
    assert!(problem(line).contains("--discovery-token-unsafe-skip-ca-verification"));
    assert!(
        problem(&format!("{line} --discovery-token-unsafe-skip-ca-verification=false"))
            .contains("pin not set")
    );
    let unsafe_line = format!("{line} --discovery-token-unsafe-skip-ca-verification");
    assert!(matches!(by_token(&join(&unsafe_line)).2, Pins::None));
}

#[test]
fn errors_name_the_flag_and_never_the_value() {
    let line = format!("join h:1 --discovery-token-ca-cert-hash {PIN}");
    for bad in ["hunter2", "abcdef.0123456789abcde", "abcdef.0123456789abcdef0", "Abcdef.0123456789abcdef"] {
        let text = problem(&format!("{line} --token {bad}"));
        assert!(text.contains("--token") && !text.contains(bad), "{text}");
    }
    for (line, words) in [
        ("", "no command given"),
        ("hunter2", "unknown command"),
        ("join --print-config", "API server address not set"),
        ("join hunter2 --token abcdef.0123456789abcdef", "invalid API server address"),
        ("join h:1 hunter2", "more than one API server argument"),
        ("join h:1", "token not set"),
        ("join h:1 --token", "--token expects a value"),
        ("join h:1 --with-client-cert=hunter2", "expects true or false"),
        (
            "join h:1 --token abcdef.0123456789abcdef --discovery-token-unsafe-skip-ca-verification --timeout hunter2",
            "expects a duration",
        ),
        (
            "join h:1 --token abcdef.0123456789abcdef --discovery-token-unsafe-skip-ca-verification --timeout 0s",
            "expects a duration",
        ),
        (
            "join h:1 --token abcdef.0123456789abcdef --discovery-token-unsafe-skip-ca-verification \
             --with-serving-cert --serving-timeout hunter2",
            "expects a duration",
        ),
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
fn a_duration_is_one_that_the_api_takes() {
    let line = format!("join h:1 --token abcdef.0123456789abcdef --discovery-token-ca-cert-hash {PIN}");
    assert_eq!(join(&format!("{line} --with-client-cert")).expiration_seconds, None);
    for (flags, seconds) in [
        ("--with-client-cert --expiration-seconds 600", 600),
        ("--with-serving-cert --expiration-seconds=2147483647", 2_147_483_647),
    ] {
        assert_eq!(join(&format!("{line} {flags}")).expiration_seconds, Some(seconds), "{flags}");
    }
    for bad in ["", "0", "599", "-600", "600s", "10m", "1e3", "2147483648", "99999999999999999999"] {
        let problem = problem(&format!("{line} --with-client-cert --expiration-seconds={bad}"));
        assert!(problem.contains("from 600 to 2147483647"), "{bad}: {problem}");
    }
    assert!(problem(&format!("{line} --expiration-seconds 600")).contains("--with-client-cert"));
}

#[test]
fn a_serving_certificate_brings_the_client_certificate() {
    let line = format!("join h:1 --token abcdef.0123456789abcdef --discovery-token-ca-cert-hash {PIN}");
    assert!(join(&line).serving.is_none());
    let join_with = join(&format!(
        "{line} --with-serving-cert --san N1.example.org,10.0.0.5 --san fd00::5 --san 10.0.0.5"
    ));
    assert!(join_with.with_client_cert);
    let serving = join_with.serving.unwrap();
    assert_eq!(serving.names.to_string(), "DNS:n1.example.org, IP:10.0.0.5, IP:fd00::5");
    assert_eq!(serving.timeout, crate::limits::SERVING);
    let at_once = join(&format!("{line} --with-serving-cert --serving-timeout 0s")).serving.unwrap();
    assert!(at_once.timeout.is_zero() && at_once.names.as_slice().is_empty());
    for bad in ["", "n1,", "*.example.org", "10.0.0.5/24", "https://n1"] {
        assert!(
            problem(&format!("{line} --with-serving-cert --san={bad}")).contains("DNS names and IP"),
            "{bad}"
        );
    }
    assert!(problem(&format!("{line} --san n1")).contains("--with-serving-cert"));
    let many: Vec<String> = (0..=crate::limits::ALT_NAMES).map(|n| format!("n{n}")).collect();
    assert!(problem(&format!("{line} --with-serving-cert --san {}", many.join(","))).contains("more than"));
}

#[test]
fn files_lie_where_the_kubelet_is_told_that_they_lie() {
    let line = format!("join h:1 --token abcdef.0123456789abcdef --discovery-token-ca-cert-hash {PIN}");
    let usual = join(&line);
    assert!(usual.layout.kubelet_flags().is_empty() && !usual.replace);
    let other = join(&format!(
        "{line} --replace --with-kubelet-config --kubeconfig /k/kubelet.conf --kubelet-extra-arg=--cert-dir=/k/pki --ca-cert-path /k/ca.pem"
    ));
    assert_eq!(other.layout.kubelet_flags(), [("kubeconfig", "/k/kubelet.conf"), ("cert-dir", "/k/pki")]);
    assert_eq!(other.layout.ca.as_str(), "/k/ca.pem");
    assert!(other.replace);
    for flag in ["kubeconfig", "cert-dir", "ca-cert-path"] {
        for bad in ["", "hunter2", "/a/../hunter2", "/hunter2/", "./hunter2", "/hun:ter2"] {
            let text = problem(&format!("{line} --{flag}={bad}"));
            assert!(text.contains(&format!("--{flag} expects an absolute path")), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
    assert!(problem(&format!("{line} --kubeconfig /k --ca-cert-path /k")).contains("paths overlap"));
    let text = CONFIGURATION
        .replace("/etc/kubernetes/pki/ca.crt", "/srv/ca.crt")
        .replace("{name: v, value: '2'}", "{name: cert-dir, value: /srv/pki}");
    let configured = join_in("join", &configured(&text));
    assert_eq!(configured.layout.ca.as_str(), "/srv/ca.crt");
    assert_eq!(configured.layout.certificates.as_str(), "/srv/pki");
}

#[test]
fn help_and_version_win() {
    assert!(matches!(parse("join --help --wat"), Ok(Command::Help)));
    assert!(matches!(parse("--version"), Ok(Command::Version)));
    assert!(matches!(parse("help"), Ok(Command::Help)));
    assert!(help().contains("10 files"));
}

/// What of it has no effect.
const NO_EFFECT: &str = "accepted without effect: nodeRegistration.ignorePreflightErrors, \
                         nodeRegistration.imagePullSerial, timeouts.kubernetesAPICall";

const CONFIGURATION: &str = "
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
caCertPath: /etc/kubernetes/pki/ca.crt
discovery:
  bootstrapToken:
    token: cccccc.0123456789abcdef
    apiServerEndpoint: config:6443
    caCertHashes: ['@PIN@']
  tlsBootstrapToken: dddddd.0123456789abcdef
nodeRegistration:
  name: from-config
  criSocket: unix:///run/containerd/containerd.sock
  taints: []
  ignorePreflightErrors: [Swap]
  imagePullSerial: true
  kubeletExtraArgs: [{name: v, value: '2'}]
timeouts: {discovery: 1m0s, tlsBootstrap: 2m0s, kubernetesAPICall: 1m0s}
patches: null
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
";

fn configured(text: &str) -> SettingSources {
    SettingSources { config: Some(Secret::new(text.replace("@PIN@", PIN))), ..SettingSources::default() }
}

fn join_in(line: &str, sources: &SettingSources) -> JoinConfig {
    match parse_in(line, sources).unwrap() {
        Command::Join(join) => *join,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_join_configuration_says_what_flags_say() {
    let join = join_in("join", &configured(CONFIGURATION));
    assert_eq!(by_token(&join).0, "config:6443");
    assert_eq!((by_token(&join).1.id(), token_id(&join)), ("cccccc", "dddddd"));
    assert!(matches!(by_token(&join).2, Pins::AnyCa(pins) if pins.len() == 1));
    assert_eq!(join.node_name.as_deref(), Some("from-config"));
    assert_eq!((join.discovery_timeout.as_secs(), join.tls_bootstrap_timeout.as_secs()), (60, 120));
    assert_eq!(join.warnings, [NO_EFFECT]);
}

#[test]
fn a_configuration_says_how_the_node_registers() {
    let text = CONFIGURATION.replace(
        "taints: []",
        "taints: [{key: k, value: v, effect: NoSchedule}, {key: b, effect: NoExecute}]",
    );
    let join = join_in("join --with-kubelet-config", &configured(&text));
    let registration = &join.registration;
    assert_eq!(registration.taints, ["k=v:NoSchedule", "b:NoExecute"]);
    assert_eq!(registration.kubelet_extra_args, ["v=2"]);
    assert_eq!(registration.cri_socket.as_deref(), Some("unix:///run/containerd/containerd.sock"));
    let alone = join_in("join", &configured(&text)).registration;
    assert_eq!((&alone.taints, alone.cri_socket), (&registration.taints, registration.cri_socket.clone()));
}

#[test]
fn the_older_version_and_json_are_read_too() {
    let json = r#"{"apiVersion":"kubeadm.k8s.io/v1beta3","kind":"JoinConfiguration","discovery":{"timeout":"7s",
        "bootstrapToken":{"token":"cccccc.0123456789abcdef","apiServerEndpoint":"h:1","unsafeSkipCAVerification":true}},
        "nodeRegistration":{"name":"n","kubeletExtraArgs":{"hostname-override":"other"}}}"#.to_string();
    let join = join_in("join", &configured(&json));
    assert!(matches!(by_token(&join).2, Pins::None));
    assert_eq!(token_id(&join), "cccccc", "the discovery token serves both");
    assert_eq!(join.discovery_timeout.as_secs(), 7);
    assert_eq!(join.node_name.as_deref(), Some("other"), "the kubelet's own name wins");
}

#[test]
fn unknown_fields_warn_and_fail_when_strict() {
    let text = CONFIGURATION.replace("  name: from-config", "  name: from-config\n  nmae: x");
    let join = join_in("join", &configured(&text));
    assert_eq!(join.warnings, ["unknown field nodeRegistration.nmae in the JoinConfiguration", NO_EFFECT]);
    let error = parse_in("join --strict", &configured(&text)).unwrap_err();
    assert!(error.to_string().contains("nodeRegistration.nmae"));
}

#[test]
fn what_has_no_effect_is_told_where_it_says_something() {
    for (field, is_told) in [
        ("imagePullPolicy: ''", false),
        ("imagePullPolicy: Always", true),
        ("ignorePreflightErrors: []", false),
        ("ignorePreflightErrors: [Swap]", true),
        ("imagePullSerial: ~", false),
        ("imagePullSerial: false", true),
    ] {
        let own = "  ignorePreflightErrors: [Swap]\n  imagePullSerial: true\n";
        let text =
            CONFIGURATION.replace(own, &["  ", field, "\n"].concat()).replace("kubernetesAPICall: 1m0s", "");
        let warnings = join_in("join", &configured(&text)).warnings;
        assert_eq!(!warnings.is_empty(), is_told, "{field}: {warnings:?}");
    }
}

#[test]
fn the_stronger_source_wins_field_by_field() {
    let line = format!(
        "nodestrap.join=\"kubeadm join kernel:1 --token bbbbbb.0123456789abcdef --discovery-token-ca-cert-hash {PIN}\""
    );
    let mut sources = configured(CONFIGURATION);
    sources.kernel_command_line = Some(Secret::new(line));
    // The configuration comes by the environment, which is stronger than the kernel command line.
    let join = join_in("join", &sources);
    assert_eq!((by_token(&join).0.as_str(), by_token(&join).1.id()), ("config:6443", "cccccc"));
    sources.config = None;
    let join = join_in("join", &sources);
    assert_eq!((by_token(&join).0.as_str(), by_token(&join).1.id()), ("kernel:1", "bbbbbb"));
    assert!(join.warnings[0].contains("kernel command line"));
    sources.token = Some(Secret::new("eeeeee.0123456789abcdef".to_owned()));
    let join = join_in("join flags:1 --tls-bootstrap-token ffffff.0123456789abcdef", &sources);
    assert_eq!(by_token(&join).0, "flags:1");
    assert_eq!((by_token(&join).1.id(), token_id(&join)), ("eeeeee", "ffffff"));
}

#[test]
fn a_join_line_may_be_broken_over_lines() {
    let join = format!(
        "kubeadm join h:1 --token bbbbbb.0123456789abcdef \\\n   --discovery-token-ca-cert-hash {PIN} \n"
    );
    let sources = SettingSources { join: Some(Secret::new(join)), ..SettingSources::default() };
    assert_eq!(by_token(&join_in("join", &sources)).0, "h:1");
    let sources =
        SettingSources { join: Some(Secret::new("hunter2".to_owned())), ..SettingSources::default() };
    assert!(!parse_in("join", &sources).unwrap_err().to_string().contains("hunter2"));
}

#[test]
fn print_config_hides_secrets_and_tells_origins() {
    let Command::PrintConfig(_, text) =
        parse_in("join --print-config --node-name n", &configured(CONFIGURATION)).unwrap()
    else {
        panic!("not printed");
    };
    assert!(text.contains("api-server-endpoint: config:6443 (environment)\n"), "{text}");
    assert!(
        text.contains("token: *** (environment)\n") && text.contains("node-name: n (command line)\n"),
        "{text}"
    );
    assert!(!text.contains("cccccc") && !text.contains("dddddd"), "{text}");
}
