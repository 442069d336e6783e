//! Where one thing that is said ends and another begins.

use super::*;

#[test]
fn a_taint_is_one_with_any_of_its_parts() {
    let text = CONFIGURATION.replace(
        "taints: []",
        "taints: [{key: k}, {value: v}, {effect: E}, {}, ~, {key: a, value: b, effect: C}]",
    );
    let mut invocation = Invocation::default();
    invocation.read([OsString::from("join")], &configured(&text)).unwrap();
    assert_eq!(invocation.settings.list(Flag::Taint).collect::<Vec<_>>(), ["k=:", "=v:", "=:E", "a=b:C"]);
}

/// It waits for a pipe, puts its first request off, finds the cluster, and requests two certificates.
#[test]
fn a_second_run_waits_as_long_as_the_first_one_can_take() {
    let line = format!(
        "join h:1 --token abcdef.0123456789abcdef --discovery-token-ca-cert-hash {PIN} --discovery-timeout 1s --splay 4s \
         --tls-bootstrap-timeout 8s --with-serving-cert --serving-timeout 16s"
    );
    assert_eq!(join(&line).longest_run(), Duration::from_secs(2 + 4 + 8 + 16));
}

#[test]
fn what_the_kubelet_registers_with_needs_no_configuration_of_the_cluster() {
    let line = format!("join h:1 --token abcdef.0123456789abcdef --discovery-token-ca-cert-hash {PIN}");
    assert!(join(&line).registration.is_empty());
    for flag in ["--taint k=v:NoSchedule", "--kubelet-extra-arg v=2", "--cri-socket /run/c.sock"] {
        assert!(!join(&format!("{line} {flag}")).registration.is_empty(), "{flag}");
    }
}

#[test]
fn a_certificate_has_as_many_names_as_the_limit_says() {
    let line = format!(
        "join h:1 --token abcdef.0123456789abcdef --discovery-token-ca-cert-hash {PIN} --with-serving-cert"
    );
    for (count, is_taken) in [(limits::ALT_NAMES, true), (limits::ALT_NAMES + 1, false)] {
        let names: Vec<_> = (0..count).map(|number| format!("n{number}")).collect();
        assert_eq!(parse(&format!("{line} --san {}", names.join(","))).is_ok(), is_taken, "{count}");
    }
}

#[test]
fn every_ca_is_to_be_pinned_where_that_is_said() {
    let line = format!("join h:1 --token abcdef.0123456789abcdef --discovery-token-ca-cert-hash {PIN}");
    assert!(matches!(join(&line).pins, Pins::AnyCa(pins) if pins.len() == 1));
    let each = join(&format!("{line} --pin-every-ca"));
    assert!(matches!(each.pins, Pins::EveryCa(pins) if pins.len() == 1));
}

#[test]
fn a_bearer_token_has_the_characters_of_one() {
    for (token, is_one) in [
        ("abcXYZ019-._~+/=", true),
        ("a b", false),
        ("a\n", false),
        ("ä", false),
        ("a:b", false),
        ("a\"", false),
    ] {
        assert_eq!(crate::credentials::is_bearer_token(token), is_one, "{token}");
    }
    let line = "join --server https://h:6443 --certificate-authority tests/fuzz/pki/ca.pem";
    for (token, is_taken) in [("abc=", true), ("a:b", false), ("a\u{e4}", false)] {
        let found = needed(&format!("{line} --bearer-token {token}"), &SettingSources::default());
        assert_eq!(found.is_ok(), is_taken, "{token} {:?}", found.err());
    }
}
