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
/// As [`discovery::fetch_published`].
pub(super) fn cluster_info(
    file: &Download,
    token: &Token,
    system: &System,
    timeout: Duration,
) -> Result<ClusterInfo> {
    discovery::fetch_published(&dial(file, system)?, &file.url, token.id(), timeout)
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
    let (text, who) = discovery::fetch_file(&dial(file, system)?, &file.url, timeout)?;
    Vouched::fetched(&file.url, text.expose(), token.cloned()).map_err(|e| e.with_note(&format!(" ({who})")))
}

/// No connection is kept between attempts: what was wrong with one may be its server.
fn dial(file: &Download, system: &System) -> Result<Verified> {
    let roots = match &file.authorities {
        Some(authorities) => authorities.roots(system.clock.now())?,
        None => Roots::public(),
    };
    Verified::dial(system, &file.url, &roots, None)
}
