#!/bin/sh
# The unit is enabled by whoever makes the image: a machine on which the package happens to be installed joins nothing.
# Only a preset says otherwise, where packages are installed by rpm; $1 is the number of versions that are installed then.
if [ "${1-}" = 1 ] && command -v systemctl >/dev/null; then systemctl --no-reload preset nodestrap.service || :; fi
if [ -z "${DPKG_ROOT-}" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi
