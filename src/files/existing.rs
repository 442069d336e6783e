//! Whether the node has joined before: kubelet.conf and the pair that it names, judged without any network.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{CA, KUBELET_CONF, KUBERNETES, NodeFiles, PKI, path, unreadable};
use crate::asn1;
use crate::error::{Error, Failure, Result, Step};
use crate::identity::Key;
use crate::kubeconfig::{Cluster, Kubeconfig, User};
use crate::node::NodeName;
use crate::secret::Secret;
use crate::x509::Certificate;

/// What identity the node has.
#[derive(Debug)]
pub enum Existing {
    /// None: there is no kubelet.conf.
    None,
    /// None that a kubelet could start from: dangling, torn, expired or without a certificate. A join replaces it, as
    /// the kubelet's own bootstrap would.
    Unusable,
    /// One for this node, whole and in time; the certificate.
    Joined(Box<Certificate>),
    /// One that trusts this CA bundle, while ca.crt is missing.
    WithoutCa(Vec<u8>),
}

impl NodeFiles {
    /// Looks for an identity that a kubelet can start from: kubelet.conf loads, its certificate and key load and
    /// belong together, none of its certificates is expired (`isClientConfigStillValid` of the kubelet), it is for
    /// `node`, and its CA is the one in ca.crt.
    ///
    /// # Errors
    /// [`Failure::Files`] for a working identity of another node, or in another cluster than that of ca.crt, which is
    /// not ours to replace, and for files that cannot be read.
    pub fn existing(&self, node: &NodeName, now: SystemTime) -> Result<Existing> {
        let conf = path(KUBERNETES, KUBELET_CONF);
        let Some(text) = self.0.read(&conf).map_err(|e| unreadable(&conf, e))?.map(Secret::new) else {
            return Ok(Existing::None);
        };
        let config = std::str::from_utf8(text.expose()).ok().and_then(|text| Kubeconfig::parse(text).ok());
        let Some((cluster, user)) = config.as_ref().and_then(Kubeconfig::current) else {
            return Ok(Existing::Unusable);
        };
        let (Some(leaf), Some(trusted)) = (self.pair(user, now)?, self.authorities(cluster)?) else {
            return Ok(Existing::Unusable);
        };
        if leaf.subject != node.subject() {
            let message = format!(
                "{conf} is the identity of {}, and this node is {}; remove it to join anew, or correct the node name",
                leaf.subject,
                node.as_str()
            );
            return Err(Error::new(Step::Files, Failure::Files, message));
        }
        let ca = path(PKI, CA);
        match self.0.read(&ca).map_err(|e| unreadable(&ca, e))? {
            None => Ok(Existing::WithoutCa(trusted)),
            Some(expected) if expected == trusted => Ok(Existing::Joined(Box::new(leaf))),
            Some(_) => {
                let message = format!("{conf} trusts another CA than {ca}; remove the one that is wrong");
                Err(Error::new(Step::Files, Failure::Files, message))
            }
        }
    }

    /// The leaf of the pair that `user` names, if the pair is whole and in time.
    fn pair(&self, user: &User, now: SystemTime) -> Result<Option<Certificate>> {
        let certificate = self.content(user.client_certificate_data.expose(), &user.client_certificate)?;
        let key = self.content(user.client_key_data.expose(), &user.client_key)?;
        // The kubelet keeps both in one file, so both are secret.
        let (Some(certificate), Some(key)) = (certificate.map(Secret::new), key.map(Secret::new)) else {
            return Ok(None);
        };
        let blocks = pem::parse_many(certificate.expose()).unwrap_or_default();
        let certificates: asn1::Result<Vec<_>> = blocks
            .iter()
            .filter(|block| block.tag() == "CERTIFICATE")
            .map(|block| Certificate::from_der(block.contents()))
            .collect();
        let Ok(certificates) = certificates else { return Ok(None) };
        if certificates.iter().any(|certificate| certificate.not_after < now) {
            return Ok(None);
        }
        let leaf = certificates.into_iter().next();
        Ok(leaf.filter(|leaf| is_key_of(key.expose(), leaf)))
    }

    fn authorities(&self, cluster: &Cluster) -> Result<Option<Vec<u8>>> {
        self.content(&cluster.certificate_authority_data, &cluster.certificate_authority)
    }

    /// Embedded data, which wins, or the file (`k8s.io/client-go/tools/clientcmd`): a relative name is relative to
    /// kubelet.conf.
    fn content(&self, data: &str, file: &str) -> Result<Option<Vec<u8>>> {
        match (data, file) {
            ("", "") => return Ok(None),
            ("", _) => {}
            (data, _) => return Ok(STANDARD.decode(data).ok()),
        }
        let file = if file.starts_with('/') { file.to_owned() } else { path(KUBERNETES, file) };
        self.0.read(&file).map_err(|e| unreadable(&file, e))
    }
}

/// Whether a key file holds the certificate's key. Of keys that are not on P-256 (a kubelet can be told to make others)
/// only the presence is seen.
fn is_key_of(pem: &[u8], leaf: &Certificate) -> bool {
    if let Some(key) = Key::from_pem(pem) {
        return key.spki() == leaf.spki;
    }
    let is_private =
        |block: &pem::Pem| matches!(block.tag(), "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY");
    !Key::is_kind_of(&leaf.spki) && pem::parse_many(pem).unwrap_or_default().iter().any(is_private)
}
