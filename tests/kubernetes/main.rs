//! nodestrap against a real control plane and a real kubelet.
//!
//! Needs root (for mount namespaces and kubeadm's chroot), Go, and from Debian containerd, runc, strace and openssl.
//! Tests that only make tokens and nodes share one cluster; those that stop an API server or count requests have one
//! of their own.

mod after_join;
mod approval;
mod cluster_info_changes;
mod cluster_manifests;
mod commands;
mod discovery_methods;
mod harness;
mod issuer;
mod joins;
mod jwt;
mod kubeadm_comparison;
mod kubeadm_flags;
mod kubeadm_packages;
mod kubeadm_shim;
mod kubeadm_users;
mod kubelet_check;
mod name_resolution;
mod networks;
mod outage;
mod platforms;
mod published_guides;
mod refusals;
mod replaced;
mod restarts;
mod serving;
mod sigkill;
#[path = "../support/mod.rs"]
mod support;

use std::{ops::Deref, sync::OnceLock};

use harness::cluster::{Cluster, Options};

/// The cluster that tests share, as one test holds it.
struct Shared(&'static Cluster);

/// The shared cluster, with kubeadm's defaults. Nobody stops its API server.
fn shared() -> Shared {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    Shared(CLUSTER.get_or_init(|| Cluster::start(Options::default())))
}

impl Deref for Shared {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        self.0
    }
}

impl Drop for Shared {
    /// A failing test shows what the control plane had to say: the cluster itself is not dropped.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0.logs());
        }
    }
}
