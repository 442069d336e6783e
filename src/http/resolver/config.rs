//! The system's own files, in Go's reading of them: `resolv.conf` (`net/dnsconfig_unix.go`) and `hosts` (`net/hosts.go`).

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};

use super::NameSources;
use crate::limits;

/// What `resolv.conf` says, or its defaults where it says nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Config {
    /// At least one, in the order in which they are asked.
    pub servers: Vec<SocketAddr>,
    /// Domains to look for a name in, each with a dot at its end.
    pub search: Vec<String>,
    /// With so many dots a name is asked for as it is first.
    pub ndots: usize,
    /// How long one server is waited for.
    pub timeout: Duration,
    /// How often each server is asked.
    pub attempts: usize,
    /// Each question begins with the next server.
    pub rotate: bool,
    /// One family after the other.
    pub single_request: bool,
    /// TCP only.
    pub use_tcp: bool,
    /// Questions say that the server's word about DNSSEC is trusted.
    pub trust_ad: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: limits::DNS_TIMEOUT,
            attempts: 2,
            rotate: false,
            single_request: false,
            use_tcp: false,
            trust_ad: false,
        }
    }
}

impl Config {
    /// Reads it again. A file that cannot be read is an empty one.
    pub fn read(sources: &NameSources) -> Self {
        let mut config = Self::default();
        for line in lines(&sources.resolv_conf) {
            if !line.starts_with([';', '#']) {
                config.line(&line, sources.port);
            }
        }
        if config.servers.is_empty() {
            let local = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            config.servers.extend(local.map(|address| SocketAddr::new(address, sources.port)));
        }
        if config.search.is_empty()
            && let Some((_, domain)) = (sources.hostname)().split_once('.')
            && !domain.is_empty()
        {
            config.search.push(rooted(domain));
        }
        config
    }

    fn line(&mut self, line: &str, port: u16) {
        let mut fields = fields(line);
        match fields.next() {
            Some("nameserver") if self.servers.len() < limits::NAME_SERVERS => {
                self.servers.extend(fields.next().and_then(|text| parse_address(text, port)));
            }
            Some("domain") => {
                if let Some(domain) = fields.next() {
                    self.search = vec![rooted(domain)];
                }
            }
            Some("search") => self.search = fields.filter(|domain| *domain != ".").map(rooted).collect(),
            Some("options") => fields.for_each(|option| self.option(option)),
            _ => {}
        }
    }

    fn option(&mut self, option: &str) {
        match option.split_once(':') {
            Some(("ndots", value)) => self.ndots = number(value).min(15),
            Some(("timeout", value)) => self.timeout = Duration::from_secs(number(value).max(1) as u64),
            Some(("attempts", value)) => self.attempts = number(value).clamp(1, limits::DNS_ATTEMPTS),
            _ => match option {
                "rotate" => self.rotate = true,
                "single-request" | "single-request-reopen" => self.single_request = true,
                "use-vc" | "usevc" | "tcp" => self.use_tcp = true,
                "trust-ad" => self.trust_ad = true,
                // EDNS0 is always used, and the file read for each lookup (`edns0`, `no-reload`).
                _ => {}
            },
        }
    }
}

/// The addresses of a host in the file of hosts, all of them, in its order. Neither case nor a dot at the end matters.
pub(super) fn hosts(sources: &NameSources, host: &str) -> Vec<SocketAddr> {
    let bare = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let (host, mut found) = (bare(host), Vec::new());
    for line in lines(&sources.hosts) {
        let mut fields = fields(line.split('#').next().unwrap_or_default());
        let address = fields.next().and_then(|text| parse_address(text, 0));
        if let Some(address) = address
            && fields.any(|name| bare(name) == host)
            && found.len() < limits::ADDRESSES
        {
            found.push(address);
        }
    }
    found
}

/// The lines of a file, none where it cannot be read. A line that is too long ends it, as in Go; what only a writer could
/// go on with is no wait.
fn lines(path: &Path) -> impl Iterator<Item = String> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok();
    let mut reader = file.map(|file| BufReader::new(file.take(limits::HOSTS_BYTES)));
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        reader.as_mut()?.take(limits::HOSTS_LINE).read_until(b'\n', &mut line).ok()?;
        let is_whole = !line.is_empty() && (line.len() as u64) < limits::HOSTS_LINE;
        is_whole.then(|| String::from_utf8_lossy(&line).into_owned())
    })
}

fn fields(line: &str) -> impl Iterator<Item = &str> {
    line.split([' ', '\t', '\r', '\n']).filter(|field| !field.is_empty())
}

fn rooted(domain: &str) -> String {
    if domain.ends_with('.') { domain.to_owned() } else { format!("{domain}.") }
}

/// The digits at the beginning; none are 0, and no number is greater than Go's (`net/parse.go`, `big`).
fn number(text: &str) -> usize {
    let digits = text.bytes().take_while(u8::is_ascii_digit);
    digits.fold(0, |number, digit| (number * 10 + usize::from(digit - b'0')).min(0x00ff_ffff))
}

/// An address, an IPv6 one also with its zone: the name or the number of an interface.
fn parse_address(text: &str, port: u16) -> Option<SocketAddr> {
    let Some((address, zone)) = text.split_once('%') else {
        return Some(SocketAddr::new(text.parse::<IpAddr>().ok()?.to_canonical(), port));
    };
    let address: Ipv6Addr = address.parse().ok().filter(|_| !zone.is_empty())?;
    let index = socket_with(AddressFamily::INET6, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .and_then(|socket| netdevice::name_to_index(socket, zone));
    let index = index.or_else(|_| zone.parse()).unwrap_or_default();
    Some(SocketAddrV6::new(address, port, 0, index).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of this text, for as long as it is looked at.
    fn with<T>(text: &str, look: impl FnOnce(NameSources) -> T) -> T {
        let (process, thread) = (std::process::id(), std::thread::current().id());
        let file = std::env::temp_dir().join(format!("nodestrap-names-{process}-{thread:?}"));
        std::fs::write(&file, text).unwrap();
        let hostname = || "n1.corp.example".to_owned();
        let found = look(NameSources { hosts: file.clone(), resolv_conf: file.clone(), hostname, port: 53 });
        std::fs::remove_file(file).unwrap();
        found
    }

    #[test]
    fn resolv_conf_is_read_line_by_line() {
        let base = || Config {
            servers: ["127.0.0.1:53", "[::1]:53"].map(|server| server.parse().unwrap()).into(),
            search: vec!["corp.example.".to_owned()],
            ..Config::default()
        };
        let servers = |list: &[&str]| Config {
            servers: list.iter().map(|server| server.parse().unwrap()).collect(),
            ..base()
        };
        let search =
            |list: &[&str]| Config { search: list.iter().map(|name| (*name).to_owned()).collect(), ..base() };
        let seconds = |seconds| Config { timeout: Duration::from_secs(seconds), ..base() };
        for (text, expected) in [
            ("", base()),
            ("nameserver 10.0.0.1", servers(&["10.0.0.1:53"])),
            (" nameserver\t10.0.0.1 10.0.0.2\r\n", servers(&["10.0.0.1:53"])),
            ("nameserver fd00::1\nnameserver ::ffff:10.0.0.1\n", servers(&["[fd00::1]:53", "10.0.0.1:53"])),
            ("nameserver fe80::1%7\n", servers(&["[fe80::1%7]:53"])),
            ("nameserver fe80::1%lo\n", servers(&["[fe80::1%1]:53"])),
            ("nameserver fe80::1%\nnameserver 10.0.0.1%lo\nnameserver x\nnameserver\n", base()),
            (
                "nameserver x\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n",
                servers(&["10.0.0.1:53", "10.0.0.2:53", "10.0.0.3:53"]),
            ),
            ("#nameserver 10.0.0.1\n;nameserver 10.0.0.1\n", base()),
            ("search a b. . c", search(&["a.", "b.", "c."])),
            ("search a\ndomain b c", search(&["b."])),
            ("domain b\nsearch a\ndomain", search(&["a."])),
            ("search a\nsearch .", base()),
            ("options ndots:4", Config { ndots: 4, ..base() }),
            ("options ndots:0", Config { ndots: 0, ..base() }),
            ("options ndots:x", Config { ndots: 0, ..base() }),
            ("options ndots:3x ndots:99999999999999999999", Config { ndots: 15, ..base() }),
            ("options timeout:30", seconds(30)),
            ("options timeout:0", seconds(1)),
            ("options timeout:-3", seconds(1)),
            ("options attempts:7", Config { attempts: 7, ..base() }),
            ("options attempts:0", Config { attempts: 1, ..base() }),
            ("options attempts:1000000", Config { attempts: 100, ..base() }),
            ("options rotate", Config { rotate: true, ..base() }),
            ("options single-request", Config { single_request: true, ..base() }),
            ("options single-request-reopen", Config { single_request: true, ..base() }),
            ("options use-vc", Config { use_tcp: true, ..base() }),
            ("options usevc", Config { use_tcp: true, ..base() }),
            ("options tcp", Config { use_tcp: true, ..base() }),
            ("options edns0 trust-ad", Config { trust_ad: true, ..base() }),
            ("options rotate:1 debug no-reload\nsortlist 10.0.0.1\noption rotate\n", base()),
        ] {
            assert_eq!(with(text, |sources| Config::read(&sources)), expected, "{text}");
        }
        let named =
            |hostname| NameSources { hostname, resolv_conf: "/nowhere".into(), ..NameSources::of_system() };
        for hostname in [|| "n1".to_owned(), || "n1.".to_owned()] as [fn() -> String; 2] {
            assert_eq!(Config::read(&named(hostname)).search, Vec::<String>::new());
        }
    }

    #[test]
    fn hosts_are_found_by_any_of_their_names() {
        let text = "# 10.0.0.9 api\n10.0.0.1\tAPI.lab. api # x\r\n10.0.0.999 api\n\nfd00::1 x api.LAB\n10.0.0.2 x.\n10.0.0.3 api";
        for (host, expected) in [
            ("api", "10.0.0.1:0 10.0.0.3:0"),
            ("api.", "10.0.0.1:0 10.0.0.3:0"),
            ("Api.Lab", "10.0.0.1:0 [fd00::1]:0"),
            ("x", "[fd00::1]:0 10.0.0.2:0"),
            ("ap", ""),
            ("10.0.0.1", ""),
            ("lab", ""),
        ] {
            let found: Vec<_> =
                with(text, |sources| hosts(&sources, host)).iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), expected, "{host}");
        }
        let line = |last: u32| format!("10.0.{}.{} api", last / 250, last % 250);
        let many = (0..300).map(line).collect::<Vec<_>>().join("\n");
        assert_eq!(with(&many, |sources| hosts(&sources, "api")).len(), limits::ADDRESSES);
    }

    #[test]
    fn a_line_that_is_too_long_ends_the_file() {
        let line = |length: usize| format!("10.0.0.1 {} api\n10.0.0.2 api\n", "x".repeat(length));
        let max = usize::try_from(limits::HOSTS_LINE).unwrap() - "10.0.0.1  api\n".len();
        assert_eq!(with(&line(max - 1), |sources| hosts(&sources, "api")).len(), 2);
        assert_eq!(with(&line(max), |sources| hosts(&sources, "api")).len(), 0);
    }
}
