//! A server's certificate chain, verified as Go verifies it (`crypto/x509`, `Verify`), which every other client of an API
//! server does: by webpki's rules (RFC 5280, section 6; RFC 6125 for the name), and by those that webpki leaves out.
//! Whoever signs a certificate may do so by its own key usage, and as far down as the root's path length allows. A
//! certificate that is among the roots byte for byte is a chain by itself, with any signature. A root may be older
//! than version 3 of X.509, and nothing else may. And by one rule of our own: a kubelet is no API server.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use super::problem::{self, Problem};
use super::signatures::SIGNATURES;
use crate::asn1::Reader;
use crate::node_name::ORGANIZATION;
use crate::x509::{Certificate, is_of_organization};

/// Roots that server chains may end at.
#[derive(Debug)]
pub struct Roots(pub(super) Arc<Anchors>);

impl Roots {
    /// Takes certificates that the caller has found to be trusted, of which those that may not sign for servers stand for
    /// themselves only; and others that may stand between one of them and a server, whether the server sends them or not.
    pub fn new<'a>(
        roots: impl IntoIterator<Item = &'a Certificate>,
        between: impl IntoIterator<Item = &'a Certificate>,
    ) -> Self {
        Self(Arc::new(Anchors::read(roots, between)))
    }

    /// The public roots that are built in, those of Mozilla's root program: good for a file that the public web serves, and
    /// never for a cluster.
    pub fn public() -> Self {
        // Names and keys stay where they are in the binary; what is copied are references to them.
        Self(Arc::new(Anchors::of(webpki_roots::TLS_SERVER_ROOTS)))
    }
}

/// What chains may end at.
#[derive(Debug)]
pub(super) struct Anchors {
    signers: Vec<TrustAnchor<'static>>,
    /// The certificates of all roots, also of those that may not sign; none for a root program's.
    roots: Vec<Certificate>,
    /// What may stand between a root and a server, beside what the server sends.
    between: Vec<CertificateDer<'static>>,
}

impl Anchors {
    /// Those of a root program that has verified them.
    pub(super) fn of(anchors: &[TrustAnchor<'static>]) -> Self {
        Self { signers: anchors.to_vec(), roots: Vec::new(), between: Vec::new() }
    }

    /// Takes certificates for roots, of which those that may not sign, or not for servers, stand for themselves only; and
    /// others that may stand between.
    pub(super) fn read<'a>(
        roots: impl IntoIterator<Item = &'a Certificate>,
        between: impl IntoIterator<Item = &'a Certificate>,
    ) -> Self {
        let roots: Vec<_> = roots.into_iter().cloned().collect();
        let signers = roots.iter().filter_map(anchor).map(|anchor| anchor.to_owned()).collect();
        let between = between.into_iter().map(|other| other.der.clone().into()).collect();
        Self { signers, roots, between }
    }

    /// Verifies a chain that a server has shown, leaf first.
    ///
    /// # Errors
    /// Why it does not lead to one of these, is not valid `now`, or does not name the server.
    pub(super) fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: SystemTime,
    ) -> Result<(), Problem> {
        let Some((leaf, others)) = chain.split_first() else {
            return Err(Problem::Wrong("the server presented no certificate".to_owned()));
        };
        self.check(leaf, others, server_name, unix(now))
    }

    /// Verifies a chain that a server has shown, as a handshake asks.
    pub(super) fn check(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Problem> {
        let time = UNIX_EPOCH + Duration::from_secs(now.as_secs());
        // A path through a root is one to that root; webpki would tell what is wrong behind it.
        let is_no_root = |other: &&CertificateDer<'_>| {
            !self.roots.iter().any(|root| root.can_sign_certs && root.der == other.as_ref())
        };
        // webpki tries a bounded number of paths, more of them for each certificate that is there twice.
        let between = self.between.iter().filter(|own| !others.contains(own));
        let others = others.iter().chain(between).filter(is_no_root);
        let others: Vec<CertificateDer<'_>> = others.map(|other| CertificateDer::from_slice(other)).collect();
        let (roots, signers) = (&self.roots, &self.signers);
        let problem_of =
            |error: webpki::Error| problem::of_chain(&error, leaf, &others, roots, signers, time);
        let end_entity = EndEntityCert::try_from(leaf).map_err(problem_of)?;
        if let Some(root) = self.roots.iter().find(|root| root.der == leaf.as_ref()) {
            alone(root, time)?;
        } else {
            let rules = |path: &VerifiedPath<'_>| self.check_path(path, now);
            let (usage, anchors) = (KeyUsage::server_auth(), &self.signers);
            end_entity
                .verify_for_usage(SIGNATURES.all, anchors, &others, now, usage, None, Some(&rules))
                .map_err(problem_of)?;
        }
        end_entity.verify_is_valid_for_subject_name(server_name).map_err(problem_of)?;
        // A cluster's CA signs kubelets' serving certificates too, for names that an approver has let pass.
        match is_of_organization(leaf, ORGANIZATION) {
            Ok(false) => Ok(()),
            _ => Err(Problem::Kubelet),
        }
    }

    /// The rules that webpki leaves out, for a path that it has found: who signs may do so, and is a root whose path length
    /// (RFC 5280, section 6.1.4 (n) and (m)) and whose time allow it. Several roots may have one name and key.
    fn check_path(&self, path: &VerifiedPath<'_>, now: UnixTime) -> Result<(), webpki::Error> {
        let mut below = 0;
        for authority in path.intermediate_certificates() {
            if !Certificate::from_der(&authority.der()).is_ok_and(|authority| authority.can_sign_certs) {
                return Err(webpki::Error::EndEntityUsedAsCa);
            }
            below += 1;
        }
        let mut verdict = Ok(());
        for root in self.roots.iter().filter(|root| anchor(root).as_ref() == Some(path.anchor())) {
            let [not_before, not_after] = [root.not_before, root.not_after].map(unix);
            verdict = if root.path_length.is_some_and(|length| below > length) {
                Err(webpki::Error::PathLenConstraintViolated)
            } else if now < not_before {
                Err(webpki::Error::CertNotValidYet { time: now, not_before })
            } else if not_after < now {
                Err(webpki::Error::CertExpired { time: now, not_after })
            } else {
                return Ok(());
            };
        }
        verdict
    }
}

/// A root as an issuer of others, if it may be one.
fn anchor(root: &Certificate) -> Option<TrustAnchor<'_>> {
    let spki = Reader::of(&root.spki).any().ok()?;
    (root.can_sign_certs && root.allows_server_auth).then(|| TrustAnchor {
        subject: root.raw_subject.as_slice().into(),
        subject_public_key_info: spki.value.into(),
        name_constraints: root.name_constraints.as_deref().map(Into::into),
    })
}

fn unix(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// What Go asks of a server's certificate that is among the roots itself, but for its name. That no critical extension
/// is unknown webpki has seen already.
fn alone(root: &Certificate, now: SystemTime) -> Result<(), Problem> {
    if !root.is_valid_at(now) {
        return Err(Problem::Time(Box::new(root.clone()), now));
    }
    if !root.allows_server_auth {
        return Err(Problem::Wrong(problem::NOT_FOR_SERVERS.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
