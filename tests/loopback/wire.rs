//! Discovery over a wire that brings anything but cluster-info: wait, heal or give up, and hand over nothing.

use std::time::Duration;

use serde_json::json;

use crate::support::api::{Api, Body, Cluster, Piece, Reply, Request, Route, jws, status_object};
use crate::support::node::Node;

/// Long enough for a first answer on a busy machine, short enough to wait for.
const DEADLINE: &str = "--discovery-timeout 3s --tls-bootstrap-timeout 3s";

/// More than the limits of an answer and the buffers of both systems together, less than an endless body.
const MOST: usize = 32 * 1024 * 1024;

/// Where cluster-info is.
const CLUSTER_INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";

#[test]
fn answers_that_are_no_cluster_info_end_at_the_deadline() {
    /// Either is true of a server that begins an answer and never ends it.
    const EITHER: &[&str] = &["unreachable", "not-published"];
    const NOT_PUBLISHED: &[&str] = &["not-published"];
    fn raw(text: &str) -> Reply {
        Reply::raw(vec![Piece::Bytes(text.as_bytes().to_vec())])
    }
    fn ok(more: &str) -> Vec<Piece> {
        vec![Piece::Bytes(
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{more}").into_bytes(),
        )]
    }
    fn whole(cluster: &Cluster) -> Vec<u8> {
        let Body::Whole(body) = cluster.config_map().body else { unreachable!("a ConfigMap is sent whole") };
        body
    }
    type Answer = fn(&Cluster) -> Reply;
    let cases: Vec<(&str, &[&str], Answer)> = vec![
        ("401", NOT_PUBLISHED, |_| Reply::status(401, "Unauthorized")),
        ("a Status with an escape sequence", NOT_PUBLISHED, |_| Reply::status(403, "\u{1b}[31mForbidden")),
        ("403", NOT_PUBLISHED, |_| Reply::status(403, "Forbidden")),
        ("404", NOT_PUBLISHED, |_| Reply::status(404, "NotFound")),
        ("500", NOT_PUBLISHED, |_| Reply::status(500, "InternalError")),
        ("204", NOT_PUBLISHED, |_| raw("HTTP/1.1 204 No Content\r\n\r\n")),
        ("HTML", NOT_PUBLISHED, |_| Reply::text(200, "text/html", "<html><h1>Portal</h1></html>")),
        ("a Status with 200", NOT_PUBLISHED, |_| Reply::json(200, &status_object(200, "Success", None))),
        ("no data", NOT_PUBLISHED, |_| Reply::text(200, "application/json", r#"{"kind":"ConfigMap"}"#)),
        ("no signature for this token", NOT_PUBLISHED, |cluster| {
            let text = cluster.kubeconfig();
            let data = json!({"kubeconfig": text, "jws-kubeconfig-ghijkl": jws::sign("ghijkl.x", &text)});
            Reply::json(200, &json!({"kind": "ConfigMap", "data": data}))
        }),
        ("no answer", &["unreachable"], |_| Reply::raw(Vec::new())),
        ("silence", &["unreachable"], |_| Reply::raw(vec![Piece::Hold])),
        ("not HTTP", EITHER, |_| raw("SSH-2.0-OpenSSH_9.2\r\n\r\n")),
        ("a body without end", EITHER, |_| {
            Reply::chunked(vec![Piece::Repeat(vec![b' '; 65_536], Duration::ZERO)])
        }),
        ("a dripping body", EITHER, |_| {
            Reply::chunked(vec![Piece::Repeat(b" ".to_vec(), Duration::from_millis(50))])
        }),
        ("dripping headers", EITHER, |_| {
            let mut pieces = ok("");
            pieces.push(Piece::Repeat(b"x: y\r\n".to_vec(), Duration::from_millis(50)));
            Reply::raw(pieces)
        }),
        ("huge headers", EITHER, |_| Reply::status(200, "OK").header("X-Padding", &"x".repeat(1_000_000))),
        ("a thousand headers", EITHER, |_| {
            (0..1000).fold(Reply::status(200, "OK"), |reply, n| reply.header(&format!("X-{n}"), "y"))
        }),
        ("a length that is too long", EITHER, |cluster| {
            let body = whole(cluster);
            let mut pieces = ok(&format!("Content-Length: {}\r\n\r\n", body.len() + 1));
            pieces.push(Piece::Bytes(body));
            Reply::raw(pieces)
        }),
        ("a length that is too short", EITHER, |cluster| {
            let body = whole(cluster);
            let mut pieces = ok(&format!("Content-Length: {}\r\n\r\n", body.len() - 1));
            pieces.push(Piece::Bytes(body));
            Reply::raw(pieces)
        }),
        ("a length that is enormous", EITHER, |_| {
            let mut pieces = ok("Content-Length: 18446744073709551615\r\n\r\n");
            pieces.push(Piece::Repeat(vec![b' '; 65_536], Duration::ZERO));
            Reply::raw(pieces)
        }),
        ("a length that is no number", EITHER, |_| raw("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}")),
        ("an end in the middle of a chunk", EITHER, |_| {
            raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n{\"kind\"")
        }),
        ("a chunk that is no chunk", EITHER, |_| {
            raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n")
        }),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, outcomes, answer)| {
            let (api, node) = (Api::start(), Node::new());
            let answer = *answer;
            api.on(Route::Discovery, move |_, _, cluster| Some(answer(cluster)));
            let run = node.join(&api).with_cert().args(DEADLINE).run();
            let outcome = run.report()["outcome"].as_str().unwrap_or_default().to_owned();
            run.check(outcomes.contains(&outcome.as_str()), &format!("expected one of {outcomes:?}"));
            let taken = api.connections().iter().map(|connection| connection.sent).max().unwrap_or_default();
            run.check(taken < MOST, &format!("{taken} bytes of one answer were taken"));
            run.check(!run.stderr.contains('\u{1b}'), "an escape sequence reached the terminal");
            assert!(api.routes().iter().all(|route| *route == Route::Discovery));
            node.is_untouched_by(&api);
        },
    );
}

#[test]
fn a_redirect_is_not_followed() {
    crate::support::all(&[301_u16, 302, 307, 308], u16::to_string, |status| {
        let (api, elsewhere, node) = (Api::start(), Api::start(), Node::new());
        let status = *status;
        for (route, path) in [(Route::Discovery, CLUSTER_INFO), (Route::Create, "/elsewhere")] {
            let target = format!("https://{}{path}", elsewhere.endpoint());
            api.on(route, move |count, _, _| {
                (count == 0).then(|| Reply::text(status, "text/plain", "").header("Location", &target))
            });
        }
        let run = node.join(&api).with_cert().args(DEADLINE).run();
        run.check(api.routes().contains(&Route::Create), "the join did not come to its POST");
        run.check(elsewhere.connections().is_empty(), "a redirect was followed");
        assert!(!api.routes().contains(&Route::Other));
    });
}

#[test]
fn nobody_there_is_unreachable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent_port = silent.local_addr().expect("its address").port();
    let cases = [format!("localhost:{}", free.port()), format!("127.0.0.1:{silent_port}")];
    let api = Api::start();
    crate::support::all(&cases, Clone::clone, |endpoint| {
        let node = Node::new();
        let run = node.join(&api).endpoint(endpoint).with_cert().args(DEADLINE).run();
        run.expect("unreachable").says(&[endpoint]);
        node.is_untouched_by(&api);
    });
    assert_eq!(api.connections().len(), 0);
}

#[test]
fn the_last_failure_decides() {
    let (api, node) = (Api::start(), Node::new());
    api.on(Route::Discovery, |count, _, _| {
        Some(if count == 0 { Reply::raw(Vec::new()) } else { Reply::status(403, "Forbidden") })
    });
    node.join(&api).with_cert().args(DEADLINE).run().expect("not-published").says(&["403"]);
    node.is_untouched_by(&api);
}

#[test]
fn a_deadline_that_cuts_the_last_attempt_short_does_not_decide() {
    let (api, node) = (Api::start(), Node::new());
    api.on(Route::Discovery, |count, _, _| {
        let late = Duration::from_secs(if count == 0 { 0 } else { 20 });
        Some(Reply::status(403, "Forbidden").after(late))
    });
    let run = node.join(&api).with_cert().args(DEADLINE).run();
    run.expect("not-published").says(&["403"]);
    assert_eq!(api.count(Route::Discovery), 2, "the last attempt got no answer in time");
}

#[test]
fn discovery_heals() {
    type Answer = fn() -> Reply;
    let cases: [(&str, Answer); 6] = [
        ("403", || Reply::status(403, "Forbidden")),
        ("401", || Reply::status(401, "Unauthorized")),
        ("500 in plain text", || Reply::text(500, "text/plain", "no")),
        ("a page", || Reply::text(200, "text/html", "<!doctype html><title>Log in</title>")),
        ("no signature yet", || Reply::json(200, &json!({"kind": "ConfigMap", "data": {"kubeconfig": "x"}}))),
        ("no answer", || Reply::raw(Vec::new())),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, reply)| {
            let (api, node) = (Api::start(), Node::new());
            let reply = *reply;
            api.on(Route::Discovery, move |count, _: &Request, _| (count < 2).then(reply));
            node.join(&api).with_cert().run().expect("joined");
            let anonymous =
                api.requests().iter().filter(|request| request.header("authorization").is_none()).count();
            assert_eq!((anonymous, api.requests().len()), (3, 5));
        },
    );
}

#[test]
fn a_server_that_hangs_costs_ten_seconds_and_not_the_whole_time_out() {
    let (api, node) = (Api::start(), Node::new());
    api.on(Route::Discovery, |count, _, _| (count == 0).then(|| Reply::raw(vec![Piece::Hold])));
    node.join(&api).with_cert().run().expect("joined");
    assert_eq!((api.count(Route::Discovery), api.connections().len()), (2, 2));
}
