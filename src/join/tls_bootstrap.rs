//! The client certificate: requested, waited for, and handed over to the kubelet.

use super::{Joining, Run};
use crate::csr::{CertificateRequest, Exchange, IssuedCertificate, Key, Kind, Verdict, Wait, Wanted};
use crate::error::Result;
use crate::limits;
use crate::log::Log;
use crate::node::NodeFiles;
use crate::report::{CertificateInfo, Phase, Report};

impl Run<'_> {
    /// Makes the machine a node with a certificate of its own; kubelet.conf is the last that gets its name.
    ///
    /// # Errors
    /// Whatever ends a certificate request, and [`crate::error::ErrorKind::Files`].
    pub(super) fn tls_bootstrap(&self, joining: &Joining, report: &mut Report) -> Result<()> {
        let Self { options, log, files, .. } = self;
        let clock = &*self.system.clock;
        let Joining { cluster, credentials, bearer, deadline, .. } = joining;
        let wanted = Wanted::client(&self.node).expiring_in(options.expiration_seconds);
        // What can be on disk before the certificate is, is. The token's file, which a joined node does not keep, is
        // only for a wait that lasts.
        let prepare = || {
            self.prepare(joining, options.keep_bootstrap_kubeconfig)?;
            files.stage_kubelet_conf(cluster)
        };
        let mut staged = None;
        let mut meanwhile = |wait: Wait| {
            if staged.is_none() {
                staged = Some(prepare()?);
            }
            if wait == Wait::Lasts { files.write_bootstrap(cluster, credentials) } else { Ok(()) }
        };
        let (key, certificate) = certificate(&wanted, files, log, report, &mut |request, report| {
            report.csr_name = Some(request.name().to_owned());
            let exchange = Exchange::new(cluster.api(), bearer.as_ref(), request, clock, *deadline);
            exchange.run(log, report, &mut meanwhile)
        })?;
        report.end_phase(Phase::Approval, clock);
        let mut facts = CertificateInfo::of(certificate.leaf(), None);
        log.info(&format!("certificate: issued by {}, valid until {}", facts.issuer, facts.not_after));

        let kubelet_conf = staged.map_or_else(prepare, Ok)?;
        facts.file = Some(files.write_pair(Kind::CLIENT, &key, &certificate)?);
        kubelet_conf.commit()?;
        report.certificate = Some(facts);
        files.clean_up(options.keep_bootstrap_kubeconfig)
    }
}

/// Gets the certificate that is wanted, by an `exchange`: with the pending key, or with a new one where the request of
/// an earlier run has used that up.
pub(super) fn certificate(
    wanted: &Wanted,
    files: &NodeFiles,
    log: &Log,
    report: &mut Report,
    exchange: &mut dyn FnMut(&CertificateRequest, &mut Report) -> Result<Verdict>,
) -> Result<(Key, IssuedCertificate)> {
    let mut spent = 0;
    loop {
        let key = files.pending_key(wanted.kind)?;
        files.tell(true, log);
        let request = CertificateRequest::new(&key, wanted)?;
        match exchange(&request, report)? {
            Verdict::Issued(certificate) => return Ok((key, certificate)),
            Verdict::Spent { earlier, error } => {
                files.discard_pending_key(wanted.kind)?;
                spent += 1;
                if !earlier || spent == limits::KEYS_PER_RUN {
                    return Err(error);
                }
                log.info(&format!("{error}; that was an earlier attempt: retrying with a new key"));
            }
        }
    }
}
