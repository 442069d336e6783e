# shellcheck shell=sh
# What dracut's hook and the script of initramfs-tools have in common: a join into the root that has just been mounted,
# before anything in it runs. Both source this file.

# is_to_be_joined ROOT ADVICE: whether the kernel command line has settings of nodestrap's and the root has no identity. Not
# where what is written would be hidden below a file system that is mounted later; that is told, with the advice.
is_to_be_joined() {
    read -r line </proc/cmdline
    case $line in *nodestrap.*) ;; *) return 1 ;; esac
    if [ -s "$1/etc/kubernetes/kubelet.conf" ]; then return 1; fi

    mounted=''
    while read -r _ place _; do mounted="$mounted $place "; done </proc/mounts
    [ -r "$1/etc/fstab" ] || return 0
    while read -r _ place _; do
        case $place in /etc/kubernetes | /var | /var/lib | /var/lib/kubelet) ;; *) continue ;; esac
        case $mounted in *" $1$place "*) continue ;; esac
        echo "nodestrap: not joined before the boot: $place is not mounted yet; $2" >&2
        return 1
    done <"$1/etc/fstab"
}

# join_root ROOT: joins it by the settings of the kernel command line and of the files that nodestrap.service reads: what both
# set, /etc/default/nodestrap decides. What fails never stops the boot; nodestrap.service, where it is enabled, goes on later.
join_root() {
    read_only=''
    while read -r _ place _ options _; do
        case $place,$options in "$1,ro" | "$1,ro,"*) read_only=yes ;; esac
    done </proc/mounts
    if [ -n "$read_only" ]; then mount -o remount,rw "$1"; fi

    root=$1 variables=''
    for file in "$root/etc/sysconfig/nodestrap" "$root/etc/default/nodestrap"; do
        [ -e "$file" ] || continue
        if [ -z "$variables" ]; then
            variables=--env-file=$file
        else
            # Two line breaks: a last line that goes on does not go on in the other file.
            (umask 077 && { cat "${variables#--env-file=}"; printf '\n\n'; cat "$file"; } >/run/nodestrap.env)
            variables=--env-file=/run/nodestrap.env
        fi
    done
    nodestrap join --with-client-cert --root="$root" --report=/run/initramfs/nodestrap.json --timeout=2m \
        ${variables:+"$variables"} ||
        echo "nodestrap: not joined before the boot, exit code $?; the boot goes on" >&2
    rm -f /run/nodestrap.env

    if [ -n "$read_only" ]; then mount -o remount,ro "$root"; fi
}
