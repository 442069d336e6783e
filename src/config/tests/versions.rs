//! What a JoinConfiguration says in one version and not in the other, and what says nothing.

use super::*;

#[test]
fn a_field_of_the_other_version_is_unknown() {
    let known = "apiVersion: kubeadm.k8s.io/VERSION\nkind: JoinConfiguration\ndiscovery: {bootstrapToken: {token: \
                 cccccc.0123456789abcdef, apiServerEndpoint: 'h:1', unsafeSkipCAVerification: true}FIELD}\n";
    let read = |version: &str, field: &str, line: &str| {
        let text = known.replace("VERSION", version).replace("FIELD", field) + line;
        parse_in("join", &configured(&text)).map(|command| match command {
            Command::Join(join) => join.warnings,
            other => panic!("{other:?}"),
        })
    };
    for (field, line, version) in [
        ("", "dryRun: true\n", "v1beta4"),
        ("", "timeouts: {discovery: 7s}\n", "v1beta4"),
        ("", "nodeRegistration: {imagePullSerial: true}\n", "v1beta4"),
        (", timeout: 7s", "", "v1beta3"),
    ] {
        for other in ["v1beta3", "v1beta4"] {
            let warnings = read(other, field, line).unwrap();
            let is_known = !warnings.iter().any(|warning| warning.starts_with("unknown field"));
            assert_eq!(is_known, version == other, "{line}{field} in {other}: {warnings:?}");
        }
    }
    for (arguments, version) in [("{v: '2'}", "v1beta3"), ("[{name: v, value: '2'}]", "v1beta4")] {
        for other in ["v1beta3", "v1beta4"] {
            let line = format!("nodeRegistration: {{kubeletExtraArgs: {arguments}}}\n");
            assert_eq!(read(other, "", &line).is_ok(), version == other, "{line} in {other}");
        }
    }
}

/// Each line of a configuration says nothing when its value is null, in both versions.
#[test]
fn null_is_absent_in_every_field() {
    for (version, lines, arguments) in [
        (
            "v1beta4",
            "dryRun:\ntimeouts:\n",
            "[{name: v}, {name: w, value: null}, {name: hostname-override, value: }]",
        ),
        ("v1beta3", "", "{v: , w: null, hostname-override: ~}"),
    ] {
        let text = format!(
            "apiVersion: kubeadm.k8s.io/{version}
kind: JoinConfiguration
{lines}controlPlane:
caCertPath: null
skipPhases: ~
patches: null
discovery:
  file: null
  tlsBootstrapToken: null
  bootstrapToken:
    token: cccccc.0123456789abcdef
    apiServerEndpoint: h:1/
    caCertHashes: null
    unsafeSkipCAVerification: yes
nodeRegistration:
  name: null
  criSocket: ~
  taints: [null, {{key: k, value: null, effect: NoSchedule}}, {{key: , value: , effect: , timeAdded: }}]
  kubeletExtraArgs: {arguments}
  ignorePreflightErrors: null
  imagePullPolicy: null
"
        );
        let join = join_in("join --with-kubelet-config", &configured(&text));
        assert_eq!(by_token(&join).0, "h:1");
        assert!(matches!(by_token(&join).2, Pins::None));
        assert_eq!(join.warnings, Vec::<String>::new());
        assert_eq!((join.node_name, join.dry_run), (None, false));
        assert_eq!(join.registration.taints, ["k:NoSchedule"]);
        assert_eq!(join.registration.cri_socket, None);
        let mut arguments = join.registration.kubelet_extra_args;
        arguments.sort();
        assert_eq!(arguments, ["hostname-override=", "v=", "w="]);
        let shorter =
            text.split_once("nodeRegistration:").expect("it is there").0.to_owned() + "nodeRegistration:\n";
        assert_eq!(join_in("join", &configured(&shorter)).warnings, Vec::<String>::new());
    }
}

/// What kubeadm refuses for its type, or for want of a name, is refused here too.
#[test]
fn a_value_of_another_type_is_told_with_its_place() {
    for (from, to, words) in [
        ("[{name: v, value: '2'}]", "[{value: '2'}]", "kubeletExtraArgs in the JoinConfiguration is not"),
        ("[{name: v, value: '2'}]", "[null]", "kubeletExtraArgs in the JoinConfiguration is not"),
        ("[{name: v, value: '2'}]", "[{name: v, value: 2}]", "numbers and words such as yes in quotes"),
        ("[{name: v, value: '2'}]", "[{name: v, value: on}]", "numbers and words such as yes in quotes"),
        ("name: from-config", "name: yes", "nodeRegistration.name in the JoinConfiguration is not a string"),
        ("name: from-config", "name: 0x1f", "nodeRegistration.name in the JoinConfiguration is not a string"),
        ("taints: []", "taints: [a]", "is not a list of taints"),
        ("taints: []", "taints: [{key: 1}]", "is not a list of taints"),
        ("patches: null", "dryRun: 'yes'", "dryRun in the JoinConfiguration is not true or false"),
    ] {
        assert!(CONFIGURATION.contains(from), "{from}");
        let error = parse_in("join", &configured(&CONFIGURATION.replace(from, to))).unwrap_err();
        assert!(error.to_string().contains(words), "{to}: {error}");
    }
    for (from, to, path) in [
        ("[{name: v, value: '2'}]", "[{name: v, vlaue: '2'}]", "nodeRegistration.kubeletExtraArgs[0].vlaue"),
        ("taints: []", "taints: [null, {kye: a}]", "nodeRegistration.taints[1].kye"),
    ] {
        let join = join_in("join", &configured(&CONFIGURATION.replace(from, to)));
        assert_eq!(join.warnings, [&format!("unknown field {path} in the JoinConfiguration"), NO_EFFECT]);
    }
}

#[test]
fn an_empty_text_in_a_configuration_says_nothing() {
    let text = CONFIGURATION.replace("name: from-config", "name: ''");
    assert_eq!(join_in("join", &configured(&text)).node_name, None);
}

#[test]
fn configurations_of_no_worker_are_refused() {
    for (from, to, words) in [
        ("kind: JoinConfiguration", "kind: InitConfiguration", "no JoinConfiguration found"),
        ("v1beta4", "v1beta2", "migrate it with kubeadm v1.22: kubeadm config migrate"),
        ("v1beta4", "v1beta1", "migrate it with kubeadm v1.15, then with kubeadm v1.22: kubeadm config"),
        ("v1beta4", "v1alpha1", "v1.11, then with kubeadm v1.12, then with kubeadm v1.14, then with"),
        (
            "v1beta4",
            "v1",
            "kubeadm.k8s.io/v1 of the JoinConfiguration is experimental: no kubeadm joins with it",
        ),
        ("v1beta4", "v1beta5", "unknown apiVersion of the JoinConfiguration"),
        ("discovery:\n", "discovery:\n  file: {kubeConfigPath: /f}\n", "mutually exclusive"),
        ("patches: null", "controlPlane: {}", "workers only"),
        ("caCertPath: /etc", "caCertPath: etc", "--ca-cert-path (NODESTRAP_CONFIG) expects an absolute path"),
        (
            "[{name: v, value: '2'}]",
            "[{name: cert-dir, value: hunter2}]",
            "--cert-dir (NODESTRAP_CONFIG) expects an absolute path",
        ),
        ("    token: cccccc.0123456789abcdef", "    token: 5", "is not a string"),
        ("  imagePullSerial: true", "  name: twice", "duplicate key"),
        ("caCertHashes: ['@PIN@']", "caCertHashes: hunter2", "is not a list of strings"),
        ("timeouts: {", "timeouts: [] #", "is not a map"),
        ("[{name: v, value: '2'}]", "[v]", "is not a list of names"),
        ("@PIN@", "sha1:hunter2", "64 hex digits"),
        (
            "  tlsBootstrapToken: dddddd.0123456789abcdef",
            "  tlsBootstrapToken: hunter2",
            "not a bootstrap token",
        ),
        ("discovery: 1m0s", "discovery: hunter2", "expects a duration"),
    ] {
        assert!(CONFIGURATION.contains(from), "{from}");
        let error = needed("join", &configured(&CONFIGURATION.replace(from, to))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        let is_of_value = to.contains("hunter2") || to.starts_with("caCertPath");
        assert!(is_of_value || error.help().is_some(), "{to}: {error}");
        assert!(error.to_string().contains(words), "{to}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
