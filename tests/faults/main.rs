//! What a join leaves behind when it is interrupted, or a disk fails under it, at any point.
//!
//! `make test` runs what touches the disk; with `CAMPAIGN=full`, as `make campaign` has it, each suite runs whole. Every
//! suite prints how many points it had and how many of them failed.

#[path = "../support/mod.rs"]
mod support;

mod campaign;
mod disk;
mod disk_full;
mod errors;
mod flows;
mod injection;
mod planted_files;
mod power_loss;
mod sigkill;
mod state;
