//! Settings: what was said, by whom, before it means anything.
//!
//! Every source, from a JoinConfiguration to the command line, says the same things under the same names, those of the
//! flags. A stronger source wins whatever the order in which sources are read.

mod shown;

use super::reader::{Missing, Reader, read_from};
use crate::error::Result;
use crate::kubelet::{CERT_DIR, HOSTNAME_OVERRIDE, KUBECONFIG};
use crate::secret::Secret;

/// Where a value came from, the weakest first.
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
pub(super) enum Form {
    /// Words: a command line, or a join command.
    #[default]
    Words,
    /// A JoinConfiguration.
    Configuration,
    /// A token, and nothing else.
    Token,
}

/// What follows a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// One value; the last one counts.
    Value,
    /// Several values, by repetition or with commas.
    List,
    /// Several values, by repetition only: a comma is part of the value.
    Each,
    /// Nothing, or `=true`, or `=false`.
    Switch,
    /// A secret; `--NAME-file FILE` reads it from a file, `-` from standard input.
    Secret,
}

/// The name of the positional argument, as kubeadm's usage has it.
pub(super) const ENDPOINT: &str = "api-server-endpoint";

/// The flags of the kubelet that mean the same here: one of them among the kubelet's arguments is that setting too.
/// The node's name (`pkg/util/node`, `GetHostname`), and where files lie (`cmd/kubelet/app/options`).
pub(super) const KUBELETS: [&str; 3] = [HOSTNAME_OVERRIDE, KUBECONFIG, CERT_DIR];

/// The name of the positional argument of `ca-hash`, which is no flag.
pub(super) const FILE: &str = "FILE";

/// Every setting by the name of its flag. `--help` describes each; the positional argument stands first.
pub(super) const FLAGS: [(&str, Takes); 43] = [
    (ENDPOINT, Takes::Value),
    ("config", Takes::Value),
    ("env-file", Takes::Value),
    ("strict", Takes::Switch),
    ("print-config", Takes::Switch),
    ("dry-run", Takes::Switch),
    ("token", Takes::Secret),
    ("discovery-token", Takes::Secret),
    ("tls-bootstrap-token", Takes::Secret),
    ("bearer-token", Takes::Secret),
    ("remove-token-file", Takes::Switch),
    ("discovery-file", Takes::Value),
    ("cluster-info", Takes::Value),
    ("discovery-ca", Takes::Value),
    ("server", Takes::Value),
    ("certificate-authority", Takes::Value),
    ("bootstrap-kubeconfig", Takes::Value),
    ("discovery-token-ca-cert-hash", Takes::List),
    ("discovery-token-unsafe-skip-ca-verification", Takes::Switch),
    ("pin-every-ca", Takes::Switch),
    ("node-name", Takes::Value),
    ("with-client-cert", Takes::Switch),
    ("with-serving-cert", Takes::Switch),
    ("expiration-seconds", Takes::Value),
    ("san", Takes::List),
    ("serving-timeout", Takes::Value),
    ("keep-bootstrap-kubeconfig", Takes::Switch),
    ("with-kubelet-config", Takes::Switch),
    ("refuse-ready-node", Takes::Switch),
    ("cri-socket", Takes::Value),
    ("taint", Takes::Each),
    ("kubelet-extra-arg", Takes::Each),
    ("kubeconfig", Takes::Value),
    ("cert-dir", Takes::Value),
    ("ca-cert-path", Takes::Value),
    ("replace", Takes::Switch),
    ("root", Takes::Value),
    ("report", Takes::Value),
    ("timeout", Takes::Value),
    ("splay", Takes::Value),
    ("discovery-timeout", Takes::Value),
    ("tls-bootstrap-timeout", Takes::Value),
    ("hostname-override", Takes::Value),
];

/// The flag of this name, and whether `-file` was appended to the name of a secret.
pub(super) fn flag(name: &str) -> Option<(&'static str, Takes, bool)> {
    let find = |name: &str| FLAGS.iter().find(|(flag, _)| *flag == name && *flag != ENDPOINT);
    if let Some((flag, takes)) = find(name) {
        return Some((flag, *takes, false));
    }
    let (flag, takes) = find(name.strip_suffix("-file")?)?;
    (*takes == Takes::Secret).then_some((*flag, *takes, true))
}

#[derive(Clone, Debug)]
struct Setting {
    name: &'static str,
    origin: Origin,
    form: Form,
    values: Vec<Secret<String>>,
    /// The file that holds the secret, `-` for standard input.
    file: Option<String>,
}

/// What all sources together say.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    said: Vec<Setting>,
    /// What the source consists of that is being read.
    pub(super) form: Form,
    /// Fields of a configuration that nobody knows; `--strict` makes them an error.
    pub(super) unknown: Vec<String>,
    /// A source that is named and cannot be read. What it would say is not known.
    pub(super) unread: Option<Missing>,
}

impl Settings {
    /// Takes a value, unless a stronger source has spoken. Of one source the last word counts, lists grow.
    pub(super) fn put(
        &mut self,
        name: &'static str,
        takes: Takes,
        in_file: bool,
        value: String,
        origin: Origin,
    ) {
        let (file, form) = (in_file.then(|| value.clone()), self.form);
        let values: Vec<_> = match takes {
            Takes::List => value.split(',').map(|part| Secret::new(part.to_owned())).collect(),
            _ => vec![Secret::new(value)],
        };
        match self.said.iter_mut().find(|setting| setting.name == name) {
            Some(setting) if setting.origin > origin => {}
            Some(setting) if setting.origin == origin && matches!(takes, Takes::List | Takes::Each) => {
                setting.values.extend(values);
            }
            Some(setting) => *setting = Setting { name, origin, form, values, file },
            None => self.said.push(Setting { name, origin, form, values, file }),
        }
    }

    /// Takes an argument of the kubelet, if it is one of [`KUBELETS`].
    pub(super) fn put_kubelets(&mut self, name: &str, value: &str, origin: Origin) {
        if let Some(name) = KUBELETS.into_iter().find(|own| *own == name) {
            self.put(name, Takes::Value, false, value.to_owned(), origin);
        }
    }

    /// The last value of a setting, and who said it.
    fn get(&self, name: &str) -> Option<(&str, Origin)> {
        let setting = self.said.iter().find(|setting| setting.name == name)?;
        Some((setting.values.last()?.expose(), setting.origin))
    }

    /// Who said a setting, if anybody.
    pub(super) fn origin(&self, name: &str) -> Option<Origin> {
        self.get(name).map(|(_, origin)| origin)
    }

    /// The last value of a setting.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.get(name).map(|(value, _)| value)
    }

    /// The first setting that is none of these.
    pub(super) fn beside(&self, names: &[&str]) -> Option<&'static str> {
        self.said.iter().map(|setting| setting.name).find(|name| !names.contains(name))
    }

    /// All values of a list.
    pub(super) fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        let found = self.said.iter().filter(move |setting| setting.name == name);
        found.flat_map(|setting| setting.values.iter().map(|value| value.expose().as_str()))
    }

    /// Whether a switch is on.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.value(name) == Some("true")
    }

    /// Replaces each `-file` by what is in it, without the line break at its end. A setting whose file is missing is left
    /// without a value.
    ///
    /// # Errors
    /// As of [`Reader::text`].
    pub(super) fn read_secrets(&mut self, reader: &mut Reader) -> Result<()> {
        for at in 0..self.said.len() {
            let setting = &self.said[at];
            let Some(file) = &setting.file else { continue };
            let who = match setting.form {
                Form::Token => self.place(setting.origin, setting.form),
                _ => self.label_of(setting, "-file"),
            };
            let text = reader.text(&who, file)?;
            let value = text.map(|text| Secret::new(text.expose().trim_end_matches(['\r', '\n']).to_owned()));
            self.said[at].values = value.into_iter().collect();
        }
        Ok(())
    }

    /// The files that flags name for secrets.
    pub(super) fn secret_files(&self) -> impl Iterator<Item = &str> {
        let named = self.said.iter().filter(|setting| setting.form != Form::Token);
        named.filter_map(|setting| setting.file.as_deref())
    }

    /// Whether a JoinConfiguration has said a setting.
    pub(super) fn is_configured(&self, name: &str) -> bool {
        self.said.iter().any(|setting| setting.name == name && setting.form == Form::Configuration)
    }

    /// How a message names a setting: with its source, where that is not the command line.
    pub(super) fn label(&self, name: &str) -> String {
        match self.said.iter().find(|setting| setting.name == name) {
            Some(setting) => self.label_of(setting, if setting.file.is_some() { "-file" } else { "" }),
            None => format!("--{name}"),
        }
    }

    fn label_of(&self, setting: &Setting, suffix: &str) -> String {
        let Setting { name, origin, form, .. } = setting;
        let flag = if *name == ENDPOINT { "HOST:PORT".to_owned() } else { format!("--{name}{suffix}") };
        match origin {
            Origin::Flags => flag,
            _ => format!("{flag} ({})", self.place(*origin, *form)),
        }
    }

    /// How a message names a source.
    pub(super) fn place(&self, origin: Origin, form: Form) -> String {
        let (name, variable) = match form {
            Form::Words => ("nodestrap.join", "NODESTRAP_JOIN"),
            Form::Configuration => ("nodestrap.config", "NODESTRAP_CONFIG"),
            Form::Token => ("nodestrap.token", "NODESTRAP_TOKEN"),
        };
        match origin {
            Origin::Configuration => read_from("--config", self.value("config").unwrap_or_default()),
            Origin::Credential => format!("the credential {name}"),
            Origin::KernelCommandLine => format!("{name} on the kernel command line"),
            Origin::Environment => variable.to_owned(),
            Origin::Flags => "the command line".to_owned(),
        }
    }

    /// The stronger one of two settings that mean the same; of one source, the first.
    pub(super) fn stronger<'n>(&self, names: [&'n str; 2]) -> Option<(&'n str, &str, Origin)> {
        let [first, second] = names.map(|name| self.get(name).map(|(value, origin)| (name, value, origin)));
        match (first, second) {
            (Some(first), Some(second)) if second.2 > first.2 => Some(second),
            (first, second) => first.or(second),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &'static str, value: &str, origin: Origin) -> (&'static str, String, Origin) {
        (name, value.to_owned(), origin)
    }

    #[test]
    fn the_stronger_source_wins_in_any_order() {
        let weak = value("node-name", "weak", Origin::Configuration);
        let strong = value("node-name", "strong", Origin::Flags);
        for order in [[&weak, &strong], [&strong, &weak]] {
            let mut settings = Settings::default();
            for (name, value, origin) in order {
                settings.put(name, Takes::Value, false, value.clone(), *origin);
            }
            assert_eq!(settings.get("node-name"), Some(("strong", Origin::Flags)));
        }
    }

    #[test]
    fn lists_grow_within_a_source_only() {
        let mut settings = Settings::default();
        let pins = "discovery-token-ca-cert-hash";
        for (text, origin) in
            [("a,b", Origin::Environment), ("c", Origin::Environment), ("d", Origin::Credential)]
        {
            settings.put(pins, Takes::List, false, text.to_owned(), origin);
        }
        assert_eq!(settings.list(pins).collect::<Vec<_>>(), ["a", "b", "c"]);
        settings.put(pins, Takes::List, false, "e".to_owned(), Origin::Flags);
        assert_eq!(settings.list(pins).collect::<Vec<_>>(), ["e"]);
    }

    #[test]
    fn only_secrets_have_a_file_form() {
        assert_eq!(flag("token-file"), Some(("token", Takes::Secret, true)));
        assert_eq!(flag("node-name-file"), None);
        assert_eq!(flag(ENDPOINT), None);
    }

    #[test]
    fn of_one_source_the_first_of_two_names_counts() {
        let two = ["token", "tls-bootstrap-token"];
        for (first, second, expected) in [
            (Some(Origin::Flags), Some(Origin::Flags), Some("token")),
            (Some(Origin::Environment), Some(Origin::Flags), Some("tls-bootstrap-token")),
            (Some(Origin::Flags), Some(Origin::Environment), Some("token")),
            (None, Some(Origin::Environment), Some("tls-bootstrap-token")),
            (Some(Origin::Environment), None, Some("token")),
            (None, None, None),
        ] {
            let mut settings = Settings::default();
            for (name, origin) in two.into_iter().zip([first, second]) {
                let Some(origin) = origin else { continue };
                settings.put(name, Takes::Secret, false, "x".to_owned(), origin);
            }
            assert_eq!(settings.stronger(two).map(|found| found.0), expected, "{first:?} {second:?}");
        }
    }

    #[test]
    fn a_setting_is_known_by_what_its_source_consists_of() {
        let mut settings = Settings::default();
        for (form, name, in_file) in [
            (Form::Words, "token", true),
            (Form::Token, "tls-bootstrap-token", true),
            (Form::Configuration, "node-name", false),
            (Form::Words, "root", false),
        ] {
            let takes = FLAGS.iter().find(|(flag, _)| *flag == name).unwrap().1;
            settings.form = form;
            settings.put(name, takes, in_file, format!("/{name}"), Origin::Environment);
        }
        assert_eq!(settings.secret_files().collect::<Vec<_>>(), ["/token"]);
        let configured = |name| settings.is_configured(name);
        assert!(
            configured("node-name") && !configured("root") && !configured("token") && !configured("none")
        );
        assert_eq!(settings.beside(&["token", "tls-bootstrap-token", "root"]), Some("node-name"));
        assert_eq!(settings.beside(&["token", "tls-bootstrap-token", "root", "node-name"]), None);
    }
}
