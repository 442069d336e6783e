//! Files that are the caller's own, not the node's: at paths of the system, for which the caller answers. Links on the
//! way that another user has made are not followed: the kernel's own guard (`fs.protected_symlinks`, proc_sys_fs(5)) is
//! off by default, and knows sticky directories only.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use rustix::fs::{self, FileType, Mode, OFlags, PROC_SUPER_MAGIC, Stat};
use rustix::io::Errno;

use super::directory::{Directory, identity, is_own};
use super::{DIRECTORY, components};
use crate::limits;

/// A handle that only marks a location (open(2), `O_PATH`): a directory on the way need not be readable, and what is no
/// directory is not opened.
const LOCATION: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Where a path leads.
struct Location {
    directory: OwnedFd,
    /// In the directory. Not `.`, and no link but one that the kernel itself resolves (proc(5), `/proc/PID/fd`).
    name: OsString,
    /// What is there, if anything is.
    found: Option<Stat>,
    /// Whether the path ended in a link.
    is_behind_link: bool,
}

impl Location {
    fn has(&self, kind: FileType) -> bool {
        self.found.is_some_and(|found| FileType::from_raw_mode(found.st_mode) == kind)
    }

    /// Opens what is there, if it still is; never makes anything.
    fn open(&self, flags: OFlags) -> io::Result<File> {
        let is_kernels = self.has(FileType::Symlink);
        let flags = flags | OFlags::NOCTTY | OFlags::CLOEXEC;
        let flags = if is_kernels { flags } else { flags | OFlags::NOFOLLOW };
        let file = fs::openat(&self.directory, &self.name, flags, Mode::empty())?;
        let is_found =
            |found| is_kernels || fs::fstat(&file).is_ok_and(|file| identity(&file) == identity(&found));
        if !self.found.is_some_and(is_found) {
            return Err(io::Error::other("replaced by another process"));
        }
        Ok(file.into())
    }

    /// The directory, to change what is in it.
    fn directory(&self) -> io::Result<Directory> {
        let directory = fs::openat(&self.directory, ".", DIRECTORY, Mode::empty())?;
        Ok(Directory::of(directory, Vec::new()))
    }

    fn name(&self) -> io::Result<&str> {
        Ok(self.name.to_str().ok_or(io::ErrorKind::InvalidFilename)?)
    }
}

/// Opens a file that is the caller's own for reading, a FIFO too, whether or not anybody writes to it yet.
///
/// # Errors
/// The system's, and for a link of another user on the way.
pub fn open_caller_file(path: &Path) -> io::Result<File> {
    let location = walk(path, true)?;
    if location.found.is_none() {
        return Err(io::ErrorKind::NotFound.into());
    }
    location.open(OFlags::RDONLY | OFlags::NONBLOCK)
}

/// Writes a file that is the caller's own, not the node's: atomically where a regular file belongs, so that a power cut
/// leaves the old or the new one, straight into anything else that is there (a console, a FIFO that somebody reads, what
/// a link leads to). `-` is standard output.
///
/// # Errors
/// The system's, and for a link of another user on the way.
pub fn write_caller_file(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    // By descriptor: a socket, such as that of systemd's journal, cannot be opened by name.
    match path.to_str() {
        Some("-" | "/dev/stdout") => return io::stdout().write_all(bytes),
        Some("/dev/stderr") => return io::stderr().write_all(bytes),
        _ => {}
    }
    let location = walk(path, true)?;
    if location.found.is_some() && (location.is_behind_link || !location.has(FileType::RegularFile)) {
        let mut file = location.open(OFlags::WRONLY | OFlags::NONBLOCK)?;
        if file.metadata()?.is_file() {
            file.set_len(0)?;
        }
        return file.write_all(bytes);
    }
    let name = location.name()?;
    // Several runs may report into one directory, or one file. What a killed run has left under such a name stays: the
    // directory may be shared with other machines or PID namespaces, where no look at this one's processes tells whether
    // that run still writes. It is small and holds no secret.
    let temporary = format!(".{name}.{}.new", std::process::id());
    location.directory()?.replace_by(&temporary, name, mode, bytes)
}

/// Removes a file that is the caller's own, durably, unless it is something else than a regular file: a FIFO, a link.
/// `false` when that is so and it stays.
///
/// # Errors
/// The system's, and for a link of another user on the way. A file that is not there is not an error.
pub fn remove_caller_file(path: &Path) -> io::Result<bool> {
    match walk(path, false) {
        Ok(location) if location.found.is_none() => Ok(true),
        Ok(location) if location.has(FileType::RegularFile) => {
            location.directory()?.remove(location.name()?).map(|()| true)
        }
        Ok(_) => Ok(false),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(e),
    }
}

/// Finds where a path leads; `follows` says whether a link at its end is followed.
fn walk(path: &Path, follows: bool) -> io::Result<Location> {
    let top = || fs::open("/", LOCATION | OFlags::DIRECTORY, Mode::empty());
    let root = top()?;
    let owner = fs::fstat(&root)?.st_uid;
    let mut directory =
        if path.is_absolute() { root } else { fs::open(".", LOCATION | OFlags::DIRECTORY, Mode::empty())? };
    let mut rest: VecDeque<OsString> = components(path.as_os_str()).collect();
    let (mut links_left, mut is_behind_link) = (limits::LINKS, false);
    while let Some(name) = rest.pop_front() {
        let is_last = rest.is_empty();
        let entry = match fs::openat(&directory, &name, LOCATION, Mode::empty()) {
            Ok(entry) => entry,
            Err(Errno::NOENT) if is_last => {
                return Ok(Location { directory, name, found: None, is_behind_link });
            }
            Err(errno) => return Err(errno.into()),
        };
        let found = fs::fstat(&entry)?;
        let is_link = FileType::from_raw_mode(found.st_mode) == FileType::Symlink;
        if is_last && !(is_link && follows) {
            return Ok(Location { directory, name, found: Some(found), is_behind_link });
        }
        if !is_link {
            directory = entry;
            continue;
        }
        links_left = links_left.checked_sub(1).ok_or(Errno::LOOP)?;
        if !may_follow(&found, &fs::fstat(&directory)?, owner) {
            let message = format!("{} is a symbolic link of another user", name.to_string_lossy());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        is_behind_link |= is_last;
        // Where those of procfs lead, their text does not say.
        if fs::fstatfs(&directory)?.f_type == PROC_SUPER_MAGIC {
            if is_last {
                return Ok(Location { directory, name, found: Some(found), is_behind_link });
            }
            directory = fs::openat(&directory, &name, LOCATION.difference(OFlags::NOFOLLOW), Mode::empty())?;
            continue;
        }
        let target = OsString::from_vec(fs::readlinkat(&entry, "", Vec::new())?.into_bytes());
        if target.as_bytes().starts_with(b"/") {
            directory = top()?;
        }
        for (at, component) in components(&target).enumerate() {
            rest.insert(at, component);
        }
    }
    Err(io::ErrorKind::InvalidFilename.into())
}

/// Whether a link is one's own or root's. In a user namespace root's links belong to the owner of `/`, an ID that may also
/// stand for others: theirs could be where everybody may write.
pub(super) fn may_follow(link: &Stat, directory: &Stat, owner: u32) -> bool {
    link.st_uid == 0 || is_own(link) || link.st_uid == owner && directory.st_mode & 0o002 == 0
}
