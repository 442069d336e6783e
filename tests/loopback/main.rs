//! The shipped program against our own API server on loopback, which can be as hostile as it likes.

#[path = "../support/mod.rs"]
mod support;

mod again;
mod authorities;
mod bootstrap;
mod bundles;
mod cli;
mod clients;
mod commands;
mod clock;
mod echoes;
mod endpoints;
mod exchange;
mod files;
mod given_pins;
mod identities;
mod gone;
mod inherited;
mod instructions;
mod issuance;
mod kubelet;
mod lock;
mod kubelets;
mod names;
mod misfits;
mod notify;
mod other_cluster;
mod owners;
mod pins;
mod places;
mod planted;
mod process;
mod proxies;
mod replace;
mod report;
mod secrets;
mod serving;
mod sources;
mod strangers;
mod texts;
mod token_files;
mod urls;
mod way;
mod ways;
mod wire;
