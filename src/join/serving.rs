//! The serving certificate, for a node that is joined: the node itself requests it, and does without it as well.

use std::net::IpAddr;

use super::Run;
use super::tls_bootstrap::certificate;
use crate::clock::Deadline;
use crate::csr::{Exchange, Kind, Wanted};
use crate::error::{Error, ErrorKind, Result, Step};
use crate::http::{System, Verified};
use crate::limits;
use crate::log::Log;
use crate::node::Existing;
use crate::options::Serving;
use crate::report::{CertificateInfo, Phase, Report};
use crate::retry::Backoff;
use crate::x509::AltName;

const NO_ADDRESS: &str = "serving: the API server is reached from a loopback or link-local address; a kubelet \
    needs an address of its node in the certificate: use --san";

impl Run<'_> {
    /// Gets the serving certificate if one is wanted, unless a good one is stored; whether this run got it is returned. It
    /// is waited for no longer than was said; with no time at all it is looked at once. Without hosts it is for the node's
    /// own name and address.
    ///
    /// Everything that it needs is on disk by now: kubelet.conf, and the pair with which the node speaks for itself.
    ///
    /// # Errors
    /// [`ErrorKind::ServingPending`] when nobody has approved it yet, and whatever ends a certificate request. The node
    /// stays joined.
    pub(super) fn serve(&self, report: &mut Report) -> Result<bool> {
        let Some(serving) = &self.options.serving else { return Ok(false) };
        self.serving(serving, report)
            .map_err(|e| e.with_note(" (the node is joined without its serving certificate)"))
    }

    fn serving(&self, serving: &Serving, report: &mut Report) -> Result<bool> {
        let Self { system, log, files, node, .. } = self;
        let mut wanted =
            Wanted::serving(node, serving.names.clone()).expiring_in(self.options.expiration_seconds);
        let clock = &*system.clock;
        // The address is not known without a connection: where no hosts are given, a pair for the node's name will do. The
        // kubelet looks after its addresses itself.
        let unnamed = wanted.names.as_slice().is_empty();
        if unnamed {
            wanted.names.add(AltName::Dns(wanted.node.as_str().to_owned()));
        }
        let stored = files.stored(&wanted, clock.now())?;
        files.tell(true, log);
        if let Some(stored) = stored {
            files.discard_pending_key(Kind::SERVING)?;
            let facts = CertificateInfo::of(&stored, None);
            log.info(&format!(
                "serving: already has a certificate for {} until {}",
                stored.alt_names, facts.not_after
            ));
            report.serving_certificate = Some(facts);
            return Ok(false);
        }

        let Existing::Joined(identity) = files.existing(node, clock.now())? else {
            let what = "the identity that was just written cannot be read back";
            return Err(Error::new(Step::Files, ErrorKind::Files, what).with_help("run again"));
        };
        let looks_once = serving.timeout.is_zero();
        let time = if looks_once { limits::REQUEST } else { serving.timeout };
        let deadline = Deadline::after(clock, time).earlier(self.overall);
        if let Some(host) = identity.host() {
            log.show_name(&host);
        }
        let api = identity.dial(system)?;
        if unnamed {
            match own_address(&api, system, deadline, log)? {
                Some(address) => wanted.names.add(AltName::Ip(address)),
                None => log.warn(NO_ADDRESS),
            }
        }
        log.info(&format!("serving: requesting a certificate for {}", wanted.names));
        let (key, certificate) = certificate(&wanted, files, log, report, &mut |request, report| {
            report.serving_csr_name = Some(request.name().to_owned());
            let exchange = Exchange::new(&api, None, request, clock, deadline);
            let exchange = if looks_once { exchange.looking_once() } else { exchange };
            exchange.run(log, report, &mut |_| Ok(()))
        })?;
        let file = files.write_pair(Kind::SERVING, &key, &certificate)?;
        files.discard_pending_key(Kind::SERVING)?;
        let facts = CertificateInfo::of(certificate.leaf(), Some(file));
        log.info(&format!("serving: issued by {}, valid until {}", facts.issuer, facts.not_after));
        report.serving_certificate = Some(facts);
        report.end_phase(Phase::Serving, clock);
        Ok(true)
    }
}

/// The address of this machine on the connection to the API server, where a kubelet could take it for the node's.
fn own_address(api: &Verified, system: &System, deadline: Deadline, log: &Log) -> Result<Option<IpAddr>> {
    let clock = &*system.clock;
    let mut backoff = Backoff::new(clock, deadline);
    loop {
        let timeout = deadline.left(clock).unwrap_or_default().min(limits::REQUEST);
        match api.local_address(Step::Request, timeout) {
            Ok(address) => return Ok(address.filter(is_a_nodes)),
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
fn is_a_nodes(address: &IpAddr) -> bool {
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
    fn only_an_address_that_others_can_reach_is_a_nodes() {
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
            assert_eq!(is_a_nodes(&address.parse().unwrap()), good, "{address}");
        }
    }
}
