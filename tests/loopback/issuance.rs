//! What delays or ends the wait for a certificate, and certificates that are not what was asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{CertificateSigningRequestParams, DnType};

use crate::support::api::{Api, Cluster, Reply, Route};
use crate::support::node::{BOOTSTRAP_CONF, CURRENT, KEY_TMP, Node};
use crate::support::pki::{self, Authority};

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    const SECOND: Duration = Duration::from_secs(1);
    /// Answer, and the least pause before the next attempt.
    type Busy = (&'static str, Duration, fn() -> Reply);
    let cases: [Busy; 6] = [
        ("429 with Retry-After", SECOND, || Reply::status(429, "TooManyRequests").header("Retry-After", "1")),
        ("429 with the delay in its details", SECOND, || Reply::retry_in_details(429, "TooManyRequests", 1)),
        ("429 in plain text", SECOND, || {
            let text = "Too many requests, please try again later.";
            Reply::text(429, "text/plain; charset=utf-8", text).header("Retry-After", "1").close()
        }),
        ("503 while it shuts down", SECOND, || {
            Reply::status(503, "ServiceUnavailable").header("Retry-After", "1").close()
        }),
        ("504 with the delay in its details", SECOND, || Reply::retry_in_details(504, "Timeout", 1)),
        ("500", Duration::ZERO, || Reply::status(500, "InternalError")),
    ];
    for route in [Route::Create, Route::Watch] {
        crate::support::all(
            &cases,
            |case| format!("{} to {route:?}", case.0),
            |(_, pause, busy)| {
                let (api, node) = (Api::start(), Node::new());
                let busy = *busy;
                api.on(route, move |number, _, _| (number == 0).then(busy));
                node.joins(&api);
                let gap = api.wait_for(route, 2).at - api.wait_for(route, 1).at;
                assert!(gap >= *pause, "asked again after {gap:?}");
                assert_eq!(api.cluster(|cluster| cluster.names().len()), 1);
            },
        );
    }
}

#[test]
fn a_server_that_stays_busy_is_unreachable() {
    type Busy = fn() -> Reply;
    let cases: [(&str, Busy); 3] = [
        ("429", || Reply::status(429, "TooManyRequests")),
        ("503", || Reply::status(503, "ServiceUnavailable")),
        ("cannot connect", || Reply::raw(Vec::new())),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, busy)| {
            let (api, node) = (Api::start(), Node::new());
            let busy = *busy;
            api.on(Route::Create, move |_, _, _| Some(busy()));
            node.fails(&api, "unreachable");
            assert!(node.has(KEY_TMP), "the key is kept for the next run");
        },
    );
}

#[test]
fn a_lost_answer_to_the_post_leaves_one_request() {
    let (api, node) = (Api::start(), Node::new());
    api.on(Route::Create, |number, request, cluster| {
        (number == 0).then(|| {
            cluster.create(request);
            Reply::raw(Vec::new())
        })
    });
    node.joins(&api);
    assert_eq!((api.count(Route::Create), api.cluster(|cluster| cluster.names().len())), (2, 1));
}

#[test]
fn a_refused_token_is_tried_for_ten_seconds() {
    crate::support::all(&[401_u16, 403], u16::to_string, |status| {
        let (api, node) = (Api::start(), Node::new());
        let status = *status;
        api.on(Route::Create, move |_, _, _| Some(Reply::status(status, "No")));
        let run = node.join(&api).with_cert().run();
        run.expect("refused").says(&[&status.to_string()]);
        run.check(api.count(Route::Create) > 1, "a token that has just been made may not be known yet");
        run.check(run.elapsed < Duration::from_secs(30), "ten seconds, not the whole time-out");
        assert!(!node.has(CURRENT));
    });
}

#[test]
fn a_token_that_becomes_known_is_used() {
    crate::support::all(&[401_u16, 403], u16::to_string, |status| {
        let (api, node) = (Api::start(), Node::new());
        let status = *status;
        api.on(Route::Create, move |number, _, _| (number < 2).then(|| Reply::status(status, "NotYet")));
        node.joins(&api);
    });
}

#[test]
fn a_token_that_expires_while_pending_is_refused() {
    let (api, node) = (Api::manual(), Node::new());
    api.on(Route::Watch, |number, _, cluster| {
        cluster.token_is_valid = false;
        (number == 0).then(|| Reply::chunked(Vec::new()))
    });
    let run = node.join(&api).with_cert().run();
    run.expect("refused");
    assert!(node.has(KEY_TMP) && !node.has(CURRENT), "{:#?}", node.tree());
}

#[test]
fn a_request_that_nobody_approves_is_pending_and_found_again() {
    let (api, node) = (Api::manual(), Node::new());
    let run = node.fails(&api, "pending");
    let name = api.cluster(|cluster| cluster.names().remove(0));
    run.says(&[&format!("kubectl certificate approve {name}")]);
    assert_eq!(run.report()["csrName"], name.as_str());
    assert!(node.has(KEY_TMP) && node.has(BOOTSTRAP_CONF), "a kubelet can finish alone");
    assert_eq!(node.mode(KEY_TMP), 0o600);
    let key = node.read(KEY_TMP);
    assert!(key.starts_with("-----BEGIN EC PRIVATE KEY-----\n"), "SEC 1, as the kubelet has it");

    api.cluster(Cluster::grant);
    node.joins(&api);
    assert_eq!(api.cluster(|cluster| cluster.names().len()), 1);
    assert!(node.read_pair().ends_with(&key), "the key of the first run");
}

#[test]
fn a_failure_that_has_healed_is_not_what_the_deadline_tells() {
    crate::support::all(&[503_u16, 403], u16::to_string, |status| {
        let (api, node) = (Api::manual(), Node::new());
        let status = *status;
        api.on(Route::Create, move |number, _, _| (number == 0).then(|| Reply::status(status, "NotYet")));
        node.fails(&api, "pending");
    });
}

#[test]
fn the_overall_cap_ends_the_wait_too() {
    let (api, node) = (Api::manual(), Node::new());
    node.join(&api).with_cert().args("--timeout 3s").run().expect("pending");
    let closed = Node::new();
    api.on(Route::Discovery, |_, _, _| Some(Reply::status(403, "Forbidden")));
    closed.join(&api).with_cert().args("--timeout 3s").run().expect("not-published");
}

#[test]
fn a_certificate_that_does_not_fit_uses_its_key_up() {
    use Route::{Create, Discovery, List, Watch};
    const IN_ONE_RUN: &[Route] = &[Discovery, Create, List, Create, Watch];
    const IN_TWO_RUNS: &[Route] = &[Discovery, Create, Watch, Discovery, Create, Watch];
    type Signer = fn(&Authority, &str) -> String;
    let cases: [(&str, Signer); 2] = [
        ("another key", |authority, _| {
            authority.sign(&pki::foreign_request("system:nodes", "system:node:n1"))
        }),
        ("another name", |authority, request| {
            authority.sign_with(request, |request| rename(request, "system:nodes", "system:node:n2"))
        }),
    ];
    for earlier in [false, true] {
        crate::support::all(
            &cases,
            |case| format!("{}, there before: {earlier}", case.0),
            |(_, unfit)| {
                let (api, node) = (Api::start(), Node::new());
                let (authority, unfit, signed) = (Arc::clone(&api.authority), *unfit, AtomicUsize::new(0));
                api.cluster(|cluster| {
                    cluster.signer = Box::new(move |request| match signed.fetch_add(1, Ordering::Relaxed) {
                        0 => unfit(&authority, request),
                        _ => authority.sign(request),
                    });
                });
                api.on(Create, move |number, request, cluster| {
                    (earlier && number == 0).then(|| {
                        cluster.create(request);
                        Reply::status(409, "AlreadyExists")
                    })
                });
                if !earlier {
                    node.fails(&api, "not-trusted").says(&["certificate issued for"]);
                    assert!(!node.has(KEY_TMP), "the key is used up");
                }
                node.joins(&api);
                assert_eq!(api.cluster(|cluster| cluster.names().len()), 2, "a request under another name");
                assert_eq!(api.routes(), if earlier { IN_ONE_RUN } else { IN_TWO_RUNS });
            },
        );
    }
}

fn rename(request: &mut CertificateSigningRequestParams, organization: &str, common_name: &str) {
    let name = &mut request.params.distinguished_name;
    *name = rcgen::DistinguishedName::new();
    name.push(DnType::OrganizationName, organization);
    name.push(DnType::CommonName, common_name);
}

#[test]
fn any_issuer_will_do_and_is_reported() {
    let (api, node) = (Api::start(), Node::new());
    let nodes = Authority::new("nodes of east");
    api.cluster(|cluster| cluster.signer = Box::new(move |request| nodes.sign(request)));
    let run = node.joins(&api);
    assert_eq!(run.report()["certificate"]["issuer"], "CN=nodes of east");
    node.join(&api).with_cert().run().expect("already-joined");
}

/// The seconds that each request asks for, by its signer.
fn durations(api: &Api) -> Vec<(String, Option<u64>)> {
    api.cluster(|cluster| {
        let spec = |name: &String| cluster.item(name)["spec"].clone();
        let specs = cluster.names().iter().map(spec).collect::<Vec<_>>();
        let signer = |name: &serde_json::Value| name.as_str().expect("a signer").to_owned();
        specs.iter().map(|spec| (signer(&spec["signerName"]), spec["expirationSeconds"].as_u64())).collect()
    })
}

#[test]
fn a_duration_is_asked_for_in_every_request_of_a_run() {
    let client = "kubernetes.io/kube-apiserver-client-kubelet".to_owned();
    let serving = "kubernetes.io/kubelet-serving".to_owned();
    for (flags, seconds) in [("", None), ("--expiration-seconds 3600", Some(3600))] {
        let (api, node) = (Api::start(), Node::new());
        api.cluster(|cluster| cluster.approves_serving = true);
        node.join(&api).args("--with-serving-cert --san n1").args(flags).run().expect("joined");
        assert_eq!(durations(&api), [(client.clone(), seconds), (serving.clone(), seconds)]);
    }
}

#[test]
fn a_request_that_is_there_already_keeps_the_duration_it_asked_for() {
    let (api, node) = (Api::manual(), Node::new());
    node.fails(&api, "pending");
    let before = durations(&api);
    api.cluster(Cluster::grant);
    let run = node.join(&api).with_cert().args("--expiration-seconds 600").run();
    run.expect("joined").says(&["already exists"]);
    assert_eq!((before[0].1, durations(&api)), (None, before), "the same request, unchanged");
}

#[test]
fn a_chain_is_stored_in_the_order_it_came() {
    let (api, node) = (Api::start(), Node::new());
    let authority = Arc::clone(&api.authority);
    let chain = Arc::clone(&authority);
    api.cluster(|cluster| cluster.signer = Box::new(move |request| chain.sign(request) + &chain.pem()));
    node.joins(&api);
    let pair = node.read_pair();
    let blocks: Vec<_> =
        pair.match_indices("-----BEGIN ").map(|(at, _)| pair[at + 11..].split('-').next()).collect();
    assert_eq!(blocks, [Some("CERTIFICATE"), Some("CERTIFICATE"), Some("EC PRIVATE KEY")]);
    assert!(pair.contains(&authority.pem()), "the issuer as it came");
    assert!(pair.find(&authority.pem()) > Some(0), "the leaf first");
}
