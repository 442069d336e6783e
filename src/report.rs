//! What machines read of a run: one JSON object at the end.

use std::time::Duration;

use serde::Serialize;

use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::log::Log;
use crate::x509::{self, Certificate};

/// How a run ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Success {
    /// The node has its client certificate and kubelet.conf, and its serving certificate where it was asked for.
    Joined,
    /// It had all of them before: nothing was done, no connection made.
    AlreadyJoined,
    /// ca.crt and bootstrap-kubelet.conf are in place; the kubelet does the rest.
    Prepared,
    /// The cluster can be trusted and would take the node's files; nothing was written.
    DryRun,
    /// Nothing is in the image that must not be there.
    Checked,
    /// A given cluster-info can be trusted.
    Verified,
    /// The pins are printed.
    Hashed,
}

impl Success {
    /// The name that reports give it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::AlreadyJoined => "already-joined",
            Self::Prepared => "prepared",
            Self::DryRun => "dry-run",
            Self::Checked => "checked",
            Self::Verified => "verified",
            Self::Hashed => "hashed",
        }
    }
}

/// The part of a run whose time is reported on its own.
#[derive(Clone, Copy, Debug)]
pub enum Phase {
    /// Until the splay is over, where there is one.
    Splay,
    /// Until the cluster is trusted.
    Discovery,
    /// Until the certificate request is with the API server.
    Request,
    /// Until the certificate is issued.
    Approval,
    /// Until the last file of the client's identity is durable.
    Files,
    /// Until the serving certificate is stored.
    Serving,
}

/// The node's certificate, as the report shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateInfo {
    /// The issuer's distinguished name; informative, clusters may sign nodes with a CA of their own.
    pub issuer: String,
    /// RFC 3339, UTC.
    pub not_after: String,
    /// Where the pair was stored by this run, without the root.
    pub file: Option<String>,
}

impl CertificateInfo {
    /// Those of a certificate that is the node's, which this run has stored in `file`, or found there.
    pub fn of(certificate: &Certificate, file: Option<String>) -> Self {
        let not_after = x509::utc(certificate.not_after);
        Self { issuer: certificate.issuer.to_string(), not_after, file }
    }
}

/// Something in an image that should not be there, or is not and should.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Where, without the root.
    pub path: String,
    /// Why.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// No machine may be made of the image.
    Error,
    /// It may be meant.
    Warning,
}

impl Level {
    /// The word that begins its line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

#[derive(Debug, Default, Serialize)]
struct Milliseconds {
    #[serde(skip_serializing_if = "Option::is_none")]
    splay: Option<u64>,
    discovery: Option<u64>,
    request: Option<u64>,
    approval: Option<u64>,
    files: Option<u64>,
    serving: Option<u64>,
    total: u64,
}

/// The report of one run. Public fields are facts that stages fill in as they learn them.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    version: &'static str,
    outcome: &'static str,
    exit_code: u8,
    /// The error and its causes, outermost first; empty after a success.
    error: Vec<String>,
    /// What to do about it.
    help: Option<String>,
    /// The node's name.
    pub node_name: Option<String>,
    /// The API server's URL.
    pub server: Option<String>,
    /// The name of the CertificateSigningRequest.
    pub csr_name: Option<String>,
    /// The client certificate. Where it is there, the node is joined, whatever the outcome.
    pub certificate: Option<CertificateInfo>,
    /// The name of the CertificateSigningRequest for the serving certificate.
    pub serving_csr_name: Option<String>,
    /// The serving certificate.
    pub serving_certificate: Option<CertificateInfo>,
    /// Pins of the cluster's CA certificates, as `--discovery-token-ca-cert-hash` takes them.
    pub ca_hashes: Vec<String>,
    /// What an image was found to hold, where one was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<Vec<Finding>>,
    milliseconds: Milliseconds,
    /// HTTP requests that were answered.
    pub requests: u32,
    /// TLS handshakes completed.
    pub handshakes: u32,
    #[serde(skip)]
    phase_began: Duration,
}

impl Report {
    /// An empty report.
    pub fn new() -> Self {
        Self { version: env!("CARGO_PKG_VERSION"), ..Self::default() }
    }

    /// Notes that `phase` ends now.
    pub fn end_phase(&mut self, phase: Phase, clock: &dyn Clock) {
        let now = clock.elapsed();
        let spent = Some(milliseconds(now.saturating_sub(self.phase_began)));
        self.phase_began = now;
        match phase {
            Phase::Splay => self.milliseconds.splay = spent,
            Phase::Discovery => self.milliseconds.discovery = spent,
            Phase::Request => self.milliseconds.request = spent,
            Phase::Approval => self.milliseconds.approval = spent,
            Phase::Files => self.milliseconds.files = spent,
            Phase::Serving => self.milliseconds.serving = spent,
        }
    }

    /// Notes how the run ended, and returns the exit code. `log` knows what must not be seen of words of others.
    pub fn finish(&mut self, result: &Result<Success>, clock: &dyn Clock, log: &Log) -> u8 {
        self.milliseconds.total = milliseconds(clock.elapsed());
        let certificates = [&mut self.certificate, &mut self.serving_certificate];
        let issuers = certificates.into_iter().flatten().map(|facts| &mut facts.issuer);
        for foreign in issuers.chain(&mut self.server) {
            *foreign = log.redact(foreign);
        }
        match result {
            Ok(success) => {
                self.outcome = success.name();
                self.exit_code = 0;
            }
            Err(error) => {
                self.outcome = error.kind().name();
                self.exit_code = error.kind().exit_code();
                self.error = error.chain().iter().map(|line| log.redact(line)).collect();
                self.help = error.help().map(|help| log.redact(&help));
            }
        }
        self.exit_code
    }

    /// The report as one JSON object and a line break.
    ///
    /// # Errors
    /// Never in practice: every field serialises.
    pub fn json(&self, log: &Log) -> Result<String> {
        let json = serde_json::to_string(self)
            .map_err(|_| Error::new(Step::Options, ErrorKind::Internal, "cannot write the report"))?;
        Ok(log.redact(&json) + "\n")
    }
}

/// A duration as people and reports have it.
pub fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
