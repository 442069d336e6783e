//! What no line for people may hold, whatever happened: the debug text of a crate, the name of a Rust type, a place that
//! is none, a word twice. Every harness holds each run's standard error and report against it.

use serde_json::Value;

/// Words with capitals inside that are no type's: names of products, and of kinds and reasons of Kubernetes' API.
const TERMS: [&str; 20] = [
    "ConfigMap",
    "ClusterRole",
    "JoinConfiguration",
    "KubeletConfiguration",
    "ClusterConfiguration",
    "InitConfiguration",
    "CertificateSigningRequest",
    "NoSchedule",
    "PreferNoSchedule",
    "NoExecute",
    "TooManyRequests",
    "ServiceUnavailable",
    "InternalError",
    "NotYet",
    "NotFound",
    "AlreadyExists",
    "ServerTimeout",
    "BadRequest",
    "NotAcceptable",
    "KubectlDeny",
];

/// Crates, and the page of one's documentation that it prints itself.
const CRATES: [&str; 8] = ["rustls", "webpki", "ureq", "serde", "saphyr", "lexopt", "rustix", "docs.rs"];

/// What ureq, its parser of HTTP and rustls say of a connection, and how ureq begins.
const PHRASES: [&str; 12] = [
    ": io: ",
    ": protocol: ",
    ": timeout: ",
    ": http: ",
    "http parse",
    "http version",
    "Peer disconnected",
    "handshake eof",
    "chunk length",
    "chunk expected",
    "content-length header",
    "request limit",
];

/// What serde says of a type.
const SHAPES: [&str; 5] = ["struct ", "enum ", "variant ", "tuple ", "newtype "];

/// The first of the lines that people would stumble over, and why.
pub fn misfit(stderr: &str, report: Option<&Value>) -> Option<String> {
    let errors = report.and_then(|report| report["error"].as_array()).into_iter().flatten();
    let lines = stderr.lines().chain(errors.filter_map(Value::as_str));
    lines.into_iter().find_map(|line| {
        // JSON is a server's own: no line of ours has any.
        let line = line.split("{\"").next().unwrap_or_default();
        Some(format!("{} in {line:?}", reason(line)?))
    })
}

/// Asserts that there is no such line.
pub fn hold(stderr: &str, report: Option<&Value>) {
    let misfit = misfit(stderr, report);
    assert!(misfit.is_none(), "{}", misfit.unwrap_or_default());
}

fn reason(line: &str) -> Option<String> {
    let held = |text: &str| line.contains(text).then(|| text.to_owned());
    let fixed = ["line 0", "\\u{", "\\\"", "Some(", "None)", "Ok(", "Err(", "panicked"];
    fixed.iter().chain(&SHAPES).chain(&CRATES).chain(&PHRASES).find_map(|text| held(text)).or_else(|| {
        // The names of requests are digests; of what is hidden, parts are left.
        let plain = line.split_whitespace().filter(|word| !word.contains("-csr-") && !word.contains("***"));
        let mut words = plain.flat_map(|word| word.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')));
        // Base64 has digits.
        let typed = words.find(|word| is_type(word)).map(str::to_owned);
        typed.or_else(|| path(line)).or_else(|| bytes(line)).or_else(|| twice(line))
    })
}

/// `InvalidContentType`: two humps at least.
fn is_type(word: &str) -> bool {
    let bytes = word.as_bytes();
    let is_plain = bytes.iter().all(u8::is_ascii_alphabetic);
    let humps = bytes.windows(2).filter(|pair| pair[0].is_ascii_uppercase() && pair[1].is_ascii_lowercase());
    bytes.first().is_some_and(u8::is_ascii_uppercase)
        && is_plain
        && humps.count() > 1
        && !TERMS.contains(&word)
}

/// `io::Error`, which is no IPv6 address.
fn path(line: &str) -> Option<String> {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let mut parts = line.split("::").peekable();
    while let (Some(before), Some(after)) = (parts.next(), parts.peek()) {
        let (before, after) =
            (before.rsplit(|c| !is_letter(c)).next()?, after.split(|c| !is_letter(c)).next()?);
        let is_address = [before, after].concat().chars().all(|c| c.is_ascii_hexdigit());
        if !is_address && !before.is_empty() && !after.is_empty() {
            return Some(format!("{before}::{after}"));
        }
    }
    None
}

/// `[6, 8, 42`.
fn bytes(line: &str) -> Option<String> {
    let list = line.split('[').skip(1).find(|list| {
        let numbers = list.split(", ").take(3);
        numbers.clone().count() == 3 && numbers.take(2).all(|number| number.parse::<u8>().is_ok())
    })?;
    Some(format!("[{list}"))
}

/// `the configuration (configuration)`: one word at both sides of a bracket.
fn twice(line: &str) -> Option<String> {
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        words.filter(|word| !word.is_empty()).map(str::to_ascii_lowercase).collect()
    };
    line.match_indices(['(', ')']).find_map(|(at, _)| {
        let (before, after) = (words(&line[..at]), words(&line[at + 1..]));
        let same = before.last().zip(after.first()).filter(|(last, first)| last == first && last.len() > 1);
        same.map(|(word, _)| format!("{word} ({word}"))
    })
}

#[test]
fn lines_that_people_stumble_over_are_found() {
    for bad in [
        "trust: invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))",
        "received corrupt message of type InvalidContentType",
        "the algorithm is [6, 8, 42, 134, 72, 206, 61, 4, 3, 4]",
        "the configuration (configuration) cannot be read",
        "the configuration (join.yaml) Join.yaml cannot be read, (see configuration) configuration",
        "EOF while parsing a value at line 0 column 0",
        "std::io::Error: it failed",
        "invalid type: string, expected struct Token",
        "the name \"a\\\"b\" is none",
        "https://docs.rs/rustls/latest",
        "discovery: no answer from https://h:1; check it: io: Connection refused (os error 111)",
        "discovery: no answer from https://h:1; check it: protocol: http parse fail: invalid HTTP version",
    ] {
        assert!(misfit(bad, None).is_some(), "{bad}");
        let report = serde_json::json!({"error": ["good", bad]});
        assert!(misfit("", Some(&report)).is_some(), "{bad}");
    }
    for good in [
        "nodestrap: trust: the certificate of CN=kube-apiserver (P-521) at [::1]:6443, [fe80::abcd]:1, at line 10",
        "CN=kubernetes is signed with ECDSA with SHA-512 by the key of CN=kubernetes (P-521)",
        "NODESTRAP_JOIN is [1, 2]",
    ] {
        assert_eq!(misfit(good, None), None);
    }
}
