//! Which cluster: asked for, and trusted, until the deadline.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{
    Run, fetched,
    round::{Round, again},
};
use crate::clock::{Deadline, distance};
use crate::csr::Credentials;
use crate::discovery::ClusterInfo;
use crate::error::{Error, ErrorKind, Result, Retry, Step};
use crate::http::{System, Unverified};
use crate::limits;
use crate::log::Log;
use crate::options::{Discovery, Source, Vouched};
use crate::report::{Phase, Report};
use crate::retry::Backoff;
use crate::trust::{self, Pins, Token, TrustedCluster};
use crate::x509;

impl Run<'_> {
    /// Finds the cluster and tries until it can be trusted, or until it is clear that it cannot be.
    ///
    /// # Errors
    /// The last failure to find or to trust it.
    pub(super) fn discover(
        &self,
        method: &Discovery,
        report: &mut Report,
    ) -> Result<(TrustedCluster, Credentials)> {
        let Self { options, system, log, overall, .. } = *self;
        let (clock, pins) = (&*system.clock, &options.pins);
        let deadline = Deadline::after(clock, options.discovery_timeout).set_by("--discovery-timeout");
        let deadline = deadline.earlier(overall);
        method.tokens().for_each(|token| log.hide(token));
        let mut backoff = Backoff::new(clock, deadline);
        let mut round = match method {
            Discovery::Token { endpoints, .. } => Round::of(Unverified::to_each(system, endpoints)?),
            _ => Round::of(Vec::new()),
        };
        // What comes is judged by the clock as it is then: it may have been set since it was asked for.
        let now = || after_build(clock.now());
        loop {
            let timeout = deadline.left(clock).unwrap_or_default().min(limits::REQUEST);
            let attempt = now().and_then(|_| match method {
                Discovery::Token { token, credentials, .. } => {
                    let judge = |info: &_| trust::verify(info, token, pins, now()?);
                    let cluster = round.ask(token.id(), timeout, judge)?;
                    Ok((cluster, credentials.clone()))
                }
                Discovery::ClusterInfo { info, token, credentials } => match info {
                    // The same text again would be no other.
                    Source::Read(info) => published(info, token, credentials, pins, system, now()?),
                    Source::Behind(file) => {
                        let info = fetched::cluster_info(file, token, system, timeout)?;
                        published(&info, token, credentials, pins, system, now()?).map_err(again)
                    }
                },
                Discovery::Given(vouched) => given(vouched, pins, system, now()?),
                Discovery::Kubeconfig { download, token } => {
                    let vouched = fetched::kubeconfig(download, token.as_ref(), system, timeout)?;
                    given(&vouched, pins, system, now()?).map_err(again)
                }
            });
            match attempt {
                Ok((cluster, credentials)) => {
                    // What was fetched is new; from here on servers are asked with it, who can repeat it.
                    credentials.token().into_iter().for_each(|token| log.hide(token));
                    report.server = Some(cluster.server().as_str().to_owned());
                    log.show_name(cluster.server().endpoint().host());
                    report.ca_hashes = cluster.authorities().pins();
                    report.end_phase(Phase::Discovery, clock);
                    tell(method, pins, round.asked(), &cluster, log);
                    return Ok((cluster, credentials));
                }
                Err(error) => {
                    let pause = if round.goes_on(&error) {
                        backoff.next_endpoint(error, round.asked())?
                    } else {
                        backoff.next(error, round.asked())?
                    };
                    log.retry(&pause);
                    clock.sleep(pause.delay);
                }
            }
        }
    }

    /// Judges what is given already as [`Self::discover`] does, without asking anybody.
    ///
    /// # Errors
    /// As of [`Self::discover`], but for what may heal.
    pub(super) fn judge_given(&self, method: &Discovery) -> Result<()> {
        let Self { options, system, .. } = *self;
        let now = system.clock.now();
        let judged = match method {
            Discovery::ClusterInfo { info: Source::Read(info), token, credentials } => {
                published(info, token, credentials, &options.pins, system, now).map(drop)
            }
            Discovery::Given(vouched) => given(vouched, &options.pins, system, now).map(drop),
            _ => Ok(()),
        };
        judged.or_else(|e| if matches!(e.retry(), Retry::UntilDeadline(_)) { Ok(()) } else { Err(e) })
    }
}

/// Judges a cluster-info that no server of the cluster has delivered.
fn published(
    info: &ClusterInfo,
    token: &Token,
    credentials: &Credentials,
    pins: &Pins,
    system: &System,
    now: SystemTime,
) -> Result<(TrustedCluster, Credentials)> {
    let cluster = trust::verify(info, token, pins, now)?.without_peer(system)?;
    Ok((cluster, credentials.clone()))
}

fn given(
    vouched: &Vouched,
    pins: &Pins,
    system: &System,
    now: SystemTime,
) -> Result<(TrustedCluster, Credentials)> {
    let Vouched { cluster, credentials } = vouched;
    Ok((trust::given(system, cluster, pins, credentials.identity(), now)?, credentials.clone()))
}

/// Says how the cluster was found and why it is trusted.
fn tell(method: &Discovery, pins: &Pins, route: &str, cluster: &TrustedCluster, log: &Log) {
    let server = cluster.server().as_str();
    let pinned = if matches!(pins, Pins::None) { "" } else { ", each CA key is pinned" };
    let (source, token) = match method {
        Discovery::Token { token, .. } => (format!("fetched from {route}"), token),
        Discovery::ClusterInfo { info: Source::Read(_), token, .. } => {
            ("read from the given file".to_owned(), token)
        }
        Discovery::ClusterInfo { info: Source::Behind(file), token, .. } => {
            (format!("fetched from {}", file.url.as_str()), token)
        }
        Discovery::Given(_) => {
            return log.info(&format!("trust: server and CA are configured{pinned}; API server is {server}"));
        }
        Discovery::Kubeconfig { download: file, .. } => {
            let url = file.url.as_str();
            return log
                .info(&format!("trust: server and CA are read from {url}{pinned}; API server is {server}"));
        }
    };
    log.info(&format!("discovery: cluster-info {source}"));
    let why = match pins {
        Pins::None => "signature verified, without a CA pin",
        _ => "signature and CA pin verified",
    };
    log.info(&format!("trust: {why} (token {}); API server is {server}", token.id()));
}

/// `now`: a clock that is behind the program's own making is wrong, whatever certificates say.
///
/// # Errors
/// [`ErrorKind::Clock`], which may heal.
pub(crate) fn after_build(now: SystemTime) -> Result<SystemTime> {
    let built = UNIX_EPOCH + Duration::from_secs(env!("NODESTRAP_BUILD_TIME").parse().unwrap_or_default());
    if now >= built {
        return Ok(now);
    }
    let what = format!(
        "system time is {}, nodestrap was built at {}, {} later: the clock is behind, or that of the build was ahead",
        x509::utc(now),
        x509::utc(built),
        distance(now, built)
    );
    Err(Error::new(Step::Trust, ErrorKind::Clock, what)
        .with_help("set the clock")
        .with_retry(Retry::UntilDeadline(None)))
}
