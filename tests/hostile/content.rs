//! cluster-info that is not what its signer would sign: the JWS around it (RFC 7515), the ConfigMap and the YAML in it.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::suite::{Case, Expect, JOINED, Stage, waits};
use crate::support::api::{Api, Route, TOKEN, jws};

const FORGED: Expect = waits("not-trusted", "does not match the secret of token abcdef; check the token");
const UNSIGNED: Expect = waits("not-published", "cluster-info has no ");
const NO_MAP: Expect = waits("not-published", "did not respond with a ConfigMap; check ");
const SECRET: &str = "0123456789abcdef";

/// Makes a signature for a text.
type Signature = (&'static str, Expect, fn(&str) -> String);

fn parts(text: &str) -> (String, String) {
    let signature = jws::sign(TOKEN, text);
    let (header, mac) = signature.split_once("..").expect("detached");
    (header.to_owned(), mac.to_owned())
}

fn with_header(header: &str, text: &str) -> String {
    jws::with_header(header, SECRET, text)
}

const SIGNATURES: [Signature; 32] = [
    ("another secret", FORGED, |text| jws::sign("abcdef.fedcba9876543210", text)),
    ("the secret in capitals", FORGED, |text| jws::sign("abcdef.0123456789ABCDEF", text)),
    ("the whole token for a secret", FORGED, |text| jws::with_header(&jws::header("abcdef"), TOKEN, text)),
    ("an empty secret", FORGED, |text| jws::with_header(&jws::header("abcdef"), "", text)),
    ("another content", FORGED, |text| jws::sign(TOKEN, &format!("{text}#"))),
    ("no content", FORGED, |_| jws::sign(TOKEN, "")),
    ("keys in another order", FORGED, |text| with_header(r#"{"kid":"abcdef","alg":"HS256"}"#, text)),
    ("a space in the header", FORGED, |text| with_header(r#"{"alg":"HS256", "kid":"abcdef"}"#, text)),
    ("a line break in the header", FORGED, |text| {
        with_header("{\"alg\":\"HS256\",\n\"kid\":\"abcdef\"}", text)
    }),
    ("an escape in the header", FORGED, |text| with_header(r#"{"alg":"HS256","kid":"\u0061bcdef"}"#, text)),
    ("one more header", FORGED, |text| with_header(r#"{"alg":"HS256","kid":"abcdef","typ":"JWT"}"#, text)),
    ("a key in the header", FORGED, |text| {
        with_header(r#"{"alg":"HS256","jwk":{"kty":"oct","k":"MDEyMzQ1"},"kid":"abcdef"}"#, text)
    }),
    ("a URL for a key in the header", FORGED, |text| {
        with_header(r#"{"alg":"HS256","jku":"https://evil.test/","kid":"abcdef"}"#, text)
    }),
    ("content that is not encoded", FORGED, |text| {
        with_header(r#"{"alg":"HS256","b64":false,"crit":["b64"],"kid":"abcdef"}"#, text)
    }),
    ("another key ID", FORGED, |text| with_header(&jws::header("ghijkl"), text)),
    ("no key ID", FORGED, |text| with_header(r#"{"alg":"HS256"}"#, text)),
    ("an algorithm twice", FORGED, |text| {
        with_header(r#"{"alg":"none","alg":"HS256","kid":"abcdef"}"#, text)
    }),
    ("algorithm none", FORGED, |text| with_header(r#"{"alg":"none","kid":"abcdef"}"#, text)),
    ("algorithm none, no signature", FORGED, |_| {
        BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"abcdef"}"#) + ".."
    }),
    ("HS512", FORGED, |text| with_header(r#"{"alg":"HS512","kid":"abcdef"}"#, text)),
    ("RS256", FORGED, |text| with_header(r#"{"alg":"RS256","kid":"abcdef"}"#, text)),
    ("no signature", FORGED, |text| parts(text).0 + ".."),
    ("half a signature", FORGED, |text| jws::sign(TOKEN, text)[..70].to_owned()),
    ("a signature twice", FORGED, |text| jws::sign(TOKEN, text) + &parts(text).1),
    ("padding", FORGED, |text| jws::sign(TOKEN, text) + "="),
    ("a line break behind it", FORGED, |text| jws::sign(TOKEN, text) + "\n"),
    ("a space before it", FORGED, |text| format!(" {}", jws::sign(TOKEN, text))),
    ("a stray bit at its end", FORGED, |text| {
        let signature = jws::sign(TOKEN, text);
        let (rest, last) = signature.split_at(signature.len() - 1);
        let next = char::from(last.as_bytes()[0] + 1);
        format!("{rest}{next}")
    }),
    ("the alphabet of other base64, with padding", FORGED, |text| {
        let (header, mac) = parts(text);
        let mac = BASE64_URL_SAFE_NO_PAD.decode(mac).expect("a signature");
        format!("{header}..{}{}", BASE64_URL_SAFE.encode(&mac), "=")
    }),
    ("the content inside", FORGED, |text| {
        let (header, mac) = parts(text);
        format!("{header}.{}.{mac}", BASE64_URL_SAFE_NO_PAD.encode(text))
    }),
    ("JSON for a signature", FORGED, |text| {
        let (protected, signature) = parts(text);
        json!({"signatures": [{"protected": protected, "signature": signature}]}).to_string()
    }),
    ("a megabyte of signature", FORGED, |text| jws::sign(TOKEN, text) + &"A".repeat(1 << 20)),
];

/// What is done to the ConfigMap.
type Map = (&'static str, Expect, fn(&mut Value));

const MAPS: [Map; 17] = [
    ("no data", UNSIGNED, |map| map["data"] = Value::Null),
    ("no kubeconfig", UNSIGNED, |map| map["data"]["kubeconfig"] = json!("")),
    ("no signature", UNSIGNED, |map| map["data"]["jws-kubeconfig-abcdef"] = json!("")),
    ("a signature for another token only", UNSIGNED, |map| {
        let data = map["data"].as_object_mut().expect("data");
        let signature = data.remove("jws-kubeconfig-abcdef").expect("a signature");
        data.insert("jws-kubeconfig-ghijkl".to_owned(), signature);
    }),
    ("a signature under a name in capitals", UNSIGNED, |map| {
        let data = map["data"].as_object_mut().expect("data");
        let signature = data.remove("jws-kubeconfig-abcdef").expect("a signature");
        data.insert("JWS-kubeconfig-abcdef".to_owned(), signature);
    }),
    ("a thousand signatures", JOINED, |map| {
        for number in 0..1000 {
            map["data"][format!("jws-kubeconfig-{number:06}")] = json!("x".repeat(100));
        }
    }),
    ("data that is a list", NO_MAP, |map| map["data"] = json!(["kubeconfig"])),
    ("data that is a number", NO_MAP, |map| map["data"] = json!(1)),
    ("a kubeconfig that is an object", NO_MAP, |map| map["data"]["kubeconfig"] = json!({"kind": "Config"})),
    ("a kubeconfig that is null", UNSIGNED, |map| map["data"]["kubeconfig"] = Value::Null),
    ("null in each place that may be empty", JOINED, |map| {
        for place in ["binaryData", "immutable", "other"] {
            map[place] = Value::Null;
        }
        map["data"]["jws-kubeconfig-ghijkl"] = Value::Null;
        map["metadata"] = Value::Null;
    }),
    ("a signature that is a number", NO_MAP, |map| map["data"]["jws-kubeconfig-abcdef"] = json!(1)),
    ("a string", NO_MAP, |map| *map = json!("cluster-info")),
    ("null", NO_MAP, |map| *map = Value::Null),
    ("annotations of two megabytes", JOINED, |map| {
        map["metadata"]["annotations"] = json!({"a": "x".repeat(2 << 20)});
    }),
    ("a kubeconfig of three megabytes that nobody has signed", FORGED, |map| {
        map["data"]["kubeconfig"] = json!(format!("#\n{}", "#".repeat(3_000_000)));
    }),
    ("a kubeconfig of line breaks that nobody has signed", FORGED, |map| {
        map["data"]["kubeconfig"] = json!("\n".repeat(1_500_000));
    }),
];

/// Text around or instead of the ConfigMap's JSON, in which `@` is its beginning up to the last brace.
const TEXTS: [(&str, Expect, &str); 14] = [
    ("as it is", JOINED, "@}"),
    ("white space around it", JOINED, " \t\r\n@}\n\n"),
    ("more behind it", NO_MAP, "@}{}"),
    ("a comma too many", NO_MAP, "@,}"),
    ("a comment in it", NO_MAP, "@}// end"),
    ("data twice", NO_MAP, "@,\"data\":{}}"),
    ("an unknown key twice", JOINED, "@,\"x\":1,\"x\":2}"),
    ("a byte order mark before it", NO_MAP, "\u{feff}@}"),
    ("NUL behind it", NO_MAP, "@}\0"),
    ("a number beyond all numbers in it", JOINED, "@,\"x\":1e99999999}"),
    ("half a surrogate in it", NO_MAP, "@,\"\\ud800\":1}"),
    ("words that only JavaScript knows", NO_MAP, "@,\"x\":NaN}"),
    ("cut off", NO_MAP, "@"),
    ("itself in a list", NO_MAP, "[@}]"),
];

fn publish(change: impl FnOnce(&mut crate::support::api::Cluster)) -> Api {
    let api = Api::start();
    api.cluster(change);
    api
}

fn stage(api: Api, expect: Expect) -> Stage {
    if expect.says.is_empty() { Stage::with_trusted(api) } else { Stage::with_untrusted(api) }
}

pub fn answered(
    name: &str,
    expect: Expect,
    answer: impl Fn(Value) -> Vec<u8> + Send + Sync + Clone + 'static,
) -> Case {
    Case::new(format!("ConfigMap: {name}"), expect, move || {
        let (api, answer) = (Api::start(), answer.clone());
        api.on(Route::Discovery, move |_, _, cluster| {
            let map = serde_json::from_slice(&crate::http::honest(cluster)).expect("JSON");
            let body = answer(map);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            Some(crate::http::raw([head.as_bytes(), &body].concat()))
        });
        stage(api, expect)
    })
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, expect, sign) in SIGNATURES {
        cases.push(Case::new(format!("JWS: {name}"), expect, move || {
            let api = publish(|cluster| {
                let text = cluster.kubeconfig();
                cluster.publish_as(&text, &sign(&text));
            });
            stage(api, expect)
        }));
    }
    for (name, expect, change) in MAPS {
        cases.push(answered(name, expect, move |mut map| {
            change(&mut map);
            map.to_string().into_bytes()
        }));
    }
    for (name, expect, text) in TEXTS {
        cases.push(answered(name, expect, move |map| {
            let json = map.to_string();
            text.replace('@', &json[..json.len() - 1]).into_bytes()
        }));
    }
    cases.push(answered("a million brackets", NO_MAP, |_| vec![b'['; 1_000_000]));
    cases.push(answered("bytes that are no text in its middle", NO_MAP, |map| {
        let mut bytes = map.to_string().into_bytes();
        let middle = bytes.len() / 2;
        bytes[middle] = 0xff;
        bytes
    }));
    cases.push(answered("an object a hundred thousand deep in it", JOINED, |map| {
        let (json, deep) = (map.to_string(), ["[".repeat(100_000), "]".repeat(100_000)].concat());
        format!("{},\"x\":{deep}}}", &json[..json.len() - 1]).into_bytes()
    }));
    cases.push(answered("the same in UTF-16", NO_MAP, |map| {
        map.to_string().encode_utf16().flat_map(u16::to_le_bytes).collect()
    }));
    cases.push(answered("base64 of it", NO_MAP, |map| BASE64_STANDARD.encode(map.to_string()).into_bytes()));
    cases
}
