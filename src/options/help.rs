//! The help text. Flags by hand, exit codes from their one table.

use std::fmt::Write as _;

use crate::error::EXIT_CODES;

const FLAGS: &str = "\
Joins this machine to a Kubernetes cluster, and exits. All of it: nodestrap(8).

Usage: nodestrap join HOST:PORT[,HOST:PORT] --token TOKEN --discovery-token-ca-cert-hash PIN [flags]
       nodestrap ca-hash FILE           print the pin of each certificate in a PEM file
       nodestrap verify --cluster-info FILE --token-file FILE --discovery-token-ca-cert-hash PIN
                                        verify a cluster-info as a join does; print server and CAs
       nodestrap check [--root DIR]     find tokens, keys and identities in an image (exit code 10)

Accepts the command that `kubeadm token create --print-join-command` prints. Settings are read, in
increasing precedence, from --config, a systemd credential nodestrap.token, .join or .config, the
kernel command line (nodestrap.token=, .join= or .config=BASE64), the environment (NODESTRAP_TOKEN,
_JOIN or _CONFIG), flags.

Flags of kubeadm join:
  --config FILE                  a JoinConfiguration, v1beta4 or v1beta3; - is standard input
  --token TOKEN                  bootstrap token, for discovery and for TLS bootstrap
  --discovery-token TOKEN        the token for discovery, if different
  --tls-bootstrap-token TOKEN    the token for the certificate request, if different
                                 each also as --token-file FILE and so on; - is standard input
  --discovery-token-ca-cert-hash sha256:HEX
                                 pin of the cluster CA's public key; may be repeated
  --discovery-token-unsafe-skip-ca-verification
                                 no pin: anyone with the token can impersonate the cluster
  --discovery-file FILE|URL      server, CA and optionally credentials of a kubeconfig
  --node-name NAME               default: the hostname; with --root, that of DIR/etc/hostname
  --hostname-override NAME       the kubelet's name for --node-name
  --cri-socket unix://PATH       for --with-kubelet-config; default: detected
  --dry-run                      find and verify the cluster; request and write nothing

nodestrap flags:
  --pin-every-ca                 every CA of the cluster must be pinned, not only its server's
  --env-file FILE                a systemd EnvironmentFile with the variables below, and
                                 NODESTRAP_ARGS for more arguments
  --cluster-info FILE|URL        the ConfigMap as kubectl prints it, instead of fetching it
  --discovery-ca FILE            CAs of the server behind such a URL; default: public CAs
  --server URL --certificate-authority FILE
                                 static configuration, instead of discovery
  --bootstrap-kubeconfig FILE    static configuration from the kubelet's bootstrap file
  --bearer-token TOKEN           a token other than a bootstrap token, of any kind
  --remove-token-file            once joined, remove the files of --token-file and the like
  --with-client-cert             request the kubelet's client certificate, write kubelet.conf
  --expiration-seconds N         its lifetime, at least 600; the signer may shorten it
  --with-serving-cert            then request the kubelet's serving certificate
  --san NAME|IP                  its names; may be repeated; default: the node name and the
                                 address that reaches the API server
  --serving-timeout DURATION     how long to wait for it, default 10s; 0s: do not wait
  --keep-bootstrap-kubeconfig    keep bootstrap-kubelet.conf once joined
  --with-kubelet-config          write config.yaml, instance-config.yaml, kubeadm-flags.env
  --kubelet-extra-arg NAME=VALUE a kubelet flag for kubeadm-flags.env; may be repeated
  --taint KEY=VALUE:EFFECT       a taint that the Node registers with; may be repeated
  --refuse-ready-node            fail if a Node of this name is Ready, as kubeadm does
  --kubeconfig FILE              path of kubelet.conf, default /etc/kubernetes/kubelet.conf
  --cert-dir DIR                 the kubelet's certificates and keys, default /var/lib/kubelet/pki
  --ca-cert-path FILE            kubeadm's caCertPath, default /etc/kubernetes/pki/ca.crt
  --replace                      move files of another cluster or node aside, as NAME.old-DATE
  --root DIR                     write below DIR: a mounted image, an initramfs
  --report FILE                  write a report, one JSON object; - is standard output
  --discovery-timeout DURATION   default 5m0s, as kubeadm's timeouts.discovery
  --tls-bootstrap-timeout DURATION
                                 default 5m0s, as kubeadm's timeouts.tlsBootstrap
  --timeout DURATION             overall time limit
  --splay DURATION               first wait a random time up to this, to spread machines booting
                                 together; a joined machine does not wait
  --print-config                 print each setting and where it came from, and exit
  --strict                       unknown fields of the configuration are errors
  -h, --help    -V, --version

Environment:
  HTTPS_PROXY, NO_PROXY          as kubeadm reads them, also in lower case; http:// proxies only
  NOTIFY_SOCKET                  the service manager's socket: STATUS= lines, READY=1 on success

Exit codes:
   0 joined, already joined, prepared (without --with-client-cert), or the command succeeded
";

/// The text that `--help` prints.
#[must_use]
pub fn help() -> String {
    let mut text = FLAGS.to_owned();
    for (failure, name, advice) in EXIT_CODES {
        let _ = writeln!(text, "  {:>2} {name}: {advice}", failure.exit_code());
    }
    text
}
