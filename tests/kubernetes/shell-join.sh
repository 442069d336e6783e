#!/bin/sh
# Joins a node with what a distribution has at hand: curl, jq, openssl and kubectl. The third alternative in the benchmark.
#
# It does what nodestrap does on its happy path, and checks what can be checked with these tools: the signature of
# cluster-info, the pin, and TLS against the pinned CA. It has no retries, and no way back after a crash.
#
# usage: shell-join.sh HOST:PORT TOKEN sha256:PIN NODE-NAME ROOT
set -eu
server=$1 token=$2 pin=${3#sha256:} name=$4 root=$5
id=${token%.*} secret=${token#*.}
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

# 1. Discovery, over a connection that nothing vouches for yet.
path=/api/v1/namespaces/kube-public/configmaps/cluster-info
curl -sSf --insecure "https://$server$path" >"$work/cluster-info.json"
jq -j .data.kubeconfig "$work/cluster-info.json" >"$work/kubeconfig"

# 2. Trust: the token's signature over the kubeconfig, the pin, and then the connection.
signed=$(printf '{"alg":"HS256","kid":"%s"}' "$id" | base64url).$(base64url <"$work/kubeconfig")
signature=$(printf %s "$signed" | openssl dgst -sha256 -hmac "$secret" -binary | base64url)
published=$(jq -r --arg key "jws-kubeconfig-$id" '.data[$key]' "$work/cluster-info.json")
[ "$published" = "${signed%.*}..$signature" ] || { echo 'the signature is wrong' >&2; exit 1; }
ca_data=$(sed -n 's/^ *certificate-authority-data: //p' "$work/kubeconfig")
endpoint=$(sed -n 's/^ *server: //p' "$work/kubeconfig")
printf %s "$ca_data" | openssl base64 -d -A >"$work/ca.crt"
found=$(openssl x509 -in "$work/ca.crt" -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r)
[ "${found%% *}" = "$pin" ] || { echo 'the CA is not the pinned one' >&2; exit 1; }
curl -sSf --cacert "$work/ca.crt" "https://$server$path" | jq -j .data.kubeconfig | cmp -s - "$work/kubeconfig" ||
    { echo 'the verified connection gives another cluster-info' >&2; exit 1; }

# 3. The discovery files.
pki=$root/var/lib/kubelet/pki
mkdir -p "$root/etc/kubernetes/pki" "$pki"
install -m 644 "$work/ca.crt" "$root/etc/kubernetes/pki/ca.crt"
bootstrap=$root/etc/kubernetes/bootstrap-kubelet.conf
cat >"$bootstrap" <<EOF
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: $ca_data
    server: $endpoint
  name: kubernetes
contexts:
- context:
    cluster: kubernetes
    user: tls-bootstrap-token-user
  name: tls-bootstrap-token-user@kubernetes
current-context: tls-bootstrap-token-user@kubernetes
kind: Config
users:
- name: tls-bootstrap-token-user
  user:
    token: $token
EOF

# 4. Key, request, certificate.
openssl ecparam -name prime256v1 -genkey -noout -out "$work/key.pem"
openssl req -new -key "$work/key.pem" -subj "/O=system:nodes/CN=system:node:$name" -out "$work/request.pem"
jq -n --rawfile request "$work/request.pem" '{
    apiVersion: "certificates.k8s.io/v1", kind: "CertificateSigningRequest", metadata: {generateName: "csr-"},
    spec: {request: ($request | @base64), signerName: "kubernetes.io/kube-apiserver-client-kubelet",
           usages: ["digital signature", "client auth"]}}' >"$work/csr.json"
csr=$(kubectl --kubeconfig "$bootstrap" create -f "$work/csr.json" -o name)
kubectl --kubeconfig "$bootstrap" wait --for='jsonpath={.status.certificate}' --timeout=5m "$csr" >&2
kubectl --kubeconfig "$bootstrap" get "$csr" -o 'jsonpath={.status.certificate}' | openssl base64 -d -A >"$work/node.crt"

# 5. The identity, and the file that says that all is there.
dated=kubelet-client-$(date +%Y-%m-%d-%H-%M-%S).pem
cat "$work/node.crt" "$work/key.pem" >"$pki/$dated"
ln -sf "$dated" "$pki/kubelet-client-current.pem"
sync "$pki/$dated"
cat >"$root/etc/kubernetes/kubelet.conf" <<EOF
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: $ca_data
    server: $endpoint
  name: default-cluster
contexts:
- context:
    cluster: default-cluster
    namespace: default
    user: default-auth
  name: default-context
current-context: default-context
kind: Config
users:
- name: default-auth
  user:
    client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem
    client-key: /var/lib/kubelet/pki/kubelet-client-current.pem
EOF
sync "$root/etc/kubernetes/kubelet.conf"
rm "$bootstrap"
