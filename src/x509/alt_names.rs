//! Subject alternative names: the hosts that a server's certificate is for (RFC 5280, section 4.2.1.6).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use der::Tag;

use crate::asn1::{self, Reader, ctx_primitive, tlv};
use crate::limits;

/// dNSName and iPAddress of a GeneralName.
const DNS_NAME: u32 = 2;
const IP_ADDRESS: u32 = 7;

/// One host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AltName {
    /// A DNS name in lower case.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// Of a type that no node's certificate has: mail, URI and so on. Read only.
    Other,
}

impl AltName {
    /// Takes what a user gave: an address, or a DNS-1123 subdomain in any case.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Self::Ip(address));
        }
        let name = text.to_ascii_lowercase();
        // Digits and points alone are a mistyped address.
        let is_number = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        (is_subdomain(&name) && !is_number).then_some(Self::Dns(name))
    }
}

/// As OpenSSL writes them.
impl fmt::Display for AltName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "DNS:{name}"),
            Self::Ip(address) => write!(f, "IP:{address}"),
            Self::Other => f.write_str("another type of name"),
        }
    }
}

/// A set of hosts, sorted, so that the order in which they were given or read does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AltNames(Vec<AltName>);

impl AltNames {
    /// Adds a host; one that is there stays there once.
    pub fn add(&mut self, name: AltName) {
        if let Err(at) = self.0.binary_search(&name) {
            self.0.insert(at, name);
        }
    }

    /// The hosts, in the order in which the kubelet lists them: names, then addresses.
    pub fn as_slice(&self) -> &[AltName] {
        &self.0
    }

    /// Whether every host of `others` is in it.
    pub fn covers(&self, others: &Self) -> bool {
        others.0.iter().all(|name| self.0.binary_search(name).is_ok())
    }

    /// Reads GeneralNames; untrusted input.
    ///
    /// # Errors
    /// Whatever is not strict DER of that shape.
    pub(super) fn from_der(der: &[u8]) -> asn1::Result<Self> {
        let mut names = Self::default();
        let mut fields = Reader::of_sequence(der)?;
        while let Some(field) = fields.read()? {
            let address = match (<[u8; 4]>::try_from(field.value), <[u8; 16]>::try_from(field.value)) {
                (Ok(v4), _) => Some(IpAddr::from(Ipv4Addr::from(v4))),
                (_, Ok(v6)) => Some(IpAddr::from(Ipv6Addr::from(v6))),
                _ => None,
            };
            names.add(match address {
                _ if field.tag == ctx_primitive(DNS_NAME) => {
                    AltName::Dns(std::str::from_utf8(field.value)?.to_ascii_lowercase())
                }
                Some(address) if field.tag == ctx_primitive(IP_ADDRESS) => AltName::Ip(address),
                _ => AltName::Other,
            });
        }
        Ok(names)
    }

    /// Writes GeneralNames.
    pub fn to_der(&self) -> Vec<u8> {
        let names: Vec<Vec<u8>> = self.0.iter().map(general_name).collect();
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        tlv(Tag::Sequence, &names)
    }
}

fn general_name(name: &AltName) -> Vec<u8> {
    match name {
        AltName::Dns(name) => tlv(ctx_primitive(DNS_NAME), &[name.as_bytes()]),
        AltName::Ip(IpAddr::V4(address)) => tlv(ctx_primitive(IP_ADDRESS), &[&address.octets()]),
        AltName::Ip(IpAddr::V6(address)) => tlv(ctx_primitive(IP_ADDRESS), &[&address.octets()]),
        AltName::Other => Vec::new(),
    }
}

impl fmt::Display for AltNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&crate::sanitize::sanitize(&names.join(", ")))
    }
}

/// Whether `name` is a DNS-1123 subdomain of at most [`limits::NODE_NAME`] characters
/// (`k8s.io/apimachinery/pkg/util/validation`, `IsDNS1123Subdomain`).
pub fn is_subdomain(name: &str) -> bool {
    name.len() <= limits::NODE_NAME && name.split('.').all(is_label)
}

/// One DNS label (RFC 1123, section 2.1).
fn is_label(label: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    label.starts_with(alphanumeric)
        && label.ends_with(alphanumeric)
        && label.chars().all(|c| alphanumeric(c) || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> AltNames {
        let mut names = AltNames::default();
        for name in list {
            names.add(AltName::parse(name).unwrap());
        }
        names
    }

    #[test]
    fn what_is_written_is_read() {
        let all = names(&["n1", "10.0.0.5", "fd00::5", "N1.example.org", "localhost", "10.0.0.5"]);
        assert_eq!(AltNames::from_der(&all.to_der()).unwrap(), all);
        assert_eq!(all.to_string(), "DNS:localhost, DNS:n1, DNS:n1.example.org, IP:10.0.0.5, IP:fd00::5");
    }

    #[test]
    fn a_set_covers_its_parts_only() {
        let (both, one) = (names(&["n1", "10.0.0.5"]), names(&["n1"]));
        assert!(both.covers(&one) && both.covers(&both) && one.covers(&AltNames::default()));
        assert!(!one.covers(&both));
    }

    #[test]
    fn another_type_of_name_is_seen() {
        let mail = tlv(Tag::Sequence, &[&tlv(ctx_primitive(1), &[b"a@b"])]);
        assert_ne!(AltNames::from_der(&mail).unwrap(), AltNames::default());
        // As long as an address, and none.
        let mail = tlv(Tag::Sequence, &[&tlv(ctx_primitive(1), &[b"a@bc"])]);
        assert_eq!(AltNames::from_der(&mail).unwrap().as_slice(), [AltName::Other]);
        // An address of a length that no address has.
        let odd = tlv(Tag::Sequence, &[&tlv(ctx_primitive(IP_ADDRESS), &[&[1; 5]])]);
        assert_eq!(AltNames::from_der(&odd).unwrap().as_slice(), [AltName::Other]);
        assert!(AltNames::from_der(b"\x30\x80").is_err());
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in
            ["", "a b", "*.example.org", "n1.", "[fd00::5]", "10.0.0.5/24", "10.0.0.256", "n1:10250", "ä"]
        {
            assert_eq!(AltName::parse(bad), None, "{bad:?}");
        }
    }
}
