#!/usr/bin/env bash
# Builds a real control plane and kubelet from Go modules, once, and prints the folder that holds them.
#
# KUBERNETES names one of the folders in versions/, as in 1.34; without it, it is the newest there.
#
# The folder lies outside the clone and is named by what goes into it, so that a fresh clone, or the same clone
# after a change elsewhere, does not build them again.
set -euo pipefail
cd "$(dirname "$0")/versions"

known=$(printf '%s\n' v* | sort -V)
module=${KUBERNETES:+v$KUBERNETES}
module=${module:-$(tail -n 1 <<<"$known")}
if [ ! -e "$module/go.mod" ]; then
    echo "Kubernetes $KUBERNETES is not built here; KUBERNETES is one of:" ${known//v/} >&2
    exit 1
fi
cd "$module"

version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
key=$version-$(cat go.mod go.sum ../../build.sh | sha256sum | cut -c1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nodestrap/kubernetes
out=$cache/$key

if [ ! -e "$out/complete" ]; then
    mkdir -p "$out"
    pkg=k8s.io/component-base/version
    IFS=. read -r major minor _ <<<"${version#v}"
    ldflags="-s -w -X $pkg.gitVersion=$version -X $pkg.gitMajor=$major -X $pkg.gitMinor=$minor -X $pkg.gitTreeState=clean"
    echo "building Kubernetes $version into $out (minutes when the Go cache is cold)" >&2
    go build -trimpath -ldflags "$ldflags" -o "$out/" \
        k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kubeadm,kubelet,kubectl} >&2
    go build -trimpath -ldflags '-s -w' -o "$out/etcd" go.etcd.io/etcd/server/v3 >&2
    touch "$out/complete"
fi
echo "$out"
