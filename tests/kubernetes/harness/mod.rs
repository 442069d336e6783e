//! A real cluster for tests: what starts it, what joins it, and what looks at the outcome. Machines and runs of nodestrap are
//! those of all tests (`tests/support`).
#![allow(dead_code, reason = "each test program uses its own part of this")]

pub mod audit;
pub mod cluster;
pub mod components;
pub mod kubeadm;
pub mod kubelet;
pub mod load;
pub mod node;
pub mod requests;
pub mod token;
