//! nodestrap joins a machine to a Kubernetes cluster at first boot.
//!
//! [`join::join`] is the whole story, [`commands`] are what prepares it. The modules stand in the order of its stages, and each imports earlier ones
//! only; what any stage may use comes first. The library is for the program and its tests: its interface promises
//! nothing.

#![forbid(unsafe_code)]

// Leaves: used by any stage, using no stage, and in an order of their own.
pub mod asn1;
pub mod limits;
pub mod clock;
pub mod mask;
pub mod read;
pub mod json;
pub mod secret;
pub mod pem_blocks;
pub mod error;
pub mod retry;
pub mod sd_notify;
pub mod log;
pub mod disk;
pub mod input;
pub mod yaml;
pub mod x509;
pub mod kubeconfig;
pub mod node_name;
pub mod report;

// Stages, in order.
pub mod cli;
pub mod http;
pub mod key;
pub mod rsa_key;
pub mod trust;
pub mod credentials;
pub mod discovery;
pub mod kubelet;
pub mod csr;
pub mod node;
pub mod config;
pub mod join;
pub mod commands;
