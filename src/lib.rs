//! nodestrap joins a machine to a Kubernetes cluster at first boot.
//!
//! [`join::join`] is the whole story, [`commands`] are what prepares it. The modules stand in the order of its stages, and each imports earlier ones
//! only; what any stage may use comes first. The library is for the program and its tests: its interface promises
//! nothing.

#![forbid(unsafe_code)]

// Leaves: used by any stage, using no stage.
pub mod asn1;
pub mod pem_blocks;
pub mod clock;
pub mod disk;
pub mod error;
pub mod input;
pub mod json;
pub mod kubeconfig;
pub mod limits;
pub mod log;
pub mod mask;
pub mod node_name;
pub mod sd_notify;
pub mod read;
pub mod report;
pub mod retry;
pub mod secret;
pub mod x509;
pub mod yaml;

// Stages, in order.
pub mod http;
pub mod key;
pub mod rsa_key;
pub mod trust;
pub mod credentials;
pub mod discovery;
pub mod kubelet;
pub mod csr;
pub mod node;
pub mod options;
pub mod join;
pub mod commands;
