//! A walk-through of joining a worker with a bootstrap token to a cluster that was made without kubeadm.

use std::process::Command;

use super::{FILING, FIRST, RENEWAL, bind, bootstrap_kubeconfig, create, set_cluster, start};
use crate::harness::{
    cluster::{Cluster, Options},
    kubelet::Containerd,
    token::Token,
};
use crate::kubelet_check;
use crate::support::{
    node::Node,
    process::{run, wait_for},
    scratch::Scratch,
};

/// Its steps:
///
/// 1. The API server takes bootstrap tokens (`--enable-bootstrap-token-auth`), the controller manager runs the signer of
///    cluster-info and the cleaner of tokens. (Under longer names today.)
/// 2. RBAC: bootstrappers file requests, theirs are approved, and nodes' renewals are.
/// 3. A token by `openssl rand`, as a Secret with its expiry, both usages and two groups of its own. (The expiry lies in
///    2019; today's is tomorrow.)
/// 4. cluster-info made by `kubectl config set-cluster` and `kubectl create configmap`, and a role by which anonymous
///    users may read it; the controller signs it.
/// 5. A bootstrap kubeconfig for the worker by `kubectl config`.
/// 6. The worker's kubelet starts with that; `kubectl get nodes` lists it. (Docker's part is containerd's today.
///    nodestrap takes the file, or the cluster-info of step 4, and leaves kubeadm's paths instead of the walk-through's.)
#[test]
fn a_cluster_made_by_hand_is_joined_both_ways() {
    let cluster = Cluster::start(Options { algorithm: "ECDSA-P256", published: false, ..Options::default() });
    let scratch = Scratch::new();
    bind(&cluster, "create-csrs-for-bootstrapping", FILING, "system:bootstrappers");
    bind(&cluster, "auto-approve-csrs-for-group", FIRST, "system:bootstrappers");
    bind(&cluster, "auto-approve-renewals-for-nodes", RENEWAL, "system:nodes");
    let value = token_secret(&cluster);
    publish(&cluster, &scratch);
    let pin = format!("sha256:{}", key_digest(&cluster));
    let (address, flag) = (cluster.address(), "--discovery-token-ca-cert-hash");
    let arguments = [&address, "--token", &value, flag, &pin].map(str::to_owned).to_vec();
    let token = Token { arguments, value, pin };
    wait_for("the signature", || cluster.is_signed_for(&token).then_some(()));

    let found = Node::named("found-by-cluster-info");
    found.join(&token).with_cert().run().expect("joined");
    found.assert_joined(&cluster);

    let file = bootstrap_kubeconfig(&cluster, &scratch, &token.value);
    let given = Node::named("given-a-kubeconfig");
    start(&given, &["--bootstrap-kubeconfig", &file]).finish().expect("joined");
    given.assert_joined(&cluster);
    let runtime = Containerd::start();
    let _kubelet = kubelet_check::registers(&cluster, &given, &runtime);
}

/// Makes a token and its Secret, and returns it.
fn token_secret(cluster: &Cluster) -> String {
    let random = |bytes: &str| run(Command::new("openssl").args(["rand", "-hex", bytes])).trim().to_owned();
    let (id, secret) = (random("3"), random("8"));
    let expiration = run(Command::new("date").args(["-u", "-d", "1 day", "+%Y-%m-%dT%H:%M:%SZ"]));
    create(
        cluster,
        &SECRET.replace("ID", &id).replace("SECRET", &secret).replace("EXPIRATION", expiration.trim()),
    );
    format!("{id}.{secret}")
}

/// cluster-info and the right to read it.
fn publish(cluster: &Cluster, scratch: &Scratch) {
    let file = scratch.file("bootstrap-kubeconfig-public");
    set_cluster(cluster, &file);
    let content = format!("--from-file=kubeconfig={file}");
    let place = "--namespace=kube-public";
    cluster.kubectl(&["create", "configmap", "cluster-info", place, &content]);
    let what = ["--resource=configmaps", "--resource-name=cluster-info", "--verb=get,list,watch"];
    cluster.kubectl(&[&["create", "role", "anonymous-for-cluster-info", place][..], &what].concat());
    let who = ["--role=anonymous-for-cluster-info", "--user=system:anonymous"];
    cluster.kubectl(&[&["create", "rolebinding", "anonymous-for-cluster-info", place][..], &who].concat());
}

/// SHA-256 of the CA's public key, by the commands of kubeadm's documentation.
fn key_digest(cluster: &Cluster) -> String {
    let ca = cluster.scratch.file("pki/ca.crt");
    let pipe = "openssl x509 -pubkey -noout -in \"$1\" | openssl pkey -pubin -outform der | sha256sum";
    let line = run(Command::new("sh").args(["-euc", pipe, "sh", &ca]));
    line.split(' ').next().unwrap().to_owned()
}

const SECRET: &str = "\
apiVersion: v1
kind: Secret
metadata:
  name: bootstrap-token-ID
  namespace: kube-system
type: bootstrap.kubernetes.io/token
stringData:
  description: a worker's
  token-id: 'ID'
  token-secret: 'SECRET'
  expiration: 'EXPIRATION'
  usage-bootstrap-authentication: 'true'
  usage-bootstrap-signing: 'true'
  auth-extra-groups: system:bootstrappers:worker,system:bootstrappers:ingress
";
