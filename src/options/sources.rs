//! Sources beside the command line: each carries one whole thing, a token, a join line or a configuration.
//!
//! There is no key per field: what a cluster's administrator hands out is one line or one file, and it is passed on as
//! it is.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::settings::{Origin, Settings, Takes};
use super::{configuration, flags, usage};
use crate::disk;
use crate::error::{Error, Result, foreign};
use crate::limits;
use crate::secret::Secret;

/// The kernel's command line (proc(5)).
const KERNEL_COMMAND_LINE: &str = "/proc/cmdline";

/// What the process finds around it. Passed in, so that tests can set it.
#[derive(Debug, Default)]
pub struct Surroundings {
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
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty()).map(Secret::new);
        Self {
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            kernel_command_line: std::fs::read_to_string(KERNEL_COMMAND_LINE).ok().map(Secret::new),
            token: variable("NODESTRAP_TOKEN"),
            join: variable("NODESTRAP_JOIN"),
            config: variable("NODESTRAP_CONFIG"),
        }
    }

    /// Reads all of them into `settings`.
    ///
    /// # Errors
    /// A usage error that names the source and never quotes it.
    pub(super) fn read(&self, settings: &mut Settings) -> Result<()> {
        let [mut token, mut join, mut config] = [const { None }; 3];
        if let Some(directory) = &self.credentials {
            for (name, text) in [
                ("nodestrap.token", &mut token),
                ("nodestrap.join", &mut join),
                ("nodestrap.config", &mut config),
            ] {
                let path = directory.join(name);
                if path.exists() {
                    *text = Some(read_file(&path)?);
                }
            }
        }
        whole(token.as_ref(), join.as_ref(), config.as_ref(), Origin::Credential, settings)?;
        let [mut token, mut join, mut config] = [const { None }; 3];
        for (name, value) in
            kernel_parameters(self.kernel_command_line.as_ref().map_or("", |line| line.expose()))
        {
            match name {
                "nodestrap.token" => token = Some(Secret::new(value)),
                "nodestrap.join" => join = Some(Secret::new(value)),
                "nodestrap.config" => {
                    let bytes = STANDARD.decode(&value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                    let text = bytes
                        .ok_or_else(|| usage("nodestrap.config on the kernel command line is no base64"))?;
                    config = Some(Secret::new(text));
                }
                _ => {}
            }
        }
        whole(token.as_ref(), join.as_ref(), config.as_ref(), Origin::KernelCommandLine, settings)?;
        whole(self.token.as_ref(), self.join.as_ref(), self.config.as_ref(), Origin::Environment, settings)
    }
}

/// Puts what one source carries. The simplest thing is the strongest: a token beside a join line is the token to use.
fn whole(
    token: Option<&Secret<String>>,
    join: Option<&Secret<String>>,
    config: Option<&Secret<String>>,
    origin: Origin,
    settings: &mut Settings,
) -> Result<()> {
    if let Some(text) = config {
        configuration::read(text.expose(), origin, settings)?;
    }
    if let Some(line) = join {
        flags::read_line(line.expose(), origin, settings)?;
    }
    if let Some(token) = token {
        let text = token.expose().trim_end_matches(['\r', '\n']).to_owned();
        settings.put("token", Takes::Secret, false, text, origin);
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

/// Reads a file that the caller named, `-` for standard input: text of at most [`limits::FILE_BYTES`].
///
/// # Errors
/// A usage error that names the file.
pub(super) fn read_file(path: &Path) -> Result<Secret<String>> {
    let shown = || foreign(&path.display().to_string());
    let failed = |e: std::io::Error| -> Error { usage(format!("{} cannot be read", shown())).caused_by(e) };
    // Tokens and join lines fit at once; a buffer that grows leaves copies of secrets behind.
    let mut text = String::with_capacity(8192);
    let most = limits::FILE_BYTES + 1;
    if path == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_string(&mut text).map_err(failed)?;
    } else {
        disk::open_outside(path)
            .and_then(|file| file.take(most).read_to_string(&mut text))
            .map_err(failed)?;
    }
    let text = Secret::new(text);
    if text.expose().len() as u64 >= most {
        return Err(usage(format!("{} is larger than 1 MiB", shown())));
    }
    Ok(text)
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
