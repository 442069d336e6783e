#!/usr/bin/env bash
# Builds, once, the program that answers what Kubernetes makes of an input (oracle/), and prints its path.
#
# KUBERNETES names one of the folders in versions/, as in 1.36; without it, it is the newest there.
set -euo pipefail
cd "$(dirname "$0")"
newest=$(printf '%s\n' versions/v* | sort -V | tail -n 1)
module=${KUBERNETES:+versions/v$KUBERNETES}
module=${module:-$newest}
[ -e "$module/go.mod" ] || { echo "Kubernetes ${KUBERNETES-} is not in versions/" >&2; exit 1; }

key=$(cat "$module"/go.* oracle/* oracle.sh | sha256sum | cut -c1-12)
out=${XDG_CACHE_HOME:-$HOME/.cache}/nodestrap/oracle/${module#versions/}-$key
if [ ! -e "$out" ]; then
    mkdir -p "${out%/*}"
    echo "building the oracle of ${module#versions/} into $out (minutes when the Go cache is cold)" >&2
    # A package has to lie below its go.mod.
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    cp -r oracle "$module"/go.* "$work/"
    (cd "$work" && go build -trimpath -ldflags '-s -w' -o "$out.$$" ./oracle >&2)
    mv "$out.$$" "$out"
fi
echo "$out"
