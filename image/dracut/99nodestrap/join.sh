#!/bin/sh
# Joins this machine into the root that is about to become /, before anything in it runs.
#
# The settings are on the kernel command line: nodestrap.join="…" or nodestrap.config=BASE64, and ip= for the network as
# in dracut.cmdline(7). Without them, or on a node that has joined, nothing is done. What fails is shown on the console
# and never stops the boot; nodestrap.service, where it is enabled, goes on later.

# shellcheck source=image/initramfs/join-root.sh
. /usr/lib/nodestrap/join-root.sh

# The journal has it too, where there is one.
{
    # shellcheck disable=SC2154
    if is_to_be_joined "$NEWROOT" \
        'add x-initrd.mount to it in /etc/fstab, or leave the join to nodestrap.service'; then
        join_root "$NEWROOT"
    fi
} 2>/dev/console
