//! YAML text of a value, in the form that kubeadm's files have (`sigs.k8s.io/yaml`): keys in their order, lists not
//! further in than their key.

use serde_json::Value;

use super::scalar;
use crate::json;

/// The text of a value, which is not deeper than its reader takes.
pub fn text(value: &Value) -> String {
    let mut text = String::new();
    write(&mut text, value, 0, true);
    text
}

/// Writes a value and the end of its line. `goes_on` says that the line has begun, with a dash maybe.
fn write(text: &mut String, value: &Value, indent: usize, goes_on: bool) {
    let start = |text: &mut String, is_first: bool| {
        if !(is_first && goes_on) {
            text.extend(std::iter::repeat_n(' ', indent));
        }
    };
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (at, (key, value)) in map.iter().enumerate() {
                start(text, at == 0);
                text.push_str(&quoted(key));
                text.push(':');
                let inner = match value {
                    Value::Object(map) if !map.is_empty() => indent + 2,
                    Value::Array(items) if !items.is_empty() => indent,
                    value => {
                        text.push(' ');
                        write(text, value, 0, true);
                        continue;
                    }
                };
                text.push('\n');
                write(text, value, inner, false);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                start(text, at == 0);
                text.push_str("- ");
                write(text, item, indent + 2, true);
            }
        }
        Value::Number(number) => {
            text.push_str(&number.to_string());
            text.push('\n');
        }
        Value::String(string) => {
            text.push_str(&quoted(string));
            text.push('\n');
        }
        value => {
            text.push_str(match value {
                Value::Null => "null\n",
                Value::Bool(true) => "true\n",
                Value::Bool(false) => "false\n",
                Value::Object(_) => "{}\n",
                _ => "[]\n",
            });
        }
    }
}

/// A string as it is where no reader of YAML 1.1 or 1.2 can take it for anything else; else in quotes.
fn quoted(text: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-:%+=,@$~".contains(&b);
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/' || c == '$');
    // Dates, and numbers of base 60.
    let is_numeric = text.starts_with(|c: char| c.is_ascii_digit()) && text.contains(['-', ':', '_']);
    let is_string = begins && !is_numeric && !text.ends_with(':') && scalar::json(text).is_none();
    if is_string && text.bytes().all(is_plain) { text.to_owned() } else { json::quoted(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::tree;

    #[test]
    fn values_are_written_as_kubeadm_writes_them() {
        // Shown to sigs.k8s.io/yaml 1.6.0, which writes the same.
        let written = "a:\n- x\n- b: 1\n  c:\n  - w\n  - {}\n- - 1\n  - - 2.5\nauthentication:\n  x509:\n    \
                       clientCAFile: /etc/kubernetes/pki/ca.crt\nd: []\ndd: {}\ne: \"\"\nf: null\nimagefs.available: 15%\n\
                       nn: \"true\"\no: \"10\"\np: 24h0m0s\nq: true\nqq: false\nr: 10.96.0.10\ns: unix:///run/c.sock\n\
                       t: fd00::a\nu: \"1:30\"\nv: \"2020-01-01\"\n";
        assert_eq!(text(&tree(written).unwrap()), written);
    }

    #[test]
    fn every_string_is_read_again() {
        for string in [
            "",
            " ",
            "~",
            "null",
            "y",
            "off",
            "0x10",
            "1_0",
            "1e3",
            ".5",
            "-",
            "-a",
            "- a",
            "a: b",
            "a:",
            "a #b",
            "#a",
            "?",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "'a'",
            "\"a\"",
            "{a}",
            "[a]",
            "a, b",
            "<<",
            "=",
            "a\nb",
            "a\tb",
            " a",
            "a ",
            "---",
            "...",
            ".inf",
            "12:30:45",
            "2020-01-01T00:00:00Z",
            "\u{7f}\u{85}\u{2028}\u{feff}ä",
            "\\",
            "\0",
        ] {
            let value = serde_json::json!({ string: [string, { "k": string }] });
            let written = text(&value);
            assert_eq!(*tree(&written).unwrap(), value, "{string:?}: {written}");
            assert!(!written.contains(['\u{7f}', '\u{85}', '\u{2028}', '\u{feff}']), "{written:?}");
        }
    }
}
