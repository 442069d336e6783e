//! Every system call of a run, with all bytes that went in and out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::needles::Needles;

/// What stands before a command so that strace writes all that it does into `log`: strings whole and in hexadecimal,
/// the environment too, descriptors with their files.
pub fn traced(log: &str) -> Vec<&str> {
    vec!["strace", "-f", "-v", "-y", "-xx", "-s", "65535", "-e", "trace=all", "-o", log]
}

/// One system call.
pub struct Call {
    pub name: String,
    /// What its first descriptor leads to.
    pub path: String,
    /// The line, each byte of a string as it was.
    bytes: Vec<u8>,
}

impl Call {
    /// How much of which secret is in it.
    pub fn secrets<'n>(&self, needles: &'n Needles) -> BTreeMap<&'n str, usize> {
        needles.in_bytes(&self.bytes)
    }

    /// Whether this text is in it.
    pub fn says(&self, text: &str) -> bool {
        self.bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }

    /// For people, when something is wrong with it.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).chars().take(400).collect()
    }

    /// What the descriptor leads to that it returned.
    pub fn opened(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        text.rsplit_once('<').map_or("", |(_, path)| path.trim_end_matches('>')).to_owned()
    }

    /// Whether it makes or opens a file that others could read.
    pub fn opens_for_others(&self) -> bool {
        let text = String::from_utf8_lossy(&self.bytes);
        text.contains("O_CREAT") && !text.contains(", 0600)")
    }
}

/// The calls in a log, in order.
pub fn calls(log: &Path) -> Vec<Call> {
    let text = fs::read_to_string(log).expect("strace wrote a log");
    text.lines().filter_map(call).collect()
}

fn call(line: &str) -> Option<Call> {
    let (_, call) = line.split_once(' ')?;
    let (name, rest) = call.trim_start().split_once('(')?;
    let rest = decoded(rest);
    let first = rest.split(|byte| *byte == b',').next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    let path =
        first.split_once('<').map_or("", |(_, path)| path.split('>').next().unwrap_or_default()).to_owned();
    Some(Call { name: name.to_owned(), path, bytes: rest })
}

/// `\x41` as the byte that it is.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text.as_bytes();
    while let Some(byte) = rest.first() {
        let digits = rest.strip_prefix(b"\\x").and_then(|digits| std::str::from_utf8(digits.get(..2)?).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &rest[4..];
            }
            None => {
                bytes.push(*byte);
                rest = &rest[1..];
            }
        }
    }
    bytes
}
