//! What the program is called with: flags, and the other sources of settings, before they mean anything.
//!
//! Flags and spellings are those of `kubeadm join` (`cmd/kubeadm/app/cmd/join.go`), so that the command that `kubeadm
//! token create --print-join-command` prints is taken as it is. One table has them all ([`Flag`]): a flag is one row of
//! it.

mod args;
mod duration;
mod env_file;
mod flags;
mod help;
mod join_configuration;
mod settings;
mod sources;
mod words;

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

pub(crate) use args::Verb;
pub(crate) use env_file::Variables;
pub(crate) use flags::{Flag, Kind};
pub use help::help;
pub(crate) use settings::Settings;
pub use sources::SettingSources;

use crate::clock::{Clock, Deadline};
use crate::error::{Result, usage};
use crate::input::{Missing, Reader, Wait};
use crate::limits;
use settings::Origin;

/// What the program was called with, and what else the machine says: from all sources, before it means anything.
#[derive(Debug, Default)]
pub struct Invocation {
    pub(crate) settings: Settings,
    pub(crate) verb: Option<Verb>,
    clock: Option<Arc<dyn Clock>>,
    variables: Variables,
}

impl Invocation {
    /// Reads the arguments (without the program's name), and for a join what else the machine says. What could be read
    /// before an error counts: the report goes where it was asked for.
    ///
    /// # Errors
    /// A usage error that names flag or source, never its value: that may be a secret in the wrong place.
    pub fn read(
        &mut self,
        arguments: impl IntoIterator<Item = OsString>,
        sources: &SettingSources,
    ) -> Result<()> {
        self.clock = Some(sources.clock.clone());
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        self.verb = args::read(arguments.iter().cloned(), Origin::Flags, &mut self.settings)?;
        if !matches!(self.verb, Some(Verb::Join | Verb::Verify)) {
            return Ok(());
        }
        let missing = self.read_env_file(arguments)?;
        let mut reader = self.reader()?;
        if let Some(missing) = missing {
            reader.note(missing);
        }
        let settings = &mut self.settings;
        settings.no_effect.extend(self.variables.unknown.iter().chain(&sources.unknown).cloned());
        sources.read(&self.variables, settings, &mut reader)?;
        if let Some(file) = settings.value(Flag::Config).map(str::to_owned)
            && let Some(text) = reader.text(&settings.label(Flag::Config), &file)?
        {
            join_configuration::read(text.expose(), Origin::Configuration, settings)?;
        }
        // What is missing may not be missed: that, the join finds out.
        settings.unread = reader.missing();
        settings.reads_standard_input_once()
    }

    /// A reader that waits as long as a run may.
    pub(crate) fn reader(&self) -> Result<Reader> {
        let Some(clock) = self.clock.clone() else { return Ok(Reader::of_files()) };
        let cap = self.settings.duration(Flag::Timeout)?.map(Deadline::at);
        let timeout = self.settings.duration(Flag::DiscoveryTimeout)?.unwrap_or(limits::DISCOVERY);
        let deadline = Deadline::after(&*clock, timeout).earlier(cap);
        Ok(Reader::waiting(Wait { clock, deadline }))
    }

    /// Reads the file of variables, where one is given. Its arguments come behind the own ones, as in the unit. Returns
    /// what is missing.
    fn read_env_file(&mut self, mut arguments: Vec<OsString>) -> Result<Option<Missing>> {
        let Some(file) = self.settings.value(Flag::EnvFile).map(str::to_owned) else { return Ok(None) };
        let mut reader = self.reader()?;
        let Some(text) =
            reader.text_or_nothing(&self.settings.label(Flag::EnvFile), &file, Path::new(&file))?
        else {
            return Ok(reader.missing());
        };
        self.variables = Variables::parse(text.expose());
        let more = self.variables.arguments();
        let more = more.map_err(|problem| {
            usage(format!("NODESTRAP_ARGS cannot be read: {problem}")).with_help("correct it")
        })?;
        if !more.is_empty() {
            arguments.extend(more.into_iter().map(OsString::from));
            self.settings = Settings::default();
            self.verb = args::read(arguments, Origin::Flags, &mut self.settings)?;
        }
        if self.settings.value(Flag::EnvFile) == Some(&file) {
            return Ok(None);
        }
        Err(usage("--env-file is not valid in NODESTRAP_ARGS").with_help("put the variables into one file"))
    }

    /// A variable of the environment, where the file of variables has it; an empty one is unset.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name)
    }

    /// Whether anything says which cluster to join, or by what right, also a source that cannot be read. An image may have
    /// the other settings for all of its machines.
    pub fn names_cluster(&self) -> bool {
        let is_set = |flag: Flag| flag.names_cluster() && self.settings.is_set(flag);
        self.settings.unread.is_some() || Flag::ALL.into_iter().any(is_set)
    }

    /// Where the report goes, if anywhere.
    pub fn report(&self) -> Option<&Path> {
        self.settings.value(Flag::Report).map(Path::new)
    }
}

#[cfg(test)]
mod tests {
    mod completions;
    mod documents;
}
