//! What the program writes, of values that the bytes choose: it is read again as the same.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest::{Context, SHA512_256};
use serde_json::Value;

use nodestrap::testing::asn1::{Reader, tlv};
use nodestrap::testing::csr::{CertificateRequest, CertificateTemplate};
use nodestrap::testing::http::{Bearer, ServerUrl};
use nodestrap::testing::kubeconfig::{self, BootstrapUser, Kubeconfig};
use nodestrap::testing::log::Log;
use nodestrap::testing::node_name::NodeName;
use nodestrap::testing::report::{CertificateInfo, Report};
use nodestrap::testing::secret::Secret;
use nodestrap::testing::x509::{AltName, AltNames};

use super::fixtures;

/// The bytes as choices, one after the other; zeroes behind the last.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn one(&mut self) -> u8 {
        self.0.next().copied().unwrap_or_default()
    }

    /// At most `most` of these characters, and one at least.
    fn text(&mut self, most: u8, characters: &[u8]) -> String {
        let length = self.one() % most + 1;
        let character = |_| char::from(characters[usize::from(self.one()) % characters.len()]);
        (0..length).map(character).collect()
    }
}

/// Kubeconfigs, requests, reports, DER.
pub fn written(data: &[u8]) -> bool {
    let mut choices = Choices(data.iter());
    let choices = &mut choices;
    match choices.one() % 4 {
        0 => bootstrap_kubeconfig(choices),
        1 => request(choices),
        2 => report(choices),
        _ => der(choices),
    }
    true
}

fn bootstrap_kubeconfig(choices: &mut Choices<'_>) {
    // Digits and what numbers are made of first: these are the tokens that YAML could take for something else.
    const TOKEN: &[u8] = b"0123456789.eE_-xXobBabcdefABCDEFTtrRuUnNlLyYsS~+/=0123456789.\"\\ '#:,&*@";
    let token = choices.text(40, TOKEN);
    let host = choices.text(60, b"abc-.0123456789");
    let Some(server) = ServerUrl::parse(&format!("https://{host}:6443")) else { return };
    assert!(Bearer::new(&Secret::new(token.clone())).is_ok());
    let pair = (choices.one() % 2 == 1).then(|| (fixtures::NODE.to_owned(), fixtures::KEY));
    let user = BootstrapUser { token: Some(&token), token_file: None, pair };
    let ca = fixtures::authorities();
    let text = kubeconfig::bootstrap(server.as_str(), &ca.base64(), &user);
    let config = Kubeconfig::parse(text.expose()).expect("what is written is read");
    let (cluster, read) = config.current().expect("a current context");
    assert_eq!(
        (cluster.server.as_str(), cluster.certificate_authority_data.as_str()),
        (server.as_str(), ca.base64().as_str())
    );
    assert_eq!(read.token.expose(), &token);
    assert_eq!(read.client_key_data.expose().is_empty(), user.pair.is_none());
    let line = text.expose().lines().find_map(|line| line.trim().strip_prefix("token: ")).expect("a token");
    assert!(
        line.starts_with('"') || !is_no_text(line),
        "a kubelet would take {line} for something else than a text"
    );
}

/// Whether go-yaml takes a plain scalar for anything else than a text (`goyaml.v2/resolve.go`).
fn is_no_text(scalar: &str) -> bool {
    const WORDS: [&str; 12] =
        ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", ".nan", ".inf"];
    let number = scalar.replace('_', "");
    let prefixed = ["0x", "0X", "0o", "0b", "0B"].iter().any(|prefix| number.starts_with(prefix))
        && !number.contains('.');
    let is_float = || {
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((&number, "0"));
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        digits(whole)
            && digits(fraction)
            && !(whole.is_empty() && fraction.is_empty())
            && !exponent.is_empty()
            && digits(exponent)
    };
    // 2006-1-2, with or without a time behind it.
    let digits =
        |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let date: Vec<_> = scalar.split(['T', 't', ' ']).next().unwrap_or_default().split('-').collect();
    let is_date = matches!(date[..], [year, month, day]
        if year.len() == 4 && digits(year, 4) && digits(month, 2) && digits(day, 2));
    WORDS.contains(&scalar.to_ascii_lowercase().as_str()) || prefixed || is_float() || is_date
}

/// The name is the kubelet's digest, and does not hang on the order of the hosts or on chance.
fn request(choices: &mut Choices<'_>) {
    let Ok(node) = NodeName::new(&choices.text(253, b"abcdefghijklmnopqrstuvwxyz0123456789-.")) else {
        return;
    };
    let hosts: Vec<AltName> = (0..choices.one() % 8)
        .filter_map(|_| AltName::parse(&choices.text(40, b"abcdef0123456789:.-")))
        .collect();
    let names = |hosts: &mut dyn Iterator<Item = &AltName>| {
        let mut names = AltNames::default();
        hosts.for_each(|host| names.add(host.clone()));
        names
    };
    let (one, two) = (names(&mut hosts.iter()), names(&mut hosts.iter().rev()));
    assert_eq!((one.to_der(), one.to_string()), (two.to_der(), two.to_string()));
    let key = fixtures::key();
    let name = |wanted: &CertificateTemplate| {
        CertificateRequest::new(&key, wanted).expect("a request").name().to_owned()
    };
    assert_eq!(
        name(&CertificateTemplate::serving(&node, one)),
        name(&CertificateTemplate::serving(&node, two))
    );
    let mut digest = Context::new(&SHA512_256);
    let user = format!("system:node:{}", node.as_str());
    let spki = key.spki();
    for value in [&spki[..], user.as_bytes(), b"system:nodes", b"digital signature", b"client auth"] {
        digest.update(format!("{}|", BASE64_URL_SAFE_NO_PAD.encode(value)).as_bytes());
    }
    let digest = BASE64_URL_SAFE_NO_PAD.encode(digest.finish());
    assert_eq!(name(&CertificateTemplate::client(&node)), format!("node-csr-{digest}"));
}

/// A report is one line of JSON that holds what was put in.
fn report(choices: &mut Choices<'_>) {
    let mut text = || choices.text(40, &(0..=127).collect::<Vec<_>>());
    let (node, server, issuer, pin) = (text(), text(), text(), text());
    let mut report = Report::new();
    report.node_name = Some(node.clone());
    report.server = Some(server.clone());
    report.ca_hashes = vec![pin.clone()];
    report.certificate =
        Some(CertificateInfo { issuer: issuer.clone(), not_after: String::new(), file: None });
    let json = report.json(&Log::silent()).expect("a report");
    assert_eq!(json.find('\n'), Some(json.len() - 1));
    let read: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&read["nodeName"], &read["server"]), (&Value::from(node), &Value::from(server)));
    assert_eq!(
        (&read["certificate"]["issuer"], &read["caHashes"][0]),
        (&Value::from(issuer), &Value::from(pin))
    );
    assert_eq!(
        serde_json::to_string(&read).ok().and_then(|text| serde_json::from_str(&text).ok()),
        Some(read)
    );
}

/// Fields within fields, of any length up to 64 KiB.
fn der(choices: &mut Choices<'_>) {
    let length = usize::from(choices.one()) << (choices.one() % 8);
    let value = vec![choices.one(); length];
    let inner = tlv(der::Tag::OctetString, &[&value]);
    let outer = tlv(der::Tag::Sequence, &[&inner, &inner[..0], &tlv(der::Tag::Null, &[])]);
    let mut fields = Reader::of_sequence(&outer).expect("what is written is read");
    let field = fields.expect(der::Tag::OctetString).expect("the octets");
    assert_eq!((field.value, field.raw), (&value[..], &inner[..]));
    assert_eq!(fields.expect(der::Tag::Null).expect("null").value, b"");
    assert!(fields.read().is_ok_and(|field| field.is_none()));
}
