//! What others get to see of settings, and what must not be among it.

use std::fmt::Write as _;

use super::{FLAGS, Origin, Setting, Settings, Takes};
use crate::error::{Result, one_line};
use crate::options::reader::STANDARD_INPUT;
use crate::options::usage;
use crate::secret::Secret;

/// The settings that name a file to be read.
const FILES: [&str; 6] = [
    "config",
    "discovery-file",
    "cluster-info",
    "discovery-ca",
    "certificate-authority",
    "bootstrap-kubeconfig",
];

impl Settings {
    /// Nobody can read standard input twice.
    ///
    /// # Errors
    /// A usage error that names two settings that would.
    pub(in crate::options) fn reads_standard_input_once(&self) -> Result<()> {
        let is_read = |setting: &&Setting| match &setting.file {
            Some(file) => file == STANDARD_INPUT,
            None => {
                FILES.contains(&setting.name)
                    && setting.values.last().is_some_and(|name| name.expose() == STANDARD_INPUT)
            }
        };
        let mut readers = self.said.iter().filter(is_read).map(|setting| self.label(setting.name));
        match (readers.next(), readers.next()) {
            (Some(one), Some(other)) => Err(usage(format!("{one} and {other} both read standard input"))
                .with_help("use a file for one of them")),
            _ => Ok(()),
        }
    }

    /// What is secret is nowhere else: not in a name, an address or an argument, where others would see it.
    ///
    /// # Errors
    /// A usage error that names the setting with the secret in it.
    pub(in crate::options) fn refuse_secrets_in_the_open(&self) -> Result<()> {
        let is_secret = |setting: &&Setting| FLAGS.contains(&(setting.name, Takes::Secret));
        let secrets = || self.said.iter().filter(is_secret).flat_map(|setting| &setting.values);
        let holds_one = |value: &Secret<String>| {
            // What is shorter is no token, and may be part of a word.
            secrets().any(|secret| secret.expose().len() > 15 && value.expose().contains(secret.expose()))
        };
        let mut open = self.said.iter().filter(|setting| !is_secret(setting));
        match open.find(|setting| setting.values.iter().any(holds_one)) {
            Some(setting) => {
                let label = self.label(setting.name);
                Err(usage(format!("{label} holds a token, which others can see")).with_help("correct it"))
            }
            None => Ok(()),
        }
    }

    /// Secrets where others can read them, one warning each: `ps` shows a command line, /proc/cmdline the kernel's.
    pub(in crate::options) fn public_secrets(&self) -> impl Iterator<Item = String> {
        let public = self.said.iter().filter(|setting| {
            FLAGS.contains(&(setting.name, Takes::Secret))
                && matches!(setting.origin, Origin::Flags | Origin::KernelCommandLine)
                && setting.file.is_none()
        });
        public.map(|setting| {
            let Setting { name, origin, .. } = setting;
            format!("all users of this machine can read the {name} on the {origin}; use --{name}-file")
        })
    }

    /// The settings as lines `NAME: VALUE (ORIGIN)`, secrets as `***`, without the user and the query of a URL. What a
    /// comma can be part of has a line for each value, so that all can be given again.
    #[must_use]
    pub fn print(&self) -> String {
        let mut lines = String::new();
        for (name, takes) in FLAGS {
            let Some(setting) = self.said.iter().find(|setting| setting.name == name) else { continue };
            let values: Vec<String> = match takes {
                Takes::Secret => vec!["***".to_owned()],
                Takes::List => vec![self.list(name).collect::<Vec<_>>().join(",")],
                Takes::Each => self.list(name).map(|value| without_user(value, false)).collect(),
                Takes::Value | Takes::Switch => {
                    self.value(name).map(|value| without_user(value, true)).into_iter().collect()
                }
            };
            for value in values {
                let _ = writeln!(lines, "{name}: {} ({})", one_line(&value), setting.origin);
            }
        }
        lines
    }
}

/// A value without what only its owner may see of a URL: the user with the password, and the query, which may be a
/// signature. No URL that is accepted has any of them; one that lost to a stronger source was never looked at. `is_place`
/// for a value that is one even without a scheme.
fn without_user(value: &str, is_place: bool) -> String {
    let authority = match value.find("://") {
        Some(at) => at + 3,
        None if is_place && !value.starts_with('/') => 0,
        None => return value.to_owned(),
    };
    let (scheme, rest) = value.split_at(authority);
    let (path, query) = match rest.find('?') {
        Some(at) if !scheme.is_empty() => (&rest[..at], "?***"),
        _ => (rest, ""),
    };
    match path.rfind('@') {
        Some(at) => [scheme, "***", &path[at..], query].concat(),
        None => [scheme, path, query].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_settings_hide_secrets() {
        let mut settings = Settings::default();
        settings.put("token", Takes::Secret, false, "hunter2".to_owned(), Origin::Flags);
        settings.put("root", Takes::Value, false, "/r".to_owned(), Origin::Environment);
        assert_eq!(settings.print(), "token: *** (command line)\nroot: /r (environment)\n");
        let warnings: Vec<_> = settings.public_secrets().collect();
        assert!(warnings.len() == 1 && !warnings[0].contains("hunter2"));
    }

    /// Settings that say this, in the order of their strength.
    fn said(list: &[(&'static str, bool, &str)]) -> Settings {
        let mut settings = Settings::default();
        for (name, is_file, value) in list {
            let takes = FLAGS.iter().find(|(flag, _)| flag == name).unwrap().1;
            settings.put(name, takes, *is_file, (*value).to_owned(), Origin::Flags);
        }
        settings
    }

    #[test]
    fn standard_input_is_read_for_one_setting() {
        let (config, token, file) =
            (("config", false, "-"), ("token", true, "-"), ("discovery-file", false, "-"));
        for (list, is_fine) in [
            (&[][..], true),
            (&[config], true),
            (&[token], true),
            (&[config, ("discovery-file", false, "/f"), ("tls-bootstrap-token", true, "/t")], true),
            // What is no file's name is no standard input.
            (&[config, ("node-name", false, "-"), ("token", false, "-")], true),
            (&[config, token], false),
            (&[config, file], false),
            (&[token, ("tls-bootstrap-token", true, "-")], false),
        ] {
            assert_eq!(said(list).reads_standard_input_once().is_ok(), is_fine, "{list:?}");
        }
    }

    #[test]
    fn a_token_stands_in_no_other_setting() {
        let token = "abcdef.0123456789abcdef";
        for (list, is_fine) in [
            (&[("token", false, token)][..], true),
            (&[("token", false, token), ("tls-bootstrap-token", false, token)], true),
            (&[("token", false, token), ("node-name", false, "abcdef.0123456789abcde")], true),
            (&[("token", false, token), ("node-name", false, token)], false),
            (&[("node-name", false, token), ("token", false, token)], false),
            (
                &[
                    ("token", false, token),
                    ("root", false, "/r"),
                    ("config", false, "/abcdef.0123456789abcdef/f"),
                ],
                false,
            ),
            // As short as a word is, and one character more.
            (&[("token", false, "0123456789abcde"), ("node-name", false, "0123456789abcde")], true),
            (&[("token", false, "0123456789abcdef"), ("node-name", false, "0123456789abcdef")], false),
        ] {
            assert_eq!(said(list).refuse_secrets_in_the_open().is_ok(), is_fine, "{list:?}");
        }
    }

    #[test]
    fn a_printed_url_has_no_user_and_no_query() {
        for (value, is_place, shown) in [
            ("https://u:p@host:1/path?sig=x", true, "https://***@host:1/path?***"),
            ("https://u:p@host:1/path?sig=x", false, "https://***@host:1/path?***"),
            ("https://host/path", true, "https://host/path"),
            ("https://u@p@host", true, "https://***@host"),
            ("u:p@host:1", true, "***@host:1"),
            ("u:p@host:1", false, "u:p@host:1"),
            ("/a@b?c", true, "/a@b?c"),
            ("/a@b?c", false, "/a@b?c"),
            ("host?x", true, "host?x"),
            ("a=b?c", false, "a=b?c"),
            ("://@", true, "://***@"),
        ] {
            assert_eq!(without_user(value, is_place), shown, "{value} {is_place}");
        }
    }
}
