//! The help text. Flags by hand, exit codes from their one table.

use std::fmt::Write as _;

use crate::error::FAILURES;

const FLAGS: &str = "\
Joins this machine to a Kubernetes cluster, and exits. All of it: nodestrap(8).

Usage: nodestrap join HOST:PORT[,HOST:PORT] --token TOKEN --discovery-token-ca-cert-hash PIN [flags]
       nodestrap ca-hash FILE           print the pin of each certificate in a PEM file
       nodestrap verify --cluster-info FILE --token-file FILE --discovery-token-ca-cert-hash PIN
                                        judge a cluster-info as a join does; print server and CAs
       nodestrap check [--root DIR]     tell what an image must not hold (10 then) and should hold

Takes the line that `kubeadm token create --print-join-command` prints. The settings may also come,
the strongest last, from --config, a systemd credential nodestrap.token, .join or .config, the
kernel command line (nodestrap.token=, .join= or .config=BASE64), the environment (NODESTRAP_TOKEN,
_JOIN or _CONFIG), flags.

Flags of kubeadm join:
  --config FILE                  a JoinConfiguration, v1beta4 or v1beta3; - is standard input
  --token TOKEN                  bootstrap token, for discovery and for TLS bootstrap
  --discovery-token TOKEN        the one that signs cluster-info, where it is another
  --tls-bootstrap-token TOKEN    the one that requests the certificate, where it is another
                                 each also as --token-file FILE and so on; - is standard input
  --discovery-token-ca-cert-hash sha256:HEX
                                 pin of the cluster CA's public key; may be repeated
  --discovery-token-unsafe-skip-ca-verification
                                 without a pin: trust whoever knows the token
  --discovery-file FILE|URL      no discovery: server, CA and perhaps credentials of a kubeconfig
  --node-name NAME               default: the hostname; with --root, that of DIR/etc/hostname
  --hostname-override NAME       the same, as the kubelet spells it
  --cri-socket unix://PATH       for --with-kubelet-config; default: the one that is there
  --dry-run                      find and trust the cluster, request and write nothing

Flags of its own:
  --pin-every-ca                 every CA of the cluster must be pinned, not only its server's
  --env-file FILE                variables as in a systemd EnvironmentFile: those below, and
                                 NODESTRAP_ARGS, more arguments; read as nodestrap.service reads it
  --cluster-info FILE|URL        the ConfigMap, as kubectl prints it, instead of asking for it
  --discovery-ca FILE            the CAs for the server of such a URL; default: the public ones
  --server URL --certificate-authority FILE
                                 no discovery at all; with --bearer-token-file, tokens of any kind
  --bootstrap-kubeconfig FILE    the same from the kubelet's own file
  --bearer-token TOKEN           a token that is no bootstrap token
  --remove-token-file            once joined, remove the files that --token-file and the like name
  --with-client-cert             request the kubelet's certificate too and write kubelet.conf
  --expiration-seconds N         how long it is to last, 600 at least; the signer may give less
  --with-serving-cert            request the kubelet's serving certificate after that
  --san NAME|IP                  what it is for; may be repeated; default: the node name and the
                                 address that leads to the API server
  --serving-timeout DURATION     how long it is waited for, default 10s; 0s: look once
  --keep-bootstrap-kubeconfig    leave bootstrap-kubelet.conf in place after that
  --with-kubelet-config          config.yaml, instance-config.yaml, kubeadm-flags.env, as kubeadm
  --kubelet-extra-arg NAME=VALUE a flag of the kubelet, into kubeadm-flags.env; may be repeated
  --taint KEY=VALUE:EFFECT       a taint that the Node is born with; may be repeated
  --refuse-ready-node            fail when a node of this name is Ready, as kubeadm does
  --kubeconfig FILE              where kubelet.conf is written, default /etc/kubernetes/kubelet.conf
  --cert-dir DIR                 where the kubelet's pairs lie, default /var/lib/kubelet/pki
  --ca-cert-path FILE            kubeadm's caCertPath, default /etc/kubernetes/pki/ca.crt
  --replace                      move aside what another cluster or node left, as NAME.old-DATE
  --root DIR                     write below DIR: a mounted image, an initramfs
  --report FILE                  write a report, one JSON object; - is standard output
  --discovery-timeout DURATION   default 5m0s, as kubeadm's timeouts.discovery
  --tls-bootstrap-timeout DURATION
                                 default 5m0s, as kubeadm's timeouts.tlsBootstrap
  --timeout DURATION             cap on all of it
  --splay DURATION               wait a random time up to this first, so that machines that boot at
                                 one moment spread out; a joined one does not wait
  --print-config                 print each setting and where it came from, and exit
  --strict                       unknown fields of the configuration are errors
  -h, --help    -V, --version

Environment:
  HTTPS_PROXY, NO_PROXY          as kubeadm reads them, also in lower case; http:// proxies only
  NOTIFY_SOCKET                  a service manager's; hears each line, and READY=1 at a good end

Exit codes:
   0 joined, already joined, prepared (without --with-client-cert), or the command's work is done
";

/// The text that `--help` prints.
#[must_use]
pub fn help() -> String {
    let mut text = FLAGS.to_owned();
    for (failure, name, advice) in FAILURES {
        let _ = writeln!(text, "  {:>2} {name}: {advice}", failure.exit_code());
    }
    text
}
