//! `ca-hash`: the pins of certificates, for which kubeadm's documents have a line of openssl.

use crate::error::Result;
use crate::log::Log;
use crate::report::{Report, Success};
use crate::trust::CaBundle;

/// Prints the pin of each certificate's key, in the order of the file, as `--discovery-token-ca-cert-hash` takes it
/// (`cmd/kubeadm/app/util/pubkeypin`).
///
/// # Errors
/// [`crate::error::ErrorKind::Files`] when the answer cannot be printed.
pub fn ca_hash(authorities: &CaBundle, log: &Log, report: &mut Report) -> Result<Success> {
    report.ca_hashes = authorities.pins();
    log.print(&(report.ca_hashes.join("\n") + "\n"))?;
    Ok(Success::Hashed)
}
