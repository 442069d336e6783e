//! Secrets in a text, by their shape: bootstrap tokens, signed tokens of service accounts (JWT), private keys in PEM.
//!
//! Texts of an image hold them in many coats: in JSON, in a URL, in base64 inside of a file that cloud-init or Ignition
//! is to write. Escapes are undone and base64 is looked into; what is compressed or encrypted is not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::secret::Secret;
use crate::trust::Token;

/// How deep base64 is looked into: a kubeconfig has its key in base64, and a file of Ignition's may be all of it.
const DEPTH: u32 = 2;
/// The shortest base64 that can hold a bootstrap token.
const ENCODED: usize = 31;
/// Programs that wrap base64 do it at 60 characters or later.
const WRAPPED: usize = 60;

/// What a shell takes out of a line that goes on; systemd puts a space there.
const CONTINUED: &str = "\\\n";

/// Whether a secret stands anywhere in a text.
pub(super) fn holds_secret(text: &str) -> bool {
    holds(text, DEPTH)
}

fn holds(text: &str, depth: u32) -> bool {
    stands(text, depth)
        || text.contains(CONTINUED) && stands(Secret::new(text.replace(CONTINUED, "")).expose(), depth)
}

fn stands(text: &str, depth: u32) -> bool {
    let text = unescaped(text);
    let text = text.expose();
    holds_key(text) || holds_token(text) || depth > 0 && holds_encoded(text, depth - 1)
}

/// A private key's first line with a part of the key behind it.
fn holds_key(text: &str) -> bool {
    text.split("-----BEGIN ").skip(1).any(|rest| {
        let Some((label, body)) = rest.split_once("-----") else { return false };
        let body = body.trim_start();
        let key = body.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"+/-".contains(b)).count();
        label.ends_with("PRIVATE KEY") && label.len() < 40 && key > 7
    })
}

/// A word that is a token, and no host of a URL or of `HOST:PORT`.
fn holds_token(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let (mut rest, mut before) = (text, ' ');
    while let Some(start) = rest.find(is_word) {
        before = rest[..start].chars().next_back().unwrap_or(before);
        rest = &rest[start..];
        let (word, behind) = rest.split_at(rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
        let mut next = behind.bytes();
        let is_host =
            before == '/' || next.next() == Some(b':') && next.next().is_some_and(|b| b.is_ascii_digit());
        let word = word.trim_matches('.');
        if !is_host && Token::parse(word).is_some() || is_jwt(word) {
            return true;
        }
        rest = behind;
    }
    false
}

/// Header, claims and signature (RFC 7519, section 3.1; RFC 7515, section 7.1): the first two are JSON objects in base64.
fn is_jwt(word: &str) -> bool {
    let mut parts = word.split('.');
    let mut part = |begin: &str| parts.next().is_some_and(|part| part.starts_with(begin) && part.len() > 15);
    part("eyJ") && part("eyJ") && part("") && parts.next().is_none()
}

/// Whether a run of base64 holds a secret; wrapped lines are one run.
fn holds_encoded(text: &str, depth: u32) -> bool {
    let is_digit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
    let mut run = Secret::new(String::new());
    let mut last = 0;
    let mut rest = text;
    loop {
        let start = rest.find(is_digit).unwrap_or(rest.len());
        let goes_on = last >= WRAPPED && rest[..start].trim().is_empty() && start < rest.len();
        if !goes_on {
            if run.expose().len() >= ENCODED
                && decoded(run.expose()).is_some_and(|text| holds(text.expose(), depth))
            {
                return true;
            }
            run.expose_mut().clear();
        }
        rest = &rest[start..];
        if rest.is_empty() {
            return false;
        }
        let (digits, behind) = rest.split_at(rest.find(|c| !is_digit(c)).unwrap_or(rest.len()));
        run.expose_mut().push_str(digits);
        (last, rest) = (digits.len(), behind);
    }
}

/// What a run of base64 digits stands for, as text.
fn decoded(run: &str) -> Option<Secret<String>> {
    // One digit alone at the end is none.
    let whole = if run.len() % 4 == 1 { &run[..run.len() - 1] } else { run };
    let bytes = Secret::new(STANDARD_NO_PAD.decode(whole).ok()?);
    Some(Secret::new(String::from_utf8_lossy(bytes.expose()).into_owned()))
}

/// The text without the escapes of JSON, of units and of URLs.
fn unescaped(text: &str) -> Secret<String> {
    let mut plain = Secret::new(String::with_capacity(text.len()));
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '%']) {
        plain.expose_mut().push_str(&rest[..at]);
        let is_percent = rest[at..].starts_with('%');
        rest = &rest[at + 1..];
        let (skipped, digits) = match rest.bytes().next() {
            _ if is_percent => (0, 2),
            Some(b'x') => (1, 2),
            Some(b'u') => (1, 4),
            _ => (0, 0),
        };
        let code =
            rest.get(skipped..skipped + digits).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let (shown, used) = match code.and_then(char::from_u32) {
            Some(c) => (c, skipped + digits),
            None if is_percent => ('%', 0),
            None => (' ', rest.chars().next().map_or(0, char::len_utf8)),
        };
        plain.expose_mut().push(shown);
        rest = &rest[used..];
    }
    plain.expose_mut().push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const TOKEN: &str = "abcdef.0123456789abcdef";
    const KEY: &str = include_str!("../../../tests/vectors/sec1-p256.pem");
    const PKCS8: &str = include_str!("../../../tests/vectors/pkcs8-p256.pem");
    const CA: &str = include_str!("../../../tests/fuzz/pki/ca.pem");

    fn jwt() -> String {
        let part =
            |text: &str| STANDARD.encode(text).trim_end_matches('=').replace('+', "-").replace('/', "_");
        let claims = r#"{"iss":"kubernetes/serviceaccount","sub":"system:serviceaccount:kube-system:join"}"#;
        format!("{}.{}.{}", part(r#"{"alg":"RS256","kid":"1"}"#), part(claims), "A-b_9".repeat(60))
    }

    #[test]
    fn a_token_is_found_wherever_it_stands() {
        for text in [
            TOKEN.to_owned(),
            format!("{TOKEN}\n"),
            format!("kubeadm join h:6443 --token {TOKEN} --discovery-token-ca-cert-hash sha256:00"),
            format!("--token={TOKEN}"),
            format!("{{\"token\":\"{TOKEN}\"}}"),
            format!("The token is '{TOKEN}'."),
            format!("  token: {TOKEN}.\n"),
            format!("SetCredential=nodestrap.token:{TOKEN}"),
            format!("SetCredential=nodestrap.join:kubeadm\\x20join\\x20--token\\x20{TOKEN}"),
            format!(r##"{{"inline": "#!/bin/sh\nkubeadm join\t{TOKEN}\n"}}"##),
            format!(r#""a \u0022{TOKEN}\u0022""#),
            format!("data:,kubeadm%20join%20h:6443%20--token%20{TOKEN}%20%0A"),
            format!("options root=/dev/vda1 nodestrap.token={TOKEN} quiet"),
            format!("{TOKEN},system:bootstrap:abcdef,1"),
            TOKEN.replace("0123", "01\\\n23"),
            STANDARD.encode(TOKEN.replace("0123", "01\\\n23")),
            format!("--token\\\n{TOKEN}"),
            format!("token {}", jwt()),
            format!("Authorization: Bearer {}.", jwt()),
        ] {
            assert!(holds_secret(&text), "{text}");
        }
    }

    #[test]
    fn base64_is_looked_into() {
        let join = format!("kubeadm join api.example:6443 --token {TOKEN}\n");
        let encoded = STANDARD.encode(&join);
        let long = STANDARD.encode(format!("{}{join}", "# a comment\n".repeat(20)));
        let wrapped = |width| {
            let lines: Vec<_> =
                long.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
            lines.join("\n      ")
        };
        for text in [
            STANDARD.encode(TOKEN),
            encoded.trim_end_matches('=').to_owned(),
            format!("content: {encoded}\n"),
            format!("data:;base64,{encoded}"),
            format!("systemd.set_credential_binary=nodestrap.token:{}", STANDARD.encode(TOKEN)),
            format!("<CustomData>{encoded}</CustomData>"),
            wrapped(60),
            wrapped(64),
            wrapped(76),
            STANDARD.encode(&encoded),
            format!("client-key-data: {}", STANDARD.encode(KEY)),
            STANDARD.encode(format!("client-key-data: {}", STANDARD.encode(KEY))),
        ] {
            assert!(holds_secret(&text), "{text}");
        }
    }

    #[test]
    fn a_private_key_is_found() {
        for text in [
            KEY.to_owned(),
            PKCS8.to_owned(),
            format!("{CA}{KEY}"),
            KEY.replace('\n', "\r\n"),
            format!("{{\"key\": \"{}\"}}", KEY.replace('\n', "\\n")),
            PKCS8.replace("PRIVATE KEY-----\n", "PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"),
        ] {
            assert!(holds_secret(&text), "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_is_none() {
        let ca = STANDARD.encode(CA);
        for text in [
            "",
            "abcdef",
            "abcdef.0123456789abcde",
            "abcdef.0123456789abcdef0",
            "x.abcdef.0123456789abcdef",
            "ABCDEF.0123456789abcdef",
            "server: https://master.productioncluster:6443",
            "node01.prodclustereast1:6443",
            "https://node01.prodclustereast1/",
            "--token-file /run/secrets/token --token ${TOKEN}",
            "100% of \\ and %zz and \\x and \\u12 and \\",
            "make \\\n    image \\\n",
            CA,
            &ca,
            "grep -q -- '-----BEGIN EC PRIVATE KEY-----' file",
            "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n",
            "eyJhbGciOiJSUzI1NiJ9.abc.def",
            "sha256:e23b35155e906ff2613e3f38f7e29e47cd3f9537ce2195cc7b289125e8c2fe19",
            "\u{fffd}é%é\\é",
        ] {
            assert!(!holds_secret(text), "{text}");
        }
    }

    #[test]
    fn a_secret_is_found_up_to_its_edges_and_no_further() {
        let key = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}");
        let part = |length: usize| "eyJ".to_owned() + &"x".repeat(length - 3);
        let word = |lengths: [usize; 3]| lengths.map(part).join(".");
        let label = |length: usize| "X".repeat(length - 11) + "PRIVATE KEY";
        let deep = STANDARD.encode(STANDARD.encode(TOKEN));
        for (text, is_one) in [
            (key(&label(39), "MHcCAQEE"), true),
            (key(&label(40), "MHcCAQEE"), false),
            (key("EC PRIVATE KEY", "MHcCAQE"), false),
            (word([16, 16, 16]), true),
            (word([15, 16, 16]), false),
            (word([16, 15, 16]), false),
            (word([16, 16, 15]), false),
            ("eyJ.eyJ.x".to_owned(), false),
            (format!("{}.{}.x", "y".repeat(20), part(20)), false),
            // A port makes a host, and nothing else behind a colon.
            (format!("{TOKEN}: is it"), true),
            (format!("{TOKEN} 443"), true),
            (format!("{TOKEN}:443"), false),
            // No escape: a percent sign.
            ("%ghijkl.0123456789abcdef".to_owned(), true),
            // One digit too many is none of it.
            (format!("{}A", STANDARD.encode(format!("\n{TOKEN}"))), true),
            (deep.clone(), true),
            (STANDARD.encode(deep), false),
        ] {
            assert_eq!(holds_secret(&text), is_one, "{text}");
        }
    }
}
