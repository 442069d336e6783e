//! What identity the node has: kubelet.conf and the pairs of the kubelet's stores, found without any network.

use std::str::Utf8Error;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ca_file::CaFile;
use super::unusable::{WRITABLE, check_server};
use super::{NodeFiles, Problem, Unusable, path};
use crate::csr::CertificateTemplate;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::http::{ClientIdentity, ServerUrl, System, Verified};
use crate::key::Key;
use crate::kubeconfig::{Kubeconfig, KubeconfigError, User};
use crate::node_name::{NodeName, USER_PREFIX};
use crate::pem_blocks::blocks;
use crate::secret::Secret;
use crate::trust::{self, CaBundle};
use crate::x509::{Certificate, Name};

/// What identity the node has.
#[derive(Debug)]
pub enum NodeState {
    /// None: there is no kubelet.conf.
    None,
    /// None that a kubelet could start from. A join replaces it, as the kubelet's own bootstrap would.
    Unusable(Unusable),
    /// One for this node, complete and within its validity.
    Joined(Box<Identity>),
    /// One for this node that trusts these CAs, while ca.crt is missing.
    WithoutCa(Vec<Certificate>),
    /// These CAs, while ca.crt has none of their keys.
    OtherCa(Vec<Certificate>),
    /// One for another node, complete and within its validity.
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
    /// The CAs in kubelet.conf, as it has them.
    trusted: Secret<Vec<u8>>,
    /// Those in kubelet.conf, and behind them those in ca.crt, which has at least one of their keys.
    authorities: Vec<Certificate>,
}

/// Certificates and their key, which belong together and are within their validity.
#[derive(Debug)]
struct Pair {
    /// Leaf first; never empty.
    chain: Vec<Certificate>,
    /// `None` for a key that is not on P-256, which this program does not read.
    key: Option<Key>,
}

impl NodeState {
    /// The identity that a kubelet can start from, in this node's cluster or another one.
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Joined(identity) => Some(identity),
            _ => None,
        }
    }

    /// The keys of the CAs of its cluster, as [`Certificate::pin`] has them, each once, where it is known.
    pub fn cluster_keys(&self) -> Option<Vec<String>> {
        match self {
            Self::Joined(identity) => Some(identity.cluster_keys()),
            Self::WithoutCa(authorities) => Some(keys(authorities)),
            _ => None,
        }
    }
}

impl Identity {
    /// The client certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.pair.chain[0]
    }

    /// The CAs of the cluster that it is for: those in kubelet.conf, and those in ca.crt. While a cluster rotates its CA,
    /// either may be ahead.
    pub fn authorities(&self) -> &[Certificate] {
        &self.authorities
    }

    /// The keys of these CAs, as [`Certificate::pin`] has them, each once.
    pub fn cluster_keys(&self) -> Vec<String> {
        keys(&self.authorities)
    }

    /// The API server's host, where kubelet.conf names one.
    pub fn host(&self) -> Option<String> {
        Some(ServerUrl::parse(&self.server)?.endpoint().host().to_owned())
    }

    /// Prepares to talk to the API server as the node itself; the first request dials. The server is known by the CAs
    /// that the node trusted when it joined.
    ///
    /// # Errors
    /// [`ErrorKind::Files`] when kubelet.conf has no URL, no CA or no key that this program can use, [`ErrorKind::Clock`]
    /// when the CA is not valid `now`.
    pub fn dial(self, system: &System) -> Result<Verified> {
        let unfit = |problem: &str| {
            Error::new(Step::Files, ErrorKind::Files, format!("{} {problem}", self.kubeconfig))
        };
        let server = ServerUrl::parse(&self.server).ok_or_else(|| unfit("has no https:// server"))?;
        let ca = CaBundle::from_pem(self.trusted.expose().clone());
        let ca = ca.map_err(|problem| unfit(&format!("is unusable: {problem}")))?;
        let roots = ca.roots(
            system.clock.now(),
            "put the cluster's CA certificate into kubelet.conf, or join with --replace",
        )?;
        let key = self.pair.key.ok_or_else(|| {
            unfit("has a key that is not on P-256")
                .with_help("set serverTLSBootstrap in the kubelet's configuration instead")
        })?;
        let identity = ClientIdentity::new(&self.pair.chain, Arc::new(key));
        Verified::dial(system, &server, &roots, Some(identity))
    }
}

/// A part of kubelet.conf: embedded, or a file of its own.
struct Part {
    /// Its field, and its file.
    name: String,
    /// The pair is in one file, so that its certificate is secret too.
    bytes: Secret<Vec<u8>>,
}

impl Part {
    fn problem(&self, problem: &'static str) -> Problem {
        Problem::Part(self.name.clone(), problem)
    }

    /// Its certificates, never none.
    fn certificates(&self) -> std::result::Result<Vec<Certificate>, Problem> {
        Certificate::chain_from_pem(self.bytes.expose())
            .ok_or_else(|| self.problem("no PEM certificates found"))
    }
}

impl NodeFiles {
    /// Looks for an identity that a kubelet can start from: kubelet.conf loads, its certificate and key load and
    /// belong together, none of its certificates is expired (`isClientConfigStillValid` of the kubelet), it is for
    /// `node`, and it has a CA key in common with ca.crt.
    pub fn state(&self, node: &NodeName, now: SystemTime) -> Result<NodeState> {
        let conf = self.layout.kubeconfig.as_str();
        // Only where others can read it: most are parsed once.
        let has_secret = |text: &[u8]| matches!(parse(text), Ok(Ok(config)) if config.embeds_a_secret());
        let Some((text, is_safe)) = self.examine(conf, has_secret)? else {
            return Ok(NodeState::None);
        };
        let unusable = |problem, authorities| Ok(NodeState::Unusable(Unusable { problem, authorities }));
        if !is_safe {
            return unusable(Problem::Writable, Vec::new());
        }
        let config = match parse(text.expose()) {
            Ok(Ok(config)) => config,
            Ok(Err(e)) => return unusable(Problem::Kubeconfig(e), Vec::new()),
            Err(_) => return unusable(Problem::NotText, Vec::new()),
        };
        let Some((cluster, user)) = config.current() else {
            return unusable(Problem::Context, Vec::new());
        };
        let authorities = self.part(
            "certificate-authority",
            &cluster.certificate_authority_data,
            &cluster.certificate_authority,
        )?;
        let authorities = authorities.and_then(|part| Ok((part.certificates()?, part.bytes)));
        let (mut authorities, trusted, problem) = match authorities {
            Ok((authorities, trusted)) => (authorities, trusted, None),
            Err(problem) => (Vec::new(), Secret::default(), Some(problem)),
        };
        let problem = check_server(cluster).err().or(problem);
        let pair = match (problem, self.pair(user, now)?) {
            (None, Ok(pair)) => pair,
            (Some(problem), _) | (None, Err(problem)) => return unusable(problem, authorities),
        };
        let subject = &pair.chain[0].subject;
        if *subject != node.subject() {
            return Ok(NodeState::OtherNode(subject.clone()));
        }
        Ok(match self.ca()? {
            CaFile::Nothing => NodeState::WithoutCa(authorities),
            CaFile::Writable(_) => {
                let problem = Problem::Part(self.shown(self.layout.ca.as_str()), WRITABLE);
                return unusable(problem, authorities);
            }
            CaFile::Certificates(stored) if trust::share_a_key(&stored, &authorities) => {
                authorities.extend(stored);
                let (kubeconfig, server) = (self.shown(conf), cluster.server.clone());
                NodeState::Joined(Box::new(Identity { pair, kubeconfig, server, trusted, authorities }))
            }
            _ => NodeState::OtherCa(authorities),
        })
    }

    /// The name of the node that the identity on this disk is for, where there is one that a kubelet can start from.
    pub fn own_name(&self, now: SystemTime) -> Result<Option<NodeName>> {
        // It is for another node than the one that is asked about, or for this one.
        let asked = NodeName::new("n")?;
        Ok(match self.state(&asked, now)? {
            NodeState::OtherNode(subject) => {
                let mut users = subject.common_names.iter();
                users.find_map(|user| NodeName::new(user.strip_prefix(USER_PREFIX)?).ok())
            }
            NodeState::None | NodeState::Unusable(_) => None,
            _ => Some(asked),
        })
    }

    /// The certificate of the stored pair that matches `template`, if that pair is complete and within its validity.
    pub fn stored(&self, template: &CertificateTemplate, now: SystemTime) -> Result<Option<Certificate>> {
        let file = self.current(template.kind);
        let part = self.part("", "", &file)?;
        let pair = part.and_then(|part| pair(&part, &part, now)).ok();
        let leaf = pair.and_then(|pair| pair.chain.into_iter().next());
        Ok(leaf.filter(|leaf| template.matches(leaf).is_ok()))
    }

    /// The pair that `user` names, if it is complete and within its validity.
    fn pair(&self, user: &User, now: SystemTime) -> Result<std::result::Result<Pair, Problem>> {
        let certificate =
            self.part("client-certificate", user.client_certificate_data.expose(), &user.client_certificate)?;
        let key = self.part("client-key", user.client_key_data.expose(), &user.client_key)?;
        // Of no use to who has a certificate, but read by clientcmd (`getUserIdentificationPartialConfig`).
        if user.token.expose().is_empty()
            && !user.token_file.is_empty()
            && let Err(problem) = self.part("tokenFile", "", &user.token_file)?
        {
            return Ok(Err(problem));
        }
        Ok(certificate.and_then(|certificate| pair(&certificate, &key?, now)))
    }

    /// Embedded data or a file, a relative name of which is relative to kubelet.conf. Both is an error
    /// (`k8s.io/client-go/tools/clientcmd`, `validateClusterInfo` and `validateAuthInfo`).
    fn part(&self, field: &str, data: &str, file: &str) -> Result<std::result::Result<Part, Problem>> {
        let (name, bytes) = match (data, file) {
            ("", "") => return Ok(Err(Problem::Part(field.to_owned(), "not set"))),
            ("", file) => {
                let file = if file.starts_with('/') {
                    file.to_owned()
                } else {
                    path(self.layout.kubeconfig.directory(), file)
                };
                // The kubelet's pair is in one file, which is read as a key, too.
                let has_secret = !matches!(field, "client-certificate" | "certificate-authority");
                let bytes = match self.examine(&file, |_| has_secret)? {
                    None => Err("not found"),
                    Some((_, false)) => Err(WRITABLE),
                    Some((bytes, true)) => Ok(bytes),
                };
                ([field, " ", &self.shown(&file)].concat(), bytes)
            }
            (data, "") => {
                let bytes = STANDARD.decode(data).map(Secret::new).map_err(|_| "invalid base64");
                ([field, "-data"].concat(), bytes)
            }
            (_, file) => ([field, " ", file].concat(), Err("set beside embedded data")),
        };
        Ok(match bytes {
            Ok(bytes) => Ok(Part { name, bytes }),
            Err(problem) => Err(Problem::Part(name, problem)),
        })
    }
}

fn keys(authorities: &[Certificate]) -> Vec<String> {
    let mut keys = Vec::new();
    for key in authorities.iter().map(Certificate::pin) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

fn parse(text: &[u8]) -> std::result::Result<std::result::Result<Kubeconfig, KubeconfigError>, Utf8Error> {
    std::str::from_utf8(text).map(Kubeconfig::parse)
}

/// The pair of these parts, if it is complete and within its validity.
fn pair(certificate: &Part, key: &Part, now: SystemTime) -> std::result::Result<Pair, Problem> {
    let chain = certificate.certificates()?;
    if let Some(place) = chain.iter().position(|certificate| now > certificate.not_after) {
        return Err(Problem::Expired { place, not_after: chain[place].not_after, now });
    }
    let own = Key::from_pem(key.bytes.expose());
    match &own {
        Some(own) if own.spki() == chain[0].spki => {}
        Some(_) => return Err(key.problem("the key of another certificate")),
        None if is_unsupported_key_of(key.bytes.expose(), &chain[0]) => {}
        None => return Err(key.problem("no private key for the certificate found")),
    }
    Ok(Pair { key: own, chain })
}

/// Whether a key file may hold the certificate's key, which is not on P-256 (a kubelet can be told to make others): only
/// the presence is seen.
fn is_unsupported_key_of(pem: &[u8], leaf: &Certificate) -> bool {
    let is_private =
        |block: &pem::Pem| matches!(block.tag(), "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY");
    !Key::is_p256(&leaf.spki) && blocks(pem).unwrap_or_default().iter().any(is_private)
}
