use std::time::UNIX_EPOCH;

use super::*;

const SERVER: &[u8] = include_bytes!("../../../tests/fuzz/pki/server.pem");
const NODE: &[u8] = include_bytes!("../../../tests/fuzz/pki/node.pem");

fn response(status: u16, body: &[u8]) -> Response {
    Response::of_proxy(status, body.to_vec(), String::new(), String::new())
}

/// What comes of an answer with these headers.
fn read(status: u16, headers: &[(&str, &str)], body: Vec<u8>) -> Result<Response, ureq::Error> {
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    Response::read(response.body(ureq::Body::builder().data(body)).unwrap(), None, UNIX_EPOCH)
}

#[test]
fn a_body_is_read_up_to_the_limit_and_of_what_is_no_content_the_beginning() {
    let text = |length: usize| vec![b'x'; length];
    let page = |length: usize| [b"<p>".to_vec(), text(length - 3)].concat();
    let most = limits::BODY_BYTES;
    for (status, body, length) in [
        (200, text(0), Some(0)),
        (200, text(most), Some(most)),
        (200, text(most + 1), None),
        (200, text(most + 2), None),
        (200, page(most), Some(most)),
        (200, page(most + 1), Some(most)),
        (503, text(most + 1), Some(most)),
        (503, page(most + 2), Some(most)),
        (201, text(most + 2), Some(most)),
    ] {
        let is = (status, body.len());
        assert_eq!(read(status, &[], body).map(|response| response.body.len()).ok(), length, "{is:?}");
    }
}

#[test]
fn a_wish_is_that_of_the_header_or_else_of_the_status() {
    let retry_after = |seconds: &str| {
        format!(r#"{{"kind":"Status","details":{{"retryAfterSeconds":{seconds}}}}}"#).into_bytes()
    };
    let header = &[("retry-after", "7")][..];
    let date = &[("retry-after", "Thu, 01 Jan 1970 00:01:00 GMT")][..];
    let dated = &[date[0], ("date", "Thu, 01 Jan 1970 00:00:18 GMT")][..];
    for (headers, body, seconds) in [
        (&[][..], Vec::new(), None),
        (&[], retry_after("5"), Some(5)),
        (&[], retry_after("\"5\""), None),
        (&[], br#"{"kind":"List","details":{"retryAfterSeconds":5}}"#.to_vec(), None),
        (header, retry_after("5"), Some(7)),
        (header, Vec::new(), Some(7)),
        (date, Vec::new(), Some(60)),
        (dated, Vec::new(), Some(42)),
    ] {
        let found = read(429, headers, body).unwrap().retry_after();
        assert_eq!(found, seconds.map(Duration::from_secs), "{headers:?}");
    }
}

#[test]
fn who_answers_is_told_by_type_certificate_and_redirect() {
    let of = |status, media_type: &str, location: &str, leaf: &[u8]| {
        let mut response =
            Response::of_proxy(status, b"words".to_vec(), media_type.to_owned(), location.to_owned());
        response.leaf =
            Certificate::chain_from_pem(leaf).map(|chain| chain[0].der.clone()).unwrap_or_default();
        response.responder()
    };
    let names = |leaf: &[u8]| Certificate::chain_from_pem(leaf).unwrap().remove(0);
    let node = names(NODE).subject.to_string();
    let server = names(SERVER);
    let server = if server.subject.to_string().is_empty() {
        server.alt_names.to_string()
    } else {
        server.subject.to_string()
    };
    assert_eq!(of(200, "text/plain; charset=utf-8", "", b""), "text/plain");
    assert_eq!(of(200, "", "/x", b""), "no media type");
    assert_eq!(of(302, "text/html", "https://h/x", b""), "to https://h/x, text/html");
    assert_eq!(of(302, "text/html", "", b""), "text/html");
    assert_eq!(of(400, "text/html", "https://h/x", b""), "text/html");
    assert_eq!(of(200, "text/html", "", NODE), format!("text/html from {node}"));
    assert_eq!(of(399, "", "/y", SERVER), format!("to /y, no media type from {server}"));
    let read = read(302, &[("content-type", "a/b"), ("location", "/z")], Vec::new()).unwrap();
    assert_eq!(read.responder(), "to /z, a/b");
}

#[test]
fn a_status_speaks_for_itself_and_anything_else_by_its_first_words() {
    for (body, expected) in [
        (&br#"{"kind":"Status","message":"the words"}"#[..], "the words"),
        (br#"{"kind":"List","message":"x"}"#, "no media type: {\"kind\":\"List\",\"message\":\"x\"}"),
        (br#"["Status"]"#, "no media type: [\"Status\"]"),
        (b"plain  text\n", "no media type: plain text"),
        (b"", "empty response"),
    ] {
        assert_eq!(response(500, body).text(), expected);
    }
    assert_eq!(response(200, br#"{"a":1,"b":2}"#).json(&["a"]).unwrap(), serde_json::json!({"a": 1}));
    assert!(response(200, b"[1]").json(&["a"]).is_none() && response(200, b"").json(&["a"]).is_none());
}

#[test]
fn of_a_page_the_words_are_told_without_tags_styles_and_scripts() {
    for (body, is_page, expected) in [
        (
            &b"<html><style>a{}</style><script>x()</script><h1>Bad\nGateway</h1></html>"[..],
            true,
            "Bad Gateway",
        ),
        (b"\xef\xbb\xbf <p>one</p>", true, "one"),
        (b"  <p>one</p><p>two</p>", true, "one two"),
        (b"<p></p>", true, "no words"),
        (b"a < b > c", false, "a < b > c"),
        (b"", false, "no words"),
    ] {
        assert_eq!((response(200, body).is_page(), first_words(body).as_str()), (is_page, expected));
    }
    let most = "x".repeat(limits::PAGE_TEXT);
    assert_eq!(first_words(most.as_bytes()).ends_with('…'), sanitize(&most).ends_with('…'));
    let short = " ".repeat(limits::PAGE_TEXT - 4) + "word";
    assert_eq!(first_words(short.as_bytes()), "word");
    assert_eq!(first_words(format!("{short}x").as_bytes()), "word…");
}

#[test]
fn each_status_has_its_failure_and_its_end() {
    let (until, briefly) = (Retry::UntilDeadline(None), Retry::Briefly(None));
    for (status, failure, retry, is_busy) in [
        (401, ErrorKind::Refused, briefly, false),
        (403, ErrorKind::Refused, briefly, false),
        (404, ErrorKind::Denied, Retry::Never, false),
        (409, ErrorKind::Denied, Retry::Never, false),
        (422, ErrorKind::Denied, Retry::Never, false),
        (429, ErrorKind::Unreachable, until, true),
        (499, ErrorKind::Denied, Retry::Never, false),
        (500, ErrorKind::Unreachable, until, true),
        (599, ErrorKind::Unreachable, until, true),
        (600, ErrorKind::Denied, Retry::Never, false),
        (301, ErrorKind::Denied, Retry::Never, false),
    ] {
        let response = response(status, b"");
        let error = response.failure(Step::Discovery, "it");
        assert_eq!((error.kind(), error.retry(), response.is_busy()), (failure, retry, is_busy), "{status}");
    }
    // The advice is one for each.
    let advice = |status| {
        let told = response(status, b"").failure(Step::Discovery, "it").to_string();
        told.replace(&status.to_string(), "")
    };
    let all = [401, 403, 404, 409, 422, 429, 301].map(advice);
    assert!(all.iter().enumerate().all(|(at, one)| !all[..at].contains(one)), "{all:?}");
    assert_eq!(advice(300), advice(399));
}
