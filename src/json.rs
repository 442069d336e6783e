//! JSON: untrusted, of which only the fields that are used are held in memory, the rest is passed over, however much it is;
//! and text that is quoted as JSON has it.
//!
//! A tree and not types: code that is made for each type costs kilobytes. null is an absent value everywhere, as in Go's
//! decoder (`encoding/json`).

use std::fmt::{self, Write as _};

use serde::de::{Deserialize as _, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::limits;

/// Reads the fields with these names, at any depth.
///
/// `None` for what is not UTF-8 text (RFC 8259, section 8.1) or not JSON, has one of the names twice in an object, or
/// has more than [`limits::JSON_VALUES`] values that are kept. Why is not reported: the parser's words quote the text,
/// which may be a secret.
pub fn tree(json: &[u8], names: &[&str]) -> Option<Value> {
    let json = str::from_utf8(json).ok()?;
    read(json, Some(names), limits::JSON_VALUES)
}

/// Reads all of it, for a caller that has bounded it.
///
/// `None` for what is not JSON, or has a name twice in an object.
pub fn whole(json: &str) -> Option<Value> {
    read(json, None, usize::MAX)
}

fn read(json: &str, names: Option<&[&str]>, max: usize) -> Option<Value> {
    let mut parser = serde_json::Deserializer::from_str(json);
    let mut left = Some(max);
    let tree = Tree { names, left: &mut left, conditions: false }.deserialize(&mut parser).ok()?;
    parser.end().ok()?;
    left.map(|_| tree)
}

/// A field of an object, null where it is missing; `None` where `value` is something else than an object.
pub fn field<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    match value {
        Value::Object(fields) => Some(fields.get(name).unwrap_or(&Value::Null)),
        Value::Null => Some(value),
        _ => None,
    }
}

/// The string in a field, empty where it is missing; `None` where the field is something else.
pub fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    string(field(value, name)?)
}

/// A string, empty for null; `None` for anything else.
pub fn string(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Null => Some(""),
        _ => None,
    }
}

/// The list in a field, empty where it is missing; `None` where the field is something else.
pub fn list<'v>(value: &'v Value, name: &str) -> Option<&'v [Value]> {
    match field(value, name)? {
        Value::Array(items) => Some(items),
        Value::Null => Some(&[]),
        _ => None,
    }
}

/// The field of a status that any controller may add to.
const CONDITIONS: &str = "conditions";

/// The types of conditions that decide something, of requests (`k8s.io/api/certificates/v1/types.go`) and of a Node
/// (`k8s.io/api/core/v1/types.go`).
const DECIDING: [&str; 4] = ["Approved", "Denied", "Failed", "Ready"];

/// Whether a condition matters. One that is not a condition is left to the caller, who refuses it.
fn decides(condition: &Value) -> bool {
    let is_text = |value| string(value).is_some();
    let is_condition = condition.is_null() || condition.as_object().is_some_and(|o| o.values().all(is_text));
    !is_condition || condition["type"].as_str().is_some_and(|kind| DECIDING.contains(&kind))
}

/// A value that is read.
struct Tree<'a> {
    /// The names of the fields that are kept; all of them where it is missing.
    names: Option<&'a [&'a str]>,
    /// How many values may still be kept; `None` once the text is refused. What is left of it is passed over then: that
    /// takes 1 KB less than an error, which serde_json makes of words.
    left: &'a mut Option<usize>,
    /// Whether it is a list of conditions, of which only those that decide are kept.
    conditions: bool,
}

impl Tree<'_> {
    /// The tree for a part of it.
    fn part(&mut self, conditions: bool) -> Tree<'_> {
        *self.left = self.left.and_then(|left| left.checked_sub(1));
        Tree { names: self.names, left: self.left, conditions: conditions && self.names.is_some() }
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.left {
            Some(_) => deserializer.deserialize_any(self),
            None => IgnoredAny::deserialize(deserializer).map(|_| Value::Null),
        }
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            let before = *self.left;
            let Some(item) = list.next_element_seed(self.part(false))? else { break };
            if self.left.is_none() {
                continue;
            }
            if self.conditions && !decides(&item) {
                *self.left = before;
            } else {
                items.push(item);
            }
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if self.names.is_some_and(|names| !names.contains(&name.as_str())) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value_seed(self.part(name == CONDITIONS))?;
            if fields.insert(name, value).is_some() {
                *self.left = None;
            }
        }
        Ok(Value::Object(fields))
    }
}

/// A text in double quotes, as JSON and YAML have it, and of printable ASCII Go's `%q` and systemd's EnvironmentFile.
pub fn quoted(text: &str) -> String {
    // Room for all of it: a token may be in it, and a buffer that grows leaves copies behind.
    let mut quoted = String::with_capacity(2 * text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            // Short: a text can have a million of them.
            '\n' => quoted.push_str("\\n"),
            // Not all of them need it in JSON: YAML takes some for line breaks, and Go's reader refuses others.
            '\0'..' ' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: &str) -> Option<Value> {
        tree(json.as_bytes(), &["a", "b"])
    }

    #[test]
    fn named_fields_are_kept_at_any_depth() {
        for (json, kept) in [
            (r#"{"a":"1","b":""}"#, json!({"a": "1", "b": ""})),
            (r#"{"b":2,"c":{"a":"3"},"d":[1,null]}"#, json!({"b": 2})),
            (
                r#"{"a":{"c":1,"b":[null,{"b":-1,"x":[]},true,1.5]}}"#,
                json!({"a": {"b": [null, {"b": -1}, true, 1.5]}}),
            ),
            (r#"{"a":null,"x":1,"x":2,"\u0062":"\n"}"#, json!({"a": null, "b": "\n"})),
            ("[]", json!([])),
            ("null", Value::Null),
        ] {
            assert_eq!(read(json).unwrap(), kept, "{json}");
        }
    }

    #[test]
    fn what_is_not_json_or_has_a_field_twice_is_refused() {
        for json in [
            "",
            "{",
            "{}{}",
            r#"{"a":1,"a":1}"#,
            r#"{"a":null,"a":1}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            r#"{"x":}"#,
        ] {
            assert!(read(json).is_none(), "{json}");
        }
        assert!(tree(b"{\"x\":\"\xff\"}", &["a"]).is_none(), "no text in what is passed over");
    }

    #[test]
    fn null_is_absent_and_another_type_is_told() {
        let value = json!({"text": "t", "list": [1], "null": null, "number": 1});
        let texts = ["text", "null", "none", "list", "number"].map(|name| text(&value, name));
        assert_eq!(texts, [Some("t"), Some(""), Some(""), None, None]);
        let lists = ["list", "null", "none", "text"].map(|name| list(&value, name).map(<[_]>::len));
        assert_eq!(lists, [Some(1), Some(0), Some(0), None]);
        assert_eq!((field(&Value::Null, "x"), field(&json!(1), "x")), (Some(&Value::Null), None));
    }

    #[test]
    fn quotes_are_those_of_go() {
        assert_eq!(quoted(r#"--a=b "c" \d"#), r#""--a=b \"c\" \\d""#);
        assert_eq!(whole(&quoted("\0\n\u{1f}\"\\\u{7f}ä")).unwrap(), "\0\n\u{1f}\"\\\u{7f}ä");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let list = |count: usize| format!(r#"{{"a":[{}1]}}"#, "1,".repeat(count));
        // The field, the items, and the end of the list.
        assert!(read(&list(limits::JSON_VALUES - 3)).is_some());
        assert!(read(&list(limits::JSON_VALUES - 2)).is_none());
        assert!(
            read(&list(limits::JSON_VALUES).replace('a', "x")).is_some(),
            "what is passed over is not counted"
        );
    }

    #[test]
    fn of_conditions_those_that_decide_are_kept() {
        let read = |json: &str| tree(json.as_bytes(), &[CONDITIONS, "type", "status"]);
        let others =
            r#"null,{},{"type":null},{"type":"Other","status":"True","x":1},"#.repeat(limits::JSON_VALUES);
        let json = [r#"{"conditions":["#, &others, r#"{"type":"Ready","status":"True"}]}"#].concat();
        assert_eq!(read(&json).unwrap(), json!({"conditions": [{"type": "Ready", "status": "True"}]}));
        let odd = r#"{"conditions":[1,{"type":1},{"type":"Other","status":[]}]}"#;
        assert_eq!(list(&read(odd).unwrap(), CONDITIONS).map(<[_]>::len), Some(3), "left to the caller");
        assert_eq!(whole("{\"conditions\":[{}]}").unwrap(), json!({"conditions": [{}]}), "all is all");
        let many =
            [r#"{"conditions":["#, &r#"{"type":"Ready"},"#.repeat(limits::JSON_VALUES), "0]}"].concat();
        assert!(read(&many).is_none(), "those that decide are bounded");
    }
}
