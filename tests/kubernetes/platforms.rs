//! Bootstrap kubeconfigs as platforms write them, each against the real control plane: the kubelet there would take it, and
//! so does nodestrap, with the paths of that platform.

use std::{fs, process::Command};

use crate::harness::cluster::Cluster;
use crate::support::{node::Node, process::run, scratch::Scratch};

/// A platform, and its file with SERVER, CA_FILE or CA_DATA, and TOKEN.
const PLATFORMS: [(&str, &str); 6] = [
    ("gardener", GARDENER),
    ("aks-byo", AKS),
    ("bottlerocket", BOTTLEROCKET),
    ("talos", TALOS),
    ("deckhouse", DECKHOUSE),
    ("impersonates-nobody", IMPERSONATES_NOBODY),
];

/// The file with this cluster's values in it.
fn filled(cluster: &Cluster, kubeconfig: &str, token: &str) -> String {
    let ca = cluster.scratch.file("pki/ca.crt");
    let data = run(Command::new("base64").args(["-w0", &ca]));
    let text = kubeconfig.replace("SERVER", &format!("https://{}", cluster.address()));
    text.replace("CA_DATA", &data).replace("CA_FILE", &ca).replace("TOKEN", token)
}

fn joins(cluster: &Cluster, name: &str, file: &str) {
    let node = Node::named(name);
    let arguments = ["--with-client-cert", "--bootstrap-kubeconfig", file];
    node.join_with(&arguments).run().expect("joined");
    node.assert_joined(cluster);
}

#[test]
fn bootstrap_kubeconfigs_of_platforms_join() {
    let cluster = crate::shared();
    let (scratch, token) = (Scratch::new(), cluster.token().value);
    for (name, kubeconfig) in PLATFORMS {
        let file = scratch.file(name);
        fs::write(&file, filled(&cluster, kubeconfig, &token)).unwrap();
        // client-go reads the same: whose it is.
        let mut whoami = cluster.tool("kubectl");
        let user = run(whoami.args(["--kubeconfig", &file, "auth", "whoami"]));
        assert!(user.contains("system:bootstrap:"), "{name}: {user}");
        joins(&cluster, name, &file);
    }
}

/// k0s hands out base64 of gzip: `base64 -d | gunzip`, and the pipe may be the file.
#[test]
fn a_k0s_token_joins_once_it_is_unpacked() {
    let cluster = crate::shared();
    let (scratch, token) = (Scratch::new(), cluster.token().value);
    let (file, packed) = (scratch.file("kubeconfig"), scratch.file("token"));
    fs::write(&file, filled(&cluster, K0S, &token)).unwrap();
    let pack = "gzip -9 <\"$1\" | base64 -w0 >\"$2\"; base64 -d <\"$2\" | gunzip >\"$1\"";
    run(Command::new("sh").args(["-euc", pack, "sh", &file, &packed]));
    joins(&cluster, "k0s", &file);
}

/// A service account's token, a person who approves, and the kubelet's files at other paths, where kubelet.conf is another
/// kind of file.
#[test]
fn an_openshift_kubeconfig_joins_at_its_own_paths() {
    const CONFIGURATION: &str = "/etc/kubernetes/kubelet.conf";
    let cluster = crate::shared();
    let (scratch, place) = (Scratch::new(), "openshift-machine-config-operator");
    cluster.kubectl(&["create", "namespace", place]);
    cluster.kubectl(&["-n", place, "create", "serviceaccount", "node-bootstrapper"]);
    let account = format!("--serviceaccount={place}:node-bootstrapper");
    let role = "--clusterrole=system:node-bootstrapper";
    cluster.kubectl(&["create", "clusterrolebinding", "system-bootstrap-node-bootstrapper", role, &account]);
    let token = cluster.kubectl(&["-n", place, "create", "token", "node-bootstrapper"]);
    let file = scratch.file("kubeconfig");
    fs::write(&file, filled(&cluster, OPENSHIFT, token.trim())).unwrap();

    let node = Node::named("openshift");
    fs::create_dir_all(node.at("/etc/kubernetes")).unwrap();
    let own = "kind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\n";
    fs::write(node.at(CONFIGURATION), own).unwrap();
    let arguments = [
        "--with-client-cert",
        "--bootstrap-kubeconfig",
        &file,
        "--kubeconfig=/var/lib/kubelet/kubeconfig",
        "--ca-cert-path=/etc/kubernetes/ca.crt",
    ];
    let mut running = node.join_with(&arguments).start();
    cluster.kubectl(&["certificate", "approve", &running.pending_request()]);
    running.finish().expect("joined");
    node.assert_known_by(&cluster, "/etc/kubernetes/ca.crt");
    assert_eq!(node.read(CONFIGURATION), own);
    assert!(node.at("/var/lib/kubelet/kubeconfig").exists());
}

/// The platforms whose kubeconfig is for a program of their own are refused by the field that says so.
#[test]
fn a_kubeconfig_that_runs_a_program_is_refused_by_name() {
    let cluster = crate::shared();
    let scratch = Scratch::new();
    let file = scratch.file("kubeconfig");
    fs::write(&file, filled(&cluster, EKS, "")).unwrap();
    let node = Node::named("eks");
    let arguments = ["--with-client-cert", "--bootstrap-kubeconfig", &file];
    let outcome = node.join_with(&arguments).run();
    outcome.expect("usage");
    assert!(outcome.stderr.contains("exec"), "{}", outcome.stderr);
    assert_eq!(node.listing(), Vec::<String>::new());
}

/// A token for each machine, and the CA in a file.
const GARDENER: &str = "\
---
apiVersion: v1
kind: Config
current-context: kubelet-bootstrap@default
clusters:
- cluster:
    certificate-authority: CA_FILE
    server: SERVER
  name: default
contexts:
- context:
    cluster: default
    user: kubelet-bootstrap
  name: kubelet-bootstrap@default
users:
- name: kubelet-bootstrap
  user:
    as-user-extra: {}
    token: \"TOKEN\"
";

const AKS: &str = "\
apiVersion: v1
kind: Config
clusters:
- name: localcluster
  cluster:
    certificate-authority: CA_FILE
    server: SERVER
users:
- name: kubelet-bootstrap
  user:
    token: \"TOKEN\"
contexts:
- context:
    cluster: localcluster
    user: kubelet-bootstrap
  name: bootstrap-context
current-context: bootstrap-context
";

const BOTTLEROCKET: &str = "\
---
apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority: \"CA_FILE\"
    server: \"SERVER\"
  name: kubernetes
contexts:
- context:
    cluster: kubernetes
    user: kubelet
  name: kubelet
current-context: kubelet
users:
- name: kubelet
  user:
    token: \"TOKEN\"
";

/// The context has no name, and none is said to be current: that is the one without a name.
const TALOS: &str = "\
apiVersion: v1
kind: Config
clusters:
- name: local
  cluster:
    server: SERVER
    certificate-authority-data: CA_DATA
users:
- name: kubelet
  user:
    token: TOKEN
contexts:
- context:
    cluster: local
    user: kubelet
";

/// The server has a path of nothing, and the user impersonates nobody.
const DECKHOUSE: &str = "\
apiVersion: v1
kind: Config
current-context: kubelet-bootstrap@default
clusters:
- cluster:
    certificate-authority-data: CA_DATA
    server: SERVER/
  name: default
contexts:
- context:
    cluster: default
    user: kubelet-bootstrap
  name: kubelet-bootstrap@default
users:
- name: kubelet-bootstrap
  user:
    as-user-extra: {}
    token: TOKEN
";

/// All that a program writes which leaves out nothing.
const IMPERSONATES_NOBODY: &str = "\
apiVersion: v1
kind: Config
preferences: {}
extensions: []
clusters:
- name: kubernetes
  cluster: {server: \"SERVER\", certificate-authority-data: CA_DATA, insecure-skip-tls-verify: false, extensions: []}
contexts:
- name: default
  context: {cluster: kubernetes, user: kubelet, namespace: '', extensions: []}
current-context: default
users:
- name: kubelet
  user: {token: TOKEN, as: '', as-uid: '', as-groups: [], as-user-extra: {}, username: '', password: '', extensions: []}
";

const K0S: &str = "\
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: CA_DATA
    server: SERVER
  name: k0s
contexts:
- context:
    cluster: k0s
    user: kubelet-bootstrap
  name: k0s
current-context: k0s
kind: Config
preferences: {}
users:
- name: kubelet-bootstrap
  user:
    token: TOKEN
";

const OPENSHIFT: &str = "\
clusters:
- cluster:
    certificate-authority-data: CA_DATA
    server: SERVER
  name: local
contexts:
- context:
    cluster: local
    user: kubelet
  name: kubelet
current-context: kubelet
preferences: {}
users:
- name: kubelet
  user:
    token: TOKEN
";

const EKS: &str = "\
apiVersion: v1
kind: Config
clusters:
- name: kubernetes
  cluster:
    certificate-authority: CA_FILE
    server: SERVER
current-context: kubelet
contexts:
- name: kubelet
  context:
    cluster: kubernetes
    user: kubelet
users:
- name: kubelet
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      command: /usr/bin/aws-iam-authenticator
      args: [token, -i, cluster, --region, eu-central-1]
";
