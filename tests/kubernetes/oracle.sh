#!/usr/bin/env bash
# Builds, once, the program that answers what the newest Kubernetes of versions/ makes of an input, and prints its path.
set -euo pipefail
cd "$(dirname "$0")/versions"
module=$(printf '%s\n' v* | sort -V | tail -n 1)
cd "$module"

key=$(cat go.mod go.sum oracle/* ../../oracle.sh | sha256sum | cut -c1-12)
out=${XDG_CACHE_HOME:-$HOME/.cache}/nodestrap/oracle/$module-$key
if [ ! -e "$out" ]; then
    mkdir -p "${out%/*}"
    echo "building the oracle of $module into $out (minutes when the Go cache is cold)" >&2
    go build -trimpath -ldflags '-s -w' -o "$out.$$" ./oracle >&2
    mv "$out.$$" "$out"
fi
echo "$out"
