//! The commands beside `join`, held against what kubeadm and kubectl say of the same cluster.

use std::{fs, process::Command};

use crate::support::{process::run, repository::program, scratch::Scratch};

/// kubeadm's printed pin is what `ca-hash` says of ca.crt, and what `verify` finds in the ConfigMap as kubectl prints it.
#[test]
fn pins_are_kubeadms_and_a_printed_cluster_info_verifies() {
    let cluster = crate::shared();
    let (scratch, token) = (Scratch::new(), cluster.token());
    let ca = cluster.scratch.file("pki/ca.crt");
    assert_eq!(run(Command::new(program()).args(["ca-hash", &ca])).trim(), token.pin);

    let secret = scratch.file("token");
    fs::write(&secret, &token.value).unwrap();
    let subject = ["x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in", &ca];
    let subject = run(Command::new("openssl").args(subject));
    let subject = subject.trim().trim_start_matches("subject=");
    for format in ["json", "yaml"] {
        let get = ["-n", "kube-public", "get", "configmap", "cluster-info", "-o", format];
        let info = scratch.file(format);
        fs::write(&info, run(cluster.tool("kubectl").args(get))).unwrap();
        let mut verify = Command::new(program());
        verify.args(["verify", "--cluster-info", &info, "--token-file", &secret]);
        let answer = run(verify.args(["--discovery-token-ca-cert-hash", &token.pin]));
        let lines: Vec<_> = answer.lines().collect();
        assert_eq!((lines.len(), lines[0]), (2, format!("server: https://{}", cluster.address()).as_str()));
        let ca = format!("ca: {} {subject}, valid from ", token.pin);
        assert!(lines[1].starts_with(&ca), "{answer}, expected {ca}");
    }
}
