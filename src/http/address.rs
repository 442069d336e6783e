//! Where an API server is: `HOST:PORT` as kubeadm takes it, and the `https://` URL of a kubeconfig.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use rustls::pki_types::ServerName;

/// The port of a URL that names none (RFC 9110, section 4.2.2).
const HTTPS_PORT: u16 = 443;

/// A host and a port. The host is a DNS name in lower case or an IP address, checked by rustls' rules for names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
}

impl Endpoint {
    /// Reads `HOST:PORT`, an IPv6 address in brackets (`cmd/kubeadm/app/util/endpoint.go`, `ParseHostPort`).
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let port = port.parse().ok().filter(|port| *port != 0)?;
        Some(Self { host: parse_host(host)?, port })
    }

    /// Reads endpoints with commas between them, each with or without a slash at its end, which kubeadm takes for a path of
    /// nothing. One that is there twice counts once.
    pub fn parse_list(text: &str) -> Option<Vec<Self>> {
        let mut endpoints = Vec::new();
        for item in text.split(',') {
            let endpoint = Self::parse(item.trim_end_matches('/'))?;
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
        Some(endpoints)
    }

    /// Reads `HOST[:PORT]`, as it stands in a URL.
    pub(super) fn parse_authority(text: &str, default_port: u16) -> Option<Self> {
        Self::parse(text).or_else(|| Some(Self { host: parse_host(text)?, port: default_port }))
    }

    /// The host without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The name that the server's certificate must be valid for.
    pub(super) fn server_name(&self) -> ServerName<'static> {
        match ServerName::try_from(self.host.clone()) {
            Ok(name) => name,
            Err(_) => unreachable!("parse_host accepts only what rustls accepts"),
        }
    }
}

/// As it stands in a URL.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A host as it stands in a URL: a name, an IPv4 address, or an IPv6 address in brackets.
fn parse_host(text: &str) -> Option<String> {
    if let Some(address) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        return Some(address.parse::<Ipv6Addr>().ok()?.to_string());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return address.is_ipv4().then(|| address.to_string());
    }
    let name = text.to_ascii_lowercase();
    matches!(ServerName::try_from(name.as_str()), Ok(ServerName::DnsName(_))).then_some(name)
}

/// An API server's URL from a kubeconfig, or that of a file to fetch: `https`, no credentials, no query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    text: String,
    endpoint: Endpoint,
    path: String,
}

impl ServerUrl {
    /// Reads `https://HOST[:PORT][/PATH]`. Every character is one that YAML and HTTP take as it is.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("https://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~%".contains(c);
        let escapes = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit());
        if !path.chars().all(plain) || !path.split('%').skip(1).all(escapes) {
            return None;
        }
        let endpoint = Endpoint::parse_authority(authority, HTTPS_PORT)?;
        Some(Self { text: text.to_owned(), endpoint, path: path.trim_end_matches('/').to_owned() })
    }

    /// The URL as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Host and port.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The slashes that its path ends with, which [`Self::path`] leaves out: with them it names one file, not a server.
    pub fn tail(&self) -> &str {
        &self.text[self.text.trim_end_matches('/').len()..]
    }

    /// What stands before every request's path: empty, or a path that begins with `/` and does not end with it.
    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for (text, host, shown) in [
            ("10.0.0.1:6443", "10.0.0.1", "10.0.0.1:6443"),
            ("API.Example.org:6443", "api.example.org", "api.example.org:6443"),
            ("[FD00::1]:6443", "fd00::1", "[fd00::1]:6443"),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!((endpoint.host(), endpoint.to_string().as_str()), (host, shown));
        }
        for bad in [
            "",
            "host",
            "host:",
            ":6443",
            "host:0",
            "host:65536",
            "host:+1",
            "fd00::1:6443",
            "a b:1",
            "https://h:1",
            "[::1%eth0]:1",
            "[10.0.0.1]:1",
        ] {
            assert_eq!(Endpoint::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn lists_of_endpoints() {
        let shown = |text| {
            let endpoints = Endpoint::parse_list(text)?;
            Some(endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        for (text, endpoints) in [
            ("a:1", "a:1"),
            ("a:1,B:2,[FD00::1]:3,10.0.0.1:4", "a:1 b:2 [fd00::1]:3 10.0.0.1:4"),
            ("a:1,b:1,A:1", "a:1 b:1"),
            ("a:1,a:2", "a:1 a:2"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(endpoints), "{text}");
        }
        for bad in ["", ",", "a:1,", ",a:1", "a:1,,b:1", "a:1, b:1", "a:1,b", "a:1;b:1"] {
            assert_eq!(shown(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn server_urls() {
        let url = ServerUrl::parse("https://h:6443/k8s/c-1/").unwrap();
        assert_eq!((url.endpoint().to_string().as_str(), url.path()), ("h:6443", "/k8s/c-1"));
        assert_eq!(url.tail(), "/");
        assert_eq!(ServerUrl::parse("https://h/k8s").unwrap().tail(), "");
        assert_eq!(ServerUrl::parse("https://h/a%20b").unwrap().path(), "/a%20b");
        assert_eq!(ServerUrl::parse("https://h").unwrap().endpoint().port(), 443);
        assert_eq!(ServerUrl::parse("https://[::1]").unwrap().endpoint().to_string(), "[::1]:443");
        for bad in [
            "http://h:1",
            "https://",
            "https://u:p@h:1",
            "https://h:1/?q",
            "https://h:1/a b",
            "https://h:1/\n",
            "https://h:1/%",
            "https://h:1/%4",
            "https://h:1/%4g",
            "h:1",
            "HTTPS://h:1",
        ] {
            assert_eq!(ServerUrl::parse(bad), None, "{bad:?}");
        }
    }
}
