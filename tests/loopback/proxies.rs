//! A proxy between the machine and its API server: what it gets to see, and what happens when it refuses.

use std::sync::Arc;
use std::time::Duration;

use crate::support::api::{Api, Route, Setup, TOKEN};
use crate::support::node::Node;
use crate::support::pki::Authority;
use crate::support::proxy::{Answer, Proxy};

/// A name that only the proxies of these tests know.
const NAME: &str = "api.example";
const DEADLINE: &str = "--discovery-timeout 3s --tls-bootstrap-timeout 3s";
const PASSWORD: &str = "correct horse";

/// An API server that the cluster knows by a name which this machine cannot look up.
fn api() -> (Api, String) {
    let authority = Arc::new(Authority::new("kubernetes"));
    let identity = Some(authority.server(&[NAME, "localhost", "127.0.0.1"]));
    // cluster-info names the port that the proxy is asked for; the server's own is another one.
    let server = Some(format!("https://{NAME}:6443"));
    (Api::with(Setup { authority, identity, server, ..Setup::default() }), format!("{NAME}:6443"))
}

#[test]
fn a_join_through_a_proxy_is_one_tunnel_with_nothing_readable_in_it() {
    for variable in ["HTTPS_PROXY", "https_proxy"] {
        let ((api, endpoint), node) = (api(), Node::new());
        let proxy = Proxy::to(api.address());
        let url = format!("http://jo%65:correct%20horse@{}/", proxy.endpoint());
        let join = node.join(&api).endpoint(&endpoint).with_cert().env(variable, url);
        let run = join.secret(PASSWORD).secret("correct%20horse").secret("am9lOmNvcnJlY3QgaG9yc2U=").run();
        run.expect("joined").says(&[&format!("{endpoint} via proxy {} ({variable})", proxy.endpoint())]);
        assert_eq!(api.routes(), [Route::Discovery, Route::Create, Route::Watch]);
        assert_eq!(
            (run.report()["requests"].as_u64(), run.report()["handshakes"].as_u64()),
            (Some(3), Some(1))
        );
        assert_eq!(api.connections()[0].sni.as_deref(), Some(NAME));

        let seen = proxy.seen();
        assert_eq!(seen.len(), 1);
        let agent = format!("User-Agent: nodestrap/{} (linux/amd64)", env!("CARGO_PKG_VERSION"));
        let credentials = "Proxy-Authorization: Basic am9lOmNvcnJlY3QgaG9yc2U=";
        let expected =
            format!("CONNECT {endpoint} HTTP/1.1\r\nHost: {endpoint}\r\n{agent}\r\n{credentials}\r\n\r\n");
        assert_eq!(seen[0].request, expected);
        assert!(seen[0].tunnelled.iter().all(|side| side.len() > 1000), "the tunnel carried the join");
        seen[0].assert_only_tls(&[TOKEN, "Bearer", "kube-public", "PRIVATE KEY"]);
        assert!(api.requests().iter().all(|request| request.header("proxy-authorization").is_none()));
    }
}

#[test]
fn without_a_user_there_are_no_credentials_and_a_redial_is_a_new_tunnel() {
    let ((api, endpoint), node) = (api(), Node::new());
    api.on(Route::Discovery, |_, _, cluster| Some(cluster.config_map().close()));
    let proxy = Proxy::to(api.address());
    let run = node.join(&api).endpoint(&endpoint).with_cert().env("HTTPS_PROXY", proxy.endpoint()).run();
    run.expect("joined");
    assert_eq!(proxy.targets(), [endpoint.as_str(), endpoint.as_str()]);
    for seen in proxy.seen() {
        assert!(!seen.request.contains("Proxy-"), "{}", seen.request);
        seen.assert_only_tls(&[TOKEN]);
    }
}

#[test]
fn the_proxy_is_left_out_where_go_leaves_it_out() {
    let cases = [("localhost", "HTTPS_PROXY", "unrelated.example"), ("127.0.0.1", "https_proxy", "")];
    crate::support::all(
        &cases,
        |case| format!("{case:?}"),
        |(host, variable, exceptions)| {
            let node = Node::new();
            let authority = Arc::new(Authority::new("kubernetes"));
            let api = Api::with(Setup { authority, ..Setup::default() });
            let proxy = Proxy::to(api.address());
            let endpoint = format!("{host}:{}", api.address().port());
            let join = node.join(&api).endpoint(endpoint).env(variable, proxy.endpoint());
            join.env("NO_PROXY", *exceptions).run().expect("prepared");
            assert_eq!(proxy.seen().len(), 0);
        },
    );
    // Excepted by name, and then not to be found: the proxy is not asked.
    let ((api, endpoint), node) = (api(), Node::new());
    let proxy = Proxy::to(api.address());
    for exceptions in ["*", ".example", "api.example:6443"] {
        let join = node.join(&api).endpoint(&endpoint).env("HTTPS_PROXY", proxy.endpoint());
        let run = join.env("no_proxy", exceptions).args("--discovery-timeout 1s").run();
        run.expect("unreachable");
        run.check(!run.stderr.contains("proxy"), "no word of a proxy");
    }
    assert_eq!((proxy.seen().len(), api.connections().len()), (0, 0));
    node.is_untouched_by(&api);
}

#[test]
fn each_server_has_its_own_way() {
    // Discovery goes through the proxy; cluster-info leads to this machine itself, which no proxy stands before.
    let authority = Arc::new(Authority::new("kubernetes"));
    let identity = Some(authority.server(&[NAME, "localhost"]));
    let (api, node) = (Api::with(Setup { authority, identity, ..Setup::default() }), Node::new());
    let proxy = Proxy::to(api.address());
    let run =
        node.join(&api).endpoint("api.example:6443").with_cert().env("HTTPS_PROXY", proxy.endpoint()).run();
    run.expect("joined");
    assert_eq!((proxy.seen().len(), api.connections().len()), (1, 2));
    for seen in proxy.seen() {
        seen.assert_only_tls(&[TOKEN]);
    }
}

#[test]
fn a_proxy_that_cannot_be_used_is_a_usage_error_where_it_would_be_used() {
    let ((api, endpoint), node) = (api(), Node::new());
    for url in
        ["https://hunter2.example:3128", "socks5://hunter2.example:1080", "http://u:hunter2@", "http://:0"]
    {
        for variable in ["HTTPS_PROXY", "https_proxy"] {
            let join = node.join(&api).endpoint(&endpoint).with_cert().env(variable, url).secret("hunter2");
            let run = join.run();
            run.expect("usage").says(&[variable, "NO_PROXY"]);
            run.check(run.elapsed < Duration::from_secs(20), "at once");
        }
    }
    assert_eq!(api.connections().len(), 0);
    node.is_untouched_by(&api);
    // The variable does not matter to who needs no proxy.
    let api = Api::start();
    node.join(&api).with_cert().env("HTTPS_PROXY", "socks5://hunter2.example:1080").run().expect("joined");
}

#[test]
fn a_refusing_proxy_is_told_apart_from_the_api_server() {
    let cases = [
        ("403 Forbidden", "HTTP 403"),
        ("502 Bad Gateway", "HTTP 502"),
        ("503 \u{1b}[31mno", "HTTP 503"),
        ("405 Method Not Allowed", "HTTP 405"),
    ];
    crate::support::all(
        &cases,
        |case| case.1.to_owned(),
        |(status, words)| {
            let ((api, endpoint), node) = (api(), Node::new());
            let body = "<html><h1>Blocked</h1>by\u{1b}[31m policy, correct horse</html>";
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {}", body.len());
            let proxy = Proxy::saying(&format!("{head}\r\n\r\n{body}"));
            let url = format!("http://joe:correct%20horse@{}/", proxy.endpoint());
            let join = node.join(&api).endpoint(&endpoint).with_cert().env("HTTPS_PROXY", url);
            let run = join.secret(PASSWORD).args(DEADLINE).run();
            run.expect("unreachable").says(&[
                words,
                "proxy",
                &proxy.endpoint(),
                "HTTPS_PROXY",
                &endpoint,
                "text/html: Blocked by [31m policy, ***",
            ]);
            run.check(!run.stderr.contains('\u{1b}'), "an escape");
            run.check(proxy.seen().len() > 1, "it was tried again");
            run.check(proxy.seen().iter().all(|seen| seen.tunnelled[0].is_empty()), "nothing but CONNECT");
            node.is_untouched_by(&api);
        },
    );
}

#[test]
fn credentials_that_a_proxy_refuses_are_shown_to_it_once() {
    for (user, words) in
        [("", "user and password required"), ("u:hunter2@", "user and password were refused")]
    {
        let ((api, endpoint), node) = (api(), Node::new());
        let proxy =
            Proxy::saying("HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n");
        let url = format!("http://{user}{}", proxy.endpoint());
        let run =
            node.join(&api).endpoint(&endpoint).with_cert().env("HTTPS_PROXY", url).secret("hunter2").run();
        run.expect("unreachable").says(&["HTTP 407", words, "HTTPS_PROXY", &proxy.endpoint()]);
        assert_eq!(proxy.seen().len(), 1);
        node.is_untouched_by(&api);
    }
}

#[test]
fn a_proxy_that_heals_lets_the_join_through() {
    let ((api, endpoint), node) = (api(), Node::new());
    let target = api.address();
    let proxy = Proxy::start(move |number, _| match number {
        0 => Answer::Text(b"HTTP/1.1 403 Forbidden\r\n\r\n".to_vec()),
        1 => Answer::Text(b"HTTP/1.1 503 Starting\r\n\r\n".to_vec()),
        2 => Answer::Text(Vec::new()),
        _ => Answer::Tunnel(target),
    });
    let run = node.join(&api).endpoint(&endpoint).with_cert().env("HTTPS_PROXY", proxy.endpoint()).run();
    run.expect("joined").says(&["HTTP 403", "retrying"]);
    assert_eq!((proxy.seen().len(), api.requests().len()), (4, 3));
}

#[test]
fn an_answer_without_sense_or_end_is_bounded() {
    type Make = fn() -> Answer;
    let cases: [(&str, Make); 4] = [
        ("endless header", || {
            Answer::Endless([&b"HTTP/1.1 200 OK\r\n"[..], &b"x: y\r\n".repeat(1000)].concat())
        }),
        ("endless bytes", || Answer::Endless(vec![b' '; 65_536])),
        ("not HTTP", || Answer::Text(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec())),
        ("silence", || Answer::Silence),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, answer)| {
            let ((api, endpoint), node) = (api(), Node::new());
            let answer = *answer;
            let proxy = Proxy::start(move |_, _| answer());
            let join = node.join(&api).endpoint(&endpoint).with_cert().env("HTTPS_PROXY", proxy.endpoint());
            let run = join.args(DEADLINE).run();
            run.expect("unreachable").says(&["proxy", &proxy.endpoint()]);
            run.check(run.elapsed < Duration::from_secs(30), "bounded by the deadline");
            node.is_untouched_by(&api);
        },
    );
}

#[test]
fn a_proxy_that_opens_tls_gets_no_token() {
    let ((api, endpoint), node) = (api(), Node::new());
    // It terminates TLS with a CA of its own and relays what the real server has signed.
    let text = api.cluster(|cluster| cluster.kubeconfig());
    let own = Arc::new(Authority::new("inspection"));
    let identity = Some(own.server(&[NAME]));
    let server = Some(format!("https://{endpoint}"));
    let between = Api::with(Setup { authority: own, identity, server, ..Setup::default() });
    between.cluster(|cluster| cluster.publish_as(&text, &crate::support::api::jws::sign(TOKEN, &text)));
    let proxy = Proxy::to(between.address());
    let join = node.join(&api).endpoint(&endpoint).with_cert().env("HTTPS_PROXY", proxy.endpoint());
    join.run().expect("not-trusted").says(&["via proxy", &proxy.endpoint()]);
    node.is_untouched_by(&between);
}
