//! Kubeconfigs that `kubeadm kubeconfig user` makes: a client certificate of the cluster's CA, with a key of the cluster's
//! `encryptionAlgorithm`, RSA by default.

use std::fs;

use crate::harness::cluster::{AUTOMATIC, Cluster, Options};
use crate::support::{node::Node, process::run};

/// Makes a user who may request certificates, and the kubeconfig that knows him.
fn user(cluster: &Cluster) -> String {
    let group = AUTOMATIC;
    let mut kubeadm = cluster.tool("kubeadm");
    kubeadm.args(["kubeconfig", "user", "--client-name", "image", "--org", group]);
    let text = run(kubeadm.args(["--config", &cluster.scratch.file("init.yaml")]));
    let file = cluster.scratch.file("image.conf");
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn an_rsa_user_joins_a_node() {
    for algorithm in ["RSA-2048", "RSA-3072"] {
        let cluster = Cluster::start(Options { algorithm, ..Options::default() });
        let file = user(&cluster);
        for flag in ["--discovery-file", "--bootstrap-kubeconfig"] {
            let node = Node::named(&format!("user{}", flag.replace("--", "-")));
            // What is written without the flag is the kubelet's to take, and nodestrap's.
            for arguments in [vec![flag, &file], vec![flag, &file, "--with-client-cert"]] {
                let outcome = node.join_with(&arguments).run();
                outcome.expect(if arguments.len() == 2 { "prepared" } else { "joined" });
                if arguments.len() == 2 {
                    let written = node.at("/etc/kubernetes/bootstrap-kubelet.conf").display().to_string();
                    let whoami = ["--kubeconfig", &written, "auth", "whoami"];
                    let whoami = run(cluster.tool("kubectl").args(whoami));
                    assert!(whoami.contains("image") && whoami.contains(AUTOMATIC), "{whoami}");
                }
            }
            node.assert_joined(&cluster);
        }
    }
}

#[test]
fn a_p384_user_is_refused_by_the_type_of_the_key() {
    let cluster = Cluster::start(Options { algorithm: "ECDSA-P384", ..Options::default() });
    let file = user(&cluster);
    let node = Node::named("user-p384");
    let outcome = node.join_with(&["--discovery-file", &file]).run();
    outcome.expect("usage");
    assert!(
        outcome.stderr.contains("a key of type P-384, nodestrap supports P-256, and RSA"),
        "{}",
        outcome.stderr
    );
    assert_eq!(node.listing(), Vec::<String>::new());
}
