//! How the cluster is found, and what has to be known for that.

use super::*;

#[test]
fn what_only_a_join_needs_may_be_missing() {
    for line in ["join", "join h:1 --token-file /nonexistent/token"] {
        assert!(join(line).method.known().is_none(), "{line}");
        problem(&format!("{line} --print-config"));
    }
}

#[test]
fn a_url_is_not_read_before_the_join() {
    let file = "join --discovery-file https://files.example/pool/a.conf";
    for (line, own) in [(file.to_owned(), true), (format!("{file} --token abcdef.0123456789abcdef"), false)] {
        let join = join(&line);
        let Some(Method::RemoteKubeconfig { file, token }) = join.method.known() else { panic!("{line}") };
        assert_eq!((file.url.as_str(), token.is_none()), ("https://files.example/pool/a.conf", own));
        assert!(file.ca.is_none());
    }
    assert!(problem(&format!("{file} --token hunter2")).contains("not a bootstrap token"));
    let pinned = format!("--token abcdef.0123456789abcdef --discovery-token-ca-cert-hash {PIN}");
    let info = join(&format!("join --cluster-info https://files.example/info {pinned}"));
    assert!(matches!(info.method.known(), Some(Method::RemoteClusterInfo { .. })));
    assert!(
        problem(&format!("join h:1 {pinned} --discovery-ca /c")).contains("--discovery-ca is valid only")
    );
}

/// A line without its first words looked like a command of the user's.
#[test]
fn a_join_line_that_is_none_is_told_with_its_source() {
    for line in ["h:1 --token abcdef.0123456789abcdef", "check", "", "kubeadm token list"] {
        let sources =
            SettingSources { join: Some(Secret::new(line.to_owned())), ..SettingSources::default() };
        let text = parse_in("join", &sources).unwrap_err().to_string();
        assert!(text.contains("NODESTRAP_JOIN: expected a \"kubeadm join\" command"), "{line}: {text}");
    }
}

#[test]
fn a_nodes_cluster_is_compared_with_the_keys_that_are_given() {
    use Comparison::{Other, Same, Unknown};
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/pki/ca.pem");
    let ca = CaBundle::from_pem(std::fs::read(file).unwrap()).unwrap().pins().remove(0);
    let other = PIN.replace("sha256:0", "sha256:f");
    let token = "--token abcdef.0123456789abcdef";
    let pinned = format!("--discovery-token-ca-cert-hash {PIN}");
    let server = format!("join --server https://h:1 --certificate-authority {file} {token}");
    for (line, keys, expected) in [
        (format!("join h:1 {token} {pinned}"), [PIN, &other], Same),
        (format!("join h:1 {token} {pinned}"), [&other, PIN], Same),
        (format!("join h:1 {token} {pinned}"), [&other, &other], Other),
        (format!("join h:1 {token} --discovery-token-unsafe-skip-ca-verification"), [PIN, PIN], Unknown),
        (server.clone(), [&other, &ca], Same),
        (server.clone(), [&other, PIN], Other),
        (format!("{server} {pinned}"), [&other, PIN], Same),
        (format!("{server} {pinned}"), [&ca, &other], Same),
        (format!("{server} {pinned}"), [&other, &other], Other),
        ("join --discovery-file https://h/a".to_owned(), [PIN, PIN], Unknown),
        (format!("join --discovery-file https://h/a {pinned}"), [&other, &other], Other),
        (format!("join h:1 --token-file /nonexistent {pinned}"), [&other, &other], Other),
        (format!("join h:1 --token-file /nonexistent {pinned}"), [&other, PIN], Same),
        ("join".to_owned(), [PIN, PIN], Unknown),
    ] {
        assert_eq!(join(&line).compare(&keys.map(str::to_owned)), expected, "{line} and {keys:?}");
    }
}
