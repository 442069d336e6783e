//! nodestrap joins a machine to a Kubernetes cluster at first boot.
//!
//! [`run`] is the program: it reads the settings ([`cli`]), decides what they mean ([`config`]), and runs one command.
//! That is [`join::join`], the pipeline from an unknown cluster to a node's files, or one of the [`commands`] that
//! prepare a join. A report and an exit code end each of them.
//!
//! The list below is in dependency order: each module imports earlier ones only (`tests/architecture.rs`), and has in its own
//! documentation what it trusts. For the order of events read [`join::join`]. So a change goes into the module that has its subject, and shows in those
//! below it:
//!
//! - a flag: its row in [`cli`], what it means in [`config`], and the stage that does it;
//! - an exit code: [`error`], and nowhere else in here;
//! - a kind of key: [`key`], its certificate request in [`csr`], signatures that are checked in [`http`];
//! - a file of the node, or another path for one: [`node`];
//! - a way to find the cluster: [`discovery`] finds it, [`trust`] decides, [`config`] chooses it by the settings.
//!
//! CONTRIBUTING.md has the files, and what goes with each change outside of `src/`.

#![forbid(unsafe_code)]
// What is listed for tests is not an interface.
#![cfg_attr(
    feature = "testing",
    allow(
        missing_docs,
        clippy::missing_errors_doc,
        clippy::missing_panics_doc,
        clippy::must_use_candidate,
        clippy::return_self_not_must_use
    )
)]

// Leaves: used by any stage, using no stage, and in an order of their own.
mod asn1; // DER, read and written
mod limits; // every timeout, size and count, with its source
mod clock; // time, sleep and randomness, passed in; deadlines
mod mask; // the last guard of a line: what looks like a secret
mod read; // reading to a bound
mod json; // foreign JSON, as far as its fields are used
mod secret; // wiped when dropped
mod pem_blocks;
mod sanitize; // text of others, fit for a line
mod error; // kinds (exit codes), steps, help, retry class
mod retry; // when to try again, and what is news
mod sd_notify;
mod log; // the only printer
mod disk; // paths below the root; writes that a power cut leaves complete
mod input; // files, pipes and standard input that settings name
mod yaml;
mod x509; // certificates and requests, read
mod kubeconfig; // read as clientcmd reads them, written as kubeadm does
mod node_name;
mod report; // the JSON at the end

// Stages, in order.
mod cli; // flags and other sources of settings, before they mean anything
mod http; // one connection, unverified or verified; proxies, names, TLS
mod key; // private keys
mod trust; // from cluster-info that anybody may have sent to a trusted cluster
mod credentials; // token and client certificate
mod discovery; // where the cluster is; waits and retries
mod kubelet; // what the cluster has for its kubelets; patches
mod csr; // certificate requests and what comes of them
mod node; // the node's files: found, written, moved aside
mod config; // what the settings mean
mod join; // the pipeline
mod commands; // check, ca-hash, verify, --print-config
mod program; // the process: environment, one command, its report

pub use program::{exit_on_panic, run};
pub use secret::wipe_stack;

#[cfg(feature = "testing")]
pub mod testing;
