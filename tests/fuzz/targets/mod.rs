//! What must hold for any bytes: one function for each place where foreign bytes come in. Each hands them to the program
//! as they would come, and panics when the outcome is one that must not be.
//!
//! Ordinary tests run them over the committed seeds and mutations of these, `make fuzz` under libFuzzer.
#![allow(dead_code, unused_imports, missing_docs, reason = "the seeds use a part of this")]

mod certificates;
pub mod exchange;
mod files;
#[path = "../../support/locks.rs"]
mod locks;
pub mod fixtures;
mod options;
mod small;
mod texts;
pub mod transport;
pub mod trust;
mod wire;
mod written;

/// The reference that signs.
pub use trust::jws;

/// A target's name, which its seeds' directory has too, and its function, which tells whether the bytes were taken for
/// what they should be: of each target's seeds at least one must be, or it would prove nothing.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// All of them. tests/fuzz/Cargo.toml has a program for each.
pub const TARGETS: [Target; 21] = [
    ("yaml", texts::yaml),
    ("kubeconfig", texts::kubeconfig),
    ("kubelet_config", texts::kubelet_config),
    ("cluster_info", trust::cluster_info),
    ("signed", trust::signed),
    ("connection", trust::connection),
    ("certificate", certificates::certificate),
    ("request", certificates::request),
    ("bundle", certificates::bundle),
    ("pair", certificates::pair),
    ("join_configuration", options::join_configuration),
    ("join_line", options::join_line),
    ("kernel_command_line", options::kernel_command_line),
    ("duration", small::duration),
    ("address", small::address),
    ("proxy_variables", small::proxy_variables),
    ("written", written::written),
    ("identity", files::identity),
    ("wire", wire::wire),
    ("exchange", exchange::exchange),
    ("join", exchange::join),
];

/// Runs the target of this name, and tells whether the bytes were taken.
///
/// # Panics
/// When there is none, or the bytes do what they must not.
pub fn run(name: &str, data: &[u8]) -> bool {
    let (_, target) = TARGETS.iter().find(|(own, _)| *own == name).expect("a target of this name");
    target(data)
}

/// Bytes as text, where the program is given text only.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// Asserts that a text is fit for one line of a log.
fn is_one_line(text: &str) {
    assert!(!text.chars().any(char::is_control), "a control character in {text:?}");
}
