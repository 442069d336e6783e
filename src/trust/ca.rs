//! The cluster's CAs, and what chains may end at.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Error, ErrorKind, Result, Retry, Step};
use crate::http::Roots;
use crate::limits;
use crate::pem_blocks::blocks;
use crate::x509::{Certificate, is_certificate};

/// The CA certificates of a cluster, as they were published.
#[derive(Clone, Debug)]
pub struct CaBundle {
    /// The bytes that go into ca.crt.
    pem: Vec<u8>,
    certificates: Vec<Certificate>,
}

impl CaBundle {
    /// Reads `certificate-authority-data`: PEM in base64.
    ///
    /// # Errors
    /// A clause that says what is wrong; the caller adds the subject.
    pub fn from_base64(base64: &str) -> std::result::Result<Self, String> {
        Self::from_pem(STANDARD.decode(base64).map_err(|_| "CA data is not valid base64")?)
    }

    /// Reads PEM, certificates only, at most [`limits::CERTIFICATES`].
    ///
    /// # Errors
    /// A clause that says what is wrong; the caller adds the subject.
    pub fn from_pem(pem: Vec<u8>) -> std::result::Result<Self, String> {
        let blocks = blocks(&pem).ok_or("CA data is not valid PEM")?;
        if blocks.is_empty() || blocks.len() > limits::CERTIFICATES {
            return Err(format!("CA data holds {} certificates", blocks.len()));
        }
        let mut certificates = Vec::with_capacity(blocks.len());
        for block in blocks {
            if !is_certificate(&block) {
                return Err("CA data holds other PEM blocks than certificates without headers".to_owned());
            }
            let malformed =
                |_| format!("CA data holds a malformed certificate (number {})", certificates.len() + 1);
            certificates.push(Certificate::from_der(block.contents()).map_err(malformed)?);
        }
        Ok(Self { pem, certificates })
    }

    /// What chains may end at: the certificates that can be roots, one of which is valid `now`. `help` says where another CA
    /// certificate goes, if none of these can be one.
    ///
    /// # Errors
    /// [`ErrorKind::NotTrusted`] when none can be one; [`ErrorKind::Clock`], which is retryable, when none of those is valid.
    pub fn roots(&self, now: SystemTime, help: &'static str) -> Result<Roots> {
        self.roots_among(now, help, &|_| true)
    }

    /// What chains may end at, of some of the certificates only. Other CAs that are valid `now` may stand between one
    /// of these and a server, as intermediates, whether the server sends them or not.
    ///
    /// # Errors
    /// [`ErrorKind::NotTrusted`] when none can be one; [`ErrorKind::Clock`], which is retryable, when none of those is
    /// valid.
    pub(super) fn roots_among(
        &self,
        now: SystemTime,
        help: &'static str,
        is_root: &dyn Fn(&Certificate) -> bool,
    ) -> Result<Roots> {
        let usable = |c: &&Certificate| is_root(c) && ends_chains(c);
        let roots: Vec<_> = self.certificates.iter().filter(usable).collect();
        let Some(first) = roots.first() else {
            let what = "the cluster's CA data holds no CA certificate that may sign";
            return Err(Error::new(Step::Trust, ErrorKind::NotTrusted, what).with_help(help));
        };
        if !roots.iter().any(|root| root.is_valid_at(now)) {
            let what = ["the cluster's CA certificate ", &first.describe_validity(now)].concat();
            return Err(Error::new(Step::Trust, ErrorKind::Clock, what)
                .with_help(if now < first.not_before {
                    "set the clock"
                } else {
                    "set the clock, or renew the CA in the cluster"
                })
                .with_retry(Retry::UntilDeadline(None)));
        }
        let stands_between = |c: &&Certificate| !is_root(c) && c.can_sign_certs && c.is_valid_at(now);
        Ok(Roots::new(roots, self.certificates.iter().filter(stands_between)))
    }

    /// The bundle as PEM, byte for byte as published.
    pub fn pem(&self) -> &[u8] {
        &self.pem
    }

    /// The bundle as kubeconfigs carry it.
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.pem)
    }

    /// Whether a CA key is in both: a cluster that rotates its CA, or has renewed it, is still the same.
    pub fn shares_a_key_with(&self, others: &[Certificate]) -> bool {
        share_a_key(&self.certificates, others)
    }

    /// The certificates, in their order.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The pins of all its certificates.
    pub fn pins(&self) -> Vec<String> {
        self.certificates.iter().map(Certificate::pin).collect()
    }
}

/// Whether two lists of certificates have a key in common.
pub fn share_a_key(some: &[Certificate], others: &[Certificate]) -> bool {
    some.iter().any(|one| others.iter().any(|other| one.spki == other.spki))
}

/// Whether a server's chain can end at this certificate: it may sign for servers, or it may be a server's own, which
/// stands for itself. Go demands all of that of a root, webpki nothing (`crypto/x509`, `isValid`, `CheckSignatureFrom`
/// and `checkChainForKeyUsage`).
fn ends_chains(certificate: &Certificate) -> bool {
    let is_servers_own = !certificate.unknown_critical && !certificate.alt_names.as_slice().is_empty();
    certificate.allows_server_auth && (certificate.can_sign_certs || is_servers_own)
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::x509::AltNames;

    pub(in super::super) const CA: &str = include_str!("../../tests/fuzz/pki/ca.pem");
    pub(in super::super) const SERVER: &str = include_str!("../../tests/fuzz/pki/server.pem");
    pub(in super::super) const NODE: &str = include_str!("../../tests/fuzz/pki/node.pem");

    pub(in super::super) fn bundle(certificates: &[&str]) -> CaBundle {
        CaBundle::from_pem(certificates.concat().into_bytes()).unwrap()
    }

    #[test]
    fn a_cluster_is_known_by_any_of_its_keys() {
        for (one, other, same) in [
            (&[CA][..], &[CA][..], true),
            (&[CA, SERVER], &[NODE, CA], true),
            (&[CA, SERVER], &[NODE], false),
            (&[CA], &[SERVER], false),
        ] {
            assert_eq!(bundle(one).shares_a_key_with(bundle(other).certificates()), same);
        }
    }

    #[test]
    fn roots_are_authorities_and_servers_own_and_one_is_in_time() {
        let (now, early) = (UNIX_EPOCH + Duration::from_hours(701_280), UNIX_EPOCH);
        for (held, is_known) in [(&[CA][..], true), (&[SERVER], true), (&[NODE], false), (&[NODE, CA], true)]
        {
            let bundle = bundle(held);
            assert_eq!(bundle.roots(now, "").is_ok(), is_known, "{held:?}");
            let failure = if is_known { ErrorKind::Clock } else { ErrorKind::NotTrusted };
            assert_eq!(bundle.roots(early, "").unwrap_err().kind(), failure, "{held:?}");
        }
    }

    #[test]
    fn a_chain_ends_at_an_issuer_or_at_a_servers_own_and_both_are_for_servers() {
        let mut one = bundle(&[SERVER]).certificates()[0].clone();
        let names = std::mem::take(&mut one.alt_names);
        for number in 0..16 {
            let is_set = |bit: u32| number >> bit & 1 == 1;
            (one.allows_server_auth, one.can_sign_certs, one.unknown_critical) =
                (is_set(0), is_set(1), is_set(2));
            one.alt_names = if is_set(3) { names.clone() } else { AltNames::default() };
            // The bits, from the lowest: what it is for, that it issues, what is unknown in it, that it names a server.
            let ends = matches!(number, 0b0011 | 0b0111 | 0b1001 | 0b1011 | 0b1111);
            assert_eq!(ends_chains(&one), ends, "{number:04b}");
        }
    }

    #[test]
    fn as_many_certificates_as_the_limit_says_are_taken() {
        for (count, taken) in [(1, true), (limits::CERTIFICATES, true), (limits::CERTIFICATES + 1, false)] {
            let bundle = CaBundle::from_pem(CA.repeat(count).into_bytes());
            assert_eq!(
                bundle.as_ref().is_ok_and(|bundle| bundle.certificates().len() == count),
                taken,
                "{count}"
            );
        }
    }

    #[test]
    fn a_bundle_is_kept_as_it_was_published() {
        let text = format!("# ours\r\n{CA}");
        let read = CaBundle::from_base64(&STANDARD.encode(&text)).unwrap();
        assert_eq!((read.pem(), read.base64()), (text.as_bytes(), STANDARD.encode(&text)));
    }

    #[test]
    fn what_is_no_bundle_of_certificates_is_refused() {
        let headers = "-----BEGIN CERTIFICATE-----\nkey: value\n\nAAAA\n-----END CERTIFICATE-----\n";
        let key = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";
        for (data, problem) in [
            ("%", "base64"),
            ("", "0 certificates"),
            (&STANDARD.encode("-----BEGIN CERTIFICATE-----\n-----"), ""),
            (&STANDARD.encode(key), "other PEM blocks"),
            (&STANDARD.encode(headers), "without headers"),
            (&STANDARD.encode(key.replace("EC PRIVATE KEY", "CERTIFICATE")), "malformed"),
        ] {
            assert!(CaBundle::from_base64(data).unwrap_err().contains(problem), "{data}");
        }
    }

    /// The reader of DER has words of its own for it, as "expected OCTET STRING, got TeletexString".
    #[test]
    fn a_malformed_certificate_is_told_by_its_number_alone() {
        let der = pem::parse(NODE).unwrap().into_contents();
        for at in 0..8 {
            let mut der = der.clone();
            der[at] = 0x14; // the tag of a TeletexString
            let bad = pem::encode(&pem::Pem::new("CERTIFICATE", der));
            let error = CaBundle::from_pem([CA, &bad, SERVER].concat().into_bytes()).unwrap_err();
            assert_eq!(error, "CA data holds a malformed certificate (number 2)", "{at}");
        }
    }
}
