//! In kubeadm's place: whatever others write for `kubeadm join` takes effect, or is named, or is refused by name. The table
//! is the manual's, and each of its rows is tried.

use super::*;

const LINE: &str =
    "kubeadm join h:1 --token abcdef.0123456789abcdef --discovery-token-unsafe-skip-ca-verification";
/// What kubespray, kind and Cluster API write.
const OTHERS: &str = "-v 4 -v5 --v=6 --vmodule=a=1 --ignore-preflight-errors=all --ignore-preflight-errors Swap \
    --skip-phases=preflight,kubelet-wait-bootstrap --certificate-key=0123456789abcdefabcdef \
    --apiserver-advertise-address 10.0.0.1 --apiserver-bind-port=6443";
const NAMED: [&str; 7] = [
    "--v",
    "--vmodule",
    "--ignore-preflight-errors",
    "--skip-phases",
    "--certificate-key",
    "--apiserver-advertise-address",
    "--apiserver-bind-port",
];

/// Each source that holds a join command, and how a flag of it is named.
fn sources(line: &str, scratch: &crate::disk::Scratch) -> Vec<(String, SettingSources, String)> {
    let secret = || Some(Secret::new(line.to_owned()));
    let credentials = scratch.path("credentials");
    std::fs::create_dir_all(&credentials).unwrap();
    std::fs::write(credentials.join("nodestrap.join"), line).unwrap();
    let env_file = scratch.path("env");
    std::fs::write(&env_file, format!("NODESTRAP_ARGS=\"{}\"\n", &line["kubeadm join ".len()..])).unwrap();
    let kernel = Some(Secret::new(format!("quiet nodestrap.join=\"{line}\"")));
    vec![
        (line.to_owned(), SettingSources::default(), String::new()),
        (format!("join --env-file {}", env_file.display()), SettingSources::default(), String::new()),
        (
            "join".into(),
            SettingSources { join: secret(), ..SettingSources::default() },
            " (NODESTRAP_JOIN)".into(),
        ),
        (
            "join".into(),
            SettingSources { credentials: Some(credentials), ..SettingSources::default() },
            " (the credential nodestrap.join)".into(),
        ),
        (
            "join".into(),
            SettingSources { kernel_command_line: kernel, ..SettingSources::default() },
            " (nodestrap.join on the kernel command line)".into(),
        ),
    ]
}

fn no_effect(join: &JoinConfig) -> Option<&str> {
    let mut lines = join.warnings.iter().filter_map(|line| line.strip_prefix("accepted without effect: "));
    let line = lines.next();
    assert_eq!(lines.next(), None, "one line");
    line
}

#[test]
fn what_has_no_effect_is_named_in_one_line_in_every_source() {
    let scratch = crate::disk::Scratch::new("compatibility-named");
    for (line, sources, source) in sources(&format!("{LINE} {OTHERS}"), &scratch) {
        let join = join_in(&line, &sources);
        let named = NAMED.map(|flag| format!("{flag}{source}")).join(", ");
        assert_eq!(no_effect(&join), Some(named.as_str()));
        assert!(!join.warnings.concat().contains("0123456789abcdefabcdef"), "a key is not shown");
        let strict = join_in(&format!("{line} --strict"), &sources);
        assert_eq!(strict.warnings, join.warnings, "what kubeadm itself writes is no mistake");
    }
    let nothing = "--ignore-preflight-errors= --skip-phases= --vmodule= --control-plane=false --rootfs=";
    assert_eq!(no_effect(&join(&format!("{LINE} {nothing} --strict"))), None, "nothing is asked for");
}

#[test]
fn what_cannot_be_left_out_is_refused_by_name_in_every_source() {
    let scratch = crate::disk::Scratch::new("compatibility-refused");
    for (flags, shown, words) in [
        ("--control-plane", "--control-plane", "nodestrap joins workers only"),
        ("--rootfs /mnt", "--rootfs", "chroot DIR nodestrap join"),
        ("--skip-phases preflight,kubelet-start", "--skip-phases", "kubelet-start cannot be skipped"),
        ("--skip-phases hunter2", "--skip-phases", "not a phase of kubeadm join"),
    ] {
        for (line, sources, source) in sources(&format!("{LINE} {flags}"), &scratch) {
            let error = parse_in(&line, &sources).unwrap_err();
            assert!(error.help().is_some() && error.kind() == ErrorKind::Usage);
            let text = error.to_string();
            assert!(text.contains(&format!("{shown}{source}")) && text.contains(words), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}

#[test]
fn phases_that_do_not_exist_here_may_be_skipped() {
    for (phases, is_taken) in [
        ("preflight", true),
        ("control-plane-prepare/certs,control-plane-join/mark-control-plane,etcd-join,check-etcd", true),
        ("wait-control-plane,kubelet-wait-bootstrap,", true),
        ("kubelet-start", false),
        ("preflight,kubelet-start", false),
        ("Preflight", false),
        ("preflights", false),
    ] {
        assert_eq!(parse(&format!("{LINE} --skip-phases={phases}")).is_ok(), is_taken, "{phases}");
        let text = CONFIGURATION.replace("patches: null", &format!("skipPhases: [{phases}]"));
        assert_eq!(parse_in("join", &configured(&text)).is_ok(), is_taken, "{phases}");
    }
    // The flag counts over the field.
    let text = CONFIGURATION.replace("patches: null", "skipPhases: [kubelet-start]");
    assert!(parse_in("join --skip-phases preflight", &configured(&text)).is_ok());
}

#[test]
fn the_role_is_told_from_flags_and_configuration() {
    let config = |line: &str| configured(&CONFIGURATION.replace("patches: null", line));
    for (line, sources, role) in [
        (LINE, SettingSources::default(), Some("worker")),
        ("join h:1", SettingSources::default(), Some("worker")),
        ("kubeadm join h:1 -v5 --token-file /nonexistent", SettingSources::default(), Some("worker")),
        ("join h:1 --control-plane", SettingSources::default(), Some("control-plane")),
        (
            "join h:1 --control-plane=true --certificate-key x",
            SettingSources::default(),
            Some("control-plane"),
        ),
        ("join h:1 --control-plane=false", SettingSources::default(), Some("worker")),
        ("join", config("controlPlane: ~"), Some("worker")),
        ("join", config("controlPlane: {}"), Some("control-plane")),
        ("join", config("controlPlane: {certificateKey: x}"), Some("control-plane")),
        // What is not for nodestrap, or cannot be told, is an error.
        ("join --config /nonexistent", SettingSources::default(), None),
        ("join h:1 --rootfs /mnt", SettingSources::default(), None),
        ("join h:1 --skip-phases kubelet-start", SettingSources::default(), None),
        ("join h:1 --unknown", SettingSources::default(), None),
        ("join phase preflight", SettingSources::default(), None),
    ] {
        let said = match parse_in(&format!("{line} --print-role"), &sources) {
            Ok(Command::PrintRole(role)) => Some(role),
            Ok(other) => panic!("{other:?}"),
            Err(_) => None,
        };
        assert_eq!(said, role, "{line}");
    }
}

/// The rows of the manual's table: the names of those that take effect, have none, and are refused.
fn rows() -> [Vec<&'static str>; 3] {
    let manual = include_str!("../../../image/man/nodestrap.8");
    let table = manual
        .split(".Ss Flags and fields of kubeadm join\n")
        .nth(1)
        .unwrap()
        .split("\n.Sh ")
        .next()
        .unwrap();
    let mut lists = table.split(".Bl -tag").skip(1).map(|list| {
        let list = list.split("\n.El").next().unwrap();
        let items = list.lines().filter_map(|line| line.strip_prefix(".It Li "));
        items.flat_map(|item| item.split(" , ")).collect()
    });
    std::array::from_fn(|_| lists.next().expect("three lists"))
}

/// A value for a field, and the version's document with it.
fn document(path: &str) -> String {
    let value = match path {
        "discovery.bootstrapToken.caCertHashes" => format!("['{PIN}']"),
        "discovery.bootstrapToken.token" | "discovery.tlsBootstrapToken" => "abcdef.0123456789abcdef".into(),
        "discovery.file.kubeConfigPath" => "/nonexistent/discovery.conf".into(),
        "nodeRegistration.taints" => "[{key: k, effect: NoSchedule}]".into(),
        "nodeRegistration.kubeletExtraArgs" => "[{name: v, value: '2'}]".into(),
        "nodeRegistration.ignorePreflightErrors" => "[Swap]".into(),
        "skipPhases" => "[preflight]".into(),
        "nodeRegistration.criSocket" => "unix:///run/c.sock".into(),
        "caCertPath" | "patches.directory" => "/srv/ca.crt".into(),
        "nodeRegistration.imagePullPolicy" => "Always".into(),
        "controlPlane.localAPIEndpoint.bindPort" => "6443".into(),
        "dryRun"
        | "discovery.bootstrapToken.unsafeSkipCAVerification"
        | "nodeRegistration.imagePullSerial" => "true".into(),
        path if path.starts_with("timeouts.") => "1m0s".into(),
        "discovery.bootstrapToken.apiServerEndpoint" => "h:1".into(),
        _ => "x".into(),
    };
    let mut text = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n".to_owned();
    for (depth, name) in path.split('.').enumerate() {
        text.extend([&" ".repeat(depth), name, ":\n"]);
    }
    format!("{} {value}\n", text.trim_end())
}

/// What one row says of a join with it: the settings, the line of what has no effect, or the error.
fn said(name: &str) -> Result<(String, String)> {
    let (line, sources) = match name.strip_prefix("--").or(name.strip_prefix('-')) {
        Some(flag) => {
            let is_switch = Flag::named(flag).is_none_or(|(flag, _)| flag.row().kind == Kind::Switch);
            let value = match flag {
                _ if is_switch => "",
                "token" | "discovery-token" | "tls-bootstrap-token" => " abcdef.0123456789abcdef",
                "discovery-token-ca-cert-hash" => &format!(" {PIN}"),
                "skip-phases" => " preflight",
                "node-name" => " n1",
                _ => " /x",
            };
            // Others take effect without it.
            let more = if flag == "patches" { " --with-kubelet-config" } else { "" };
            (format!("join {name}{value}{more}"), SettingSources::default())
        }
        None => ("join --with-kubelet-config".to_owned(), configured(&document(name))),
    };
    let mut invocation = Invocation::default();
    invocation.read(line.split_whitespace().map(OsString::from), &sources)?;
    let settings = invocation.settings.print();
    match Command::of(&invocation)? {
        Command::Join(join) => Ok((settings, no_effect(&join).unwrap_or_default().to_owned())),
        Command::Help => Ok(("help".to_owned(), String::new())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_row_of_the_manuals_table_is_true() {
    let [effect, none, refused] = rows();
    assert!(effect.len() > 20 && none.len() > 15 && refused.len() > 3);
    for name in effect {
        let (settings, no_effect) = said(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(!settings.is_empty() && no_effect.is_empty(), "{name}: {settings} {no_effect}");
    }
    for name in none {
        let (_, no_effect) = said(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        let shown = match name {
            "-v" => "--v",
            "skipPhases" => "--skip-phases (NODESTRAP_CONFIG)",
            name => name,
        };
        assert_eq!(no_effect, shown, "{name}");
    }
    for name in refused {
        let error = said(name).unwrap_err().to_string();
        let shown = if name.starts_with("controlPlane") { "--control-plane" } else { name };
        assert!(error.contains(shown), "{name}: {error}");
    }
}
