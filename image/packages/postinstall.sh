#!/bin/sh
set -e
# The maker of the image enables the unit: a machine on which the package happens to be installed joins nothing. Where
# packages are installed by rpm, an image's own preset may enable it, and none disables what is enabled; $1 is the number of
# versions that are installed then.
if [ "${1-}" = 1 ] && command -v systemctl >/dev/null; then
    systemctl --no-reload preset --preset-mode=enable-only nodestrap.service || :
fi
if [ -z "${DPKG_ROOT-}" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi
