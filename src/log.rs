//! The log: one line per event on standard error, sent to the service manager too, and what a command was asked for on
//! standard output. The only printer.
//!
//! It is given checked and public values, and what others say; what must not be seen in that it is told once
//! ([`Log::hide`]).

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::rc::Rc;

use rustix::fs::fstat;

use crate::error::{Error, ErrorKind, Result, Step};
use crate::mask::masked;
use crate::retry::Pause;
use crate::sanitize::one_line;
use crate::sd_notify::Notify;
use crate::secret::{Hidden, Secret};

/// Where lines go, and what they must not show.
#[derive(Debug, Default)]
pub struct Log {
    /// The service manager, which gets the same lines.
    manager: Option<Notify>,
    hidden: Rc<RefCell<Hidden>>,
    /// Names of hosts and of the node that are in use: they are shown, whatever shape they have.
    names: RefCell<Vec<String>>,
    quiet: bool,
    /// Whether lines begin with their priority.
    journal: bool,
}

/// What a line of the journal begins with (sd-daemon(3)), which takes it off again. A line without any has priority 6.
mod priority {
    pub const ERROR: &str = "<3>";
    pub const WARNING: &str = "<4>";
    pub const INFO: &str = "";
}

impl Log {
    /// A log that prints its lines on standard error and sends them to `manager`.
    pub fn new(manager: Option<Notify>) -> Self {
        Self { manager, ..Self::default() }
    }

    /// Tells the journal the priority of each line, where standard error is the journal: where it is the stream that
    /// systemd names in `$JOURNAL_STREAM`, given here.
    #[must_use]
    pub fn with_priorities(mut self, journal_stream: Option<&OsStr>) -> Self {
        self.journal = journal_stream.is_some_and(|named| is_stream(std::io::stderr(), named));
        self
    }

    /// A log that prints nothing.
    #[cfg(any(test, feature = "testing"))]
    pub fn silent() -> Self {
        Self { quiet: true, ..Self::default() }
    }

    /// From now on no line shows `secret`, also where a server repeats it.
    pub fn hide(&self, secret: &Secret<String>) {
        self.hidden.borrow_mut().add(secret.expose());
    }

    /// What no line shows, for who meets secrets later.
    pub(crate) fn hidden(&self) -> Rc<RefCell<Hidden>> {
        Rc::clone(&self.hidden)
    }

    /// Notes the name of a host or a node that is in use, and so no secret that is in the wrong place.
    pub fn show_name(&self, name: &str) {
        let mut names = self.names.borrow_mut();
        // Others cannot look like a token.
        if name.contains('.') && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }

    /// Takes back what was noted of names: they are in use no more.
    pub fn forget_names(&self) {
        self.names.borrow_mut().clear();
    }

    /// A text without what nobody may see of it.
    pub fn redact(&self, text: &str) -> String {
        masked(&self.hidden.borrow().mask(text), &self.names.borrow())
    }

    /// Prints one event. A closed standard error is not a reason to stop.
    pub fn info(&self, line: &str) {
        self.event(priority::INFO, line);
    }

    /// Prints a warning.
    pub fn warn(&self, warning: &str) {
        self.event(priority::WARNING, &["warning: ", warning].concat());
    }

    /// Prints why an attempt failed that is made again, where that is news.
    pub fn retry(&self, pause: &Pause) {
        if let Some(line) = pause.line() {
            self.info(&line);
        }
    }

    /// Prints the failure that ended the run: what happened, and what to do about it. The service manager gets both in
    /// one message.
    pub fn error(&self, error: &Error) {
        let line = |text: String| self.redact(&text);
        let what = line(["error: ", &error.summary()].concat());
        let help = error.help().map(|help| line(["help: ", &help].concat()));
        match &help {
            Some(help) => self.status(&[&what, "; ", help].concat()),
            None => self.status(&what),
        }
        self.line(priority::ERROR, &what);
        if let Some(help) = help {
            self.line(priority::ERROR, &help);
        }
    }

    /// Tells the service manager that the run has ended well, and how.
    pub fn ready(&self, outcome: &str) {
        if let Some(manager) = &self.manager {
            manager.ready(&self.redact(outcome));
        }
    }

    /// Prints what a command was asked for, on standard output, where another program may read it.
    ///
    /// # Errors
    /// [`ErrorKind::Files`] when not all of it can be written: its reader would miss something.
    pub fn print(&self, text: &str) -> Result<()> {
        if self.quiet {
            return Ok(());
        }
        let mut output = std::io::stdout().lock();
        output.write_all(self.redact(text).as_bytes()).and_then(|()| output.flush()).map_err(|e| {
            let what = "cannot write to standard output";
            Error::new(Step::Files, ErrorKind::Files, what)
                .with_help("check where it is redirected to")
                .caused_by(e)
        })
    }

    fn event(&self, priority: &str, line: &str) {
        let line = self.redact(&one_line(line));
        self.status(&line);
        self.line(priority, &line);
    }

    fn status(&self, line: &str) {
        if let Some(manager) = &self.manager {
            manager.status(line);
        }
    }

    fn line(&self, priority: &str, line: &str) {
        if !self.quiet {
            let priority = if self.journal { priority } else { "" };
            let _ = std::io::stderr().lock().write_all(format!("{priority}nodestrap: {line}\n").as_bytes());
        }
    }
}

/// Whether `file` is the stream of this name, `DEVICE:INODE` in decimals (systemd.exec(5), `$JOURNAL_STREAM`). The variable
/// alone says nothing: a program whose output was redirected, to the console for example, inherits it.
fn is_stream(file: impl AsFd, named: &OsStr) -> bool {
    fstat(file).is_ok_and(|stat| named == format!("{}:{}", stat.st_dev, stat.st_ino).as_str())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_stream_is_known_by_its_device_and_inode() {
        let (stream, other) = UnixStream::pair().expect("two sockets");
        let stat = fstat(&stream).expect("its metadata");
        let (device, inode) = (stat.st_dev, stat.st_ino);
        let is = |named: &str| is_stream(&stream, OsStr::new(named));
        assert!(is(&format!("{device}:{inode}")));
        for named in [
            String::new(),
            ":".into(),
            "0:0".into(),
            inode.to_string(),
            format!("{device}:"),
            format!(":{inode}"),
            format!("{inode}:{device}"),
            format!("{}:{inode}", device + 1),
            format!("{device}:{}", inode + 1),
            format!("{device}:{inode}\n"),
            format!(" {device}:{inode}"),
            format!("{device}:0{inode}"),
        ] {
            assert!(!is(&named), "{named:?}");
        }
        assert!(!is_stream(&other, OsStr::new(&format!("{device}:{inode}"))), "another socket");
    }
}
