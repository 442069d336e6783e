//! `verify`: the trust decision of a join over a cluster-info that is given, without a machine to join.

use std::fmt::Write as _;

use crate::clock::Clock;
use crate::error::Result;
use crate::http::checks_key;
use crate::log::Log;
use crate::report::{Report, Success};
use crate::trust::{UnverifiedClusterInfo, check_not_before_build_date};
use crate::x509::{key_name, utc};

/// Verifies signature, content and pins as a join does, and prints what they vouch for: the server, and each CA with its
/// pin, subject and validity. `info` is as little trusted as in a join.
///
/// # Errors
/// Why a join would not trust it, at once: nothing is waited for. [`crate::error::ErrorKind::Files`] when the answer cannot
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
    let cluster = info.verify(now)?.without_peer()?;
    let mut answer = format!("server: {}\n", cluster.server().as_str());
    for certificate in cluster.ca().certificates() {
        let unfit = if !(certificate.may_issue && certificate.for_servers) {
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
        let _ = writeln!(answer, "ca: {pin} {subject}, valid from {from} until {until}{unfit}");
    }
    report.server = Some(cluster.server().as_str().to_owned());
    log.show_name(cluster.server().endpoint().host());
    report.ca_hashes = cluster.ca().pins();
    log.print(&answer)?;
    Ok(Success::Verified)
}
