//! The names to ask for, as Go makes them of a host (`net/dnsclient.go`, `isDomainName`; `net/dnsclient_unix.go`, `nameList`).

use super::config::Config;
use crate::limits;

/// Whole names, each with a dot at its end, in the order in which they are asked for. None where the host is no name that
/// DNS could know.
pub(super) fn candidates(host: &str, config: &Config) -> Vec<String> {
    let name = host.strip_suffix('.').unwrap_or(host);
    if !is_domain_name(name) {
        return Vec::new();
    }
    let whole = format!("{name}.");
    let mut names: Vec<_> = config.search.iter().map(|domain| format!("{whole}{domain}")).collect();
    if name.len() < host.len() {
        names.clear();
    }
    let is_first = name.bytes().filter(|byte| *byte == b'.').count() >= config.ndots;
    names.insert(if is_first { 0 } else { names.len() }, whole);
    names.retain(|name| is_askable(name));
    names
}

/// A name of letters, digits, `-` and `_` that is no number.
fn is_domain_name(name: &str) -> bool {
    let is_label = |label: &str| !label.starts_with('-') && !label.ends_with('-');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.bytes().all(plain)
        && name.bytes().any(|byte| !byte.is_ascii_digit() && byte != b'.')
        && name.split('.').all(is_label)
}

/// Whether it fits into a message, and is not of Tor (RFC 7686, section 2).
fn is_askable(name: &str) -> bool {
    let bare = name.strip_suffix('.').unwrap_or(name);
    let top = bare.rsplit('.').next().unwrap_or_default();
    name.len() <= limits::DNS_NAME
        && !top.eq_ignore_ascii_case("onion")
        && bare.split('.').all(|label| (1..=limits::LABEL).contains(&label.len()))
}
