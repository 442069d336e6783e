//! Locks that keep a second run out of a root: files that nobody else can open, beside the node's disk.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::directory::{identity, is_own, is_private, open_regular};
use super::{DIRECTORY, Root};

/// Where the lock files are: the directory that the unit calls its `RuntimeDirectory`. It goes over from the initramfs to
/// the system, and is gone after a reboot.
pub const RUNTIME: &str = "/run/nodestrap";

/// A root that other runs are kept out of, until this is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: OwnedFd,
}

impl Root {
    /// Keeps other runs out of this root by a file in the directory `runtime`, which is made where it is missing; its
    /// parent is not. The file is named by device and inode of the root, so that all paths to it mean one lock, and stays.
    /// Without `runtime` the root directory itself is locked, which everybody can do who can open it. `None` while
    /// another run is in.
    ///
    /// # Errors
    /// The system's, and for a directory that others can change, and a file that others can open.
    pub fn try_lock(&self, runtime: Option<&Path>) -> io::Result<Option<Lock>> {
        let Some(runtime) = runtime else {
            let root = self.fd.try_clone()?;
            return Ok(flock(&root)?.then_some(Lock { _file: root }));
        };
        let directory = open_runtime(runtime)?;
        let root = fs::fstat(&self.fd)?;
        let name = format!("root-{}-{}.lock", root.st_dev, root.st_ino);
        let name = OsStr::new(&name);
        let file = open_lock(&directory, name)?;
        if !flock(&file)? {
            return Ok(None);
        }
        // It may have been removed before it was locked; then the next run would make another one.
        let is_named = fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|found| fs::fstat(&file).is_ok_and(|file| identity(&file) == identity(&found)));
        Ok(is_named.then_some(Lock { _file: file }))
    }
}

fn flock(file: &OwnedFd) -> io::Result<bool> {
    match fs::flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Opens the directory of the locks, or makes it.
fn open_runtime(path: &Path) -> io::Result<OwnedFd> {
    let directory = match fs::open(path, DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => match fs::mkdir(path, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => fs::open(path, DIRECTORY, Mode::empty()),
            Err(errno) => Err(errno),
        },
        result => result,
    }?;
    let found = fs::fstat(&directory)?;
    if !is_own(&found) {
        return Err(io::Error::other("it belongs to another user"));
    }
    if found.st_mode & 0o022 != 0 {
        return Err(io::Error::other("other users can write to it"));
    }
    Ok(directory)
}

/// Opens a lock file, or makes it.
fn open_lock(directory: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    match fs::openat(directory, name, flags, Mode::from_raw_mode(0o600)) {
        Ok(file) => return Ok(file),
        Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    let (file, found) = open_regular(directory, name)?.ok_or(io::ErrorKind::NotFound)?;
    if is_private(&found) {
        return Ok(file);
    }
    Err(io::Error::other(format!("{} is accessible to other users: remove it", name.to_string_lossy())))
}
