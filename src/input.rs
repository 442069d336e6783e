//! The one reader of what settings name: files, pipes, standard input.
//!
//! What is there is read at once. A pipe is waited for until the deadline: that nobody writes to it yet, and that no
//! byte has come, is not its end. What is missing, empty or unreadable is noted and no error before the run needs it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::clock::{Clock, Deadline};
use crate::disk;
use crate::error::{Error, Result, usage};
use crate::limits;
use crate::read;
use crate::secret::Secret;

/// Standard input, where a file is named.
pub(crate) const STANDARD_INPUT: &str = "-";

/// How long a reader may wait for what is not there yet.
#[derive(Clone, Debug)]
pub struct Wait {
    /// What the deadline goes by.
    pub clock: Arc<dyn Clock>,
    /// Until when.
    pub deadline: Deadline,
}

/// Reads what settings name.
#[derive(Debug)]
pub struct Reader {
    /// Without it only regular files are read, and nothing else is opened: who writes to a pipe writes once.
    wait: Option<Wait>,
    /// The first thing that was not there.
    missing: Option<Missing>,
}

/// Something that is not there, which only a run that needs it reports.
#[derive(Clone, Debug)]
pub struct Missing {
    what: String,
    help: Option<&'static str>,
    cause: Option<String>,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)?;
        self.cause.as_ref().map_or(Ok(()), |cause| write!(f, ": {cause}"))
    }
}

impl From<Missing> for Error {
    fn from(Missing { what, help, cause }: Missing) -> Self {
        let mut error = usage(what);
        if let Some(help) = help {
            error = error.with_help(help);
        }
        match cause {
            Some(cause) => error.caused_by(cause),
            None => error,
        }
    }
}

impl Reader {
    /// A reader of what is there already.
    pub(crate) fn of_files() -> Self {
        Self { wait: None, missing: None }
    }

    /// A reader that waits for what is not there yet.
    pub(crate) fn waiting(wait: Wait) -> Self {
        Self { wait: Some(wait), missing: None }
    }

    /// Notes that something is missing, and what to do about it; of several the first is reported.
    pub(crate) fn lacks<T>(&mut self, what: impl Into<String>, help: Option<&'static str>) -> Option<T> {
        self.note(Missing { what: what.into(), help, cause: None });
        None
    }

    /// Notes what another reader has missed.
    pub(crate) fn note(&mut self, missing: Missing) {
        self.missing.get_or_insert(missing);
    }

    /// The first thing that was missing.
    pub(crate) fn missing(self) -> Option<Missing> {
        self.missing
    }

    /// The text that `setting` names, of at most [`limits::FILE_BYTES`]; `-` is standard input. `None` where it is
    /// missing.
    ///
    /// # Errors
    /// A usage error for what is there and not text, or too long.
    pub(crate) fn text(&mut self, setting: &str, name: &str) -> Result<Option<Secret<String>>> {
        self.read(setting, name, Path::new(name))
    }

    /// Reads the file at `path` that has been found for `name`, such as one beside the file that names it.
    ///
    /// # Errors
    /// A usage error for what is there and not text, or too long.
    pub(crate) fn read(&mut self, setting: &str, name: &str, path: &Path) -> Result<Option<Secret<String>>> {
        let text = self.text_or_nothing(setting, name, path)?;
        if text.as_ref().is_some_and(|text| text.expose().trim().is_empty()) {
            return Ok(self.lacks(format!("{} is empty", read_from(setting, name)), Some("write it again")));
        }
        Ok(text)
    }

    /// Reads a file that may be empty.
    ///
    /// # Errors
    /// A usage error for what is there and not text, or too long.
    pub(crate) fn text_or_nothing(
        &mut self,
        setting: &str,
        name: &str,
        path: &Path,
    ) -> Result<Option<Secret<String>>> {
        let who = shown(setting, name);
        if self.wait.is_none()
            && (path == Path::new(STANDARD_INPUT) || fs::metadata(path).is_ok_and(|found| !found.is_file()))
        {
            return Ok(self.lacks(format!("{who} is read when it is needed"), None));
        }
        // Not through the library's buffer: it would keep what was read, and a poll does not see it.
        let file = if path == Path::new(STANDARD_INPUT) {
            io::stdin().as_fd().try_clone_to_owned().map(File::from)
        } else {
            disk::open_caller_file(path)
        };
        let bytes = match file.and_then(|file| self.bytes(&file)) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::TimedOut => {
                let what = format!("{who}: no end of file by the deadline");
                return Ok(self.lacks(what, Some("write to it and close it")));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Ok(
                    self.lacks(format!("{who}: not found"), Some("create the file, or correct its path"))
                );
            }
            Err(e) => {
                let cause = Some(e.to_string());
                self.note(Missing { what: format!("{who} cannot be read"), help: None, cause });
                return Ok(None);
            }
        };
        let who = read_from(setting, name);
        if bytes.expose().len() > limits::FILE_BYTES {
            return Err(usage(format!("{who} is larger than 1 MiB")));
        }
        let text = std::str::from_utf8(bytes.expose());
        let text = text.map_err(|_| usage(format!("{who} is not UTF-8 text")))?;
        Ok(Some(Secret::new(text.to_owned())))
    }

    /// All bytes to the end, or one more than may be.
    pub(crate) fn bytes(&self, file: &File) -> io::Result<Secret<Vec<u8>>> {
        // Tokens and join commands fit at once.
        let mut secret = Secret::new(Vec::new());
        let mut source = Source { file, wait: self.wait.as_ref() };
        read::to_end(&mut source, secret.expose_mut(), limits::FILE_BYTES + 1)?;
        Ok(secret)
    }
}

/// What is read, and waited for.
struct Source<'a> {
    file: &'a File,
    wait: Option<&'a Wait>,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(wait) = self.wait {
            wait.until_readable(self.file)?;
        }
        self.file.read(buffer).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::Interrupted.into(),
            _ => e,
        })
    }
}

impl Wait {
    /// Waits until there is a byte, or an end: a pipe that nobody has opened for writing yet has neither (poll(2)).
    fn until_readable(&self, source: &File) -> io::Result<()> {
        loop {
            let left = self.deadline.left(&*self.clock).ok_or(io::ErrorKind::TimedOut)?;
            // Rounded up: a poll of no time at all would spin.
            let left = Timespec::try_from(left + Duration::from_millis(1)).ok();
            match poll(&mut [PollFd::new(source, PollFlags::IN)], left.as_ref()) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// How a message names what a setting names, before it was read. Only what is surely a path is shown: in the place of a
/// file's name there may be a secret that was given to the wrong flag.
fn shown(setting: &str, name: &str) -> String {
    match name {
        STANDARD_INPUT => format!("{setting}: standard input"),
        _ if name.starts_with('/') => format!("{setting}: {name}"),
        _ => format!("{setting}: the given file (not shown: it may be a secret)"),
    }
}

/// How a message names what a setting names, after it was read: there is such a file.
pub(crate) fn read_from(setting: &str, name: &str) -> String {
    if name == STANDARD_INPUT { shown(setting, name) } else { format!("{setting}: {name}") }
}

#[cfg(test)]
mod tests;
