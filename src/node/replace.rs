//! What another cluster or another node has left on this disk: refused, or moved aside before this node's own files are
//! written.
//!
//! Pairs are loaded by a kubelet without a look at whose they are: it serves with the one, and takes the key of the other
//! for its own request (`k8s.io/client-go/util/certificate/certificate_store.go`;
//! `pkg/kubelet/certificate/bootstrap/bootstrap.go`). So all of them go, when one is of another cluster or node.

use std::time::SystemTime;

use super::ca_file::{CaFile, CaState};
use super::layout::move_order;
use super::{Layout, NodeFiles, NodeState, failed, path, refusal, timestamp};
use crate::error::{Error, ErrorKind, Result, Step};
use crate::node_name::{NodeName, USER_PREFIX};
use crate::pem_blocks::blocks;
use crate::secret::Secret;
use crate::trust::CaBundle;
use crate::x509::{Certificate, Name};

/// What stands between the name of a file that was moved aside and the date.
const OLD: &str = ".old-";

/// The files that have to go before the node can join, in the order in which they go.
///
/// What tells whose they are goes last, so that the next run after a crash finds the rest of them: first the keys that
/// name nobody, then links, without which no kubelet uses a pair, then certificate files, which name their node, then
/// ca.crt and kubelet.conf, which name the cluster.
#[derive(Debug)]
pub struct Replacement {
    files: Vec<(String, String)>,
    renews_ca: bool,
}

impl Replacement {
    /// Whether nothing has to go.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Where they are.
    pub fn paths(&self) -> impl Iterator<Item = String> {
        self.files.iter().map(|(directory, name)| path(directory, name))
    }

    /// Whether ca.crt will be written over, since its keys are the cluster's and its certificates are not.
    pub fn renews_ca(&self) -> bool {
        self.renews_ca
    }
}

impl NodeFiles {
    /// Refuses an identity that is not this node's in the cluster of ca.crt, whatever cluster is to be joined.
    pub fn refuse_other_identity(&self, state: &NodeState, node: &NodeName) -> Result<()> {
        match state {
            NodeState::OtherNode(_) => self.identity_problem(None, state, node)?.map_or(Ok(()), Err),
            NodeState::OtherCa(_) => {
                let Layout { kubeconfig, ca, .. } = &self.layout;
                let (conf, ca) = (self.shown(kubeconfig.as_str()), self.shown(ca.as_str()));
                Err(refusal(&match self.ca()? {
                    CaFile::Garbage => self.no_certificates(),
                    _ => format!("{conf} and {ca} have no CA key in common"),
                }))
            }
            _ => Ok(()),
        }
    }

    /// The refusal of a node that is joined to another cluster than the one that is meant. `keys` are those of its own.
    pub fn other_cluster(&self, keys: &[String]) -> Error {
        let conf = self.shown(self.layout.kubeconfig.as_str());
        let keys = keys.join(" ");
        refusal(&format!("{conf} belongs to another cluster: none of its CA keys ({keys}) is given"))
    }

    /// Finds what keeps the node from joining the cluster with these CAs, which is trusted. Nothing is written.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Files`] when there is anything and it is not to be replaced: a working identity of
    /// another node or in another cluster, certificates of another node, or a ca.crt with a key that is not the
    /// cluster's, which kubeadm would silently keep; and for files that cannot be read.
    pub fn replacement(
        &self,
        authorities: &CaBundle,
        state: &NodeState,
        node: &NodeName,
        replace: bool,
    ) -> Result<Replacement> {
        let identity_problem = self.identity_problem(Some(authorities), state, node)?;
        let is_kept = identity_problem.is_none() && matches!(state, NodeState::Joined(_));
        let ca = &self.layout.ca;
        let (mut renews_ca, mut ca_problem, mut is_elsewhere) = (false, None, false);
        if !is_kept {
            match self.compare_ca(authorities)? {
                CaState::Missing | CaState::Same => {}
                CaState::Renewed => renews_ca = true,
                CaState::Other { problem, elsewhere } => {
                    (ca_problem, is_elsewhere) = (Some(problem), elsewhere);
                }
            }
        }
        let replaces_ca = ca_problem.is_some();
        // Of an identity that does not work, all that is left may be which cluster it was for.
        let trusted = match state {
            NodeState::Unusable(unusable) => Some(&unusable.authorities),
            NodeState::WithoutCa(trusted) | NodeState::OtherCa(trusted) => Some(trusted),
            _ => None,
        };
        let trusted = trusted.filter(|trusted| !trusted.is_empty());
        let replaces_identity = identity_problem.is_some()
            || trusted.map_or(is_elsewhere, |trusted| !authorities.shares_a_key_with(trusted));
        match identity_problem.or_else(|| ca_problem.as_deref().map(refusal)) {
            Some(refusal) if !replace => return Err(refusal),
            _ if !replace => return Ok(Replacement { files: Vec::new(), renews_ca }),
            _ => {}
        }

        let mut files = Vec::new();
        if replaces_identity {
            let certificates = self.layout.certificates.as_str();
            files.extend(self.cert_dir_files()?.into_iter().map(|name| (certificates.to_owned(), name)));
        }
        if replaces_ca {
            files.push((ca.directory().to_owned(), ca.name().to_owned()));
        }
        if replaces_identity && !matches!(state, NodeState::None) {
            let conf = &self.layout.kubeconfig;
            files.push((conf.directory().to_owned(), conf.name().to_owned()));
        }
        Ok(Replacement { files, renews_ca })
    }

    /// Moves them aside, each durably before the next, beside where they lay: `NAME.old-DATE`, with its mode, which no
    /// kubelet and no kubeadm looks for. Returns where each is then.
    /// If it fails, what has not been moved by then is as it was, and the next run goes on.
    pub fn move_aside(&self, replacement: &Replacement, now: SystemTime) -> Result<Vec<String>> {
        let suffix = format!("{OLD}{}", timestamp(now));
        let mut moved = Vec::new();
        for (at, name) in &replacement.files {
            let moved_to =
                self.root.directory(at, None).and_then(|directory| directory.move_aside(name, &suffix));
            let moved_to = moved_to.map_err(|e| {
                failed(
                    format!("{} cannot be moved aside", self.shown(&path(at, name))),
                    "make the directory writable, then run again",
                    e,
                )
            })?;
            moved.extend(moved_to.map(|name| path(at, &name)));
        }
        Ok(moved)
    }

    /// The refusal of an identity, or of what is left of one, that is not this node's in the cluster with these CAs;
    /// without CAs, in any.
    fn identity_problem(
        &self,
        authorities: Option<&CaBundle>,
        state: &NodeState,
        node: &NodeName,
    ) -> Result<Option<Error>> {
        let conf = self.shown(self.layout.kubeconfig.as_str());
        let is_elsewhere = match (state, authorities) {
            (NodeState::OtherNode(subject), _) => {
                return Ok(Some(of_another_node(&conf, subject, node)));
            }
            (NodeState::None | NodeState::Unusable(_), _) => return self.pair_of_another_node(node),
            (_, None) => false,
            (NodeState::WithoutCa(trusted) | NodeState::OtherCa(trusted), Some(authorities)) => {
                !authorities.shares_a_key_with(trusted)
            }
            (NodeState::Joined(identity), Some(authorities)) => {
                !authorities.shares_a_key_with(identity.authorities())
            }
        };
        Ok(is_elsewhere.then(|| refusal(&format!("{conf} belongs to another cluster"))))
    }

    /// A pair of another node, though there is no identity that works: an image that was made of a node. One that no link
    /// leads to counts too: what is left of an interrupted replacement is told by it.
    fn pair_of_another_node(&self, node: &NodeName) -> Result<Option<Error>> {
        for name in self.cert_dir_files()? {
            let file = path(self.layout.certificates.as_str(), &name);
            let found = self.root.read(&file).map_err(|e| self.unreadable(&file, e))?;
            let Some(leaf) = found.and_then(leaf) else { continue };
            let mut names = leaf.subject.common_names.iter().filter_map(|cn| cn.strip_prefix(USER_PREFIX));
            if names.any(|name| name != node.as_str()) {
                return Ok(Some(of_another_node(&self.shown(&file), &leaf.subject, node)));
            }
        }
        Ok(None)
    }

    /// The names of all that a kubelet keeps in its `--cert-dir`, in the order in which they go.
    fn cert_dir_files(&self) -> Result<Vec<String>> {
        let at = self.layout.certificates.as_str();
        let names = self
            .root
            .names(at)
            .map_err(|e| failed(format!("directory {} cannot be read", self.shown(at)), super::CHECK, e))?;
        let names: Vec<String> = names.into_iter().filter_map(|name| name.into_string().ok()).collect();
        let mut cert_dir_files = Vec::new();
        for rank in 0..5 {
            cert_dir_files.extend(names.iter().filter(|name| move_order(name) == Some(rank)).cloned());
        }
        Ok(cert_dir_files)
    }
}

/// The refusal of a file that is another node's: this machine is a clone of that node, or has lost its name.
fn of_another_node(path: &str, subject: &Name, node: &NodeName) -> Error {
    let what = format!("{path} belongs to {subject}, this node is {}", node.as_str());
    Error::new(Step::Files, ErrorKind::Files, what).with_help(
        "if the hostname is wrong, correct it or use --node-name; if this machine is a clone of that node, stop the kubelet \
         and use --replace, which renames the old files to NAME.old-DATE",
    )
}

/// Whether a path is one that [`NodeFiles::move_aside`] has given.
pub(crate) fn is_moved_aside(path: &str) -> bool {
    let date = path.rsplit_once(OLD).map(|(_, date)| date);
    date.is_some_and(|date| date.len() >= 10 && date.bytes().all(|b| b.is_ascii_digit() || b == b'-'))
}

/// The first certificate of a PEM text.
fn leaf(text: Vec<u8>) -> Option<Certificate> {
    let text = Secret::new(text);
    let blocks = blocks(text.expose())?;
    let block = blocks.iter().find(|block| block.tag() == "CERTIFICATE")?;
    Certificate::from_der(block.contents()).ok()
}
