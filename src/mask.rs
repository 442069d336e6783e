//! What must not be seen of a line, wherever it comes from: a token in the wrong place, a password in a URL.
//!
//! This is the last guard, not the first: no message repeats a value that may be a secret. It knows shapes only.

/// The parts of a bootstrap token, `[a-z0-9]{6}.[a-z0-9]{16}` (`k8s.io/cluster-bootstrap/token/api`).
const TOKEN: (usize, usize) = (6, 16);
/// The length of `eyJ`, with which a JSON web token begins (RFC 7519): `{"` in base64.
const JWT: usize = 3;
/// What stands for what is not shown.
const STARS: &str = "***";

/// The text without what has the shape of a token, in any case and percent-encoded too, of a JSON web token, or of the user
/// in a URL. `names` are names of hosts and nodes that are in use: where one of them has a token's shape it stays.
pub fn masked(text: &str, names: &[String]) -> String {
    let bytes = text.as_bytes();
    let mut shown = String::with_capacity(text.len());
    let (mut at, mut copied) = (0, 0);
    while at < bytes.len() {
        let Some((from, to)) = secret_at(bytes, at) else {
            at += 1;
            continue;
        };
        let is_name = |name: &String| {
            text.match_indices(name.as_str()).any(|(start, _)| start < from && to <= start + name.len())
        };
        if !names.iter().any(is_name) {
            shown.push_str(&text[copied..from]);
            shown.push_str(STARS);
            copied = to;
        }
        at = to;
    }
    shown.push_str(&text[copied..]);
    shown
}

/// From where to where something secret goes whose mark is at `at`: both between ASCII characters.
fn secret_at(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let (before, here) = bytes.split_at(at);
    let dot = match here {
        [b'.', ..] => 1,
        [b'%', b'2', b'e' | b'E', ..] => 3,
        [b':', b'/', b'/', authority @ ..] => {
            let end = authority.iter().take_while(|b| !b.is_ascii_whitespace() && **b != b'"').count();
            let user = authority[..end].iter().rposition(|b| *b == b'@').filter(|user| *user > 0)?;
            return Some((at + 3, at + 3 + user));
        }
        [b'e', b'y', b'J', ..] if !before.last().is_some_and(u8::is_ascii_alphanumeric) => {
            let is_part = |b: &&u8| b.is_ascii_alphanumeric() || b"-_".contains(b);
            let header = here.iter().take_while(is_part).count();
            let all = here.iter().take_while(|b| is_part(b) || **b == b'.').count();
            return (header > TOKEN.1 && all > header + TOKEN.1).then_some((at + JWT, at + all));
        }
        _ => return None,
    };
    let id = before.iter().rev().take_while(|b| b.is_ascii_alphanumeric()).count();
    let rest = &here[dot..];
    let secret = rest.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
    // A text that was cut may have been cut there.
    let is_whole = secret >= TOKEN.1 || secret > 0 && rest[secret..].starts_with("…".as_bytes());
    (id >= TOKEN.0 && is_whole && !is_field(&rest[..secret.min(TOKEN.1)]))
        .then_some((at + dot, at + dot + secret))
}

/// Whether it is written as the fields of configurations are: `nodeRegistration.kubeletExtraArgs`. No token has letters of
/// both cases.
fn is_field(text: &[u8]) -> bool {
    let has = |is: fn(&u8) -> bool| text.iter().any(is);
    has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && !has(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef";

    #[test]
    fn a_token_is_hidden_wherever_it_stands() {
        for (text, shown) in [
            ("abcdef.@", "abcdef.***"),
            ("a \"abcdef.@\", b", "a \"abcdef.***\", b"),
            ("'abcdef.@'", "'abcdef.***'"),
            ("--tokenabcdef.@", "--tokenabcdef.***"),
            ("x=abcdef.@&y", "x=abcdef.***&y"),
            ("abcdef%2E@ %22abcdef%2e@%22", "abcdef%2E*** %22abcdef%2e***%22"),
            ("/run/abcdef.@/abcdef.@", "/run/abcdef.***/abcdef.***"),
            ("ABCDEF.0123456789ABCDEF", "ABCDEF.***"),
            ("abcdef.abcdefghijklmnop, ABCDEF.ABCDEFGHIJKLMNOP", "abcdef.***, ABCDEF.***"),
            ("abcdef.abcdefghijklmnopError", "abcdef.***"),
            ("abcdef.@0 one too many", "abcdef.*** one too many"),
            ("ä abcdef.@ö", "ä abcdef.***ö"),
            ("abcdef.012345678…", "abcdef.***…"),
        ] {
            assert_eq!(masked(&text.replace('@', SECRET), &[]), shown);
        }
    }

    #[test]
    fn what_is_no_token_is_shown() {
        for text in [
            "",
            ".",
            "node-csr-wxhW5Q9LVbAmLdyUgppHrVqREGgwOyd86LcK47e4m_E for system:node:n1",
            "/var/lib/kubelet/pki/kubelet-client-2026-11-25-09-01-02.pem",
            "apis/certificates.k8s.io/v1/certificatesigningrequests",
            "https://10.0.0.1:6443 and https://[fd00::1]:6443/a b@c",
            "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "the token abcdef is not known; abcde.0123456789abcdef; abcdef.0123456789abcde",
            "eyJ is how it begins",
            "abcdef.… is cut behind its dot, and https://@h:1/ has no user",
            "nodeRegistration.kubeletExtraArgs, discovery.bootstrapToken.unsafeSkipCAVerification",
            "discovery.tlsBootstrapToken, timeouts.kubernetesAPICall",
        ] {
            assert_eq!(masked(text, &[]), text);
        }
    }

    #[test]
    fn a_name_in_use_stays_readable_and_no_token_beside_it() {
        let names = ["node01.prodclustereast1".to_owned(), "n1".to_owned()];
        let line = "https://node01.prodclustereast1:6443: system:node:node01.prodclustereast1";
        assert_eq!(masked(line, &names), line);
        assert_eq!(masked(line, &[]), "https://node01.***:6443: system:node:node01.***");
        assert_eq!(masked(&format!("{line} node02.{SECRET}"), &names), format!("{line} node02.***"));
    }

    #[test]
    fn a_name_that_is_the_secret_part_alone_hides_no_less() {
        let names = [SECRET.to_owned(), "node".to_owned()];
        assert_eq!(masked(&format!("abcdef.{SECRET}"), &names), "abcdef.***");
        assert_eq!(masked(&format!("abcdef.{SECRET}"), &[format!("f.{SECRET}")]), format!("abcdef.{SECRET}"));
    }

    #[test]
    fn a_json_web_token_begins_a_word_and_has_two_long_parts() {
        let shape =
            |first: usize, rest: usize| format!("eyJ{}.{}", "-".repeat(first - 3), "-".repeat(rest - 1));
        for (first, rest, hidden) in [(17, 17, true), (16, 40, false), (17, 16, false), (16, 16, false)] {
            let text = shape(first, rest);
            assert_eq!(masked(&text, &[]) == "eyJ***", hidden, "{text}");
            assert_eq!(masked(&text, &[]) == text, !hidden, "{text}");
        }
        let long = "-".repeat(60);
        for text in [format!("x{}", shape(20, 20)), format!("7{}", shape(20, 20)), format!("eyJ{long}")] {
            assert_eq!(masked(&text, &[]), text);
        }
        assert_eq!(masked(&format!("-{}", shape(20, 20)), &[]), "-eyJ***");
    }

    #[test]
    fn a_json_web_token_is_hidden() {
        let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl-_x";
        assert_eq!(masked(&format!("a {token}, b"), &[]), "a eyJ***, b");
    }

    #[test]
    fn the_user_of_a_url_is_hidden() {
        for (text, shown) in [
            ("https://u:p@h:1/x y@z", "https://***@h:1/x y@z"),
            ("\"https://u:p@h\",\"a@b\"", "\"https://***@h\",\"a@b\""),
            ("http://u:p/w@h", "http://***@h"),
            ("https://u:p@w@h", "https://***@h"),
        ] {
            assert_eq!(masked(text, &[]), shown);
        }
    }
}
