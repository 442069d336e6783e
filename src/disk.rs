//! The node's disk below a root: paths that cannot lead out of it, and writes that are complete or not there at all.
//!
//! Every path is walked component by component on directory handles. Symbolic links are followed as a process inside
//! the root would follow them: an absolute target starts at the root again, `..` stops there. Works on every kernel;
//! `openat2` with `RESOLVE_IN_ROOT` needs Linux 5.6.

mod directory;
mod ownership;
mod lock;
mod caller_file;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;
use rustix::process;

use crate::limits;
pub use caller_file::{open_caller_file, remove_caller_file, write_caller_file};
pub use directory::{Directory, Staged, TEMPORARIES};
pub use lock::{Lock, RUNTIME};
pub use ownership::{Examined, Exposed, Stranger};

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What the kernel fills with entries at once, of which one takes at most 280 bytes (getdents64(2); `NAME_MAX` of
/// limits.h).
const ENTRIES_BYTES: usize = 8192;

/// Has files and directories made with the modes that are given for them, whatever umask the process was started with: a
/// mode that was set later would be the wrong one until then, and stay so after a crash.
pub fn clear_umask() {
    process::umask(Mode::empty());
}

/// What a path is walked for.
#[derive(Clone, Copy)]
enum Goal {
    /// The directory; what is missing is made where there is a mode for it.
    Directory(Option<u32>),
    /// A file, in a directory that nobody else can change.
    File,
    /// Whether a file is there, wherever it is.
    Sight,
}

/// What lies at a path.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// A file, a directory, or what else.
    pub kind: FileType,
    /// In bytes.
    pub size: u64,
    /// Device and inode.
    pub id: (u64, u64),
}

/// A directory that stands for `/`.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    /// As the caller names it.
    path: String,
    /// Whose it is.
    owner: u32,
    /// Whether a directory that others may write to is noted, and not refused.
    only_looks: bool,
    /// Those that nobody has asked for yet.
    strangers: RefCell<Vec<Stranger>>,
    known_strangers: RefCell<Vec<(u64, u64)>>,
}

impl Root {
    /// Opens the directory at `path`, which is the caller's word and may itself be a link.
    pub fn open(path: &Path) -> io::Result<Self> {
        let fd = fs::open(path, DIRECTORY.difference(OFlags::NOFOLLOW), Mode::empty())?;
        let owner = fs::fstat(&fd)?.st_uid;
        Ok(Self {
            fd,
            path: path.to_string_lossy().into_owned(),
            owner,
            only_looks: false,
            strangers: RefCell::default(),
            known_strangers: RefCell::default(),
        })
    }

    /// Has directories that others may write to noted instead of refused, for who believes nothing that lies there.
    #[must_use]
    pub fn only_looking(self) -> Self {
        Self { only_looks: true, ..self }
    }

    /// Opens the directory at `path`; with `create`, makes what is missing, the last component with that mode and its
    /// parents 0755. They are durable when the first thing in it is.
    ///
    /// # Errors
    /// The system's, and `ELOOP` for more than [`limits::LINKS`] links.
    pub fn directory(&self, path: &str, create: Option<u32>) -> io::Result<Directory> {
        let (directory, _) = self.walk(path, Goal::Directory(create))?;
        Ok(directory)
    }

    /// Reads a regular file of at most [`limits::FILE_BYTES`], following links below the root. `None` when there is
    /// none, or a directory on the way to it is missing.
    ///
    /// # Errors
    /// The system's, and for anything but a regular file, and a larger one.
    pub fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.examine(path)?.map(|file| file.bytes))
    }

    /// The names in the directory at `path`, sorted, at most [`limits::ENTRIES`] of them; none where there is no such
    /// directory.
    ///
    /// # Errors
    /// The system's, and when there are more.
    pub fn names(&self, path: &str) -> io::Result<Vec<OsString>> {
        let directory = match self.directory(path, None) {
            Ok(directory) => directory,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        // Anew: how far a handle has come is one for all that were made of it.
        let directory = fs::openat(&directory.fd, ".", DIRECTORY, Mode::empty())?;
        let mut names: Vec<OsString> = Vec::new();
        let mut buffer = Vec::with_capacity(ENTRIES_BYTES);
        let mut entries = RawDir::new(&directory, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
            if name == "." || name == ".." {
                continue;
            }
            if names.len() == limits::ENTRIES {
                return Err(io::Error::other("too many entries"));
            }
            // There are few; `sort` is 3,648 bytes more of the shipped program.
            let (Ok(at) | Err(at)) = names.binary_search(&name);
            names.insert(at, name);
        }
        Ok(names)
    }

    /// Whether a file of this kind is at `path`, following links below the root, even if another user put it there.
    pub fn has(&self, path: &str, kind: FileType) -> io::Result<bool> {
        Ok(self.look(path)?.is_some_and(|seen| seen.kind == kind))
    }

    /// What kind of file is at `path`, in a directory that nobody else can change: a link at its end is not followed,
    /// unless a slash stands behind it. `None` where there is nothing.
    pub fn kind(&self, path: &str) -> io::Result<Option<FileType>> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let name = if name.is_empty() { "." } else { name };
        let found = self
            .directory(parent, None)
            .and_then(|directory| Ok(fs::statat(&directory.fd, name, AtFlags::SYMLINK_NOFOLLOW)?));
        match found {
            Ok(found) => Ok(Some(FileType::from_raw_mode(found.st_mode))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// What is at `path`, following links below the root, even if another user put it there. `None` where there is nothing.
    pub fn look(&self, path: &str) -> io::Result<Option<Seen>> {
        let found = self.walk(path, Goal::Sight).and_then(|(directory, name)| {
            Ok(fs::statat(&directory.fd, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW)?)
        });
        match found {
            Ok(found) => Ok(Some(Seen {
                kind: FileType::from_raw_mode(found.st_mode),
                size: u64::try_from(found.st_size).unwrap_or_default(),
                id: (found.st_dev, found.st_ino),
            })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Walks `path`. Towards a file the last component is left unopened, after its links are followed, and returned; else
    /// it is opened like the others.
    fn walk(&self, path: &str, goal: Goal) -> io::Result<(Directory, OsString)> {
        let is_judged = !matches!(goal, Goal::Sight);
        if is_judged {
            self.check(self.fd.as_fd(), &[])?;
        }
        let mut names: Vec<OsString> = Vec::new();
        let mut rest: VecDeque<OsString> = components(OsStr::new(path)).collect();
        let mut opened: Vec<OwnedFd> = Vec::new();
        let mut unsynced = Vec::new();
        let mut links_left = limits::LINKS;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                opened.pop();
                names.pop();
                continue;
            }
            let here = opened.last().unwrap_or(&self.fd);
            let mode = match goal {
                Goal::Directory(create) => {
                    Some(create.map(|mode| if rest.is_empty() { mode } else { 0o755 }))
                }
                Goal::File | Goal::Sight => (!rest.is_empty()).then_some(None),
            };
            let failure = match mode.map(|mode| open_directory(here, &name, mode)) {
                None => None,
                Some(Ok((next, is_new))) => {
                    if is_new {
                        unsynced.push(here.try_clone()?);
                    }
                    names.push(name);
                    if is_judged {
                        self.check(next.as_fd(), &names)?;
                    }
                    opened.push(next);
                    continue;
                }
                Some(Err(errno)) => Some(errno),
            };
            match fs::readlinkat(here, name.as_os_str(), Vec::new()) {
                Ok(target) => {
                    links_left = links_left.checked_sub(1).ok_or(Errno::LOOP)?;
                    let target = OsString::from_vec(target.into_bytes());
                    if target.as_bytes().starts_with(b"/") {
                        opened.clear();
                        names.clear();
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

/// Opens a real directory, or makes it when `create` has a mode for it, which is returned.
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
