//! Pins: which CA keys are accepted, by what was given (`cmd/kubeadm/app/util/pubkeypin/pubkeypin.go`).

use super::CaBundle;
use crate::error::{Error, ErrorKind, Result, Step};

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
    AnyCa(Vec<Pin>),
    /// Every certificate of the bundle must have one of these, however it was delivered.
    EveryCa(Vec<Pin>),
    /// No pin is given. Anyone who knows the token can forge the cluster of a cluster-info then.
    None,
}

impl Pins {
    /// The given ones.
    pub fn given(&self) -> &[Pin] {
        match self {
            Self::AnyCa(pins) | Self::EveryCa(pins) => pins,
            Self::None => &[],
        }
    }

    /// Whether this key, as [`crate::x509::Certificate::pin`] has it, is pinned.
    pub fn contains(&self, key: &str) -> bool {
        self.given().iter().any(|pin| pin.0 == key)
    }

    /// The keys of a bundle that are not pinned, each once; none where no pin is given.
    pub(super) fn unpinned_keys(&self, bundle: &CaBundle) -> Vec<String> {
        let mut unpinned = Vec::new();
        for key in bundle.pins() {
            if !matches!(self, Self::None) && !self.contains(&key) && !unpinned.contains(&key) {
                unpinned.push(key);
            }
        }
        unpinned
    }

    /// Holds the bundle of a cluster-info against the pins, before it is known who has delivered it.
    ///
    /// # Errors
    /// [`ErrorKind::NotTrusted`] when none of its keys is pinned, or one is not and each has to be.
    pub(super) fn check(&self, bundle: &CaBundle) -> Result<()> {
        let is_enough = matches!(self, Self::AnyCa(_)) && bundle.pins().iter().any(|key| self.contains(key));
        if is_enough { Ok(()) } else { self.check_each(bundle, "cluster-info") }
    }

    /// Holds a bundle that nobody else vouches for against the pins: each certificate counts, one of no CA too, since a
    /// kubelet that is given it as clientCAFile takes it for a chain by itself (`crypto/x509`, `Certificate.Verify`).
    /// `place` is what holds it, for messages.
    ///
    /// # Errors
    /// [`ErrorKind::NotTrusted`] when a key is not pinned, which names each that is not.
    pub(super) fn check_each(&self, bundle: &CaBundle, place: &str) -> Result<()> {
        let unpinned = self.unpinned_keys(bundle);
        if unpinned.is_empty() {
            return Ok(());
        }
        let help = if bundle.pins().iter().any(|key| self.contains(key)) {
            "pin each key that is the cluster's, and remove the other certificates"
        } else {
            "check the pin and the address: it is mistyped, or this is another cluster; on a control plane node `nodestrap ca-hash \
             /etc/kubernetes/pki/ca.crt` prints the right one"
        };
        let given: Vec<_> = self.given().iter().map(|pin| pin.0.as_str()).collect();
        let what = format!(
            "CA keys in {place} are not pinned: found {}, pinned {}",
            unpinned.join(" "),
            given.join(" ")
        );
        Err(Error::new(Step::Trust, ErrorKind::NotTrusted, what).with_help(help))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ca::tests::{CA, NODE, SERVER, bundle};
    use super::*;

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
            let (one, all) = (Pins::AnyCa(pins(pinned)), Pins::EveryCa(pins(pinned)));
            assert_eq!((one.check(&bundle).is_ok(), all.check(&bundle).is_ok()), (any, each), "{pinned:?}");
            assert_eq!(one.check_each(&bundle, "it").is_ok(), each, "nobody else vouches for it: {pinned:?}");
        }
        let bundle = bundle(&[CA]);
        assert!(Pins::None.check(&bundle).is_ok() && Pins::None.check_each(&bundle, "it").is_ok());
        assert!(!Pins::None.contains(&bundle.pins()[0]));
    }

    #[test]
    fn each_key_that_is_not_pinned_is_named_once() {
        let held = bundle(&[CA, SERVER, SERVER, NODE]);
        let [ca, server, _, node] = &held.pins()[..] else { panic!("four") };
        let error = Pins::AnyCa(pins(&[CA])).check_each(&held, "this").unwrap_err().to_string();
        assert!(
            error.contains(&format!(
                "CA keys in this are not pinned: found {server} {node}, pinned {ca}; pin each"
            )),
            "{error}"
        );
        let error = Pins::AnyCa(pins(&[])).check(&held).unwrap_err().to_string();
        assert!(error.contains(&format!("found {ca} {server} {node}, pinned ; check the pin")), "{error}");
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
}
