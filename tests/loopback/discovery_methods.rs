//! Every way in: where the settings come from, and how the cluster is found.

use std::fs;

use serde_json::json;

use crate::join_builder::{Way, path};
use crate::support::api::{Api, Request, Route, TOKEN, jws};
use crate::support::node::{BOOTSTRAP_CONF, KUBELET_CONF};

#[test]
fn settings_come_from_anywhere() {
    let way = Way::new();
    let config = way.file("join.yaml", &way.configuration());
    way.with(&["--config", path(&config)]).joins();

    let mut way = Way::new();
    way.input = way.configuration();
    way.with(&["--config", "-"]).joins();

    let way = Way::new();
    let line = way.join_line();
    way.variable("NODESTRAP_JOIN", line).joins();

    let way = Way::new();
    let text = way.configuration();
    way.variable("NODESTRAP_CONFIG", text).joins();

    let way = Way::new();
    let (endpoint, pin) = (way.api.endpoint(), way.api.authority.pin());
    way.variable("NODESTRAP_TOKEN", TOKEN.to_owned())
        .with(&[&endpoint, "--discovery-token-ca-cert-hash", &pin])
        .joins();
}

#[test]
fn a_credential_carries_one_whole_thing() {
    for (name, text) in
        [("nodestrap.join", Way::join_line as fn(&Way) -> String), ("nodestrap.config", Way::configuration)]
    {
        let way = Way::new();
        let folder = way.node.beside("credentials");
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join(name), text(&way)).expect("a credential");
        way.variable("CREDENTIALS_DIRECTORY", path(&folder).to_owned()).joins();
    }
    let way = Way::new();
    let folder = way.node.beside("credentials");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("nodestrap.token"), format!("{TOKEN}\n")).expect("a credential");
    let (endpoint, pin) = (way.api.endpoint(), way.api.authority.pin());
    way.variable("CREDENTIALS_DIRECTORY", path(&folder).to_owned())
        .with(&[&endpoint, "--discovery-token-ca-cert-hash", &pin])
        .joins();
}

#[test]
fn a_token_from_a_file_is_not_warned_of_and_one_on_the_command_line_is() {
    let way = Way::new();
    let (endpoint, pin) = (way.api.endpoint(), way.api.authority.pin());
    let file = way.file("token", &format!("{TOKEN}\n"));
    let said =
        way.with(&[&endpoint, "--discovery-token-ca-cert-hash", &pin, "--token-file", path(&file)]).joins();
    assert!(!said.contains("warning"), "{said}");

    let mut way = Way::new();
    way.input = TOKEN.to_owned();
    let (endpoint, pin) = (way.api.endpoint(), way.api.authority.pin());
    way.with(&[&endpoint, "--discovery-token-ca-cert-hash", &pin, "--token-file", "-"]).joins();

    let way = Way::new();
    let (endpoint, pin) = (way.api.endpoint(), way.api.authority.pin());
    let said = way.with(&[&endpoint, "--discovery-token-ca-cert-hash", &pin, "--token", TOKEN]).joins();
    assert!(
        said.contains("warning: all users of this machine can read the token on the command line"),
        "{said}"
    );
}

#[test]
fn a_signed_cluster_info_needs_nobody_to_ask() {
    let yaml = |map: &serde_json::Value| {
        let data = map["data"].as_object().expect("data").iter().map(|(key, value)| {
            let text = value.as_str().expect("text");
            let (chomp, lines) = match text.strip_suffix('\n') {
                Some(lines) => ("", lines),
                None => ("-", text),
            };
            format!("  {key}: |{chomp}\n    {}\n", lines.replace('\n', "\n    "))
        });
        format!("apiVersion: v1\nkind: ConfigMap\ndata:\n{}", data.collect::<String>())
    };
    for form in [|map: &serde_json::Value| map.to_string(), yaml] {
        let way = Way::new();
        let file = way.file("cluster-info", &form(&way.config_map()));
        let token = way.file("token", TOKEN);
        let pin = way.api.authority.pin();
        let way = way.with(&[
            "--cluster-info",
            path(&file),
            "--token-file",
            path(&token),
            "--discovery-token-ca-cert-hash",
            &pin,
        ]);
        way.joins();
        assert_eq!(way.api.routes(), [Route::Create, Route::Watch], "nobody was asked for cluster-info");
    }
}

#[test]
fn a_forged_cluster_info_is_not_trusted_wherever_it_comes_from() {
    let way = Way::new();
    let mut map = way.config_map();
    let text = map["data"]["kubeconfig"].as_str().expect("text").replace("localhost", "evil.test");
    map["data"]["kubeconfig"] = json!(text);
    let file = way.file("cluster-info", &map.to_string());
    let token = way.file("token", TOKEN);
    let pin = way.api.authority.pin();
    let arguments =
        ["--cluster-info", path(&file), "--token-file", path(&token), "--discovery-token-ca-cert-hash", &pin];
    way.with(&arguments).is_refused(5, "does not match the secret of token");

    let way = Way::new();
    let file = way.file("cluster-info", "<html>");
    let token = way.file("token", TOKEN);
    let arguments =
        ["--cluster-info", path(&file), "--token-file", path(&token), "--discovery-token-ca-cert-hash", &pin];
    way.with(&arguments).is_refused(2, "not a ConfigMap");
}

#[test]
fn server_and_ca_by_the_operators_word() {
    let way = Way::new();
    let ca = way.api.authority.pem();
    let way = way.by_the_operators_word(&ca);
    way.joins();
    assert_eq!(way.api.routes(), [Route::Create, Route::Watch]);

    for (user, more) in
        [(format!("{{token: {TOKEN}}}"), None), ("{}".to_owned(), Some("--tls-bootstrap-token-file"))]
    {
        let way = Way::new();
        let file = way.file("discovery.conf", &way.kubeconfig(&user));
        let token = way.file("token", TOKEN);
        let way = way.with(&["--discovery-file", path(&file)]);
        let way = match more {
            Some(flag) => way.with(&[flag, path(&token)]),
            None => way,
        };
        way.joins();
        assert_eq!(way.api.routes(), [Route::Create, Route::Watch]);
    }
}

#[test]
fn the_operators_word_is_verified_in_the_handshake() {
    let way = Way::new();
    let stranger = Api::start();
    let ca = stranger.authority.pem();
    let way = way.by_the_operators_word(&ca);
    let output = way.run();
    assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(way.api.credentials_seen(), 0);
}

#[test]
fn a_prepared_node_goes_on_from_its_bootstrap_kubeconfig() {
    let way = Way::new();
    way.node.join(&way.api).run().expect("prepared");
    let file = way.node.at(BOOTSTRAP_CONF);
    let before = way.api.requests().len();
    let way = way.with(&["--bootstrap-kubeconfig", path(&file)]);
    way.joins();
    assert_eq!(way.api.routes()[before..], [Route::Create, Route::Watch]);
}

#[test]
fn a_kubeconfig_may_name_its_ca_and_its_token_by_files() {
    let way = Way::new();
    way.file("own.pem", &way.api.authority.pem());
    let token = way.file("token", &format!("{TOKEN}\n"));
    let text = way.kubeconfig(&format!("{{tokenFile: {}}}", path(&token)));
    let (before, data) = text.split_once("certificate-authority-data: ").expect("data");
    let text = [before, "certificate-authority: own.pem", &data[data.find('}').expect("an end")..]].concat();
    let file = way.file("discovery.conf", &text);
    way.with(&["--discovery-file", path(&file)]).joins();
}

#[test]
fn kubeconfigs_that_cannot_be_followed_are_refused() {
    for (from, to, words) in [
        (
            "server: 'https://",
            "insecure-skip-tls-verify: true, server: 'https://",
            "insecure-skip-tls-verify",
        ),
        ("https://", "http://", "not an https:// URL"),
        ("certificate-authority-data", "other-data", "no certificate authority"),
        ("user: {}", "user: {exec: {command: aws}}", "exec of its user is not supported"),
        ("user: {}", "user: {auth-provider: {name: gcp}}", "auth-provider of its user"),
        ("user: {}", "user: {username: u, password: p}", "username of its user"),
        ("user: {}", "user: {client-key-data: QQ==}", "a client certificate without a key"),
        ("user: {}", "user: {}", "no bearer token and no client certificate"),
        (
            "server: 'https://",
            "proxy-url: 'http://p:1', server: 'https://",
            "proxy-url is not supported\nnodestrap: help: set HTTPS_PROXY instead\n",
        ),
        (
            "server: 'https://",
            "tls-server-name: h, server: 'https://",
            "tls-server-name is not supported\nnodestrap: help: use a server name that is in its certificate\n",
        ),
        ("clusters:", "clusters: [", "not a kubeconfig"),
    ] {
        let way = Way::new();
        let text = way.kubeconfig("{}");
        assert!(text.contains(from), "{from}");
        let file = way.file("discovery.conf", &text.replace(from, to));
        way.with(&["--discovery-file", path(&file)]).is_refused(2, words);
    }
}

/// As behind a proxy that serves many clusters, each below a path of its own.
#[test]
fn a_path_in_the_servers_url_is_kept() {
    for source in ["cluster-info", "a kubeconfig"] {
        let way = Way::new();
        let (endpoint, pin) = (way.api.endpoint(), way.api.authority.pin());
        let server = format!("https://{endpoint}/k8s/c-1");
        way.api.on(Route::Other, |_, request, cluster| {
            let target = request.target.strip_prefix("/k8s/c-1")?.to_owned();
            Some(cluster.answer(&Request { target, ..request.clone() }))
        });
        let token = way.file("token", TOKEN);
        let way = match source {
            "cluster-info" => {
                let kubeconfig = jws::kubeconfig(&way.api.authority.pem(), &server);
                way.api.cluster(|cluster| cluster.publish(&kubeconfig));
                way.with(&[&endpoint, "--discovery-token-ca-cert-hash", &pin])
            }
            _ => {
                let text = way.kubeconfig("{}").replace(&format!("https://{endpoint}"), &server);
                let file = way.file("discovery.conf", &text);
                way.with(&["--discovery-file", path(&file)])
            }
        };
        let way =
            way.with(&["--tls-bootstrap-token-file", path(&token), "--discovery-token-file", path(&token)]);
        way.joins();
        let requests = way.api.requests();
        let asked = requests.iter().filter(|request| request.route() != Route::Discovery);
        let mut targets = asked.map(|request| request.target.as_str());
        assert!(
            targets.all(|target| target.starts_with("/k8s/c-1/apis/certificates.k8s.io/")),
            "{requests:#?}"
        );
        assert!(way.node.read(KUBELET_CONF).contains(&format!("    server: {server}\n")));
    }
}

#[test]
fn one_source_names_one_way() {
    let way = Way::new();
    let (endpoint, pin) = (way.api.endpoint(), way.api.authority.pin());
    let token = way.file("token", TOKEN);
    let arguments = [
        &endpoint,
        "--discovery-file",
        "/nowhere",
        "--token-file",
        path(&token),
        "--discovery-token-ca-cert-hash",
        &pin,
    ];
    way.with(&arguments).is_refused(2, "mutually exclusive");

    // A stronger source may choose another way than a weaker one.
    let way = Way::new();
    let file = way.file("discovery.conf", &way.kubeconfig(&format!("{{token: {TOKEN}}}")));
    let line = way.join_line();
    way.variable("NODESTRAP_JOIN", line).with(&["--discovery-file", path(&file)]).joins();
}

#[test]
fn a_dry_run_trusts_and_writes_nothing() {
    let way = Way::new();
    let line = way.join_line();
    let way = way.variable("NODESTRAP_JOIN", line).with(&["--dry-run"]);
    let output = way.run();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("dry run"));
    assert_eq!(way.api.routes(), [Route::Discovery]);
    way.node.is_untouched_by(&way.api);
}

#[test]
fn a_dry_run_asks_for_no_serving_certificate_and_cleans_nothing_up() {
    let way = Way::new();
    let line = way.join_line();
    let way = way.variable("NODESTRAP_JOIN", line).with(&["--dry-run", "--with-serving-cert"]);
    assert_eq!(way.run().status.code(), Some(0));
    way.node.is_untouched_by(&way.api);

    let way = Way::new();
    way.node.join(&way.api).with_cert().args("--keep-bootstrap-kubeconfig").run().expect("joined");
    let before = way.node.tree();
    let line = way.join_line();
    let way = way.variable("NODESTRAP_JOIN", line).with(&["--dry-run"]);
    assert_eq!(way.run().status.code(), Some(0));
    assert_eq!(way.node.tree(), before, "the bootstrap kubeconfig stays");
}

/// kubeadm loads a configuration alone, and looks at no endpoint beside a discovery file in it.
#[test]
fn an_endpoint_beside_a_configuration_with_a_discovery_file_is_not_asked() {
    for endpoint in ["argument", "NODESTRAP_JOIN"] {
        let (way, other) = (Way::new(), Api::start());
        let file = way.file("discovery.conf", &way.kubeconfig(&format!("{{token: {TOKEN}}}")));
        let text = format!(
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ndiscovery: {{file: {{kubeConfigPath: {}}}}}\n",
            path(&file)
        );
        let config = way.file("join.yaml", &text);
        let way = way.with(&["--config", path(&config)]);
        let other_endpoint = other.endpoint();
        let way = match endpoint {
            "argument" => way.with(&[&other_endpoint]),
            _ => way.variable("NODESTRAP_JOIN", format!("kubeadm join {other_endpoint}")),
        };
        let said = way.joins();
        assert!(said.contains("warning: HOST:PORT") && said.contains("is ignored"), "{said}");
        assert_eq!((way.api.routes(), other.connections().len()), (vec![Route::Create, Route::Watch], 0));
    }

    // Without a configuration both are its error, and here.
    let way = Way::new();
    let file = way.file("discovery.conf", &way.kubeconfig(&format!("{{token: {TOKEN}}}")));
    let endpoint = way.api.endpoint();
    way.with(&[&endpoint, "--discovery-file", path(&file)]).is_refused(2, "are mutually exclusive");
}
