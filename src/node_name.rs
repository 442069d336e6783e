//! The node's name, and the names that Kubernetes derives from it.

use crate::error::{Error, ErrorKind, Result, Step};
use crate::limits;
use crate::x509::Name;
use crate::x509::is_subdomain;

/// The organization of every node's certificate, which makes it a member of the group `system:nodes`.
pub const ORGANIZATION: &str = "system:nodes";
/// What stands before the node's name in its user name.
pub const USER_PREFIX: &str = "system:node:";

/// A checked node name: a DNS-1123 subdomain of at most 253 characters, lower case, that names one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeName(String);

impl NodeName {
    /// Checks a name that the user gave or the machine has, after trimming and lower-casing it as
    /// kubeadm does (`cmd/kubeadm/app/util/config/common.go`, `GetHostname`).
    ///
    /// # Errors
    /// A usage error for what is no DNS-1123 subdomain (`IsDNS1123Subdomain`), and for `localhost` and `(none)`,
    /// which a machine is called before it has a name: two of them would share one Node.
    pub fn new(given: &str) -> Result<Self> {
        Self::parse(given).map_err(|problem| {
            let shown = crate::sanitize::sanitize(given);
            Error::new(Step::Options, ErrorKind::Usage, format!("node name {shown:?} {problem}"))
                .with_help("set --node-name, or the hostname (with --root, its /etc/hostname)")
        })
    }

    /// Takes a name, for who words the error.
    ///
    /// # Errors
    /// What it is instead, without any part of it.
    pub fn parse(given: &str) -> std::result::Result<Self, &'static str> {
        // The two letters beyond ASCII that Go's `strings.ToLower` makes one of a host name; the others are none anyway.
        let lower = |c: char| match c {
            '\u{130}' => 'i',
            '\u{212a}' => 'k',
            c => c.to_ascii_lowercase(),
        };
        let name: String = given.trim().chars().map(lower).collect();
        Err(match name.as_str() {
            "" => "is empty",
            "(none)" => "is the name of a machine without a hostname",
            "localhost" | "localhost.localdomain" => "is the name of every machine for itself",
            name if name.len() > limits::NODE_NAME => "is longer than 253 characters",
            name if !is_subdomain(name) => "is not a DNS-1123 subdomain (a-z, 0-9, - and . between labels)",
            _ => return Ok(Self(name)),
        })
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The user name, which is the certificate's CN: `system:node:NAME`.
    pub fn user(&self) -> String {
        format!("{USER_PREFIX}{}", self.0)
    }

    /// The subject of the node's certificate: O=system:nodes, CN=system:node:NAME, nothing else.
    pub fn subject(&self) -> Name {
        Name { organizations: vec![ORGANIZATION.to_owned()], common_names: vec![self.user()], others: 0 }
    }

    /// Whether a kubelet can register under it: the label `kubernetes.io/hostname` holds 63 characters.
    pub fn fits_label(&self) -> bool {
        self.0.len() <= limits::LABEL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_lower_cased() {
        assert_eq!(NodeName::new(" Node-1.Example\n").unwrap().as_str(), "node-1.example");
    }

    #[test]
    fn names_up_to_253_characters_are_accepted() {
        assert!(NodeName::new(&"a".repeat(253)).is_ok());
        assert!(!NodeName::new(&"a".repeat(64)).unwrap().fits_label());
        assert!(NodeName::new(&"a".repeat(63)).unwrap().fits_label());
    }

    #[test]
    fn names_of_no_single_machine_are_refused() {
        let (long, no_name) = ("a".repeat(254), "is not a DNS-1123 subdomain");
        for (bad, why) in [
            ("", "is empty"),
            (" ", "is empty"),
            ("(none)", "is the name of a machine without a hostname"),
            ("localhost", "is the name of every machine for itself"),
            ("LOCALHOST", "is the name of every machine for itself"),
            ("localhost.localdomain", "is the name of every machine for itself"),
            ("a..b", no_name),
            ("-a", no_name),
            ("a-", no_name),
            ("a_b", no_name),
            ("a b", no_name),
            ("ä", no_name),
            (".a", no_name),
            ("a.", no_name),
            (&long, "is longer than 253 characters"),
        ] {
            assert!(NodeName::parse(bad).unwrap_err().starts_with(why), "{bad:?}");
            assert_eq!(NodeName::new(bad).unwrap_err().kind(), ErrorKind::Usage, "{bad:?}");
        }
    }
}
