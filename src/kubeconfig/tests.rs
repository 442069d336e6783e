//! Kubeconfigs read and written.

use super::*;

#[test]
fn kubeadms_cluster_info_is_read() {
    let text = "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: QQ==\n    server: https://h:1\n  \
                name: \"\"\ncontexts: null\ncurrent-context: \"\"\nkind: Config\npreferences: {}\nusers: null\n";
    let config = Kubeconfig::parse(text).unwrap();
    assert_eq!(config.discovery_cluster().unwrap().server, "https://h:1");
}

#[test]
fn base64_may_be_broken_into_lines() {
    let text = "clusters:\n- cluster:\n    certificate-authority-data: |\n      QU\n      E=\n";
    let config = Kubeconfig::parse(text).unwrap();
    assert_eq!(config.discovery_cluster().unwrap().certificate_authority_data, "QUE=");
}

#[test]
fn what_is_written_is_read_again() {
    let config = Kubeconfig::parse(&kubelet("https://[::1]:6443", "QQ==", "/p.pem")).unwrap();
    let (cluster, user) = config.current().unwrap();
    assert_eq!(cluster.server, "https://[::1]:6443");
    assert_eq!(cluster.certificate_authority_data, "QQ==");
    assert_eq!(user.client_key, "/p.pem");
}

#[test]
fn a_token_that_looks_like_a_number_is_quoted() {
    for (token, quoted) in [
        ("123456.0123456789012345", true),
        ("123456.012345678901e234", true),
        ("abcdef.0123456789abcdef", false),
        ("123456.012345678901234e", false),
        ("12345e.0123456789012345", false),
        ("02b50b05283e98dd0fd71db496ef01e8", true),
        ("true", true),
        ("y", true),
        ("123456.0E7", true),
        ("123456.0e-7", true),
        ("123_456.0", true),
        ("a-token_of.letters", false),
        ("a/b+c==", true),
        ("a: #b", true),
    ] {
        let line = if quoted { format!("token: \"{token}\"\n") } else { format!("token: {token}\n") };
        let user = BootstrapUser { token: Some(token), token_file: None, pair: None };
        assert!(bootstrap("s", "c", &user).expose().ends_with(&line), "{token}");
    }
}

#[test]
fn a_pair_is_embedded_and_read_again() {
    let user = BootstrapUser { token: None, token_file: None, pair: Some(("c".to_owned(), "k")) };
    let text = bootstrap("https://h", "QQ==", &user);
    let config = Kubeconfig::parse(text.expose()).unwrap();
    let (_, user) = config.current().unwrap();
    assert_eq!((user.client_certificate_data.expose().as_str(), user.token.expose().as_str()), ("Yw==", ""));
    assert_eq!(user.client_key_data.expose(), "aw==");
}

#[test]
fn what_is_not_followed_is_named() {
    for (field, named) in [
        ("exec: {command: aws}", Some("exec")),
        ("auth-provider: {name: gcp}", Some("auth-provider")),
        ("username: u, password: p", Some("username")),
        ("as: other", Some("as")),
        ("exec: {}", Some("exec")),
        ("auth-provider: {}", Some("auth-provider")),
        ("password: p", Some("password")),
        ("as-groups: [g]", Some("as-groups")),
        ("as-groups: [null]", Some("as-groups")),
        ("as-user-extra: {a: null}", Some("as-user-extra")),
        ("as-uid: x", Some("as-uid")),
        ("exec: null, username: ''", None),
        ("as: '', as-uid: '', as-groups: [], as-user-extra: {}, password: ''", None),
        (
            "auth-provider: ~, exec: , as: , as-groups: null, as-user-extra: null, username: , password: ",
            None,
        ),
        ("extensions: [], client-key: , tokenFile: , client-certificate-data: ~", None),
        ("other: x", None),
    ] {
        let text = format!(
            "{{contexts: [{{name: x, context: {{cluster: c, user: u}}}}], current-context: x, \
             clusters: [{{name: c, cluster: {{tls-server-name: h}}}}], users: [{{name: u, user: {{{field}}}}}]}}"
        );
        let config = Kubeconfig::parse(&text).unwrap();
        let (cluster, user) = config.current().unwrap();
        assert_eq!((user.unsupported, cluster.unsupported), (named, Some("tls-server-name")), "{field}");
    }
}

#[test]
fn several_clusters_need_one_that_is_meant() {
    let two =
        "clusters: [{name: a, cluster: {server: 'https://a'}}, {name: b, cluster: {server: 'https://b'}}]\n";
    assert!(Kubeconfig::parse(two).unwrap().discovery_cluster().is_err());
    let current = format!(
        "{two}contexts: [{{name: c, context: {{cluster: b, user: u}}}}]\ncurrent-context: c\nusers: null\n"
    );
    assert_eq!(Kubeconfig::parse(&current).unwrap().discovery_cluster().unwrap().server, "https://b");
    let unnamed = two.replace("name: a", "name: ''");
    assert_eq!(Kubeconfig::parse(&unnamed).unwrap().discovery_cluster().unwrap().server, "https://a");
    assert!(Kubeconfig::parse(&two.replace("name: b", "name: a")).is_err());
    let config = Kubeconfig::parse(&current.replace("name: a", "name: ''")).unwrap();
    assert_eq!(config.discovery_cluster().unwrap().server, "https://a", "as kubeadm has it");
    assert_eq!(config.kubelets_cluster().unwrap().server, "https://b", "as the kubelet has it");
    let nameless = two.replace("name: a, ", "");
    assert_eq!(Kubeconfig::parse(&nameless).unwrap().discovery_cluster().unwrap().server, "https://a");
    assert!(Kubeconfig::parse("").unwrap().discovery_cluster().is_err());
}

#[test]
fn null_is_absent_in_every_field_and_an_empty_field_says_nothing() {
    let full = "apiVersion: v1
kind: Config
preferences: {}
extensions: []
clusters:
- name: c
  cluster: {server: 'https://h', certificate-authority-data: QQ==, proxy-url: '', tls-server-name: '', extensions: []}
contexts:
- name: x
  context: {cluster: c, user: u, namespace: ''}
users:
- name: u
  user: {token: t, tokenFile: ''}
current-context: x
";
    let read = |text: &str| {
        let config = Kubeconfig::parse(text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let (cluster, user) = config.current().expect(text);
        assert_eq!((cluster.unsupported, user.unsupported), (None, None), "{text}");
        assert_eq!((cluster.server.as_str(), user.token.expose().as_str()), ("https://h", "t"), "{text}");
        cluster.insecure_skip_tls_verify
    };
    read(full);
    for (field, null) in [
        ("apiVersion: v1", "apiVersion: null"),
        ("kind: Config", "kind:"),
        ("preferences: {}", "preferences: ~"),
        ("extensions: []\nclusters", "extensions: null\nclusters"),
        ("proxy-url: ''", "proxy-url: null"),
        ("tls-server-name: ''", "tls-server-name: ~"),
        ("extensions: []}", "extensions: null}"),
        ("namespace: ''", "namespace: null"),
        ("tokenFile: ''", "tokenFile: null"),
        ("- name: c\n", "- null\n- name: c\n"),
        ("- name: u\n", "-\n- name: u\n"),
    ] {
        assert!(full.contains(field), "{field}");
        read(&full.replacen(field, null, 1));
    }
    let skip = |value: &str| full.replace("proxy-url: ''", &format!("insecure-skip-tls-verify: {value}"));
    for (value, on) in
        [("", false), ("null", false), ("no", false), ("off", false), ("yes", true), ("On", true)]
    {
        assert_eq!(read(&skip(value)), on, "{value}");
    }
    for bad in ["''", "'yes'", "1", "[]", "yEs"] {
        assert!(Kubeconfig::parse(&skip(bad)).is_err(), "{bad}");
    }
    for (field, other) in
        [("server: 'https://h'", "server: yes"), ("token: t", "token: on"), ("name: x", "name: no")]
    {
        assert!(Kubeconfig::parse(&full.replace(field, other)).is_err(), "as client-go has it: {other}");
    }
}

#[test]
fn an_error_does_not_quote_a_secret() {
    let error = Kubeconfig::parse("users: [{name: a, user: {client-key: [hunter2]}}]").unwrap_err();
    assert!(!error.to_string().contains("hunter2"));
}

#[test]
fn a_token_with_quotes_is_read_again() {
    let token = "a\"b\\c'd: #";
    let text =
        bootstrap("https://h", "QQ==", &BootstrapUser { token: Some(token), token_file: None, pair: None });
    let config = Kubeconfig::parse(text.expose()).unwrap();
    assert_eq!(config.current().unwrap().1.token.expose(), token);
}

#[test]
fn an_entry_that_is_no_map_is_refused() {
    for bad in ["clusters: [a]", "clusters: [{cluster: a}]", "users: [{user: []}]", "contexts: [{name: 1}]"] {
        assert!(Kubeconfig::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_secret_is_written_into_room_that_was_made_for_it() {
    let (server, data) = ("https://192.0.2.1:6443", "QUJD".repeat(1000));
    let (certificate, key) = ("c".repeat(3000), "k".repeat(700));
    let (pair, quotes) = (Some((certificate, key.as_str())), "'".repeat(2000));
    let token = Some(quotes.as_str());
    for (token, pair, room) in
        [(None, None, 0), (token, None, 4000), (None, pair.clone(), 7400), (token, pair, 11_400)]
    {
        let written = bootstrap(server, &data, &BootstrapUser { token, token_file: None, pair });
        // One that had grown would have another capacity, and what it grew from would be a copy.
        assert_eq!(written.expose().capacity(), 1024 + server.len() + data.len() + room);
    }
}

#[test]
fn a_kubeconfig_embeds_a_secret_or_leads_to_one() {
    for (user, embeds, holds) in [
        ("{}", false, false),
        ("{token: abc}", true, true),
        ("{client-key-data: abc}", true, true),
        ("{client-key-data: abc, token: abc}", true, true),
        (
            "{tokenFile: /t, client-key: /k, client-certificate: /c, client-certificate-data: abc}",
            false,
            false,
        ),
        ("{password: abc}", false, true),
        ("{username: abc}", false, true),
        ("{exec: {command: abc}}", false, false),
    ] {
        let text = format!("kind: Config\nusers: [{{name: a, user: {{}}}}, {{name: b, user: {user}}}]\n");
        let read = Kubeconfig::parse(&text).unwrap();
        assert_eq!((read.embeds_a_secret(), read.holds_secret()), (embeds, holds), "{user}");
    }
    let none = Kubeconfig::parse("kind: Config\n").unwrap();
    assert!(!none.embeds_a_secret() && !none.holds_secret());
}
