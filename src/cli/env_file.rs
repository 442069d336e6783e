//! A file of variables as systemd's `EnvironmentFile=` reads it (`src/basic/env-file.c` of version 254 and later): what
//! nodestrap.service has from /etc/default/nodestrap, for starts without systemd.

use super::flags::Flag;
use super::words::{self, Rules};
use crate::limits;
use crate::sanitize::sanitize;
use crate::secret::Secret;

/// The variables that mean something to this program, beside those of systemd's own.
const NAMES: [&str; 8] = [
    "NODESTRAP_ARGS",
    "NODESTRAP_TOKEN",
    "NODESTRAP_JOIN",
    "NODESTRAP_CONFIG",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// Begins the names of this program's own variables.
const PREFIX: &str = "NODESTRAP_";

/// The last value of each of [`NAMES`] in a file, which may be secret.
#[derive(Default)]
pub(crate) struct Variables {
    values: [Option<Secret<String>>; NAMES.len()],
    /// The names of others that begin as this program's own do.
    pub(super) unknown: Vec<String>,
}

/// Whether a variable of this name in a file of this program's own is for it, and not known to it.
fn is_unknown(name: &str) -> bool {
    name.starts_with(PREFIX) && !NAMES.contains(&name)
}

/// Whether a variable of the environment, where names like these may have other meanings, is named for a flag.
pub(super) fn is_for_flag(name: &str) -> bool {
    let flag = name.strip_prefix(PREFIX).unwrap_or_default().to_ascii_lowercase().replace('_', "-");
    is_unknown(name) && Flag::named(&flag).is_some()
}

/// Without the values.
impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Variables")
    }
}

impl Variables {
    /// Reads the text. Everything is one: what has no equals sign is passed over, a quote that is not closed ends with the
    /// text.
    pub(crate) fn parse(text: &str) -> Self {
        let mut variables = Self::default();
        let mut rest = text;
        loop {
            rest = rest.trim_start_matches(BLANKS);
            if rest.is_empty() {
                return variables;
            }
            let line = &rest[..rest.find(BREAKS).unwrap_or(rest.len())];
            match line.split_once('=').filter(|_| !line.starts_with(['#', ';'])) {
                None => rest = &rest[line.len()..],
                Some((name, _)) => {
                    let (value, after) = value(&rest[name.len() + 1..]);
                    let name = name.trim_end_matches(BLANKS);
                    if let Some(at) = NAMES.iter().position(|own| *own == name) {
                        variables.values[at] = Some(Secret::new(value));
                    } else if is_unknown(name) && variables.unknown.len() < limits::SHOWN_NAMES {
                        variables.unknown.push(sanitize(name));
                    }
                    rest = after;
                }
            }
        }
    }

    /// The value of one of [`NAMES`].
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let at = NAMES.iter().position(|own| *own == name)?;
        self.values[at].as_ref().map(|value| value.expose().as_str())
    }

    /// The words that `$NODESTRAP_ARGS` is in the unit's command line.
    ///
    /// # Errors
    /// Why it cannot be split: it is longer than `limits::LINE`, or a quote stays open.
    pub(crate) fn arguments(&self) -> Result<Vec<String>, &'static str> {
        words::split(self.get(NAMES[0]).unwrap_or_default(), Rules::Systemd)
    }
}

const BREAKS: [char; 2] = ['\n', '\r'];
const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// A value and what comes after its line. Quotes are quotes where a value begins, or behind others.
fn value(text: &str) -> (String, &str) {
    let mut value = String::with_capacity(text.find(BREAKS).unwrap_or(text.len()));
    // Where it begins to end in blanks that nobody wrote on purpose.
    let mut end = None;
    let (mut quote, mut plain) = (None, false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"'), '\\') => match chars.next() {
                Some('\n') | None => {}
                Some(next) => {
                    if !"\"\\`$".contains(next) {
                        value.push(c);
                    }
                    value.push(next);
                }
            },
            (Some(_), c) => value.push(c),
            (None, '\n' | '\r') => break,
            (None, '\'' | '"') if !plain => quote = Some(c),
            (None, '\\') => {
                (plain, end) = (true, None);
                value.extend(chars.next().filter(|next| !BREAKS.contains(next)));
            }
            (None, ' ' | '\t') if !plain => {}
            (None, c) => {
                plain = true;
                end = if BLANKS.contains(&c) { end.or(Some(value.len())) } else { None };
                value.push(c);
            }
        }
    }
    value.truncate(end.unwrap_or(value.len()));
    (value, chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_those_that_systemd_reads() {
        // Each was given to systemd 257.
        for (text, expected) in [
            ("A=b\n", "b"),
            ("A=b", "b"),
            ("  A = b c  \n", "b c"),
            ("A=b\r\n", "b"),
            ("A='b c'\n", "b c"),
            ("A=\"b c\"", "b c"),
            ("A='b' \"c\" d e \n", "bcd e"),
            ("A=b 'c' \"d\"\n", "b 'c' \"d\""),
            ("A=b \\\n  c\n", "b   c"),
            ("A=b\\\nc", "bc"),
            ("A=\\'b\\\\c\n", "'b\\c"),
            ("A=\"b \\\n c\"\n", "b  c"),
            ("A=\"b\\\"c\\d\\$e\"\n", "b\"c\\d$e"),
            ("A='b\\c\nd'\n", "b\\c\nd"),
            ("A=\"b\nc\"\n", "b\nc"),
            ("A=b # c\n", "b # c"),
            ("A=b#c\n", "b#c"),
            ("# A=x\n; A=y\nA=b\n#A=z\n", "b"),
            ("# a comment \\\nA=b\n", "b"),
            ("A=x\nA=b\n", "b"),
            ("A=b=c\n", "b=c"),
            ("A=* ? $HOME `x`\n", "* ? $HOME `x`"),
            ("no equals sign\nA=b\n", "b"),
            ("A=\n", ""),
            ("A=   \nB=c\n", ""),
            ("A='b", "b"),
            ("A=\"b\\", "b"),
            ("A=b\\", "b"),
            ("A=b\\ \n", "b "),
            ("A=\"b \" \n", "b "),
            ("A='b ' c \n", "b c"),
            ("A='a'b'c'\n", "ab'c'"),
            ("A=\"a\"  \\\n b\n", "a b"),
            ("A=\\\nb\n", "b"),
            ("A=b \\\r\nc\n", "b "),
            ("A=a\\nb\n", "anb"),
            ("A=\"\\\\\\`\"\n", "\\`"),
        ] {
            let text = text.replace('A', "NO_PROXY");
            assert_eq!(Variables::parse(&text).get("NO_PROXY"), Some(expected), "{text:?}");
        }
        for text in ["", "\n", "A", "#A=b", "export A=b", "AB=c\n", "A'=b"] {
            let text = text.replace('A', "NO_PROXY");
            assert_eq!(Variables::parse(&text).get("NO_PROXY"), None, "{text:?}");
        }
    }

    #[test]
    fn names_that_seem_to_be_for_this_program_are_noted() {
        let known = "NODESTRAP_ARGS=x\nNODESTRAP_TOKEN=\nOTHER=y\n#NODESTRAP_NO=1\nMY_NODESTRAP_X=1\n";
        assert!(Variables::parse(known).unknown.is_empty());
        let more = "NODESTRAP_TOKENN=secret\nNODESTRAP_ROOT=/\n";
        assert_eq!(Variables::parse(&[known, more].concat()).unknown, ["NODESTRAP_TOKENN", "NODESTRAP_ROOT"]);
        let many = "NODESTRAP_X=1\n".repeat(100_000);
        assert_eq!(Variables::parse(&many).unknown.len(), limits::SHOWN_NAMES);
    }

    #[test]
    fn arguments_are_the_last_ones_and_go_through_both() {
        let text = "NODESTRAP_ARGS=x\nHTTPS_PROXY='http://p:1'\nNODESTRAP_ARGS=\"--taint='a=b:NoSchedule' \\\n--pin-every-ca\"";
        let variables = Variables::parse(text);
        assert_eq!(variables.arguments().unwrap(), ["--taint=a=b:NoSchedule", "--pin-every-ca"]);
        assert_eq!(variables.get("HTTPS_PROXY"), Some("http://p:1"));
        assert!(Variables::parse("A=b").arguments().unwrap().is_empty());
    }
}
