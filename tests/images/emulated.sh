#!/usr/bin/env bash
# Fetches or builds what emulated machines take, once, and prints the folder that holds it:
#   amd64, arm64             Debian's cloud kernel (vmlinuz, config, lib/modules) and a static busybox
#   initramfs-tools, dracut  a root in which one of them runs, with the modules of amd64's kernel
#   dracut-forky             the same of Debian testing
#
# The folder lies outside the clone and is named by what goes into it.
set -euo pipefail
cd "$(dirname "$0")"
name=$1
key=$name-$(sha256sum emulated.sh | cut -c1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nodestrap/images
out=$cache/$key

# The newest kernel of that kind: the package of this name is empty and depends on it.
kernel() {
    local apt=$out.new/apt options
    mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/etc"
    : >"$apt/status"
    options=(-o APT::Sandbox::User=root -o "APT::Architecture=$name" -o "APT::Architectures=$name"
        -o "Dir::State=$apt" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt")
    apt-get "${options[@]}" update -q
    package=$(apt-cache "${options[@]}" depends "linux-image-cloud-$name" | sed -n 's/^ *Depends: *//p')
    (cd "$apt" && apt-get "${options[@]}" download "$package" busybox-static)
    for file in "$apt"/*.deb; do dpkg-deb -x "$file" "$out.new"; done
    mv "$out.new"/boot/vmlinuz-* "$out.new/vmlinuz"
    mv "$out.new/bin/busybox" "$out.new/busybox"
    mv "$out.new"/boot/config-* "$out.new/config"
    depmod -b "$out.new" "$(ls "$out.new/lib/modules")"
    rm -rf "$apt" "$out.new"/{boot,bin,usr,etc}
}

# $1: suite, $2: packages, then more of mmdebstrap's options.
root() {
    local suite=$1 packages=$2
    shift 2
    mmdebstrap --variant=minbase --include="$packages" --format=directory "$@" \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        "$suite" "$out.new"
    local kernel
    kernel=$(./emulated.sh amd64)
    cp -r "$kernel/lib/modules" "$out.new/lib/"
    # What mkinitramfs asks for the kernel's ways of decompressing.
    cp "$kernel/config" "$out.new/boot/config-$(ls "$kernel/lib/modules")"
}

mkdir -p "$cache"
exec 9>"$out.lock"
flock 9
if [ ! -e "$out" ]; then
    rm -rf "$out.new"
    echo "making $name in $out (up to a minute)" >&2
    case $name in
    amd64 | arm64) kernel ;;
    initramfs-tools) root bookworm initramfs-tools,busybox,kmod,udev,zstd,e2fsprogs ;;
    # Without dbus its module for networkd cannot be there, without procps network-legacy silently drops out, and without curl
    # Ignition's url-lib.
    dracut) root bookworm dracut,dracut-network,dbus,curl,isc-dhcp-client,iputils-arping,procps,systemd-sysv,udev,kmod,e2fsprogs ;;
    # A mirror of testing may be older than it says that it is good for.
    dracut-forky)
        root forky dracut,dracut-network,dbus,systemd-sysv,udev,kmod,e2fsprogs,iproute2,procps,iputils-arping \
            --aptopt='Acquire::Check-Valid-Until "false"'
        ;;
    *) echo "no such thing: $name" >&2 && exit 2 ;;
    esac >&2
    mv "$out.new" "$out"
fi
echo "$out"
