//! The help text. Flags by hand, exit codes from their one table.

use std::fmt::Write as _;

use crate::error::FAILURES;

const FLAGS: &str = "\
Joins this machine to a Kubernetes cluster, and exits.

Usage: nodestrap join HOST:PORT --token ID.SECRET --discovery-token-ca-cert-hash sha256:HEX [flags]

Takes the line that `kubeadm token create --print-join-command` prints.

Flags of kubeadm join:
  --token TOKEN                  bootstrap token, for discovery and for TLS bootstrap
  --discovery-token TOKEN        the one that signs cluster-info, where it is another
  --tls-bootstrap-token TOKEN    the one that requests the certificate, where it is another
  --discovery-token-ca-cert-hash sha256:HEX
                                 pin of the cluster CA's public key; may be repeated
  --discovery-token-unsafe-skip-ca-verification
                                 without a pin: trust whoever knows the token
  --node-name NAME               default: the hostname, with --root ROOT/etc/hostname
  --cri-socket unix://PATH       the container runtime's, for --with-kubelet-config; default: the one that
                                 is there, else containerd's

Flags of its own:
  --with-client-cert             request the kubelet's certificate too and write kubelet.conf
  --keep-bootstrap-kubeconfig    leave bootstrap-kubelet.conf in place after that
  --with-kubelet-config          write config.yaml, instance-config.yaml and kubeadm-flags.env, as kubeadm does
  --kubelet-extra-arg NAME=VALUE a flag of the kubelet, into kubeadm-flags.env; may be repeated
  --taint KEY=VALUE:EFFECT       a taint that the Node is born with; may be repeated
  --refuse-ready-node            fail when a node of this name is Ready, as kubeadm does
  --root DIR                     write below DIR: a mounted image, an initramfs
  --report FILE                  write a report, one JSON object (a path outside of --root)
  --discovery-timeout DURATION   default 5m0s, as kubeadm's timeouts.discovery
  --tls-bootstrap-timeout DURATION
                                 default 5m0s, as kubeadm's timeouts.tlsBootstrap
  --timeout DURATION             cap on all of it
  -h, --help    -V, --version

Exit codes:
   0 joined, already joined, or (without --with-client-cert) prepared
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
