//! Every report of every run is what its JSON Schema says, `image/nodestrap-report.schema.json`. The part of JSON Schema
//! (draft 2020-12) that it uses is read here; a keyword that is not is an error, so that nothing in it goes unchecked.

use std::sync::LazyLock;

use serde_json::Value;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../image/nodestrap-report.schema.json")).expect("JSON")
});

/// Where a report is not what the schema says, and how.
pub fn misfit(report: &Value) -> Option<String> {
    judge(&SCHEMA, report).err()
}

/// Asserts that it is nowhere so.
pub fn hold(report: Option<&Value>) {
    let misfit = report.and_then(misfit);
    assert!(misfit.is_none(), "{}", misfit.unwrap_or_default());
}

fn judge(schema: &Value, value: &Value) -> Result<(), String> {
    for (keyword, expected) in schema.as_object().expect("a schema is an object") {
        let list = || expected.as_array().expect("a list");
        let fits = |one: &&Value| judge(one, value).is_ok();
        let length =
            || value.as_str().map_or_else(|| value.as_array().map(Vec::len), |s| Some(s.chars().count()));
        let bound = || usize::try_from(expected.as_u64().expect("a number")).expect("a small one");
        let holds = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" => true,
            "$ref" => {
                let path =
                    expected.as_str().and_then(|path| path.strip_prefix('#')).expect("a place in here");
                judge(SCHEMA.pointer(path).expect(path), value)?;
                true
            }
            "type" => match expected {
                Value::String(name) => is_of(value, name),
                several => several
                    .as_array()
                    .expect("a list")
                    .iter()
                    .any(|t| is_of(value, t.as_str().expect("a name"))),
            },
            "const" => value == expected,
            "enum" => list().contains(value),
            "anyOf" => list().iter().any(|one| fits(&one)),
            "oneOf" => list().iter().filter(fits).count() == 1,
            "minimum" => value.as_f64().is_none_or(|number| number >= expected.as_f64().expect("a number")),
            "minLength" | "minItems" => length().is_none_or(|length| length >= bound()),
            "maxLength" | "maxItems" => length().is_none_or(|length| length <= bound()),
            "pattern" => {
                value.as_str().is_none_or(|text| matches(expected.as_str().expect("a pattern"), text))
            }
            "required" => value.as_object().is_none_or(|fields| {
                list().iter().all(|name| fields.contains_key(name.as_str().expect("a name")))
            }),
            "additionalProperties" => {
                assert_eq!(expected, false, "only false is read");
                value
                    .as_object()
                    .is_none_or(|fields| fields.keys().all(|name| schema["properties"].get(name).is_some()))
            }
            "properties" => {
                for (name, schema) in expected.as_object().expect("an object") {
                    if let Some(field) = value.get(name) {
                        judge(schema, field).map_err(|why| format!("{name}: {why}"))?;
                    }
                }
                true
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    judge(expected, item)?;
                }
                true
            }
            unread => panic!("{unread} is not read"),
        };
        if !holds {
            return Err(format!("{value} is not as {keyword} says: {expected}"));
        }
    }
    Ok(())
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        other => panic!("the type {other} is not read"),
    }
}

/// An expression that begins with `^`, and ends with `$` where the text must end: characters, and `[a-f]{4}`.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pattern = pattern.strip_prefix('^').expect("it begins with ^");
    let mut text = text.chars();
    while let Some(next) = pattern.chars().next() {
        if pattern == "$" {
            return text.next().is_none();
        }
        assert!(!"(|*+?.\\".contains(next), "{pattern} is not read");
        let (class, rest) = match pattern.strip_prefix('[') {
            Some(rest) => rest.split_once(']').expect("a class ends"),
            None => pattern.split_at(next.len_utf8()),
        };
        let (count, rest) = match rest.strip_prefix('{') {
            Some(rest) => rest.split_once('}').expect("a count ends"),
            None => ("1", rest),
        };
        for _ in 0..count.parse::<usize>().expect("a count") {
            let Some(found) = text.next() else { return false };
            let class: Vec<char> = class.chars().collect();
            let is_in = class.contains(&found) && found != '-'
                || class.windows(3).any(|range| range[1] == '-' && (range[0]..=range[2]).contains(&found))
                || class == [found];
            if !is_in {
                return false;
            }
        }
        pattern = rest;
    }
    true
}

#[test]
fn a_report_that_is_not_as_the_schema_says_is_found() {
    let good = serde_json::json!({
        "version": "0.1.0", "outcome": "joined", "exitCode": 0, "error": [], "help": null, "nodeName": "n1",
        "server": "https://10.0.0.1:6443", "csrName": "node-csr-x", "servingCsrName": null,
        "certificate": {"issuer": "CN=kubernetes", "notAfter": "2027-11-30T20:46:59Z", "file": null},
        "servingCertificate": null, "caHashes": [format!("sha256:{}", "0".repeat(64))],
        "milliseconds": {"discovery": 1, "request": 1, "approval": 1, "files": 1, "serving": null, "total": 4},
        "requests": 3, "handshakes": 1,
    });
    assert_eq!(misfit(&good), None);
    for (place, wrong) in [
        ("/outcome", "denied".into()),
        ("/outcome", "fine".into()),
        ("/exitCode", 7.into()),
        ("/error", vec!["trust: it failed"].into()),
        ("/help", "help".into()),
        ("/server", "http://10.0.0.1".into()),
        ("/csrName", "".into()),
        ("/certificate/notAfter", "2027-11-30 20:46:59Z".into()),
        ("/certificate/notAfter", "2027-11-30T20:46:59Z ".into()),
        ("/certificate", serde_json::json!({})),
        ("/caHashes/0", format!("sha256:{}", "0".repeat(63)).into()),
        ("/caHashes/0", format!("sha256:{}-", "0".repeat(63)).into()),
        ("/milliseconds/total", Value::Null),
        ("/milliseconds/splay", (-1).into()),
        ("/findings", serde_json::json!([{"level": "note", "path": "/etc", "message": "m", "help": "h"}])),
        ("/more", Value::Null),
    ] {
        let mut bad = good.clone();
        let (parent, name) = place.rsplit_once('/').expect("a place");
        let parent = bad.pointer_mut(parent).expect(place);
        match parent {
            Value::Array(items) => items[0] = wrong,
            fields => fields[name] = wrong,
        }
        assert!(misfit(&bad).is_some(), "{place}: {bad}");
    }
    for name in good.as_object().expect("an object").keys() {
        let mut bad = good.clone();
        bad.as_object_mut().expect("an object").remove(name);
        assert!(misfit(&bad).is_some(), "without {name}");
    }
}
