//! Full size: each place where foreign text comes in, filled to its limit with what costs a parser the most.

use std::fmt::Write as _;
use std::fs;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::content::answered;
use crate::suite::{Case, Expect, JOINED, Stage, ends, waits};
use crate::support::api::{Api, Reply, Route, TOKEN, jws, status_object};
use crate::support::scratch::Scratch;

/// As much as a file or a signed kubeconfig may be, and an answer, less what stands around it.
const FILE: usize = (1 << 20) - 16_384;
const ANSWER: usize = (3 << 20) - 16_384;

const NOT_READ: Expect = ends("not-trusted", "its kubeconfig is invalid; correct ConfigMap");
const NO_CONFIGMAP: Expect = ends("usage", "cluster-info");
const TWICE: Expect = waits("not-published", "did not respond with a ConfigMap; check ");
const NO_LIST: Expect = waits("unreachable", "the list of CSRs is invalid");

fn filled(part: &str, most: usize) -> String {
    part.repeat(most / part.len())
}

/// The object with this text before the first key of the map `name`.
fn within(object: &Value, name: &str, text: &str) -> Vec<u8> {
    let mark = format!("\"{name}\":{{");
    let json = object.to_string();
    assert!(json.contains(&mark), "{mark} is not in {json}");
    json.replacen(&mark, &(mark.clone() + text), 1).into_bytes()
}

fn signatures(count: usize) -> impl Iterator<Item = (String, String)> {
    (0..count).map(|number| {
        let id = format!("{number:06}");
        (format!("jws-kubeconfig-{id}"), jws::sign(&format!("{id}.0123456789abcdef"), "another"))
    })
}

fn with_signatures(mut map: Value) -> Value {
    for (name, signature) in signatures(8000) {
        map["data"][name] = json!(signature);
    }
    map
}

/// Signed kubeconfigs: `@` is replaced by as many copies of the second text as fit.
const SIGNED: [(&str, &str, &str); 12] = [
    ("braces", "{@}", "a:,"),
    ("braces behind a comment", "# x\n{@}", "a:,"),
    ("other keys in braces behind a comment", "# x\n{@}", "\"\":,"),
    ("a list in brackets behind a comment", "# x\n[@]", "0,"),
    ("empty lists", "[@]", "[],"),
    ("empty maps in a list", "x: [[@]]", "{},"),
    ("pairs in a list", "- [@]", "a: b,"),
    ("questions", "- {@}", "? "),
    ("parameters of a directive", "%X@\n---\n{}", " a"),
    ("lines", "@", "a:\n"),
    ("items", "@", "-\n"),
    ("flow that never ends", "- [[{@", "a: [b],"),
];

/// Answers to the question for cluster-info, with this in a map of the ConfigMap.
const ANSWERS: [(&str, &str, &str); 5] = [
    ("keys of nothing in data", "data", "\"\":\"\","),
    ("keys of a letter in data", "data", "\"a\":0,"),
    ("lists in data", "data", "\"a\":[[],[],[],[]],"),
    ("keys of nothing in the annotations", "metadata", "\"\":{},"),
    ("escapes in data", "data", "\"\\n\":\"\\n\","),
];

/// A machine that finds its cluster by a file, made of the ConfigMap, and whatever else it is told.
fn by_file(flag: &'static str, expect: Expect, text: impl Fn(Value) -> String) -> Stage {
    let api = Api::start();
    let (server, folder) = (format!("https://{}", api.endpoint()), Scratch::new());
    let kubeconfig = jws::kubeconfig(&api.authority.pem(), &server);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cluster-info"},
        "data": {"kubeconfig": kubeconfig, "jws-kubeconfig-abcdef": jws::sign(TOKEN, &kubeconfig)}});
    let file = folder.path().join("file");
    fs::write(&file, text(map)).expect("a file");
    let mut stage =
        if expect.says.is_empty() { Stage::with_trusted(api) } else { Stage::with_untrusted(api) };
    stage.endpoint.clear();
    stage.words(&[flag, &file.display().to_string()]).and(folder)
}

/// The ConfigMap as YAML in lines, with this at the beginning of its data.
fn in_lines(map: &Value, first: &str) -> String {
    let mut text = format!("apiVersion: v1\nkind: ConfigMap\ndata:\n{first}");
    for (name, value) in map["data"].as_object().expect("data") {
        writeln!(text, "  {name}: {value}").expect("memory");
    }
    text
}

/// cluster-info in a file.
type Told = (&'static str, Expect, fn(Value) -> String);

const FILES: [Told; 11] = [
    ("eight thousand signatures in JSON", JOINED, |map| with_signatures(map).to_string()),
    ("eight thousand signatures in many lines of JSON", JOINED, |map| format!("{:#}", with_signatures(map))),
    ("eight thousand signatures in lines", JOINED, |map| in_lines(&with_signatures(map), "")),
    ("keys of a letter in JSON", JOINED, |map| {
        String::from_utf8(within(&map, "data", &filled("\"a\":0,", FILE))).expect("text")
    }),
    ("keys of a letter in lines", JOINED, |map| in_lines(&map, &filled("  a:\n", FILE))),
    ("lists in lines", JOINED, |map| in_lines(&map, &filled("  a: [[], {b: c}]\n", FILE))),
    ("braces behind a comment", NO_CONFIGMAP, |map| {
        format!("# {}\n{{{}}}", map["kind"], filled("a:,", FILE))
    }),
    ("legal flow style", JOINED, |map| {
        let data = &map["data"];
        let (text, signature) = (&data["kubeconfig"], &data["jws-kubeconfig-abcdef"]);
        format!(
            "# flow\n{{kind: ConfigMap, data: {{kubeconfig: {text},\n jws-kubeconfig-abcdef: {signature}}}}}\n"
        )
    }),
    ("the kubeconfig twice in JSON", NO_CONFIGMAP, |map| {
        String::from_utf8(within(&map, "data", "\"kubeconfig\":\"\",")).expect("text")
    }),
    ("the kubeconfig twice in lines", NO_CONFIGMAP, |map| in_lines(&map, "  kubeconfig: ''\n")),
    ("another key twice in lines", JOINED, |map| in_lines(&map, "  other: ''\n  other: ''\n")),
];

/// Answers after trust: the question, and the answer made of the honest one.
type Answer = (&'static str, Route, Expect, fn() -> Vec<u8>);

/// The ConfigMap of a configuration for kubelets that is filled up with a part.
fn kubelet_config(begin: &str, part: &str) -> Vec<u8> {
    let head = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
    let text = [head, begin, &filled(part, FILE)].concat();
    json!({"data": {"kubelet": text}}).to_string().into_bytes()
}

const TRUSTED: [Answer; 10] = [
    ("a Node of conditions", Route::Node, JOINED, || {
        let node = json!({"kind": "Node", "status": {"conditions": "@"}}).to_string();
        node.replace("\"@\"", &format!("[{}{{}}]", filled("{},", ANSWER))).into_bytes()
    }),
    ("a Node of keys", Route::Node, JOINED, || {
        format!("{{{}\"a\":0}}", filled("\"\":[],", ANSWER)).into_bytes()
    }),
    ("a configuration for kubelets among keys", Route::KubeletConfig, JOINED, || {
        let text = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
        within(&json!({"data": {"kubelet": text}}), "data", &filled("\"\":\"\",", ANSWER))
    }),
    ("a configuration for kubelets of blank lines", Route::KubeletConfig, JOINED, || {
        kubelet_config("", "\n")
    }),
    ("one of blank lines in a literal", Route::KubeletConfig, JOINED, || kubelet_config("a: |\n", "\n")),
    ("one of comments", Route::KubeletConfig, JOINED, || kubelet_config("", "#\n")),
    ("one of lines in a literal", Route::KubeletConfig, JOINED, || kubelet_config("a: |\n", " x\n")),
    ("one of carriage returns", Route::KubeletConfig, JOINED, || kubelet_config("", "\r\n")),
    ("a list of requests without end", Route::List, NO_LIST, || {
        let item = "{\"metadata\":{}},";
        format!("{{\"metadata\":{{}},\"items\":[{}null]}}", filled(item, ANSWER)).into_bytes()
    }),
    ("a request of usages", Route::List, NO_LIST, || {
        let usages = filled("\"\",", ANSWER);
        format!(
            "{{\"metadata\":{{}},\"items\":[{{\"metadata\":{{}},\"spec\":{{\"usages\":[{usages}\"\"]}}}}]}}"
        )
        .into_bytes()
    }),
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, text, part) in SIGNED {
        cases.push(Case::new(format!("signed: {name}"), NOT_READ, move || {
            let api = Api::start();
            api.cluster(|cluster| cluster.publish(&text.replace('@', &filled(part, FILE))));
            Stage::with_untrusted(api)
        }));
    }
    for (first, count) in [("", 500), ("# flow\n", 300)] {
        cases.push(Case::new(format!("signed: legal flow style of {count} clusters"), JOINED, move || {
            let api = Api::start();
            let data = BASE64_STANDARD.encode(api.authority.pem());
            let mut text = format!("{first}{{kind: Config, clusters: [");
            for number in 0..count {
                let cluster = "{server: 'https://h', extensions: [{name: e, extension: {a: [b]}}]}";
                writeln!(text, "  {{name: n{number}, cluster: {cluster}}},").expect("memory");
            }
            let server = format!("https://{}", api.endpoint());
            let own = format!("{{server: '{server}', certificate-authority-data: {data}}}");
            api.cluster(|cluster| cluster.publish(&format!("{text} {{name: '', cluster: {own}}}]}}\n")));
            Stage::with_trusted(api)
        }));
    }
    for (name, map, part) in ANSWERS {
        cases.push(answered(&format!("full: {name}"), JOINED, move |object| {
            within(&object, map, &filled(part, ANSWER))
        }));
    }
    cases.push(answered("full: eight thousand signatures", JOINED, |map| {
        with_signatures(map).to_string().into_bytes()
    }));
    for (name, text) in
        [("kubeconfig", "\"kubeconfig\":null,"), ("signature", "\"jws-kubeconfig-abcdef\":\"\",")]
    {
        cases.push(answered(&format!("the {name} twice"), TWICE, move |map| within(&map, "data", text)));
    }
    for (name, expect, text) in FILES {
        cases.push(Case::new(format!("a cluster-info: {name}"), expect, move || {
            by_file("--cluster-info", expect, text)
        }));
    }
    for flag in ["--config", "--discovery-file", "--bootstrap-kubeconfig"] {
        let expect = ends("usage", "too much in brackets or braces: write it in lines");
        cases.push(Case::new(format!("{flag}: braces behind a comment"), expect, move || {
            by_file(flag, expect, |_| format!("# x\n{{{}}}", filled("a:,", FILE)))
        }));
    }
    for (name, route, expect, body) in TRUSTED {
        cases.push(Case::new(format!("trusted: {name}"), expect, move || {
            let api = Api::manual();
            api.on(Route::Create, move |_, request, cluster| {
                let reply = cluster.create(request);
                if route != Route::List {
                    cluster.grant();
                    return Some(reply);
                }
                Some(Reply::json(409, &status_object(409, "AlreadyExists", None)))
            });
            api.on(route, move |_, _, _| {
                let body = body();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                Some(crate::http::raw([head.as_bytes(), &body].concat()))
            });
            let mut stage = Stage::with_trusted(api).words(match route {
                Route::Node => &["--refuse-ready-node"],
                Route::KubeletConfig => &["--with-kubelet-config"],
                _ => &[],
            });
            stage.begins = true;
            stage
        }));
    }
    cases
}
