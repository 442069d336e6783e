//! Bootstrap tokens (`k8s.io/cluster-bootstrap/token/util/helpers.go`).

use crate::secret::Secret;

/// A checked bootstrap token, `[a-z0-9]{6}.[a-z0-9]{16}`. The part before the dot is public, the rest is not.
#[derive(Clone, Debug)]
pub struct Token {
    id: String,
    bearer: Secret<String>,
}

impl Token {
    /// The length of an ID, in bytes.
    pub(super) const ID_LENGTH: usize = 6;

    /// Takes a token, the whole text, without trimming (`BootstrapTokenPattern`). `None` for anything else: the text
    /// may be a secret with a slip of the pen, so no error repeats it.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.split_once('.')?;
        (id.len() == Self::ID_LENGTH && secret.len() == 16 && is_plain(id) && is_plain(secret))
            .then(|| Self { id: id.to_owned(), bearer: Secret::new(text.to_owned()) })
    }

    /// The public part.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret part, which is the HMAC key.
    pub(super) fn secret(&self) -> &str {
        &self.bearer.expose()[self.id.len() + 1..]
    }

    /// All of it, which is the bearer token.
    pub fn as_bearer(&self) -> &Secret<String> {
        &self.bearer
    }
}

/// Whether a text has only those characters that tokens are made of.
pub(super) fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_exact() {
        let token = Token::parse("abcdef.0123456789abcdef").unwrap();
        assert_eq!((token.id(), token.secret()), ("abcdef", "0123456789abcdef"));
        assert_eq!(token.as_bearer().expose(), "abcdef.0123456789abcdef");
        for bad in [
            "",
            "abcdef",
            "abcdef.",
            "abcdef.0123456789abcde",
            "abcdef.0123456789abcdef0",
            "Abcdef.0123456789abcdef",
            "abcdef.0123456789abcdef\n",
            " abcdef.0123456789abcdef",
            "abcde.f0123456789abcdef",
            "abcdef.0123456789abcd.f",
            "abcdéf.0123456789abcdef",
        ] {
            assert!(Token::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn debug_hides_the_secret() {
        assert!(
            !format!("{:?}", Token::parse("abcdef.0123456789abcdef").unwrap()).contains("0123456789abcdef")
        );
    }
}
