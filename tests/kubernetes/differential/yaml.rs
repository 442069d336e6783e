//! Writes a value as YAML in the many ways in which people and programs do.

use std::fmt::Write as _;

use serde_json::Value;

use super::random::Random;

/// Words of the errors for YAML that means nothing in JSON.
pub const MEANINGLESS: [&str; 7] = [
    "anchors",
    "aliases",
    "tags are",
    "duplicate key",
    "merge keys",
    "plain string",
    "more than one document",
];

/// The value as a document.
pub fn write(random: &mut Random, value: &Value) -> String {
    if random.once_in(4) {
        return if random.once_in(2) { format!("{value:#}\n") } else { value.to_string() };
    }
    let mut text = String::new();
    if random.once_in(10) {
        text.push_str(random.pick(&["---\n", "# a comment\n", "---\n# a comment\n", "\n"]));
    }
    let style = Style { quotes: random.below(4), flow: random.once_in(6) };
    block(random, &style, value, 0, &mut text);
    text
}

/// Now and then, one of the places in the value becomes null.
pub fn with_a_null(random: &mut Random, value: &mut Value) {
    if !random.once_in(4) {
        return;
    }
    let mut place = value;
    loop {
        let next = match place {
            Value::Object(map) if !map.is_empty() => {
                let at = random.below(map.len());
                map.values_mut().nth(at)
            }
            Value::Array(items) if !items.is_empty() => {
                let at = random.below(items.len());
                items.get_mut(at)
            }
            _ => return,
        };
        place = next.expect("one of them");
        if random.once_in(3) || !(place.is_object() || place.is_array()) {
            *place = Value::Null;
            return;
        }
    }
}

struct Style {
    /// 0: only where needed; 1: single; 2: double; 3: any.
    quotes: usize,
    /// Whether lists of texts stand in brackets.
    flow: bool,
}

fn block(random: &mut Random, style: &Style, value: &Value, depth: usize, text: &mut String) {
    let spaces = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                text.push_str(&spaces);
                let key = scalar(random, style, &Value::from(key.as_str()));
                entry(random, style, &key, value, depth, text);
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut inner = String::new();
                if is_block(style, item) {
                    block(random, style, item, depth + 1, &mut inner);
                    write!(text, "{spaces}- {}", inner.trim_start_matches(' ')).expect("memory");
                } else {
                    writeln!(text, "{spaces}- {}", scalar(random, style, item)).expect("memory");
                }
            }
        }
        other => writeln!(text, "{spaces}{}", scalar(random, style, other)).expect("memory"),
    }
}

fn entry(random: &mut Random, style: &Style, key: &str, value: &Value, depth: usize, text: &mut String) {
    text.push_str(key);
    text.push(':');
    if is_block(style, value) {
        text.push('\n');
        // A list may stand as far out as its key.
        let depth = if value.is_array() && random.once_in(2) { depth } else { depth + 1 };
        return block(random, style, value, depth, text);
    }
    match value.as_str() {
        Some(lines)
            if lines.contains('\n') && lines.ends_with('\n') && !lines.contains([' ', '\t', '\r']) =>
        {
            text.push_str(" |\n");
            for line in lines.lines() {
                writeln!(text, "{}{line}", "  ".repeat(depth + 1)).expect("memory");
            }
        }
        _ => writeln!(text, " {}", scalar(random, style, value)).expect("memory"),
    }
}

fn is_block(style: &Style, value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !(items.is_empty() || style.flow && items.iter().all(Value::is_string)),
        _ => false,
    }
}

fn scalar(random: &mut Random, style: &Style, value: &Value) -> String {
    let text = match value {
        Value::String(text) => text,
        Value::Null => return random.pick(&["null", "~", "", "Null"]).to_owned(),
        Value::Bool(true) => return random.pick(&["true", "True", "yes", "on", "YES", "y"]).to_owned(),
        Value::Bool(false) => return random.pick(&["false", "False", "no", "off", "No", "n"]).to_owned(),
        other => return other.to_string(),
    };
    let quotes = if style.quotes == 3 { random.below(3) } else { style.quotes };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._/-@=".contains(&b);
    let needs = |text: &str| {
        let word = matches!(
            text.to_ascii_lowercase().as_str(),
            "" | "true"
                | "false"
                | "null"
                | "yes"
                | "no"
                | "on"
                | "off"
                | "y"
                | "n"
                | "nan"
                | ".inf"
                | ".nan"
                | "-.inf"
        );
        let first = text.bytes().next().unwrap_or_default();
        word || !text.bytes().all(plain) || !(first.is_ascii_alphabetic() || first == b'/')
    };
    let is_printable = text.chars().all(|c| !c.is_control() && c != '\u{2028}' && c != '\u{feff}');
    match quotes {
        0 if !needs(text) => text.clone(),
        0 | 1 if is_printable => format!("'{}'", text.replace('\'', "''")),
        // JSON's strings are YAML's.
        _ => Value::from(text.as_str()).to_string(),
    }
}
