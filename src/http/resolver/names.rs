//! The names to ask for, as Go makes them of a host (`net/dnsclient.go`, `isDomainName`; `net/dnsclient_unix.go`,
//! `nameList`).

use super::config::Config;
use crate::limits;

/// Complete names, each with a dot at its end, in the order in which they are asked for. None where the host is not a
/// name that DNS could know.
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

/// A name of letters, digits, `-` and `_` that is not a number.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_asked_for_in_the_order_of_the_search_list() {
        let long = ["a", "b", "c", "d"].map(|letter| letter.repeat(61)).join(".") + ".abcde";
        let label = |length: usize| "a".repeat(length);
        for (host, ndots, search, expected) in [
            ("api", 1, "a. b.c.", "api.a. api.b.c. api."),
            ("api.lab", 1, "a. b.", "api.lab. api.lab.a. api.lab.b."),
            ("api.lab", 2, "a.", "api.lab.a. api.lab."),
            ("api", 0, "a.", "api. api.a."),
            ("api.lab.", 2, "a.", "api.lab."),
            ("api", 1, "", "api."),
            ("api", 1, "onion. a..b. x.ONION. c.", "api.c. api."),
            ("api.onion", 1, "a.", "api.onion.a."),
            ("onion.lab_1", 1, "", "onion.lab_1."),
            // 253 bytes are a name with a dot, one more is none.
            (&long, 9, "abc.", &format!("{long}.")),
            (&long[1..], 9, "", &format!("{}.", &long[1..])),
            (&format!("a{long}"), 9, "", ""),
            (&label(63), 1, "", &format!("{}.", label(63))),
            (&label(64), 1, "", ""),
            ("10.0.0", 1, "a.", ""),
            ("10.x.0", 1, "", "10.x.0."),
            ("1-0", 1, "", "1-0."),
            ("a b", 1, "", ""),
            ("-a", 1, "", ""),
            ("a-.b", 1, "", ""),
            ("a..b", 1, "", ""),
            ("", 1, "a.", ""),
        ] {
            let search = search.split_terminator(' ').map(str::to_owned).collect();
            let config = Config { search, ndots, ..Config::default() };
            assert_eq!(candidates(host, &config).join(" "), expected, "{host} with {config:?}");
        }
    }
}
