#!/bin/sh
# After two thirds of rd.retry= the boot goes on without a network, where nothing but nodestrap waits for it.
if [ -e /etc/cmdline.d/nodestrap.conf ]; then
    # shellcheck disable=SC2154
    rm -f "$hookdir"/initqueue/finished/wait-*.sh
fi
