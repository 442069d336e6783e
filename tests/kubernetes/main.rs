//! nodestrap against a real control plane and a real kubelet.
//!
//! Needs root (for mount namespaces and kubeadm's chroot), Go, and from Debian containerd, runc, strace and openssl.
//! Tests that only make tokens and nodes share one cluster; those that stop an API server or count requests have one
//! of their own.

mod after_join;
mod approval;
mod cluster_manifests;
mod commands;
mod crashes;
#[path = "../support/dns/mod.rs"]
#[allow(dead_code, missing_docs, reason = "the loopback tests use the rest")]
mod dns;
mod flags;
mod harness;
mod joins;
mod lag;
mod judge;
mod kubeadm_users;
mod kubeadms_place;
mod names;
mod neighbours;
mod networks;
mod outage;
#[path = "../support/proxy.rs"]
#[allow(dead_code, missing_docs, reason = "the loopback tests use the rest")]
mod proxy;
mod packaged;
mod platforms;
mod refusals;
mod replaced;
mod restarts;
mod seeds;
mod serving;
mod ways;

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
