//! Discovery files and cluster-info that lie behind a URL, on servers that may be as hostile as they like.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::join_builder::{JoinBuilder, path};
use crate::support::api::{Api, Body, Piece, Reply, Route, Setup, TOKEN};
use crate::support::pki::{Authority, DAY, ServerIdentity, valid};
use crate::support::proxy::{Answer, Proxy};

/// A web server that has nothing to do with the cluster, and says `reply` to whatever it is asked.
fn web(
    identity: Option<fn(&Authority) -> ServerIdentity>,
    reply: impl Fn(usize) -> Reply + Send + 'static,
) -> Api {
    let authority = Arc::new(Authority::new("web"));
    let identity = identity.map(|make| make(&authority));
    let web = Api::with(Setup { authority, identity, ..Setup::default() });
    web.on(Route::Other, move |count, _, _| Some(reply(count)));
    web
}

fn file(text: &str) -> Reply {
    Reply::text(200, "application/octet-stream", text)
}

/// What a server says to everyone.
type Answers = Box<dyn Fn() -> Reply + Send>;

/// Has the file named by URL, and its server verified by its own CA.
fn through(builder: JoinBuilder, flag: &str, web: &Api, at: &str) -> JoinBuilder {
    let ca = builder.file("web.pem", &web.authority.pem());
    let url = format!("https://{}{at}", web.endpoint());
    builder.with(&[flag, &url, "--discovery-ca", path(&ca), "--discovery-timeout", "3s"])
}

/// A join whose discovery file, with the token in it, lies behind a URL.
fn by_url(reply: impl Fn(usize, &str) -> Reply + Send + 'static) -> (JoinBuilder, Api) {
    let builder = JoinBuilder::new();
    let text = builder.kubeconfig(&format!("{{token: {TOKEN}}}"));
    let web = web(None, move |count| reply(count, &text));
    (through(builder, "--discovery-file", &web, "/pool/a.conf"), web)
}

/// Asserts that the server saw plain questions for this and no credential of any kind.
fn saw_plain(web: &Api, at: &str) {
    assert!(!web.requests().is_empty());
    for request in web.requests() {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", at));
        assert!(request.header("authorization").is_none() && request.client.is_none());
        assert!(request.header("cookie").is_none() && request.body.is_empty());
    }
    assert!(web.connections().iter().all(|connection| !connection.client_certificate));
}

#[test]
fn a_discovery_file_is_fetched() {
    for at in ["/pool/a.conf", "/pool/%7Ea/", "/", ""] {
        let builder = JoinBuilder::new();
        let text = builder.kubeconfig(&format!("{{token: {TOKEN}}}"));
        let web = web(None, move |_| file(&text));
        let builder = through(builder, "--discovery-file", &web, at);
        let said = builder.joins();
        assert!(
            said.contains(&format!("server and CA are read from https://{}{at};", web.endpoint())),
            "{said}"
        );
        assert_eq!(builder.api.routes(), [Route::Create, Route::Watch], "the API server was not asked");
        saw_plain(&web, if at.is_empty() { "/" } else { at });
        assert_eq!(web.requests().len(), 1);
    }
}

#[test]
fn a_file_has_up_to_one_mebibyte() {
    for (more, is_read) in [(0, true), (1, false)] {
        let (builder, web) = by_url(move |_, text| {
            let rest = 1024 * 1024 - text.len() - "# \n".len() + more;
            file(&format!("# {}\n{text}", "x".repeat(rest)))
        });
        if is_read {
            builder.joins();
        } else {
            builder.is_refused(4, "responded with more than 1 MiB");
        }
        saw_plain(&web, "/pool/a.conf");
    }
}

#[test]
fn a_join_configuration_may_name_a_url() {
    let builder = JoinBuilder::new();
    let text = builder.kubeconfig("{}");
    let web = web(None, move |_| file(&text));
    let config = format!(
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ndiscovery:\n  file:\n    kubeConfigPath: \
         https://{}/a\n  tlsBootstrapToken: {TOKEN}\n",
        web.endpoint()
    );
    let (config, ca) = (builder.file("join.yaml", &config), builder.file("web.pem", &web.authority.pem()));
    builder.with(&["--config", path(&config), "--discovery-ca", path(&ca)]).joins();
    saw_plain(&web, "/a");
}

/// A join with cluster-info behind a URL, told by this text.
fn by_cluster_info(text: impl Fn(&JoinBuilder) -> String) -> (JoinBuilder, Api) {
    let builder = JoinBuilder::new();
    let text = text(&builder);
    let web = web(None, move |_| file(&text));
    let (token, pin) = (builder.file("token", TOKEN), builder.api.authority.pin());
    let builder = builder.with(&["--token-file", path(&token), "--discovery-token-ca-cert-hash", &pin]);
    (through(builder, "--cluster-info", &web, "/info.json"), web)
}

#[test]
fn a_cluster_info_is_fetched_and_judged_like_any_other() {
    let (builder, web) = by_cluster_info(|builder| builder.config_map().to_string());
    let said = builder.joins();
    assert!(said.contains("/info.json") && said.contains("signature and CA pin verified"), "{said}");
    assert_eq!(builder.api.routes(), [Route::Create, Route::Watch]);
    saw_plain(&web, "/info.json");

    let (builder, _web) = by_cluster_info(|builder| {
        let mut map = builder.config_map();
        map["data"]["kubeconfig"] =
            json!(map["data"]["kubeconfig"].as_str().expect("text").replace("localhost", "evil"));
        map.to_string()
    });
    builder.is_refused(5, "does not match the secret of token");
    let no_map = "did not respond with a ConfigMap (JSON or YAML) that has a kubeconfig (HTTP 200, \
                  application/octet-stream from CN=kube-apiserver)";
    for other in [r#"["words"]"#, r#"{"hello":"world"}"#, r#"{"kind":"Secret","data":{"a":"b"}}"#] {
        let (builder, _web) = by_cluster_info(|_| other.to_owned());
        builder.is_refused(4, no_map);
    }
    let (builder, _web) = by_url(|_, _| file(r#"["words"]"#));
    builder.is_refused(4, "not a kubeconfig (HTTP 200, application/octet-stream from CN=kube-apiserver)");
    let (builder, _web) = by_cluster_info(|_| TOKEN.to_owned());
    builder.is_refused(4, no_map);
}

#[test]
fn only_a_server_that_verifies_is_asked() {
    let expired: fn(&Authority) -> ServerIdentity =
        |ca| ca.server_with(&["localhost"], |params| valid(params, -2 * DAY, -DAY));
    let renamed: fn(&Authority) -> ServerIdentity = |ca| ca.server(&["other.test"]);
    let thief: fn(&Authority) -> ServerIdentity = |ca| ca.server(&["localhost"]).with_another_key();
    for (identity, ca, code, words) in [
        (None, None, 5, "cannot be verified"),
        (None, Some(Authority::new("web")), 5, "cannot be verified"),
        (Some(renamed), None, 5, "cannot be verified"),
        (Some(expired), None, 9, "is not valid now"),
        (Some(thief), None, 5, "cannot be verified"),
    ] {
        let builder = JoinBuilder::new();
        let web = web(identity, |_| file("never"));
        let url = format!("https://{}/a", web.endpoint());
        let builder = builder.with(&["--discovery-file", &url, "--discovery-timeout", "2s"]);
        // The first one is left to the public roots, which know no such CA.
        let builder = match (&identity, ca) {
            (None, None) => builder,
            (_, ca) => {
                let ca = builder.file("web.pem", &ca.as_ref().unwrap_or(&web.authority).pem());
                builder.with(&["--discovery-ca", path(&ca)])
            }
        };
        builder.is_refused(code, words);
        assert_eq!(web.requests().len(), 0);
        assert_eq!(builder.api.connections().len(), 0);
    }
}

#[test]
fn what_may_heal_is_asked_again() {
    for status in [503, 429, 404, 403] {
        let (builder, web) = by_url(move |count, text| match count {
            0 => Reply::status(status, "NotYet"),
            1 => Reply::new(200, Body::Raw(Vec::new())).close(),
            2 => file("<html>starting</html>"),
            _ => file(text),
        });
        builder.with(&["--discovery-timeout", "20s"]).joins();
        assert_eq!(web.requests().len(), 4, "{status}");
        saw_plain(&web, "/pool/a.conf");
    }
}

/// As a server has it while somebody puts it there.
#[test]
fn a_file_that_is_half_there_is_asked_for_again() {
    for lines in 0..4 {
        let cut = move |text: &str| text.split_inclusive('\n').take(lines).collect::<String>();
        let (builder, web) =
            by_url(move |count, text| file(&if count == 0 { cut(text) } else { text.to_owned() }));
        let said = builder.with(&["--discovery-timeout", "20s"]).joins();
        assert!(said.contains("is unusable: ") && said.contains("retrying"), "{lines}: {said}");
        assert_eq!(web.requests().len(), 2, "{lines}");
    }
}

#[test]
fn answers_that_are_no_file_end_with_the_deadline() {
    let stranger = web(None, |_| file("never"));
    let away = format!("https://{}/elsewhere", stranger.endpoint());
    let huge = vec![b'#'; 1024 * 1024 + 1];
    let endless = |interval| Piece::Repeat(vec![b'#'; 64 * 1024], interval);
    let cases: [(i32, &str, Answers); 7] = [
        (4, "HTTP 404: not found", Box::new(|| Reply::status(404, "NotFound"))),
        (4, "HTTP 403: the file is not public", Box::new(|| Reply::status(403, "Forbidden"))),
        (
            4,
            "HTTP 302: redirects are not followed",
            Box::new(move || Reply::status(302, "Found").header("Location", &away)),
        ),
        (4, "more than 1 MiB", Box::new(move || Reply::new(200, Body::Whole(huge.clone())))),
        (4, "did not respond with UTF-8 text", Box::new(|| Reply::new(200, Body::Whole(vec![0xff; 9])))),
        (3, "the response is too large", Box::new(move || Reply::chunked(vec![endless(Duration::ZERO)]))),
        (3, "timed out", Box::new(move || Reply::chunked(vec![endless(Duration::from_millis(500))]))),
    ];
    for (code, words, reply) in cases {
        let (builder, web) = by_url(move |_, _| reply());
        builder.is_refused(code, words);
        assert!(web.requests().len() < 20);
        // The answer may be bounded by three times what is read of a file.
        assert!(web.connections().iter().all(|connection| connection.sent < 16 * 1024 * 1024));
    }
    assert_eq!(stranger.connections().len(), 0, "the redirect was followed");
}

#[test]
fn other_urls_are_refused_and_not_repeated() {
    let web = web(None, |_| file("never"));
    let (host, ca) = (web.endpoint(), web.authority.pem());
    for (flag, url) in [
        ("--discovery-file", format!("http://{host}/hunter2")),
        ("--discovery-file", format!("https://user:hunter2@{host}/a")),
        ("--discovery-file", format!("https://hunter2@{host}/a")),
        ("--discovery-file", format!("https://{host}/a?key=hunter2")),
        ("--discovery-file", format!("file://{host}/hunter2")),
        ("--cluster-info", format!("http://{host}/hunter2")),
        ("--cluster-info", format!("https://user:hunter2@{host}/a")),
        ("--bootstrap-kubeconfig", format!("https://user:hunter2@{host}/a")),
        ("--bootstrap-kubeconfig", format!("https://{host}/hunter2")),
    ] {
        for more in ["--dry-run", "--print-config"] {
            let builder = JoinBuilder::new();
            let builder = builder.with(&[flag, &url, more, "--token", TOKEN]);
            let output = builder.run();
            let said = output.stdout + &output.stderr;
            assert_eq!(output.code, Some(2), "{url}: {said}");
            assert!(said.contains(flag) && said.contains("expects a file"), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
            builder.node.is_untouched_by(&builder.api);
        }
    }
    let builder = JoinBuilder::new();
    let (ca, kubeconfig) =
        (builder.file("web.pem", &ca), builder.file("conf", &builder.kubeconfig("{token: t}")));
    builder
        .with(&["--discovery-file", path(&kubeconfig), "--discovery-ca", path(&ca)])
        .is_refused(2, "--discovery-ca is valid only");
    assert_eq!(web.connections().len(), 0);
}

/// Whoever serves the file must not have this machine's own files sent to a server of his choice.
#[test]
fn a_fetched_file_leads_to_no_file_of_this_machine() {
    let builder = JoinBuilder::new();
    let secret = builder.file("secret", TOKEN);
    for user in ["{tokenFile: @}", "{token: t, client-certificate: @}", "{token: t, client-key: @}", "ca"] {
        let named = JoinBuilder::new();
        let text = match user {
            "ca" => {
                named.kubeconfig("{token: t}").replace("certificate-authority-data", "certificate-authority")
            }
            user => named.kubeconfig(&user.replace('@', path(&secret))),
        };
        let web = web(None, move |_| file(&text));
        // Not even where the operator's own token makes the user's credentials needless.
        for more in [&["--discovery-timeout", "9s"][..], &["--tls-bootstrap-token-file", path(&secret)]] {
            let builder = through(JoinBuilder::new(), "--discovery-file", &web, "/a").with(more);
            builder.is_refused(4, "names a local file");
            assert_eq!(named.api.connections().len(), 0);
        }
        assert_eq!(web.requests().len(), 2, "that cannot heal");
    }
}

#[test]
fn the_file_comes_through_the_proxy() {
    let authority = Arc::new(Authority::new("web"));
    let identity = Some(authority.server(&["files.example"]));
    let web = Api::with(Setup { authority, identity, ..Setup::default() });
    let builder = JoinBuilder::new();
    let text = builder.kubeconfig(&format!("{{token: {TOKEN}}}"));
    web.on(Route::Other, move |_, _, _| Some(file(&text)));
    let address = web.address();
    let proxy = Proxy::start(move |_, _| Answer::Tunnel(address));
    let ca = builder.file("web.pem", &web.authority.pem());
    builder
        .variable("HTTPS_PROXY", format!("http://{}", proxy.endpoint()))
        .with(&["--discovery-file", "https://files.example/a", "--discovery-ca", path(&ca)])
        .joins();
    assert_eq!(proxy.targets(), ["files.example:443"]);
    proxy.seen()[0].assert_only_tls(&[TOKEN, "clusters"]);
    saw_plain(&web, "/a");
}
