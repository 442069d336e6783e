#!/bin/sh
set -e
if [ -z "${DPKG_ROOT-}" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi
# Only dpkg purges, what its remove has left: a mask of the unit.
unit=${DPKG_ROOT-}/etc/systemd/system/nodestrap.service
if [ "${1-}" = purge ] && [ "$(readlink "$unit")" = /dev/null ]; then rm "$unit"; fi
