//! What others get to see of settings, and what must not be among it.

use std::fmt::Write as _;

use super::{Form, Origin, Setting, Settings};
use crate::cli::flags::{Flag, Kind};
use crate::error::{Result, usage};
use crate::input::STANDARD_INPUT;
use crate::sanitize::one_line;
use crate::secret::Secret;

/// The settings that name a file to be read.
const FILES: [Flag; 6] = [
    Flag::Config,
    Flag::DiscoveryFile,
    Flag::ClusterInfo,
    Flag::DiscoveryCa,
    Flag::CertificateAuthority,
    Flag::BootstrapKubeconfig,
];

impl Settings {
    /// Nobody can read standard input twice.
    ///
    /// # Errors
    /// A usage error that names two settings that would.
    pub(crate) fn reads_standard_input_once(&self) -> Result<()> {
        let is_read = |(flag, setting): &(Flag, &Setting)| match &setting.file {
            Some(file) => file == STANDARD_INPUT,
            None => {
                FILES.contains(flag)
                    && setting.values.last().is_some_and(|name| name.expose() == STANDARD_INPUT)
            }
        };
        let mut readers = self.all().filter(is_read).map(|(flag, _)| self.label(flag));
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
    pub(crate) fn refuse_secrets_in_the_open(&self) -> Result<()> {
        let (secret, open): (Vec<_>, Vec<_>) =
            self.all().partition(|(flag, _)| flag.row().kind == Kind::Secret);
        let holds_one = |value: &Secret<String>| {
            let mut secrets = secret.iter().flat_map(|(_, setting)| &setting.values);
            // What is shorter is not a token, and may be part of a word.
            secrets.any(|secret| secret.expose().len() > 15 && value.expose().contains(secret.expose()))
        };
        match open.into_iter().find(|(_, setting)| setting.values.iter().any(holds_one)) {
            Some((flag, _)) => {
                let label = self.label(flag);
                Err(usage(format!("{label} holds a token, which others can see")).with_help("correct it"))
            }
            None => Ok(()),
        }
    }

    /// Secrets that others can read, one warning each: `ps` shows a command line, /proc/cmdline the kernel's.
    pub(crate) fn world_readable_secrets(&self) -> impl Iterator<Item = String> {
        let readable = self.all().filter(|(flag, setting)| {
            flag.row().kind == Kind::Secret
                && matches!(setting.origin, Origin::Flags | Origin::KernelCommandLine)
                && setting.file.is_none()
        });
        readable.map(|(flag, setting)| {
            let (name, origin) = (flag.row().name, setting.origin);
            format!("all users of this machine can read the {name} on the {origin}; use --{name}-file")
        })
    }

    /// The settings as lines `NAME: VALUE (ORIGIN)`, without the user and the query of a URL: a secret as `***`, or as the file
    /// that it was read from. What a comma can be part of has a line for each value, so that all can be given again.
    pub fn print(&self) -> String {
        let mut lines = String::new();
        for (flag, setting) in self.all() {
            let row = flag.row();
            let (name, file) = match &setting.file {
                Some(file) if setting.form != Form::Token && !setting.values.is_empty() => {
                    (format!("{}-file", row.name), Some(file))
                }
                _ => (row.name.to_owned(), None),
            };
            let values: Vec<String> = match row.kind {
                Kind::Secret => vec![file.cloned().unwrap_or_else(|| "***".to_owned())],
                Kind::List => vec![self.list(flag).collect::<Vec<_>>().join(",")],
                Kind::Ignored => vec!["no effect".to_owned()],
                Kind::Each => self.list(flag).map(|value| without_user(value, false)).collect(),
                Kind::Positional | Kind::Value | Kind::Switch => {
                    self.value(flag).map(|value| without_user(value, true)).into_iter().collect()
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
        settings.put(Flag::Token, "hunter2", Origin::Flags);
        settings.put(Flag::Root, "/r", Origin::Environment);
        assert_eq!(settings.print(), "token: *** (command line)\nroot: /r (environment)\n");
        settings.put_file(Flag::BearerToken, "/t".to_owned(), Origin::Flags);
        assert!(settings.print().contains("bearer-token-file: /t (command line)\n"), "{}", settings.print());
        let warnings: Vec<_> = settings.world_readable_secrets().collect();
        assert!(warnings.len() == 1 && !warnings[0].contains("hunter2"));
    }

    /// Settings of the command line. A name that ends in `-file` names the file of a secret.
    fn said(list: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        for (name, value) in list {
            match Flag::named(name).unwrap() {
                (flag, true) => settings.put_file(flag, (*value).to_owned(), Origin::Flags),
                (flag, false) => settings.put(flag, *value, Origin::Flags),
            }
        }
        settings
    }

    #[test]
    fn standard_input_is_read_for_one_setting() {
        let (config, token, file) = (("config", "-"), ("token-file", "-"), ("discovery-file", "-"));
        for (list, is_fine) in [
            (&[][..], true),
            (&[config], true),
            (&[token], true),
            (&[config, ("discovery-file", "/f"), ("tls-bootstrap-token-file", "/t")], true),
            // What is not a file's name is not a standard input.
            (&[config, ("node-name", "-"), ("token", "-")], true),
            (&[config, token], false),
            (&[config, file], false),
            (&[token, ("tls-bootstrap-token-file", "-")], false),
        ] {
            assert_eq!(said(list).reads_standard_input_once().is_ok(), is_fine, "{list:?}");
        }
    }

    #[test]
    fn a_token_is_in_no_other_setting() {
        let token = "abcdef.0123456789abcdef";
        for (list, is_fine) in [
            (&[("token", token)][..], true),
            (&[("token", token), ("tls-bootstrap-token", token)], true),
            (&[("token", token), ("node-name", "abcdef.0123456789abcde")], true),
            (&[("token", token), ("node-name", token)], false),
            (&[("node-name", token), ("token", token)], false),
            (&[("token", token), ("root", "/r"), ("config", "/abcdef.0123456789abcdef/f")], false),
            // As short as a word is, and one character more.
            (&[("token", "0123456789abcde"), ("node-name", "0123456789abcde")], true),
            (&[("token", "0123456789abcdef"), ("node-name", "0123456789abcdef")], false),
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
