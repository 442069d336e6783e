//! JSON patches (RFC 6902), as kubeadm's library applies them (`gopkg.in/evanphx/json-patch.v4/patch.go`). Unlike the RFC,
//! a map has null under any key that is not in it, but for what is removed and what lies below it; an index below zero
//! counts from the end; and only `replace` and `test` know the whole document.

use serde_json::Value;

use super::{remove, same};
use crate::limits;

/// Applies one operation. `room` is what may still be copied, in [`weight`].
pub(super) fn apply(document: &mut Value, operation: &Value, room: &mut usize) -> Result<(), &'static str> {
    let text = |name: &str| operation[name].as_str();
    let path = text("path");
    let value = || operation["value"].clone();
    match text("op") {
        Some("add") => add(document, path, value()),
        Some("remove") => take(document, path).map(|_| ()),
        Some("replace") if path == Some("") => {
            *document = value();
            Ok(())
        }
        Some("replace") => {
            let (place, key) = find(document, path)?;
            get(place, &key)?;
            match place {
                Value::Array(items) => {
                    let at = index(&key, items.len())?;
                    items[at] = value();
                }
                place => place[key] = value(),
            }
            Ok(())
        }
        Some("move") => {
            let value = take(document, text("from"))?;
            add(document, path, value)
        }
        Some("copy") => {
            let (place, key) = find(document, text("from"))?;
            let value = get(place, &key)?;
            *room = room.checked_sub(weight(value)).ok_or("it copies too much")?;
            let value = value.clone();
            add(document, path, value)
        }
        Some("test") => {
            let found = if path == Some("") {
                document
            } else {
                let (place, key) = find(document, path)?;
                get(place, &key)?
            };
            if same(found, &operation["value"]) { Ok(()) } else { Err("the value is a different one") }
        }
        _ => Err("op is not one of add, remove, replace, move, copy, test"),
    }
}

/// The map or list that a path leads into, and the last key of it (RFC 6901).
fn find<'d>(mut place: &'d mut Value, path: Option<&str>) -> Result<(&'d mut Value, String), &'static str> {
    let (parents, key) = path.and_then(|path| path.rsplit_once('/')).ok_or("a path is missing or empty")?;
    let decode = |key: &str| key.replace("~1", "/").replace("~0", "~");
    // What stands before the first slash counts for nothing.
    for (depth, key) in parents.split('/').skip(1).enumerate() {
        if depth > limits::YAML_DEPTH {
            return Err("a path is too long");
        }
        let key = decode(key);
        place = match place {
            Value::Array(items) => {
                let at = index(&key, items.len())?;
                &mut items[at]
            }
            place => place.get_mut(&key).ok_or(MISSING)?,
        };
    }
    if place.is_array() || place.is_object() { Ok((place, decode(key))) } else { Err(MISSING) }
}

const MISSING: &str = "a path leads nowhere";

/// The value under a key; null for one that a map does not have.
fn get<'v>(place: &'v Value, key: &str) -> Result<&'v Value, &'static str> {
    match place {
        Value::Array(items) => index(key, items.len()).map(|at| &items[at]),
        place => Ok(&place[key]),
    }
}

fn add(document: &mut Value, path: Option<&str>, value: Value) -> Result<(), &'static str> {
    let depth = path.unwrap_or_default().split('/').count() + depth(&value);
    if depth > limits::YAML_DEPTH {
        return Err("it nests too deeply");
    }
    let (place, key) = find(document, path)?;
    match place {
        Value::Array(items) if key == "-" => items.push(value),
        // Behind the last one there is a place, too.
        Value::Array(items) => items.insert(index(&key, items.len() + 1)?, value),
        place => place[key] = value,
    }
    Ok(())
}

fn take(document: &mut Value, path: Option<&str>) -> Result<Value, &'static str> {
    let (place, key) = find(document, path)?;
    match place {
        Value::Array(items) => Ok(items.remove(index(&key, items.len())?)),
        place => place.as_object_mut().and_then(|map| remove(map, &key)).ok_or(MISSING),
    }
}

/// The place in a list that has so many.
fn index(key: &str, places: usize) -> Result<usize, &'static str> {
    let number: i64 = key.parse().map_err(|_| MISSING)?;
    let places = i64::try_from(places).map_err(|_| MISSING)?;
    let at = if number < 0 { number + places } else { number };
    if (0..places).contains(&at) { usize::try_from(at).map_err(|_| MISSING) } else { Err(MISSING) }
}

/// How much memory a value takes, about: what its texts have, and something for each part.
fn weight(value: &Value) -> usize {
    64 + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + weight(value)).sum(),
        _ => 0,
    }
}

/// How many collections lie in each other.
fn depth(value: &Value) -> usize {
    let deepest = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(map) => map.values().map(depth).max(),
        _ => return 0,
    };
    1 + deepest.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{map, shown};
    use super::*;

    fn applied(document: &str, operations: &str) -> Result<String, &'static str> {
        let mut document = Value::Object(map(document));
        let mut room = 4096;
        for operation in crate::yaml::tree(operations).unwrap().as_array().unwrap() {
            apply(&mut document, operation, &mut room)?;
        }
        Ok(document.to_string())
    }

    #[test]
    fn operations_do_what_kubeadms_library_does() {
        let document = "a: {b: [1, 2], c: x}\nd: ~";
        for (operations, expected) in [
            ("[]", document),
            ("[{op: add, path: /e, value: 1}]", "a: {b: [1, 2], c: x}\nd: ~\ne: 1"),
            ("[{op: add, path: /a/b/-, value: 3}]", "a: {b: [1, 2, 3], c: x}\nd: ~"),
            ("[{op: add, path: /a/b/2, value: 3}]", "a: {b: [1, 2, 3], c: x}\nd: ~"),
            ("[{op: add, path: /a/b/0, value: 3}]", "a: {b: [3, 1, 2], c: x}\nd: ~"),
            ("[{op: add, path: /a/b/-1, value: 3}]", "a: {b: [1, 2, 3], c: x}\nd: ~"),
            ("[{op: add, path: /a/b}]", "a: {b: ~, c: x}\nd: ~"),
            ("[{op: add, path: a, value: 1}]", ""),
            ("[{op: add, path: x/d, value: 1}]", "a: {b: [1, 2], c: x}\nd: 1"),
            ("[{op: add, path: /d/e, value: 1}]", ""),
            ("[{op: add, path: /a/c/e, value: 1}]", ""),
            ("[{op: add, path: /a/b/3, value: 1}]", ""),
            ("[{op: add, path: /a/b/x, value: 1}]", ""),
            ("[{op: add, path: '', value: {}}]", ""),
            ("[{op: add, value: {}}]", ""),
            ("[{op: add, path: /~1~01, value: 1}]", "/~1: 1\na: {b: [1, 2], c: x}\nd: ~"),
            ("[{op: remove, path: /a/b/0}]", "a: {b: [2], c: x}\nd: ~"),
            ("[{op: remove, path: /a/b/-2}]", "a: {b: [2], c: x}\nd: ~"),
            ("[{op: remove, path: /a/b/2}]", ""),
            ("[{op: remove, path: /a/b/-3}]", ""),
            ("[{op: remove, path: /a}, {op: remove, path: /d}]", "{}"),
            ("[{op: remove, path: /e}]", ""),
            ("[{op: replace, path: /e, value: 1}]", "a: {b: [1, 2], c: x}\nd: ~\ne: 1"),
            ("[{op: replace, path: /a/b/+01, value: 3}]", "a: {b: [1, 3], c: x}\nd: ~"),
            ("[{op: replace, path: /a/b/2, value: 3}]", ""),
            ("[{op: replace, path: '', value: {x: 1}}]", "x: 1"),
            ("[{op: move, from: /a/b, path: /d}]", "a: {c: x}\nd: [1, 2]"),
            ("[{op: move, from: /a, path: /a/b}]", ""),
            ("[{op: move, from: /e, path: /d}]", ""),
            ("[{op: copy, from: /a/c, path: /a/b/0}]", "a: {b: [x, 1, 2], c: x}\nd: ~"),
            ("[{op: copy, from: /e, path: /a}]", "a: ~\nd: ~"),
            ("[{op: copy, from: /a/b/2, path: /a}]", ""),
            ("[{op: test, path: /a/b, value: [1, 2.0]}]", document),
            ("[{op: test, path: /a, value: {c: x, b: [1, 2]}}]", document),
            ("[{op: test, path: /e, value: ~}]", document),
            ("[{op: test, path: /a, value: {c: x, b: [1.0, 2]}}]", document),
            ("[{op: test, path: /a, value: {b: [1, 2]}}]", ""),
            ("[{op: test, path: /a, value: {b: [1, 2], c: x, d: ~}}]", ""),
            ("[{op: test, path: /a, value: {b: [1, 2], c: y}}]", ""),
            ("[{op: test, path: /a/b, value: [1, 3]}]", ""),
            ("[{op: test, path: /a/b, value: [1]}]", ""),
            ("[{op: test, path: /a/b/0, value: 2}]", ""),
            ("[{op: test, path: /a/b/0, value: '1'}]", ""),
            ("[{op: test, path: '', value: {d: ~, a: {c: x, b: [1, 2]}}}]", document),
            ("[{op: Add, path: /e, value: 1}]", ""),
            ("[{path: /e, value: 1}]", ""),
            ("[~]", ""),
            ("[add]", ""),
        ] {
            let expected = (!expected.is_empty()).then(|| shown(map(expected)));
            assert_eq!(applied(document, operations).ok(), expected, "{operations}");
        }
    }

    #[test]
    fn what_is_copied_is_bounded_and_so_is_the_depth() {
        let copies = "- {op: copy, from: /a, path: /a/-}\n";
        assert!(applied("a: [x, y]", &copies.repeat(3)).is_ok());
        assert_eq!(applied("a: [x, y]", &copies.repeat(30)), Err("it copies too much"));
        let (long, twice) = (format!("a: {}", "x".repeat(3000)), "[{op: copy, from: /a, path: /b}]");
        assert!(applied(&long, twice).is_ok());
        // 64 for each part, and its letters: 1024 in all.
        for (key, value, copies, fits) in
            [(448, 448, 4, true), (449, 448, 4, false), (448, 449, 4, false), (1, 1, 31, true)]
        {
            let map = format!("a: {{{}: {}}}", "k".repeat(key), "v".repeat(value));
            let copies = "- {op: copy, from: /a, path: /b}\n".repeat(copies);
            assert_eq!(applied(&map, &copies).is_ok(), fits, "{key} {value}");
        }
        assert_eq!(
            applied(&long, &twice.replace('[', "[{op: copy, from: /a, path: /c}, ")),
            Err("it copies too much")
        );
        let deeper = "- {op: move, from: /a, path: /b/a}\n- {op: move, from: /b, path: /a}\n\
                      - {op: add, path: /b, value: {}}\n";
        assert!(applied("a: {}\nb: {}", &deeper.repeat(10)).is_ok());
        assert_eq!(applied("a: {}\nb: {}", &deeper.repeat(40)), Err("it nests too deeply"));
        let long = format!("[{{op: add, path: {}, value: 1}}]", "/a".repeat(100));
        assert_eq!(applied("a: {}", &long), Err("it nests too deeply"));
        let nested =
            |open: &str, close: &str, times: usize| format!("{}x{}", open.repeat(times), close.repeat(times));
        let moved = "[{op: move, from: /a, path: /b}]";
        for (open, close) in [("{c: ", "}"), ("[", "]")] {
            let document = |times| format!("a: {}", nested(open, close, times));
            assert!(applied(&document(limits::YAML_DEPTH - 2), moved).is_ok());
            assert_eq!(applied(&document(limits::YAML_DEPTH - 1), moved), Err("it nests too deeply"));
        }
    }

    /// What replaces may lie as deep as what is replaced.
    #[test]
    fn a_path_is_bounded() {
        let keys = |times: usize| "/a".repeat(times);
        let replace = |at: usize, times: usize| {
            let value = format!("{}x{}", "{a: ".repeat(times), "}".repeat(times));
            format!("- {{op: replace, path: {}, value: {value}}}\n", keys(at))
        };
        let deep = [replace(1, 20), replace(20, 20)].concat();
        let with = |keys: String| applied("a: x", &format!("{deep}- {{op: remove, path: {keys}}}\n"));
        assert!(with(keys(limits::YAML_DEPTH + 2)).is_ok());
        assert_eq!(with(keys(limits::YAML_DEPTH + 3)), Err("a path is too long"));
    }
}
