//! What holds for the program as it ships (.cargo/shipped.toml) and need not for another build: what can be counted in the
//! process itself, in its file, instructions, system calls, descriptors, mappings and memory.

#[path = "../support/mod.rs"]
mod support;

mod instructions;
mod process;
mod secrets;
