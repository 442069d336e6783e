//! Files behind a URL: fetched over a verified connection, and read only then.

use std::time::Duration;

use crate::discovery::{self, ClusterInfo};
use crate::error::Result;
use crate::http::{Roots, System, Verified};
use crate::options::{Download, Vouched};
use crate::secret::Secret;
use crate::trust::Token;

/// Fetches a ConfigMap that `token` has signed, if anybody has: nothing of it is trusted yet.
///
/// # Errors
/// As [`discovery::fetch_file`]; what is no ConfigMap may heal.
pub(super) fn cluster_info(
    file: &Download,
    token: &Token,
    system: &System,
    timeout: Duration,
) -> Result<ClusterInfo> {
    ClusterInfo::from_text(text(file, system, timeout)?.expose(), token.id()).map_err(|e| {
        discovery::no_use(file.url.as_str(), "answers with no ConfigMap in JSON or YAML; check the URL")
            .caused_by(e)
    })
}

/// Fetches a kubeconfig, whose server and CA are taken on the word of whoever the URL leads to.
///
/// # Errors
/// As [`discovery::fetch_file`] and [`Vouched::fetched`].
pub(super) fn kubeconfig(
    file: &Download,
    token: Option<&Secret<String>>,
    system: &System,
    timeout: Duration,
) -> Result<Vouched> {
    Vouched::fetched(&file.url, text(file, system, timeout)?.expose(), token.cloned())
}

/// No connection is kept between attempts: what was wrong with one may be its server.
fn text(file: &Download, system: &System, timeout: Duration) -> Result<Secret<String>> {
    let roots = match &file.authorities {
        Some(authorities) => authorities.roots(system.clock.now())?,
        None => Roots::public(),
    };
    let server = Verified::dial(system, &file.url, &roots, None)?;
    discovery::fetch_file(&server, &file.url, timeout)
}
