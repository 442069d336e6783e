//! A static cluster from a kubeconfig: server, CA and a user, which nothing else vouches for.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fetch;
use super::method::StaticCluster;
use crate::credentials::{ClientPair, Credentials, is_bearer_token};
use crate::error::{Error, Result, Retry, usage};
use crate::http::ServerUrl;
use crate::input::{Reader, read_from};
use crate::kubeconfig::{Cluster, Kubeconfig, User};
use crate::secret::Secret;
use crate::trust::CaBundle;

const NO_CREDENTIALS: &str = "it has no bearer token and no client certificate";
const GIVE_CREDENTIALS: &str = "add one, or use --tls-bootstrap-token-file";

/// Where a kubeconfig comes from.
pub struct KubeconfigSource<'a> {
    /// The file, with the setting that names it, or the URL; for messages.
    origin: String,
    /// Where relative names begin; none for a fetched text, which must not lead to a file of this machine: its content
    /// would be sent to a server of that text's choice.
    base_dir: Option<&'a Path>,
    /// Whether it is read as the kubelet reads it.
    for_kubelet: bool,
}

impl<'a> KubeconfigSource<'a> {
    /// A file that the operator put on the machine, which `setting` names: kubeadm's discovery file, or with
    /// `for_kubelet` the kubelet's bootstrap kubeconfig.
    pub(crate) fn file(setting: &str, file: &'a str, for_kubelet: bool) -> Self {
        let base_dir = Some(Path::new(file).parent().unwrap_or(Path::new("")));
        Self { origin: read_from(setting, file), base_dir, for_kubelet }
    }

    /// A text that is fetched from a server that was verified.
    pub fn fetched(url: &ServerUrl) -> Self {
        Self { origin: url.as_str().to_owned(), base_dir: None, for_kubelet: false }
    }

    /// Reads a fetched text. `token` is the operator's, and is used instead of the user's own credentials.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::NotPublished`]; what is missing or malformed is retryable.
    pub fn read_fetched(&self, text: &str, token: Option<Secret<String>>) -> Result<StaticCluster> {
        let (_, cluster) = self.read(text, token, &mut Reader::of_files())?;
        // It names no files: nothing else can be missing.
        cluster.ok_or_else(|| self.unusable(NO_CREDENTIALS).with_help(GIVE_CREDENTIALS))
    }

    /// Reads a text: its CAs, and all of it, each without a value where `reader` lacks something for it. `token` is the
    /// operator's, and is used instead of the user's own credentials.
    ///
    /// Unlike with kubeadm, the text must bring the CA: nothing is asked of an API server over a connection that public
    /// roots would vouch for.
    ///
    /// # Errors
    /// A usage error that names the file, says what is wrong with it and what to do; of a fetched text as
    /// [`Self::read_fetched`].
    pub(crate) fn read(
        &self,
        text: &str,
        token: Option<Secret<String>>,
        reader: &mut Reader,
    ) -> Result<(Option<CaBundle>, Option<StaticCluster>)> {
        let config = Kubeconfig::parse(text).map_err(|e| self.unusable("not a kubeconfig").caused_by(e))?;
        let cluster = if self.for_kubelet { config.kubelets_cluster() } else { config.discovery_cluster() };
        let cluster = cluster.map_err(|e| self.unusable("unusable kubeconfig").caused_by(e))?;
        let user = config.current().map(|(_, user)| user);
        self.refuse_files(cluster, user)?;
        if cluster.insecure_skip_tls_verify {
            let unusable = self.refused("insecure-skip-tls-verify is set");
            return Err(unusable.with_help("set certificate-authority-data to the cluster's CA instead"));
        }
        if let Some(field) = cluster.unsupported {
            let help = match field {
                "proxy-url" => "set HTTPS_PROXY instead",
                _ => "use a server name that is in its certificate",
            };
            let unusable = self.refused(&format!("{field} is not supported"));
            return Err(unusable.with_help(help));
        }
        let server = ServerUrl::parse(&cluster.server)
            .ok_or_else(|| self.unusable("its server is not an https:// URL with host, port and path"))?;
        let ca = self.ca(cluster, reader)?;
        let credentials = match (token, user) {
            (Some(token), _) => Some(token.into()),
            (None, Some(user)) => self.credentials(user, reader)?,
            (None, None) => None,
        };
        let credentials =
            credentials.or_else(|| reader.lacks(self.describe(NO_CREDENTIALS), Some(GIVE_CREDENTIALS)));
        let both = ca.clone().zip(credentials);
        Ok((ca, both.map(|(ca, credentials)| StaticCluster { server, ca, credentials })))
    }

    /// A fetched text names no files, whether they would be read or not.
    fn refuse_files(&self, cluster: &Cluster, user: Option<&User>) -> Result<()> {
        let mut names = vec![("certificate-authority", &cluster.certificate_authority)];
        if let Some(user) = user {
            names.extend([
                ("tokenFile", &user.token_file),
                ("client-certificate", &user.client_certificate),
                ("client-key", &user.client_key),
            ]);
        }
        match names.into_iter().find(|(_, file)| self.base_dir.is_none() && !file.is_empty()) {
            None => Ok(()),
            Some((field, _)) => {
                let problem =
                    format!("its {field} names a local file, which is not allowed in a fetched file");
                Err(self.refused(&problem).with_help("embed the content"))
            }
        }
    }

    /// Embedded data beats a file (`k8s.io/client-go/tools/clientcmd`).
    fn ca(&self, cluster: &Cluster, reader: &mut Reader) -> Result<Option<CaBundle>> {
        let bundle = match (cluster.certificate_authority_data.as_str(), &cluster.certificate_authority) {
            ("", name) if name.is_empty() => {
                let unusable = self.unusable("it has no certificate authority");
                return Err(unusable.with_help("add the cluster's CA"));
            }
            ("", name) => {
                let Some(text) = self.named_file("certificate-authority", name, reader)? else {
                    return Ok(None);
                };
                CaBundle::from_pem(text.expose().clone().into_bytes())
            }
            (data, _) => CaBundle::from_base64(data),
        };
        bundle.map(Some).map_err(|problem| self.unusable(&problem))
    }

    /// A token file beats a token, embedded data beat files (`k8s.io/client-go/tools/clientcmd`). `None` where there are
    /// none, or `reader` misses a file of theirs.
    fn credentials(&self, user: &User, reader: &mut Reader) -> Result<Option<Credentials>> {
        if let Some(field) = user.unsupported {
            let unusable = self.refused(&format!("{field} of its user is not supported"));
            return Err(
                unusable.with_help("use a token or a client certificate, or --tls-bootstrap-token-file")
            );
        }
        let token = if user.token_file.is_empty() {
            Some(user.token.clone())
        } else {
            let text = self.named_file("tokenFile", &user.token_file, reader)?;
            text.map(|text| Secret::new(text.expose().trim_end().to_owned()))
        };
        if token.as_ref().is_some_and(|token| !is_bearer_token(token.expose())) {
            return Err(self.unusable("its token has characters that are not valid in a bearer token"));
        }
        let token = token.filter(|token| !token.expose().is_empty());
        let (data, file) = (&user.client_certificate_data, &user.client_certificate);
        let certificate = self.content("client-certificate", data, file, reader)?;
        let key = self.content("client-key", &user.client_key_data, &user.client_key, reader)?;
        let has = |data: &Secret<String>, file: &str| !data.expose().is_empty() || !file.is_empty();
        if has(data, file) != has(&user.client_key_data, &user.client_key) {
            let unusable =
                self.unusable("it has a client certificate without a key, or a key without a certificate");
            return Err(unusable.with_help("set both"));
        }
        let pair = match (certificate, key) {
            (Some(certificate), Some(key)) => {
                let pair = ClientPair::from_pem(certificate.expose(), key.expose());
                Some(pair.map_err(|(problem, help)| match help {
                    Some(help) => self.unusable(&problem).with_help(help),
                    None => self.unusable(&problem),
                })?)
            }
            _ => None,
        };
        Ok(Credentials::of_user(token, pair))
    }

    fn content(
        &self,
        field: &str,
        data: &Secret<String>,
        file: &str,
        reader: &mut Reader,
    ) -> Result<Option<Secret<Vec<u8>>>> {
        match (data.expose().as_str(), file) {
            ("", "") => Ok(None),
            ("", file) => {
                let text = self.named_file(field, file, reader)?;
                Ok(text.map(|text| Secret::new(text.expose().clone().into_bytes())))
            }
            (data, _) => match STANDARD.decode(data) {
                Ok(bytes) => Ok(Some(Secret::new(bytes))),
                Err(_) => {
                    Err(self.unusable("client-certificate-data or client-key-data is not valid base64"))
                }
            },
        }
    }

    /// A file that the kubeconfig names; relative names are relative to it.
    fn named_file(&self, field: &str, name: &str, reader: &mut Reader) -> Result<Option<Secret<String>>> {
        let path = self.base_dir.unwrap_or(Path::new("")).join(name);
        reader.read(&format!("{}: its {field}", self.origin), name, &path)
    }

    /// Something is missing or malformed. A fetched file may be one that is still being put there.
    fn unusable(&self, problem: &str) -> Error {
        match self.base_dir {
            Some(_) => usage(self.describe(problem)),
            None => fetch::unusable(&self.origin, &format!("is unusable: {problem}")),
        }
    }

    /// It asks for what nodestrap does not do: that is meant, and not retryable.
    fn refused(&self, problem: &str) -> Error {
        self.unusable(problem).with_retry(Retry::Never)
    }

    fn describe(&self, problem: &str) -> String {
        format!("{}: {problem}", self.origin)
    }
}
