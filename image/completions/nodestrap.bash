# bash completion for nodestrap(8). Made of the table of flags, by the test cli::tests::completions; do not edit.
_nodestrap() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command='' words word
    # An equals sign is a word of its own.
    if [[ $cur == '=' ]]; then
        cur=''
    elif [[ $prev == '=' ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    COMPREPLY=()
    case $prev in
    --config | --token-file | --discovery-token-file | --tls-bootstrap-token-file | --discovery-file | --cri-socket | --env-file | --cluster-info | --discovery-ca | --certificate-authority | --bootstrap-kubeconfig | --bearer-token-file | --kubeconfig | --ca-cert-path | --report)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    --patches | --cert-dir | --root)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        return
        ;;
    --token | --discovery-token | --tls-bootstrap-token | --discovery-token-ca-cert-hash | --node-name | --hostname-override | --server | --bearer-token | --expiration-seconds | --san | --serving-timeout | --kubelet-extra-arg | --taint | --discovery-timeout | --tls-bootstrap-timeout | --timeout | --splay) return ;;
    esac
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $word in join | ca-hash | verify | check) command=$word ;; esac
        [[ -z $command ]] || break
    done
    case $command in
    join) words='--config --token --token-file --discovery-token --discovery-token-file --tls-bootstrap-token --tls-bootstrap-token-file --discovery-token-ca-cert-hash --discovery-token-unsafe-skip-ca-verification --discovery-file --node-name --hostname-override --cri-socket --patches --dry-run --pin-every-ca --env-file --cluster-info --discovery-ca --server --certificate-authority --bootstrap-kubeconfig --bearer-token --bearer-token-file --remove-token-file --with-client-cert --expiration-seconds --with-serving-cert --san --serving-timeout --keep-bootstrap-kubeconfig --with-kubelet-config --kubelet-extra-arg --taint --refuse-ready-node --kubeconfig --cert-dir --ca-cert-path --replace --root --report --discovery-timeout --tls-bootstrap-timeout --timeout --splay --print-config --print-role --strict' ;;
    ca-hash) words='--report --timeout' ;;
    verify) words='--cluster-info --token --token-file --discovery-token --discovery-token-file --discovery-token-ca-cert-hash --pin-every-ca --discovery-token-unsafe-skip-ca-verification --config --report --timeout' ;;
    check) words='--root --report' ;;
    *) words='join ca-hash verify check --help --version' ;;
    esac
    if [[ $command == ca-hash && $cur != -* ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -F _nodestrap nodestrap
