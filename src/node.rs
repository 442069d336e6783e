//! The node's files: what a kubelet starts from, in the order in which they are written.
//!
//! The key before it is used; ca.crt, and bootstrap-kubelet.conf where it is needed; certificate and key, and their link;
//! kubelet.conf last, the commit point: where it is, the kubelet credentials are complete. Then what is not needed any more
//! goes. Each is durable before the next has its name.
//!
//! Where each file is, [`Layout`] says. [`NodeFiles::state`] tells what is there, without any network.

mod ca_file;
mod state;
mod guard;
mod identity_files;
mod kubelet_files;
mod layout;
mod patches;
mod replace;
mod unusable;

pub use identity_files::KubeletConf;
pub(crate) use kubelet_files::CONFIG;
pub(crate) use layout::{BOOTSTRAP, CA, CERTIFICATES, KUBELET, KUBELET_CONF, KUBERNETES, PKI};
pub use layout::{Layout, NodePath};
pub(crate) use replace::is_moved_aside;
pub use state::{Identity, NodeState};
pub use unusable::{Problem, Unusable};

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::FileType;

use crate::disk::{Directory, Exposed, Root, Stranger};
use crate::error::{Error, ErrorKind, Result, Step};
use crate::x509;

/// Where the packages put kubeadm, where people do, and where Flatcar's extensions do.
const KUBEADM: [&str; 3] = ["/usr/bin/kubeadm", "/usr/local/bin/kubeadm", "/opt/bin/kubeadm"];

/// The node's disk, by what its files mean. Errors have the kind [`ErrorKind::Files`] where a method says nothing else.
#[derive(Debug)]
pub struct NodeFiles {
    root: Root,
    /// What stands before a path that people are shown: the root, where it is not `/`.
    prefix: String,
    layout: Layout,
    /// What was found on the way and is not a reason to stop.
    warnings: RefCell<Vec<String>>,
    /// Files with a key or a token that others can read.
    exposed: RefCell<Vec<(String, Exposed)>>,
}

impl NodeFiles {
    /// Opens the node's disk at `root`, whose files are where `layout` says.
    ///
    /// # Errors
    /// A usage error when there is no such directory, [`ErrorKind::Files`] when it cannot be opened.
    pub fn open(root: &Path, layout: Layout) -> Result<Self> {
        let prefix = if root == Path::new("/") { String::new() } else { root.display().to_string() };
        let root = Root::open(root).map_err(|e| {
            // What is not a path may be a secret that was given to the wrong flag.
            let shown = if root.is_absolute() { format!(" {}", root.display()) } else { String::new() };
            let message = format!("the root{shown} cannot be opened");
            let (step, failure) = match e.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => (Step::Options, ErrorKind::Usage),
                _ => (Step::Files, ErrorKind::Files),
            };
            Error::new(step, failure, message).caused_by(e)
        })?;
        Ok(Self {
            root,
            prefix: prefix.trim_end_matches('/').to_owned(),
            layout,
            warnings: RefCell::default(),
            exposed: RefCell::default(),
        })
    }

    /// Has a directory that others can write to noted instead of refused, for who believes nothing that is there.
    #[must_use]
    pub(crate) fn only_looking(self) -> Self {
        Self { root: self.root.only_looking(), ..self }
    }

    /// The disk itself, for who looks beyond the node's own files.
    pub(crate) fn disk(&self) -> &Root {
        &self.root
    }

    /// Whether kubeadm is installed, which may upgrade this node later. What cannot be looked at is not there.
    pub(crate) fn has_kubeadm(&self) -> bool {
        KUBEADM.iter().any(|path| self.root.has(path, FileType::RegularFile).unwrap_or(false))
    }

    /// The name in the image's `/etc/hostname`: its first line that is not a comment (hostname(5)).
    pub fn hostname(&self) -> Result<Option<String>> {
        let bytes = self.root.read("/etc/hostname").map_err(|e| self.unreadable("/etc/hostname", e))?;
        let text = String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default();
        let mut lines = text.lines().map(str::trim);
        Ok(lines.find(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned))
    }

    /// A path on this disk as people find it, behind `--root`.
    pub(crate) fn shown(&self, path: &str) -> String {
        [&self.prefix, path].concat()
    }

    fn unreadable(&self, path: &str, error: io::Error) -> Error {
        failed(format!("{} cannot be read", self.shown(path)), CHECK, error)
    }

    fn unwritable(&self, path: &str, error: io::Error) -> Error {
        unwritable(&self.shown(path), error)
    }

    /// Writes a file durably unless it is there with the same mode and bytes.
    fn write(&self, directory: &Directory, at: &str, name: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        // One that is there may be of a run that ended before its name was durable.
        let is_there = directory.has_contents(name, mode, bytes);
        let written = if is_there { Ok(()) } else { directory.replace(name, mode, bytes) };
        written.and_then(|()| directory.sync()).map_err(|e| self.unwritable(&path(at, name), e))
    }

    fn directory(&self, at: &str, mode: u32) -> Result<Directory> {
        let open = |at: &str, mode| {
            self.root.directory(at, Some(mode)).map_err(|e| {
                failed(format!("directory {} cannot be opened or created", self.shown(at)), CHECK, e)
            })
        };
        if at.strip_prefix(KUBELET).is_some_and(|below| below.starts_with('/')) {
            let kubelet = open(KUBELET, 0o700)?; // not with the mode that a parent gets
            let directory = open(at, mode)?;
            directory.sync_with_parent(kubelet);
            return Ok(directory);
        }
        open(at, mode)
    }

    /// Makes the names in the directory `at` durable.
    fn sync(&self, at: &str) -> Result<()> {
        self.root.directory(at, None).and_then(|directory| directory.sync()).map_err(|e| {
            failed(
                format!("directory {} cannot be synced", self.shown(at)),
                "free space on that file system or make it writable, then run again",
                e,
            )
        })
    }

    /// Removes `name` from the directory `at`, where there is one.
    fn removing(
        &self,
        at: &str,
        name: &str,
        remove: impl FnOnce(&Directory) -> io::Result<()>,
    ) -> Result<()> {
        let removed = match self.root.directory(at, None) {
            Ok(directory) => remove(&directory),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        };
        removed.map_err(|e| {
            failed(
                format!("{} cannot be removed", self.shown(&path(at, name))),
                "free space on that file system or make it writable, then run again",
                e,
            )
        })
    }
}

/// A moment in names of files: the kubelet's form, in UTC.
fn timestamp(now: SystemTime) -> String {
    let stamp: String = x509::utc(now).chars().map(|c| if c.is_ascii_digit() { c } else { '-' }).collect();
    stamp.trim_end_matches('-').to_owned()
}

/// The path of a name in a directory.
pub(crate) fn path(directory: &str, name: &str) -> String {
    format!("{directory}/{name}")
}

/// What is there belongs to another cluster or node, and may only go when the operator says so.
fn refusal(problem: &str) -> Error {
    Error::new(Step::Files, ErrorKind::Files, problem)
        .with_help("to join as a different node or to a different cluster, stop the kubelet and use --replace, which renames the old \
             files to NAME.old-DATE; otherwise correct --node-name or the discovery settings")
}

/// What to do about a file or directory that is there and cannot be used.
const CHECK: &str = "check its type, owner and mode, and that its file system is writable and in order";

fn unwritable(path: &str, error: io::Error) -> Error {
    failed(
        format!("{path} cannot be written (unchanged)"),
        "free space on that file system or make it writable, then run again",
        error,
    )
}

/// An error of the node's files. Where a directory is refused, that is all there is to say.
fn failed(what: String, help: &'static str, error: io::Error) -> Error {
    match Stranger::of(&error) {
        Some(stranger) => {
            Error::new(Step::Files, ErrorKind::Files, stranger.to_string()).with_help(stranger.help())
        }
        None => Error::new(Step::Files, ErrorKind::Files, what).with_help(help).caused_by(error),
    }
}

#[cfg(test)]
mod tests;
