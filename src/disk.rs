//! The node's disk below a root: paths that cannot lead out of it, and writes that are whole or not there at all.
//!
//! Every path is walked component by component on directory handles. Symbolic links are followed as a process inside
//! the root would follow them: an absolute target starts at the root again, `..` stops there. Works on every kernel;
//! `openat2` with `RESOLVE_IN_ROOT` needs Linux 5.6.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::limits;
use crate::secret::Secret;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The name under which a file or a link is prepared, one for each directory: what a crash leaves, which may hold a
/// key, is overwritten by the next write there, whatever its name.
pub const TEMPORARY: &str = ".nodestrap.new";

/// A directory that stands for `/`.
#[derive(Debug)]
pub struct Root(OwnedFd);

/// An open directory below a root. Names given to it are single components.
#[derive(Debug)]
pub struct Directory(OwnedFd);

impl Root {
    /// Opens the directory at `path`, which is the caller's word and may itself be a link.
    ///
    /// # Errors
    /// As the system has it.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(fs::open(path, DIRECTORY.difference(OFlags::NOFOLLOW), Mode::empty())?))
    }

    /// Keeps other processes that ask out of this root until this process ends. `false` when another one is in.
    ///
    /// # Errors
    /// As the system has it.
    pub fn try_lock(&self) -> io::Result<bool> {
        match fs::flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Opens the directory at `path`; with `create`, makes what is missing, the last component with that mode and its
    /// parents 0755, each durable before it is used.
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
        for entry in fs::Dir::read_from(&directory.0)? {
            let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
            if name == "." || name == ".." {
                continue;
            }
            if names.len() == limits::ENTRIES {
                return Err(io::Error::other("it has too many entries"));
            }
            // There are few; the library's sort would be kilobytes of code.
            names.insert(names.partition_point(|other| *other < name), name);
        }
        Ok(names)
    }

    /// Whether a socket is at `path`, following links below the root.
    #[must_use]
    pub fn is_socket(&self, path: &str) -> bool {
        let Ok((directory, name)) = self.walk(path, true, None) else { return false };
        fs::statat(&directory.0, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Socket)
    }

    /// Walks `path`. With `to_file` the last component is left unopened, after its links are followed, and returned;
    /// else it is opened like the others.
    fn walk(&self, path: &str, to_file: bool, create: Option<u32>) -> io::Result<(Directory, OsString)> {
        let mut rest: VecDeque<OsString> = components(OsStr::new(path)).collect();
        let mut opened: Vec<OwnedFd> = vec![self.0.try_clone()?];
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                if opened.len() > 1 {
                    opened.pop();
                }
                continue;
            }
            let here = opened.last().ok_or(io::ErrorKind::NotFound)?;
            let last_of_file = to_file && rest.is_empty();
            let failure = if last_of_file {
                Errno::LOOP
            } else {
                let mode = create.map(|mode| if rest.is_empty() { mode } else { 0o755 });
                match open_directory(here, &name, mode) {
                    Ok(next) => {
                        opened.push(next);
                        continue;
                    }
                    Err(errno) => errno,
                }
            };
            match fs::readlinkat(here, name.as_os_str(), Vec::new()) {
                Ok(target) => {
                    links += 1;
                    if links > limits::LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = OsString::from_vec(target.into_bytes());
                    if target.as_bytes().starts_with(b"/") {
                        opened.truncate(1);
                    }
                    for (at, component) in components(&target).enumerate() {
                        rest.insert(at, component);
                    }
                }
                Err(_) if last_of_file => {
                    return Ok((Directory(opened.pop().ok_or(io::ErrorKind::NotFound)?), name));
                }
                Err(_) => return Err(failure.into()),
            }
        }
        Ok((Directory(opened.pop().ok_or(io::ErrorKind::NotFound)?), OsString::from(".")))
    }
}

fn components(path: &OsStr) -> impl Iterator<Item = OsString> {
    let parts = path.as_bytes().split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.map(|part| OsString::from_vec(part.to_vec())).collect::<Vec<_>>().into_iter()
}

/// Opens a real directory, or makes it when `create` has a mode for it.
fn open_directory(here: &OwnedFd, name: &OsStr, create: Option<u32>) -> rustix::io::Result<OwnedFd> {
    match (fs::openat(here, name, DIRECTORY, Mode::empty()), create) {
        (Err(Errno::NOENT), Some(mode)) => {
            match fs::mkdirat(here, name, Mode::from_raw_mode(mode)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            let new = fs::openat(here, name, DIRECTORY, Mode::empty())?;
            fs::fchmod(&new, Mode::from_raw_mode(mode))?; // whatever the umask says
            fs::fsync(here)?;
            Ok(new)
        }
        (result, _) => result,
    }
}

impl Directory {
    /// Reads a regular file of at most [`limits::FILE_BYTES`]; a link is not followed. `None` when there is none.
    ///
    /// # Errors
    /// As the system has it; anything but a regular file, and a larger one, is an error.
    pub fn read(&self, name: impl AsRef<OsStr>) -> io::Result<Option<Vec<u8>>> {
        Ok(self.read_with_mode(name.as_ref())?.map(|(_, bytes)| bytes))
    }

    /// Whether `name` is a regular file with exactly this mode and content.
    #[must_use]
    pub fn holds(&self, name: &str, mode: u32, bytes: &[u8]) -> bool {
        let Ok(Some((found_mode, found))) = self.read_with_mode(OsStr::new(name)) else { return false };
        let found = Secret::new(found);
        found_mode == mode && found.expose() == bytes
    }

    fn read_with_mode(&self, name: &OsStr) -> io::Result<Option<(u32, Vec<u8>)>> {
        // Without NONBLOCK a planted FIFO would hold the program up.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let found = fs::fstat(&file)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("not a regular file"));
        }
        let size = u64::try_from(found.st_size).unwrap_or_default().min(limits::FILE_BYTES);
        // Of the right size at once: a buffer that grows leaves copies of secrets behind.
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
        std::fs::File::from(file).take(limits::FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limits::FILE_BYTES {
            return Err(io::Error::other("larger than 1 MiB"));
        }
        Ok(Some((found.st_mode & 0o7777, bytes)))
    }

    /// Puts `bytes` under `name` so that at every moment, power cuts included, the name shows the old file or the
    /// whole new one: written beside it with its final mode, synced, renamed over it, the directory synced.
    ///
    /// # Errors
    /// As the system has it; the temporary file is removed again.
    pub fn replace(&self, name: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.replace_by(TEMPORARY, name, mode, bytes)
    }

    fn replace_by(&self, temporary: &str, name: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.unlink(temporary)?; // left by a run that was interrupted
        let written = self.write_new(temporary, mode, bytes).and_then(|()| self.rename(temporary, name));
        if written.is_err() {
            let _ = self.unlink(temporary);
        }
        written
    }

    fn write_new(&self, name: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = std::fs::File::from(fs::openat(&self.0, name, flags, Mode::from_raw_mode(mode))?);
        fs::fchmod(&file, Mode::from_raw_mode(mode))?; // a umask can only have taken bits away
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Removes what an interrupted write has left, which may hold a key.
    ///
    /// # Errors
    /// As the system has it.
    pub fn clear(&self) -> io::Result<()> {
        self.remove(TEMPORARY).map(|_| ())
    }

    /// Points the link `name` at `target`, atomically and durably. A regular file of that name is not replaced.
    ///
    /// # Errors
    /// As the system has it; `AlreadyExists` when `name` is something else than a link.
    pub fn link(&self, name: &str, target: &str) -> io::Result<()> {
        match fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if FileType::from_raw_mode(found.st_mode) != FileType::Symlink => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "there is a file where a link belongs",
                ));
            }
            Ok(_) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.unlink(TEMPORARY)?;
        fs::symlinkat(target, &self.0, TEMPORARY)?;
        self.rename(TEMPORARY, name)
    }

    /// The names in this directory, as far as they are UTF-8, sorted.
    ///
    /// # Errors
    /// As the system has it.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&self.0)? {
            if let Ok(name) = entry?.file_name().to_str() {
                names.insert(names.partition_point(|other: &String| other.as_str() < name), name.to_owned());
            }
        }
        Ok(names)
    }

    /// Renames `name`, a link itself and not its target, durably to `name` with this ending, and a number behind it
    /// where that is taken: nothing is overwritten. Returns the new name; `None` when there was none of the old.
    ///
    /// # Errors
    /// As the system has it.
    pub fn set_aside(&self, name: &str, ending: &str) -> io::Result<Option<String>> {
        if !self.has(name)? {
            return Ok(None);
        }
        let mut aside = format!("{name}{ending}");
        let mut number = 1;
        while self.has(&aside)? {
            number += 1;
            aside = format!("{name}{ending}-{number}");
        }
        self.rename(name, &aside)?;
        Ok(Some(aside))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::renameat(&self.0, from, &self.0, to)?;
        Ok(fs::fsync(&self.0)?)
    }

    /// Removes `name` durably. Whether it was there is returned.
    ///
    /// # Errors
    /// As the system has it.
    pub fn remove(&self, name: &str) -> io::Result<bool> {
        let was_there = self.unlink(name)?;
        if was_there {
            fs::fsync(&self.0)?;
        }
        Ok(was_there)
    }

    fn unlink(&self, name: &str) -> io::Result<bool> {
        match fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            // A read-only disk says so before it looks whether the name is there.
            Err(Errno::ROFS) if !self.has(name)? => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether anything has this name, a link that leads nowhere included.
    fn has(&self, name: &str) -> io::Result<bool> {
        match fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Writes a file that is the caller's own, not the node's: atomically and durably where a regular file belongs, straight
/// into anything else that is there (a console, a FIFO that somebody reads, what a link leads to). `-` is standard
/// output.
///
/// # Errors
/// As the system has it.
pub fn write_outside(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    // By descriptor: a socket, such as that of systemd's journal, cannot be opened by name.
    match path.to_str() {
        Some("-" | "/dev/stdout") => return io::stdout().write_all(bytes),
        Some("/dev/stderr") => return io::stderr().write_all(bytes),
        _ => {}
    }
    if std::fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NONBLOCK | OFlags::CLOEXEC;
        return std::fs::File::from(fs::open(path, flags, Mode::from_raw_mode(mode))?).write_all(bytes);
    }
    let (parent, name) = outside(path)?;
    // Several runs may report into one directory, or one file.
    let temporary = format!(".{name}.{}.new", std::process::id());
    Directory(Root::open(parent)?.0).replace_by(&temporary, name, mode, bytes)
}

/// Removes a file that is the caller's own, durably, unless it is something else than a regular file: a FIFO, a link.
/// `false` when that is so and it stays.
///
/// # Errors
/// As the system has it. A file that is not there is none.
pub fn remove_outside(path: &Path) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => return Ok(false),
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let (parent, name) = outside(path)?;
    match Root::open(parent) {
        Ok(parent) => Directory(parent.0).remove(name).map(|_| true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(e),
    }
}

/// The directory and the name in it of a path that is the caller's own.
fn outside(path: &Path) -> io::Result<(&Path, &str)> {
    let name = path.file_name().and_then(OsStr::to_str).ok_or(io::ErrorKind::InvalidFilename)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((parent, name))
}

#[cfg(test)]
mod tests;
