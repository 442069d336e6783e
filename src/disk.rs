//! The node's disk below a root: paths that cannot lead out of it, and writes that are whole or not there at all.
//!
//! Every path is walked component by component on directory handles. Symbolic links are followed as a process inside
//! the root would follow them: an absolute target starts at the root again, `..` stops there. Works on every kernel;
//! `openat2` with `RESOLVE_IN_ROOT` needs Linux 5.6.

mod directory;
mod lock;
mod outside;

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process;

use crate::limits;
pub use directory::{Directory, Staged, TEMPORARIES};
pub use lock::{Lock, RUNTIME};
pub use outside::{open_outside, remove_outside, write_outside};

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Has files and directories made with the modes that are given for them, whatever umask the process was started with: a
/// mode that was set later would be the wrong one until then, and stay so after a crash.
pub fn take_modes_literally() {
    process::umask(Mode::empty());
}

/// A directory that stands for `/`.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
}

impl Root {
    /// Opens the directory at `path`, which is the caller's word and may itself be a link.
    ///
    /// # Errors
    /// As the system has it.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { fd: fs::open(path, DIRECTORY.difference(OFlags::NOFOLLOW), Mode::empty())? })
    }

    /// Opens the directory at `path`; with `create`, makes what is missing, the last component with that mode and its
    /// parents 0755. They are durable when the first thing in it is.
    ///
    /// # Errors
    /// As the system has it; `ELOOP` for more than [`limits::LINKS`] links.
    pub fn directory(&self, path: &str, create: Option<u32>) -> io::Result<Directory> {
        let (directory, _) = self.walk(path, false, create)?;
        Ok(directory)
    }

    /// Reads a regular file of at most [`limits::FILE_BYTES`], following links below the root. `None` when there is
    /// none, or a directory on the way to it is missing.
    ///
    /// # Errors
    /// As the system has it; anything but a regular file, and a larger one, is an error.
    pub fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match self.walk(path, true, None) {
            Ok((directory, name)) => directory.read(&name),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The names in the directory at `path`, sorted, at most [`limits::ENTRIES`] of them; none where there is no such
    /// directory.
    ///
    /// # Errors
    /// As the system has it, and when there are more.
    pub fn names(&self, path: &str) -> io::Result<Vec<OsString>> {
        let directory = match self.directory(path, None) {
            Ok(directory) => directory,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut names: Vec<OsString> = Vec::new();
        for entry in fs::Dir::read_from(&directory.fd)? {
            let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
            if name == "." || name == ".." {
                continue;
            }
            if names.len() == limits::ENTRIES {
                return Err(io::Error::other("it has too many entries"));
            }
            // There are few; the library's sort would be kilobytes of code.
            let (Ok(at) | Err(at)) = names.binary_search(&name);
            names.insert(at, name);
        }
        Ok(names)
    }

    /// Whether a socket is at `path`, following links below the root.
    #[must_use]
    pub fn is_socket(&self, path: &str) -> bool {
        let Ok((directory, name)) = self.walk(path, true, None) else { return false };
        fs::statat(&directory.fd, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Socket)
    }

    /// Walks `path`. With `to_file` the last component is left unopened, after its links are followed, and returned;
    /// else it is opened like the others.
    fn walk(&self, path: &str, to_file: bool, create: Option<u32>) -> io::Result<(Directory, OsString)> {
        let mut rest: VecDeque<OsString> = components(OsStr::new(path)).collect();
        let mut opened: Vec<OwnedFd> = Vec::new();
        let mut unsynced = Vec::new();
        let mut links_left = limits::LINKS;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                opened.pop();
                continue;
            }
            let here = opened.last().unwrap_or(&self.fd);
            let last_of_file = to_file && rest.is_empty();
            let failure = if last_of_file {
                None
            } else {
                let mode = create.map(|mode| if rest.is_empty() { mode } else { 0o755 });
                match open_directory(here, &name, mode) {
                    Ok((next, is_new)) => {
                        if is_new {
                            unsynced.push(here.try_clone()?);
                        }
                        opened.push(next);
                        continue;
                    }
                    Err(errno) => Some(errno),
                }
            };
            match fs::readlinkat(here, name.as_os_str(), Vec::new()) {
                Ok(target) => {
                    links_left = links_left.checked_sub(1).ok_or(Errno::LOOP)?;
                    let target = OsString::from_vec(target.into_bytes());
                    if target.as_bytes().starts_with(b"/") {
                        opened.clear();
                    }
                    for (at, component) in components(&target).enumerate() {
                        rest.insert(at, component);
                    }
                }
                // No link: the file itself, or what kept the directory from being opened.
                Err(Errno::INVAL | Errno::NOENT) => match failure {
                    None => return Ok((self.last(opened, unsynced)?, name)),
                    Some(errno) => return Err(errno.into()),
                },
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok((self.last(opened, unsynced)?, OsString::from(".")))
    }

    /// The last of the `opened` directories, or the root.
    fn last(&self, mut opened: Vec<OwnedFd>, unsynced: Vec<OwnedFd>) -> io::Result<Directory> {
        Ok(Directory::of(opened.pop().map_or_else(|| self.fd.try_clone(), Ok)?, unsynced))
    }
}

fn components(path: &OsStr) -> impl Iterator<Item = OsString> {
    let parts = path.as_bytes().split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.map(|part| OsString::from_vec(part.to_vec())).collect::<Vec<_>>().into_iter()
}

/// Opens a real directory, or makes it when `create` has a mode for it, which is told.
fn open_directory(here: &OwnedFd, name: &OsStr, create: Option<u32>) -> rustix::io::Result<(OwnedFd, bool)> {
    match (fs::openat(here, name, DIRECTORY, Mode::empty()), create) {
        (Err(Errno::NOENT), Some(mode)) => {
            match fs::mkdirat(here, name, Mode::from_raw_mode(mode)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            Ok((fs::openat(here, name, DIRECTORY, Mode::empty())?, true))
        }
        (result, _) => Ok((result?, false)),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::Scratch;
