//! YAML to JSON text, as `sigs.k8s.io/yaml` does it: a document of maps, lists and scalars becomes the JSON that serde
//! then reads, into types of their own ([`to_json`]) or into a tree that is wiped after use ([`trees`]).
//!
//! The input is foreign. Bytes, depth and nodes are bounded, and what has no JSON meaning (aliases and anchors, tags,
//! duplicate keys, keys that are not strings, a second document) is refused instead of interpreted.

use std::fmt::Write as _;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::Value;
use zeroize::{Zeroize as _, Zeroizing};

use crate::limits;

/// Why a text is not YAML that this program reads.
#[derive(Debug, PartialEq, Eq)]
pub struct YamlError {
    /// One-based line, zero where no place can be named.
    pub line: usize,
    /// What is wrong, without any part of the text.
    pub problem: &'static str,
}

impl std::fmt::Display for YamlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "YAML line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for YamlError {}

/// An open collection.
enum Level {
    List {
        first: bool,
    },
    /// The keys so far, and whether the next scalar is a key.
    Map {
        keys: Vec<String>,
        key_next: bool,
    },
}

/// Translates one YAML document into JSON text. An empty text becomes `null`.
///
/// # Errors
/// [`YamlError`] for anything that is not one plain document within the limits.
pub fn to_json(text: &str) -> Result<String, YamlError> {
    let mut documents = documents(text)?;
    match documents.len() {
        0 => Ok("null".to_owned()),
        1 => Ok(documents.swap_remove(0)),
        _ => Err(YamlError { line: 0, problem: "more than one document" }),
    }
}

/// A document as a tree of values, wiped when dropped: a kubeconfig or a configuration can hold a token.
#[derive(Debug, Default)]
pub struct Document(Value);

impl std::ops::Deref for Document {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl Drop for Document {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Not deeper than [`limits::YAML_DEPTH`].
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        _ => {}
    }
}

/// Reads the one document of a YAML text as a tree of values; an empty text is null.
///
/// # Errors
/// As [`to_json`].
pub fn tree(text: &str) -> Result<Document, YamlError> {
    let mut trees = trees(text)?;
    if trees.len() > 1 {
        return Err(YamlError { line: 0, problem: "more than one document" });
    }
    Ok(trees.pop().unwrap_or_default())
}

/// Reads each document of a YAML text as a tree of values.
///
/// # Errors
/// As [`documents`].
pub fn trees(text: &str) -> Result<Vec<Document>, YamlError> {
    let mut trees = Vec::new();
    for json in documents(text)? {
        let json = Zeroizing::new(json);
        let tree = serde_json::from_str(&json);
        trees.push(Document(tree.map_err(|_| YamlError { line: 0, problem: "a number is out of range" })?));
    }
    Ok(trees)
}

/// Translates each document of a YAML text into JSON text.
///
/// # Errors
/// [`YamlError`] for anything that is not plain documents within the limits, which count for all of them together.
fn documents(text: &str) -> Result<Vec<String>, YamlError> {
    if text.len() > limits::YAML_BYTES {
        return Err(YamlError { line: 0, problem: "the text is longer than 1 MiB" });
    }
    let mut writer = Writer { json: String::new(), levels: Vec::new(), nodes: 0, documents: Vec::new() };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| YamlError {
            line: e.marker().line(),
            problem: "the text is not well-formed YAML",
        })?;
        writer.event(&event).map_err(|problem| YamlError { line: span.start.line(), problem })?;
    }
    Ok(writer.documents)
}

struct Writer {
    json: String,
    levels: Vec<Level>,
    nodes: usize,
    documents: Vec<String>,
}

impl Writer {
    fn event(&mut self, event: &Event) -> Result<(), &'static str> {
        match event {
            Event::Scalar(_, _, anchor, tag) => plain_node(*anchor, tag.is_some())?,
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
                plain_node(*anchor, tag.is_some())?;
            }
            Event::Alias(_) => return Err("aliases are not accepted"),
            _ => {}
        }
        match event {
            Event::DocumentEnd => self.documents.push(std::mem::take(&mut self.json)),
            Event::Scalar(text, style, ..) => self.scalar(text, *style)?,
            Event::SequenceStart(..) => self.open(Level::List { first: true }, '[')?,
            Event::MappingStart(..) => self.open(Level::Map { keys: Vec::new(), key_next: true }, '{')?,
            Event::SequenceEnd => self.close(']'),
            Event::MappingEnd => self.close('}'),
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, level: Level, bracket: char) -> Result<(), &'static str> {
        self.before_value()?;
        if self.levels.len() == limits::YAML_DEPTH {
            return Err("nested too deeply");
        }
        self.json.push(bracket);
        self.levels.push(level);
        Ok(())
    }

    fn close(&mut self, bracket: char) {
        self.levels.pop();
        self.json.push(bracket);
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle) -> Result<(), &'static str> {
        if let Some(Level::Map { keys, key_next: key_next @ true }) = self.levels.last_mut() {
            if keys.iter().any(|key| key == text) {
                return Err("a key stands twice in one map");
            }
            if text == "<<" && style == ScalarStyle::Plain {
                return Err("merge keys are not accepted");
            }
            if !keys.is_empty() {
                self.json.push(',');
            }
            keys.push(text.to_owned());
            *key_next = false;
            self.count()?;
            self.string(text);
            self.json.push(':');
            return Ok(());
        }
        self.before_value()?;
        match (style, text) {
            (ScalarStyle::Plain, "" | "~" | "null" | "Null" | "NULL") => self.json.push_str("null"),
            (ScalarStyle::Plain, "true" | "True" | "TRUE") => self.json.push_str("true"),
            (ScalarStyle::Plain, "false" | "False" | "FALSE") => self.json.push_str("false"),
            (ScalarStyle::Plain, number) if is_json_number(number) => self.json.push_str(number),
            _ => self.string(text),
        }
        Ok(())
    }

    /// Writes the separator that a value needs here and flips a map from value to key.
    fn before_value(&mut self) -> Result<(), &'static str> {
        self.count()?;
        let (separator, misplaced) = match self.levels.last_mut() {
            Some(Level::List { first }) => (!std::mem::replace(first, false), false),
            Some(Level::Map { key_next, .. }) => (false, std::mem::replace(key_next, true)),
            None => (false, false),
        };
        if misplaced {
            return Err("a key is not a plain string");
        }
        if separator {
            self.json.push(',');
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), &'static str> {
        self.nodes += 1;
        if self.nodes > limits::YAML_NODES { Err("too many nodes") } else { Ok(()) }
    }

    fn string(&mut self, text: &str) {
        self.json.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => {
                    self.json.push('\\');
                    self.json.push(c);
                }
                c if c < ' ' => {
                    let _ = write!(self.json, "\\u{:04x}", c as u32);
                }
                c => self.json.push(c),
            }
        }
        self.json.push('"');
    }
}

fn plain_node(anchor: usize, tagged: bool) -> Result<(), &'static str> {
    if anchor != 0 {
        return Err("anchors are not accepted");
    }
    if tagged {
        return Err("tags are not accepted");
    }
    Ok(())
}

/// RFC 8259, section 6, without exponents. Other spellings of numbers stay strings, which no field here takes for a
/// number.
fn is_json_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    digits(whole) && digits(fraction) && (whole == "0" || !whole.starts_with('0'))
}

/// A text of printable ASCII in double quotes, as Go's `%q` has it, and as systemd's EnvironmentFile and YAML read it.
#[must_use]
pub fn quoted(text: &str) -> String {
    // Room for all of it: a token may be in it, and a buffer that grows leaves copies behind.
    let mut quoted = String::with_capacity(2 * text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> &'static str {
        to_json(text).expect_err("must be refused").problem
    }

    #[test]
    fn maps_lists_and_scalars_become_json() {
        let yaml =
            "a: 1\nb: [x, 'true', true, ~, -0.5]\nc:\n- name: \"q\\\"\\n\"\n  d: {}\ne:\nf: |\n  l1\n  l2\n";
        let json = r#"{"a":1,"b":["x","true",true,null,-0.5],"c":[{"name":"q\"\u000a","d":{}}],"e":null,"f":"l1\u000al2\u000a"}"#;
        assert_eq!(to_json(yaml).unwrap(), json);
    }

    #[test]
    fn json_is_yaml() {
        let json = r#"{"a":[{"b":"c d"},null,false],"e":12}"#;
        assert_eq!(to_json(json).unwrap(), json);
    }

    #[test]
    fn an_empty_text_is_null() {
        assert_eq!(to_json("").unwrap(), "null");
        assert_eq!(to_json("# nothing\n").unwrap(), "null");
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        assert_eq!(problem("a: &x 1\nb: *x\n"), "anchors are not accepted");
        assert_eq!(problem("a: *x\n"), "the text is not well-formed YAML");
        assert_eq!(problem("a: !!binary x\n"), "tags are not accepted");
        assert_eq!(problem("a: 1\na: 2\n"), "a key stands twice in one map");
        assert_eq!(problem("a: 1\n<<: {b: 2}\n"), "merge keys are not accepted");
        assert_eq!(problem("? [a]\n: b\n"), "a key is not a plain string");
        assert_eq!(problem("a: 1\n---\nb: 2\n"), "more than one document");
        assert_eq!(problem("a: [1\n"), "the text is not well-formed YAML");
    }

    #[test]
    fn work_is_bounded() {
        assert_eq!(problem(&"[".repeat(100)), "nested too deeply");
        assert_eq!(problem(&"- x\n".repeat(limits::YAML_NODES + 1)), "too many nodes");
        assert_eq!(problem(&" ".repeat(limits::YAML_BYTES + 1)), "the text is longer than 1 MiB");
    }

    #[test]
    fn quotes_are_those_of_go() {
        assert_eq!(quoted(r#"--a=b "c" \d"#), r#""--a=b \"c\" \\d""#);
    }
}
