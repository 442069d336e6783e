//! One open directory: files that are complete or not there at all, and when they are durable.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::iter;
use std::os::fd::OwnedFd;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;
use rustix::process;

use crate::limits;
use crate::read;
use crate::secret::Secret;

/// The name under which a file or a link is prepared, one for each directory: what a crash leaves, which may hold a
/// key, is overwritten by the next write there, whatever its name.
const TEMPORARY: &str = ".nodestrap.new";

/// The suffix of a file that waits for its moment ([`Directory::stage`]).
const STAGED: &str = ".nodestrap.staged";

/// Why a file does not get its name.
const STRANGER: &str = "replaced by another process";

/// Both names.
pub const TEMPORARIES: [&str; 2] = [TEMPORARY, STAGED];

/// An open directory below a root. Names given to it are single components.
#[derive(Debug)]
pub struct Directory {
    pub(super) fd: OwnedFd,
    /// Directories above it that got a new one on the way here, and are not synced yet.
    unsynced: RefCell<Vec<OwnedFd>>,
}

/// A file that is written and synced, and waits for its name. One that never gets it is removed again.
#[derive(Debug)]
pub struct Staged {
    directory: Directory,
    name: String,
    /// What was written.
    file: (u64, u64),
}

impl Directory {
    /// One that is open for reading already.
    pub(super) fn of(fd: OwnedFd, unsynced: Vec<OwnedFd>) -> Self {
        Self { fd, unsynced: RefCell::new(unsynced) }
    }

    /// Has what was made on the way to `parent` synced with this one.
    pub fn sync_with_parent(&self, parent: Self) {
        self.unsynced.borrow_mut().extend(parent.unsynced.into_inner());
    }

    /// Makes durable what was written, linked and removed here, and the way here.
    pub fn sync(&self) -> io::Result<()> {
        fs::fsync(&self.fd)?;
        for above in self.unsynced.take().iter().rev() {
            fs::fsync(above)?;
        }
        Ok(())
    }

    /// Reads a regular file of at most [`limits::FILE_BYTES`]; a link is not followed. `None` when there is none, or
    /// one that others know or may change: of another user, readable for others, or with a second name.
    ///
    /// # Errors
    /// The system's, and for anything but a regular file, and a larger one.
    pub fn read_private(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let found = self.read_with_metadata(OsStr::new(name))?;
        Ok(found.and_then(|(_, metadata, bytes)| is_private(&metadata).then_some(bytes)))
    }

    /// Whether `name` is a regular file of this user's with exactly this mode and content.
    pub fn has_contents(&self, name: &str, mode: u32, bytes: &[u8]) -> bool {
        let Ok(Some((_, metadata, found))) = self.read_with_metadata(OsStr::new(name)) else { return false };
        let found = Secret::new(found);
        is_own(&metadata) && metadata.st_mode & 0o7777 == mode && found.expose() == bytes
    }

    /// Reads a regular file as [`open_regular`] opens it, with its metadata; `None` where there is none.
    pub(super) fn read_with_metadata(&self, name: &OsStr) -> io::Result<Option<(File, Stat, Vec<u8>)>> {
        let Some((file, found)) = open_regular(&self.fd, name)? else { return Ok(None) };
        let file = File::from(file);
        let size = usize::try_from(found.st_size).unwrap_or_default();
        let mut bytes = Vec::with_capacity(size.min(limits::FILE_BYTES));
        read::to_end(&mut &file, &mut bytes, limits::FILE_BYTES + 1)?;
        if bytes.len() > limits::FILE_BYTES {
            return Err(io::Error::other("larger than 1 MiB"));
        }
        Ok(Some((file, found, bytes)))
    }

    /// Puts `bytes` under `name` so that at every moment, power cuts included, the name shows the old file or the
    /// complete new one: written beside it with its final mode, synced, renamed over it. That the name shows the new one
    /// is durable after [`Self::sync`].
    ///
    /// # Errors
    /// The system's; the temporary file is removed again.
    pub fn replace(&self, name: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.replace_by(TEMPORARY, name, mode, bytes)
    }

    pub(super) fn replace_by(&self, temporary: &str, name: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        let file = self.prepare(temporary, || self.write_and_sync(temporary, mode, bytes))?;
        self.rename(temporary, name, file)
    }

    /// Does all of [`Self::replace`] but the last: the file gets its name when it is [committed](Staged::commit).
    ///
    /// # Errors
    /// The system's; the temporary file is removed again.
    pub fn stage(self, name: &str, mode: u32, bytes: &[u8]) -> io::Result<Staged> {
        let file = self.prepare(STAGED, || self.write_and_sync(STAGED, mode, bytes))?;
        Ok(Staged { directory: self, name: name.to_owned(), file })
    }

    /// Has `make` make a temporary entry, or leaves none.
    fn prepare<T>(&self, temporary: &str, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.unlink(temporary)?; // left by a run that was interrupted
        make().inspect_err(|_| drop(self.unlink(temporary)))
    }

    /// Makes a file; whatever has the name already, a link included, is an error (open(2), `O_EXCL`). Returns its identity.
    pub(super) fn write_and_sync(&self, name: &str, mode: u32, bytes: &[u8]) -> io::Result<(u64, u64)> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(fs::openat(&self.fd, name, flags, Mode::from_raw_mode(mode))?);
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(identity(&fs::fstat(&file)?))
    }

    /// Removes what an interrupted write has left, which may hold a key.
    pub fn remove_temp(&self) -> io::Result<()> {
        self.remove(TEMPORARY)
    }

    /// Points the link `name` at `target`, atomically; durable after [`Self::sync`]. A regular file of that name is not
    /// replaced.
    ///
    /// # Errors
    /// The system's, and `AlreadyExists` when `name` is something else than a link.
    pub fn link(&self, name: &str, target: &str) -> io::Result<()> {
        match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if FileType::from_raw_mode(found.st_mode) != FileType::Symlink => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "a file exists where a symbolic link is expected",
                ));
            }
            Ok(_) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        let link = self.prepare(TEMPORARY, || {
            fs::symlinkat(target, &self.fd, TEMPORARY)?;
            self.look(TEMPORARY)
        })?;
        self.rename(TEMPORARY, name, link)?;
        if fs::readlinkat(&self.fd, name, Vec::new())?.as_bytes() == target.as_bytes() {
            return Ok(());
        }
        Err(self.refuse_stranger(name))
    }

    /// Renames `name`, a link itself and not its target, durably to `name` with this suffix, and a number behind it
    /// where that is taken: nothing is overwritten, even if another process makes such a file meanwhile. Returns the new name;
    /// `None` when there was none of the old.
    ///
    /// # Errors
    /// The system's, and when [`limits::ENTRIES`] of them are taken.
    pub fn move_aside(&self, name: &str, suffix: &str) -> io::Result<Option<String>> {
        if !self.has(name)? {
            return Ok(None);
        }
        let numbered = (2..=limits::ENTRIES).map(|number| format!("{name}{suffix}-{number}"));
        for aside in iter::once(format!("{name}{suffix}")).chain(numbered) {
            match self.rename_to_new(name, &aside) {
                Ok(()) => {
                    self.sync()?;
                    return Ok(Some(aside));
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(io::Error::other("too many entries"))
    }

    /// Renames `name`; `EEXIST` where the new name is taken.
    pub(super) fn rename_to_new(&self, name: &str, new: &str) -> rustix::io::Result<()> {
        match fs::renameat_with(&self.fd, name, &self.fd, new, RenameFlags::NOREPLACE) {
            // NFS and 9p have no such rename (renameat2(2)), and Linux before 3.15 has none at all.
            Err(Errno::INVAL | Errno::NOSYS) => {
                fs::linkat(&self.fd, name, &self.fd, new, AtFlags::empty())?;
                fs::unlinkat(&self.fd, name, AtFlags::empty())
            }
            result => result,
        }
    }

    /// Gives a temporary entry, which is `file`, its name, or leaves none. Whoever may change this directory can put
    /// something else there: before the rename, when the name keeps what it shows, or in the moment of it, when the name is
    /// taken away again.
    fn rename(&self, temporary: &str, name: &str, file: (u64, u64)) -> io::Result<()> {
        let renamed = self.look(temporary).and_then(|found| {
            if found != file {
                return Err(io::Error::other(STRANGER));
            }
            Ok(fs::renameat(&self.fd, temporary, &self.fd, name)?)
        });
        renamed.inspect_err(|_| drop(self.unlink(temporary)))?;
        if self.look(name)? == file { Ok(()) } else { Err(self.refuse_stranger(name)) }
    }

    /// Which file has this name, a link itself and not its target.
    fn look(&self, name: &str) -> io::Result<(u64, u64)> {
        Ok(identity(&fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// Removes what somebody else has put under a name that was just written.
    fn refuse_stranger(&self, name: &str) -> io::Error {
        let _ = self.unlink(name);
        io::Error::other(STRANGER)
    }

    /// Removes `name` durably, where it is there.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        if self.unlink(name)? { self.sync() } else { Ok(()) }
    }

    /// Removes `name`; durable after [`Self::sync`]. Whether it was there is returned.
    pub fn unlink(&self, name: &str) -> io::Result<bool> {
        match fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            // A read-only disk says so before it looks whether the name is there.
            Err(Errno::ROFS) if !self.has(name)? => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether anything has this name, a dangling link included.
    pub fn has(&self, name: &str) -> io::Result<bool> {
        match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Opens a regular file for reading, and returns what it is; `None` when there is none. Anything else stays closed: opening
/// a device can have an effect, such as starting a watchdog. So the name is looked at first, and what was opened is looked
/// at again.
///
/// # Errors
/// The system's, for anything but a regular file, and when the name changes hands all the time.
pub(super) fn open_regular(at: &OwnedFd, name: &OsStr) -> io::Result<Option<(OwnedFd, Stat)>> {
    // Should something take the file's place after the look: a FIFO without NONBLOCK would hold the program up.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    for _ in 0..limits::LOOKS {
        let seen = match fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(seen) => seen,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        if FileType::from_raw_mode(seen.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("not a regular file"));
        }
        let file = match fs::openat(at, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(errno.into()),
        };
        let opened = fs::fstat(&file)?;
        if identity(&opened) == identity(&seen) {
            return Ok(Some((file, opened)));
        }
    }
    Err(io::Error::other("replaced by another process"))
}

/// Which file it is, whatever its name.
pub(super) fn identity(file: &Stat) -> (u64, u64) {
    (file.st_dev, file.st_ino)
}

/// Whether a file is this user's.
pub(super) fn is_own(file: &Stat) -> bool {
    file.st_uid == process::geteuid().as_raw()
}

/// Whether a file is this user's, for nobody else's eyes, and under one name only.
pub(super) fn is_private(file: &Stat) -> bool {
    is_own(file) && file.st_nlink == 1 && matches!(file.st_mode & 0o077, 0)
}

impl Staged {
    /// Gives the file its name, over an older one, durably. If that fails, what was there before is still there.
    pub fn commit(self) -> io::Result<()> {
        self.directory.rename(STAGED, &self.name, self.file)?;
        self.directory.sync()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Not there any more after a commit.
        let _ = self.directory.unlink(STAGED);
    }
}
