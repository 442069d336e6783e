//! The proxy on the way to an API server, read from the environment as Go reads it
//! (`golang.org/x/net/http/httpproxy`), which is how kubeadm and the kubelet read it: `HTTPS_PROXY` and `NO_PROXY`, or
//! in lower case.
//!
//! A proxy is asked for a tunnel (CONNECT, RFC 9110, section 9.3.6) and sees host and port, TLS, and nothing else. It
//! is not trusted. It looks the API server's name up itself.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::address::Endpoint;
use super::response::{Response, first_words};
use super::retry_after;
use crate::error::{Error, ErrorKind, Result, Retry, Step};
use crate::limits;
use crate::read;
use crate::sanitize::sanitize;
use crate::secret::{Hidden, Secret};

/// `User-Agent`, in the form that Kubernetes' own components use: name/version (os/architecture), with Go's names. A
/// proxy sees it as the API server does.
pub(super) const USER_AGENT: &str =
    concat!("nodestrap/", env!("CARGO_PKG_VERSION"), " (linux/", env!("NODESTRAP_GOARCH"), ")");

/// The port of a proxy whose URL names none (`net/http`, `portMap`).
const HTTP_PORT: u16 = 80;

/// What the environment says about proxies. Nothing is checked before a proxy is needed: on a machine that reaches its
/// API server without one, it does not matter what the variable holds.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// The variable, and its value, which may hold a password.
    proxy: Option<(&'static str, Secret<String>)>,
    /// Hosts that are reached directly.
    exceptions: String,
}

impl Proxies {
    /// Reads the variables by `lookup`; the first that is not empty counts. `HTTP_PROXY` is for `http://` only, and so
    /// for no API server.
    pub fn from_environment(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| Some((name, lookup(name).filter(|value| !value.is_empty())?)))
        };
        let proxy = first(["HTTPS_PROXY", "https_proxy"]).map(|(name, value)| (name, Secret::new(value)));
        let exceptions = first(["NO_PROXY", "no_proxy"]).map(|(_, value)| value).unwrap_or_default();
        Self { proxy, exceptions }
    }

    /// The name or address of the proxy, where the variable names one that can be used.
    pub fn host(&self) -> Option<String> {
        let (variable, url) = self.proxy.as_ref()?;
        Some(Proxy::parse(variable, url.expose()).ok()?.endpoint.host().to_owned())
    }

    /// The proxy through which `endpoint` is reached, if any.
    ///
    /// # Errors
    /// A usage error that names the variable, never its value, when a proxy is needed and is none that can be used.
    pub(super) fn towards(&self, endpoint: &Endpoint) -> Result<Option<Proxy>> {
        match &self.proxy {
            Some((variable, url)) if !is_direct(endpoint, &self.exceptions) => {
                Proxy::parse(variable, url.expose()).map(Some).map_err(|problem| {
                    let host = endpoint.host();
                    let help = format!("use http://HOST:PORT, with a user and password before an @ if it wants them, or name {host} in NO_PROXY");
                    Error::new(Step::Options, ErrorKind::Usage, format!("{variable} {problem}"))
                        .with_help(help)
                })
            }
            _ => Ok(None),
        }
    }
}

/// Whether `endpoint` is reached without a proxy: this machine itself always, and whatever NO_PROXY names.
///
/// Names are compared as they are; one that is not ASCII names no endpoint.
fn is_direct(endpoint: &Endpoint, exceptions: &str) -> bool {
    let host = endpoint.host();
    let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    let port = endpoint.port().to_string();
    exceptions.split(',').any(|item| {
        let item = item.trim().to_ascii_lowercase();
        if let Some((network, bits)) = item.split_once('/')
            && bits.bytes().all(|b| b.is_ascii_digit())
            && let (Ok(network), Ok(bits)) = (network.parse(), bits.parse())
        {
            return address.is_some_and(|address| contains(network, bits, address));
        }
        let (name, only_port) = split_port(&item);
        if !only_port.is_empty() && only_port != port {
            return false;
        }
        match (name.parse::<IpAddr>(), address) {
            _ if item == "*" => true,
            (Ok(excepted), _) => address == Some(excepted.to_canonical()),
            // A name in NO_PROXY excepts no address.
            (Err(_), Some(_)) => false,
            (Err(_), None) => {
                let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
                let is_itself = host == name && !name.starts_with('.');
                let below = if name.starts_with('.') { name.to_owned() } else { format!(".{name}") };
                !name.is_empty() && (is_itself || host.ends_with(&below))
            }
        }
    })
}

/// Host and port of `HOST:PORT` or `[HOST]:PORT` (`net.SplitHostPort`); what is neither is all host.
fn split_port(item: &str) -> (&str, &str) {
    match item.rsplit_once(':') {
        Some((host, port)) if !host.contains([':', '[', ']']) => (host, port),
        Some((host, port)) => match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) => (host, port),
            None => (item, ""),
        },
        None => (item, ""),
    }
}

/// Whether `address`, which is in its shortest form, lies in `network/bits` (`net.IPNet.Contains`). A network of IPv6
/// holds IPv4 addresses only where all of its addresses are such, `::ffff:0:0/96` and smaller, and then no others.
fn contains(network: IpAddr, bits: u32, address: IpAddr) -> bool {
    match (network, network.to_canonical(), address) {
        (IpAddr::V4(network), _, IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
            bits <= 32 && (network.to_bits() ^ address.to_bits()) & mask == 0
        }
        (IpAddr::V6(_), mapped @ IpAddr::V4(_), _) if bits >= 96 => {
            bits <= 128 && contains(mapped, bits - 96, address)
        }
        (IpAddr::V6(network), _, IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
            bits <= 128 && (network.to_bits() ^ address.to_bits()) & mask == 0
        }
        _ => false,
    }
}

/// A proxy that speaks plain HTTP.
#[derive(Debug)]
pub(super) struct Proxy {
    endpoint: Endpoint,
    variable: &'static str,
    /// The credentials of `Proxy-Authorization: Basic` (RFC 7617, section 2).
    credentials: Option<Secret<String>>,
}

impl Proxy {
    /// Reads `[http://][USER[:PASSWORD]@]HOST[:PORT]`. The error is a clause to stand behind the variable's name.
    fn parse(variable: &'static str, url: &str) -> std::result::Result<Self, &'static str> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        if !scheme.eq_ignore_ascii_case("http") {
            return Err("does not name an http:// proxy, and no other kind is supported");
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        // What looks like a host and a port could be a user and half of a password.
        if path.contains('@') {
            return Err("has a /, ? or # before its @, which has to be percent-encoded");
        }
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        Ok(Self {
            endpoint: Endpoint::parse_authority(host, HTTP_PORT).ok_or("is no URL of a proxy")?,
            variable,
            credentials: user
                .map(|user| {
                    credentials(user).ok_or("has a % before its @ that is not followed by two hex digits")
                })
                .transpose()?,
        })
    }

    /// Where it listens.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Asks for a tunnel to `target` on a new connection. Reads exactly the header of the response: what follows belongs
    /// to the tunnel.
    ///
    /// # Errors
    /// What the stream has; a [`Refusal`] inside when the proxy answers with anything but success, or no HTTP, or more than
    /// [`limits::HEADER_BYTES`] of it.
    pub(super) fn tunnel(&self, stream: &mut (impl Read + Write), target: &Endpoint) -> io::Result<()> {
        let authorization = match &self.credentials {
            Some(credentials) => format!("Proxy-Authorization: Basic {}\r\n", credentials.expose()),
            None => String::new(),
        };
        let authorization = Secret::new(authorization);
        let request = Secret::new(format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {USER_AGENT}\r\n{}\r\n",
            authorization.expose()
        ));
        stream.write_all(request.expose().as_bytes())?;
        stream.flush()?;
        let mut head = Vec::new();
        let whole = read_head(stream, &mut head);
        if head.is_empty() {
            return whole;
        }
        let Some((status, reason)) = whole.ok().and_then(|()| parse_status(&head)) else {
            let words = self.masked(&first_words(&head));
            let what =
                format!("proxy {self} sent no complete HTTP response for {target} (it begins with: {words})");
            let retry = Retry::UntilDeadline(None);
            return Err(io::Error::other(Refusal { what, help: NO_TUNNEL.into(), retry }));
        };
        if (200..300).contains(&status) {
            return Ok(());
        }
        let body = read_body(stream, &head);
        Err(io::Error::other(self.refusal(target, status, reason, &head, body)))
    }

    /// 407 is final: the credentials that the environment holds do not change while the program runs, and repeating
    /// wrong ones locks accounts. Everything else is retryable like any failure to connect.
    fn refusal(&self, target: &Endpoint, status: u16, reason: &str, head: &[u8], body: Vec<u8>) -> Refusal {
        let (meaning, help) = match status {
            407 if self.credentials.is_some() => (
                "user and password were refused",
                format!("correct them in {}; nodestrap does not retry them", self.variable).into(),
            ),
            407 => (
                "user and password required",
                format!(
                    "add user and password to the URL in {}, or name the host in NO_PROXY",
                    self.variable
                )
                .into(),
            ),
            403 => ("access denied", "allow the host in the proxy, or name it in NO_PROXY".into()),
            429 => ("the proxy is busy", "check the proxy".into()),
            500..=599 => ("the proxy cannot reach the API server", "check the address and the proxy".into()),
            _ => ("no tunnel", NO_TUNNEL.into()),
        };
        let said = Response::of_proxy(status, body, header(head, "content-type"), header(head, "location"));
        let words = self.masked(&format!("{}; {}", sanitize(reason), said.text()));
        // Nobody vouches for it: its Retry-After counts for no longer than a pause of our own.
        let sent = retry_after::moment(&header(head, "date"));
        let retry_after = retry_after::delay(&header(head, "retry-after"), sent)
            .map(|retry_after| retry_after.min(limits::BACKOFF_CAP));
        Refusal {
            what: format!("proxy {self} responded with HTTP {status} for {target}: {meaning} ({words})"),
            help,
            retry: if status == 407 { Retry::Never } else { Retry::UntilDeadline(retry_after) },
        }
    }

    /// What it says, without the credentials: it has been given them, and nothing else that is secret.
    fn masked(&self, words: &str) -> String {
        let mut hidden = Hidden::default();
        if let Some(credentials) = &self.credentials {
            let plain = Secret::new(STANDARD.decode(credentials.expose()).unwrap_or_default());
            let plain = String::from_utf8_lossy(plain.expose());
            for secret in [credentials.expose(), &*plain, plain.split_once(':').unwrap_or_default().1] {
                hidden.add(secret);
            }
        }
        hidden.mask(words)
    }
}

/// Where it is, and who says so.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.endpoint, self.variable)
    }
}

/// A proxy's word that is not a tunnel, distinguished from anything that an API server says.
#[derive(Debug)]
pub(super) struct Refusal {
    what: String,
    help: Cow<'static, str>,
    retry: Retry,
}

/// What to do about a proxy that opens no way.
const NO_TUNNEL: &str = "check that it is a proxy and allows CONNECT";

impl Refusal {
    /// The failure to reach the API server that it stands for.
    pub(super) fn failure(&self, step: Step) -> Error {
        Error::new(step, ErrorKind::Unreachable, self.what.as_str())
            .with_help(self.help.clone())
            .with_retry(self.retry)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Refusal {}

/// `USER:PASSWORD` in base64, from a URL's percent-encoded user information; a password that is not there is empty.
fn credentials(user_info: &str) -> Option<Secret<String>> {
    let mut plain = Zeroizing::new(Vec::with_capacity(user_info.len() + 1));
    let mut rest = user_info.bytes();
    while let Some(byte) = rest.next() {
        plain.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            _ => byte,
        });
    }
    if !user_info.contains(':') {
        plain.push(b':');
    }
    Some(Secret::new(STANDARD.encode(&*plain)))
}

/// Byte by byte, so that not one of the tunnel's is taken.
fn read_head(stream: &mut impl Read, head: &mut Vec<u8>) -> io::Result<()> {
    let mut byte = [0];
    while head.len() < limits::HEADER_BYTES {
        stream.read_exact(&mut byte).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => {
                io::Error::new(io::ErrorKind::ConnectionAborted, "connection closed by the proxy")
            }
            _ => e,
        })?;
        head.push(byte[0]);
        // A line feed alone ends a line, too (RFC 9112, section 2.2).
        if head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n") {
            return Ok(());
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// The beginning of what comes behind the header of a refusal; nothing more is asked on that connection.
fn read_body(stream: &mut impl Read, head: &[u8]) -> Vec<u8> {
    let max = header(head, "content-length").parse().unwrap_or(usize::MAX).min(limits::PAGE_TEXT);
    let mut body = Vec::new();
    // What is there when the time is over, or the connection, is what it says.
    let _ = read::to_end(stream, &mut body, max);
    if !header(head, "transfer-encoding").is_empty() {
        // The size of the first chunk.
        let size = body.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        body.drain(..size);
    }
    body
}

/// Status and reason of a status line (RFC 9112, section 4).
fn parse_status(head: &[u8]) -> Option<(u16, &str)> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let rest = std::str::from_utf8(line).ok()?.trim_end().strip_prefix("HTTP/1.")?;
    let (_, rest) = rest.split_once(' ')?;
    let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let status = status.parse().ok().filter(|status| (100..1000).contains(status))?;
    Some((status, reason))
}

/// The value of a header, by its name in lower case; empty where there is none.
fn header(head: &[u8], name: &str) -> String {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests;
