//! The commands beside `join`, which prepare it: they make no request and write nothing but their output.

mod check;

use std::fmt::Write as _;

use crate::clock::Clock;
use crate::config::JoinConfig;
use crate::error::Result;
use crate::http::{System, checks_key};
use crate::join;
use crate::log::Log;
use crate::report::{Report, Success};
use crate::trust::{CaBundle, UnverifiedClusterInfo, check_not_before_build_date};
use crate::x509::{key_name, utc};

pub use check::check;

/// `ca-hash`: prints the pin of each certificate's key, in the order of the file, as `--discovery-token-ca-cert-hash`
/// takes it (`cmd/kubeadm/app/util/pubkeypin`).
///
/// # Errors
/// [`crate::error::ErrorKind::Files`] when the output cannot be printed.
pub fn ca_hash(authorities: &CaBundle, log: &Log, report: &mut Report) -> Result<Success> {
    report.ca_hashes = authorities.pins();
    log.print(&(report.ca_hashes.join("\n") + "\n"))?;
    Ok(Success::Hashed)
}

/// `verify`: verifies signature, content and pins as a join does, and prints what they vouch for: the server, and each
/// CA with its pin, subject and validity. `info` is as little trusted as in a join.
///
/// # Errors
/// Why a join would not trust it, at once: nothing is waited for. [`crate::error::ErrorKind::Files`] when the output cannot
/// be printed.
pub fn verify(
    info: &UnverifiedClusterInfo,
    warnings: &[String],
    clock: &dyn Clock,
    log: &Log,
    report: &mut Report,
) -> Result<Success> {
    for warning in warnings {
        log.warn(warning);
    }
    let now = clock.now();
    check_not_before_build_date(now)?;
    let cluster = info.verify(now)?.require_every_key_pinned()?;
    let mut output = format!("server: {}\n", cluster.server().as_str());
    for certificate in cluster.ca().certificates() {
        let unfit = if !(certificate.can_sign_certs && certificate.allows_server_auth) {
            "; not a CA".to_owned()
        } else if !certificate.is_valid_at(now) {
            format!("; not valid now: {}", certificate.describe_validity(now))
        } else if !checks_key(&certificate.spki) {
            let kind = key_name(&certificate.spki);
            format!("; signatures by its key ({kind}) are not supported")
        } else {
            String::new()
        };
        let (from, until) = (utc(certificate.not_before), utc(certificate.not_after));
        let (pin, subject) = (certificate.pin(), &certificate.subject);
        let _ = writeln!(output, "ca: {pin} {subject}, valid from {from} until {until}{unfit}");
    }
    report.server = Some(cluster.server().as_str().to_owned());
    log.show_name(cluster.server().endpoint().host());
    report.ca_hashes = cluster.ca().pins();
    log.print(&output)?;
    Ok(Success::Verified)
}

/// `--print-config`: prints the settings, which `text` has already, if a join with them would begin.
///
/// # Errors
/// What a join would refuse before it asks anybody; [`crate::error::ErrorKind::Files`] when the output cannot be printed.
pub fn print_config(
    options: &JoinConfig,
    text: &str,
    system: &System,
    log: &Log,
    report: &mut Report,
) -> Result<()> {
    options.warnings.iter().for_each(|warning| log.warn(warning));
    join::preflight(options, system, log, report)?;
    log.print(text)
}
