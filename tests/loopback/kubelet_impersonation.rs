//! A kubelet's serving certificate: the cluster's CA signs it, for any name that an approver lets pass, and a server that
//! shows it is no API server.

use std::sync::Arc;

use rcgen::{DistinguishedName, DnType, DnValue};

use crate::join_builder::{JoinBuilder, path};
use crate::support::api::{Api, Reply, Route, Setup, TOKEN, jws};
use crate::support::node::{BOOTSTRAP_CONF, KUBELET_CONF, Node};
use crate::support::pki::{Authority, ServerIdentity};
use crate::support::relay::Relay;

const SAYS: &str = "is a kubelet's serving certificate (O=system:nodes), not an API server's";

/// What it is, how it is written, and whether it is a kubelet's.
type Organization = (&'static str, fn() -> DnValue, bool);

/// A way in, and how it is gone.
type Case = (&'static str, fn(JoinBuilder) -> JoinBuilder);

/// A chain by the cluster's CA, for the right names, with this organization.
fn of_organization(authority: &Authority, organization: DnValue) -> ServerIdentity {
    authority.server_with(&["localhost", "127.0.0.1"], |params| {
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, organization);
        params.distinguished_name.push(DnType::CommonName, "system:node:n7");
    })
}

fn kubelets(authority: &Authority) -> ServerIdentity {
    of_organization(authority, "system:nodes".into())
}

/// A kubelet in the place of its cluster's API server.
fn kubelet(authority: &Arc<Authority>) -> Api {
    let identity = Some(kubelets(authority));
    Api::with(Setup { authority: Arc::clone(authority), identity, ..Setup::default() })
}

#[test]
fn in_whatever_string_the_organization_stands_it_is_one() {
    let bmp: fn() -> DnValue = || DnValue::BmpString("system:nodes".try_into().expect("characters"));
    let teletex: fn() -> DnValue = || DnValue::TeletexString("system:nodes".try_into().expect("characters"));
    let printable: fn() -> DnValue =
        || DnValue::PrintableString("system:nodes".try_into().expect("characters"));
    let organizations: [Organization; 6] = [
        ("UTF-8", || "system:nodes".into(), true),
        ("printable", printable, true),
        ("teletex", teletex, true),
        ("BMP", bmp, true),
        ("another group's", || "system:masters".into(), false),
        ("a longer one", || "system:nodes2".into(), false),
    ];
    crate::support::all(
        &organizations,
        |case| case.0.to_owned(),
        |(_, organization, is_kubelets)| {
            let authority = Arc::new(Authority::new("kubernetes"));
            let identity = Some(of_organization(&authority, organization()));
            let (api, node) = (Api::with(Setup { authority, identity, ..Setup::default() }), Node::new());
            let run = node.join(&api).with_cert().args("--discovery-timeout 3s").run();
            if *is_kubelets {
                run.expect("not-trusted").says(&[SAYS]);
                node.is_untouched_by(&api);
            } else {
                run.expect("joined");
            }
        },
    );
}

#[test]
fn no_kubelet_is_believed_before_trust() {
    for pinned in [true, false] {
        let (api, node) = (kubelet(&Arc::new(Authority::new("kubernetes"))), Node::new());
        let mut join = node.join(&api).with_cert().args("--discovery-timeout 3s");
        if !pinned {
            join = join.pins(&[]).args("--discovery-token-unsafe-skip-ca-verification");
        }
        join.run().expect("not-trusted").says(&[SAYS]);
        node.is_untouched_by(&api);
    }
}

#[test]
fn no_kubelet_is_asked_for_another_server_or_named_as_one() {
    for dialled_is_kubelet in [true, false] {
        let authority = Arc::new(Authority::new("kubernetes"));
        let (good, bad) =
            (Api::with(Setup { authority: Arc::clone(&authority), ..Setup::default() }), kubelet(&authority));
        let (dialled, named) = if dialled_is_kubelet { (&bad, &good) } else { (&good, &bad) };
        let kubeconfig = jws::kubeconfig(&authority.pem(), &format!("https://{}", named.endpoint()));
        dialled.cluster(|cluster| cluster.publish(&kubeconfig));
        let node = Node::new();
        let run = node.join(dialled).with_cert().args("--timeout 5s").run();
        run.expect("not-trusted").says(&[SAYS]);
        assert_eq!(bad.credentials_seen() + good.credentials_seen(), 0);
        assert!(!node.has(KUBELET_CONF));
    }
}

#[test]
fn no_kubelet_takes_a_trusted_connection_over() {
    let authority = Arc::new(Authority::new("kubernetes"));
    let (good, bad) =
        (Api::with(Setup { authority: Arc::clone(&authority), ..Setup::default() }), kubelet(&authority));
    let relay = Relay::start(vec![good.address(), bad.address()]);
    let kubeconfig = jws::kubeconfig(&authority.pem(), &format!("https://{}", relay.endpoint()));
    good.cluster(|cluster| cluster.publish(&kubeconfig));
    good.on(Route::Discovery, |_, request, cluster| Some(cluster.answer(request).close()));
    let node = Node::new();
    let run = node.join_at(&relay.endpoint(), &[authority.pin()]).with_cert().args("--timeout 5s").run();
    run.expect("not-trusted").says(&[SAYS]);
    assert!(bad.requests().is_empty() && good.credentials_seen() == 0);
    assert!(!node.has(KUBELET_CONF));
}

#[test]
fn no_kubelet_is_believed_on_any_way() {
    let ways: [Case; 4] = [
        ("--server", |builder| {
            let ca = builder.api.authority.pem();
            builder.by_the_operators_word(&ca)
        }),
        ("--discovery-file", |builder| {
            let file = builder.file("discovery.conf", &builder.kubeconfig(&format!("{{token: {TOKEN}}}")));
            builder.with(&["--discovery-file", path(&file)])
        }),
        ("--bootstrap-kubeconfig", |builder| {
            let file = builder.file("bootstrap.conf", &builder.kubeconfig(&format!("{{token: {TOKEN}}}")));
            builder.with(&["--bootstrap-kubeconfig", path(&file)])
        }),
        ("--cluster-info", |builder| {
            let file = builder.file("cluster-info", &builder.config_map().to_string());
            let (token, pin) = (builder.file("token", TOKEN), builder.api.authority.pin());
            builder
                .with(&["--cluster-info", path(&file), "--token-file", path(&token)])
                .with(&["--discovery-token-ca-cert-hash", &pin])
        }),
    ];
    crate::support::all(
        &ways,
        |case| case.0.to_owned(),
        |(_, make)| {
            let mut builder = JoinBuilder::new();
            builder.api = kubelet(&Arc::new(Authority::new("kubernetes")));
            let builder = make(builder).with(&["--timeout", "5s"]);
            let output = builder.run();
            let said = output.stderr;
            assert_eq!(output.code, Some(5), "{said}");
            assert!(said.contains(SAYS), "{said}");
            assert!(builder.api.requests().is_empty() && !builder.node.has(KUBELET_CONF));
            assert!(!builder.node.has(BOOTSTRAP_CONF), "the token is written for nobody");
        },
    );
}

#[test]
fn no_kubelet_serves_a_file_by_the_clusters_ca() {
    let builder = JoinBuilder::new();
    let web = kubelet(&builder.api.authority);
    web.on(Route::Other, |_, _, _| Some(Reply::text(200, "text/plain", "never")));
    let ca = builder.file("web.pem", &web.authority.pem());
    let url = format!("https://{}/a", web.endpoint());
    builder
        .with(&["--discovery-file", &url, "--discovery-ca", path(&ca), "--discovery-timeout", "2s"])
        .is_refused(5, SAYS);
    assert!(web.requests().is_empty());
}

#[test]
fn no_kubelet_gets_the_request_for_a_serving_certificate() {
    let (api, node) = (Api::start(), Node::new());
    node.joins(&api);
    let bad = kubelet(&api.authority);
    node.write(KUBELET_CONF, node.read(KUBELET_CONF).replace(&api.endpoint(), &bad.endpoint()));
    let run = node.join(&api).args("--with-serving-cert --serving-timeout 3s").run();
    run.expect("not-trusted").says(&[SAYS]);
    assert!(bad.requests().is_empty());
    assert!(bad.connections().iter().all(|connection| !connection.client_certificate));
}
