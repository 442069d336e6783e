//! A run of nodestrap.service tells the kubelet's unit, by a file that its condition looks for, whether it has to wait.

use std::fs;

use crate::support::node::Node;
use crate::support::run::{command, output};

const TOKEN: &str = "abcdef.0123456789abcdef";

/// Runs the program by a script that has a `/run` of its own, with `prepare` before it, `variable` as systemd's variable and
/// these arguments: its exit code, and whether the file is there.
fn waits(
    prepare: &str,
    variable: Option<&str>,
    arguments: &[&str],
    credential: Option<(&str, &str)>,
) -> (i32, bool) {
    let node = Node::new();
    let script = format!(
        "mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/nodestrap && {{ {prepare}; }} && \
         {{ \"$@\"; code=$?; ls /run/nodestrap >\"$LISTING\"; exit $code; }}"
    );
    let listing = node.beside("listing");
    let program = command();
    let mut run = std::process::Command::new("unshare");
    run.args(["--mount", "sh", "-c", &script, "sh"]).arg(program.get_program());
    run.args(["join", "--with-client-cert", "--node-name=n1", "--timeout=1s", "--root"]).arg(node.root());
    run.args(arguments).env("LISTING", &listing).env_remove("RUNTIME_DIRECTORY");
    run.envs(variable.map(|value| ("RUNTIME_DIRECTORY", value)));
    if let Some((name, text)) = credential {
        let directory = node.beside("credentials");
        fs::create_dir(&directory).expect("a directory");
        fs::write(directory.join(name), text).expect("a credential");
        run.env("CREDENTIALS_DIRECTORY", directory);
    }
    let code = output(&mut run).status.code().expect("an exit code");
    let listing = fs::read_to_string(listing).expect("the listing");
    (code, listing.lines().any(|name| name == "kubelet-waits"))
}

const UNIT: Option<&str> = Some("/run/nodestrap");

#[test]
fn the_kubelet_waits_where_anything_names_a_cluster() {
    let cases: [&[&str]; 7] = [
        &["127.0.0.1:1", "--discovery-token-unsafe-skip-ca-verification", "--token", TOKEN],
        &["127.0.0.1:1"],
        &["--token", TOKEN],
        &["--token-file=/nowhere"],
        &["--config=/nowhere"],
        &["--discovery-token-ca-cert-hash=sha256:00"],
        // What is wrong was meant for this machine.
        &["--no-such-flag"],
    ];
    for arguments in cases {
        let (code, waits) = waits("true", UNIT, arguments, None);
        assert!(code != 0 && waits, "{arguments:?}: {code}");
    }
    for credential in
        [("nodestrap.token", TOKEN), ("nodestrap.join", "kubeadm join 127.0.0.1:1"), ("nodestrap.config", "")]
    {
        assert!(waits("true", UNIT, &[], Some(credential)).1, "{credential:?}");
    }
}

#[test]
fn without_anything_to_join_by_the_kubelet_is_left_alone() {
    for arguments in [&[][..], &["--with-kubelet-config", "--with-serving-cert", "--taint=a=b:NoSchedule"]] {
        assert_eq!(waits("true", UNIT, arguments, None), (2, false), "{arguments:?}");
    }
    let earlier = "touch /run/nodestrap/kubelet-waits";
    assert_eq!(waits(earlier, UNIT, &[], None), (2, false), "what an earlier run has said counts no more");
}

#[test]
fn nobody_waits_for_a_run_by_hand_or_of_another_unit() {
    for variable in
        [None, Some(""), Some("/run/other"), Some("/run/nodestrap:/run/other"), Some("/run/nodestrap/x")]
    {
        assert_eq!(waits("true", variable, &["--token", TOKEN], None), (2, false), "{variable:?}");
        let there = "touch /run/nodestrap/kubelet-waits";
        assert_eq!(waits(there, variable, &[], None), (2, true), "{variable:?}: it stays as it was");
    }
}
