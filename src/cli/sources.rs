//! Sources beside the command line: each holds a complete value, a token, a join command or a configuration.
//!
//! There is no key per field: what a cluster's administrator hands out is one command or one file, and it is passed on
//! as it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::env_file::{self, Variables};
use super::flags::Flag;
use super::settings::{Form, Origin, Settings};
use super::{args, join_configuration};
use crate::clock::{Clock, SystemClock};
use crate::disk;
use crate::error::{Result, usage};
use crate::input::Reader;
use crate::sanitize::sanitize;
use crate::secret::Secret;

/// The kernel's command line (proc(5)).
const KERNEL_COMMAND_LINE: &str = "/proc/cmdline";

/// What the process finds around it. Passed in, so that tests can set it.
#[derive(Debug)]
pub struct SettingSources {
    /// What the deadlines of sources that have to be waited for go by.
    pub clock: Arc<dyn Clock>,
    /// systemd's `$CREDENTIALS_DIRECTORY`, which holds `nodestrap.token`, `nodestrap.join`, `nodestrap.config`.
    pub credentials: Option<PathBuf>,
    /// The kernel's command line with `nodestrap.token=`, `nodestrap.join="…"`, `nodestrap.config=BASE64`.
    pub kernel_command_line: Option<Secret<String>>,
    /// `NODESTRAP_TOKEN`.
    pub token: Option<Secret<String>>,
    /// `NODESTRAP_JOIN`.
    pub join: Option<Secret<String>>,
    /// `NODESTRAP_CONFIG`, the text itself.
    pub config: Option<Secret<String>>,
    /// The first of these sources that is not text: what it says must not be passed over.
    pub unreadable: Option<&'static str>,
    /// The names of variables that are named for flags, and are not read.
    pub unknown: Vec<String>,
}

/// Nothing around it, but for the time.
impl Default for SettingSources {
    fn default() -> Self {
        let [token, join, config, kernel_command_line] = [const { None }; 4];
        Self {
            clock: Arc::new(SystemClock::start()),
            credentials: None,
            kernel_command_line,
            token,
            join,
            config,
            unreadable: None,
            unknown: Vec::new(),
        }
    }
}

impl SettingSources {
    /// Those of this process.
    pub fn of_process(clock: Arc<dyn Clock>) -> Self {
        let mut unreadable = None;
        let mut variable = |name| {
            let value = std::env::var_os(name)?.into_string();
            if value.is_err() {
                unreadable = Some(name);
            }
            value.ok().filter(|text| !text.is_empty()).map(Secret::new)
        };
        let [token, join, config] =
            ["NODESTRAP_TOKEN", "NODESTRAP_JOIN", "NODESTRAP_CONFIG"].map(&mut variable);
        let line = disk::open_caller_file(Path::new(KERNEL_COMMAND_LINE))
            .and_then(|file| Reader::of_files().bytes(&file));
        let line = line.map(|line| line.expose().clone()).unwrap_or_default();
        // Without settings of ours, other people's bytes do not matter.
        let is_ours = line.windows(10).any(|part| part == b"nodestrap.");
        let line = String::from_utf8(line);
        if is_ours && line.is_err() {
            unreadable = Some("the kernel command line");
        }
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        Self {
            unknown: names.filter(|name| env_file::is_for_flag(name)).map(|name| sanitize(&name)).collect(),
            clock,
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            kernel_command_line: line.ok().map(Secret::new),
            token,
            join,
            config,
            unreadable,
        }
    }

    /// Reads all of them into `settings`; what `reader` misses of them is noted there. Variables of a file count over those
    /// of the process.
    ///
    /// # Errors
    /// A usage error that names the source and never quotes it.
    pub(super) fn read(
        &self,
        variables: &Variables,
        settings: &mut Settings,
        reader: &mut Reader,
    ) -> Result<()> {
        if let Some(source) = self.unreadable {
            return Err(usage(format!("{source} is not UTF-8")).with_help("correct it"));
        }
        if let Some(directory) = &self.credentials {
            let [mut join, mut config] = [const { None }; 2];
            for (form, text) in [(Form::Words, &mut join), (Form::Configuration, &mut config)] {
                let place = settings.place(Origin::Credential, form);
                let path = directory.join(place.rsplit(' ').next().unwrap_or_default());
                if !matches!(path.try_exists(), Ok(false)) {
                    *text = reader.read(&place, &path.to_string_lossy(), &path)?;
                }
            }
            apply_source(None, join.as_ref(), config.as_ref(), Origin::Credential, settings)?;
            let token = directory.join("nodestrap.token");
            if !matches!(token.try_exists(), Ok(false)) {
                settings.form = Form::Token;
                let token = token.to_string_lossy().into_owned();
                settings.put_file(Flag::Token, token, Origin::Credential);
            }
        }
        let [mut token, mut join, mut config] = [const { None }; 3];
        for (name, value) in
            kernel_parameters(self.kernel_command_line.as_ref().map_or("", |line| line.expose()))
        {
            match name {
                "nodestrap.token" => token = Some(Secret::new(value)),
                "nodestrap.join" => join = Some(Secret::new(value)),
                "nodestrap.config" => {
                    let bytes = STANDARD.decode(&value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                    let text = bytes.ok_or_else(|| {
                        usage("nodestrap.config on the kernel command line is not base64-encoded text")
                    })?;
                    config = Some(Secret::new(text));
                }
                _ if name.starts_with("nodestrap.") => {
                    settings.no_effect.push(format!("{} on the kernel command line", sanitize(name)));
                }
                _ => {}
            }
        }
        apply_source(token.as_ref(), join.as_ref(), config.as_ref(), Origin::KernelCommandLine, settings)?;
        let variable = |name, own: &Option<Secret<String>>| match variables.get(name) {
            Some(text) => Some(Secret::new(text.to_owned())).filter(|text| !text.expose().is_empty()),
            None => own.clone(),
        };
        let token = variable("NODESTRAP_TOKEN", &self.token);
        let join = variable("NODESTRAP_JOIN", &self.join);
        let config = variable("NODESTRAP_CONFIG", &self.config);
        apply_source(token.as_ref(), join.as_ref(), config.as_ref(), Origin::Environment, settings)
    }
}

/// Puts what one source carries. The simplest thing is of the highest precedence: a token beside a join command is the
/// token to use.
fn apply_source(
    token: Option<&Secret<String>>,
    join: Option<&Secret<String>>,
    config: Option<&Secret<String>>,
    origin: Origin,
    settings: &mut Settings,
) -> Result<()> {
    if let Some(text) = config {
        join_configuration::read(text.expose(), origin, settings)?;
    }
    if let Some(line) = join {
        settings.form = Form::Words;
        args::read_line(line.expose(), origin, settings)?;
    }
    if let Some(token) = token {
        settings.form = Form::Token;
        let text = token.expose().trim_end_matches(['\r', '\n']).to_owned();
        settings.put(Flag::Token, text, origin);
    }
    Ok(())
}

/// The parameters of a kernel command line: words by spaces, where double quotes keep spaces together
/// (`lib/cmdline.c`, `next_arg`).
fn kernel_parameters(line: &str) -> impl Iterator<Item = (&str, String)> {
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        if rest.is_empty() {
            return None;
        }
        let mut quoted = false;
        let end = rest
            .find(|c: char| {
                quoted ^= c == '"';
                c.is_ascii_whitespace() && !quoted
            })
            .unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        rest = tail;
        // The whole parameter may stand in quotes, or its value only.
        let word = word.strip_prefix('"').unwrap_or(word);
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        Some((name, value.replace('"', "")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_parameters_keep_quoted_spaces() {
        let line =
            "BOOT_IMAGE=/vmlinuz quiet nodestrap.join=\"kubeadm join h:1 --token t\" \"nodestrap.x=a b\" y\n";
        let found: Vec<_> = kernel_parameters(line).collect();
        let expected = [
            ("BOOT_IMAGE", "/vmlinuz"),
            ("quiet", ""),
            ("nodestrap.join", "kubeadm join h:1 --token t"),
            ("nodestrap.x", "a b"),
            ("y", ""),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name, value.to_owned())));
    }
}
