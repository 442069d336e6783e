//! A line to words: by a POSIX shell's rules, for join commands, and by systemd's, for `$NODESTRAP_ARGS` in its unit.

use crate::limits;

/// Whose rules hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// The shell's (POSIX.1-2024, volume 3, 2.2 Quoting and 2.3 Token Recognition), without its expansions, and with
    /// some patience: a line break ends no command, and a backslash that stands alone, or at the end, is one whose line
    /// break was lost.
    Shell,
    /// systemd's for a variable that is a word of a command line by itself (`src/basic/extract-word.c`, with
    /// `EXTRACT_RELAX | EXTRACT_UNQUOTE`): a backslash escapes in both kinds of quotes, and quotes may stay open.
    Systemd,
}

/// Splits a line.
///
/// # Errors
/// Why it cannot be split: it is longer than [`limits::LINE`], or a quote stays open, by the shell's rules.
pub(super) fn split(line: &str, rules: Rules) -> Result<Vec<String>, &'static str> {
    if line.len() > limits::LINE {
        return Err("it is longer than 128 KiB");
    }
    let shell = rules == Rules::Shell;
    let is_blank = |c: char| if shell { c.is_whitespace() } else { " \t\n\r".contains(c) };
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match quote {
            None if is_blank(c) => words.extend(word.take()),
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if shell && c == '#' && word.is_none() => {
                rest = rest.find('\n').map_or("", |end| &rest[end..]);
            }
            Some(open) if open == c => quote = None,
            _ if c != '\\' || shell && quote == Some('\'') => word.get_or_insert_default().push(c),
            _ => {
                let line_break = ["\n", "\r\n"].into_iter().find(|end| rest.starts_with(end));
                let next = rest.chars().next();
                match (next, line_break) {
                    (_, Some(line_break)) if shell => rest = &rest[line_break.len()..],
                    (None, _) => {}
                    (Some(next), _) if shell && word.is_none() && next.is_whitespace() => {}
                    (Some(next), _) => {
                        let word = word.get_or_insert_default();
                        if shell && quote.is_some() && !"$`\"\\".contains(next) {
                            word.push(c);
                        }
                        word.push(next);
                        rest = &rest[next.len_utf8()..];
                    }
                }
            }
        }
    }
    words.extend(word);
    if shell && quote.is_some() { Err("a quote is not closed") } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn shell(line: &str) -> Result<Vec<String>, &'static str> {
        split(line, Rules::Shell)
    }

    #[test]
    fn a_join_line_is_split_as_a_shell_splits_it() {
        for line in [
            "kubeadm join h:1 --token a.b",
            "  kubeadm\tjoin   h:1 ",
            "kubeadm join \"h:1\" --token 'a.b'",
            "--token \"a.b\" --x='c d' --y=\"e'f\"",
            "--to\"ken\"='a'\"b\"c",
            "a \\\n  b\\\nc \\\n\td",
            "\"a \\\n b\"",
            "'a \\\n b'",
            "a\\ b \\\"c\\\" \\'d\\' \\\\e",
            "\"a\\\"b\\\\c\\d\\$e\\`f\"",
            "'a\"b\\c'",
            "'' \"\" a",
            "a # b 'c",
            "a#b '#c' \\#d",
            "--taint 'k=v:NoSchedule' --kubelet-extra-arg \"v=a b\"",
            "a\\\\",
            "\\a\\b",
        ] {
            let script = format!("printf '%s\\0' {line}");
            for program in ["sh", "bash"] {
                let Ok(output) = Command::new(program).args(["-c", &script]).output() else { continue };
                assert!(output.status.success(), "{line}");
                let said = String::from_utf8(output.stdout).unwrap();
                let theirs: Vec<_> =
                    said.strip_suffix('\0').unwrap().split('\0').map(str::to_owned).collect();
                assert_eq!(shell(line), Ok(theirs), "{line}");
            }
        }
        for open in ["a 'b", "a \"b", "\"a\\\"", "'a\\''"] {
            assert_eq!(shell(open), Err("a quote is not closed"), "{open}");
        }
        assert!(
            shell(&"a ".repeat(limits::LINE / 2)).is_ok() && shell(&"a".repeat(limits::LINE + 1)).is_err()
        );
    }

    #[test]
    fn a_line_that_lost_something_on_its_way_is_read_too() {
        let expected = ["a", "b", "c"].map(str::to_owned).to_vec();
        for line in [
            "a \\\r\n  b \\\r\n c\r\n",
            "a\nb\nc\n",
            "a \\   b \\ c",
            "a \\  \n  b \\\t\n c",
            "a b c \\",
            "a b c \\\n",
            "a\u{a0}b\u{2003}c",
            "# a comment\na b c",
            "a b c # a comment",
        ] {
            assert_eq!(shell(line).as_ref(), Ok(&expected), "{line:?}");
        }
        assert_eq!(shell("a b c\\").as_ref(), Ok(&expected));
    }

    #[test]
    fn arguments_are_split_as_systemd_splits_them() {
        // Each was given to systemd 257.
        for (line, words) in [
            ("--a=b  --c\td\n", &["--a=b", "--c", "d"][..]),
            ("'a b' \"c d\" e'f g'h", &["a b", "c d", "ef gh"]),
            ("'a\\'b' \"c\\\"d\" e\\ f \\\\g", &["a'b", "c\"d", "e f", "\\g"]),
            ("'' a \"\"", &["", "a", ""]),
            ("'a b", &["a b"]),
            ("a \"b c", &["a", "b c"]),
            ("a\\", &["a"]),
            ("a # b", &["a", "#", "b"]),
            ("* ? $HOME ~ `x`", &["*", "?", "$HOME", "~", "`x`"]),
            ("a\u{a0}b", &["a\u{a0}b"]),
            ("a\\\nb", &["a\nb"]),
            ("\\n \\t \"a\\nb\" a''b", &["n", "t", "anb", "ab"]),
            ("$$A %h %% ${HOME}", &["$$A", "%h", "%%", "${HOME}"]),
            ("", &[]),
        ] {
            let words: Vec<_> = words.iter().map(ToString::to_string).collect();
            assert_eq!(split(line, Rules::Systemd), Ok(words), "{line}");
        }
    }
}
