//! An API server that goes away and comes back.

use crate::harness::{
    cluster::{Cluster, MANUAL, Options},
    token::Wanted,
};
use crate::support::node::Node;

/// One cluster for both, in turn: a stopped API server would disturb any test beside it.
#[test]
fn the_api_server_restarts() {
    let cluster = Cluster::start(Options { algorithm: "ECDSA-P256", ..Options::default() });
    during_discovery(&cluster);
    during_the_wait(&cluster);
}

fn during_discovery(cluster: &Cluster) {
    let token = cluster.token();
    cluster.stop_api_server();
    let node = Node::named("restart-discovery");
    let mut running = node.join(&token).with_cert().start();
    running.line_with("nodestrap: ");
    cluster.start_api_server();
    running.finish().expect("joined");
    node.assert_joined(cluster);
}

/// The watch is torn, its resource version forgotten; the request is still the same one.
fn during_the_wait(cluster: &Cluster) {
    let token = cluster.token_with(Wanted { group: MANUAL, ..Wanted::default() });
    let node = Node::named("restart-wait");
    let mut running = node.join(&token).with_cert().start();
    let name = running.pending_request();
    cluster.stop_api_server();
    cluster.start_api_server();
    cluster.kubectl(&["certificate", "approve", &name]);
    let outcome = running.finish();
    outcome.expect("joined");
    assert_eq!(outcome.report()["csrName"], name);
    node.assert_joined(cluster);
}
