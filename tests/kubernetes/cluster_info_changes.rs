//! A cluster-info that changes: its signer needs a moment, in which no signature fits.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::json;

use crate::harness::cluster::{Cluster, Options};
use crate::support::node::Node;

/// Joins that run while it is edited again and again: some fall into the signer's moment.
const JOINS: usize = 24;

const NAMESPACE: &str = "--namespace=kube-public";

fn kubeconfig(cluster: &Cluster) -> String {
    let map = cluster.json(&["get", "configmap", "cluster-info", NAMESPACE, "-o", "json"]);
    map["data"]["kubeconfig"].as_str().expect("a kubeconfig").to_owned()
}

fn publish(cluster: &Cluster, kubeconfig: &str) {
    let patch = json!({"data": {"kubeconfig": kubeconfig}}).to_string();
    cluster.kubectl(&["patch", "configmap", "cluster-info", NAMESPACE, "--type=merge", "--patch", &patch]);
}

/// Ends the edits, also where a join has failed.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[test]
fn a_cluster_info_that_changes_lets_every_join_through() {
    let cluster = Cluster::start(Options { algorithm: "ECDSA-P256", ..Options::default() });
    let (token, kubeconfig) = (cluster.token(), kubeconfig(&cluster));
    let mut caught = 0;
    let joining = AtomicBool::new(true);
    thread::scope(|scope| {
        let _end = End(&joining);
        scope.spawn(|| {
            for number in (0_u32..).take_while(|_| joining.load(Ordering::Relaxed)) {
                publish(&cluster, &format!("{kubeconfig}# edit {number}\n"));
            }
        });
        for number in 0..JOINS {
            let node = Node::named(&format!("lag-{number}"));
            let outcome = node.join(&token).with_cert().run();
            outcome.expect("joined");
            caught += usize::from(outcome.stderr.contains("does not match the secret of token"));
            node.assert_joined(&cluster);
        }
    });
    eprintln!("{caught} of {JOINS} joins met a signature that did not fit");

    // The moment lasts as long as the signer is down: what is published again fits again.
    publish(&cluster, &kubeconfig);
    Node::named("lag-signed").join(&token).with_cert().run().expect("joined");
    cluster.stop_controllers();
    publish(&cluster, &format!("{kubeconfig}# not signed\n"));
    let node = Node::named("lag-stopped");
    let mut running = node.join(&token).with_cert().start();
    running.line_with("does not match the secret of token");
    publish(&cluster, &kubeconfig);
    running.line_with("signature and CA pin verified");
    cluster.start_controllers();
    running.finish().expect("joined");
    node.assert_joined(&cluster);
}
