//! The API server's refusals: every status of interest for each question, and every shape that its words can have.

use serde_json::json;

use crate::suite::{Case, Expect, JOINED, Stage, ends, waits};
use crate::support::api::{Api, Piece, Reply, Route, TOKEN, status_object};

const BUSY: Expect = waits("unreachable", "API server is busy or restarting; check the API server and etcd");
const LIMITED: Expect =
    waits("unreachable", "API server limits requests; let machines start at different times (--splay)");
const NOT_TAKEN: Expect = ends("denied", "unexpected status; check the server's URL and version");
const REFUSED: Expect = waits("refused", "cannot be created: HTTP 40");
const MOVED: Expect = ends("denied", "redirects are not followed; use the API server's own address");
const NO_PATH: Expect = ends("denied", "path not found; check the server's URL and version");
const UNREADABLE: Expect = waits("unreachable", "is invalid (");

/// Statuses of the answer to the first question, none of which brings cluster-info; of a busy server there are others.
const DISCOVERY: [(u16, &str); 15] = [
    (201, "; check that the address is that of"),
    (202, "; check that the address is that of"),
    (204, "; check that the address is that of"),
    (206, "; check that the address is that of"),
    (304, "redirects are not followed; use the API server's own address"),
    (400, "; check that the address is that of"),
    (401, "anonymous requests are disabled; allow anonymous requests for cluster-info"),
    (402, "; check that the address is that of"),
    (403, "cluster-info is not public or not found; publish it"),
    (404, "cluster-info is not public or not found; publish it"),
    (407, "; check that the address is that of"),
    (410, "; check that the address is that of"),
    (421, "; check that the address is that of"),
    (426, "; check that the address is that of"),
    (431, "; check that the address is that of"),
];

/// Those of one that is busy, or of what stands before it.
const BUSY_STATUSES: [u16; 7] = [429, 500, 502, 503, 504, 511, 599];

/// Redirects lead to another server or away from TLS, and nobody goes there.
const REDIRECTS: [(u16, &str); 10] = [
    (301, "https://@/api/v1/namespaces/kube-public/configmaps/cluster-info"),
    (302, "https://@/"),
    (303, "https://@/"),
    (307, "https://@/"),
    (308, "https://@/"),
    (302, "http://@/"),
    (302, "//@/"),
    (302, "/api/v1/namespaces/kube-public/configmaps/cluster-info"),
    (302, "javascript:alert(1)"),
    (302, ""),
];

/// Statuses of the answer to the POST.
const CREATE: [(u16, Expect); 24] = [
    (200, JOINED),
    (202, JOINED),
    (204, UNREADABLE),
    (301, MOVED),
    (302, MOVED),
    (307, MOVED),
    (308, MOVED),
    (400, NOT_TAKEN),
    (401, REFUSED),
    (403, REFUSED),
    (404, NO_PATH),
    (405, NOT_TAKEN),
    (406, NOT_TAKEN),
    (407, NOT_TAKEN),
    (410, NOT_TAKEN),
    (413, NOT_TAKEN),
    (415, NOT_TAKEN),
    (422, ends("denied", "invalid request; contact the cluster administrator")),
    (429, LIMITED),
    (500, BUSY),
    (502, BUSY),
    (503, BUSY),
    (504, BUSY),
    (511, BUSY),
];

/// Statuses of the answer to the watch, and to the list that is asked for where the request is there already.
const LOOKS: [(u16, Expect); 9] = [
    (204, ends("denied", "cannot be watched: HTTP 204, unexpected status; check")),
    (302, ends("denied", "cannot be watched: HTTP 302, redirects are not followed; use")),
    (400, ends("denied", "cannot be watched: HTTP 400, unexpected status; check")),
    (401, waits("refused", "the credential was rejected; create a new token")),
    (403, waits("refused", "the credential lacks permission; bind the group")),
    (404, ends("denied", "cannot be watched: HTTP 404, path not found; check")),
    (409, ends("denied", "cannot be watched: HTTP 409, unexpected status; check")),
    (429, LIMITED),
    (503, BUSY),
];

/// What a refusal says, which is shown, and must fit into a line.
type Words = (&'static str, fn() -> Vec<u8>);

const WORDS: [Words; 21] = [
    ("nothing", Vec::new),
    ("plain words", || b"forbidden\n".to_vec()),
    ("a page", || b"<!doctype html><html><h1>Forbidden</h1></html>".to_vec()),
    ("a megabyte of words", || "Forbidden ".repeat(100_000).into_bytes()),
    ("a megabyte of message", || status(&"x".repeat(1 << 20))),
    ("escape sequences", || status("\u{1b}[2J\u{1b}]0;title\u{7}")),
    ("line breaks that look like ours", || status("no\nnodestrap: joined: n1 can start its kubelet\n")),
    ("letters that turn the line round", || status("\u{202e}desufer\u{2066}")),
    ("bytes that are no text", || vec![0xff; 400]),
    ("our token in it", || {
        let secret = TOKEN.split_once('.').expect("a dot").1;
        format!("Authorization: Bearer {TOKEN} is not {secret}{secret}").into_bytes()
    }),
    ("NUL", || vec![0; 400]),
    ("a byte order mark", || [b"\xef\xbb\xbf", &status("no")[..]].concat()),
    ("no message", || json!({"kind": "Status", "status": "ErrorKind", "code": 403}).to_string().into_bytes()),
    ("a message that is null", || json!({"kind": "Status", "message": null}).to_string().into_bytes()),
    ("a message that is a number", || json!({"kind": "Status", "message": 1}).to_string().into_bytes()),
    ("another code inside", || status_object(200, "Success", None).to_string().into_bytes()),
    ("a key twice", || br#"{"kind":"Status","message":"a","message":"b"}"#.to_vec()),
    ("a hundred thousand brackets", || "[".repeat(100_000).into_bytes()),
    ("an object a hundred thousand deep", || {
        ["{\"a\":".repeat(100_000), "1".to_owned(), "}".repeat(100_000)].concat().into_bytes()
    }),
    ("a number beyond all numbers", || br#"{"kind":"Status","code":1e999999,"message":"m"}"#.to_vec()),
    ("half a Status", || status("no")[..40].to_vec()),
];

/// Delays in a Status that are none.
const DELAYS: [&str; 6] = ["-1", "1.5", "\"soon\"", "18446744073709551616", "null", "{}"];

fn status(message: &str) -> Vec<u8> {
    json!({"kind": "Status", "apiVersion": "v1", "status": "ErrorKind", "message": message})
        .to_string()
        .into_bytes()
}

/// Answers a route of the cluster in this way, for ever.
pub fn on(
    route: Route,
    name: impl Into<String>,
    expect: Expect,
    reply: impl Fn() -> Reply + Send + Sync + Clone + 'static,
) -> Case {
    Case::new(name, expect, move || {
        let (api, reply) = (Api::start(), reply.clone());
        if route == Route::List {
            api.on(Route::Create, |_, request, cluster| {
                cluster.approves = false;
                cluster.create(request);
                Some(Reply::status(409, "AlreadyExists"))
            });
        }
        api.on(route, move |_, _, _| Some(reply()));
        if route == Route::Discovery { Stage::with_untrusted(api) } else { Stage::with_trusted(api) }
    })
}

fn redirect(route: Route, name: String, expect: Expect, status: u16, target: &'static str) -> Case {
    Case::new(name, expect, move || {
        let (api, elsewhere) = (Api::start(), Api::start());
        let target = target.replace('@', &elsewhere.endpoint());
        let own = if target.contains(&elsewhere.endpoint()) { &elsewhere } else { &api };
        assert!(own.connections().is_empty());
        api.on(route, move |_, _, _| {
            Some(Reply::text(status, "text/plain", "there").header("Location", &target))
        });
        let stage =
            if route == Route::Discovery { Stage::with_untrusted(api) } else { Stage::with_trusted(api) };
        stage.and_untrusted(elsewhere).checked(|stage| {
            let elsewhere = stage.untrusted.last().expect("the target").given();
            assert_eq!(elsewhere.connections, 0, "a redirect was followed");
        })
    })
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (status, advice) in DISCOVERY {
        let expect = waits("not-published", advice);
        cases.push(on(Route::Discovery, format!("{status} for cluster-info"), expect, move || {
            Reply::status(status, "Reason")
        }));
    }
    for status in BUSY_STATUSES {
        let expect = if status == 429 { LIMITED } else { BUSY };
        cases.push(on(Route::Discovery, format!("{status} for cluster-info"), expect, move || {
            Reply::status(status, "Reason")
        }));
    }
    for (status, target) in REDIRECTS {
        let (expect, name) = (
            waits("not-published", "redirects are not followed; use the API server's own address"),
            format!("{status} for cluster-info to {target:?}"),
        );
        cases.push(redirect(Route::Discovery, name, expect, status, target));
        if target.starts_with("http") {
            let name = format!("{status} for the POST to {target:?}");
            cases.push(redirect(Route::Create, name, MOVED, status, target));
        }
    }
    for (code, expect) in CREATE {
        if (300..400).contains(&code) {
            continue;
        }
        let name = format!("{code} for the POST");
        if code < 300 && code != 204 {
            cases.push(Case::new(name, expect, move || {
                let api = Api::start();
                api.on(Route::Create, move |_, request, cluster| {
                    let mut reply = cluster.create(request);
                    reply.status = code;
                    Some(reply)
                });
                Stage::with_trusted(api)
            }));
            continue;
        }
        cases.push(on(Route::Create, name, expect, move || empty_or(code, "Reason")));
    }
    for (code, expect) in LOOKS {
        cases.push(on(Route::List, format!("{code} for the list"), expect, move || empty_or(code, "Reason")));
        cases.push(on(Route::Watch, format!("{code} for the watch"), expect, move || {
            empty_or(code, "Reason")
        }));
    }
    for (name, words) in WORDS {
        let not_found = ends("denied", "HTTP 404, path not found; check");
        cases.push(on(Route::Create, format!("a refusal with {name}"), not_found, move || {
            let head = format!("HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\n\r\n", words().len());
            Reply::raw(vec![Piece::Bytes([head.as_bytes(), &words()].concat())])
        }));
    }
    for delay in DELAYS {
        cases.push(on(Route::Create, format!("a delay of {delay}"), BUSY, move || {
            let text =
                format!(r#"{{"kind":"Status","message":"m","details":{{"retryAfterSeconds":{delay}}}}}"#);
            Reply::text(503, "application/json", &text)
        }));
    }
    let gone = ends("denied", "cannot be watched: HTTP 410");
    cases.push(on(Route::List, "410 for the list", gone, || Reply::status(410, "Expired")));
    cases.push(on(Route::Watch, "410 for the watch, and an issued one in the list", JOINED, || {
        Reply::status(410, "Expired")
    }));
    for route in [Route::Discovery, Route::Create] {
        cases.push(on(route, format!("a delay of a day for {route:?}"), BUSY, || {
            Reply::retry_in_details(503, "Reason", 86_400)
        }));
    }
    cases
}

fn empty_or(code: u16, reason: &str) -> Reply {
    if code == 204 {
        return Reply::raw(vec![Piece::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())]);
    }
    Reply::status(code, reason)
}
