//! Discovery over a wire that brings anything but cluster-info: wait, heal or give up, and hand over nothing.

use std::time::Duration;

use serde_json::json;

use crate::support::api::{Api, Piece, Reply, Request, Route};
use crate::support::node::Node;

/// Long enough for a first answer on a busy machine, short enough to wait for.
const DEADLINE: &str = "--discovery-timeout 3s --tls-bootstrap-timeout 3s";

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

/// The last word says which setting ended the attempts, whichever ends first.
#[test]
fn what_ends_the_attempts_is_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let endpoint = format!("localhost:{}", free.port());
    for (words, setting) in [
        ("--discovery-timeout 1s", "--discovery-timeout)"),
        ("--timeout 1s", "--timeout)"),
        ("--timeout 1s --discovery-timeout 2s", "--timeout)"),
    ] {
        let (api, node) = (Api::start(), Node::new());
        let run = node.join(&api).endpoint(&endpoint).with_cert().args(words).run();
        run.expect("unreachable").says(&["gave up after ", setting]);
    }
    let (api, node) = (Api::manual(), Node::new());
    let run = node.join(&api).with_cert().args("--tls-bootstrap-timeout 1s").run();
    run.expect("pending").says(&["is still pending (gave up after ", "s: --tls-bootstrap-timeout)"]);
    // What a server refuses for good, no setting of ours has ended.
    let (api, node) = (Api::start(), Node::new());
    api.on(Route::Create, |_, _, _| Some(Reply::status(422, "Invalid")));
    let run = node.join(&api).with_cert().run();
    run.check(!run.stderr.contains("gave up"), "no attempts");
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
        ("cannot connect", || Reply::raw(Vec::new())),
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
