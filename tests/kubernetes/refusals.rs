//! Joins that must not succeed, and what they leave behind: nothing, as long as the cluster is not trusted.

use std::time::Duration;

use crate::harness::{
    cluster::{Anonymous, Cluster, Options, free_port},
    token::{Token, Wanted},
};
use crate::support::{node::Node, process::wait_for, run::Finished};

/// Long enough to ask twice.
const SOON: [&str; 2] = ["--discovery-timeout", "3s"];

fn join_in_vain(name: &str, token: &Token) -> Finished {
    let node = Node::named(name);
    let outcome = node.join(token).with_cert().flags(&SOON).run();
    assert_ne!(outcome.code, Some(0), "{}", outcome.stderr);
    let errors = outcome.stderr.lines().filter(|line| line.starts_with("nodestrap: error: ")).count();
    assert_eq!(errors, 1, "{}", outcome.stderr);
    let secret = token.value.split('.').nth(1).unwrap();
    assert!(!outcome.stderr.contains(secret) && !outcome.report().to_string().contains(secret));
    assert!(outcome.code == Some(6) || node.listing().is_empty(), "{:?}", node.listing());
    assert!(!node.at("/etc/kubernetes/kubelet.conf").exists());
    outcome
}

#[test]
fn token_without_the_signing_usage() {
    let cluster = crate::shared();
    let token = cluster.token_with(Wanted { usages: "authentication", ..Wanted::default() });
    join_in_vain("unsigned", &token).expect("not-published");
}

#[test]
fn token_without_the_authentication_usage() {
    let cluster = crate::shared();
    // kubeadm has a default group, and then insists on the usage that would make it one of somebody.
    let token = with_value(&cluster.token(), "signer.0123456789abcdef");
    let place = ["--namespace=kube-system", "--type=bootstrap.kubernetes.io/token"];
    let content = ["token-id=signer", "token-secret=0123456789abcdef", "usage-bootstrap-signing=true"];
    let content = content.map(|pair| format!("--from-literal={pair}"));
    let mut command = vec!["create", "secret", "generic", "bootstrap-token-signer"];
    command.extend(place);
    command.extend(content.iter().map(String::as_str));
    cluster.kubectl(&command);
    wait_for("the token's signature", || cluster.is_signed_for(&token).then_some(()));
    join_in_vain("unauthenticated", &token).expect("refused");
}

#[test]
fn expired_token() {
    let cluster = crate::shared();
    let lifetime = Duration::from_secs(2);
    let token = cluster.token_with(Wanted { lifetime, ..Wanted::default() });
    wait_for("the token's end", || (!cluster.is_signed_for(&token)).then_some(()));
    join_in_vain("expired", &token).expect("not-published");
}

#[test]
fn unknown_token() {
    let cluster = crate::shared();
    let token = with_value(&cluster.token(), "abcdef.0123456789abcdef");
    join_in_vain("unknown", &token).expect("not-published");
}

/// The token's public half is right, its secret is not: what is published was not signed with it. That may be a signature
/// that lags, so it is told at once and tried again for ten seconds.
#[test]
fn wrong_secret() {
    let cluster = crate::shared();
    let token = cluster.token();
    let value = format!("{}.0123456789abcdef", token.id());
    let token = with_value(&token, &value);
    join_in_vain("wrong-secret", &token).expect("not-trusted");
    let node = Node::named("wrong-secret-patient");
    let began = std::time::Instant::now();
    let outcome = node.join(&token).with_cert().run();
    outcome.expect("not-trusted");
    assert!(outcome.stderr.contains("does not match the secret of token"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("retrying"), "{}", outcome.stderr);
    let spent = began.elapsed();
    assert!(spent > Duration::from_secs(5) && spent < Duration::from_mins(1), "{spent:?}");
    assert_eq!(node.listing(), Vec::<String>::new());
}

#[test]
fn wrong_pin() {
    let cluster = crate::shared();
    let mut token = cluster.token();
    let wrong = format!("sha256:{}", "0".repeat(64));
    *token.arguments.last_mut().unwrap() = wrong;
    join_in_vain("wrong-pin", &token).expect("not-trusted");
}

/// Nobody listens where the join line points.
#[test]
fn unreachable() {
    let cluster = crate::shared();
    let mut token = cluster.token();
    token.arguments[0] = format!("localhost:{}", free_port());
    join_in_vain("unreachable", &token).expect("unreachable");
}

/// A token may file requests only when its group is bound to that.
#[test]
fn group_without_rights() {
    let cluster = crate::shared();
    let group = "system:bootstrappers:nobody";
    let token = cluster.token_with(Wanted { group, ..Wanted::default() });
    join_in_vain("no-rights", &token).expect("refused");
}

/// The API server answers 401, for as long as one asks. The last line says what to do.
#[test]
fn anonymous_auth_off() {
    let cluster = Cluster::start(Options {
        algorithm: "ECDSA-P256",
        anonymous: Anonymous::Nothing,
        ..Options::default()
    });
    let outcome = join_in_vain("no-anonymous", &cluster.token());
    outcome.expect("not-published");
    let help = outcome.report()["help"].as_str().expect("an advice");
    assert!(help.contains("save the ConfigMap to a file and use --cluster-info"), "{help}");
    assert!(outcome.stderr.trim_end().ends_with(help), "{}", outcome.stderr);
}

/// The token's join line for another token.
fn with_value(token: &Token, value: &str) -> Token {
    let mut arguments = token.arguments.clone();
    arguments[2] = value.into();
    Token { arguments, value: value.into(), pin: token.pin.clone() }
}
