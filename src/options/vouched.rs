//! A cluster by somebody's word: a kubeconfig with server, CA and a user, which nothing else vouches for.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::discovery::is_bearer_token;
use super::{sources, usage};
use crate::discovery;
use crate::error::{Error, Result, Retry};
use crate::http::ServerUrl;
use crate::identity::{ClientPair, Credentials};
use crate::kubeconfig::{Cluster, Kubeconfig, User};
use crate::secret::Secret;
use crate::trust::{Bundle, GivenCluster};

/// A cluster, and what it will know this machine by.
#[derive(Debug)]
pub struct Vouched {
    /// Server and CAs.
    pub cluster: GivenCluster,
    /// What requests the certificate.
    pub credentials: Credentials,
}

impl Vouched {
    /// Reads a kubeconfig that the operator put on the machine: kubeadm's discovery file, or with `kubelets` the kubelet's
    /// bootstrap kubeconfig. `token` is his, and stands for the user's own credentials.
    ///
    /// # Errors
    /// A usage error that names the file, says what is wrong with it and what to do.
    pub(super) fn from_file(file: &Path, kubelets: bool, token: Option<Secret<String>>) -> Result<Self> {
        let text = sources::read_file(file)?;
        Word { name: &file.display().to_string(), folder: file.parent(), kubelets }.read(text.expose(), token)
    }

    /// Reads a kubeconfig that was fetched from `url`, whose server was verified. Its text is foreign: it must not lead
    /// to a file of this machine, whose content would be sent to a server of its choice.
    ///
    /// # Errors
    /// [`crate::error::Failure::NotPublished`]; only what is no kubeconfig at all may heal.
    pub fn fetched(url: &ServerUrl, text: &str, token: Option<Secret<String>>) -> Result<Self> {
        Word { name: url.as_str(), folder: None, kubelets: false }.read(text, token)
    }
}

/// Whose word it is.
struct Word<'a> {
    /// A file or a URL.
    name: &'a str,
    /// Where relative names begin; none for foreign text.
    folder: Option<&'a Path>,
    /// Whether it is read as the kubelet reads it.
    kubelets: bool,
}

impl Word<'_> {
    /// Unlike kubeadm, the text must bring the CA: nothing is asked of an API server over a connection that public roots
    /// would vouch for.
    fn read(&self, text: &str, token: Option<Secret<String>>) -> Result<Vouched> {
        let config = Kubeconfig::parse(text).map_err(|e| {
            let error = self.unusable("it is no kubeconfig").caused_by(e);
            if self.folder.is_none() { error.healing(Retry::UntilDeadline(None)) } else { error }
        })?;
        let cluster = if self.kubelets { config.kubelets_cluster() } else { config.discovery_cluster() };
        let cluster = cluster.map_err(|e| self.unusable("it is of no use").caused_by(e))?;
        let user = config.current().map(|(_, user)| user);
        self.refuse_files(cluster, user)?;
        if cluster.insecure_skip_tls_verify {
            return Err(self.unusable("it has insecure-skip-tls-verify; give it the cluster's CA instead"));
        }
        if let Some(field) = cluster.unsupported {
            let advice = match field {
                "proxy-url" => "set HTTPS_PROXY instead",
                _ => "name the server as its certificate does",
            };
            return Err(self.unusable(&format!("it has {field}, which nodestrap does not follow; {advice}")));
        }
        let server = ServerUrl::parse(&cluster.server)
            .ok_or_else(|| self.unusable("its server is no https:// URL of a host, a port and a path"))?;
        let authorities = self.authorities(cluster)?;
        let own = match (token, user) {
            (Some(token), _) => Some(token.into()),
            (None, Some(user)) => self.credentials(user)?,
            (None, None) => None,
        };
        let credentials = own.ok_or_else(|| {
            self.unusable(
                "it has no bearer token and no client certificate; add one, or give --tls-bootstrap-token-file",
            )
        })?;
        Ok(Vouched { cluster: GivenCluster { server, authorities }, credentials })
    }

    /// Foreign text names no files, whether they would be read or not.
    fn refuse_files(&self, cluster: &Cluster, user: Option<&User>) -> Result<()> {
        let mut names = vec![("certificate-authority", &cluster.certificate_authority)];
        if let Some(user) = user {
            names.extend([
                ("tokenFile", &user.token_file),
                ("client-certificate", &user.client_certificate),
                ("client-key", &user.client_key),
            ]);
        }
        match names.into_iter().find(|(_, file)| self.folder.is_none() && !file.is_empty()) {
            None => Ok(()),
            Some((field, _)) => Err(self.unusable(&format!(
                "its {field} names a file of this machine, which a fetched file must not do; embed the content"
            ))),
        }
    }

    fn authorities(&self, cluster: &Cluster) -> Result<Bundle> {
        let bundle = match (cluster.certificate_authority_data.as_str(), &cluster.certificate_authority) {
            ("", name) if name.is_empty() => {
                return Err(self.unusable("it has no certificate authority; add the cluster's CA"));
            }
            ("", name) => Bundle::from_pem(self.beside(name)?.expose().clone().into_bytes()),
            (data, _) => Bundle::from_base64(data),
        };
        bundle.map_err(|problem| self.unusable(&problem))
    }

    /// A token file beats a token, embedded data beat files (`k8s.io/client-go/tools/clientcmd`).
    fn credentials(&self, user: &User) -> Result<Option<Credentials>> {
        if let Some(field) = user.unsupported {
            return Err(self.unusable(&format!(
                "its user has {field}, which nodestrap does not support; give it a token or a client certificate, or \
                 give --tls-bootstrap-token-file"
            )));
        }
        let token = if user.token_file.is_empty() {
            user.token.clone()
        } else {
            Secret::new(self.beside(&user.token_file)?.expose().trim_end().to_owned())
        };
        if !is_bearer_token(token.expose()) {
            return Err(self.unusable("its token has characters that no bearer token has"));
        }
        let token = Some(token).filter(|token| !token.expose().is_empty());
        let certificate = self.content(&user.client_certificate_data, &user.client_certificate)?;
        let key = self.content(&user.client_key_data, &user.client_key)?;
        let pair = match (certificate, key) {
            (Some(certificate), Some(key)) => {
                let pair = ClientPair::from_pem(certificate.expose(), key.expose());
                Some(pair.map_err(|problem| self.unusable(&problem))?)
            }
            (None, None) => None,
            _ => {
                return Err(self.unusable("it has one of client certificate and client key; give it both"));
            }
        };
        Ok(Credentials::of_user(token, pair))
    }

    fn content(&self, data: &Secret<String>, file: &str) -> Result<Option<Secret<Vec<u8>>>> {
        match (data.expose().as_str(), file) {
            ("", "") => Ok(None),
            ("", file) => Ok(Some(Secret::new(self.beside(file)?.expose().clone().into_bytes()))),
            (data, _) => match STANDARD.decode(data) {
                Ok(bytes) => Ok(Some(Secret::new(bytes))),
                Err(_) => Err(self.unusable("the data of its client certificate or key are no base64")),
            },
        }
    }

    /// A file that the kubeconfig names; relative names are relative to it.
    fn beside(&self, name: &str) -> Result<Secret<String>> {
        sources::read_file(&self.folder.unwrap_or(Path::new("")).join(name))
    }

    fn unusable(&self, problem: &str) -> Error {
        let what = format!("cannot be used: {problem}");
        match self.folder {
            Some(_) => usage(format!("{} {what}", self.name)),
            None => discovery::no_use(self.name, &what).healing(Retry::Never),
        }
    }
}
