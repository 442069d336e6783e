//! What this machine authenticates with until it is a node: a token, a client certificate, or both.

use std::path::Path;
use std::sync::Arc;

use pem::Pem;

use crate::error::{Error, ErrorKind, Result, Retry, Step};
use crate::http::{Bearer, ClientIdentity, SignsHandshake};
use crate::input::Reader;
use crate::key::Key;
use crate::key::RsaKey;
use crate::kubeconfig::BootstrapUser;
use crate::limits;
use crate::log::Log;
use crate::pem_blocks::{self, PKCS8_LABEL, blocks};
use crate::secret::Secret;
use crate::x509::{Certificate, is_rsa, key_name, rsa_bits};

/// Credentials for the certificate request; there is always one. Both are presented where both are there, as client-go
/// does: the API server takes the certificate if it knows its CA, else the token (`pkg/kubeapiserver/authenticator`).
#[derive(Clone, Debug)]
pub struct Credentials {
    token: Option<Secret<String>>,
    /// A file with the token instead.
    token_file: Option<TokenFile>,
    pair: Option<ClientPair>,
}

impl Credentials {
    /// Those of a user; `None` without either.
    pub fn of_user(token: Option<Secret<String>>, pair: Option<ClientPair>) -> Option<Self> {
        (token.is_some() || pair.is_some()).then_some(Self { token, token_file: None, pair })
    }

    /// The token, where there is one.
    pub fn token(&self) -> Option<&Secret<String>> {
        self.token.as_ref()
    }

    /// The file with the token, where it is in one that is read for each request.
    pub fn token_file(&self) -> Option<&TokenFile> {
        self.token_file.as_ref()
    }

    /// The token, ready to be sent, where there is one. Each that is read from a file is masked in `log` first.
    ///
    /// # Errors
    /// A usage error for a token with characters that no header can carry.
    pub fn bearer(&self, log: &Log) -> Result<Option<Bearer>> {
        if let Some(file) = &self.token_file {
            let (file, hidden) = (file.clone(), log.hidden());
            return Ok(Some(Bearer::reread(move || {
                let token = file.read()?;
                hidden.borrow_mut().add(token.expose());
                Ok(token)
            })));
        }
        self.token.as_ref().map(Bearer::new).transpose()
    }

    /// Whether a kubelet can use all of them from bootstrap-kubelet.conf.
    pub fn fit_kubelet(&self) -> bool {
        self.token_file.as_ref().is_none_or(|file| file.kubelet_path.is_some())
    }

    /// The client certificate, ready to be presented, where there is one.
    pub fn identity(&self) -> Option<ClientIdentity> {
        self.pair.as_ref().map(|pair| ClientIdentity::new(&pair.chain, pair.key.clone()))
    }

    /// The credentials as bootstrap-kubelet.conf has them.
    pub fn embedded(&self) -> BootstrapUser<'_> {
        let text = |certificate: &Certificate| pem_blocks::encode("CERTIFICATE", &certificate.der);
        BootstrapUser {
            token: self.token.as_ref().map(|token| token.expose().as_str()),
            token_file: self.token_file.as_ref().and_then(|file| file.kubelet_path.as_deref()),
            pair: self
                .pair
                .as_ref()
                .map(|pair| (pair.chain.iter().map(text).collect(), pair.key_pem.expose().as_str())),
        }
    }
}

/// Whether a text holds only what a bearer token can (RFC 6750, section 2.1, b64token): it goes into a header, and into
/// a kubeconfig.
pub fn is_bearer_token(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-._~+/=".contains(c))
}

/// A bearer token alone.
impl From<Secret<String>> for Credentials {
    fn from(token: Secret<String>) -> Self {
        Self { token: Some(token), token_file: None, pair: None }
    }
}

/// A token in a file alone.
impl From<TokenFile> for Credentials {
    fn from(file: TokenFile) -> Self {
        Self { token: None, token_file: Some(file), pair: None }
    }
}

/// A file with a bearer token that others keep fresh: it is read for each request, and may not be there at first.
#[derive(Clone, Debug)]
pub struct TokenFile {
    setting: String,
    path: String,
    /// Where a kubelet will find it, if it will.
    kubelet_path: Option<String>,
}

impl TokenFile {
    /// The file at `path`, which `setting` names; `root` is the directory that stands for the node's `/`.
    ///
    /// A kubelet will find it unless it is outside of that, below the credentials of a unit, which only that unit sees,
    /// or in a place that ends with this process or may be private to it.
    pub fn new(setting: String, path: String, root: &Path) -> Self {
        const FLEETING: [&str; 5] = ["run/credentials", "proc", "dev", "tmp", "var/tmp"];
        let below = Path::new(&path).strip_prefix(root).ok();
        let below = below.filter(|below| !FLEETING.iter().any(|place| below.starts_with(place)));
        let kubelet_path = below.map(|below| Path::new("/").join(below).to_string_lossy().into_owned());
        Self { setting, path, kubelet_path }
    }

    /// The token that is in it now, without the white space around it, as client-go reads it (`k8s.io/client-go/transport`,
    /// `fileTokenSource`).
    ///
    /// # Errors
    /// [`ErrorKind::Files`] until the deadline: a file that is missing, empty or half written may be complete in a moment.
    pub fn read(&self) -> Result<Secret<String>> {
        let Self { setting, path, .. } = self;
        let mut reader = Reader::of_files();
        let text = reader.text(setting, path).map_err(|e| e.chain().join(": "));
        let problem = match text {
            Ok(Some(text)) => {
                let token = text.expose().trim();
                if is_bearer_token(token) {
                    return Ok(Secret::new(token.to_owned()));
                }
                format!("{setting}: {path} has characters that are not valid in a bearer token")
            }
            Ok(None) => reader.missing().map(|missing| missing.to_string()).unwrap_or_default(),
            Err(problem) => problem,
        };
        Err(Error::new(Step::Files, ErrorKind::Files, problem)
            .with_help("check the unit that writes the token")
            .with_retry(Retry::UntilDeadline(None)))
    }
}

/// A client certificate, its chain, and its key, which belong together.
#[derive(Clone, Debug)]
pub struct ClientPair {
    /// Leaf first; never empty.
    chain: Vec<Certificate>,
    key: Arc<dyn SignsHandshake>,
    key_pem: Secret<String>,
}

/// What is wrong, to stand behind "it cannot be used:", and what to do, where that is not plain.
type Misfit = (String, Option<&'static str>);

impl ClientPair {
    /// Reads a pair from its PEM texts, which may be one. Whether the certificate is within its validity, and whether the
    /// cluster knows its issuer, the API server checks.
    ///
    /// # Errors
    /// A clause that says what is wrong, to stand behind "it cannot be used:", and what to do, where that is not plain.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> std::result::Result<Self, Misfit> {
        let chain = Certificate::chain_from_pem(certificate)
            .filter(|chain| chain.len() <= limits::CERTIFICATES)
            .ok_or_else(|| {
                ("its client certificate is not a PEM certificate and its chain".to_owned(), None)
            })?;
        let spki = &chain[0].spki;
        let (key, key_pem, is_match): (Arc<dyn SignsHandshake>, _, _) = if Key::is_p256(spki) {
            let key = Key::from_pem(key).ok_or_else(|| unreadable(key, "EC PRIVATE KEY", "P-256"))?;
            let (pem, is_match) = (key.pem().clone(), key.spki() == *spki);
            (Arc::new(key), pem, is_match)
        } else if is_rsa(spki) && rsa_bits(spki).is_some_and(|bits| limits::RSA_CLIENT_BITS.contains(&bits)) {
            let key = RsaKey::from_pem(key).ok_or_else(|| unreadable(key, "RSA PRIVATE KEY", "RSA"))?;
            let (pem, is_match) = (key.pem().clone(), key.is_of(spki));
            (Arc::new(key), pem, is_match)
        } else {
            let what = format!(
                "its client certificate is for a key of type {}, nodestrap supports P-256, and RSA of 2048 to 4096 bits",
                key_name(spki)
            );
            return Err((what, Some("issue one for such a key, or use --tls-bootstrap-token-file")));
        };
        if !is_match {
            return Err((
                "its client key does not match its client certificate".to_owned(),
                Some("use the key for which the certificate was issued"),
            ));
        }
        Ok(Self { chain, key, key_pem })
    }
}

/// Why a key cannot be read that should be one of this `kind`, in PKCS#8 or under this `label`.
fn unreadable(pem: &[u8], label: &str, kind: &str) -> Misfit {
    let blocks = blocks(pem).unwrap_or_default();
    // What Go takes for the key.
    let key = blocks.iter().find(|block| block.tag().ends_with(PKCS8_LABEL));
    let is_encrypted =
        |key: &Pem| key.tag().starts_with("ENCRYPTED ") || key.headers().get("DEK-Info").is_some();
    match key {
        Some(key) if is_encrypted(key) => (
            "its client key is encrypted".to_owned(),
            Some("decrypt it: openssl pkey -traditional -in KEY -out KEY"),
        ),
        Some(key) if key.tag() == PKCS8_LABEL => (
            format!("its client key cannot be read as PKCS#8 (PRIVATE KEY) of type {kind}"),
            Some("convert it: openssl pkey -traditional -in KEY -out KEY"),
        ),
        _ => (
            format!("its client key is not a PEM {label} of type {kind}"),
            Some("use the key for which the certificate was issued"),
        ),
    }
}
