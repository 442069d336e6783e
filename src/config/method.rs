//! The discovery method, decided when a run needs it: a joined node needs nothing that only a join does.

use std::cell::OnceCell;

use super::discovery::{self, discovery_method};
use crate::cli::Settings;
use crate::discovery::Method;
use crate::error::{Error, Result, usage};
use crate::input::{Reader, Wait};
use crate::trust::{CaBundle, Pins};

/// The discovery method. What was given is checked; what is missing is an error of [`Self::get`] only.
#[derive(Debug)]
pub struct LazyMethod {
    settings: Settings,
    ca: Option<CaBundle>,
    known: OnceCell<Method>,
}

impl LazyMethod {
    /// Decides it, as far as that goes without waiting for anything.
    ///
    /// # Errors
    /// A usage error for what is wrong in itself, which no run accepts: contradictory, or malformed.
    pub(super) fn of(settings: &Settings, pins: &Pins) -> Result<Self> {
        let mut reader = Reader::of_files();
        let (ca, method) = read(settings, pins, &mut reader)?;
        let known = OnceCell::new();
        if let (Some(method), None) = (method, reader.missing()) {
            let _ = known.set(method);
        }
        Ok(Self { settings: settings.clone(), ca, known })
    }

    /// The method, which a run needs now. What has to be read is waited for until the deadline.
    ///
    /// # Errors
    /// A usage error that names what is missing or unreadable.
    pub fn get(&self, wait: Wait) -> Result<&Method> {
        if let Some(known) = self.known.get() {
            return Ok(known);
        }
        let pins = discovery::pins(&self.settings)?;
        let mut reader = Reader::waiting(wait);
        match (read(&self.settings, &pins, &mut reader)?, reader.missing()) {
            ((_, Some(method)), None) => Ok(self.known.get_or_init(|| method)),
            (_, missing) => Err(missing.map_or_else(|| usage("API server address not set"), Error::from)),
        }
    }

    /// The method, where nothing is missing that is there to be read.
    pub fn known(&self) -> Option<&Method> {
        self.known.get()
    }

    /// The CAs of a static configuration, where their file is there. Nobody was asked.
    pub fn ca(&self) -> Option<&CaBundle> {
        self.ca.as_ref()
    }
}

fn read(settings: &Settings, pins: &Pins, reader: &mut Reader) -> Result<(Option<CaBundle>, Option<Method>)> {
    let mut settings = settings.clone();
    if let Some(unread) = settings.unread.take() {
        reader.note(unread);
    }
    let token_file = discovery::token_file(&mut settings);
    settings.read_secrets(reader)?;
    settings.refuse_secrets_in_the_open()?;
    discovery_method(&settings, pins, token_file, reader)
}
