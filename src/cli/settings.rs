//! Settings: each with its value and its source, before it means anything.
//!
//! Every source, from a JoinConfiguration to the command line, says the same things under the same names, those of the
//! flags. The source of higher precedence wins whatever the order in which sources are read.

mod shown;

use std::time::Duration;

use super::duration;
use super::flags::{Flag, Kind};
use crate::error::{Error, Result, usage};
use crate::input::{Missing, Reader, read_from};
use crate::secret::Secret;

/// Where a value came from, in increasing precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A JoinConfiguration file.
    Configuration,
    /// A systemd credential.
    Credential,
    /// The kernel command line.
    KernelCommandLine,
    /// The environment.
    Environment,
    /// The program's own command line.
    Flags,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Configuration => "configuration",
            Self::Credential => "credential",
            Self::KernelCommandLine => "kernel command line",
            Self::Environment => "environment",
            Self::Flags => "command line",
        })
    }
}

/// What a source consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// Words: a command line, or a join command.
    #[default]
    Words,
    /// A JoinConfiguration.
    Configuration,
    /// A token, and nothing else.
    Token,
}

/// The flags of the kubelet that mean the same here: one of them among the kubelet's arguments is that setting too.
/// The node's name (`pkg/util/node`, `GetHostname`), and where files are (`cmd/kubelet/app/options`).
const KUBELET_FLAGS: [Flag; 3] = [Flag::HostnameOverride, Flag::Kubeconfig, Flag::CertDir];

/// What was said about one setting.
#[derive(Clone, Debug)]
struct Setting {
    origin: Origin,
    form: Form,
    values: Vec<Secret<String>>,
    /// The file that holds the secret, `-` for standard input.
    file: Option<String>,
}

/// What all sources together say.
#[derive(Clone, Debug)]
pub struct Settings {
    set: [Option<Setting>; Flag::ALL.len()],
    /// What the source consists of that is being read.
    pub(crate) form: Form,
    /// Fields of a configuration that nobody knows; `--strict` makes them an error.
    pub(crate) unknown: Vec<String>,
    /// Fields of a configuration that have no effect here.
    pub(crate) no_effect: Vec<String>,
    /// A source that is named and cannot be read. What it would say is not known.
    pub(crate) unread: Option<Missing>,
}

/// Nothing is set.
impl Default for Settings {
    fn default() -> Self {
        let set = [const { None }; Flag::ALL.len()];
        Self { set, form: Form::default(), unknown: Vec::new(), no_effect: Vec::new(), unread: None }
    }
}

impl Settings {
    /// Takes a value, unless a source of higher precedence has set it. Of one source the last word counts, lists grow.
    pub(crate) fn put(&mut self, flag: Flag, value: impl Into<String>, origin: Origin) {
        self.insert(flag, value.into(), None, origin);
    }

    /// Takes the file that holds a secret, by the same rules.
    pub(crate) fn put_file(&mut self, flag: Flag, file: String, origin: Origin) {
        self.insert(flag, String::new(), Some(file), origin);
    }

    fn insert(&mut self, flag: Flag, value: String, file: Option<String>, origin: Origin) {
        let form = self.form;
        let kind = flag.row().kind;
        let values: Vec<_> = match kind {
            Kind::List => value.split(',').map(|part| Secret::new(part.to_owned())).collect(),
            _ => vec![Secret::new(value)],
        };
        match &mut self.set[flag as usize] {
            Some(setting) if setting.origin > origin => {}
            Some(setting) if setting.origin == origin && matches!(kind, Kind::List | Kind::Each) => {
                setting.values.extend(values);
            }
            place => *place = Some(Setting { origin, form, values, file }),
        }
    }

    /// Takes an argument of the kubelet, if it is one of [`KUBELET_FLAGS`].
    pub(crate) fn put_kubelet_flag(&mut self, name: &str, value: &str, origin: Origin) {
        if let Some(flag) = KUBELET_FLAGS.into_iter().find(|flag| flag.row().name == name) {
            self.put(flag, value, origin);
        }
    }

    fn get(&self, flag: Flag) -> Option<&Setting> {
        self.set[flag as usize].as_ref()
    }

    /// All that is set, in the order of the table.
    fn all(&self) -> impl Iterator<Item = (Flag, &Setting)> {
        Flag::ALL.into_iter().filter_map(|flag| Some((flag, self.get(flag)?)))
    }

    /// Where a setting comes from, if it is set and not in a file that was not there.
    pub(crate) fn origin(&self, flag: Flag) -> Option<Origin> {
        self.get(flag).filter(|setting| !setting.values.is_empty()).map(|setting| setting.origin)
    }

    /// Whether a setting is set, also by a file that has not been read.
    pub(crate) fn is_set(&self, flag: Flag) -> bool {
        self.get(flag).is_some()
    }

    /// The last value of a setting.
    pub(crate) fn value(&self, flag: Flag) -> Option<&str> {
        Some(self.get(flag)?.values.last()?.expose())
    }

    /// The first setting that is none of these.
    pub(crate) fn first_unexpected(&self, flags: &[Flag]) -> Option<Flag> {
        self.all().map(|(flag, _)| flag).find(|flag| !flags.contains(flag))
    }

    /// All values of a list.
    pub(crate) fn list(&self, flag: Flag) -> impl Iterator<Item = &str> {
        let values = self.get(flag).into_iter().flat_map(|setting| &setting.values);
        values.map(|value| value.expose().as_str())
    }

    /// Whether a switch is on.
    pub(crate) fn is_on(&self, flag: Flag) -> bool {
        self.value(flag) == Some("true")
    }

    /// The file that holds a secret.
    pub(crate) fn secret_file(&self, flag: Flag) -> Option<&str> {
        self.get(flag)?.file.as_deref()
    }

    /// Takes a secret's setting out that names a file, so that the file is not read yet: its label and its name.
    pub(crate) fn take_file(&mut self, flag: Flag) -> Option<(String, String)> {
        let label = self.label(flag);
        let file = self.get(flag)?.file.clone()?;
        self.set[flag as usize] = None;
        Some((label, file))
    }

    /// Replaces each `-file` by what is in it, without the line break at its end. A setting whose file is missing is left
    /// without a value.
    ///
    /// # Errors
    /// A usage error for a file that is there and not text, or too long.
    pub(crate) fn read_secrets(&mut self, reader: &mut Reader) -> Result<()> {
        for flag in Flag::ALL {
            let Some(setting) = self.get(flag) else { continue };
            let Some(file) = &setting.file else { continue };
            let who = match setting.form {
                Form::Token => self.place(setting.origin, setting.form),
                _ => self.label_of(flag, setting),
            };
            let text = reader.text(&who, file)?;
            let value = text.map(|text| Secret::new(text.expose().trim_end_matches(['\r', '\n']).to_owned()));
            if let Some(setting) = &mut self.set[flag as usize] {
                setting.values = value.into_iter().collect();
            }
        }
        Ok(())
    }

    /// The files that flags name for secrets.
    pub(crate) fn secret_files(&self) -> impl Iterator<Item = &str> {
        let named = self.all().filter(|(_, setting)| setting.form != Form::Token);
        named.filter_map(|(_, setting)| setting.file.as_deref())
    }

    /// Whether a setting comes from a JoinConfiguration.
    pub(crate) fn is_configured(&self, flag: Flag) -> bool {
        self.get(flag).is_some_and(|setting| setting.form == Form::Configuration)
    }

    /// How a message names a setting: with its source, where that is not the command line.
    pub(crate) fn label(&self, flag: Flag) -> String {
        match self.get(flag) {
            Some(setting) => self.label_of(flag, setting),
            None => format!("--{}", flag.row().name),
        }
    }

    fn label_of(&self, flag: Flag, setting: &Setting) -> String {
        let row = flag.row();
        let suffix = if setting.file.is_some() { "-file" } else { "" };
        let shown = match row.kind {
            Kind::Positional => row.value.to_owned(),
            _ => ["--", row.name, suffix].concat(),
        };
        match setting.origin {
            Origin::Flags => shown,
            origin => format!("{shown} ({})", self.place(origin, setting.form)),
        }
    }

    /// How a message names a source.
    pub(crate) fn place(&self, origin: Origin, form: Form) -> String {
        let (name, variable) = match form {
            Form::Words => ("nodestrap.join", "NODESTRAP_JOIN"),
            Form::Configuration => ("nodestrap.config", "NODESTRAP_CONFIG"),
            Form::Token => ("nodestrap.token", "NODESTRAP_TOKEN"),
        };
        match origin {
            Origin::Configuration => read_from("--config", self.value(Flag::Config).unwrap_or_default()),
            Origin::Credential => format!("the credential {name}"),
            Origin::KernelCommandLine => format!("{name} on the kernel command line"),
            Origin::Environment => variable.to_owned(),
            Origin::Flags => "the command line".to_owned(),
        }
    }

    /// Of two settings that mean the same the one of higher precedence; of one source, the first.
    pub(crate) fn preferred(&self, flags: [Flag; 2]) -> Option<(Flag, &str)> {
        let [first, second] = flags.map(|flag| Some((flag, self.value(flag)?, self.origin(flag)?)));
        let found = match (first, second) {
            (Some(first), Some(second)) if second.2 > first.2 => Some(second),
            (first, second) => first.or(second),
        };
        found.map(|(flag, value, _)| (flag, value))
    }

    /// A duration of more than nothing.
    ///
    /// # Errors
    /// A usage error that names the setting.
    pub(crate) fn duration(&self, flag: Flag) -> Result<Option<Duration>> {
        match self.any_duration(flag)? {
            Some(Duration::ZERO) => Err(self.no_duration(flag)),
            time => Ok(time),
        }
    }

    /// A duration, which may be none at all.
    pub(crate) fn any_duration(&self, flag: Flag) -> Result<Option<Duration>> {
        let Some(text) = self.value(flag) else { return Ok(None) };
        duration::parse(text).map(Some).ok_or_else(|| self.no_duration(flag))
    }

    fn no_duration(&self, flag: Flag) -> Error {
        usage(format!("{} expects a duration such as 90s or 5m0s", self.label(flag)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_of_higher_precedence_wins_in_any_order() {
        let (low, high) = (("low", Origin::Configuration), ("high", Origin::Flags));
        for order in [[low, high], [high, low]] {
            let mut settings = Settings::default();
            for (value, origin) in order {
                settings.put(Flag::NodeName, value, origin);
            }
            assert_eq!(settings.value(Flag::NodeName), Some("high"));
            assert_eq!(settings.origin(Flag::NodeName), Some(Origin::Flags));
        }
    }

    #[test]
    fn lists_grow_within_a_source_only() {
        let mut settings = Settings::default();
        let pins = Flag::CaCertHash;
        for (text, origin) in
            [("a,b", Origin::Environment), ("c", Origin::Environment), ("d", Origin::Credential)]
        {
            settings.put(pins, text, origin);
        }
        assert_eq!(settings.list(pins).collect::<Vec<_>>(), ["a", "b", "c"]);
        settings.put(pins, "e", Origin::Flags);
        assert_eq!(settings.list(pins).collect::<Vec<_>>(), ["e"]);
    }

    #[test]
    fn of_one_source_the_first_of_two_names_counts() {
        let two = [Flag::Token, Flag::TlsBootstrapToken];
        for (first, second, expected) in [
            (Some(Origin::Flags), Some(Origin::Flags), Some(two[0])),
            (Some(Origin::Environment), Some(Origin::Flags), Some(two[1])),
            (Some(Origin::Flags), Some(Origin::Environment), Some(two[0])),
            (None, Some(Origin::Environment), Some(two[1])),
            (Some(Origin::Environment), None, Some(two[0])),
            (None, None, None),
        ] {
            let mut settings = Settings::default();
            for (flag, origin) in two.into_iter().zip([first, second]) {
                let Some(origin) = origin else { continue };
                settings.put(flag, "x", origin);
            }
            assert_eq!(settings.preferred(two).map(|found| found.0), expected, "{first:?} {second:?}");
        }
    }

    #[test]
    fn a_setting_is_known_by_what_its_source_consists_of() {
        let mut settings = Settings::default();
        for (form, flag) in [
            (Form::Words, Flag::Token),
            (Form::Token, Flag::TlsBootstrapToken),
            (Form::Configuration, Flag::NodeName),
            (Form::Words, Flag::Root),
        ] {
            settings.form = form;
            let value = format!("/{}", flag.row().name);
            match flag.row().kind {
                Kind::Secret => settings.put_file(flag, value, Origin::Environment),
                _ => settings.put(flag, value, Origin::Environment),
            }
        }
        assert_eq!(settings.secret_files().collect::<Vec<_>>(), ["/token"]);
        let configured = |flag| settings.is_configured(flag);
        assert!(configured(Flag::NodeName) && !configured(Flag::Root) && !configured(Flag::Token));
        assert!(!configured(Flag::Report));
        let (secrets, root) = ([Flag::Token, Flag::TlsBootstrapToken], Flag::Root);
        assert_eq!(settings.first_unexpected(&[secrets[0], secrets[1], root]), Some(Flag::NodeName));
        assert_eq!(settings.first_unexpected(&[secrets[0], secrets[1], root, Flag::NodeName]), None);
    }
}
