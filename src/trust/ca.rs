//! The cluster's CAs and their pins (`cmd/kubeadm/app/util/pubkeypin/pubkeypin.go`).

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
    /// A clause that says what is wrong, to stand behind "cluster-info is signed, but".
    pub fn from_base64(base64: &str) -> std::result::Result<Self, String> {
        Self::from_pem(STANDARD.decode(base64).map_err(|_| "CA data is not valid base64")?)
    }

    /// Reads PEM, certificates only, at most [`limits::CERTIFICATES`].
    ///
    /// # Errors
    /// A clause that says what is wrong, to stand behind "cluster-info is signed, but".
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

    /// What chains may end at: the certificates that can be roots, one of which is valid `now`.
    ///
    /// # Errors
    /// [`ErrorKind::NotTrusted`] when none can be one; [`ErrorKind::Clock`], which is retryable, when none of those is valid.
    pub fn roots(&self, now: SystemTime) -> Result<Roots> {
        self.roots_among(now, &|_| true)
    }

    /// What chains may end at, of some of the certificates only. Other CAs that are valid `now` may stand between one
    /// of these and a server, as intermediates, whether the server sends them or not.
    ///
    /// # Errors
    /// [`ErrorKind::NotTrusted`] when none can be one; [`ErrorKind::Clock`], which is retryable, when none of those is valid.
    pub(super) fn roots_among(
        &self,
        now: SystemTime,
        is_root: &dyn Fn(&Certificate) -> bool,
    ) -> Result<Roots> {
        let usable = |c: &&Certificate| is_root(c) && ends_chains(c);
        let roots: Vec<_> = self.certificates.iter().filter(usable).collect();
        let Some(first) = roots.first() else {
            let what = "the cluster's CA data holds no CA certificate that may sign";
            return Err(Error::new(Step::Trust, ErrorKind::NotTrusted, what)
                .with_help("publish the cluster's CA certificate in cluster-info"));
        };
        if !roots.iter().any(|root| root.is_valid_at(now)) {
            let what = ["the cluster's CA certificate ", &first.describe_validity(now)].concat();
            return Err(Error::new(Step::Trust, ErrorKind::Clock, what)
                .with_help("set the clock; a CA that has expired is renewed in the cluster")
                .with_retry(Retry::UntilDeadline(None)));
        }
        let stands_between = |c: &&Certificate| !is_root(c) && c.may_issue && c.is_valid_at(now);
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
    certificate.for_servers && (certificate.may_issue || is_servers_own)
}

/// A checked pin, `sha256:` and 64 hex digits in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin(String);

impl Pin {
    /// Takes a pin; the case of neither part matters.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let digits = text.strip_prefix("sha256:")?;
        (digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit())).then_some(Self(text))
    }
}

/// Which CA keys are accepted.
#[derive(Clone, Debug)]
pub enum Pins {
    /// The connection that delivers the bundle must lead to a certificate that has one of these: that server vouches for
    /// the rest. Where no server delivers it, every certificate must have one.
    Required(Vec<Pin>),
    /// Every certificate of the bundle must have one of these, however it was delivered.
    EachRequired(Vec<Pin>),
    /// No pin is given. Of a cluster-info, whoever knows the token can forge the cluster then.
    None,
}

impl Pins {
    /// The given ones.
    pub fn given(&self) -> &[Pin] {
        match self {
            Self::Required(pins) | Self::EachRequired(pins) => pins,
            Self::None => &[],
        }
    }

    /// Whether this key, as [`Certificate::pin`] has it, is pinned.
    pub fn name(&self, key: &str) -> bool {
        self.given().iter().any(|pin| pin.0 == key)
    }

    /// The keys of a bundle that are not pinned, each once; none where no pin is given.
    pub(super) fn missing_of(&self, bundle: &CaBundle) -> Vec<String> {
        let mut missing = Vec::new();
        for key in bundle.pins() {
            if !matches!(self, Self::None) && !self.name(&key) && !missing.contains(&key) {
                missing.push(key);
            }
        }
        missing
    }

    /// Holds the bundle of a cluster-info against the pins, before it is known who has delivered it.
    ///
    /// # Errors
    /// [`ErrorKind::NotTrusted`] when none of its keys is pinned, or one is not and each has to be.
    pub(super) fn check(&self, bundle: &CaBundle) -> Result<()> {
        let is_enough = matches!(self, Self::Required(_)) && bundle.pins().iter().any(|key| self.name(key));
        if is_enough { Ok(()) } else { self.check_each(bundle, "cluster-info") }
    }

    /// Holds a bundle that nobody else vouches for against the pins: each certificate counts, one of no CA too, since a
    /// kubelet that is given it as clientCAFile takes it for a chain by itself (`crypto/x509`, `Certificate.Verify`).
    /// `place` is what holds it, for people.
    ///
    /// # Errors
    /// [`ErrorKind::NotTrusted`] when a key is not pinned, which names each that is not.
    pub(super) fn check_each(&self, bundle: &CaBundle, place: &str) -> Result<()> {
        let missing = self.missing_of(bundle);
        if missing.is_empty() {
            return Ok(());
        }
        let help = if bundle.pins().iter().any(|key| self.name(key)) {
            "pin each key that is the cluster's, and remove the other certificates"
        } else {
            "check the pin and the address: it is mistyped, or this is another cluster; on a control plane node `nodestrap ca-hash \
             /etc/kubernetes/pki/ca.crt` prints the right one"
        };
        let given: Vec<_> = self.given().iter().map(|pin| pin.0.as_str()).collect();
        let what = format!(
            "CA keys in {place} are not pinned: found {}, pinned {}",
            missing.join(" "),
            given.join(" ")
        );
        Err(Error::new(Step::Trust, ErrorKind::NotTrusted, what).with_help(help))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::x509::AltNames;

    const CA: &str = include_str!("../../tests/fuzz/pki/ca.pem");
    const SERVER: &str = include_str!("../../tests/fuzz/pki/server.pem");
    const NODE: &str = include_str!("../../tests/fuzz/pki/node.pem");

    fn bundle(certificates: &[&str]) -> CaBundle {
        CaBundle::from_pem(certificates.concat().into_bytes()).unwrap()
    }

    fn pins(certificates: &[&str]) -> Vec<Pin> {
        certificates.iter().map(|pem| Pin::parse(&bundle(&[pem]).pins()[0]).unwrap()).collect()
    }

    #[test]
    fn one_pinned_key_is_enough_unless_each_has_to_be() {
        for (held, pinned, any, each) in [
            (&[CA][..], &[CA][..], true, true),
            (&[CA], &[SERVER], false, false),
            (&[CA], &[], false, false),
            (&[CA, SERVER], &[CA], true, false),
            (&[CA, SERVER], &[SERVER], true, false),
            (&[CA, SERVER], &[NODE], false, false),
            (&[CA, SERVER], &[CA, NODE], true, false),
            (&[CA, SERVER], &[SERVER, NODE, CA], true, true),
        ] {
            let bundle = bundle(held);
            let (one, all) = (Pins::Required(pins(pinned)), Pins::EachRequired(pins(pinned)));
            assert_eq!((one.check(&bundle).is_ok(), all.check(&bundle).is_ok()), (any, each), "{pinned:?}");
            assert_eq!(one.check_each(&bundle, "it").is_ok(), each, "nobody else vouches for it: {pinned:?}");
        }
        let bundle = bundle(&[CA]);
        assert!(Pins::None.check(&bundle).is_ok() && Pins::None.check_each(&bundle, "it").is_ok());
        assert!(!Pins::None.name(&bundle.pins()[0]));
    }

    #[test]
    fn each_key_that_is_not_pinned_is_named_once() {
        let held = bundle(&[CA, SERVER, SERVER, NODE]);
        let [ca, server, _, node] = &held.pins()[..] else { panic!("four") };
        let error = Pins::Required(pins(&[CA])).check_each(&held, "this").unwrap_err().to_string();
        assert!(
            error.contains(&format!(
                "CA keys in this are not pinned: found {server} {node}, pinned {ca}; pin each"
            )),
            "{error}"
        );
        let error = Pins::Required(pins(&[])).check(&held).unwrap_err().to_string();
        assert!(error.contains(&format!("found {ca} {server} {node}, pinned ; check the pin")), "{error}");
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
            assert_eq!(bundle.roots(now).is_ok(), is_known, "{held:?}");
            let failure = if is_known { ErrorKind::Clock } else { ErrorKind::NotTrusted };
            assert_eq!(bundle.roots(early).unwrap_err().kind(), failure, "{held:?}");
        }
    }

    #[test]
    fn a_chain_ends_at_an_issuer_or_at_a_servers_own_and_both_are_for_servers() {
        let mut one = bundle(&[SERVER]).certificates()[0].clone();
        let names = std::mem::take(&mut one.alt_names);
        for number in 0..16 {
            let is_set = |bit: u32| number >> bit & 1 == 1;
            (one.for_servers, one.may_issue, one.unknown_critical) = (is_set(0), is_set(1), is_set(2));
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
    fn pins_are_sha256_and_64_digits_in_any_case() {
        let digits = "0123456789abcdef".repeat(4);
        let pin = Pin::parse(&format!("sha256:{digits}")).unwrap();
        assert_eq!(Pin::parse(&format!("SHA256:{}", digits.to_uppercase())), Some(pin));
        for bad in [
            digits.clone(),
            format!("sha1:{digits}"),
            format!("sha256:{}", &digits[1..]),
            format!("sha256:{digits}0"),
            format!("sha256:x{}", &digits[1..]),
            format!("sha256:{digits}:"),
        ] {
            assert_eq!(Pin::parse(&bad), None, "{bad}");
        }
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
