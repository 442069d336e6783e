//! The serving certificate, for a node that is joined: the node itself requests it, and does without it as well.

use std::net::IpAddr;

use super::{Run, discard_key, log_progress};
use crate::clock::Deadline;
use crate::config::Serving;
use crate::csr::{
    CertificateKind, CertificateRequest, CertificateTemplate, Exchange, IssuedCertificate, Progress,
};
use crate::error::{Error, ErrorKind, Result, Step};
use crate::http::{System, Verified};
use crate::key::Key;
use crate::limits;
use crate::log::Log;
use crate::node::{Identity, NodeState};
use crate::report::{CertificateInfo, Phase, Report};
use crate::retry::Backoff;
use crate::x509::AltName;

const NO_ADDRESS: &str = "serving: the API server is reached from a loopback or link-local address; a kubelet \
    needs an address of its node in the certificate: use --san";

/// Gets the serving certificate if one is wanted, unless a good one is stored; whether this run got it is returned. Without
/// hosts it is for the node's own name and address.
///
/// Everything that it needs is on disk by now: kubelet.conf, and the pair with which the node speaks for itself.
///
/// # Errors
/// [`ErrorKind::ServingPending`] when nobody has approved it yet, and whatever ends a certificate request. The node stays
/// joined.
pub(super) fn obtain(run: &Run<'_>, report: &mut Report) -> Result<bool> {
    let Some(serving) = &run.options.serving else { return Ok(false) };
    obtain_for(run, serving, report)
        .map_err(|e| e.with_note(" (the node is joined without its serving certificate)"))
}

fn obtain_for(run: &Run<'_>, serving: &Serving, report: &mut Report) -> Result<bool> {
    let Run { system, log, files, node, .. } = run;
    let clock = &*system.clock;
    let mut template =
        CertificateTemplate::serving(node, serving.names.clone()).expiring_in(run.options.expiration_seconds);
    // The address is not known without a connection: where no hosts are given, a stored certificate for the node's name
    // will do. The kubelet looks after its addresses itself.
    let is_unnamed = template.names.as_slice().is_empty();
    if is_unnamed {
        template.names.add(AltName::Dns(node.as_str().to_owned()));
    }
    let stored = files.stored(&template, clock.now())?;
    files.log_findings(true, log);
    if let Some(stored) = stored {
        files.discard_pending_key(CertificateKind::SERVING)?;
        let info = CertificateInfo::of(&stored, None);
        let (names, until) = (&stored.alt_names, &info.not_after);
        log.info(&format!("serving: already has a certificate for {names} until {until}"));
        report.serving_certificate = Some(info);
        return Ok(false);
    }

    let NodeState::Joined(identity) = files.state(node, clock.now())? else {
        let what = "the identity that was just written cannot be read back";
        return Err(Error::new(Step::Files, ErrorKind::Files, what).with_help("run again"));
    };
    let time = if serving.timeout.is_zero() { limits::REQUEST } else { serving.timeout };
    let deadline = run.deadline(time, "--serving-timeout");
    let api = connect(run, *identity)?;
    if is_unnamed {
        match own_address(&api, system, deadline, log)? {
            Some(address) => template.names.add(AltName::Ip(address)),
            None => log.warn(NO_ADDRESS),
        }
    }
    log.info(&format!("serving: requesting a certificate for {}", template.names));
    let (key, certificate) = request(run, &template, &api, deadline, report)?;
    let file = files.write_pair(CertificateKind::SERVING, &key, &certificate)?;
    files.discard_pending_key(CertificateKind::SERVING)?;
    let info = CertificateInfo::of(certificate.leaf(), Some(file));
    log.info(&format!("serving: issued by {}, valid until {}", info.issuer, info.not_after));
    report.serving_certificate = Some(info);
    report.end_phase(Phase::Serving, clock);
    Ok(true)
}

/// Prepares to talk to the API server as the node.
fn connect(run: &Run<'_>, identity: Identity) -> Result<Verified> {
    if let Some(host) = identity.host() {
        run.log.show_name(&host);
    }
    identity.dial(run.system)
}

/// Requests the certificate and waits for it, as long as was said; with no time at all, an undecided request is not waited
/// for.
fn request(
    run: &Run<'_>,
    template: &CertificateTemplate,
    api: &Verified,
    deadline: Deadline,
    report: &mut Report,
) -> Result<(Key, IssuedCertificate)> {
    let Run { options, system, log, files, .. } = run;
    let clock = &*system.clock;
    let no_wait = options.serving.as_ref().is_some_and(|serving| serving.timeout.is_zero());
    let mut key_number = 0;
    loop {
        key_number += 1;
        let key = files.pending_key(CertificateKind::SERVING)?;
        files.log_findings(true, log);
        let request = CertificateRequest::new(&key, template)?;
        report.serving_csr_name = Some(request.name().to_owned());
        let mut exchange = Exchange::new(api, None, &request, clock, deadline);
        if no_wait {
            exchange = exchange.no_wait();
        }
        let (is_earlier, error) = loop {
            let progress = exchange.advance();
            log_progress(&progress, &request, log);
            match progress {
                Progress::Submitted
                | Progress::Resumed
                | Progress::Watching
                | Progress::StillPending { .. } => {}
                Progress::Retry { delay, .. } => clock.sleep(delay),
                Progress::Failed { error, .. } => return Err(error),
                Progress::Unusable { is_earlier, error } => break (is_earlier, error),
                Progress::Issued(certificate) => return Ok((key, certificate)),
            }
        };
        discard_key(template.kind, key_number, is_earlier, error, files, log)?;
    }
}

/// The address of this machine on the connection to the API server, where a kubelet could take it for the node's.
fn own_address(api: &Verified, system: &System, deadline: Deadline, log: &Log) -> Result<Option<IpAddr>> {
    let clock = &*system.clock;
    let mut backoff = Backoff::new(clock, deadline);
    loop {
        let timeout = deadline.left(clock).unwrap_or_default().min(limits::REQUEST);
        match api.local_address(Step::Request, timeout) {
            Ok(address) => return Ok(address.filter(is_node_address)),
            Err(error) => {
                let pause = backoff.next(error, "")?;
                log.retry(&pause);
                clock.sleep(pause.delay);
            }
        }
    }
}

/// What the kubelet accepts for a node's address (`pkg/kubelet/kubelet_node_status.go`, `validateNodeIP`): an address of
/// this machine, which ours is, and none that only the machine or its link knows.
fn is_node_address(address: &IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(address.is_loopback() || address.is_multicast() || address.is_unspecified() || link_local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_that_others_can_reach_is_node_address() {
        for (address, good) in [
            ("10.0.0.5", true),
            ("fd00::5", true),
            ("203.0.113.7", true),
            ("127.0.0.1", false),
            ("::1", false),
            ("0.0.0.0", false),
            ("169.254.7.7", false),
            ("fe80::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_node_address(&address.parse().unwrap()), good, "{address}");
        }
    }
}
