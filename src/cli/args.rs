//! Words to settings: the program's own arguments, and a join command that another source holds.

use std::ffi::OsString;

use lexopt::{Arg, Parser, ValueExt as _};

use super::flags::{Flag, Kind};
use super::settings::{Form, Origin, Settings};
use super::words::{self, Rules};
use crate::error::{Result, usage};
use crate::sanitize::sanitize;

/// What the words ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Join,
    CaHash,
    Verify,
    Check,
    Help,
    Version,
}

impl Verb {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "join" => Self::Join,
            "ca-hash" => Self::CaHash,
            "verify" => Self::Verify,
            "check" => Self::Check,
            "help" => Self::Help,
            _ => return None,
        })
    }
}

/// Reads arguments, without the program's name, into `settings` as far as they make sense.
///
/// # Errors
/// A usage error that names the flag, never its value: that may be a secret in the wrong place.
pub(super) fn read(
    arguments: impl IntoIterator<Item = OsString>,
    origin: Origin,
    settings: &mut Settings,
) -> Result<Option<Verb>> {
    let mut parser = Parser::from_args(arguments);
    let mut verb = None;
    let mut words = 0;
    // Each flag takes its value below, so that none is left over here; lexopt's own message would quote it.
    let invalid = |_| usage("invalid command line").with_help("see nodestrap --help");
    while let Some(argument) = parser.next().map_err(invalid)? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Some(Verb::Help)),
            Arg::Short('V') | Arg::Long("version") => return Ok(Some(Verb::Version)),
            Arg::Long(name) => {
                let name = name.to_owned();
                option(&name, &mut parser, origin, settings)?;
            }
            Arg::Short('v') => {
                option(Flag::Verbosity.row().name, &mut parser, origin, settings)?;
            }
            Arg::Short(_) => return Err(usage("unknown option").with_help("see nodestrap --help")),
            Arg::Value(word) => {
                let word = text("the API server", word)?;
                match (verb, word.as_str()) {
                    // The printed join command begins with the program that it was printed for.
                    (None, "kubeadm") => {}
                    (None, word) => match Verb::parse(word) {
                        Some(Verb::Help) => return Ok(Some(Verb::Help)),
                        None => {
                            return Err(usage("unknown command")
                                .with_help("the commands are join, ca-hash, verify, check"));
                        }
                        known => verb = known,
                    },
                    (Some(Verb::Join), _) if words == 0 => {
                        settings.put(Flag::Endpoint, word, origin);
                        words = 1;
                    }
                    (Some(Verb::CaHash), _) if words == 0 => {
                        settings.put(Flag::File, word, origin);
                        words = 1;
                    }
                    (Some(Verb::Join), _) => {
                        return Err(usage("more than one API server argument")
                            .with_help("separate endpoints by commas: HOST:PORT,HOST:PORT"));
                    }
                    (Some(Verb::CaHash), _) => return Err(usage("ca-hash expects one FILE")),
                    _ => {
                        return Err(
                            usage("this command expects flags only").with_help("see nodestrap --help")
                        );
                    }
                }
            }
        }
    }
    Ok(verb)
}

/// Reads a join command as `kubeadm token create --print-join-command` prints it, or as people keep it for a shell: in
/// quotes, over several lines, behind `sudo`.
///
/// # Errors
/// A usage error that names the flag, never its value, and for what is not a join command.
pub(super) fn read_line(line: &str, origin: Origin, settings: &mut Settings) -> Result<()> {
    let place = settings.place(origin, Form::Words);
    let words = words::split(line, Rules::Shell)
        .map_err(|problem| usage(format!("{place} cannot be read: {problem}")).with_help("correct it"))?;
    let is_before = |word: &String| matches!(word.as_str(), "sudo" | "kubeadm") || word.ends_with("/kubeadm");
    let words: Vec<_> = words.into_iter().skip_while(is_before).map(OsString::from).collect();
    let verb =
        if words.first().is_some_and(|word| word == "join" || word.as_encoded_bytes().starts_with(b"-")) {
            read(words, origin, settings).map_err(|e| e.with_note(&format!(" (in {place})")))?
        } else {
            None
        };
    if verb != Some(Verb::Join) {
        return Err(usage(format!("{place}: expected a \"kubeadm join\" command"))
            .with_help("it begins with: kubeadm join"));
    }
    Ok(())
}

fn option(name: &str, parser: &mut Parser, origin: Origin, settings: &mut Settings) -> Result<()> {
    let Some((flag, in_file)) = Flag::named(name) else {
        // A flag's name is shown, a value that lost its flag is not.
        let is_name = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        let shown = if is_name { [" --", &sanitize(name)].concat() } else { String::new() };
        let error = usage(format!("unknown option{shown}"));
        return Err(match Flag::near(name) {
            Some(near) => error.with_help(format!("did you mean --{near}?")),
            None => error.with_help("see nodestrap --help"),
        });
    };
    let value = match flag.row().kind {
        Kind::Switch => match parser.optional_value() {
            None => "true".to_owned(),
            Some(value) if value == "true" || value == "false" => text(name, value)?,
            Some(_) => return Err(usage(format!("--{name} expects true or false"))),
        },
        _ => {
            let attached = parser.optional_value();
            let is_attached = attached.is_some();
            match attached.map_or_else(|| parser.value(), Ok) {
                // An empty variable in a script leaves the next flag in the value's place.
                Ok(value) if is_attached || !value.as_encoded_bytes().starts_with(b"--") => {
                    text(name, value)?
                }
                _ => return Err(usage(format!("--{name} expects a value"))),
            }
        }
    };
    if let (Flag::KubeletExtraArg, Some((name, value))) = (flag, value.split_once('=')) {
        settings.put_kubelet_flag(name.trim_start_matches('-'), value, origin);
    }
    if flag.row().kind == Kind::Ignored {
        if !value.is_empty() {
            settings.put(flag, "", origin);
        }
    } else if in_file {
        settings.put_file(flag, value, origin);
    } else {
        settings.put(flag, value, origin);
    }
    Ok(())
}

fn text(what: &str, value: OsString) -> Result<String> {
    value.string().map_err(|_| usage(format!("{what}: the value is not UTF-8")))
}
