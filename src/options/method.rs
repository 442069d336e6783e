//! How the cluster is found, decided when a run needs it: a joined node needs nothing that only a join does.

use std::cell::OnceCell;

use super::discovery::{self, Discovery, decide};
use super::reader::{Reader, Wait};
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::trust::{Bundle, Pins};

/// How the cluster is found. What was said is checked; what is missing is told by [`Self::discovery`] only.
#[derive(Debug)]
pub struct Method {
    settings: Settings,
    given: Option<Bundle>,
    decided: OnceCell<Discovery>,
}

impl Method {
    /// Decides it, as far as that goes without waiting for anything.
    ///
    /// # Errors
    /// A usage error for what is wrong in itself, which no run takes: contradictory, or malformed.
    pub(super) fn of(settings: &Settings, pins: &Pins) -> Result<Self> {
        let mut given = None;
        let decided = OnceCell::new();
        if let Ok(discovery) = read(settings, pins, Reader::of_files(), &mut given)? {
            let _ = decided.set(discovery);
        }
        Ok(Self { settings: settings.clone(), given, decided })
    }

    /// The method, which a run needs now. What has to be read is waited for until the deadline.
    ///
    /// # Errors
    /// A usage error that names what is missing or unreadable.
    pub fn discovery(&self, wait: Wait) -> Result<&Discovery> {
        if let Some(decided) = self.decided.get() {
            return Ok(decided);
        }
        let pins = discovery::pins(&self.settings)?;
        let decided = read(&self.settings, &pins, Reader::waiting(wait), &mut None)??;
        Ok(self.decided.get_or_init(|| decided))
    }

    /// The method, where nothing is missing that is there to be read.
    #[must_use]
    pub fn decided(&self) -> Option<&Discovery> {
        self.decided.get()
    }

    /// The CAs that are given on the operator's word, where their file is there. Nobody was asked.
    #[must_use]
    pub fn authorities(&self) -> Option<&Bundle> {
        self.given.as_ref()
    }
}

/// The inner error is what is missing.
fn read(
    settings: &Settings,
    pins: &Pins,
    mut reader: Reader,
    given: &mut Option<Bundle>,
) -> Result<Result<Discovery>> {
    let mut settings = settings.clone();
    if let Some(unread) = settings.unread.take() {
        reader.note(unread);
    }
    settings.read_secrets(&mut reader)?;
    settings.refuse_secrets_in_the_open()?;
    let discovery = decide(&settings, pins, &mut reader, given)?;
    Ok(match (discovery, reader.missing()) {
        (Some(discovery), None) => Ok(discovery),
        (_, missing) => Err(missing.map_or_else(|| super::usage("API server address not set"), Error::from)),
    })
}
