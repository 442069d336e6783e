//! Many endpoints, many addresses, either family: one that is silent or broken costs little, and the one that answered
//! is kept.

use std::sync::Arc;
use std::time::Duration;

use crate::support::api::{Api, Piece, Reply, Route, Setup, TOKEN};
use crate::support::node::Node;
use crate::support::pki::Authority;
use crate::support::ports::{BlackHole, closed};
use crate::support::proxy::{Answer, Proxy};
use crate::support::run::Finished;

const HAPPY: [Route; 3] = [Route::Discovery, Route::Create, Route::Watch];
const DEADLINE: &str = "--discovery-timeout 3s --tls-bootstrap-timeout 3s";

/// Joins by a list of endpoints until a run has asked `first` before the others: their order is drawn anew each time.
fn join_until(api: &Api, endpoints: &[&str], first_was_asked: impl Fn(&Finished) -> bool) -> Finished {
    for _ in 0..40 {
        let node = Node::new();
        let run = node.join(api).endpoint(endpoints.join(",")).with_cert().run();
        run.expect("joined");
        if first_was_asked(&run) {
            return run;
        }
    }
    panic!("in forty runs the other endpoint was always asked first");
}

#[test]
fn a_refusing_endpoint_costs_nothing() {
    let api = Api::start();
    let refusing = format!("localhost:{}", closed());
    let run = join_until(&api, &[&refusing, &api.endpoint()], |run| run.stderr.contains(&refusing));
    run.says(&["refused", "retrying", &format!("fetched from {}", api.endpoint())]);
    let discovery = run.report()["milliseconds"]["discovery"].as_u64().expect("a time");
    run.check(discovery < 5000, "no pause, no time-out");
    run.check(run.report()["handshakes"] == 1, "one connection carries everything");
    assert_eq!(api.routes().len() % HAPPY.len(), 0, "no request but those of whole joins");
}

#[test]
fn a_black_hole_costs_about_a_second() {
    let api = Api::start();
    let hole = BlackHole::new();
    let silent = format!("localhost:{}", hole.port());
    let run = join_until(&api, &[&silent, &api.endpoint()], |run| run.stderr.contains(&silent));
    let discovery = run.report()["milliseconds"]["discovery"].as_u64().expect("a time");
    run.check((900..5000).contains(&discovery), "one second for the black hole, and no more of its kind");
    run.check(run.report()["handshakes"] == 1, "one connection carries everything");
}

#[test]
fn an_open_port_with_nobody_behind_it_costs_three_seconds() {
    let api = Api::start();
    let mute = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("localhost:{}", mute.local_addr().expect("its address").port());
    let run = join_until(&api, &[&silent, &api.endpoint()], |run| run.stderr.contains(&silent));
    let discovery = run.report()["milliseconds"]["discovery"].as_u64().expect("a time");
    run.check((2900..8000).contains(&discovery), "three seconds");
}

#[test]
fn an_endpoint_that_answers_with_an_error_is_left_for_another() {
    type Answer = fn() -> Reply;
    let cases: [(&str, Answer); 4] = [
        ("500", || Reply::status(500, "InternalError")),
        ("403", || Reply::status(403, "Forbidden")),
        ("429 with a wish", || Reply::status(429, "TooManyRequests").header("Retry-After", "30")),
        ("cannot connect", || Reply::raw(Vec::new())),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, answer)| {
            let (authority, answer) = (Arc::new(Authority::new("kubernetes")), *answer);
            let server = || Api::with(Setup { authority: Arc::clone(&authority), ..Setup::default() });
            let (broken, whole) = (server(), server());
            broken.on(Route::Discovery, move |_, _, _| Some(answer()));
            let endpoints = [broken.endpoint(), whole.endpoint()];
            let list: Vec<&str> = endpoints.iter().map(String::as_str).collect();
            let run = join_until(&whole, &list, |_| broken.count(Route::Discovery) > 0);
            let discovery = run.report()["milliseconds"]["discovery"].as_u64().expect("a time");
            run.check(discovery < 5000, "no pause before the other endpoint");
            assert_eq!(broken.credentials_seen(), 0);
        },
    );
}

#[test]
fn a_server_that_hangs_is_left_after_ten_seconds() {
    let authority = Arc::new(Authority::new("kubernetes"));
    let server = || Api::with(Setup { authority: Arc::clone(&authority), ..Setup::default() });
    let (hanging, whole) = (server(), server());
    hanging.on(Route::Discovery, |_, _, _| Some(Reply::raw(vec![Piece::Hold])));
    let endpoints = [hanging.endpoint(), whole.endpoint()];
    join_until(&whole, &[&endpoints[0], &endpoints[1]], |_| hanging.count(Route::Discovery) > 0);
    assert_eq!(hanging.credentials_seen(), 0);
}

#[test]
fn the_order_is_shuffled_and_the_one_that_answered_is_kept() {
    let authority = Arc::new(Authority::new("kubernetes"));
    let apis: Vec<Api> =
        (0..2).map(|_| Api::with(Setup { authority: Arc::clone(&authority), ..Setup::default() })).collect();
    let list = format!("{},{}", apis[0].endpoint(), apis[1].endpoint());
    // Chance leaves one of them out in one of 2^29 tests.
    for run in 0..30 {
        let node = Node::new();
        let before: Vec<_> = apis.iter().map(|api| api.requests().len()).collect();
        node.join(&apis[0]).endpoint(&list).with_cert().run().expect("joined");
        let asked: Vec<_> =
            apis.iter().zip(before).map(|(api, before)| api.requests().len() - before).collect();
        assert!(asked == [3, 0] || asked == [0, 3], "run {run}: {asked:?}");
    }
    for api in &apis {
        assert!(api.requests().len() >= 3, "the order is always the same");
        assert!(api.connections().iter().all(|connection| connection.completed));
    }
}

#[test]
fn the_host_name_is_that_of_the_endpoint_that_answered() {
    // The certificate is for localhost only; the other endpoint is the same server by its address.
    let authority = Arc::new(Authority::new("kubernetes"));
    let identity = Some(authority.server(&["localhost"]));
    let api = Api::with(Setup { authority, identity, ..Setup::default() });
    let by_address = format!("127.0.0.1:{}", api.address().port());
    let by_name = format!("localhost:{}", closed());
    let node = Node::new();
    let join = node.join(&api).endpoint(format!("{by_name},{by_address}")).with_cert();
    join.args(DEADLINE).run().expect("not-trusted").says(&[&by_address]);
    node.is_untouched_by(&api);
    // And where the name answers, its own name is enough.
    let by_address = format!("127.0.0.1:{}", closed());
    let node = Node::new();
    node.join(&api).endpoint(format!("{by_address},{}", api.endpoint())).with_cert().run().expect("joined");
}

#[test]
fn a_redial_in_discovery_may_move_on() {
    let authority = Arc::new(Authority::new("kubernetes"));
    let server = || Api::with(Setup { authority: Arc::clone(&authority), ..Setup::default() });
    let apis = [server(), server()];
    // Each says no once, and closes: whichever is first, the other is asked before it is asked again.
    for api in &apis {
        api.on(Route::Discovery, |count, _, _| (count == 0).then(|| Reply::status(403, "Forbidden").close()));
    }
    let node = Node::new();
    node.join(&apis[0])
        .endpoint(format!("{},{}", apis[0].endpoint(), apis[1].endpoint()))
        .with_cert()
        .run()
        .expect("joined");
    let mut asked: Vec<_> = apis.iter().map(|api| api.count(Route::Discovery)).collect();
    asked.sort_unstable();
    assert_eq!(asked, [1, 2]);
}

#[test]
fn the_endpoint_that_came_furthest_decides_the_exit_code() {
    let api = Api::start();
    api.on(Route::Discovery, |_, _, _| Some(Reply::status(403, "Forbidden")));
    let list = format!("localhost:{},{},localhost:{}", closed(), api.endpoint(), closed());
    crate::support::all(
        &[0; 6],
        |_| "each order".to_owned(),
        |_| {
            let node = Node::new();
            node.join(&api)
                .endpoint(&list)
                .with_cert()
                .args(DEADLINE)
                .run()
                .expect("not-published")
                .says(&["403"]);
            node.is_untouched_by(&api);
        },
    );
}

#[test]
fn a_proxy_that_refuses_this_machine_is_left_for_an_endpoint_without_one() {
    for _ in 0..4 {
        let (api, node) = (Api::start(), Node::new());
        let proxy = Proxy::saying("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
        let endpoint = format!("a.example:6443,{},b.example:6443", api.endpoint());
        let join = node.join(&api).endpoint(endpoint).with_cert();
        join.env("HTTPS_PROXY", proxy.endpoint()).run().expect("joined");
        assert!(proxy.seen().len() <= 1, "it was asked again");
    }
}

#[test]
fn an_ipv6_address_in_brackets() {
    let authority = Arc::new(Authority::new("kubernetes"));
    let identity = Some(authority.server(&["::1"]));
    let listener = std::net::TcpListener::bind("[::1]:0").expect("IPv6 on loopback");
    let port = listener.local_addr().expect("its address").port();
    drop(listener);
    let listen: &'static str = Box::leak(format!("[::1]:{port}").into_boxed_str());
    let server = Some(format!("https://{listen}"));
    let api = Api::with(Setup { authority, identity, listen, server, ..Setup::default() });
    for endpoint in
        [listen.to_owned(), format!("[0:0::1]:{port}"), format!("127.0.0.1:{},{listen}", closed())]
    {
        let node = Node::new();
        let run = node.join(&api).endpoint(endpoint).with_cert().run();
        run.expect("joined");
        assert_eq!(run.report()["handshakes"], 1);
    }
    assert!(api.connections().iter().all(|connection| connection.sni.is_none()), "an address is no SNI");
    assert!(api.requests().iter().all(|request| request.header("host") == Some(listen)));
}

#[test]
fn a_name_may_have_many_addresses_of_both_families() {
    let authority = Arc::new(Authority::new("kubernetes"));
    let identity = Some(authority.server(&["api.example"]));
    let hole = BlackHole::new();
    // The black hole is at 127.0.0.1 of this very port; at 127.0.0.3 and ::1 nobody listens.
    let listen: &'static str = Box::leak(format!("127.0.0.2:{}", hole.port()).into_boxed_str());
    let endpoint = format!("api.example:{}", hole.port());
    let server = Some(format!("https://{endpoint}"));
    let api = Api::with(Setup { authority, identity, listen, server, ..Setup::default() });
    let hosts = "127.0.0.1 api.example\n127.0.0.2 api.example\n127.0.0.3 api.example\n::1 api.example\n127.0.0.1 localhost\n";
    crate::support::all(
        &[0; 8],
        |_| "each order".to_owned(),
        |_| {
            let node = Node::new();
            let run = node.join(&api).endpoint(&endpoint).hosts(hosts).with_cert().run();
            run.expect("joined");
            let discovery = run.report()["milliseconds"]["discovery"].as_u64().expect("a time");
            run.check(discovery < 5000, "a second for the black hole, nothing for a refusal");
            run.check(run.report()["handshakes"] == 1, "one connection");
        },
    );
}

#[test]
fn a_proxy_that_cannot_reach_one_endpoint_is_asked_for_the_other() {
    for (name, dead) in
        [("refuses", Answer::Text(b"HTTP/1.1 502 Bad Gateway\r\n\r\n".to_vec())), ("hangs", Answer::Silence)]
    {
        let authority = Arc::new(Authority::new("kubernetes"));
        let identity = Some(authority.server(&["b.example"]));
        let server = Some("https://b.example:6443".to_owned());
        let api = Api::with(Setup { authority, identity, server, ..Setup::default() });
        let target = api.address();
        let proxy =
            Proxy::start(
                move |_, name| {
                    if name == "b.example:6443" { Answer::Tunnel(target) } else { dead.clone() }
                },
            );
        let node = Node::new();
        let join = node.join(&api).endpoint("a.example:6443,b.example:6443,c.example:6443").with_cert();
        join.env("HTTPS_PROXY", proxy.endpoint()).run().expect("joined");
        let targets = proxy.targets();
        assert_eq!(
            targets.iter().filter(|target| *target == "b.example:6443").count(),
            1,
            "{name}: {targets:?}"
        );
        for seen in proxy.seen() {
            seen.assert_only_tls(&[TOKEN]);
        }
    }
}

#[test]
fn a_list_with_a_hole_in_it_is_refused() {
    let (api, node) = (Api::start(), Node::new());
    for list in ["localhost:1,", ",localhost:1", "localhost:1,,localhost:2", "localhost:1,localhost"] {
        let run = node.join(&api).endpoint(list).with_cert().run();
        run.expect("usage").says(&["HOST:PORT"]);
        run.check(run.elapsed < Duration::from_secs(20), "at once");
    }
    node.is_untouched_by(&api);
}
