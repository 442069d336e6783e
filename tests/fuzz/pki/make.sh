#!/usr/bin/env bash
# The certificates of the fuzz targets' cluster: a CA, its API server at localhost, and a client certificate for the key
# of tests/vectors and the node n1. Valid for a hundred years.
set -euo pipefail
cd "$(dirname "$0")"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
days=(-days 36500)
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$tmp/ca.key" -out ca.pem \
    -subj /CN=kubernetes "${days[@]}" -addext basicConstraints=critical,CA:TRUE \
    -addext keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.pem \
    -CA ca.pem -CAkey "$tmp/ca.key" -subj /CN=kube-apiserver "${days[@]}" -addext basicConstraints=critical,CA:FALSE \
    -addext extendedKeyUsage=serverAuth -addext subjectAltName=DNS:localhost,DNS:kubernetes,IP:127.0.0.1
openssl req -x509 -key ../../vectors/sec1-p256.pem -out node.pem -CA ca.pem -CAkey "$tmp/ca.key" \
    -subj /O=system:nodes/CN=system:node:n1 "${days[@]}" -addext basicConstraints=critical,CA:FALSE \
    -addext keyUsage=critical,digitalSignature -addext extendedKeyUsage=clientAuth
base64 -w 0 ca.pem >ca.base64
# What a node asks with: for a client certificate, and for a serving one.
request() { openssl req -new -key ../../vectors/sec1-p256.pem -subj /O=system:nodes/CN=system:node:n1 "$@"; }
request -out client.csr
request -out serving.csr -addext subjectAltName=DNS:n1,IP:10.0.0.5,IP:fd00::5
