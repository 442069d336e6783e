//! A cluster by somebody's word: a kubeconfig with server, CA and a user, which nothing else vouches for.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::discovery::is_bearer_token;
use super::reader::{Reader, read_from};
use super::usage;
use crate::csr::{ClientPair, Credentials};
use crate::discovery;
use crate::error::{Error, Result, Retry};
use crate::http::ServerUrl;
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
    /// bootstrap kubeconfig. `token` is his, and stands for the user's own credentials. `None` where `reader` misses
    /// something.
    ///
    /// # Errors
    /// A usage error that names the file, says what is wrong with it and what to do.
    pub(super) fn from_file(
        label: &str,
        file: &str,
        kubelets: bool,
        token: Option<Secret<String>>,
        reader: &mut Reader,
        given: &mut Option<Bundle>,
    ) -> Result<Option<Self>> {
        let Some(text) = reader.text(label, file)? else { return Ok(None) };
        let name = &read_from(label, file);
        let folder = Some(Path::new(file).parent().unwrap_or(Path::new("")));
        Word { name, folder, kubelets }.read(text.expose(), token, reader, given)
    }

    /// Reads a kubeconfig that was fetched from `url`, whose server was verified. Its text is foreign: it must not lead
    /// to a file of this machine, whose content would be sent to a server of its choice.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::NotPublished`]; what is missing or malformed may heal.
    pub fn fetched(url: &ServerUrl, text: &str, token: Option<Secret<String>>) -> Result<Self> {
        let word = Word { name: url.as_str(), folder: None, kubelets: false };
        let read = word.read(text, token, &mut Reader::of_files(), &mut None)?;
        // It names no files: nothing else can be missing.
        read.ok_or_else(|| word.unusable(NO_CREDENTIALS).with_help(GIVE_CREDENTIALS))
    }
}

const NO_CREDENTIALS: &str = "it has no bearer token and no client certificate";
const GIVE_CREDENTIALS: &str = "add one, or use --tls-bootstrap-token-file";

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
    fn read(
        &self,
        text: &str,
        token: Option<Secret<String>>,
        reader: &mut Reader,
        given: &mut Option<Bundle>,
    ) -> Result<Option<Vouched>> {
        let config = Kubeconfig::parse(text).map_err(|e| self.unusable("not a kubeconfig").caused_by(e))?;
        let cluster = if self.kubelets { config.kubelets_cluster() } else { config.discovery_cluster() };
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
        *given = self.authorities(cluster, reader)?;
        let credentials = match (token, user) {
            (Some(token), _) => Some(token.into()),
            (None, Some(user)) => self.credentials(user, reader)?,
            (None, None) => None,
        };
        let credentials =
            credentials.or_else(|| reader.lacks(self.cannot_be_used(NO_CREDENTIALS), Some(GIVE_CREDENTIALS)));
        let (Some(authorities), Some(credentials)) = (given.clone(), credentials) else {
            return Ok(None);
        };
        Ok(Some(Vouched { cluster: GivenCluster { server, authorities }, credentials }))
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
            Some((field, _)) => {
                let problem =
                    format!("its {field} names a local file, which is not allowed in a fetched file");
                Err(self.refused(&problem).with_help("embed the content"))
            }
        }
    }

    fn authorities(&self, cluster: &Cluster, reader: &mut Reader) -> Result<Option<Bundle>> {
        let bundle = match (cluster.certificate_authority_data.as_str(), &cluster.certificate_authority) {
            ("", name) if name.is_empty() => {
                let unusable = self.unusable("it has no certificate authority");
                return Err(unusable.with_help("add the cluster's CA"));
            }
            ("", name) => {
                let Some(text) = self.beside("certificate-authority", name, reader)? else { return Ok(None) };
                Bundle::from_pem(text.expose().clone().into_bytes())
            }
            (data, _) => Bundle::from_base64(data),
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
            let text = self.beside("tokenFile", &user.token_file, reader)?;
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
                let text = self.beside(field, file, reader)?;
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
    fn beside(&self, field: &str, name: &str, reader: &mut Reader) -> Result<Option<Secret<String>>> {
        let path = self.folder.unwrap_or(Path::new("")).join(name);
        reader.read(&format!("{}: its {field}", self.name), name, &path)
    }

    /// Something is missing or malformed. A fetched file may be one that is still being put there.
    fn unusable(&self, problem: &str) -> Error {
        match self.folder {
            Some(_) => usage(self.cannot_be_used(problem)),
            None => discovery::no_use(self.name, &format!("is unusable: {problem}")),
        }
    }

    /// It says what nodestrap does not do: that is meant, and no waiting heals it.
    fn refused(&self, problem: &str) -> Error {
        self.unusable(problem).with_retry(Retry::Never)
    }

    fn cannot_be_used(&self, problem: &str) -> String {
        format!("{}: {problem}", self.name)
    }
}
