//! What another cluster or another node has left on this disk: refused, or moved aside before this node's own files are
//! written.
//!
//! Pairs are loaded by a kubelet without a look at whose they are: it serves with the one, and takes the key of the other
//! for its own request (`k8s.io/client-go/util/certificate/certificate_store.go`;
//! `pkg/kubelet/certificate/bootstrap/bootstrap.go`). So all of them go, when one is foreign.

use std::time::SystemTime;

use super::authorities::{CaState, Stored};
use super::{Existing, NodeFiles, failed, path, pending_key, refusal, stamp, unreadable};
use crate::csr::Kind;
use crate::error::{Error, Result};
use crate::node_name::{NodeName, USER_PREFIX};
use crate::pem_blocks::blocks;
use crate::secret::Secret;
use crate::trust::Bundle;
use crate::x509::Certificate;

/// The kubelet's own pair, which it signs itself and uses where it requests none (`cmd/kubelet/app/server.go`,
/// `InitializeTLS`).
const SELF_SIGNED: [&str; 2] = ["kubelet.crt", "kubelet.key"];

/// The files that have to go before the node can join, in the order in which they go.
///
/// What tells that they are foreign goes last, so that the next run after a crash finds the rest of them: first the keys
/// that name nobody, then links, without which no kubelet uses a pair, then pairs, which name their node, then ca.crt and
/// kubelet.conf, which name the cluster.
#[derive(Debug)]
pub struct Replacement {
    files: Vec<(String, String)>,
    renews_ca: bool,
}

impl Replacement {
    /// Whether nothing has to go.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Where they lie.
    pub fn paths(&self) -> impl Iterator<Item = String> {
        self.files.iter().map(|(directory, name)| path(directory, name))
    }

    /// Whether ca.crt will be written over, since its keys are the cluster's and its certificates are not.
    #[must_use]
    pub fn renews_ca(&self) -> bool {
        self.renews_ca
    }
}

impl NodeFiles {
    /// Refuses an identity that is not this node's in the cluster of ca.crt, whatever cluster is to be joined.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Files`].
    pub fn refuse_foreign(&self, existing: &Existing, node: &NodeName) -> Result<()> {
        match existing {
            Existing::OtherNode(_) => {
                self.identity_problem(None, existing, node)?.map_or(Ok(()), |problem| Err(refusal(&problem)))
            }
            Existing::OtherCa(_) => {
                let (conf, ca) = (self.layout.kubeconfig.as_str(), self.layout.ca.as_str());
                Err(refusal(&match self.ca()? {
                    Stored::Garbage => self.no_certificates(),
                    _ => format!("{conf} and {ca} have no CA key in common"),
                }))
            }
            _ => Ok(()),
        }
    }

    /// The refusal of a node that is joined to another cluster than the one that is meant. `keys` are those of its own.
    #[must_use]
    pub fn other_cluster(&self, keys: &[String]) -> Error {
        let conf = self.layout.kubeconfig.as_str();
        let keys = keys.join(" ");
        refusal(&format!("{conf} belongs to another cluster: none of its CA keys ({keys}) is given"))
    }

    /// Finds what keeps the node from joining the cluster with these CAs, which is trusted. Nothing is written.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Files`] when there is anything and it is not to be replaced: a working identity of
    /// another node or in another cluster, pairs of another node, or a ca.crt with a key that is not the cluster's, which
    /// kubeadm would silently keep; and for files that cannot be read.
    pub fn replacement(
        &self,
        authorities: &Bundle,
        existing: &Existing,
        node: &NodeName,
        replace: bool,
    ) -> Result<Replacement> {
        let identity_problem = self.identity_problem(Some(authorities), existing, node)?;
        let is_kept = identity_problem.is_none() && matches!(existing, Existing::Joined(_));
        let ca = &self.layout.ca;
        let (mut renews_ca, mut ca_problem, mut is_elsewhere) = (false, None, false);
        if !is_kept {
            match self.compare_ca(authorities)? {
                CaState::Missing | CaState::Same => {}
                CaState::Renewed => renews_ca = true,
                CaState::Foreign { problem, elsewhere } => {
                    (ca_problem, is_elsewhere) = (Some(problem), elsewhere);
                }
            }
        }
        let foreign_ca = ca_problem.is_some();
        // Of an identity that does not work, all that is left may be which cluster it was for.
        let trusted = match existing {
            Existing::Unusable(unusable) => Some(&unusable.authorities),
            Existing::WithoutCa(trusted) | Existing::OtherCa(trusted) => Some(trusted),
            _ => None,
        };
        let trusted = trusted.filter(|trusted| !trusted.is_empty());
        let foreign_identity = identity_problem.is_some()
            || trusted.map_or(is_elsewhere, |trusted| !authorities.shares_a_key_with(trusted));
        match identity_problem.or(ca_problem) {
            Some(problem) if !replace => return Err(refusal(&problem)),
            _ if !replace => return Ok(Replacement { files: Vec::new(), renews_ca }),
            _ => {}
        }

        let mut files = Vec::new();
        if foreign_identity {
            let certificates = self.layout.certificates.as_str();
            files.extend(self.pairs()?.into_iter().map(|name| (certificates.to_owned(), name)));
        }
        if foreign_ca {
            files.push((ca.directory().to_owned(), ca.name().to_owned()));
        }
        if foreign_identity && !matches!(existing, Existing::None) {
            let conf = &self.layout.kubeconfig;
            files.push((conf.directory().to_owned(), conf.name().to_owned()));
        }
        Ok(Replacement { files, renews_ca })
    }

    /// Moves them aside, each durably before the next, beside where they lay: `NAME.old-DATE`, with its mode, which no
    /// kubelet and no kubeadm looks for. Returns where each is then.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Files`]; what has not been moved by then is as it was, and the next run goes on.
    pub fn set_aside(&self, replacement: &Replacement, now: SystemTime) -> Result<Vec<String>> {
        let ending = format!(".old-{}", stamp(now));
        let mut moved = Vec::new();
        for (at, name) in &replacement.files {
            let aside =
                self.root.directory(at, None).and_then(|directory| directory.set_aside(name, &ending));
            let aside = aside.map_err(|e| {
                failed(
                    format!("{} cannot be moved aside", path(at, name)),
                    "make the directory writable, then run again",
                    e,
                )
            })?;
            moved.extend(aside.map(|name| path(at, &name)));
        }
        Ok(moved)
    }

    /// Why the identity, or what is left of one, is not this node's in the cluster with these CAs; without CAs, in any.
    fn identity_problem(
        &self,
        authorities: Option<&Bundle>,
        existing: &Existing,
        node: &NodeName,
    ) -> Result<Option<String>> {
        let conf = self.layout.kubeconfig.as_str();
        let is_elsewhere = match (existing, authorities) {
            (Existing::OtherNode(subject), _) => {
                let name = node.as_str();
                return Ok(Some(format!("{conf} belongs to {subject}, this node is {name}")));
            }
            (Existing::None | Existing::Unusable(_), _) => return self.foreign_pair(node),
            (_, None) => false,
            (Existing::WithoutCa(trusted) | Existing::OtherCa(trusted), Some(authorities)) => {
                !authorities.shares_a_key_with(trusted)
            }
            (Existing::Joined(identity), Some(authorities)) => {
                !authorities.shares_a_key_with(identity.authorities())
            }
        };
        Ok(is_elsewhere.then(|| format!("{conf} belongs to another cluster")))
    }

    /// A pair of another node, though there is no identity that works: an image that was made of a node. One that no link
    /// leads to counts too: what is left of an interrupted replacement is told by it.
    fn foreign_pair(&self, node: &NodeName) -> Result<Option<String>> {
        for name in self.pairs()? {
            let file = path(self.layout.certificates.as_str(), &name);
            let found = self.root.read(&file).map_err(|e| unreadable(&file, e))?;
            let Some(leaf) = found.and_then(leaf) else { continue };
            let mut names = leaf.subject.common_names.iter().filter_map(|cn| cn.strip_prefix(USER_PREFIX));
            if names.any(|name| name != node.as_str()) {
                let problem = format!("{file} belongs to {}, this node is {}", leaf.subject, node.as_str());
                return Ok(Some(problem));
            }
        }
        Ok(None)
    }

    /// The names of all that a kubelet keeps in its `--cert-dir`, in the order in which they go.
    fn pairs(&self) -> Result<Vec<String>> {
        let at = self.layout.certificates.as_str();
        let names = self
            .root
            .names(at)
            .map_err(|e| failed(format!("directory {at} cannot be read"), super::CHECK, e))?;
        let names: Vec<String> = names.into_iter().filter_map(|name| name.into_string().ok()).collect();
        let mut pairs = Vec::new();
        for rank in 0..5 {
            pairs.extend(names.iter().filter(|name| self::rank(name) == Some(rank)).cloned());
        }
        Ok(pairs)
    }
}

/// The turn of a file in the kubelet's `--cert-dir`: first what names nobody, then links, without which no kubelet uses a
/// pair, then pairs. `None` for what neither a kubelet nor this program has put there, and for what was moved aside before.
pub(super) fn rank(name: &str) -> Option<u8> {
    let of = |kind: &Kind| {
        let rest = name.strip_prefix(kind.store);
        rest.is_some_and(|rest| [".pem", ".crt", ".key"].iter().any(|ending| rest.ends_with(ending)))
    };
    let is_pending = [Kind::CLIENT, Kind::SERVING].iter().any(|kind| pending_key(kind) == name);
    let is_link = ["-current.pem", "-updated.pem"].iter().any(|ending| name.ends_with(ending));
    match name {
        _ if is_pending || SELF_SIGNED.contains(&name) => Some(0),
        _ if of(Kind::SERVING) => Some(if is_link { 1 } else { 3 }),
        _ if of(Kind::CLIENT) => Some(if is_link { 2 } else { 4 }),
        _ => None,
    }
}

/// The first certificate of a PEM text.
fn leaf(text: Vec<u8>) -> Option<Certificate> {
    let text = Secret::new(text);
    let blocks = blocks(text.expose())?;
    let block = blocks.iter().find(|block| block.tag() == "CERTIFICATE")?;
    Certificate::from_der(block.contents()).ok()
}
