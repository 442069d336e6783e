//! Small texts: durations, addresses, names, paths, the variables that name a proxy.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use nodestrap::testing::cli::{Invocation, SettingSources};
use nodestrap::testing::config::Command;
use nodestrap::testing::http::{Endpoint, Proxies, ServerUrl, Unverified};
use nodestrap::testing::node::NodePath;
use nodestrap::testing::node_name::NodeName;
use nodestrap::testing::trust::{Pin, Token};
use nodestrap::testing::x509::AltName;

use super::{fixtures, is_one_line, text, transport};

/// A duration is what exact arithmetic makes of it.
pub fn duration(data: &[u8]) -> bool {
    // More digits than that are no matter of 128 bits.
    let Some(text) = text(data).filter(|text| text.len() <= 25) else { return false };
    let line = ["join", "h:1", "--token", fixtures::TOKEN, "--discovery-token-unsafe-skip-ca-verification"];
    let arguments = line.map(OsString::from).into_iter().chain([OsString::from(format!("--timeout={text}"))]);
    let mut invocation = Invocation::default();
    let read = invocation.read(arguments, &SettingSources::default()).and_then(|()| Command::of(&invocation));
    let read = match read {
        Ok(Command::Join(join)) => join.timeout,
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            is_one_line(&error.to_string());
            None
        }
    };
    assert_eq!(read, expected(text).filter(|time| !time.is_zero()), "{text:?}");
    read.is_some()
}

/// Numbers with units behind each other, a plus before them or not, no longer than Go's 63 bits of nanoseconds hold.
fn expected(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let mut total = 0_u64;
    let mut rest = text.chars().peekable();
    if text == "0" || text.is_empty() {
        return (text == "0").then_some(Duration::ZERO);
    }
    while rest.peek().is_some() {
        let take = |rest: &mut std::iter::Peekable<std::str::Chars<'_>>, is: fn(&char) -> bool| {
            let mut taken = String::new();
            while let Some(c) = rest.next_if(is) {
                taken.push(c);
            }
            taken
        };
        let number = take(&mut rest, |c| c.is_ascii_digit() || *c == '.');
        let unit = match take(&mut rest, |c| !c.is_ascii_digit() && *c != '.').as_str() {
            "ns" => 1_u128,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
        if whole.len() + fraction.len() == 0 || fraction.contains('.') {
            return None;
        }
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
        let nanoseconds = u128::from(whole) * unit + fraction * unit / scale;
        total = total.checked_add(u64::try_from(nanoseconds).ok()?)?;
    }
    i64::try_from(total).ok()?;
    Some(Duration::from_nanos(total))
}

/// What is taken for an address, a name or a path is written as what is taken for the same.
pub fn address(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    if let Some(endpoint) = Endpoint::parse(text) {
        assert_eq!(Endpoint::parse(&endpoint.to_string()), Some(endpoint));
    }
    if let Some(endpoints) = Endpoint::parse_list(text) {
        let written = endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        assert_eq!(Endpoint::parse_list(&written), Some(endpoints));
    }
    if let Some(url) = ServerUrl::parse(text) {
        let path = url.as_str()["https://".len()..].find('/').map_or("", |at| &url.as_str()[8 + at..]);
        let again = ServerUrl::parse(&format!("https://{}{path}", url.endpoint())).expect("as it is written");
        assert_eq!((again.endpoint(), again.tail()), (url.endpoint(), url.tail()));
        assert!(url.as_str().bytes().all(|b| b.is_ascii_graphic() && !b"\"'\\#{}".contains(&b)), "{text:?}");
    }
    if let Some(AltName::Dns(name)) = AltName::parse(text) {
        assert_eq!(AltName::parse(&name), Some(AltName::Dns(name)));
    }
    match NodeName::new(text) {
        Ok(name) => assert_eq!(NodeName::new(name.as_str()).ok(), Some(name)),
        Err(error) => is_one_line(&error.to_string()),
    }
    if let Some(path) = NodePath::parse(text) {
        assert_eq!(path.as_str(), text);
        assert!(text.starts_with('/') && !text.contains("..//") && !text.contains("/../"));
    }
    assert!(Pin::parse(text).is_none() || Pin::parse(&text.to_ascii_uppercase()) == Pin::parse(text));
    assert!(Token::parse(text).is_none_or(|token| token.as_bearer().expose() == text));
    true
}

/// A first line for HTTPS_PROXY, a second one for NO_PROXY, a third one for the endpoint: a password is never shown.
pub fn proxy_variables(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    let mut lines = text.splitn(3, '\n');
    let [proxy, exceptions, endpoint] = [(); 3].map(|()| lines.next().unwrap_or_default().to_owned());
    let Some(endpoint) = Endpoint::parse(&endpoint) else { return false };
    let mut system = transport::deaf();
    system.proxies = Arc::new(Proxies::from_environment(|name| match name {
        "HTTPS_PROXY" => Some(proxy.clone()),
        "NO_PROXY" => Some(exceptions.clone()),
        _ => None,
    }));
    let shown = match Unverified::to_each(&system, std::slice::from_ref(&endpoint)) {
        Ok(peers) => peers[0].route(),
        Err(error) => error.to_string(),
    };
    is_one_line(&shown);
    let password =
        proxy.rsplit_once('@').and_then(|(user, _)| user.rsplit_once(':')).map(|(_, password)| password);
    if let Some(password) =
        password.filter(|password| password.len() >= 8 && !endpoint.host().contains(password))
    {
        assert!(!shown.contains(password), "{shown}");
    }
    let is_proxied = shown.contains(" via proxy ");
    if endpoint.host() == "localhost" || exceptions.trim() == "*" || proxy.is_empty() {
        assert!(!is_proxied && shown == endpoint.to_string(), "{shown}");
    }
    is_proxied
}
