//! nodestrap joins a machine to a Kubernetes cluster at first boot.
//!
//! [`run`] is the program. It reads the settings ([`cli`]), decides what they mean ([`config`]), and does one of two things:
//! [`join::join`] is the whole story, [`commands`] are what prepares it. The modules stand in the order of its stages, and
//! each imports earlier ones only; what any stage may use comes first.

#![forbid(unsafe_code)]
// What is listed for tests is no interface.
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
mod asn1;
mod limits;
mod clock;
mod mask;
mod read;
mod json;
mod secret;
mod pem_blocks;
mod sanitize;
mod error;
mod retry;
mod sd_notify;
mod log;
mod disk;
mod input;
mod yaml;
mod x509;
mod kubeconfig;
mod node_name;
mod report;

// Stages, in order.
mod cli;
mod http;
mod key;
mod trust;
mod credentials;
mod discovery;
mod kubelet;
mod csr;
mod node;
mod config;
mod join;
mod commands;
mod program;

pub use program::{exit_on_panic, run};
pub use secret::wipe_stack;

#[cfg(feature = "testing")]
pub mod testing;
