//! What the API server knows this machine by until it is a node: a token, a client certificate, or both.

use std::sync::Arc;

use super::key::Key;
use crate::error::Result;
use crate::http::{Bearer, ClientIdentity};
use crate::kubeconfig::BootstrapUser;
use crate::limits;
use crate::pem_blocks::{self, blocks};
use crate::secret::Secret;
use crate::x509::{Certificate, key_name};

/// Credentials for the certificate request; there is always one. Both are shown where both are there, as client-go does:
/// the API server takes the certificate if it knows its CA, else the token (`pkg/kubeapiserver/authenticator`).
#[derive(Clone, Debug)]
pub struct Credentials {
    token: Option<Secret<String>>,
    pair: Option<ClientPair>,
}

impl Credentials {
    /// Those of a user; `None` when he has neither.
    #[must_use]
    pub fn of_user(token: Option<Secret<String>>, pair: Option<ClientPair>) -> Option<Self> {
        (token.is_some() || pair.is_some()).then_some(Self { token, pair })
    }

    /// The token, where there is one.
    #[must_use]
    pub fn token(&self) -> Option<&Secret<String>> {
        self.token.as_ref()
    }

    /// The token, ready to be sent, where there is one.
    ///
    /// # Errors
    /// As [`Bearer::new`].
    pub fn bearer(&self) -> Result<Option<Bearer>> {
        self.token.as_ref().map(Bearer::new).transpose()
    }

    /// The client certificate, ready to be shown, where there is one.
    #[must_use]
    pub fn identity(&self) -> Option<ClientIdentity> {
        self.pair.as_ref().map(|pair| ClientIdentity::new(&pair.chain, pair.key.clone()))
    }

    /// The same for bootstrap-kubelet.conf.
    #[must_use]
    pub fn embedded(&self) -> BootstrapUser<'_> {
        let text = |certificate: &Certificate| pem_blocks::encode("CERTIFICATE", &certificate.der);
        BootstrapUser {
            token: self.token.as_ref().map(|token| token.expose().as_str()),
            pair: self
                .pair
                .as_ref()
                .map(|pair| (pair.chain.iter().map(text).collect(), pair.key.pem().expose().as_str())),
        }
    }
}

/// A bearer token alone.
impl From<Secret<String>> for Credentials {
    fn from(token: Secret<String>) -> Self {
        Self { token: Some(token), pair: None }
    }
}

/// A client certificate, its chain, and its key, which belong together.
#[derive(Clone, Debug)]
pub struct ClientPair {
    /// Leaf first; never empty.
    chain: Vec<Certificate>,
    key: Arc<Key>,
}

impl ClientPair {
    /// Reads a pair from its PEM texts, which may be one. Whether the certificate is in time, and whether the cluster
    /// knows its issuer, the API server judges.
    ///
    /// # Errors
    /// A clause that says what is wrong, to stand behind "it cannot be used:", and what to do, where that is not plain.
    pub fn from_pem(
        certificate: &[u8],
        key: &[u8],
    ) -> std::result::Result<Self, (String, Option<&'static str>)> {
        let chain = Certificate::chain_from_pem(certificate)
            .filter(|chain| chain.len() <= limits::CERTIFICATES)
            .ok_or_else(|| {
                ("its client certificate is not a PEM certificate and its chain".to_owned(), None)
            })?;
        if !Key::is_p256(&chain[0].spki) {
            let kind = key_name(&chain[0].spki);
            return Err((
                format!(
                    "its client certificate is for a key of type {kind}, nodestrap supports P-256 keys only"
                ),
                Some("issue one for a P-256 key, or use --tls-bootstrap-token-file"),
            ));
        }
        let key = Key::from_pem(key).ok_or_else(|| {
            let (what, help) = match label(key) {
                Some("PRIVATE KEY") => (
                    "its client key cannot be read as PKCS#8 (PRIVATE KEY) on P-256",
                    Some("convert it: openssl ec -in KEY -out KEY"),
                ),
                Some("ENCRYPTED PRIVATE KEY") => {
                    ("its client key is encrypted", Some("decrypt it: openssl ec -in KEY -out KEY"))
                }
                _ => ("its client key is not a PEM EC PRIVATE KEY on P-256", None),
            };
            (what.to_owned(), help)
        })?;
        if key.spki() != chain[0].spki {
            return Err(("its client key does not match its client certificate".to_owned(), None));
        }
        Ok(Self { chain, key: Arc::new(key) })
    }
}

/// What the first key in a PEM text says it is, of the labels in use.
fn label(text: &[u8]) -> Option<&'static str> {
    const LABELS: [&str; 4] = ["RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"];
    let blocks = blocks(text)?;
    LABELS.into_iter().find(|label| blocks.iter().any(|block| block.tag() == *label))
}
