#!/bin/sh
set -e
# The links of an enabled unit go with it. dpkg says "remove", rpm that no version is left; an upgrade keeps them.
case ${1-} in
remove | 0)
    if command -v systemctl >/dev/null; then
        systemctl --root="${DPKG_ROOT:-/}" --no-reload disable nodestrap.service || :
    fi
    ;;
esac
