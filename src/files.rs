//! The node's files: what a kubelet starts from, in the order in which they become true.
//!
//! ca.crt and bootstrap-kubelet.conf first; the key before it is used; the pair and its link; kubelet.conf last, the
//! commit mark: whoever finds it has a whole identity. Then what is not needed any more goes.

mod existing;
mod kubelet;
mod layout;
mod replacement;

pub use existing::{Existing, Identity};
pub(crate) use kubelet::CONFIG;
pub(crate) use layout::{BOOTSTRAP, KUBELET, KUBERNETES};
pub use layout::{Layout, NodePath};
pub use replacement::Replacement;

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::clock::{Clock, Deadline};
use crate::disk::{Directory, Root};
use crate::error::{Error, Failure, Result, Step};
use crate::identity::{Credentials, IssuedCertificate, Key, Kind};
use crate::kubeconfig;
use crate::secret::Secret;
use crate::trust::TrustedCluster;
use crate::x509;

/// How often a second run looks whether the first has ended.
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// The node's disk, by what its files mean.
#[derive(Debug)]
pub struct NodeFiles {
    root: Root,
    layout: Layout,
}

impl NodeFiles {
    /// Opens the node's disk at `root`, where its files lie as `layout` says.
    ///
    /// # Errors
    /// A usage error when there is no such directory.
    pub fn open(root: &Path, layout: Layout) -> Result<Self> {
        let root = Root::open(root).map_err(|e| {
            let message = format!("the root {} cannot be opened", root.display());
            Error::new(Step::Options, Failure::Usage, message).caused_by(e)
        })?;
        Ok(Self { root, layout })
    }

    /// The disk itself, for who looks beyond the node's own files.
    pub(crate) fn disk(&self) -> &Root {
        &self.root
    }

    /// The name in the image's `/etc/hostname`: its first line that is no comment (hostname(5)).
    ///
    /// # Errors
    /// [`Failure::Files`] when the file is there and cannot be read.
    pub fn hostname(&self) -> Result<Option<String>> {
        let bytes = self.root.read("/etc/hostname").map_err(|e| unreadable("/etc/hostname", e))?;
        let text = String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default();
        let mut lines = text.lines().map(str::trim);
        Ok(lines.find(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned))
    }

    /// Waits until no other run works on this root, and keeps others out until the process ends.
    ///
    /// # Errors
    /// [`Failure::Files`] when another run is still at work at the deadline.
    pub fn lock(&self, clock: &dyn Clock, deadline: Deadline) -> Result<()> {
        loop {
            match self.root.try_lock() {
                Ok(true) => return Ok(()),
                Ok(false) if deadline.left(clock).is_some() => clock.sleep(LOCK_PAUSE),
                Ok(false) => {
                    let message =
                        "another run of nodestrap is still at work on this root; wait for it, or end it";
                    return Err(Error::new(Step::Files, Failure::Files, message));
                }
                Err(e) => {
                    let message = "the root cannot be locked against a second run";
                    return Err(Error::new(Step::Files, Failure::Files, message).caused_by(e));
                }
            }
        }
    }

    /// Writes ca.crt and bootstrap-kubelet.conf as kubeadm writes them, where they are not there already. With them a
    /// kubelet can finish alone.
    ///
    /// # Errors
    /// [`Failure::Files`]; what was there before is still there.
    pub fn write_discovery(&self, cluster: &TrustedCluster, credentials: &Credentials) -> Result<()> {
        let ca = &self.layout.ca;
        match self.ca()? {
            None => self.write_at(ca, 0o644, cluster.authorities().pem())?,
            Some(found) if found == cluster.authorities().pem() => {}
            Some(_) => return Err(refusal(&format!("{} is the CA of another cluster", ca.as_str()))),
        }
        let server = cluster.server().as_str();
        let text = kubeconfig::bootstrap(server, cluster.authorities().base64(), &credentials.embedded());
        write(&self.directory(KUBERNETES, 0o755)?, KUBERNETES, BOOTSTRAP, 0o600, text.expose().as_bytes())
    }

    /// ca.crt, whosever it is.
    fn ca(&self) -> Result<Option<Vec<u8>>> {
        let path = self.layout.ca.as_str();
        self.root.read(path).map_err(|e| unreadable(path, e))
    }

    /// The key of the pending request: the one on disk, or a new one that is durable when this returns.
    ///
    /// A file that is no key, such as a torn one, is replaced: a kubelet would stop at it.
    ///
    /// # Errors
    /// [`Failure::Files`].
    pub fn pending_key(&self, kind: &Kind) -> Result<Key> {
        let certificates = self.layout.certificates.as_str();
        let directory = self.directory(certificates, 0o755)?;
        directory.clear().map_err(|e| unwritable(certificates, e))?;
        let name = pending_key(kind);
        let path = path(certificates, &name);
        let found = directory.read(&name).map_err(|e| unreadable(&path, e))?.map(Secret::new);
        let key = match found.and_then(|bytes| Key::from_pem(bytes.expose())) {
            Some(key) => key,
            None => Key::generate()?,
        };
        write(&directory, certificates, &name, 0o600, key.pem().expose().as_bytes())?;
        Ok(key)
    }

    /// Forgets the key of a request that is of no use any more.
    ///
    /// # Errors
    /// [`Failure::Files`].
    pub fn discard_pending_key(&self, kind: &Kind) -> Result<()> {
        self.remove(self.layout.certificates.as_str(), &pending_key(kind))
    }

    /// Stores a pair as the kubelet's FileStore does. Returns where it is.
    ///
    /// The name carries the time in UTC; the kubelet takes local time, which at first boot is not known.
    ///
    /// # Errors
    /// [`Failure::Files`]; a pair that was there before is still whole.
    pub fn write_pair(
        &self,
        kind: &Kind,
        key: &Key,
        certificate: &IssuedCertificate,
        now: SystemTime,
    ) -> Result<String> {
        let certificates = self.layout.certificates.as_str();
        let directory = self.directory(certificates, 0o755)?;
        let name = format!("{}-{}.pem", kind.store, stamp(now));
        let pair = Secret::new(format!("{}{}", certificate.pem(), key.pem().expose()));
        write(&directory, certificates, &name, 0o600, pair.expose().as_bytes())?;
        let stored = path(certificates, &name);
        let (link, current) = (current(kind), self.current(kind));
        directory.link(&link, &stored).map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => {
                let message =
                    format!("{current} is a file where the kubelet has a link; remove it and run again");
                Error::new(Step::Files, Failure::Files, message)
            }
            _ => unwritable(&current, e),
        })?;
        Ok(stored)
    }

    /// Writes kubelet.conf, which leads to the client's pair and commits the identity.
    ///
    /// # Errors
    /// [`Failure::Files`]; an identity that was there before is still whole.
    pub fn write_kubelet_conf(&self, cluster: &TrustedCluster) -> Result<()> {
        let pair = self.current(Kind::CLIENT);
        let text = kubeconfig::kubelet(cluster.server().as_str(), cluster.authorities().base64(), &pair);
        self.write_at(&self.layout.kubeconfig, 0o600, text.as_bytes())
    }

    /// Removes what a joined node does not need: the key's first file, and the bootstrap kubeconfig with its token, as
    /// kubeadm does, unless it is to be kept.
    ///
    /// # Errors
    /// [`Failure::Files`].
    pub fn clean_up(&self, keep_bootstrap: bool) -> Result<()> {
        self.discard_pending_key(Kind::CLIENT)?;
        if keep_bootstrap { Ok(()) } else { self.remove(KUBERNETES, BOOTSTRAP) }
    }

    /// The path of the link to the pair in use.
    fn current(&self, kind: &Kind) -> String {
        path(self.layout.certificates.as_str(), &current(kind))
    }

    fn write_at(&self, at: &NodePath, mode: u32, bytes: &[u8]) -> Result<()> {
        write(&self.directory(at.directory(), 0o755)?, at.directory(), at.name(), mode, bytes)
    }

    fn directory(&self, at: &str, mode: u32) -> Result<Directory> {
        let open = |at: &str, mode| {
            self.root.directory(at, Some(mode)).map_err(|e| {
                let message = format!("the directory {at} cannot be opened or made");
                Error::new(Step::Files, Failure::Files, message).caused_by(e)
            })
        };
        if at.strip_prefix(KUBELET).is_some_and(|below| below.starts_with('/')) {
            open(KUBELET, 0o700)?; // not with the mode that a parent gets
        }
        open(at, mode)
    }

    fn remove(&self, at: &str, name: &str) -> Result<()> {
        let removed = match self.root.directory(at, None) {
            Ok(directory) => directory.remove(name).map(|_| ()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        };
        removed.map_err(|e| {
            Error::new(Step::Files, Failure::Files, format!("{} cannot be removed", path(at, name)))
                .caused_by(e)
        })
    }
}

/// Writes a file unless it is there with the same mode and bytes.
fn write(directory: &Directory, at: &str, name: &str, mode: u32, bytes: &[u8]) -> Result<()> {
    if directory.holds(name, mode, bytes) {
        return Ok(());
    }
    directory.replace(name, mode, bytes).map_err(|e| unwritable(&path(at, name), e))
}

/// The key of a request that is not decided (`pkg/kubelet/certificate/bootstrap`, `tmpPrivateKeyFile`).
fn pending_key(kind: &Kind) -> String {
    format!("{}.key.tmp", kind.store)
}

/// The link to the pair in use (`k8s.io/client-go/util/certificate/certificate_store.go`).
fn current(kind: &Kind) -> String {
    format!("{}-current.pem", kind.store)
}

/// A moment in names of files: the kubelet's form, in UTC.
fn stamp(now: SystemTime) -> String {
    let stamp: String = x509::utc(now).chars().map(|c| if c.is_ascii_digit() { c } else { '-' }).collect();
    stamp.trim_end_matches('-').to_owned()
}

/// The path of a name in a directory.
pub(crate) fn path(directory: &str, name: &str) -> String {
    format!("{directory}/{name}")
}

/// What is there belongs to another cluster or node, and may only go when the operator says so.
fn refusal(problem: &str) -> Error {
    let message =
        format!("{problem}; move it away, or give --replace to have that done, to join this cluster");
    Error::new(Step::Files, Failure::Files, message)
}

fn unreadable(path: &str, error: std::io::Error) -> Error {
    Error::new(Step::Files, Failure::Files, format!("{path} cannot be read; repair or remove it"))
        .caused_by(error)
}

fn unwritable(path: &str, error: std::io::Error) -> Error {
    let message = format!("{path} cannot be written; what was there is unchanged; run again when it can");
    Error::new(Step::Files, Failure::Files, message).caused_by(error)
}
