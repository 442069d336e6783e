//! A server's certificate chain, judged by webpki's rules (RFC 5280, section 6; RFC 6125 for the name), and by two that
//! webpki leaves out and Go keeps: whoever signs a certificate may do so by its own key usage, and as far down as the
//! root's path length allows.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::{CertificateError, Error, OtherError};
use webpki::{EndEntityCert, InvalidNameContext, KeyUsage, VerifiedPath, anchor_from_trusted_cert};

use super::tls::SIGNATURES;
use crate::x509::Certificate;

/// What chains may end at.
#[derive(Debug)]
pub(super) struct Anchors {
    anchors: Vec<TrustAnchor<'static>>,
    /// For each the most CAs below it, where its certificate says so (pathLenConstraint).
    depths: Vec<Option<usize>>,
}

impl Anchors {
    /// Those of a programme that has judged them.
    pub(super) fn of(anchors: &[TrustAnchor<'static>]) -> Self {
        Self { anchors: anchors.to_vec(), depths: vec![None; anchors.len()] }
    }

    /// Reads the certificates of roots.
    ///
    /// # Errors
    /// When webpki cannot read one.
    pub(super) fn read<'a>(roots: impl IntoIterator<Item = &'a Certificate>) -> Result<Self, webpki::Error> {
        let (mut anchors, mut depths) = (Vec::new(), Vec::new());
        for root in roots {
            anchors.push(anchor_from_trusted_cert(&CertificateDer::from_slice(&root.der))?.to_owned());
            depths.push(root.path_length);
        }
        Ok(Self { anchors, depths })
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
        self.judge(leaf, others, server_name, now).map_err(|e| Error::InvalidCertificate(error(e)))
    }

    /// The same, as a handshake asks.
    pub(super) fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let leaf = EndEntityCert::try_from(leaf)?;
        let rules = |path: &VerifiedPath<'_>| self.check_path(path);
        let usage = KeyUsage::server_auth();
        leaf.verify_for_usage(SIGNATURES.all, &self.anchors, others, now, usage, None, Some(&rules))?;
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
        let mut anchors = self.anchors.iter().zip(&self.depths);
        let depth = anchors.find_map(|(anchor, depth)| (anchor == path.anchor()).then_some(*depth));
        match depth.flatten() {
            Some(depth) if below > depth => Err(webpki::Error::PathLenConstraintViolated),
            _ => Ok(()),
        }
    }
}

/// webpki's word, as rustls passes it on: what is about the time, and what has words for people.
pub(super) fn error(error: webpki::Error) -> CertificateError {
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
