//! A vendor's guide to a worker's authentication: the kubelet's bootstrap simulated by hand, or `kubeadm join`.
//!
//! 1. A bootstrap token as a Secret with its expiry in 24 hours, or `kubeadm token create --print-join-command`.
//! 2. By hand, on the worker: the CA out of cluster-info, unverified, into ca.crt; a bootstrap-kubelet.conf.
//! 3. A client key (RSA) and its request by OpenSSL, submitted with kubectl and the token, approved by an
//!    administrator, retrieved, stored as the kubelet stores it.
//! 4. The same for the serving certificate, also by the token.
//! 5. Or `kubeadm join` with the token, by a configuration file or by flags.
//!
//! None of its API versions and flags is gone. nodestrap joins from what step 2 has left, and does all of step 3 by
//! itself; for step 4 it asks as the node, as approvers expect. By flags: `joins::the_printed_join_line_works`.

use std::{fs, path::Path, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{create, kubectl_with, start};
use crate::harness::{
    cluster::{AUTOMATIC, Cluster},
    components::programs,
    node::pem_blocks,
};
use crate::support::{
    node::Node,
    process::{run, wait_for},
    scratch::Scratch,
};

/// The guide's FULL_HOST_NAME.
const NAME: &str = "worker-1.my-first-cluster.example.com";

/// Both certificates are what one signer makes of one request, and both disks work: the one that was made ready by hand
/// and the one on which all was done by hand.
#[test]
fn a_bootstrap_by_hand_and_ours_come_to_the_same() {
    let cluster = crate::shared();
    let token = token_secret(&cluster, "fjt9ex", "lwzqgdlvoxtqk4yw");
    let theirs = Node::named(NAME);
    step(&cluster, &theirs, &token, PREPARE);
    step(&cluster, &theirs, &token, &REQUEST.replace("KIND", "client").replace("SIGNER", CLIENT_SIGNER));
    let request = "worker-1-kubelet-client";
    cluster.kubectl(&["certificate", "approve", request]);
    issued(&cluster, &token, request);
    step(&cluster, &theirs, &token, RETRIEVE);

    let ours = Node::named(NAME);
    step(&cluster, &ours, &token, PREPARE);
    let file = ours.at("/etc/kubernetes/bootstrap-kubelet.conf").display().to_string();
    start(&ours, &["--bootstrap-kubeconfig", &file]).finish().expect("joined");
    ours.assert_joined(&cluster);
    let facts = |node: &Node| {
        let mut command = Command::new("openssl");
        command.args(["x509", "-noout", "-subject", "-issuer", "-ext", "extendedKeyUsage", "-in"]);
        run(command.arg(node.identity_file()))
    };
    assert_eq!(facts(&ours), facts(&theirs));
    assert_eq!(ours.read("/etc/kubernetes/pki/ca.crt"), theirs.read("/etc/kubernetes/pki/ca.crt"));
    theirs.kubectl(&cluster, &["auth", "whoami"]);

    // By hand there is no kubelet.conf, which is what the kubelet itself would add.
    let by_hand = theirs.identity_file();
    let file = theirs.at("/etc/kubernetes/bootstrap-kubelet.conf").display().to_string();
    start(&theirs, &["--bootstrap-kubeconfig", &file]).finish().expect("joined");
    theirs.kubectl(&cluster, &["auth", "whoami"]);
    assert!(theirs.at("/etc/kubernetes/kubelet.conf").exists() && by_hand.exists());
}

/// Step 4: the API server takes a node's serving request from a token, with whatever hosts it names.
#[test]
fn a_token_may_request_the_serving_certificate() {
    let cluster = crate::shared();
    let token = token_secret(&cluster, "serv3d", "lwzqgdlvoxtqk4yx");
    let node = Node::named(NAME);
    step(&cluster, &node, &token, PREPARE);
    step(&cluster, &node, &token, &REQUEST.replace("KIND", "server").replace("SIGNER", SERVING_SIGNER));
    let request = "worker-1-kubelet-server";
    assert_eq!(cluster.json(&["get", "csr", request])["spec"]["username"], "system:bootstrap:serv3d");
    cluster.kubectl(&["certificate", "approve", request]);
    let certificate = issued(&cluster, &token, request);
    let scratch = Scratch::new();
    fs::write(scratch.file("server.pem"), STANDARD.decode(certificate).unwrap()).unwrap();
    let [(tag, _)] = &pem_blocks(Path::new(&scratch.file("server.pem")))[..] else {
        panic!("one certificate")
    };
    assert_eq!(tag, "CERTIFICATE");
}

/// Step 5 with a file: kubeadm's configuration of a worker.
#[test]
fn a_join_by_kubeadms_configuration() {
    let cluster = crate::shared();
    let token = cluster.token();
    let node = Node::named("worker-2.my-first-cluster.example.com");
    let scratch = Scratch::new();
    let config = CONFIG
        .replace("ENDPOINT", &token.arguments[0])
        .replace("TOKEN", &token.value)
        .replace("PIN", &token.pin)
        .replace("NAME", &node.name);
    fs::write(scratch.file("kubeadm.yaml"), config).unwrap();
    start(&node, &["--strict", "--config", &scratch.file("kubeadm.yaml")]).finish().expect("joined");
    node.assert_joined_with_flags(&cluster);
}

/// Step 1 by hand.
fn token_secret(cluster: &Cluster, id: &str, secret: &str) -> String {
    let expiration = run(Command::new("date").args(["-u", "-d", "24 hours", "+%Y-%m-%dT%H:%M:%SZ"]));
    let data: String = [
        ("auth-extra-groups", AUTOMATIC),
        ("description", "kubeadm bootstrap token"),
        ("expiration", expiration.trim()),
        ("token-id", id),
        ("token-secret", secret),
        ("usage-bootstrap-authentication", "true"),
        ("usage-bootstrap-signing", "true"),
    ]
    .map(|(name, value)| format!("  {name}: {}\n", STANDARD.encode(value)))
    .concat();
    let head = "apiVersion: v1\nkind: Secret\ntype: bootstrap.kubernetes.io/token\n";
    let place = format!("metadata: {{name: bootstrap-token-{id}, namespace: kube-system}}\n");
    create(cluster, &format!("{head}{place}data:\n{data}"));
    format!("{id}.{secret}")
}

/// Runs commands of the guide for a worker, whose `/` is `$ROOT`.
fn step(cluster: &Cluster, node: &Node, token: &str, script: &str) {
    let path = format!("{}:{}", programs().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).env("PATH", path).env("ROOT", node.root());
    command.env("API_SERVER", format!("https://{}", cluster.address())).env("BOOTSTRAP_TOKEN", token);
    run(command.env("HOST_NAME", "worker-1").env("FULL_HOST_NAME", NAME).env("HOME", node.root()));
}

/// Waits for a request's certificate, asking with the token: base64.
fn issued(cluster: &Cluster, token: &str, request: &str) -> String {
    wait_for("the certificate", || {
        let path = ["get", "csr", request, "-o", "jsonpath={.status.certificate}"];
        Some(run(kubectl_with(cluster, token).args(path))).filter(|text| !text.is_empty())
    })
}

const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const SERVING_SIGNER: &str = "kubernetes.io/kubelet-serving";

/// Step 2.
const PREPARE: &str = r#"
mkdir -p "$ROOT/etc/kubernetes/pki" "$ROOT/var/lib/kubelet/pki"
ca=$(curl --noproxy '*' -sk "$API_SERVER/api/v1/namespaces/kube-public/configmaps/cluster-info" |
    jq -r .data.kubeconfig | grep certificate-authority-data | awk '{print $2}')
base64 -d <<<"$ca" >"$ROOT/etc/kubernetes/pki/ca.crt"
cat <<EOF >"$ROOT/etc/kubernetes/bootstrap-kubelet.conf"
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: $ca
    server: $API_SERVER
  name: my-first-cluster
contexts:
- context:
    cluster: my-first-cluster
    user: tls-bootstrap-token-user
  name: tls-bootstrap-token-user@kubernetes
current-context: tls-bootstrap-token-user@kubernetes
kind: Config
preferences: {}
users:
- name: tls-bootstrap-token-user
  user:
    token: $BOOTSTRAP_TOKEN
EOF
"#;

/// Steps 3 and 4, up to the request.
const REQUEST: &str = r#"
cd "$ROOT/var/lib/kubelet/pki"
cat <<EOF >KIND.conf
[ req ]
prompt = no
default_md = sha256
distinguished_name = dn
req_extensions = KIND
[ dn ]
CN = system:node:$FULL_HOST_NAME
O = system:nodes
[ client ]
extendedKeyUsage = clientAuth
[ server ]
subjectAltName = DNS:localhost, DNS:$HOST_NAME, DNS:$FULL_HOST_NAME, IP:127.0.0.1, IP:::1
EOF
openssl genrsa -out kubelet-KIND-key.pem 2048
openssl req -new -key kubelet-KIND-key.pem -out KIND.csr -config KIND.conf
kubectl --kubeconfig="$ROOT/etc/kubernetes/bootstrap-kubelet.conf" apply -f - <<EOF
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata:
  name: $HOST_NAME-kubelet-KIND
spec:
  request: $(base64 -w0 KIND.csr)
  signerName: SIGNER
  usages: [digital signature, key encipherment, KIND auth]
EOF
"#;

/// Step 3, from the certificate on.
const RETRIEVE: &str = r#"
cd "$ROOT/var/lib/kubelet/pki"
kubectl --kubeconfig="$ROOT/etc/kubernetes/bootstrap-kubelet.conf" get csr "$HOST_NAME-kubelet-client" \
    -o jsonpath='{.status.certificate}' | base64 -d >kubelet-client.pem
pair=kubelet-client-$(date -u '+%Y-%m-%d-%H-%M-%S').pem
cat kubelet-client.pem kubelet-client-key.pem >"$pair"
ln -sf "/var/lib/kubelet/pki/$pair" kubelet-client-current.pem
"#;

const CONFIG: &str = "\
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken:
    apiServerEndpoint: ENDPOINT
    token: TOKEN
    caCertHashes:
    - PIN
nodeRegistration:
  name: NAME
  criSocket: unix:///var/run/containerd/containerd.sock
  imagePullPolicy: IfNotPresent
";
