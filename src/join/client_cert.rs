//! The node's client certificate: requested, waited for, and handed over to the kubelet. The exchange is polled; what is written
//! while it waits, and when, is decided here.

use super::{Enrollment, Run, discard_key, log_progress, write_files};
use crate::csr::{CertificateKind, CertificateRequest, CertificateTemplate, Exchange, Progress};
use crate::error::{Error, Result};
use crate::node::KubeletConf;
use crate::report::{CertificateInfo, Phase, Report};

/// Makes the machine a node with a certificate of its own; kubelet.conf is the last file that gets its name.
///
/// # Errors
/// Whatever ends a certificate request, and [`crate::error::ErrorKind::Files`].
pub(super) fn obtain(run: &Run<'_>, enrollment: &Enrollment, report: &mut Report) -> Result<()> {
    let Run { options, system, log, files, node, .. } = run;
    let Enrollment { cluster, bearer, deadline, .. } = enrollment;
    let clock = &*system.clock;
    let template = CertificateTemplate::client(node).expiring_in(options.expiration_seconds);
    let mut staged = Files { run, enrollment, kubelet_conf: None };
    let mut key_number = 0;
    loop {
        key_number += 1;
        let key = files.pending_key(CertificateKind::CLIENT)?; // durable before it is used; an earlier run's if there is one
        files.log_findings(true, log);
        let request = CertificateRequest::new(&key, &template)?;
        report.csr_name = Some(request.name().to_owned());
        let mut exchange = Exchange::new(cluster.api(), bearer.as_ref(), &request, clock, *deadline);
        let (is_earlier, error) = loop {
            let progress = exchange.advance();
            log_progress(&progress, &request, log);
            match progress {
                Progress::Submitted => report.end_phase(Phase::Request, clock),
                Progress::Resumed => {}
                Progress::Watching => staged.stage().or_else(|error| staged.stage_again(error))?,
                Progress::StillPending { .. } => {
                    staged.stage_with_token().or_else(|error| staged.stage_again(error))?;
                }
                Progress::Retry { delay, is_submitted, .. } => {
                    if is_submitted {
                        staged.stage_with_token()?;
                    }
                    clock.sleep(delay);
                }
                Progress::Failed { error, is_submitted } => {
                    if is_submitted {
                        staged.stage_with_token()?;
                    }
                    return Err(error);
                }
                Progress::Unusable { is_earlier, error } => break (is_earlier, error),
                Progress::Issued(certificate) => {
                    report.end_phase(Phase::Approval, clock);
                    let mut info = CertificateInfo::of(certificate.leaf(), None);
                    log.info(&format!(
                        "certificate: issued by {}, valid until {}",
                        info.issuer, info.not_after
                    ));
                    let kubelet_conf = staged.into_kubelet_conf()?;
                    info.file = Some(files.write_pair(CertificateKind::CLIENT, &key, &certificate)?);
                    kubelet_conf.commit()?; // the node is joined
                    report.certificate = Some(info);
                    return files.clean_up(options.keep_bootstrap_kubeconfig);
                }
            }
        };
        discard_key(template.kind, key_number, is_earlier, error, files, log)?;
    }
}

/// What is written while the certificate is waited for.
struct Files<'a> {
    run: &'a Run<'a>,
    enrollment: &'a Enrollment,
    /// Complete but for its name.
    kubelet_conf: Option<KubeletConf>,
}

impl Files<'_> {
    /// Writes all that does not depend on the certificate, once.
    fn stage(&mut self) -> Result<()> {
        if self.kubelet_conf.is_none() {
            self.kubelet_conf = Some(self.write()?);
        }
        Ok(())
    }

    /// Writes what can be on disk before there is a certificate, and the file with the token, which a joined node does
    /// not keep: with it a kubelet can finish alone, should this run end without a certificate.
    fn stage_with_token(&mut self) -> Result<()> {
        self.stage()?;
        let Enrollment { cluster, credentials, .. } = self.enrollment;
        if credentials.fit_kubelet() { self.run.files.write_bootstrap(cluster, credentials) } else { Ok(()) }
    }

    /// What cannot be written ends the run. The request may be approved nevertheless, so that a second attempt is made to
    /// leave all that a kubelet needs.
    fn stage_again(&mut self, error: Error) -> Result<()> {
        self.stage_with_token().and(Err(error))
    }

    /// kubelet.conf, behind which all else that is staged is durable.
    fn into_kubelet_conf(mut self) -> Result<KubeletConf> {
        match self.kubelet_conf.take() {
            Some(staged) => Ok(staged),
            None => self.write(),
        }
    }

    fn write(&self) -> Result<KubeletConf> {
        let (files, Enrollment { cluster, credentials, .. }) = (&self.run.files, self.enrollment);
        write_files(files, self.enrollment)?;
        if self.run.options.keep_bootstrap_kubeconfig {
            files.write_bootstrap(cluster, credentials)?;
        }
        files.stage_kubelet_conf(cluster)
    }
}
