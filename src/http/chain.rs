//! A server's certificate chain, judged by webpki's rules (RFC 5280, section 6; RFC 6125 for the name), and by two that
//! webpki leaves out and Go keeps: whoever signs a certificate may do so by its own key usage, and as far down as the
//! root's path length allows. And by one of our own: a kubelet is no API server.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::{CertificateError, Error, OtherError};
use webpki::{EndEntityCert, InvalidNameContext, KeyUsage, VerifiedPath, anchor_from_trusted_cert};

use super::tls::SIGNATURES;
use crate::node::ORGANIZATION;
use crate::x509::{Certificate, is_of_organization};

/// What is said of a chain that verifies, and whose leaf is a kubelet's serving certificate
/// (`pkg/apis/certificates`, `ValidateKubeletServingCSR`).
pub(super) const KUBELETS_CERTIFICATE: CertificateError = CertificateError::ApplicationVerificationFailure;

/// What chains may end at.
#[derive(Debug)]
pub(super) struct Anchors {
    roots: Vec<TrustAnchor<'static>>,
    /// For each the most CAs below it, where its certificate says so (pathLenConstraint).
    depths: Vec<Option<usize>>,
    /// What may stand between an anchor and a server, beside what the server sends.
    between: Vec<CertificateDer<'static>>,
}

impl Anchors {
    /// Those of a programme that has judged them.
    pub(super) fn of(anchors: &[TrustAnchor<'static>]) -> Self {
        Self { roots: anchors.to_vec(), depths: vec![None; anchors.len()], between: Vec::new() }
    }

    /// Reads the certificates of roots, and takes those of others that may stand between.
    ///
    /// # Errors
    /// When webpki cannot read a root.
    pub(super) fn read<'a>(
        roots: impl IntoIterator<Item = &'a Certificate>,
        between: impl IntoIterator<Item = &'a Certificate>,
    ) -> Result<Self, webpki::Error> {
        let (mut anchors, mut depths) = (Vec::new(), Vec::new());
        for root in roots {
            anchors.push(anchor_from_trusted_cert(&CertificateDer::from_slice(&root.der))?.to_owned());
            depths.push(root.path_length);
        }
        let between = between.into_iter().map(|other| other.der.clone().into()).collect();
        Ok(Self { roots: anchors, depths, between })
    }

    /// Judges a chain that a server has shown, leaf first.
    ///
    /// # Errors
    /// Why it does not lead to one of these, is not valid `now`, or does not name the server.
    pub(super) fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: SystemTime,
    ) -> Result<(), Error> {
        let (leaf, others) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        self.judge(leaf, others, server_name, now).map_err(Error::InvalidCertificate)
    }

    /// The same, as a handshake asks.
    pub(super) fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        self.find_path(leaf, others, server_name, now).map_err(error)?;
        // A cluster's CA signs kubelets' serving certificates too, for names that an approver has let pass.
        match is_of_organization(leaf, ORGANIZATION) {
            Ok(false) => Ok(()),
            _ => Err(KUBELETS_CERTIFICATE),
        }
    }

    /// What webpki says.
    fn find_path(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let leaf = EndEntityCert::try_from(leaf)?;
        // webpki tries a bounded number of paths, more of them for each certificate that is there twice.
        let between = self.between.iter().filter(|own| !others.contains(own));
        let others: Vec<CertificateDer<'_>> =
            others.iter().chain(between).map(|other| CertificateDer::from_slice(other)).collect();
        let rules = |path: &VerifiedPath<'_>| self.check_path(path);
        let usage = KeyUsage::server_auth();
        leaf.verify_for_usage(SIGNATURES.all, &self.roots, &others, now, usage, None, Some(&rules))?;
        leaf.verify_is_valid_for_subject_name(server_name)
    }

    /// The two rules, for a path that webpki has found (RFC 5280, section 6.1.4 (n) and (m)).
    fn check_path(&self, path: &VerifiedPath<'_>) -> Result<(), webpki::Error> {
        let mut below = 0;
        for authority in path.intermediate_certificates() {
            if !Certificate::from_der(&authority.der()).is_ok_and(|authority| authority.may_issue) {
                return Err(webpki::Error::EndEntityUsedAsCa);
            }
            below += 1;
        }
        let mut anchors = self.roots.iter().zip(&self.depths);
        let depth = anchors.find_map(|(anchor, depth)| (anchor == path.anchor()).then_some(*depth));
        match depth.flatten() {
            Some(depth) if below > depth => Err(webpki::Error::PathLenConstraintViolated),
            _ => Ok(()),
        }
    }
}

/// webpki's word, as rustls passes it on: what is about the time, and what has words for people.
fn error(error: webpki::Error) -> CertificateError {
    use webpki::Error as Webpki;
    match error {
        Webpki::CertExpired { .. } => CertificateError::Expired,
        Webpki::CertNotValidYet { .. } => CertificateError::NotValidYet,
        Webpki::UnknownIssuer => CertificateError::UnknownIssuer,
        Webpki::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        Webpki::CertNotValidForName(InvalidNameContext { expected, presented }) => {
            CertificateError::NotValidForNameContext { expected, presented }
        }
        other => CertificateError::Other(OtherError(Arc::new(other))),
    }
}
