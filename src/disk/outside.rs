//! Files that are the caller's own, not the node's: at paths of the system, which he answers for.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::Path;

use rustix::fs::{self, Mode, OFlags};

use super::{Directory, Root};

/// Writes a file that is the caller's own, not the node's: atomically where a regular file belongs, so that a power cut
/// leaves the old or the new one, straight into anything else that is there (a console, a FIFO that somebody reads, what
/// a link leads to). `-` is standard output.
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
    if is_no_file(path) {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NONBLOCK | OFlags::CLOEXEC;
        return std::fs::File::from(fs::open(path, flags, Mode::from_raw_mode(mode))?).write_all(bytes);
    }
    let (parent, name) = outside(path)?;
    // Several runs may report into one directory, or one file. What a killed run has left under such a name stays: the
    // directory may be shared with other machines or PID namespaces, where no look at this one's processes tells whether
    // that run still writes. It is small and holds no secret.
    let temporary = format!(".{name}.{}.new", std::process::id());
    Directory::of(Root::open(parent)?).replace_by(&temporary, name, mode, bytes)
}

/// Removes a file that is the caller's own, durably, unless it is something else than a regular file: a FIFO, a link.
/// `false` when that is so and it stays.
///
/// # Errors
/// As the system has it. A file that is not there is none.
pub fn remove_outside(path: &Path) -> io::Result<bool> {
    if is_no_file(path) {
        return Ok(false);
    }
    let (parent, name) = outside(path)?;
    match Root::open(parent) {
        Ok(parent) => Directory::of(parent).remove(name).map(|()| true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(e),
    }
}

/// Whether something else than a regular file is there.
fn is_no_file(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| !found.is_file())
}

/// The directory and the name in it of a path that is the caller's own.
fn outside(path: &Path) -> io::Result<(&Path, &str)> {
    let name = path.file_name().and_then(OsStr::to_str).ok_or(io::ErrorKind::InvalidFilename)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((parent, name))
}
