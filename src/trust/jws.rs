//! The detached JWS over cluster-info (RFC 7515, appendix F; `k8s.io/cluster-bootstrap/token/jws/jws.go`).
//!
//! The signature is recomputed, and the header is compared with the only one that Kubernetes writes, before a single
//! byte of what it covers is parsed. So no other algorithm, header field, padding or embedded payload can be accepted.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use super::{ClusterInfo, Token};
use crate::error::{Error, ErrorKind, Result, Retry, Step};

/// How much of the text is encoded at once, in bytes: a multiple of three.
const PIECE: usize = 3 * 1024;

/// Verifies the signature made with `token` and returns the signed text.
///
/// # Errors
/// [`ErrorKind::NotPublished`], which is retryable, when kubeconfig or signature is missing: the controller that signs may
/// lag behind a new token. [`ErrorKind::NotTrusted`] when the signature does not fit.
pub(super) fn verify<'a>(info: &'a ClusterInfo, token: &Token) -> Result<&'a str> {
    let id = token.id();
    let kubeconfig = kubeconfig(info)?;
    let signature = info.signature().ok_or_else(|| {
        let what = format!("signature for token {id}");
        match info.signed() {
            [] => missing(
                &format!("{what}, nor for any other"),
                "create a token with `kubeadm token create`; if it stays unsigned, check that kube-controller-manager runs bootstrapsigner",
            ),
            others => missing(
                &format!("{what}, only for {}", others.join(", ")),
                "the token is mistyped, has expired or lacks usage \"signing\": create one with `kubeadm token create`",
            ),
        }
    })?;
    if is_signed(signature, kubeconfig, id, token.secret()) {
        return Ok(kubeconfig);
    }
    let what = format!("the signature of cluster-info does not match the secret of token {id}");
    Err(Error::new(Step::Trust, ErrorKind::NotTrusted, what)
        .with_help("check the token: the part after the dot is mistyped, or it belongs to another cluster"))
}

/// The text that is to be signed.
///
/// # Errors
/// [`ErrorKind::NotPublished`], which is retryable, when it is missing.
pub(super) fn kubeconfig(info: &ClusterInfo) -> Result<&str> {
    let help = "publish one with `kubeadm init phase bootstrap-token`";
    info.kubeconfig().ok_or_else(|| missing("kubeconfig", help))
}

fn missing(what: &str, help: &'static str) -> Error {
    Error::new(Step::Trust, ErrorKind::NotPublished, format!("cluster-info has no {what}"))
        .with_help(help)
        .with_retry(Retry::UntilDeadline(None))
}

/// `signature = header ".." base64url(HMAC-SHA256(secret, header "." base64url(payload)))`, with
/// `header = base64url({"alg":"HS256","kid":ID})`; the last comparison takes the same time wherever it fails.
fn is_signed(signature: &str, payload: &str, id: &str, secret: &str) -> bool {
    let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS256","kid":"{id}"}}"#));
    let Some(mac) = signature.strip_prefix(header.as_str()).and_then(|rest| rest.strip_prefix("..")) else {
        return false;
    };
    // Strict: without padding, line breaks or stray bits, so that one signature has one spelling.
    let Ok(mac) = URL_SAFE_NO_PAD.decode(mac) else {
        return false;
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(header.as_bytes());
    context.update(b".");
    // In pieces of whole groups of base64: all of it at once is as long again as the longest cluster-info.
    let mut encoded = String::new();
    for piece in payload.as_bytes().chunks(PIECE) {
        encoded.clear();
        URL_SAFE_NO_PAD.encode_string(piece, &mut encoded);
        context.update(encoded.as_bytes());
    }
    // ring compares in constant time what it has computed itself: the codes of both are the same if they are.
    hmac::verify(&key, &mac, hmac::sign(&key, context.sign().as_ref()).as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "abcdef";
    const SECRET: &str = "0123456789abcdef";

    fn sign(header: &str, payload: &str, secret: &str) -> String {
        let header = URL_SAFE_NO_PAD.encode(header);
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let mac = hmac::sign(&key, format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload)).as_bytes());
        format!("{header}..{}", URL_SAFE_NO_PAD.encode(mac))
    }

    #[test]
    fn the_reference_vector_verifies() {
        // k8s.io/cluster-bootstrap/token/jws/jws_test.go
        const CONTENT: &str = "Hello from the other side. I must have called a thousand times.";
        let signature =
            "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8";
        assert!(is_signed(signature, CONTENT, "joshua", "my voice is my passcode"));
        assert!(!is_signed(signature, CONTENT, "joshua", "my voice is my passcodf"));
    }

    #[test]
    fn what_is_returned_is_what_this_token_has_signed() {
        let token = Token::parse(&format!("{ID}.{SECRET}")).unwrap();
        let info = |data: &[(&str, &str)]| -> ClusterInfo {
            let data: std::collections::BTreeMap<_, _> = data.iter().copied().collect();
            let json = serde_json::json!({ "data": data }).to_string();
            ClusterInfo::from_json(json.as_bytes(), token.id()).unwrap()
        };
        let good = sign(r#"{"alg":"HS256","kid":"abcdef"}"#, "payload", SECRET);
        let (text, ours) = (("kubeconfig", "payload"), "jws-kubeconfig-abcdef");
        assert_eq!(verify(&info(&[text, (ours, &good)]), &token).unwrap(), "payload");
        for (data, failure) in [
            (&[][..], ErrorKind::NotPublished),
            (&[(ours, good.as_str())], ErrorKind::NotPublished),
            (&[text], ErrorKind::NotPublished),
            (&[text, ("jws-kubeconfig-fedcba", &good)], ErrorKind::NotPublished),
            (&[text, (ours, &good[1..])], ErrorKind::NotTrusted),
            (&[("kubeconfig", "other"), (ours, &good)], ErrorKind::NotTrusted),
        ] {
            let error = verify(&info(data), &token).unwrap_err();
            let is_retryable = failure == ErrorKind::NotPublished;
            assert_eq!((error.kind(), error.retry() == Retry::UntilDeadline(None)), (failure, is_retryable));
        }
    }

    #[test]
    fn a_text_of_any_length_is_signed_as_a_whole() {
        let text = "y: \u{e9}\n".repeat(PIECE);
        for length in [0, 3, PIECE - 3, PIECE, PIECE + 3, 3 * PIECE] {
            let text = &text[..text.floor_char_boundary(length)];
            let signature = sign(r#"{"alg":"HS256","kid":"abcdef"}"#, text, SECRET);
            assert!(is_signed(&signature, text, ID, SECRET), "{length}");
            assert!(!is_signed(&signature, &format!("{text} "), ID, SECRET), "{length}");
        }
    }

    #[test]
    fn one_flipped_bit_anywhere_is_refused() {
        let good = sign(r#"{"alg":"HS256","kid":"abcdef"}"#, "payload", SECRET);
        assert!(is_signed(&good, "payload", ID, SECRET));
        for at in 0..good.len() {
            for bit in 0..7 {
                let mut bytes = good.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let bad = String::from_utf8(bytes).unwrap();
                assert!(!is_signed(&bad, "payload", ID, SECRET), "{bad}");
            }
        }
    }

    #[test]
    fn other_headers_and_spellings_are_refused() {
        for header in [
            r#"{"kid":"abcdef","alg":"HS256"}"#,
            r#"{"alg":"HS256", "kid":"abcdef"}"#,
            r#"{"alg":"none","kid":"abcdef"}"#,
            r#"{"alg":"HS256","kid":"fedcba"}"#,
            r#"{"alg":"HS256","kid":"abcdef","b64":false}"#,
            r#"{"alg":"HS512","kid":"abcdef"}"#,
        ] {
            assert!(!is_signed(&sign(header, "payload", SECRET), "payload", ID, SECRET), "{header}");
        }
        let good = sign(r#"{"alg":"HS256","kid":"abcdef"}"#, "payload", SECRET);
        let (header, mac) = good.split_once("..").unwrap();
        let embedded = format!("{header}.{}.{mac}", URL_SAFE_NO_PAD.encode("payload"));
        for bad in [
            format!("{good}="),
            format!("{good}\n"),
            format!(" {good}"),
            embedded,
            format!("{header}.."),
            String::new(),
        ] {
            assert!(!is_signed(&bad, "payload", ID, SECRET), "{bad:?}");
        }
        assert!(!is_signed(&good, "payload ", ID, SECRET));
    }
}
