//! Kubeconfig files (`k8s.io/client-go/tools/clientcmd/api/v1`): what clientcmd reads of them. The two that are written are
//! in the module below.

mod write;

pub use write::{BootstrapUser, bootstrap, kubelet};

use serde_json::Value;

use crate::secret::Secret;
use crate::yaml::{self, YamlError};

/// A kubeconfig, as far as this program uses it. Unknown fields are ignored, as clientcmd ignores them.
#[derive(Debug, Default)]
pub struct Kubeconfig {
    clusters: Vec<(String, Cluster)>,
    contexts: Vec<(String, Context)>,
    users: Vec<(String, User)>,
    current_context: String,
}

/// Where the API server is, and which CA signs for it. What is missing is empty.
#[derive(Debug)]
pub struct Cluster {
    /// `https://HOST[:PORT]`.
    pub server: String,
    /// PEM in base64.
    pub certificate_authority_data: String,
    /// A file instead of the data.
    pub certificate_authority: String,
    /// Go without verification, which this program never does.
    pub insecure_skip_tls_verify: bool,
    /// The first of the fields that would lead elsewhere, and that this program does not follow.
    pub unsupported: Option<&'static str>,
}

#[derive(Debug)]
struct Context {
    cluster: String,
    user: String,
}

/// Credentials, as far as a node's files have them. What is missing is empty.
#[derive(Debug)]
pub struct User {
    /// A PEM file with the certificate.
    pub client_certificate: String,
    /// A PEM file with the key.
    pub client_key: String,
    /// The certificate itself, PEM in base64.
    pub client_certificate_data: Secret<String>,
    /// The key itself, PEM in base64.
    pub client_key_data: Secret<String>,
    /// A bearer token.
    pub token: Secret<String>,
    /// A file that holds the bearer token, and beats it.
    pub token_file: String,
    /// The first of the fields by which the user would be known in another way, which this program does not have.
    pub unsupported: Option<&'static str>,
}

/// Why a text is not a usable kubeconfig.
#[derive(Debug)]
pub enum KubeconfigError {
    /// Not the YAML that this program reads.
    Yaml(YamlError),
    /// It lacks something, or has it twice.
    Content(&'static str),
}

impl std::fmt::Display for KubeconfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Yaml(e) => e.fmt(f),
            Self::Content(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for KubeconfigError {}

/// Programs that make credentials, Basic authentication, and impersonation (`AuthInfo`).
const OTHER_USERS: [&str; 8] =
    ["exec", "auth-provider", "username", "password", "as", "as-uid", "as-groups", "as-user-extra"];

impl Kubeconfig {
    /// Reads YAML or JSON text, which may be untrusted.
    ///
    /// # Errors
    /// [`KubeconfigError`]; another kind (a missing one means Config) and two entries of one name are errors, as in
    /// clientcmd.
    pub fn parse(text: &str) -> Result<Self, KubeconfigError> {
        let config = yaml::tree(text).map_err(KubeconfigError::Yaml)?;
        let is = |field, value| text_of(&config, field).map(|text| text.is_empty() || text == value);
        if !is_map(&config) || !is("kind", "Config")? || !is("apiVersion", "v1")? {
            return Err(KubeconfigError::Content("expected `kind: Config`"));
        }
        Ok(Self {
            clusters: named(&config, "clusters", "cluster", |cluster| {
                Ok(Cluster {
                    server: text_of(cluster, "server")?,
                    certificate_authority_data: data_of(cluster, "certificate-authority-data")?,
                    certificate_authority: text_of(cluster, "certificate-authority")?,
                    insecure_skip_tls_verify: switch_of(cluster, "insecure-skip-tls-verify")?,
                    unsupported: first_of(cluster, &["proxy-url", "tls-server-name"]),
                })
            })?,
            contexts: named(&config, "contexts", "context", |context| {
                Ok(Context { cluster: text_of(context, "cluster")?, user: text_of(context, "user")? })
            })?,
            users: named(&config, "users", "user", |user| {
                Ok(User {
                    client_certificate: text_of(user, "client-certificate")?,
                    client_key: text_of(user, "client-key")?,
                    client_certificate_data: Secret::new(data_of(user, "client-certificate-data")?),
                    client_key_data: Secret::new(data_of(user, "client-key-data")?),
                    token: Secret::new(text_of(user, "token")?),
                    token_file: text_of(user, "tokenFile")?,
                    unsupported: first_of(user, &OTHER_USERS),
                })
            })?,
            current_context: text_of(&config, "current-context")?,
        })
    }

    /// Whether a key or a token is written in it, whosever it is.
    pub fn embeds_a_secret(&self) -> bool {
        let has = |user: &User| !(user.client_key_data.expose().is_empty() && user.token.expose().is_empty());
        self.users.iter().any(|(_, user)| has(user))
    }

    /// The cluster that discovery means: the one named `""`, else the current context's, else the only one
    /// (`cmd/kubeadm/app/util/kubeconfig`, `GetClusterFromKubeConfig`; a sole cluster is taken whatever its name).
    ///
    /// # Errors
    /// When no cluster, or more than one, is left to choose from.
    pub fn discovery_cluster(&self) -> Result<&Cluster, KubeconfigError> {
        if let [(_, only)] = self.clusters.as_slice() {
            return Ok(only);
        }
        find(&self.clusters, "")
            .or_else(|| find(&self.clusters, &self.current_context()?.cluster))
            .ok_or(KubeconfigError::Content("no current cluster"))
    }

    /// The cluster that a kubelet means, which follows the current context, else that of [`Self::discovery_cluster`].
    ///
    /// # Errors
    /// When no cluster, or more than one, is left to choose from.
    pub fn kubelets_cluster(&self) -> Result<&Cluster, KubeconfigError> {
        self.current_context()
            .and_then(|context| find(&self.clusters, &context.cluster))
            .map_or_else(|| self.discovery_cluster(), Ok)
    }

    /// The cluster and user of the current context.
    pub fn current(&self) -> Option<(&Cluster, &User)> {
        let context = self.current_context()?;
        Some((find(&self.clusters, &context.cluster)?, find(&self.users, &context.user)?))
    }

    /// Whether any user is known by something that this text itself holds and that is secret.
    pub fn holds_secret(&self) -> bool {
        self.users.iter().any(|(_, user)| {
            let is_password = matches!(user.unsupported, Some("username" | "password"));
            is_password || !user.token.expose().is_empty() || !user.client_key_data.expose().is_empty()
        })
    }

    fn current_context(&self) -> Option<&Context> {
        find(&self.contexts, &self.current_context)
    }
}

fn find<'a, T>(list: &'a [(String, T)], name: &str) -> Option<&'a T> {
    list.iter().find(|(own, _)| own == name).map(|(_, item)| item)
}

/// A field's text, empty when it is missing or null.
fn text_of(map: &Value, field: &str) -> Result<String, KubeconfigError> {
    match map.get(field) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        // Not quoted: in a kubeconfig it can be a secret.
        Some(_) => Err(KubeconfigError::Content("a field is not a string (put its value in quotes)")),
    }
}

/// A field's true or false, false when it is missing or null.
fn switch_of(map: &Value, field: &str) -> Result<bool, KubeconfigError> {
    match map.get(field) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(on)) => Ok(*on),
        Some(_) => Err(KubeconfigError::Content("insecure-skip-tls-verify is neither true nor false")),
    }
}

/// A field's base64, without the line breaks, which Go passes over (`encoding/base64`).
fn data_of(map: &Value, field: &str) -> Result<String, KubeconfigError> {
    let mut text = text_of(map, field)?;
    text.retain(|c| !matches!(c, '\r' | '\n'));
    Ok(text)
}

/// Null is a map without fields.
fn is_map(value: &Value) -> bool {
    value.is_object() || value.is_null()
}

/// The first of these fields that holds anything. Many programs write all fields that there are, empty ones too; only
/// objects are there whatever they hold (`AuthInfo`, pointers).
fn first_of(map: &Value, fields: &[&'static str]) -> Option<&'static str> {
    let holds = |field: &&&str| match map.get(field) {
        None | Some(Value::Null) => false,
        Some(_) if matches!(**field, "exec" | "auth-provider") => true,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
        Some(_) => true,
    };
    fields.iter().find(holds).copied()
}

/// Reads one of the lists of `{name, KIND}`; null and a missing list are empty.
fn named<T>(
    config: &Value,
    list: &str,
    kind: &str,
    read: impl Fn(&Value) -> Result<T, KubeconfigError>,
) -> Result<Vec<(String, T)>, KubeconfigError> {
    let mut items = Vec::new();
    for (name, item) in entries(config, list, kind)? {
        items.push((name, read(item)?));
    }
    Ok(items)
}

/// The entries of a list by their names, before what is in them is read.
fn entries<'v>(
    config: &'v Value,
    list: &str,
    kind: &str,
) -> Result<Vec<(String, &'v Value)>, KubeconfigError> {
    let mut items = Vec::new();
    match config.get(list) {
        None | Some(Value::Null) => {}
        Some(Value::Array(entries)) => {
            for entry in entries {
                // A name that is missing is an empty one, and a content that is missing has empty fields.
                let item = entry.get(kind).unwrap_or(&Value::Null);
                if !is_map(entry) || !is_map(item) {
                    return Err(KubeconfigError::Content("an entry of a list is not a map"));
                }
                let name = text_of(entry, "name")?;
                if find(&items, &name).is_some() {
                    return Err(KubeconfigError::Content("two entries of a list have the same name"));
                }
                items.push((name, item));
            }
        }
        Some(_) => return Err(KubeconfigError::Content("clusters, contexts and users must be lists")),
    }
    Ok(items)
}

#[cfg(test)]
mod tests;
