//! The two kubeconfigs that a node has, as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::json;
use crate::secret::Secret;

/// What the user of a bootstrap kubeconfig is known by: a token, a client certificate, or both.
#[derive(Debug)]
pub struct BootstrapUser<'a> {
    /// The bearer token.
    pub token: Option<&'a str>,
    /// A file with the bearer token instead, which client-go reads for each request.
    pub token_file: Option<&'a str>,
    /// Certificate and key, each as PEM.
    pub pair: Option<(String, &'a str)>,
}

/// `bootstrap-kubelet.conf` as kubeadm writes it (`cmd/kubeadm/app/util/kubeconfig`, `CreateWithToken`): keys in
/// alphabetical order, two spaces, no quotes where YAML needs none. A client certificate is embedded, as kubeadm embeds
/// that of a discovery file (`cmd/kubeadm/app/discovery/file`).
///
/// `server` is a checked URL, `ca_data` base64; neither needs quotes in YAML. A token, which a header can carry, may look
/// like a number, and one of a kubeconfig may hold quotes.
pub fn bootstrap(server: &str, ca_data: &str, user: &BootstrapUser<'_>) -> Secret<String> {
    // Room for all of it: a buffer that grows leaves copies of secrets behind.
    let pair = user.pair.as_ref().map_or(0, |(certificate, key)| 2 * (certificate.len() + key.len()));
    let room = 1024 + server.len() + ca_data.len() + pair + user.token.map_or(0, |token| 2 * token.len());
    let room = room + user.token_file.map_or(0, |file| 6 * file.len());
    let mut text = Secret::new(String::with_capacity(room));
    let mut push = |part: &str| text.expose_mut().push_str(part);
    push("apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: ");
    push(ca_data);
    push("\n    server: ");
    push(server);
    push(
        "
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
",
    );
    let mut line = |name: &str, value: &str| {
        for part in ["    ", name, ": ", value, "\n"] {
            push(part);
        }
    };
    if let Some((certificate, key)) = &user.pair {
        line("client-certificate-data", &STANDARD.encode(certificate));
        line("client-key-data", Secret::new(STANDARD.encode(key)).expose());
    }
    match user.token {
        Some(token) if is_plain(token) => line("token", token),
        Some(token) => line("token", Secret::new(json::quoted(token)).expose()),
        None => {}
    }
    if let Some(file) = user.token_file {
        line("tokenFile", &json::quoted(file));
    }
    text
}

/// Whether YAML needs no quotes to take a token for a text: it has a letter that no number has, and is none of the
/// words for true, false and null, YAML 1.1's included (`goyaml.v2/resolve.go`). A bootstrap token without such a letter
/// looks like a number.
fn is_plain(token: &str) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let (whole, rest) = token.split_once('.').unwrap_or((token, ""));
    let (fraction, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let exponent = exponent.strip_prefix('-').unwrap_or(exponent);
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
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
