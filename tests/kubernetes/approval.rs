//! Requests that a person decides on, because no binding lets the controller approve them.

use std::{fs, time::Duration};

use crate::harness::{
    cluster::{Cluster, MANUAL},
    node::pem_blocks,
    token::{Token, Wanted},
};
use crate::support::{node::Node, process::wait_for};

const KEY: &str = "/var/lib/kubelet/pki/kubelet-client.key.tmp";
const TOKEN_FILE: &str = "/etc/kubernetes/bootstrap-kubelet.conf";

fn manual_token(cluster: &Cluster) -> Token {
    cluster.token_with(Wanted { group: MANUAL, ..Wanted::default() })
}

#[test]
fn approved_by_hand_while_waiting() {
    let cluster = crate::shared();
    let node = Node::named("by-hand");
    let mut running = node.join(&manual_token(&cluster)).with_cert().start();
    let name = running.pending_request();
    // All that does not depend on the verdict is on disk by now, or will be soon: a kubelet could finish alone.
    let key = wait_for("the files of the wait", || {
        node.at(TOKEN_FILE).exists().then(|| pem_blocks(&node.at(KEY)).remove(0))
    });
    assert_eq!(key.0, "EC PRIVATE KEY");
    cluster.kubectl(&["certificate", "approve", &name]);
    let outcome = running.finish();
    outcome.expect("joined");
    assert_eq!(outcome.report()["csrName"], name);
    assert_eq!(pem_blocks(&node.identity_file()).last(), Some(&key));
    node.assert_joined(&cluster);
}

/// A run that gives up leaves what the next one needs, which finds the same request.
#[test]
fn approved_between_two_runs() {
    let cluster = crate::shared();
    let node = Node::named("between-runs");
    let token = manual_token(&cluster);
    let first = node.join(&token).with_cert().flags(&["--tls-bootstrap-timeout", "2s"]).run();
    first.expect("pending");
    assert!(node.at(TOKEN_FILE).exists() && node.at(KEY).exists(), "{:?}", node.listing());
    let name = first.report()["csrName"].as_str().unwrap().to_owned();
    cluster.kubectl(&["certificate", "approve", &name]);
    let second = node.join(&token).with_cert().run();
    second.expect("joined");
    assert_eq!(second.report()["csrName"], name);
    node.assert_joined(&cluster);
}

/// The next run makes a new key: the same one would find the same verdict again.
#[test]
fn denied() {
    let cluster = crate::shared();
    let node = Node::named("denied");
    let token = manual_token(&cluster);
    let mut running = node.join(&token).with_cert().start();
    let name = running.pending_request();
    cluster.kubectl(&["certificate", "deny", &name]);
    let outcome = running.finish();
    outcome.expect("denied");
    assert!(!node.at("/etc/kubernetes/kubelet.conf").exists());

    let mut running = node.join(&token).with_cert().start();
    let second = running.pending_request();
    assert_ne!(second, name);
    cluster.kubectl(&["certificate", "approve", &second]);
    running.finish().expect("joined");
    node.assert_joined(&cluster);
}

#[test]
fn deleted_while_waiting() {
    let cluster = crate::shared();
    let node = Node::named("deleted");
    let mut running = node.join(&manual_token(&cluster)).with_cert().start();
    let name = running.pending_request();
    let key = fs::read(node.at(KEY)).unwrap();
    cluster.kubectl(&["delete", "csr", &name]);
    wait_for("the same request again", || {
        cluster.kubectl(&["get", "csr", "-o", "name"]).contains(&name).then_some(())
    });
    assert_eq!(fs::read(node.at(KEY)).unwrap(), key);
    cluster.kubectl(&["certificate", "approve", &name]);
    running.finish().expect("joined");
    node.assert_joined(&cluster);
}

/// A watch that began with a living token is not ended by its expiry: the verdict still arrives.
#[test]
fn the_token_expires_while_waiting() {
    let cluster = crate::shared();
    let node = Node::named("expiring");
    let lifetime = Duration::from_secs(4);
    let token = cluster.token_with(Wanted { group: MANUAL, lifetime, ..Wanted::default() });
    let mut running = node.join(&token).with_cert().start();
    let name = running.pending_request();
    wait_for("the token's end", || (!cluster.is_signed_for(&token)).then_some(()));
    cluster.kubectl(&["certificate", "approve", &name]);
    running.finish().expect("joined");
    node.assert_joined(&cluster);
}
