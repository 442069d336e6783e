//! The shipped program against our own API server on loopback, which can be as hostile as it likes.

#[path = "../support/mod.rs"]
mod support;

mod again;
mod bootstrap;
mod bundles;
mod cli;
mod clock;
mod endpoints;
mod exchange;
mod files;
mod hostile;
mod issuance;
mod kubelet;
mod process;
mod proxies;
mod report;
mod serving;
mod ways;
mod wire;
