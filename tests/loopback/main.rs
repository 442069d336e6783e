//! The shipped program against our own API server on loopback, which can be as hostile as it likes.

#[path = "../support/mod.rs"]
mod support;

mod again;
mod bootstrap;
mod cli;
mod commands;
mod endpoints;
mod exchange;
mod files;
mod hostile;
mod issuance;
mod kubelet;
mod notify;
mod process;
mod proxies;
mod report;
mod serving;
mod token_files;
mod ways;
mod wire;
