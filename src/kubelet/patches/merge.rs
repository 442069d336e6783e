//! Merge patches (RFC 7386), as kubeadm's library has them (`gopkg.in/evanphx/json-patch.v4/merge.go`). Unlike the RFC it
//! leaves nulls out of maps in lists, too, unless the list replaces a map.

use serde_json::{Map, Value};

use super::{keep, remove};

/// Merges the entries of `patch` into `document`.
pub(super) fn merge(document: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (key, mut value) in patch {
        if value.is_null() {
            remove(document, &key);
        } else if let (Some(Value::Object(own)), true) = (document.get_mut(&key), value.is_object()) {
            if let Value::Object(patch) = value {
                merge(own, patch);
            }
        } else {
            if !document.get(&key).is_some_and(Value::is_object) {
                prune(&mut value);
            }
            document.insert(key, value);
        }
    }
}

/// Leaves nulls out of maps.
fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            keep(map, |_, value| !value.is_null());
            map.iter_mut().for_each(|(_, value)| prune(value));
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{map, shown};
    use super::*;

    #[test]
    fn maps_are_merged_and_all_else_is_replaced() {
        for (document, patch, merged) in [
            ("a: 1\nb: 2", "b: 3\nc: 4", "a: 1\nb: 3\nc: 4"),
            ("a: {b: 1, c: 2}", "a: {c: null, d: 3}", "a: {b: 1, d: 3}"),
            ("a: 1", "a: ~\nb: ~", "{}"),
            ("a: [1, 2]", "a: [3]", "a: [3]"),
            ("a: [1]", "a: {b: ~, c: 1}", "a: {c: 1}"),
            ("a: ~", "a: {b: ~}", "a: {}"),
            // Not as the RFC has it, where a list is taken as it is.
            ("a: [1]", "a: [~, {b: ~}]", "a: [~, {}]"),
            ("b: 1", "a: [{b: ~, c: {d: ~}}]", "a: [{c: {}}]\nb: 1"),
            ("a: {b: 1}", "a: [{b: ~}]", "a: [{b: ~}]"),
            ("a: 1", "$patch: delete", "$patch: delete\na: 1"),
        ] {
            let mut document_ = map(document);
            merge(&mut document_, map(patch));
            assert_eq!(shown(document_), shown(map(merged)), "{document}, {patch}");
        }
    }
}
