//! The kubeconfigs that are written for a kubelet, byte for byte, and read again by its own loader.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use nodestrap::testing::kubeconfig::{self, BootstrapUser};
use serde_json::json;

use super::diff_report::{Case, Class, DiffReport};
use super::oracle::{Oracle, bytes, given_text};
use super::random::{Random, count};

/// A text, and whether a loader finds in it what was put in.
type Written = (String, bool);

const CLASSES: &[Class<String, Written>] = &[Class {
    name: "quotes that YAML does not need",
    reason: "a token that could be taken for something else by any reader stands in quotes",
    explains: |case| {
        let plain = |written: &Written| written.0.replace(['"', '\''], "");
        matches!((&case.ours, &case.theirs), (Ok(ours), Ok(theirs)) if ours.1 && plain(ours) == plain(theirs))
    },
}];

/// What the kubelet's loader finds.
fn read_again(oracle: &mut Oracle, text: &str, server: &str, token: &str) -> bool {
    let found = oracle.ask("kubeconfig text", &json!(text));
    found.is_ok_and(|found| given_text(&found["server"]) == server && given_text(&found["token"]) == token)
}

fn server(random: &mut Random) -> &'static str {
    random.pick(&["https://10.0.0.1:6443", "https://api.example", "https://[fd00::1]:6443/k8s/clusters/c-1"])
}

#[test]
fn bootstrap_kubelet_confs() {
    let (mut random, mut oracle) = (Random::of("bootstrap-kubelet.confs"), Oracle::start());
    let mut diff = DiffReport::new("bootstrap-kubelet.confs", CLASSES);
    for _ in 0..count() {
        let length = 1 + random.below(400);
        let (server, ca) = (server(&mut random), random.bytes(length));
        let token = match random.below(4) {
            0 => {
                let length = 1 + random.below(30);
                let alphabet = random.pick(&[
                    "0123456789",
                    "0123456789abcdef",
                    "abc-._~+/=",
                    "01.eE+-_:",
                    "yesnoYESNOtrufal~",
                ]);
                random.text(alphabet, length).trim_matches([':', '~']).to_owned() + "a"
            }
            1 => random
                .pick(&[
                    "true",
                    "yes",
                    "no",
                    "on",
                    "off",
                    "y",
                    "n",
                    "null",
                    "NaN",
                    "1e3",
                    "0x1f",
                    "0o17",
                    "012",
                    "1_000",
                    "2001-01-01",
                    "12.5",
                    ".5",
                    "5.",
                    "1e",
                    "-1",
                    "=",
                    "0b1",
                ])
                .to_owned(),
            _ => random.token(),
        };
        let user = BootstrapUser { token: Some(&token), token_file: None, pair: None };
        let ours = kubeconfig::bootstrap(server, &BASE64_STANDARD.encode(&ca), &user).expose().clone();
        let input = json!({"server": server, "ca": bytes(&ca), "token": token});
        let theirs = given_text(&oracle.ask("write bootstrap-kubelet.conf", &input).expect("a text"));
        let [ours, theirs] = [ours, theirs].map(|text| {
            let found = read_again(&mut oracle, &text, server, &token);
            (text, found)
        });
        diff.hold(&Case { ours: Ok(ours), theirs: Ok(theirs), input: token });
    }
    diff.finish();
}

#[test]
fn bootstrap_kubelet_confs_with_certificates() {
    let (mut random, mut oracle) = (Random::of("bootstrap-kubelet.confs with certificates"), Oracle::start());
    let mut diff = DiffReport::new("bootstrap-kubelet.confs with certificates", &[]);
    for _ in 0..count() / 4 {
        let (server, ca) = (server(&mut random), random.bytes(300));
        let certificate = random.text("abcdefgh\n", 400);
        let key = random.text("abcdefgh\n", 200);
        let user = BootstrapUser { token: None, token_file: None, pair: Some((certificate.clone(), &key)) };
        let ours = kubeconfig::bootstrap(server, &BASE64_STANDARD.encode(&ca), &user).expose().clone();
        let input = json!({"server": server, "ca": bytes(&ca), "token": "", "certificate": bytes(certificate), "key": bytes(key)});
        let theirs = given_text(
            &oracle.ask("write bootstrap-kubelet.conf with a certificate", &input).expect("a text"),
        );
        diff.hold(&Case { ours: Ok(ours), theirs: Ok(theirs), input });
    }
    diff.finish();
}

#[test]
fn kubelet_confs() {
    let (mut random, mut oracle) = (Random::of("kubelet.confs"), Oracle::start());
    let mut diff = DiffReport::new("kubelet.confs", &[]);
    for _ in 0..count() {
        let length = 1 + random.below(400);
        let (server, ca) = (server(&mut random), random.bytes(length));
        let length = 1 + random.below(30);
        let pair = format!("/{}/kubelet-client-current.pem", random.text("abc019._-+@=", length));
        let ours = kubeconfig::kubelet(server, &BASE64_STANDARD.encode(&ca), &pair);
        let input = json!({"server": server, "ca": bytes(&ca), "pair": pair});
        let theirs = given_text(&oracle.ask("write kubelet.conf", &input).expect("a text"));
        diff.hold(&Case { ours: Ok(ours), theirs: Ok(theirs), input });
    }
    diff.finish();
}
