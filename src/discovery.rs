//! Which cluster: found, and trusted, until the deadline.
//!
//! [`Method`] says how: another way to find a cluster is a variant of it, which [`crate::config`] chooses by the
//! settings and [`find`] follows. [`find`] asks endpoints one after the other, pauses between rounds of them, and
//! verifies what it gets by the clock as it is at each attempt. What is signed and what is merely configured stay apart
//! to the end.

mod endpoints;
mod fetch;
mod kubeconfig_file;
mod method;

use std::time::SystemTime;

use self::endpoints::{EndpointRotation, retryable};
use crate::clock::{Clock, Deadline};
use crate::credentials::Credentials;
use crate::error::{Result, Retry};
use crate::http::{System, Unverified};
use crate::limits;
use crate::log::Log;
use crate::retry::Backoff;
use crate::trust::{
    PinnedCluster, Pins, SignedCluster, Token, TrustedCluster, UnverifiedClusterInfo,
    check_not_before_build_date,
};

pub use fetch::RemoteFile;
#[cfg(feature = "testing")]
pub use fetch::cluster_info;
pub use kubeconfig_file::KubeconfigSource;
pub use method::{Method, StaticCluster};

/// Finds the cluster, and tries until it can be trusted, until it is clear that it cannot be, or until `deadline`. With it
/// come the credentials for it. What they hold is masked in `log` from then on, which also gets each failure that is new.
///
/// # Errors
/// The last failure to find or to trust it.
pub fn find(
    method: &Method,
    pins: &Pins,
    system: &System,
    deadline: Deadline,
    log: &Log,
) -> Result<(TrustedCluster, Credentials)> {
    let clock = &*system.clock;
    method.tokens().for_each(|token| log.hide(token));
    let mut backoff = Backoff::new(clock, deadline);
    let mut rotation = EndpointRotation::new(match method {
        Method::Token { endpoints, .. } | Method::Pinned { endpoints, .. } => {
            Unverified::to_each(system, endpoints)?
        }
        _ => Vec::new(),
    });
    // Nothing is sent while the clock is wrong. It is checked again once the response is here: it may have been set.
    let check_clock = || check_not_before_build_date(clock.now());
    loop {
        let timeout = deadline.left(clock).unwrap_or_default().min(limits::REQUEST);
        let attempt = check_clock().and_then(|_| match method {
            Method::Token { token, credentials, .. } => {
                let fetch = |peer: &Unverified| {
                    let info = fetch::cluster_info(peer, token.id(), timeout)?;
                    let (token, pins) = (token.clone(), pins.clone());
                    UnverifiedClusterInfo { info, token, pins }.verify(check_clock()?)
                };
                Ok((rotation.ask(fetch, SignedCluster::trust_via)?, credentials.clone()))
            }
            Method::Pinned { credentials, .. } => {
                let fetch = |peer: &Unverified| {
                    PinnedCluster::read(&fetch::cluster_info(peer, "", timeout)?, pins, check_clock()?)
                };
                Ok((rotation.ask(fetch, PinnedCluster::trust_via)?, credentials.clone()))
            }
            // Final: the file was read once, so retrying cannot change the result.
            Method::LoadedClusterInfo { info, credentials } => {
                Ok((info.verify(check_clock()?)?.trust_without_peer(system)?, credentials.clone()))
            }
            Method::RemoteClusterInfo { file, token, credentials } => {
                let info = file.cluster_info(token.id(), system, timeout)?;
                let (token, pins) = (token.clone(), pins.clone());
                let signed = UnverifiedClusterInfo { info, token, pins }.verify(check_clock()?);
                Ok((
                    signed.and_then(|signed| signed.trust_without_peer(system)).map_err(retryable)?,
                    credentials.clone(),
                ))
            }
            Method::Static(cluster) => {
                Ok((cluster.trust(pins, system, check_clock()?)?, cluster.credentials.clone()))
            }
            Method::RemoteKubeconfig { file, token } => {
                let (text, who) = file.text(system, timeout)?;
                let source = KubeconfigSource::fetched(&file.url);
                let cluster = source.read_fetched(text.expose(), token.clone());
                let cluster = cluster.map_err(|e| e.with_note(&format!(" ({who})")))?;
                let trusted = cluster.trust(pins, system, check_clock()?).map_err(retryable)?;
                Ok((trusted, cluster.credentials))
            }
        });
        match attempt {
            Ok((cluster, credentials)) => {
                // A fetched kubeconfig may contain a token: mask it before a server can echo it.
                credentials.token().into_iter().for_each(|token| log.hide(token));
                log.show_name(cluster.server().endpoint().host());
                log_found(method, pins, rotation.asked(), &cluster, log);
                wait_for_token(&credentials, clock, deadline, log)?;
                return Ok((cluster, credentials));
            }
            Err(error) => {
                let pause = if rotation.has_more(&error) {
                    backoff.next_endpoint(error, rotation.asked())?
                } else {
                    backoff.next(error, rotation.asked())?
                };
                log.retry(&pause);
                clock.sleep(pause.delay);
            }
        }
    }
}

/// Waits until a token is in its file, which is first looked at here: the cluster is trusted.
///
/// # Errors
/// `ErrorKind::Files` when the deadline has come.
fn wait_for_token(credentials: &Credentials, clock: &dyn Clock, deadline: Deadline, log: &Log) -> Result<()> {
    let Some(file) = credentials.token_file() else { return Ok(()) };
    let mut backoff = Backoff::new(clock, deadline);
    loop {
        match file.read() {
            Ok(token) => {
                log.hide(&token);
                return Ok(());
            }
            Err(error) => {
                let pause = backoff.next(error, "")?;
                log.retry(&pause);
                clock.sleep(pause.delay);
            }
        }
    }
}

/// Verifies what is known already as [`find`] does, without a request.
///
/// # Errors
/// Permanent failures only; retryable ones (a wrong clock) are ignored.
pub fn check_known(method: &Method, pins: &Pins, system: &System) -> Result<()> {
    let now: SystemTime = system.clock.now();
    let outcome: Result<TrustedCluster> = match method {
        Method::LoadedClusterInfo { info, .. } => {
            info.verify(now).and_then(|signed| signed.trust_without_peer(system))
        }
        Method::Static(cluster) => cluster.trust(pins, system, now),
        _ => return Ok(()),
    };
    match outcome {
        Err(error) if !matches!(error.retry(), Retry::UntilDeadline(_)) => Err(error),
        _ => Ok(()),
    }
}

/// Logs how the cluster was found and why it is trusted.
fn log_found(method: &Method, pins: &Pins, route: &str, cluster: &TrustedCluster, log: &Log) {
    let server = cluster.server().as_str();
    let pinned = if matches!(pins, Pins::None) { "" } else { ", each CA key is pinned" };
    let log_signed = |source: &str, token: &Token| {
        log.info(&format!("discovery: cluster-info {source}"));
        let why = match pins {
            Pins::None => "signature verified, without a CA pin",
            _ => "signature and CA pin verified",
        };
        log.info(&format!("trust: {why} (token {}); API server is {server}", token.id()));
    };
    match method {
        Method::Token { token, .. } => log_signed(&format!("fetched from {route}"), token),
        Method::Pinned { .. } => {
            log.info(&format!("discovery: cluster-info fetched from {route}"));
            log.info(&format!(
                "trust: the certificate of {route} is from a pinned CA; API server is {server}"
            ));
        }
        Method::LoadedClusterInfo { info, .. } => log_signed("read from the given file", &info.token),
        Method::RemoteClusterInfo { file, token, .. } => {
            log_signed(&format!("fetched from {}", file.url.as_str()), token);
        }
        Method::Static(_) => {
            log.info(&format!("trust: server and CA are configured{pinned}; API server is {server}"));
        }
        Method::RemoteKubeconfig { file, .. } => {
            let url = file.url.as_str();
            log.info(&format!("trust: server and CA are read from {url}{pinned}; API server is {server}"));
        }
    }
}
