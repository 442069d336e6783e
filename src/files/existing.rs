//! What identity the node has: kubelet.conf and the pairs of the kubelet's stores, judged without any network.

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{NodeFiles, path, unreadable};
use crate::blocks::blocks;
use crate::error::{Error, Failure, Result, Step};
use crate::http::{ClientIdentity, ServerUrl, System, Verified};
use crate::identity::{Key, Wanted};
use crate::kubeconfig::{Cluster, Kubeconfig, User};
use crate::node::{NodeName, USER_PREFIX};
use crate::secret::Secret;
use crate::trust::{self, Bundle};
use crate::x509::{Certificate, Name};

/// What identity the node has.
#[derive(Debug)]
pub enum Existing {
    /// None: there is no kubelet.conf.
    None,
    /// None that a kubelet could start from: dangling, torn, expired, without a certificate or without a CA that can be
    /// read. A join replaces it, as the kubelet's own bootstrap would. With the CA bundle that it trusts, where it has one.
    Unusable(Option<Vec<u8>>),
    /// One for this node, whole and in time.
    Joined(Box<Identity>),
    /// One for this node that trusts this CA bundle, while ca.crt is missing.
    WithoutCa(Vec<u8>),
    /// The same while ca.crt is another.
    OtherCa(Vec<u8>),
    /// One for another node, whole and in time.
    OtherNode(Name),
}

/// An identity that a kubelet can start from.
#[derive(Debug)]
pub struct Identity {
    pair: Pair,
    /// Where it is written.
    kubeconfig: String,
    /// As kubelet.conf has it.
    server: String,
    /// The CAs in kubelet.conf, which are those of ca.crt.
    authorities: Vec<u8>,
}

/// Certificates and their key, which belong together and are in time.
#[derive(Debug)]
struct Pair {
    /// Leaf first; never empty.
    chain: Vec<Certificate>,
    /// `None` for a key that is not on P-256, which this program does not read.
    key: Option<Key>,
}

impl Identity {
    /// The client certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.pair.chain[0]
    }

    /// The CAs of the cluster that it is for, if they are such.
    #[must_use]
    pub fn authorities(&self) -> Option<Bundle> {
        Bundle::from_pem(self.authorities.clone()).ok()
    }

    /// Prepares to talk to the API server as the node itself; the first request dials. The server is known by the CAs
    /// that the node trusted when it joined.
    ///
    /// # Errors
    /// [`Failure::Files`] when kubelet.conf has no URL, no CA or no key that this program can use, [`Failure::Clock`]
    /// when the CA is not valid `now`.
    pub fn dial(self, system: &System) -> Result<Verified> {
        let unfit =
            |problem: &str| Error::new(Step::Files, Failure::Files, format!("{} {problem}", self.kubeconfig));
        let server = ServerUrl::parse(&self.server).ok_or_else(|| unfit("names no https:// server"))?;
        let roots = trust::roots(&self.authorities, system.clock.now())?;
        let key = self.pair.key.ok_or_else(|| {
            unfit("has a key that is not on P-256; let the kubelet request its serving certificate")
        })?;
        let identity = ClientIdentity::new(&self.pair.chain, Arc::new(key));
        Verified::dial(system, &server, &roots, Some(identity))
    }
}

impl NodeFiles {
    /// Looks for an identity that a kubelet can start from: kubelet.conf loads, its certificate and key load and
    /// belong together, none of its certificates is expired (`isClientConfigStillValid` of the kubelet), it is for
    /// `node`, and its CA is the one in ca.crt.
    ///
    /// # Errors
    /// [`Failure::Files`] for files that cannot be read.
    pub fn existing(&self, node: &NodeName, now: SystemTime) -> Result<Existing> {
        let conf = self.layout.kubeconfig.as_str();
        let Some(text) = self.root.read(conf).map_err(|e| unreadable(conf, e))?.map(Secret::new) else {
            return Ok(Existing::None);
        };
        let config = std::str::from_utf8(text.expose()).ok().and_then(|text| Kubeconfig::parse(text).ok());
        let Some((cluster, user)) = config.as_ref().and_then(Kubeconfig::current) else {
            return Ok(Existing::Unusable(None));
        };
        let authorities = self.authorities(cluster)?;
        let (pair, authorities) = match (self.pair(user, now)?, authorities) {
            (Some(pair), Some(authorities)) if Certificate::chain_from_pem(&authorities).is_some() => {
                (pair, authorities)
            }
            (_, authorities) => return Ok(Existing::Unusable(authorities)),
        };
        let subject = &pair.chain[0].subject;
        if *subject != node.subject() {
            return Ok(Existing::OtherNode(subject.clone()));
        }
        Ok(match self.ca()? {
            None => Existing::WithoutCa(authorities),
            Some(expected) if expected == authorities => {
                let (kubeconfig, server) = (conf.to_owned(), cluster.server.clone());
                Existing::Joined(Box::new(Identity { pair, kubeconfig, server, authorities }))
            }
            Some(_) => Existing::OtherCa(authorities),
        })
    }

    /// The CA keys by which the node knows the cluster that it is joined to, as pins: those of kubelet.conf and of ca.crt.
    ///
    /// # Errors
    /// [`Failure::Files`] when ca.crt cannot be read.
    pub fn cluster_keys(&self, identity: &Identity) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        for text in [Some(identity.authorities.clone()), self.ca()?].into_iter().flatten() {
            for key in Certificate::chain_from_pem(&text).iter().flatten().map(Certificate::pin) {
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        Ok(keys)
    }

    /// The name of the node that the identity on this disk is for, where there is one that a kubelet can start from.
    ///
    /// # Errors
    /// As of [`Self::existing`].
    pub fn own_name(&self, now: SystemTime) -> Result<Option<NodeName>> {
        // It is for another node than the one that is asked about, or for this one.
        let asked = NodeName::new("n")?;
        Ok(match self.existing(&asked, now)? {
            Existing::OtherNode(subject) => {
                let mut users = subject.common_names.iter();
                users.find_map(|user| NodeName::new(user.strip_prefix(USER_PREFIX)?).ok())
            }
            Existing::None | Existing::Unusable(_) => None,
            _ => Some(asked),
        })
    }

    /// The certificate of the stored pair that is what is `wanted`, if that pair is whole and in time.
    ///
    /// # Errors
    /// [`Failure::Files`] for files that cannot be read.
    pub fn stored(&self, wanted: &Wanted, now: SystemTime) -> Result<Option<Certificate>> {
        let file = self.content("", &self.current(wanted.kind))?;
        let leaf = pair(file.clone(), file, now).and_then(|pair| pair.chain.into_iter().next());
        Ok(leaf.filter(|leaf| wanted.is_met_by(leaf).is_ok()))
    }

    /// The pair that `user` names, if it is whole and in time.
    fn pair(&self, user: &User, now: SystemTime) -> Result<Option<Pair>> {
        let certificate = self.content(user.client_certificate_data.expose(), &user.client_certificate)?;
        let key = self.content(user.client_key_data.expose(), &user.client_key)?;
        Ok(pair(certificate, key, now))
    }

    fn authorities(&self, cluster: &Cluster) -> Result<Option<Vec<u8>>> {
        self.content(&cluster.certificate_authority_data, &cluster.certificate_authority)
    }

    /// Embedded data, which wins, or the file (`k8s.io/client-go/tools/clientcmd`): a relative name is relative to
    /// kubelet.conf.
    pub(super) fn content(&self, data: &str, file: &str) -> Result<Option<Vec<u8>>> {
        match (data, file) {
            ("", "") => return Ok(None),
            ("", _) => {}
            (data, _) => return Ok(STANDARD.decode(data).ok()),
        }
        let file = if file.starts_with('/') {
            file.to_owned()
        } else {
            path(self.layout.kubeconfig.directory(), file)
        };
        self.root.read(&file).map_err(|e| unreadable(&file, e))
    }
}

/// The pair of these PEM texts, if it is whole and in time. The kubelet keeps both in one file, so both are secret.
fn pair(certificate: Option<Vec<u8>>, key: Option<Vec<u8>>, now: SystemTime) -> Option<Pair> {
    let (certificate, key) = (Secret::new(certificate?), Secret::new(key?));
    let chain = Certificate::chain_from_pem(certificate.expose())?;
    let fits =
        chain.iter().all(|certificate| now <= certificate.not_after) && is_key_of(key.expose(), &chain[0]);
    fits.then(|| Pair { key: Key::from_pem(key.expose()), chain })
}

/// Whether a key file holds the certificate's key. Of keys that are not on P-256 (a kubelet can be told to make others)
/// only the presence is seen.
fn is_key_of(pem: &[u8], leaf: &Certificate) -> bool {
    if let Some(key) = Key::from_pem(pem) {
        return key.spki() == leaf.spki;
    }
    let is_private =
        |block: &pem::Pem| matches!(block.tag(), "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY");
    !Key::is_kind_of(&leaf.spki) && blocks(pem).unwrap_or_default().iter().any(is_private)
}
