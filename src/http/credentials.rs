//! What a connection is verified by, and what is sent over it once it is.

use std::sync::Arc;

use ureq::http::header::HeaderValue;

use super::chain::Anchors;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::secret::Secret;
use crate::x509::Certificate;

/// What stands before the token.
const SCHEME: &str = "Bearer ";

/// Roots that server chains may end at.
#[derive(Debug)]
pub struct Roots(pub(super) Arc<Anchors>);

impl Roots {
    /// Takes certificates that the caller has found to be trusted, of which those that may not sign for servers stand for
    /// themselves only; and others that may stand between one of them and a server, whether the server sends them or not.
    pub fn new<'a>(
        roots: impl IntoIterator<Item = &'a Certificate>,
        between: impl IntoIterator<Item = &'a Certificate>,
    ) -> Self {
        Self(Arc::new(Anchors::read(roots, between)))
    }

    /// The public roots that are built in, those of Mozilla's programme: good for a file that the public web serves, and
    /// never for a cluster.
    #[must_use]
    pub fn public() -> Self {
        // Names and keys stay where they are in the binary; what is copied are references to them.
        Self(Arc::new(Anchors::of(webpki_roots::TLS_SERVER_ROOTS)))
    }
}

/// A bearer token, ready to be sent. ureq keeps copies of it in its buffers until the process ends.
#[derive(Debug)]
pub struct Bearer(pub(super) HeaderValue);

impl Bearer {
    /// Makes the header's value (RFC 6750, section 2.1).
    ///
    /// # Errors
    /// A usage error for a token with characters that no header can carry.
    pub fn new(token: &Secret<String>) -> Result<Self> {
        let text = Secret::new([SCHEME, token.expose()].concat());
        let mut value = HeaderValue::from_str(text.expose()).map_err(|_| {
            Error::new(
                Step::Options,
                ErrorKind::Usage,
                "the token has characters that an HTTP header cannot carry",
            )
        })?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}
