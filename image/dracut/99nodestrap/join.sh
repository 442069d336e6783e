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

    restore='' mounted=''
    while read -r _ place _ options _; do
        mounted="$mounted $place "
        case $place,$options in "$NEWROOT,ro" | "$NEWROOT,ro,"*) restore=yes ;; esac
    done </proc/mounts
    # What is written below a place where something is mounted later would be hidden then.
    if [ -r "$NEWROOT/etc/fstab" ]; then
        while read -r _ place _; do
            case $place in /etc/kubernetes | /var | /var/lib | /var/lib/kubelet) ;; *) continue ;; esac
            case $mounted in *" $NEWROOT$place "*) continue ;; esac
            echo "nodestrap: not joined before the boot: $place is not mounted yet;" \
                "add x-initrd.mount to it in /etc/fstab, or leave the join to nodestrap.service" >&2
            return
        done <"$NEWROOT/etc/fstab"
    fi
    if [ -n "$restore" ]; then mount -o remount,rw "$NEWROOT"; fi

    # The same as nodestrap.service reads, with the quotes that systemd takes off.
    arguments=''
    if [ -r "$NEWROOT/etc/default/nodestrap" ]; then
        while read -r setting; do
            case $setting in NODESTRAP_ARGS=*) arguments=${setting#*=} ;; esac
        done <"$NEWROOT/etc/default/nodestrap"
    fi
    arguments=${arguments#[\'\"]} arguments=${arguments%[\'\"]}
    # shellcheck disable=SC2086
    nodestrap join --with-client-cert --root="$NEWROOT" --report=/run/initramfs/nodestrap.json --timeout=2m \
        $arguments ||
        echo "nodestrap: not joined before the boot, exit code $?; the boot goes on" >&2

    if [ -n "$restore" ]; then mount -o remount,ro "$NEWROOT"; fi
}

# The journal has it too, where there is one.
nodestrap_join 2>/dev/console
