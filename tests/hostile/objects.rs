//! Requests and events as no API server should send them, by one that is trusted.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::suite::{Case, Expect, JOINED, Stage, ends, waits};
use crate::support::api::{Api, Cluster, Piece, Reply, Route, bookmark_object, event, status_object};
use crate::support::pki;

const UNREADABLE: Expect = waits("unreachable", "is invalid (");
const PENDING: Expect = waits("pending", "is still pending; bind ClusterRole");
const ANOTHER: Expect = ends("denied", "already exists and differs from this node's request; delete it");
const NO_ANSWER: Expect = waits("unreachable", "localhost:");

/// What is done to the object that the POST made, before it is sent back. What cannot be read of it is asked for again,
/// and found in the list.
type Created = (&'static str, Expect, fn(&mut Value));

const CREATED: [Created; 26] = [
    ("a Status instead", JOINED, |object| *object = status_object(201, "Success", None)),
    ("another kind, with our name", JOINED, |object| object["kind"] = json!("Pod")),
    ("nothing", JOINED, |object| *object = json!({})),
    ("null", JOINED, |object| *object = Value::Null),
    ("a list", JOINED, |object| *object = json!([object.clone()])),
    ("no metadata", JOINED, |object| {
        object.as_object_mut().expect("an object").remove("metadata");
    }),
    ("metadata that is null", JOINED, |object| object["metadata"] = Value::Null),
    ("a UID that is a number", JOINED, |object| object["metadata"]["uid"] = json!(1)),
    ("a UID of a megabyte", JOINED, |object| object["metadata"]["uid"] = json!("u".repeat(1 << 20))),
    ("a version that is a number", JOINED, |object| object["metadata"]["resourceVersion"] = json!(101)),
    ("a version with a space", NO_ANSWER, |object| object["metadata"]["resourceVersion"] = json!("1 2")),
    ("a version with a line break and a header", NO_ANSWER, |object| {
        object["metadata"]["resourceVersion"] = json!("1 HTTP/1.1\r\nX: y");
    }),
    ("a version with more of a query", PENDING, |object| {
        object["metadata"]["resourceVersion"] = json!("999&timeoutSeconds=1");
    }),
    ("a version of a megabyte", NO_ANSWER, |object| {
        object["metadata"]["resourceVersion"] = json!("1".repeat(1 << 20));
    }),
    ("another's request under our name", ANOTHER, |object| {
        let foreign = pki::foreign_request("system:nodes", "system:node:n1");
        object["spec"]["request"] = json!(BASE64_STANDARD.encode(foreign));
    }),
    ("no request in it", ANOTHER, |object| object["spec"]["request"] = json!("")),
    ("a request that is no base64", ANOTHER, |object| object["spec"]["request"] = json!("%%%")),
    ("a request of a megabyte", ANOTHER, |object| {
        object["spec"]["request"] = json!(BASE64_STANDARD.encode(vec![0x30; 1 << 20]));
    }),
    ("another signer", ANOTHER, |object| object["spec"]["signerName"] = json!("example.com/signer")),
    ("other usages", ANOTHER, |object| object["spec"]["usages"] = json!(["cert sign", "client auth"])),
    ("more usages", ANOTHER, |object| {
        object["spec"]["usages"] = json!(["digital signature", "client auth", "server auth"]);
    }),
    ("no usages", ANOTHER, |object| object["spec"]["usages"] = json!([])),
    ("annotations of a megabyte", JOINED, |object| {
        object["metadata"]["annotations"] = json!({"a": "x".repeat(1 << 20)});
    }),
    ("ten thousand managed fields", JOINED, |object| {
        object["metadata"]["managedFields"] =
            json!(vec![json!({"manager": "m", "fieldsV1": {"f:a": {}}}); 10_000]);
    }),
    ("denied from its birth", ends("denied", "was denied"), |object| {
        object["status"] = json!({"conditions": [{"type": "Denied", "reason": "no", "message": "no"}]});
    }),
    ("failed from its birth", ends("denied", "failed at the signer"), |object| {
        object["status"] = json!({"conditions": [{"type": "Failed", "reason": "no", "message": "no"}]});
    }),
];

/// What the watch says, made of the object that is approved and issued.
type Told = (&'static str, Expect, fn(&Value) -> Vec<u8>);

fn line(kind: &str, object: &Value) -> Vec<u8> {
    format!("{}\n", event(kind, object)).into_bytes()
}

/// The object, changed, as MODIFIED.
fn modified(object: &Value, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut object = object.clone();
    change(&mut object);
    line("MODIFIED", &object)
}

fn conditions(object: &Value, list: Value) -> Vec<u8> {
    modified(object, |object| object["status"]["conditions"] = list)
}

/// The line with other text in one place.
fn replaced(object: &Value, from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(line("MODIFIED", object)).expect("text");
    assert!(text.contains(from), "{from} is not in {text}");
    text.replacen(from, to, 1).into_bytes()
}

const TOLD: [Told; 52] = [
    ("all in order", JOINED, |object| line("MODIFIED", object)),
    ("a type that there is not", JOINED, |object| line("RENAMED", object)),
    ("no type", UNREADABLE, |object| format!("{}\n", json!({"object": object})).into_bytes()),
    ("no object", UNREADABLE, |_| b"{\"type\":\"MODIFIED\"}\n".to_vec()),
    ("an object that is null", UNREADABLE, |_| line("MODIFIED", &Value::Null)),
    ("an object that is a list", UNREADABLE, |object| line("MODIFIED", &json!([object]))),
    ("a list instead of events", UNREADABLE, |object| {
        format!("{}\n", json!({"kind": "CertificateSigningRequestList", "items": [object]})).into_bytes()
    }),
    ("a page", UNREADABLE, |_| b"<!doctype html>\n<title>Log in</title>\n".to_vec()),
    ("empty lines first", UNREADABLE, |object| [b"\n\n", &line("MODIFIED", object)[..]].concat()),
    ("CR before the line break", JOINED, |object| replaced(object, "}\n", "}\r\n")),
    ("no line break", PENDING, |object| replaced(object, "}\n", "}")),
    ("two events on one line", UNREADABLE, |object| {
        let line = line("MODIFIED", object);
        [&line[..line.len() - 1], &line].concat()
    }),
    ("a byte order mark first", UNREADABLE, |object| {
        [b"\xef\xbb\xbf", &line("MODIFIED", object)[..]].concat()
    }),
    ("NUL between events", UNREADABLE, |object| [b"\0\n", &line("MODIFIED", object)[..]].concat()),
    ("bytes that are no text in an annotation", UNREADABLE, |object| {
        let text = modified(object, |object| object["metadata"]["annotations"] = json!({"a": "@@"}));
        text.into_iter().map(|byte| if byte == b'@' { 0xff } else { byte }).collect()
    }),
    ("half a surrogate in an annotation", UNREADABLE, |object| {
        replaced(object, "{\"apiVersion\"", "{\"\\ud800\":1,\"apiVersion\"")
    }),
    ("a type twice", UNREADABLE, |object| replaced(object, "\"type\":", "\"type\":\"ADDED\",\"type\":")),
    ("a status twice", UNREADABLE, |object| replaced(object, "\"status\":", "\"status\":{},\"status\":")),
    ("an unknown key twice", JOINED, |object| replaced(object, "\"kind\":", "\"x\":1,\"x\":2,\"kind\":")),
    ("a number beyond all numbers", JOINED, |object| {
        replaced(object, "\"kind\":", "\"x\":1e999999,\"kind\":")
    }),
    ("a number that is none", UNREADABLE, |object| replaced(object, "\"kind\":", "\"x\":01,\"kind\":")),
    ("an annotation a hundred thousand deep", JOINED, |object| {
        let deep = ["\"x\":", &"[".repeat(100_000), &"]".repeat(100_000), ",\"kind\":"].concat();
        replaced(object, "\"kind\":", &deep)
    }),
    ("annotations of 1.9 MiB", JOINED, |object| {
        modified(object, |object| object["metadata"]["annotations"] = json!({"a": "x".repeat(1_900_000)}))
    }),
    ("annotations of 3 MiB", PENDING, |object| {
        modified(object, |object| object["metadata"]["annotations"] = json!({"a": "x".repeat(3 << 20)}))
    }),
    ("forty thousand conditions", JOINED, |object| {
        let other = json!({"type": "Other", "status": "True", "reason": "r"});
        let mut list = vec![other; 30_000];
        list.push(json!({"type": "Approved", "status": "True"}));
        conditions(object, json!(list))
    }),
    ("six hundred thousand empty conditions", JOINED, |object| {
        let mut list = vec![json!({}); 600_000];
        list.push(json!({"type": "Approved", "status": "True"}));
        conditions(object, json!(list))
    }),
    ("twenty thousand usages", UNREADABLE, |object| {
        modified(object, |object| object["spec"]["usages"] = json!(vec![""; 20_000]))
    }),
    ("null in each place that may be empty", JOINED, |object| {
        modified(object, |object| {
            object["status"]["conditions"] = json!([
                null,
                {"type": null, "status": null, "reason": null, "message": null},
                {"type": "Approved", "status": "True", "reason": null, "message": null, "lastUpdateTime": null},
            ]);
            for field in ["labels", "annotations", "managedFields", "generateName"] {
                object["metadata"][field] = Value::Null;
            }
            for field in ["expirationSeconds", "username", "uid", "groups", "extra"] {
                object["spec"][field] = Value::Null;
            }
        })
    }),
    ("no status", PENDING, |object| modified(object, |object| object["status"] = Value::Null)),
    ("no conditions", PENDING, |object| conditions(object, Value::Null)),
    ("a condition without a type", PENDING, |object| conditions(object, json!([{"type": null}]))),
    ("approved and not issued", PENDING, |object| {
        modified(object, |object| object["status"]["certificate"] = json!(""))
    }),
    ("issued and not approved", PENDING, |object| conditions(object, json!([]))),
    ("approved in other letters", PENDING, |object| conditions(object, json!([{"type": "approved"}]))),
    ("approved and denied", ends("denied", "was denied"), |object| {
        conditions(object, json!([{"type": "Approved"}, {"type": "Denied", "message": "no"}]))
    }),
    ("issued and failed", ends("denied", "failed at the signer"), |object| {
        conditions(object, json!([{"type": "Approved"}, {"type": "Failed", "message": "no"}]))
    }),
    ("denied in many words", ends("denied", "was denied"), |object| {
        conditions(
            object,
            json!([{"type": "Denied", "reason": "\u{1b}[2J", "message": "no\n".repeat(100_000)}]),
        )
    }),
    ("another object first", JOINED, |object| {
        let other = modified(object, |object| object["metadata"]["name"] = json!("node-csr-other"));
        [other, line("MODIFIED", object)].concat()
    }),
    ("another object only", PENDING, |object| {
        modified(object, |object| object["metadata"]["name"] = json!("node-csr-other"))
    }),
    ("another's object deleted first", JOINED, |object| {
        let mut other = object.clone();
        other["metadata"]["name"] = json!("node-csr-other");
        [line("DELETED", &other), line("MODIFIED", object)].concat()
    }),
    ("the end before the beginning", JOINED, |object| {
        [line("MODIFIED", object), conditions(object, json!([])), line("ADDED", object)].concat()
    }),
    ("approved, taken back, and approved", JOINED, |object| {
        let unissued = |list| {
            let object = serde_json::from_slice::<Value>(&conditions(object, list)).expect("an event");
            modified(&object["object"], |object| object["status"]["certificate"] = json!(""))
        };
        [unissued(json!([{"type": "Approved"}])), unissued(json!([])), line("MODIFIED", object)].concat()
    }),
    (
        "another request in it",
        ends("denied", "already exists and differs from this node's request"),
        |object| {
            let foreign = pki::foreign_request("system:nodes", "system:node:n1");
            modified(object, |object| object["spec"]["request"] = json!(BASE64_STANDARD.encode(&foreign)))
        },
    ),
    ("another UID in each event", PENDING, |object| {
        modified(object, |object| object["metadata"]["uid"] = json!("another"))
    }),
    ("deleted", PENDING, |object| line("DELETED", object)),
    ("ERROR 410", PENDING, |_| line("ERROR", &status_object(410, "Expired", None))),
    ("ERROR 500", PENDING, |_| line("ERROR", &status_object(500, "InternalError", None))),
    ("ERROR with words like ours", PENDING, |_| {
        line("ERROR", &json!({"code": 1, "message": "\nnodestrap: error: files: x\u{1b}[0m"}))
    }),
    ("ERROR with a code that is none", UNREADABLE, |_| line("ERROR", &json!({"code": -1}))),
    ("a bookmark without a version", UNREADABLE, |_| {
        line("BOOKMARK", &json!({"metadata": {"resourceVersion": 7}}))
    }),
    ("a bookmark with a version of a megabyte", NO_ANSWER, |_| {
        line("BOOKMARK", &bookmark_object(&"1".repeat(1 << 20)))
    }),
    ("a bookmark with a line break in its version", NO_ANSWER, |_| {
        line("BOOKMARK", &bookmark_object("1\r\nX: y"))
    }),
];

/// How a watch is sent that does not end: what, and how often in milliseconds.
const ENDLESS: [(&str, &[u8], u64); 6] = [
    ("spaces without end", b"                                ", 0),
    ("spaces that drip", b" ", 50),
    ("empty objects that drip", b"{}", 50),
    ("chunks of a byte without a line break", b"x", 1),
    ("bookmarks without end", b"@", 0),
    ("events of another object without end", b"#", 0),
];

/// The only request, approved and issued.
fn granted(cluster: &mut Cluster) -> Value {
    cluster.grant();
    let name = cluster.names().remove(0);
    cluster.item(&name).clone()
}

fn told(expect: Expect, words: fn(&Value) -> Vec<u8>) -> Stage {
    let api = Api::manual();
    api.on(Route::Watch, move |_, _, cluster| {
        // After the first watch somebody else may have to be found: the list shows what there is.
        let object = granted(cluster);
        if !expect.says.is_empty() {
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            cluster.edit(&name, |object| object["status"] = json!({}));
        }
        Some(Reply::chunked(vec![Piece::Bytes(words(&object)), Piece::Pause(Duration::from_millis(100))]))
    });
    Stage::with_trusted(api)
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, expect, change) in CREATED {
        cases.push(Case::new(format!("created: {name}"), expect, move || {
            let api = Api::manual();
            api.on(Route::Create, move |_, request, cluster| {
                let reply = cluster.create(request);
                if reply.status != 201 {
                    return Some(reply);
                }
                let name = cluster.names().remove(0);
                let mut object = cluster.item(&name).clone();
                change(&mut object);
                Some(Reply::json(201, &object))
            });
            for route in [Route::List, Route::Watch] {
                api.on(route, |_, _, cluster| {
                    cluster.grant();
                    None
                });
            }
            Stage::with_trusted(api)
        }));
    }
    for (name, expect, words) in TOLD {
        cases.push(Case::new(format!("watched: {name}"), expect, move || told(expect, words)));
    }
    for (name, bytes, interval) in ENDLESS {
        cases.push(Case::new(format!("watched: {name}"), PENDING, move || {
            let api = Api::manual();
            api.on(Route::Watch, move |_, _, cluster| {
                let name = cluster.names().remove(0);
                let mut other = cluster.item(&name).clone();
                other["metadata"]["name"] = json!("node-csr-other");
                let bytes = match bytes {
                    b"@" => line("BOOKMARK", &bookmark_object("7")),
                    b"#" => line("MODIFIED", &other),
                    _ => bytes.to_vec(),
                };
                Some(Reply::chunked(vec![Piece::Repeat(bytes, Duration::from_millis(interval))]))
            });
            Stage::with_trusted(api)
        }));
    }
    cases
}
