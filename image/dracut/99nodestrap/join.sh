#!/bin/sh
# Joins this machine into the root that is about to become /, before anything in it runs.
#
# The settings are on the kernel command line: nodestrap.join="…" or nodestrap.config=BASE64, and ip= for the network as
# in dracut.cmdline(7). Without them, or on a node that has joined, nothing is done. What fails is shown on the console
# and never stops the boot; nodestrap.service, where it is enabled, goes on later.

nodestrap_join() {
    case $(getcmdline) in *nodestrap.*) ;; *) return ;; esac
    # shellcheck disable=SC2154
    if [ -s "$NEWROOT/etc/kubernetes/kubelet.conf" ]; then return; fi

    restore=''
    while read -r _ place _ options _; do
        case $place,$options in "$NEWROOT,ro" | "$NEWROOT,ro,"*) restore=yes ;; esac
    done </proc/mounts
    if [ -n "$restore" ]; then mount -o remount,rw "$NEWROOT"; fi

    # The same as nodestrap.service reads.
    NODESTRAP_ARGS=''
    # shellcheck source=/dev/null
    if [ -r "$NEWROOT/etc/default/nodestrap" ]; then . "$NEWROOT/etc/default/nodestrap"; fi
    # shellcheck disable=SC2086
    nodestrap join --with-client-cert --root="$NEWROOT" --report=/run/initramfs/nodestrap.json --timeout=2m \
        $NODESTRAP_ARGS ||
        echo "nodestrap: not joined before the boot, exit code $?; the boot goes on" >&2

    if [ -n "$restore" ]; then mount -o remount,ro "$NEWROOT"; fi
}

# The journal has it too, where there is one.
nodestrap_join 2>/dev/console
