//! Strategic merge patches (`k8s.io/apimachinery/pkg/util/strategicpatch/patch.go`) of a KubeletConfiguration, none of
//! whose lists has a merge key or a strategy (`k8s.io/kubelet/config/v1beta1/types.go`): a list is replaced.

use std::mem::{self, discriminant};

use serde_json::{Map, Value};

use super::{keep, remove, same};

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
const ORDER: &str = "$setElementOrder";

/// Merges `patch` into `document`, directives first.
pub(super) fn merge(
    mut document: Map<String, Value>,
    mut patch: Map<String, Value>,
) -> Result<Map<String, Value>, &'static str> {
    match remove(&mut patch, DIRECTIVE).as_ref().map(Value::as_str) {
        None => {}
        Some(Some("replace")) => return Ok(patch),
        Some(Some("delete")) => return Ok(Map::new()),
        Some(_) => return Err("$patch is neither replace nor delete"),
    }
    if let Some(keys) = remove(&mut patch, RETAIN) {
        let keys = keys.as_array().ok_or("$retainKeys is not a list")?;
        let is_kept = |key: &String| keys.iter().any(|kept| kept == key);
        let is_free = |key: &str| key.starts_with(DELETE_FROM) || key.starts_with(ORDER);
        if patch.iter().any(|(key, value)| !value.is_null() && !is_free(key) && !is_kept(key)) {
            return Err("$retainKeys lacks a key of its own patch");
        }
        keep(&mut document, |key, _| is_kept(key));
    }
    let orders: Vec<String> = patch.keys().filter(|key| key.starts_with(ORDER)).cloned().collect();
    for key in orders {
        let order = remove(&mut patch, &key).unwrap_or_default();
        let name = list_name(&key, ORDER)?;
        if let Some(list) = ordered(document.get(name), remove(&mut patch, name).as_ref(), &order)? {
            document.insert(name.to_owned(), Value::Array(list));
        }
    }
    for (key, value) in patch {
        let deletes = key.starts_with(DELETE_FROM);
        let name = if deletes { list_name(&key, DELETE_FROM)? } else { key.as_str() };
        if value.is_null() {
            remove(&mut document, name);
            continue;
        }
        match (document.get_mut(name), value) {
            (Some(Value::Object(own)), Value::Object(patch)) => *own = merge(mem::take(own), patch)?,
            (Some(Value::Array(own)), Value::Array(items)) if deletes => {
                check_elements(own.iter().chain(&items))?;
                own.retain(|own| !items.iter().any(|item| same(own, item)));
            }
            (Some(own), value) if discriminant(own) == discriminant(&value) => *own = value,
            (_, value) if !deletes => match cleaned(value) {
                Some(value) => drop(document.insert(name.to_owned(), value)),
                None => drop(remove(&mut document, name)),
            },
            _ => {}
        }
    }
    Ok(document)
}

/// The list that a directive is for.
fn list_name<'k>(key: &'k str, directive: &str) -> Result<&'k str, &'static str> {
    key.strip_prefix(directive)
        .and_then(|rest| rest.strip_prefix('/'))
        .ok_or("a directive for a list does not name it behind a slash")
}

/// A value that replaces nothing of its type: without nulls in maps, and without maps that hold a directive.
fn cleaned(value: Value) -> Option<Value> {
    Some(match value {
        Value::Object(map) => {
            if map.get(DIRECTIVE).is_some_and(|directive| !directive.is_null()) {
                return None;
            }
            let mut kept = Map::new();
            for (key, value) in map {
                if let Some(value) = Some(value).filter(|value| !value.is_null()).and_then(cleaned) {
                    kept.insert(key, value);
                }
            }
            Value::Object(kept)
        }
        Value::Array(items) => items.into_iter().filter_map(cleaned).collect(),
        value => value,
    })
}

/// What a directive for a list knows: elements of one type, and no maps or lists among them.
fn check_elements<'v>(mut elements: impl Iterator<Item = &'v Value>) -> Result<(), &'static str> {
    let Some(first) = elements.next() else { return Ok(()) };
    let is_plain = !(first.is_null() || first.is_array() || first.is_object());
    let is_like_first = |element: &Value| discriminant(element) == discriminant(first);
    if is_plain && elements.all(is_like_first) {
        Ok(())
    } else {
        Err("a list with a directive has to have strings, numbers or switches only")
    }
}

/// A list as `$setElementOrder` wants it: what the order names as the order has it, and the others, which keep their own
/// order, between that. `None` where there is no list.
fn ordered(
    own: Option<&Value>,
    patch: Option<&Value>,
    order: &Value,
) -> Result<Option<Vec<Value>>, &'static str> {
    let problem = "$setElementOrder is not a list for a list";
    let list = |value: &Value| value.as_array().cloned().ok_or(problem);
    let order = list(order)?;
    let own = own.map(list).transpose()?;
    let patch = patch.map(list).transpose()?;
    if own.is_none() && patch.is_none() {
        return Ok(None);
    }
    let mut places = order.iter();
    let mut is_in_order = |item: &Value| places.any(|place| same(place, item));
    if !order.is_empty() && !patch.iter().flatten().all(&mut is_in_order) {
        return Err("$setElementOrder lacks an element of its list, or has it elsewhere");
    }
    check_elements(own.iter().chain(&patch).flatten())?;
    let has_elements = own.iter().chain(&patch).any(|list| !list.is_empty());
    if !has_elements || order.iter().any(|place| place.is_array() || place.is_object()) {
        return Err("$setElementOrder orders nothing, or maps and lists");
    }
    let all = patch.or_else(|| own.clone()).unwrap_or_default();
    let own = own.unwrap_or_default();
    let rank = |item: &Value, order: &[Value]| order.iter().position(|place| same(place, item));
    let (mut named, mut rest) = (Vec::new(), Vec::new());
    for item in all {
        match rank(&item, &order) {
            Some(place) => named.push((Some(place), item)),
            None => rest.push((rank(&item, &own), item)),
        }
    }
    sort(&mut named);
    sort(&mut rest);
    let (mut list, mut rest) = (Vec::new(), rest.into_iter().peekable());
    for (_, item) in named {
        let place = rank(&item, &own);
        while let Some((_, before)) = rest.next_if(|(own, _)| *own < place) {
            list.push(before);
        }
        list.push(item);
    }
    list.extend(rest.map(|(_, item)| item));
    Ok(Some(list))
}

/// Sorts by insertion, as Go's `sort.SliceStable` does for up to 20 elements: what has no place goes before what it meets.
fn sort(items: &mut [(Option<usize>, Value)]) {
    for end in 1..items.len() {
        for at in (1..=end).rev() {
            let goes_before = match (items[at].0, items[at - 1].0) {
                (Some(place), Some(other)) => place < other,
                _ => true,
            };
            if !goes_before {
                break;
            }
            items.swap(at, at - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{map, shown};
    use super::*;

    #[test]
    fn merges_are_those_of_kubernetes() {
        let document = "a: [x, u, z]\nb: {c: 1, d: {e: 2}}\nf: g";
        for (patch, merged) in [
            ("{}", document),
            ("a: [w]\nf: 1", "a: [w]\nb: {c: 1, d: {e: 2}}\nf: 1"),
            ("b: {c: ~, d: {h: 3}, i: ~}", "a: [x, u, z]\nb: {d: {e: 2, h: 3}}\nf: g"),
            ("b: 1\nf: {j: ~, k: {$patch: replace}}", "a: [x, u, z]\nb: 1\nf: {}"),
            ("b: {$patch: replace, l: ~}", "a: [x, u, z]\nb: {l: ~}\nf: g"),
            ("b: {$patch: delete, l: 1}", "a: [x, u, z]\nb: {}\nf: g"),
            ("f: {$patch: replace}\nm: {$patch: anything}", "a: [x, u, z]\nb: {c: 1, d: {e: 2}}"),
            ("m: [{n: ~}, {$patch: delete}, ~]", "a: [x, u, z]\nb: {c: 1, d: {e: 2}}\nf: g\nm: [{}, ~]"),
            ("a: [{$patch: replace}, ~]", "a: [{$patch: replace}, ~]\nb: {c: 1, d: {e: 2}}\nf: g"),
            ("$patch: delete", "{}"),
            ("$patch: replace\nf: h", "f: h"),
            ("b: {$patch: merge}", ""),
            ("$patch: 1", ""),
            ("b: {$retainKeys: [d]}", "a: [x, u, z]\nb: {d: {e: 2}}\nf: g"),
            ("b: {$retainKeys: [d, m], m: 1, c: ~}", "a: [x, u, z]\nb: {d: {e: 2}, m: 1}\nf: g"),
            ("b: {$retainKeys: [d], m: 1}", ""),
            ("b: {$retainKeys: d}", ""),
            ("$retainKeys: [a]\n$deleteFromPrimitiveList/a: [u]", "a: [x, z]"),
            ("$retainKeys: [a]\n$setElementOrder/a: [z]", "a: [x, u, z]"),
            ("$deleteFromPrimitiveList/a: [u, v]", "a: [x, z]\nb: {c: 1, d: {e: 2}}\nf: g"),
            ("$deleteFromPrimitiveList/m: [u]", document),
            ("$deleteFromPrimitiveList/f: [u]", document),
            ("$deleteFromPrimitiveList/a: ~", "b: {c: 1, d: {e: 2}}\nf: g"),
            ("$deleteFromPrimitiveList/a: [1]", ""),
            ("$deleteFromPrimitiveList/a: [{}]", ""),
            ("$deleteFromPrimitiveLists: [x]", ""),
            ("$setElementOrder/a: [z, x]", "a: [u, z, x]\nb: {c: 1, d: {e: 2}}\nf: g"),
            ("$setElementOrder/a: [x]", "a: [x, u, z]\nb: {c: 1, d: {e: 2}}\nf: g"),
            ("$setElementOrder/a: [z, w]\na: [w]", "a: [w]\nb: {c: 1, d: {e: 2}}\nf: g"),
            ("$setElementOrder/a: []\na: [w, x, z]", "a: [x, z, w]\nb: {c: 1, d: {e: 2}}\nf: g"),
            ("$setElementOrder/m: [z, w]\nm: [z]", "a: [x, u, z]\nb: {c: 1, d: {e: 2}}\nf: g\nm: [z]"),
            ("$setElementOrder/m: [z, w]", document),
            ("$setElementOrder/a: [z, w]\na: [w, z]", ""),
            ("$setElementOrder/f: [z]", ""),
            ("$setElementOrder/a: {}", ""),
            ("$setElementOrder/a: [{}]", ""),
            ("$setElementOrder: [a]", ""),
        ] {
            let expected = (!merged.is_empty()).then(|| shown(map(merged)));
            assert_eq!(merge(map(document), map(patch)).map(shown).ok(), expected, "{patch}");
        }
    }

    #[test]
    fn a_list_with_a_directive_has_plain_elements_of_one_type() {
        for (elements, expected) in [
            ("[]", true),
            ("[a, b]", true),
            ("[1, 2.5]", true),
            ("[true]", true),
            ("[a, 1]", false),
            ("[~, ~]", false),
            ("[[a], [a]]", false),
            ("[{}, {}]", false),
        ] {
            let elements = map(&format!("a: {elements}"))["a"].clone();
            assert_eq!(check_elements(elements.as_array().unwrap().iter()).is_ok(), expected, "{elements}");
        }
    }

    #[test]
    fn what_is_the_same_keeps_its_order() {
        let document = map("a: [1, 1.0, 2]");
        let sorted = merge(document, map("$setElementOrder/a: [2, 1]")).map(shown);
        assert_eq!(sorted.as_deref(), Ok(r#"{"a":[2,1,1.0]}"#));
    }
}
