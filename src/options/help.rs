//! The help text. Flags by hand, exit codes from their one table.

use std::fmt::Write as _;

use crate::error::FAILURES;

const FLAGS: &str = "\
Joins this machine to a Kubernetes cluster, and exits.

Usage: nodestrap join HOST:PORT[,HOST:PORT] --token ID.SECRET --discovery-token-ca-cert-hash sha256:HEX [flags]
       nodestrap ca-hash FILE    print the pin of each certificate in a PEM file
       nodestrap verify --cluster-info FILE --token-file FILE --discovery-token-ca-cert-hash sha256:HEX
                                 judge a cluster-info as a join does, and print server and CAs
       nodestrap check [--root DIR] [--report FILE]
                                 tell what an image must not hold (10 then) and what it should

Takes the line that `kubeadm token create --print-join-command` prints. All of it can come from elsewhere; the order,
the strongest last: --config, systemd credential nodestrap.token, .join or .config, kernel command line
nodestrap.token=, .join= or .config=BASE64, environment NODESTRAP_TOKEN, _JOIN or _CONFIG, flags.

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
  --discovery-file FILE|URL      a kubeconfig with server and CA, and perhaps a token or a client certificate,
                                 instead of discovery; a file, or https://
  --node-name NAME               default: the hostname; with --root, what DIR/etc/hostname says
  --hostname-override NAME       the same, as the kubelet spells it
  --cri-socket unix://PATH       the container runtime's, for --with-kubelet-config; default: the one that
                                 is there, else containerd's
  --dry-run                      find and trust the cluster, request and write nothing

Flags of its own:
  --pin-every-ca                 every CA of the cluster must be pinned; for kubeadm one is enough
  --cluster-info FILE|URL        the ConfigMap, as kubectl prints it, instead of asking for it; needs token and pin
  --discovery-ca FILE            the CAs that the server of such a URL is verified by; default: the public ones
  --server URL --certificate-authority FILE
                                 no discovery at all; with --bearer-token-file, tokens of any kind
  --bootstrap-kubeconfig FILE    the same from the kubelet's own file
  --bearer-token TOKEN           a token that is no bootstrap token
  --remove-token-file            once joined, remove the files that --token-file and the like name
  --with-client-cert             request the kubelet's certificate too and write kubelet.conf
  --expiration-seconds N         how long its certificate is to last, 600 at least; the signer may give less
  --with-serving-cert            request the kubelet's serving certificate after that
  --san NAME|IP                  what it is for; default: the node name and the address that
                                 leads to the API server; may be repeated
  --serving-timeout DURATION     how long it is waited for, default 10s; 0s: look once
  --keep-bootstrap-kubeconfig    leave bootstrap-kubelet.conf in place after that
  --with-kubelet-config          write config.yaml, instance-config.yaml and kubeadm-flags.env, as kubeadm does
  --kubelet-extra-arg NAME=VALUE a flag of the kubelet, into kubeadm-flags.env; may be repeated
  --taint KEY=VALUE:EFFECT       a taint that the Node is born with; may be repeated
  --refuse-ready-node            fail when a node of this name is Ready, as kubeadm does
  --kubeconfig FILE              the kubelet's: where kubelet.conf is written, default /etc/kubernetes/kubelet.conf
  --cert-dir DIR                 the kubelet's: where its pairs are stored, default /var/lib/kubelet/pki
  --ca-cert-path FILE            kubeadm's caCertPath, default /etc/kubernetes/pki/ca.crt
  --replace                      move aside what another cluster or node has left, as NAME.old-DATE
  --root DIR                     write below DIR: a mounted image, an initramfs
  --report FILE                  write a report, one JSON object; not below --root, - is standard output
  --discovery-timeout DURATION   default 5m0s, as kubeadm's timeouts.discovery
  --tls-bootstrap-timeout DURATION
                                 default 5m0s, as kubeadm's timeouts.tlsBootstrap
  --timeout DURATION             cap on all of it
  --print-config                 print each setting and where it came from, and exit
  --strict                       unknown fields of the configuration are errors
  -h, --help    -V, --version

Environment:
  HTTPS_PROXY, NO_PROXY          as kubeadm and Go read them, also in lower case; http:// proxies only
  NOTIFY_SOCKET                  a service manager's, which hears each line and READY=1 at a good end

Exit codes:
   0 joined, already joined, or (without --with-client-cert) prepared; a command has done its work
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
