#!/bin/sh
# Where the kernel command line has settings of nodestrap's, the root waits for the network that ip= describes.

# Whether nothing but nodestrap needs a network: the root is on a disk of this machine's.
only_nodestrap_asks() {
    if getargbool 0 rd.neednet || getarg netroot= >/dev/null; then return 1; fi
    case $(getarg root=) in
    '' | /dev/* | block:* | LABEL=* | UUID=* | PARTLABEL=* | PARTUUID=* | gpt-auto) ;;
    *) return 1 ;;
    esac
}

# What waits for networkd or NetworkManager does not know rd.retry=: it waits for two minutes, or for an hour.
limit_wait() (
    retry=$(getarg rd.retry=)
    case $retry in '' | *[!0-9]*) retry=180 ;; esac
    for unit in systemd-networkd-wait-online nm-wait-online-initrd NetworkManager-wait-online-initrd NetworkManager-wait-online; do
        mkdir -p "/run/systemd/system/$unit.service.d"
        printf '[Service]\nTimeoutStartSec=%s\n' $((retry * 2 / 3)) >"/run/systemd/system/$unit.service.d/99-nodestrap.conf"
    done
    systemctl daemon-reload
)

case $(getcmdline) in
*nodestrap.*)
    if [ -d /run/systemd/system ] && only_nodestrap_asks; then limit_wait; fi
    echo rd.neednet=1 >/etc/cmdline.d/nodestrap.conf
    ;;
esac
