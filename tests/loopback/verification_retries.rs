//! What does not verify may do so in a moment: a cluster-info that was changed is not signed yet, servers behind one name
//! change their certificates one after the other. So it is asked for again, for ten seconds, and no forged answer ends a
//! run while another endpoint may still lead to the cluster.

use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::join_builder::{JoinBuilder, path};
use crate::support::api::{Api, Body, Cluster, Reply, Route, Setup, TOKEN, jws};
use crate::support::node::Node;
use crate::support::pki::{Authority, ServerIdentity};
use crate::support::ports::closed;
use crate::support::relay::Relay;

/// Servers of one authority, and what makes the first of them a forger.
fn forger_and_others(forgery: &Forgery) -> [Api; 2] {
    let authority = Arc::new(Authority::new("kubernetes"));
    let identity = forgery.identity.map(|identity| identity(&authority));
    let first = Api::with(Setup { authority: Arc::clone(&authority), identity, ..Setup::default() });
    let other = Api::with(Setup { authority, ..Setup::default() });
    first.cluster(forgery.publish);
    [first, other]
}

/// What somebody says who is not the cluster.
struct Forgery {
    name: &'static str,
    identity: Option<fn(&Authority) -> ServerIdentity>,
    publish: fn(&mut Cluster),
}

const FORGERIES: [Forgery; 6] = [
    Forgery {
        name: "a signature of another secret",
        identity: None,
        publish: |cluster| {
            let text = cluster.kubeconfig();
            cluster.publish_as(&text, &jws::sign("abcdef.fedcba9876543210", &text));
        },
    },
    Forgery {
        name: "a CA that is not pinned",
        identity: None,
        publish: |cluster| {
            let text = cluster.kubeconfig();
            let server =
                text.split("server: ").nth(1).and_then(|rest| rest.lines().next()).expect("a server");
            cluster.publish(&jws::kubeconfig(&Authority::new("other").pem(), server));
        },
    },
    Forgery {
        name: "a chain of another CA",
        identity: Some(|_| Authority::new("kubernetes").server(&["localhost"])),
        publish: |_| {},
    },
    Forgery {
        name: "another name",
        identity: Some(|authority| authority.server(&["other.example"])),
        publish: |_| {},
    },
    Forgery { name: "signed nonsense", identity: None, publish: |cluster| cluster.publish("{nonsense") },
    Forgery {
        name: "a signed CA that is none",
        identity: None,
        publish: |cluster| cluster.publish(&jws::kubeconfig("none", "https://localhost:1")),
    },
];

#[test]
fn a_misfit_that_heals_lets_the_join_through() {
    crate::support::all(
        &FORGERIES,
        |forgery| forgery.name.to_owned(),
        |forgery| {
            let [forger, other] = forger_and_others(forgery);
            forger.on(Route::Discovery, |_, _, cluster| Some(cluster.config_map().close()));
            let relay = Relay::start(vec![forger.address(), other.address()]);
            let node = Node::new();
            let run = node.join(&other).endpoint(relay.endpoint()).with_cert().run();
            run.expect("joined").says(&["retrying"]);
            assert_eq!((forger.count(Route::Discovery), forger.credentials_seen()), (1, 0));
        },
    );
}

#[test]
fn the_first_misfit_is_told_at_once() {
    let ([forger, _], node) = (forger_and_others(&FORGERIES[0]), Node::new());
    let path = node.beside("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let running = node.join(&forger).with_cert().env("NOTIFY_SOCKET", path.display().to_string()).start();
    let mut buffer = vec![0; 65_536];
    loop {
        let length = manager.recv(&mut buffer).expect("a line");
        if String::from_utf8_lossy(&buffer[..length]).contains("does not match the secret of token") {
            break;
        }
    }
    let told = Instant::now();
    let first = forger.wait_for(Route::Discovery, 1).at;
    assert!(told.duration_since(first) < Duration::from_secs(5), "before the ten seconds are over");
    let run = running.finish();
    run.expect("not-trusted");
    run.check(told.elapsed() > Duration::from_secs(4), "and tried again after that");
}

#[test]
fn a_misfit_behind_a_url_is_fetched_again() {
    for heals in [true, false] {
        let (builder, web) = (JoinBuilder::new(), Api::start());
        let right = builder.config_map();
        let mut wrong = right.clone();
        wrong["data"]["kubeconfig"] = json!("edited");
        web.on(Route::Other, move |count, _, _| {
            Some(Reply::json(200, if heals && count > 0 { &right } else { &wrong }))
        });
        let (token, ca) = (builder.file("token", TOKEN), builder.file("web.pem", &web.authority.pem()));
        let (url, pin) = (format!("https://{}/info", web.endpoint()), builder.api.authority.pin());
        let pins = ["--token-file", path(&token), "--discovery-token-ca-cert-hash", &pin];
        let builder = builder.with(&pins).with(&["--cluster-info", &url, "--discovery-ca", path(&ca)]);
        if heals {
            builder.joins();
        } else {
            builder.is_refused(5, "does not match the secret of token");
        }
        assert!(web.count(Route::Other) > 1, "it was asked once");
    }
}

#[test]
fn a_misfit_in_a_file_is_told_at_once() {
    let builder = JoinBuilder::new();
    let mut wrong = builder.config_map();
    wrong["data"]["kubeconfig"] = json!("edited");
    let (token, info) = (builder.file("token", TOKEN), builder.file("info.json", &wrong.to_string()));
    let (began, pin) = (Instant::now(), builder.api.authority.pin());
    let pins = ["--token-file", path(&token), "--discovery-token-ca-cert-hash", &pin];
    builder
        .with(&pins)
        .with(&["--cluster-info", path(&info)])
        .is_refused(5, "does not match the secret of token");
    assert!(began.elapsed() < Duration::from_secs(9), "the same text again is no other");
}

#[test]
fn after_trust_a_server_that_does_not_verify_is_dialled_again() {
    let (api, node) = (Api::start(), Node::new());
    let stranger = Api::start();
    let relay = Relay::start(vec![api.address(), stranger.address(), api.address()]);
    let published = jws::kubeconfig(&api.authority.pem(), &format!("https://{}", relay.endpoint()));
    api.cluster(|cluster| cluster.publish(&published));
    api.on(Route::Discovery, |_, _, cluster| Some(cluster.config_map().close()));
    let run = node.join(&api).endpoint(relay.endpoint()).with_cert().run();
    run.expect("joined").says(&["cannot be verified", "retrying"]);
    assert_eq!(stranger.requests().len(), 0, "nothing is sent to it");
}

#[test]
fn one_forged_answer_ends_nothing_while_another_endpoint_may_heal() {
    crate::support::all(
        &FORGERIES,
        |forgery| forgery.name.to_owned(),
        |forgery| {
            let [forger, late] = forger_and_others(forgery);
            // Busy, then without an answer, then not signed: for longer than misfits are tried.
            let (began, signed) = (Instant::now(), late.cluster(|cluster| cluster.config_map().body));
            let Body::Whole(signed) = signed else { unreachable!("a ConfigMap is sent whole") };
            late.on(Route::Discovery, move |count, _, _| {
                let is_late = began.elapsed() < Duration::from_secs(13);
                Some(match count % 3 {
                    _ if !is_late => Reply::new(200, Body::Whole(signed.clone())),
                    0 => Reply::status(503, "ServiceUnavailable"),
                    1 => Reply::raw(Vec::new()),
                    _ => Reply::json(200, &json!({"kind": "ConfigMap", "data": {"kubeconfig": "x"}})),
                })
            });
            let node = Node::new();
            let endpoint = format!("{},{}", forger.endpoint(), late.endpoint());
            let run = node.join(&late).endpoint(endpoint).with_cert().run();
            run.expect("joined").says(&["retrying"]);
            assert!(forger.count(Route::Discovery) > 1 && forger.credentials_seen() == 0);
        },
    );
}

#[test]
fn ten_seconds_end_a_run_where_every_endpoint_is_a_misfit() {
    crate::support::all(
        &FORGERIES,
        |forgery| forgery.name.to_owned(),
        |forgery| {
            let ([one, _], [other, _]) = (forger_and_others(forgery), forger_and_others(&FORGERIES[0]));
            let node = Node::new();
            let endpoint = format!("{},{}", one.endpoint(), other.endpoint());
            let run = node.join(&one).endpoint(endpoint).with_cert().run();
            run.expect("not-trusted");
            run.check(run.elapsed > Duration::from_secs(5), "it may heal");
            run.check(run.elapsed < Duration::from_secs(40), "ten seconds, not the whole time-out");
            for forger in [&one, &other] {
                assert!(forger.count(Route::Discovery) > 1);
                node.is_untouched_by(forger);
            }
        },
    );
}

#[test]
fn a_misfit_beside_a_dead_endpoint_waits_for_the_deadline() {
    let [forger, _] = forger_and_others(&FORGERIES[0]);
    let endpoint = format!("localhost:{},{}", closed(), forger.endpoint());
    let node = Node::new();
    let deadline = "--discovery-timeout 14s";
    let run = node.join(&forger).endpoint(endpoint).with_cert().args(deadline).run();
    run.expect("not-trusted").says(&["retrying", "refused"]);
    run.check(run.elapsed > Duration::from_secs(12), "the dead one may heal until the deadline");
    node.is_untouched_by(&forger);
}
