//! The issued certificate, once it is found to be this node's.

use std::time::SystemTime;

use super::request::CertificateRequest;
use crate::asn1;
use crate::error::{Error, ErrorKind, Result, Retry, Step};
use crate::limits;
use crate::pem_blocks::{self, blocks};
use crate::x509::{self, Certificate};

/// A certificate that holds our key and is what was asked for. Only [`IssuedCertificate::check`] makes one.
#[derive(Debug)]
pub struct IssuedCertificate {
    pem: String,
    /// The leaf, of which there is always one, and its chain; the kubelet checks the time of all of them.
    chain: Vec<Certificate>,
}

impl IssuedCertificate {
    /// Holds what the API server issued against what was asked for: our key, `O=system:nodes`, our CN and no other
    /// attribute, the kind's usage, our hosts, no CA. The issuer is not checked: a cluster may sign nodes with another
    /// CA than the one that serves (`--cluster-signing-kubelet-client-cert-file`).
    ///
    /// # Errors
    /// [`ErrorKind::NotTrusted`].
    pub(super) fn check(pem: &[u8], request: &CertificateRequest) -> Result<Self> {
        let unfit = |problem: &str| {
            let what = format!("the certificate issued for CSR {} {problem}", request.name());
            Error::new(Step::Certificate, ErrorKind::NotTrusted, what)
                .with_help("check the configuration of the signer")
        };
        let blocks = blocks(pem).ok_or_else(|| unfit("is not PEM"))?;
        let certificates: Vec<_> = blocks.iter().filter(|block| x509::is_certificate(block)).collect();
        if certificates.is_empty() || certificates.len() > limits::CERTIFICATES {
            return Err(unfit("is not one certificate and its chain"));
        }
        let chain: asn1::Result<Vec<_>> =
            certificates.iter().map(|block| Certificate::from_der(block.contents())).collect();
        let chain = chain.map_err(|_| unfit("is malformed"))?;
        let leaf = &chain[0];
        if leaf.spki != request.spki {
            return Err(unfit("is for another key"));
        }
        request.template.matches(leaf).map_err(|problem| unfit(&problem))?;
        let encode = |certificate: &Certificate| pem_blocks::encode("CERTIFICATE", &certificate.der);
        let pem = chain.iter().map(encode).collect();
        Ok(Self { pem, chain })
    }

    /// Whether its time, or that of a certificate in its chain, is over.
    pub(super) fn is_expired(&self, now: SystemTime) -> bool {
        self.chain.iter().any(|certificate| certificate.not_after < now)
    }

    /// The clock failure, which is retryable, when `now` lies outside the validity of one of them.
    pub(super) fn validity_error(&self, now: SystemTime) -> Option<Error> {
        let misfit = self.chain.iter().find(|certificate| !certificate.is_valid_at(now))?;
        let what = ["the issued certificate of ", &misfit.describe_validity(now)].concat();
        Some(
            Error::new(Step::Certificate, ErrorKind::Clock, what)
                .with_help("set the clock, or check the configuration of the signer")
                .with_retry(Retry::UntilDeadline(None)),
        )
    }

    /// The certificate and its chain, leaf first, each block encoded as the kubelet's store does.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificate itself, without its chain.
    pub fn leaf(&self) -> &Certificate {
        &self.chain[0]
    }
}
