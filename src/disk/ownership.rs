//! Whose the directories are that lead to the node's files, and who else may change what lies in them.
//!
//! A file is as safe as the directories above it: who may write to one of them can put another file in its place, while a
//! request is pending or later. So each directory that is walked is checked, from the root on.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use rustix::fs::{self, Mode, Stat};
use rustix::io::Errno;
use rustix::process;

use super::directory::{identity, is_own};
use super::{Goal, Root};

/// Where Linux keeps a file's access control list (acl(5)). While there is one, the mode's bits of the group are the most
/// that anybody in the list may do (`ACL_MASK`).
const ACL: &str = "system.posix_acl_access";

/// A directory that others than those who answer for the root can change.
#[derive(Debug)]
pub struct Stranger {
    /// Where it is, below the root; `/` for the root itself.
    pub path: String,
    /// Its path outside of the root, for the system.
    outside: String,
    /// Whose it is, where nobody else may write to it; `None` where others may.
    pub owner: Option<u32>,
}

/// A regular file, with what its owner and mode say about others.
#[derive(Debug)]
pub struct Examined {
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Whether nobody but root, this user and the owner of the root directory can have written it.
    pub is_safe: bool,
    /// The file, where users other than its owner can read it.
    pub exposed: Option<Exposed>,
}

/// A file that users other than its owner can read.
#[derive(Debug)]
pub struct Exposed(File);

impl Exposed {
    /// Leaves it to its owner alone.
    pub fn close(self) -> io::Result<()> {
        Ok(fs::fchmod(&self.0, Mode::RUSR | Mode::WUSR)?)
    }
}

impl Stranger {
    /// The directory for which a file was refused, if one was.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Who can change it.
    pub fn problem(&self) -> String {
        let who = match self.owner {
            Some(owner) => ["it belongs to UID ", &owner.to_string(), ", who"].concat(),
            None => "other users can write to it, and".to_owned(),
        };
        [&who, " could replace the node's files"].concat()
    }

    /// The command that puts it right.
    pub fn help(&self) -> String {
        let command = match self.owner {
            Some(_) => "unless that is meant, run `chown root ",
            None => "run `chmod go-w ",
        };
        [command, &quoted(&self.outside), "`"].concat()
    }
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&[&self.outside, ": ", &self.problem()].concat())
    }
}

impl std::error::Error for Stranger {}

impl Root {
    /// Checks a directory with these names from the root on. One of another owner is noted once.
    ///
    /// # Errors
    /// A [`Stranger`] that others may write to, unless the root is only looked at, when it is noted as well.
    pub(super) fn check(&self, directory: BorrowedFd<'_>, names: &[OsString]) -> io::Result<()> {
        let found = fs::fstat(directory)?;
        let owner = if others_can_write(directory, &found) {
            None
        } else if self.trusts(&found) {
            return Ok(());
        } else {
            Some(found.st_uid)
        };
        let mut path = String::new();
        for name in names {
            path.push('/');
            path.push_str(&name.to_string_lossy());
        }
        let outside = [self.path.trim_end_matches('/'), &path].concat();
        let [path, outside] = [path, outside].map(|path| if path.is_empty() { "/".to_owned() } else { path });
        let stranger = Stranger { path, outside, owner };
        if owner.is_none() && !self.only_looks {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, stranger));
        }
        let (known, which) = (&mut *self.known_strangers.borrow_mut(), identity(&found));
        if !known.contains(&which) {
            known.push(which);
            self.strangers.borrow_mut().push(stranger);
        }
        Ok(())
    }

    /// The directories that were noted since this was asked before, in the order in which they were walked.
    pub fn new_strangers(&self) -> Vec<Stranger> {
        self.strangers.take()
    }

    /// Reads a regular file as [`Self::read`] does, and checks it.
    pub fn examine(&self, path: &str) -> io::Result<Option<Examined>> {
        let found = match self.walk(path, Goal::File) {
            Ok((directory, name)) => directory.read_with_metadata(&name)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        Ok(found.map(|(file, metadata, bytes)| {
            let is_safe = self.trusts(&metadata) && !others_can_write(file.as_fd(), &metadata);
            let exposed = (metadata.st_mode & 0o077 != 0).then_some(Exposed(file));
            Examined { bytes, is_safe, exposed }
        }))
    }

    /// Whether the owner answers for this root: root, this user, or the owner of the root directory.
    fn trusts(&self, found: &Stat) -> bool {
        found.st_uid == 0 || is_own(found) || found.st_uid == self.owner
    }
}

/// Whether users other than the owner may write to a file or directory. A group 0 or this process's own is no other, as
/// long as no list stands behind its bits.
fn others_can_write(file: BorrowedFd<'_>, found: &Stat) -> bool {
    let is_known = |group: u32| group == 0 || group == process::getegid().as_raw();
    found.st_mode & 0o002 != 0 || found.st_mode & 0o020 != 0 && (!is_known(found.st_gid) || has_list(file))
}

fn has_list(file: BorrowedFd<'_>) -> bool {
    // What cannot be told may be one.
    !matches!(
        fs::fgetxattr(file, ACL, &mut [0_u8; 0][..]),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS)
    )
}

/// A path as a word of a shell.
fn quoted(path: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+@=:,".contains(&b);
    if path.bytes().all(is_plain) {
        return path.to_owned();
    }
    let mut quoted = "'".to_owned();
    for c in path.chars() {
        match c {
            '\'' => quoted.push_str(r"'\''"),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}
