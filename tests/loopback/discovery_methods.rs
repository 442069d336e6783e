//! Every way in: where the settings come from, and how the cluster is found.

use std::fs;

use serde_json::json;

use crate::join_builder::{JoinBuilder, path};
use crate::support::api::{Api, Request, Route, TOKEN, jws};
use crate::support::node::{BOOTSTRAP_CONF, KUBELET_CONF};

#[test]
fn settings_come_from_anywhere() {
    let builder = JoinBuilder::new();
    let config = builder.file("join.yaml", &builder.configuration());
    builder.with(&["--config", path(&config)]).joins();

    let mut builder = JoinBuilder::new();
    builder.input = builder.configuration();
    builder.with(&["--config", "-"]).joins();

    let builder = JoinBuilder::new();
    let line = builder.join_line();
    builder.variable("NODESTRAP_JOIN", line).joins();

    let builder = JoinBuilder::new();
    let text = builder.configuration();
    builder.variable("NODESTRAP_CONFIG", text).joins();

    let builder = JoinBuilder::new();
    let (endpoint, pin) = (builder.api.endpoint(), builder.api.authority.pin());
    builder
        .variable("NODESTRAP_TOKEN", TOKEN.to_owned())
        .with(&[&endpoint, "--discovery-token-ca-cert-hash", &pin])
        .joins();
}

#[test]
fn a_credential_carries_one_whole_thing() {
    for (name, text) in [
        ("nodestrap.join", JoinBuilder::join_line as fn(&JoinBuilder) -> String),
        ("nodestrap.config", JoinBuilder::configuration),
    ] {
        let builder = JoinBuilder::new();
        let folder = builder.node.beside("credentials");
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join(name), text(&builder)).expect("a credential");
        builder.variable("CREDENTIALS_DIRECTORY", path(&folder).to_owned()).joins();
    }
    let builder = JoinBuilder::new();
    let folder = builder.node.beside("credentials");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("nodestrap.token"), format!("{TOKEN}\n")).expect("a credential");
    let (endpoint, pin) = (builder.api.endpoint(), builder.api.authority.pin());
    builder
        .variable("CREDENTIALS_DIRECTORY", path(&folder).to_owned())
        .with(&[&endpoint, "--discovery-token-ca-cert-hash", &pin])
        .joins();
}

#[test]
fn a_token_from_a_file_is_not_warned_of_and_one_on_the_command_line_is() {
    let builder = JoinBuilder::new();
    let (endpoint, pin) = (builder.api.endpoint(), builder.api.authority.pin());
    let file = builder.file("token", &format!("{TOKEN}\n"));
    let said = builder
        .with(&[&endpoint, "--discovery-token-ca-cert-hash", &pin, "--token-file", path(&file)])
        .joins();
    assert!(!said.contains("warning"), "{said}");

    let mut builder = JoinBuilder::new();
    builder.input = TOKEN.to_owned();
    let (endpoint, pin) = (builder.api.endpoint(), builder.api.authority.pin());
    builder.with(&[&endpoint, "--discovery-token-ca-cert-hash", &pin, "--token-file", "-"]).joins();

    let builder = JoinBuilder::new();
    let (endpoint, pin) = (builder.api.endpoint(), builder.api.authority.pin());
    let said = builder.with(&[&endpoint, "--discovery-token-ca-cert-hash", &pin, "--token", TOKEN]).joins();
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
        let builder = JoinBuilder::new();
        let file = builder.file("cluster-info", &form(&builder.config_map()));
        let token = builder.file("token", TOKEN);
        let pin = builder.api.authority.pin();
        let builder = builder.with(&[
            "--cluster-info",
            path(&file),
            "--token-file",
            path(&token),
            "--discovery-token-ca-cert-hash",
            &pin,
        ]);
        builder.joins();
        assert_eq!(builder.api.routes(), [Route::Create, Route::Watch], "nobody was asked for cluster-info");
    }
}

#[test]
fn a_forged_cluster_info_is_not_trusted_wherever_it_comes_from() {
    let builder = JoinBuilder::new();
    let mut map = builder.config_map();
    let text = map["data"]["kubeconfig"].as_str().expect("text").replace("localhost", "evil.test");
    map["data"]["kubeconfig"] = json!(text);
    let file = builder.file("cluster-info", &map.to_string());
    let token = builder.file("token", TOKEN);
    let pin = builder.api.authority.pin();
    let arguments =
        ["--cluster-info", path(&file), "--token-file", path(&token), "--discovery-token-ca-cert-hash", &pin];
    builder.with(&arguments).is_refused(5, "does not match the secret of token");

    let builder = JoinBuilder::new();
    let file = builder.file("cluster-info", "<html>");
    let token = builder.file("token", TOKEN);
    let arguments =
        ["--cluster-info", path(&file), "--token-file", path(&token), "--discovery-token-ca-cert-hash", &pin];
    builder.with(&arguments).is_refused(2, "not a ConfigMap");
}

#[test]
fn server_and_ca_by_the_operators_word() {
    let builder = JoinBuilder::new();
    let ca = builder.api.authority.pem();
    let builder = builder.by_the_operators_word(&ca);
    builder.joins();
    assert_eq!(builder.api.routes(), [Route::Create, Route::Watch]);

    for (user, more) in
        [(format!("{{token: {TOKEN}}}"), None), ("{}".to_owned(), Some("--tls-bootstrap-token-file"))]
    {
        let builder = JoinBuilder::new();
        let file = builder.file("discovery.conf", &builder.kubeconfig(&user));
        let token = builder.file("token", TOKEN);
        let builder = builder.with(&["--discovery-file", path(&file)]);
        let builder = match more {
            Some(flag) => builder.with(&[flag, path(&token)]),
            None => builder,
        };
        builder.joins();
        assert_eq!(builder.api.routes(), [Route::Create, Route::Watch]);
    }
}

#[test]
fn the_operators_word_is_verified_in_the_handshake() {
    let builder = JoinBuilder::new();
    let stranger = Api::start();
    let ca = stranger.authority.pem();
    let builder = builder.by_the_operators_word(&ca);
    let output = builder.run();
    assert_eq!(output.code, Some(5), "{}", output.stderr);
    assert_eq!(builder.api.credentials_seen(), 0);
}

#[test]
fn a_prepared_node_goes_on_from_its_bootstrap_kubeconfig() {
    let builder = JoinBuilder::new();
    builder.node.join(&builder.api).run().expect("prepared");
    let file = builder.node.at(BOOTSTRAP_CONF);
    let before = builder.api.requests().len();
    let builder = builder.with(&["--bootstrap-kubeconfig", path(&file)]);
    builder.joins();
    assert_eq!(builder.api.routes()[before..], [Route::Create, Route::Watch]);
}

#[test]
fn a_kubeconfig_may_name_its_ca_and_its_token_by_files() {
    let builder = JoinBuilder::new();
    builder.file("own.pem", &builder.api.authority.pem());
    let token = builder.file("token", &format!("{TOKEN}\n"));
    let text = builder.kubeconfig(&format!("{{tokenFile: {}}}", path(&token)));
    let (before, data) = text.split_once("certificate-authority-data: ").expect("data");
    let text = [before, "certificate-authority: own.pem", &data[data.find('}').expect("an end")..]].concat();
    let file = builder.file("discovery.conf", &text);
    builder.with(&["--discovery-file", path(&file)]).joins();
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
        let builder = JoinBuilder::new();
        let text = builder.kubeconfig("{}");
        assert!(text.contains(from), "{from}");
        let file = builder.file("discovery.conf", &text.replace(from, to));
        builder.with(&["--discovery-file", path(&file)]).is_refused(2, words);
    }
}

/// As behind a proxy that serves many clusters, each below a path of its own.
#[test]
fn a_path_in_the_servers_url_is_kept() {
    for source in ["cluster-info", "a kubeconfig"] {
        let builder = JoinBuilder::new();
        let (endpoint, pin) = (builder.api.endpoint(), builder.api.authority.pin());
        let server = format!("https://{endpoint}/k8s/c-1");
        builder.api.on(Route::Other, |_, request, cluster| {
            let target = request.target.strip_prefix("/k8s/c-1")?.to_owned();
            Some(cluster.answer(&Request { target, ..request.clone() }))
        });
        let token = builder.file("token", TOKEN);
        let builder = match source {
            "cluster-info" => {
                let kubeconfig = jws::kubeconfig(&builder.api.authority.pem(), &server);
                builder.api.cluster(|cluster| cluster.publish(&kubeconfig));
                builder.with(&[&endpoint, "--discovery-token-ca-cert-hash", &pin])
            }
            _ => {
                let text = builder.kubeconfig("{}").replace(&format!("https://{endpoint}"), &server);
                let file = builder.file("discovery.conf", &text);
                builder.with(&["--discovery-file", path(&file)])
            }
        };
        let builder = builder.with(&[
            "--tls-bootstrap-token-file",
            path(&token),
            "--discovery-token-file",
            path(&token),
        ]);
        builder.joins();
        let requests = builder.api.requests();
        let asked = requests.iter().filter(|request| request.route() != Route::Discovery);
        let mut targets = asked.map(|request| request.target.as_str());
        assert!(
            targets.all(|target| target.starts_with("/k8s/c-1/apis/certificates.k8s.io/")),
            "{requests:#?}"
        );
        assert!(builder.node.read(KUBELET_CONF).contains(&format!("    server: {server}\n")));
    }
}

#[test]
fn one_source_names_one_way() {
    let builder = JoinBuilder::new();
    let (endpoint, pin) = (builder.api.endpoint(), builder.api.authority.pin());
    let token = builder.file("token", TOKEN);
    let arguments = [
        &endpoint,
        "--discovery-file",
        "/nowhere",
        "--token-file",
        path(&token),
        "--discovery-token-ca-cert-hash",
        &pin,
    ];
    builder.with(&arguments).is_refused(2, "mutually exclusive");

    // A source of higher precedence may choose another method than one of lower precedence.
    let builder = JoinBuilder::new();
    let file = builder.file("discovery.conf", &builder.kubeconfig(&format!("{{token: {TOKEN}}}")));
    let line = builder.join_line();
    builder.variable("NODESTRAP_JOIN", line).with(&["--discovery-file", path(&file)]).joins();
}

#[test]
fn a_dry_run_trusts_and_writes_nothing() {
    let builder = JoinBuilder::new();
    let line = builder.join_line();
    let builder = builder.variable("NODESTRAP_JOIN", line).with(&["--dry-run"]);
    let output = builder.run();
    assert_eq!(output.code, Some(0));
    assert!(output.stderr.contains("dry run"));
    assert_eq!(builder.api.routes(), [Route::Discovery]);
    builder.node.is_untouched_by(&builder.api);
}

#[test]
fn a_dry_run_asks_for_no_serving_certificate_and_cleans_nothing_up() {
    let builder = JoinBuilder::new();
    let line = builder.join_line();
    let builder = builder.variable("NODESTRAP_JOIN", line).with(&["--dry-run", "--with-serving-cert"]);
    assert_eq!(builder.run().code, Some(0));
    builder.node.is_untouched_by(&builder.api);

    let builder = JoinBuilder::new();
    builder.node.join(&builder.api).with_cert().args("--keep-bootstrap-kubeconfig").run().expect("joined");
    let before = builder.node.tree();
    let line = builder.join_line();
    let builder = builder.variable("NODESTRAP_JOIN", line).with(&["--dry-run"]);
    assert_eq!(builder.run().code, Some(0));
    assert_eq!(builder.node.tree(), before, "the bootstrap kubeconfig stays");
}

/// kubeadm loads a configuration alone, and looks at no endpoint beside a discovery file in it.
#[test]
fn an_endpoint_beside_a_configuration_with_a_discovery_file_is_not_asked() {
    for endpoint in ["argument", "NODESTRAP_JOIN"] {
        let (builder, other) = (JoinBuilder::new(), Api::start());
        let file = builder.file("discovery.conf", &builder.kubeconfig(&format!("{{token: {TOKEN}}}")));
        let text = format!(
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ndiscovery: {{file: {{kubeConfigPath: {}}}}}\n",
            path(&file)
        );
        let config = builder.file("join.yaml", &text);
        let builder = builder.with(&["--config", path(&config)]);
        let other_endpoint = other.endpoint();
        let builder = match endpoint {
            "argument" => builder.with(&[&other_endpoint]),
            _ => builder.variable("NODESTRAP_JOIN", format!("kubeadm join {other_endpoint}")),
        };
        let said = builder.joins();
        assert!(said.contains("warning: HOST:PORT") && said.contains("is ignored"), "{said}");
        assert_eq!((builder.api.routes(), other.connections().len()), (vec![Route::Create, Route::Watch], 0));
    }

    // Without a configuration both are its error, and here.
    let builder = JoinBuilder::new();
    let file = builder.file("discovery.conf", &builder.kubeconfig(&format!("{{token: {TOKEN}}}")));
    let endpoint = builder.api.endpoint();
    builder.with(&[&endpoint, "--discovery-file", path(&file)]).is_refused(2, "are mutually exclusive");
}
