//! Kubeconfig files: what clientcmd reads of them, and the three texts that are written
//! (`k8s.io/client-go/tools/clientcmd/api/v1`).

use serde::Deserialize;

use crate::secret::Secret;
use crate::yaml::{self, YamlError};

/// A kubeconfig, as far as this program uses it. Unknown fields are ignored, as clientcmd ignores them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Kubeconfig {
    kind: Option<String>,
    #[serde(rename = "apiVersion")]
    api_version: Option<String>,
    clusters: Option<Vec<NamedCluster>>,
    contexts: Option<Vec<NamedContext>>,
    users: Option<Vec<NamedUser>>,
    current_context: Option<String>,
}

#[derive(Debug, Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Debug, Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Debug, Deserialize)]
struct NamedUser {
    name: String,
    user: User,
}

/// Where the API server is, and which CA signs for it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Cluster {
    /// `https://HOST[:PORT]`.
    pub server: String,
    /// PEM in base64.
    pub certificate_authority_data: Option<String>,
    /// A file instead of the data.
    pub certificate_authority: Option<String>,
    /// Go without verification, which this program never does.
    pub insecure_skip_tls_verify: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
}

/// Credentials, as far as a node's kubelet.conf has them.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct User {
    /// A PEM file with the certificate.
    pub client_certificate: Option<String>,
    /// A PEM file with the key.
    pub client_key: Option<String>,
    /// The certificate itself, PEM in base64.
    pub client_certificate_data: Option<String>,
    /// The key itself, PEM in base64.
    pub client_key_data: Option<String>,
    /// A bearer token.
    pub token: Option<Secret<String>>,
    /// A file that holds the bearer token, and beats it.
    #[serde(rename = "tokenFile")]
    pub token_file: Option<String>,
}

/// A key may stand in it.
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("User(***)")
    }
}

/// Why a text is no usable kubeconfig.
#[derive(Debug)]
pub enum KubeconfigError {
    /// Not the YAML that this program reads.
    Yaml(YamlError),
    /// YAML, but not of a kubeconfig's shape.
    Shape(serde_json::Error),
    /// It lacks something, or has it twice.
    Content(&'static str),
}

impl std::fmt::Display for KubeconfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Yaml(e) => e.fmt(f),
            // serde's message can quote a value, which in a kubeconfig can be a secret.
            Self::Shape(_) => f.write_str("a field does not have the type that a kubeconfig has there"),
            Self::Content(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for KubeconfigError {}

impl Kubeconfig {
    /// Reads YAML or JSON text, which may be foreign.
    ///
    /// # Errors
    /// [`KubeconfigError`]; another kind (a missing one means Config) and two entries of one name are errors, as in
    /// clientcmd.
    pub fn parse(text: &str) -> Result<Self, KubeconfigError> {
        let json = yaml::to_json(text).map_err(KubeconfigError::Yaml)?;
        let config: Option<Self> = serde_json::from_str(&json).map_err(KubeconfigError::Shape)?;
        let config = config.unwrap_or_default();
        let is =
            |field: &Option<String>, value: &str| field.as_deref().is_none_or(|v| v.is_empty() || v == value);
        if !is(&config.kind, "Config") || !is(&config.api_version, "v1") {
            return Err(KubeconfigError::Content("it is another kind of object than a kubeconfig"));
        }
        distinct(config.clusters.iter().flatten().map(|c| &c.name), "two clusters have one name")?;
        distinct(config.contexts.iter().flatten().map(|c| &c.name), "two contexts have one name")?;
        distinct(config.users.iter().flatten().map(|u| &u.name), "two users have one name")?;
        Ok(config)
    }

    /// The cluster that discovery means: the one named `""`, else the current context's, else the only one
    /// (`cmd/kubeadm/app/util/kubeconfig`, `GetClusterFromKubeConfig`; a sole cluster is taken whatever its name).
    ///
    /// # Errors
    /// When no cluster, or more than one, is left to choose from.
    pub fn discovery_cluster(&self) -> Result<&Cluster, KubeconfigError> {
        let clusters = self.clusters.as_deref().unwrap_or_default();
        if let [only] = clusters {
            return Ok(&only.cluster);
        }
        let unnamed = clusters.iter().find(|c| c.name.is_empty()).map(|c| &c.cluster);
        unnamed
            .or_else(|| self.cluster_of(self.current_context()?))
            .ok_or(KubeconfigError::Content("it names no cluster, or several and none of them current"))
    }

    /// The cluster and user of the current context.
    #[must_use]
    pub fn current(&self) -> Option<(&Cluster, &User)> {
        let context = self.current_context()?;
        let user = &self.users.iter().flatten().find(|u| u.name == context.user)?.user;
        Some((self.cluster_of(context)?, user))
    }

    fn current_context(&self) -> Option<&Context> {
        let current = self.current_context.as_deref()?;
        Some(&self.contexts.iter().flatten().find(|c| c.name == current)?.context)
    }

    fn cluster_of(&self, context: &Context) -> Option<&Cluster> {
        Some(&self.clusters.iter().flatten().find(|c| c.name == context.cluster)?.cluster)
    }
}

fn distinct<'a>(
    names: impl Iterator<Item = &'a String>,
    problem: &'static str,
) -> Result<(), KubeconfigError> {
    let mut seen: Vec<&String> = Vec::new();
    for name in names {
        if seen.contains(&name) {
            return Err(KubeconfigError::Content(problem));
        }
        seen.push(name);
    }
    Ok(())
}

/// `bootstrap-kubelet.conf` as kubeadm writes it (`cmd/kubeadm/app/util/kubeconfig`, `CreateWithToken`): keys in
/// alphabetical order, two spaces, no quotes where YAML needs none.
///
/// `server` is a checked URL, `ca_data` base64; neither needs quotes in YAML. A token, which holds no quotes and no
/// backslashes (RFC 6750, section 2.1), may look like a number.
#[must_use]
pub fn bootstrap(server: &str, ca_data: &str, token: &str) -> Secret<String> {
    let quote = if is_plain(token) { "" } else { "\"" };
    Secret::new(format!(
        "apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {ca_data}
    server: {server}
  name: kubernetes
contexts:
- context:
    cluster: kubernetes
    user: tls-bootstrap-token-user
  name: tls-bootstrap-token-user@kubernetes
current-context: tls-bootstrap-token-user@kubernetes
kind: Config
users:
- name: tls-bootstrap-token-user
  user:
    token: {quote}{token}{quote}
"
    ))
}

/// Whether YAML needs no quotes to take a token for a text: it has a letter that no number has, and is none of the
/// words for true, false and null. A bootstrap token without such a letter looks like a number.
fn is_plain(token: &str) -> bool {
    const WORDS: [&str; 8] = ["true", "false", "null", "yes", "no", "on", "off", "nan"];
    let (whole, rest) = token.split_once('.').unwrap_or((token, ""));
    let (fraction, exponent) = rest.split_once('e').unwrap_or((rest, "0"));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let number = digits(whole) && digits(fraction) && !exponent.is_empty() && digits(exponent);
    let begins_plainly = token.starts_with(|c: char| c.is_ascii_alphanumeric());
    let plain = token.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let opaque_number = rest.is_empty() && token.starts_with(|c: char| c.is_ascii_digit());
    begins_plainly
        && plain
        && !number
        && !opaque_number
        && !WORDS.contains(&token.to_ascii_lowercase().as_str())
}

/// `kubelet.conf` as the kubelet writes it after its own bootstrap
/// (`pkg/kubelet/certificate/bootstrap/bootstrap.go`, `writeKubeconfigFromBootstrapping`).
///
/// `pair` is the path of the PEM file with certificate and key.
#[must_use]
pub fn kubelet(server: &str, ca_data: &str, pair: &str) -> String {
    format!(
        "apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {ca_data}
    server: {server}
  name: default-cluster
contexts:
- context:
    cluster: default-cluster
    namespace: default
    user: default-auth
  name: default-context
current-context: default-context
kind: Config
users:
- name: default-auth
  user:
    client-certificate: {pair}
    client-key: {pair}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubeadms_cluster_info_is_read() {
        let text = "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: QQ==\n    server: https://h:1\n  \
                    name: \"\"\ncontexts: null\ncurrent-context: \"\"\nkind: Config\npreferences: {}\nusers: null\n";
        let config = Kubeconfig::parse(text).unwrap();
        assert_eq!(config.discovery_cluster().unwrap().server, "https://h:1");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let config = Kubeconfig::parse(&kubelet("https://[::1]:6443", "QQ==", "/p.pem")).unwrap();
        let (cluster, user) = config.current().unwrap();
        assert_eq!(cluster.server, "https://[::1]:6443");
        assert_eq!(cluster.certificate_authority_data.as_deref(), Some("QQ=="));
        assert_eq!(user.client_key.as_deref(), Some("/p.pem"));
    }

    #[test]
    fn a_token_that_looks_like_a_number_is_quoted() {
        for (token, quoted) in [
            ("123456.0123456789012345", true),
            ("123456.012345678901e234", true),
            ("abcdef.0123456789abcdef", false),
            ("123456.012345678901234e", false),
            ("12345e.0123456789012345", false),
            ("02b50b05283e98dd0fd71db496ef01e8", true),
            ("true", true),
            ("a-token_of.letters", false),
            ("a/b+c==", true),
        ] {
            let line = if quoted { format!("token: \"{token}\"\n") } else { format!("token: {token}\n") };
            assert!(bootstrap("s", "c", token).expose().ends_with(&line), "{token}");
        }
    }

    #[test]
    fn several_clusters_need_one_that_is_meant() {
        let two = "clusters: [{name: a, cluster: {server: 'https://a'}}, {name: b, cluster: {server: 'https://b'}}]\n";
        assert!(Kubeconfig::parse(two).unwrap().discovery_cluster().is_err());
        let current = format!(
            "{two}contexts: [{{name: c, context: {{cluster: b, user: u}}}}]\ncurrent-context: c\nusers: null\n"
        );
        assert_eq!(Kubeconfig::parse(&current).unwrap().discovery_cluster().unwrap().server, "https://b");
        let unnamed = two.replace("name: a", "name: ''");
        assert_eq!(Kubeconfig::parse(&unnamed).unwrap().discovery_cluster().unwrap().server, "https://a");
        assert!(Kubeconfig::parse(&two.replace("name: b", "name: a")).is_err());
        assert!(Kubeconfig::parse("").unwrap().discovery_cluster().is_err());
    }

    #[test]
    fn an_error_does_not_quote_a_secret() {
        let error = Kubeconfig::parse("users: [{name: a, user: {client-key: [hunter2]}}]").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }
}
