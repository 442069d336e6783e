#!/bin/bash
# dracut's module: takes nodestrap into the initramfs, with a network. Copy the folder to /usr/lib/dracut/modules.d/, and
# ask for it: add_dracutmodules+=" nodestrap " in /etc/dracut.conf.d/nodestrap.conf.

# Only where it is asked for.
check() {
    require_binaries nodestrap || return 1
    [ -r /usr/lib/nodestrap/join-root.sh ] || return 1
    return 255
}

depends() {
    echo network
}

# shellcheck disable=SC2154
install() {
    inst_simple "$(find_binary nodestrap)" /usr/bin/nodestrap
    inst_simple /usr/lib/nodestrap/join-root.sh
    inst_hook cmdline 15 "$moddir/ask-for-network.sh"
    inst_hook initqueue/timeout 50 "$moddir/give-up.sh"
    inst_hook pre-pivot 50 "$moddir/join.sh"
}
