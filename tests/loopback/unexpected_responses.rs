//! Whatever answers where an API server or a file was meant: it is told who that is, and what it says; and how long it
//! wants to be left alone counts only for a while.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rcgen::DnType;
use serde_json::json;

use crate::join_builder::{JoinBuilder, path};
use crate::support::api::{Api, Piece, Reply, Route, Setup, TOKEN};
use crate::support::node::Node;
use crate::support::pki::Authority;

const DEADLINE: &str = "--discovery-timeout 3s --tls-bootstrap-timeout 3s";

/// A server whose certificate names a load balancer.
fn balancer() -> Api {
    let authority = Arc::new(Authority::new("balancer"));
    let identity = authority.server_with(&["localhost"], |params| {
        params.distinguished_name.push(DnType::CommonName, "edge-7.example");
    });
    Api::with(Setup { authority, identity: Some(identity), ..Setup::default() })
}

/// An answer, the outcome, and what has to be told of it.
type Stranger = (&'static str, fn() -> Reply, &'static str, &'static [&'static str]);

const PAGE: &str = "<!doctype html>\n<html><head><title>502 Bad Gateway</title><style>p { x: y }</style></head>\n\
                    <body><h1>No  upstream</h1></body></html>";

const STRANGERS: [Stranger; 14] = [
    (
        "an API server without anonymous requests",
        || Reply::status(401, "Unauthorized"),
        "not-published",
        &["HTTP 401: anonymous requests are disabled", "help: allow anonymous requests for cluster-info"],
    ),
    (
        "an API server without cluster-info",
        || Reply::status(404, "configmaps \"cluster-info\" not found"),
        "not-published",
        &[
            "HTTP 404: cluster-info is not public or not found",
            "help: publish it with `kubeadm init phase bootstrap-token`",
        ],
    ),
    (
        "a page beyond all limits",
        || Reply::text(200, "text/html", &PAGE.repeat(60_000)),
        "not-published",
        &["did not respond with a ConfigMap", "(HTTP 200, text/html from CN=edge-7.example: 502 Bad Gateway"],
    ),
    (
        "a busy server with a page beyond all limits",
        || Reply::text(503, "text/html", &PAGE.repeat(60_000)),
        "unreachable",
        &[
            "HTTP 503: the API server is busy or restarting",
            "(text/html from CN=edge-7.example: 502 Bad Gateway",
        ],
    ),
    (
        "a page of a load balancer",
        || Reply::text(502, "text/html; charset=utf-8", PAGE),
        "unreachable",
        &[
            "HTTP 502: the API server is busy or restarting",
            "(text/html from CN=edge-7.example: 502 Bad Gateway No upstream)",
        ],
    ),
    (
        "etcd without a leader",
        || {
            Reply::json(
                500,
                &json!({
                    "kind": "Status", "status": "ErrorKind", "code": 500, "message": "etcdserver: no leader",
                }),
            )
        },
        "unreachable",
        &["HTTP 500: the API server is busy or restarting", "(etcdserver: no leader)"],
    ),
    (
        "too many requests in plain text",
        || Reply::text(429, "text/plain", "Too many requests"),
        "unreachable",
        &[
            "HTTP 429: the API server limits requests",
            "help: let machines start at different times (--splay)",
            "(text/plain from CN=edge-7.example: Too many requests)",
        ],
    ),
    (
        "a page instead of an answer",
        || Reply::text(200, "text/html", "<h1>Welcome to nginx!</h1>"),
        "not-published",
        &[
            "did not respond with a ConfigMap",
            "help: check that the address is that of",
            "(HTTP 200, text/html from CN=edge-7.example: Welcome to nginx!)",
        ],
    ),
    (
        "other JSON",
        || Reply::json(200, &json!({"status": "UP"})),
        "not-published",
        &[
            "did not respond with a ConfigMap",
            "HTTP 200, application/json from CN=edge-7.example: {\"status\":\"UP\"}",
        ],
    ),
    (
        "a list",
        || Reply::json(200, &json!(["a"])),
        "not-published",
        &["application/json from CN=edge-7.example: [\"a\"]"],
    ),
    (
        "another object",
        || Reply::json(200, &json!({"kind": "Secret", "data": {"x": "y"}})),
        "not-published",
        &["did not respond with a ConfigMap", "\"kind\":\"Secret\""],
    ),
    (
        "nothing at all",
        || Reply::text(200, "", ""),
        "not-published",
        &["HTTP 200, empty response from CN=edge-7.example"],
    ),
    (
        "a redirect",
        || Reply::text(302, "text/plain", "moved").header("Location", "https://login.example/?next=/"),
        "not-published",
        &[
            "HTTP 302: redirects are not followed (",
            "help: use the API server's own address",
            "(to https://login.example/?next=/, text/plain from CN=edge-7.example: moved)",
        ],
    ),
    (
        "a page of a firewall",
        || Reply::text(403, "text/html", "<p>Access <b>denied</b>"),
        "not-published",
        &["HTTP 403", "(text/html from CN=edge-7.example: Access denied)"],
    ),
];

#[test]
fn what_answers_instead_of_an_api_server_is_told() {
    crate::support::all(
        &STRANGERS,
        |case| case.0.to_owned(),
        |(_, reply, outcome, words)| {
            let (api, node, reply) = (balancer(), Node::new(), *reply);
            api.on(Route::Discovery, move |_, _, _| Some(reply()));
            let run = node.join(&api).with_cert().args(DEADLINE).run();
            run.expect(outcome).says(words);
            run.check(!run.stderr.contains("line 1"), "where a parser stopped helps nobody");
            node.is_untouched_by(&api);
        },
    );
}

#[test]
fn what_answers_instead_of_a_file_is_told() {
    let cases: [Stranger; 4] = [
        (
            "busy",
            || Reply::text(503, "text/html", PAGE),
            "3",
            &[
                "HTTP 503: the server is busy",
                "(text/html from CN=edge-7.example: 502 Bad Gateway No upstream)",
            ],
        ),
        (
            "too many requests",
            || Reply::text(429, "text/plain", "slow"),
            "3",
            &["HTTP 429", "edge-7.example: slow)"],
        ),
        (
            "a page",
            || Reply::text(200, "text/html", PAGE),
            "4",
            &[
                "responded with an HTML page",
                "(HTTP 200, text/html from CN=edge-7.example: 502 Bad Gateway No upstream)",
            ],
        ),
        (
            "a redirect",
            || Reply::text(307, "", "").header("Location", "/login"),
            "4",
            &["redirects are not followed", "(to /login, empty response from CN=edge-7.example)"],
        ),
    ];
    for flag in ["--cluster-info", "--discovery-file"] {
        for (_, reply, code, words) in cases {
            let (builder, web) = (JoinBuilder::new(), balancer());
            web.on(Route::Other, move |_, _, _| Some(reply()));
            let (token, ca) = (builder.file("token", TOKEN), builder.file("web.pem", &web.authority.pem()));
            let (url, pin) = (format!("https://{}/x", web.endpoint()), builder.api.authority.pin());
            let pins = ["--token-file", path(&token), "--discovery-token-ca-cert-hash", &pin];
            let builder = if flag == "--cluster-info" { builder.with(&pins) } else { builder };
            let builder =
                builder.with(&[flag, &url, "--discovery-ca", path(&ca), "--discovery-timeout", "2s"]);
            for words in words {
                builder.is_refused(code.parse().expect("a code"), words);
            }
        }
    }
}

#[test]
fn an_answer_that_is_no_whole_http_is_told_with_its_first_words() {
    let cases: [(&str, &str); 4] = [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nhalf",
            "the connection was closed before the response was complete (it begins with: HTTP/1.1 200 OK)",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            "the response is not valid HTTP (it begins with: HTTP/1.1 200 OK)",
        ),
        ("+OK \u{1b}[2Jabcdef.0123456789abcdef ready\r\n", "*** ready)"),
        ("<html><h1>Not here</h1>", "Not here)"),
    ];
    let reply = |bytes: &'static str| Reply::raw(vec![Piece::Bytes(bytes.into())]);
    let words = |at: &str, words: &str| [format!("no complete HTTP response from {at}"), words.to_owned()];
    for (bytes, said) in cases {
        for route in [Route::Discovery, Route::Create] {
            let (api, node) = (Api::start(), Node::new());
            api.on(route, move |_, _, _| Some(reply(bytes)));
            let run =
                node.join(&api).with_cert().args("--discovery-timeout 2s --tls-bootstrap-timeout 2s").run();
            let [response, said] = words(&api.endpoint(), said);
            run.expect("unreachable").says(&[&response, "(it begins with: ", &said]);
        }
        let (builder, web) = (JoinBuilder::new(), balancer());
        web.on(Route::Other, move |_, _, _| Some(reply(bytes)));
        let ca = builder.file("web.pem", &web.authority.pem());
        let url = format!("https://{}/x", web.endpoint());
        let builder = builder.with(&[
            "--discovery-file",
            &url,
            "--discovery-ca",
            path(&ca),
            "--discovery-timeout",
            "2s",
        ]);
        for words in words(&web.endpoint(), said) {
            builder.is_refused(3, &words);
        }
    }
}

/// In an hour, in HTTP's preferred form.
fn in_an_hour() -> String {
    let mut date = Command::new("date");
    date.env("LC_ALL", "C").args(["-u", "-d", "+1 hour", "+%a, %d %b %Y %H:%M:%S GMT"]);
    String::from_utf8(date.output().expect("date").stdout).expect("ASCII").trim().to_owned()
}

#[test]
fn before_trust_a_wish_counts_for_no_longer_than_the_longest_pause() {
    type Wish = fn() -> Reply;
    let cases: [(&str, Wish); 5] = [
        ("two minutes", || Reply::status(503, "Busy").header("Retry-After", "120")),
        ("a number beyond all numbers", || {
            Reply::status(503, "Busy").header("Retry-After", "99999999999999999999999999")
        }),
        ("an hour, as a date", || Reply::status(429, "Busy").header("Retry-After", &in_an_hour())),
        ("in the details", || Reply::retry_in_details(429, "Busy", 3600)),
        ("of a page", || Reply::text(503, "text/html", PAGE).header("Retry-After", "3600")),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, reply)| {
            let (api, node, reply) = (Api::start(), Node::new(), *reply);
            api.on(Route::Discovery, move |count, _, _| (count == 0).then(reply));
            node.join(&api).with_cert().args("--timeout 2m").run().expect("joined");
            let pause = api.wait_for(Route::Discovery, 2).at - api.wait_for(Route::Discovery, 1).at;
            assert!(pause >= Duration::from_secs(5) && pause < Duration::from_secs(20), "{pause:?}");
        },
    );
}

#[test]
fn a_wish_beyond_the_deadline_becomes_one_last_attempt() {
    for (route, heals) in
        [(Route::Create, true), (Route::Create, false), (Route::Watch, true), (Route::Discovery, true)]
    {
        let (api, node) = (Api::start(), Node::new());
        api.on(route, move |count, _, _| {
            (count == 0 || !heals).then(|| Reply::status(503, "Busy").header("Retry-After", "120"))
        });
        let deadline = if route == Route::Discovery { "--timeout 4s" } else { "--timeout 8s" };
        let run = node.join(&api).with_cert().args(deadline).run();
        run.expect(if heals { "joined" } else { "unreachable" });
        assert_eq!(api.count(route), 2, "{route:?}: one more attempt");
        let pause = api.wait_for(route, 2).at - api.wait_for(route, 1).at;
        assert!(pause > Duration::from_secs(1), "{route:?}: near the end, not after {pause:?}");
    }
}
