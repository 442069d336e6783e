#!/usr/bin/env bash
# Builds a root file system of Debian, once, and prints the folder that holds it:
#   bookworm (systemd 252), trixie (systemd 257), forky (Debian testing, systemd 262), cloud and cloud-forky (with
#   cloud-init), selinux (bookworm with Debian's policy), lint (what finds fault with packages, of testing), ignition (its
#   package, unpacked)
#
# The folder lies outside the clone and is named by what goes into it.
set -euo pipefail
name=$1
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nodestrap/images

suite=$name
packages=systemd-sysv,udev,iproute2,kmod,dbus
case $name in
cloud) suite=bookworm packages=$packages,cloud-init ;;
cloud-forky) suite=forky packages=$packages,cloud-init ;;
lint) suite=forky packages=lintian,rpmlint,rpm ;;
selinux) suite=bookworm packages=$packages,selinux-policy-default,policycoreutils ;;
esac
options=()
# A mirror of testing may be older than it says that it is good for.
if [ "$suite" = forky ]; then options=(--aptopt='Acquire::Check-Valid-Until "false"'); fi
# What is above chooses, what is below builds.
key=$name-$({ echo "$suite $packages ${options[*]}"; sed -n '/^mkdir/,$p' "$0"; } | sha256sum | cut -c1-12)
out=$cache/$key

mkdir -p "$cache"
exec 9>"$out.lock"
flock 9

if [ ! -e "$out" ] && [ "$name" = ignition ]; then
    download=$(mktemp -d)
    (cd "$download" && apt-get download -q ignition >&2)
    dpkg -x "$download"/ignition_*.deb "$out.new"
    rm -r "$download"
    mv "$out.new" "$out"
elif [ ! -e "$out" ]; then
    rm -rf "$out.new"
    echo "building the root file system $name into $out (half a minute to a minute)" >&2
    mmdebstrap --variant=minbase --include="$packages" --format=directory "${options[@]}" \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        "$suite" "$out.new" >&2
    # Nothing to load or to mount in a container, a journal that outlives it, and no name or identity of this machine.
    rm -rf "$out.new/lib/modules" "$out.new/etc/fstab" "$out.new/etc/hostname" "$out.new/etc/resolv.conf"
    mkdir -p "$out.new/var/log/journal"
    : >"$out.new/etc/machine-id"
    mv "$out.new" "$out"
fi
echo "$out"
