//! YAML to JSON text, as `sigs.k8s.io/yaml` does it: a document of maps, lists and scalars becomes the JSON that serde
//! then reads, into a tree that is wiped after use ([`trees`]) or with a part of it left out ([`entries`]).
//!
//! The input is not trusted. Bytes, depth, nodes and what the scanner holds are bounded, and what has no JSON meaning
//! (aliases and anchors, tags, duplicate keys, keys that are not strings, a second document) is refused instead of
//! interpreted.

mod input;
mod scalar;
mod text;

use std::cell::Cell;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};
use serde_json::Value;
use zeroize::{Zeroize as _, Zeroizing};

use crate::json;
use crate::limits;
use input::Bounded;
pub use text::text;

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
        match self.line {
            0 => write!(f, "invalid YAML: {}", self.problem),
            line => write!(f, "invalid YAML, line {line}: {}", self.problem),
        }
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
#[cfg(any(test, feature = "testing"))]
pub fn to_json(text: &str) -> Result<String, YamlError> {
    one(documents(text, None)?)
}

/// Translates one YAML document, of which only these entries of the map `map` at its top are kept: the others are passed
/// over, whatever their number, and count for no limit but that of the depth. An empty text becomes `null`.
///
/// # Errors
/// [`YamlError`] for anything that is not one plain document within the limits.
pub fn entries(text: &str, map: &str, names: &[&str]) -> Result<String, YamlError> {
    one(documents(text, Some((map, names)))?)
}

fn one(mut documents: Vec<String>) -> Result<String, YamlError> {
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
/// [`YamlError`] for anything that is not one plain document within the limits.
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
/// [`YamlError`] for anything that is not plain documents within the limits, which count for all of them together.
pub fn trees(text: &str) -> Result<Vec<Document>, YamlError> {
    let mut trees = Vec::new();
    for json in documents(text, None)? {
        let json = Zeroizing::new(json);
        let tree = json::whole(&json);
        trees.push(Document(tree.ok_or(YamlError { line: 0, problem: "a number is out of range" })?));
    }
    Ok(trees)
}

/// Translates each document of a YAML text into JSON text.
///
/// # Errors
/// [`YamlError`] for anything that is not plain documents within the limits, which count for all of them together.
fn documents(text: &str, kept: Option<(&str, &[&str])>) -> Result<Vec<String>, YamlError> {
    if text.len() > limits::YAML_BYTES {
        return Err(YamlError { line: 0, problem: "longer than 1 MiB" });
    }
    // Behind this mark, what begins with a bracket is not a key, and the scanner gives its parts away one by one.
    let marked;
    let text = if text.starts_with(['{', '[']) {
        marked = Zeroizing::new(["--- ", text].concat());
        &marked
    } else {
        text
    };
    let tokens = Cell::new(0);
    let mut writer = Writer {
        json: String::new(),
        levels: Vec::new(),
        nodes: 0,
        documents: Vec::new(),
        kept,
        passing: None,
    };
    for event in Parser::new(Bounded::new(text, &tokens)) {
        if tokens.get() > limits::YAML_TOKENS {
            return Err(YamlError { line: 0, problem: "too much in brackets or braces: write it in lines" });
        }
        tokens.set(0);
        let (event, span) = event.map_err(|e| syntax_error(text, &e))?;
        writer.event(&event).map_err(|problem| YamlError { line: span.start.line(), problem })?;
    }
    Ok(writer.documents)
}

/// What the scanner's error is, and where. Of a tab that indents, it names the line of what stands before it.
fn syntax_error(text: &str, error: &ScanError) -> YamlError {
    let line = error.marker().line();
    let is_indented = |line: &str| line.trim_start_matches(' ').starts_with('\t') && !line.trim().is_empty();
    let tab = text.lines().skip(line.saturating_sub(1)).position(is_indented);
    match tab.filter(|_| error.info().contains("tab")) {
        Some(below) => YamlError { line: line.max(1) + below, problem: "a tab is not valid as indentation" },
        None => YamlError { line, problem: "syntax error" },
    }
}

struct Writer<'a> {
    json: String,
    levels: Vec<Level>,
    nodes: usize,
    documents: Vec<String>,
    /// A map at the top, and what of it is kept; where there is none, all is.
    kept: Option<(&'a str, &'a [&'a str])>,
    /// The level of a key whose value is passed over.
    passing: Option<usize>,
}

impl Writer<'_> {
    fn event(&mut self, event: &Event) -> Result<(), &'static str> {
        match event {
            Event::Scalar(_, _, anchor, tag) => plain_node(*anchor, tag.is_some())?,
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
                plain_node(*anchor, tag.is_some())?;
            }
            Event::Alias(_) => return Err("aliases are not supported"),
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
        self.push(bracket);
        self.levels.push(level);
        Ok(())
    }

    fn close(&mut self, bracket: char) {
        self.levels.pop();
        self.push(bracket);
        self.pass_no_more();
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle) -> Result<(), &'static str> {
        let level = self.levels.len();
        if let Some(Level::Map { keys, key_next: key_next @ true }) = self.levels.last_mut() {
            let is_kept = match self.kept {
                Some((map, _)) if level == 1 => text == map,
                Some((_, names)) if level == 2 => names.contains(&text),
                _ => true,
            };
            if !is_kept {
                self.passing.get_or_insert(level);
            }
            if self.passing.is_some() {
                *key_next = false;
                return Ok(());
            }
            if keys.iter().any(|key| key == text) {
                return Err("duplicate key");
            }
            if text == "<<" && style == ScalarStyle::Plain {
                return Err("merge keys are not supported");
            }
            if !keys.is_empty() {
                self.json.push(',');
            }
            keys.push(text.to_owned());
            *key_next = false;
            self.count()?;
            self.json.push_str(&json::quoted(text));
            self.json.push(':');
            return Ok(());
        }
        self.before_value()?;
        if self.passing.is_none() {
            match scalar::json(text).filter(|_| style == ScalarStyle::Plain) {
                Some(json) => self.json.push_str(&json),
                None => self.json.push_str(&json::quoted(text)),
            }
        }
        self.pass_no_more();
        Ok(())
    }

    fn push(&mut self, c: char) {
        if self.passing.is_none() {
            self.json.push(c);
        }
    }

    /// At the end of a value: of the one that was passed over, maybe.
    fn pass_no_more(&mut self) {
        self.passing = self.passing.filter(|level| *level != self.levels.len());
    }

    /// Writes the separator that a value needs here and flips a map from value to key.
    fn before_value(&mut self) -> Result<(), &'static str> {
        if self.passing.is_none() {
            self.count()?;
        }
        let (separator, misplaced) = match self.levels.last_mut() {
            Some(Level::List { first }) => (!std::mem::replace(first, false), false),
            Some(Level::Map { key_next, .. }) => (false, std::mem::replace(key_next, true)),
            None => (false, false),
        };
        if misplaced {
            return Err("a key is not a plain string");
        }
        if separator {
            self.push(',');
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), &'static str> {
        self.nodes += 1;
        if self.nodes > limits::YAML_NODES { Err("too many nodes") } else { Ok(()) }
    }
}

fn plain_node(anchor: usize, tagged: bool) -> Result<(), &'static str> {
    if anchor != 0 {
        return Err("anchors are not supported");
    }
    if tagged {
        return Err("tags are not supported");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
