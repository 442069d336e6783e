//! Answers to the first question, over a connection that is TLS in order and HTTP in none: RFC 9110 and RFC 9112.

use std::time::Duration;

use crate::suite::{Case, Expect, JOINED, Stage, waits};
use crate::support::api::{Api, Body, Cluster, Piece, Reply, Route};

const NO_ANSWER: Expect = waits("unreachable", "localhost:");
const NO_HTTP: Expect = waits("unreachable", "no complete HTTP response from localhost:");
const NO_MAP: Expect = waits("not-published", "did not respond with a ConfigMap; check ");
const CLOSED: Expect = waits(
    "unreachable",
    ": the connection was closed before the response was complete (it begins with: HTTP/1.1 200 OK)",
);
const TOO_LONG: Expect = waits("unreachable", ": the response is too large");

type Answer = fn(&Cluster) -> Reply;
type Row = (&'static str, Expect, Answer);

/// cluster-info as it is published, as JSON.
pub fn honest(cluster: &Cluster) -> Vec<u8> {
    let Body::Whole(body) = cluster.config_map().body else { unreachable!("a ConfigMap is sent whole") };
    body
}

/// An answer of these bytes, after which the connection is closed.
pub fn raw(bytes: impl AsRef<[u8]>) -> Reply {
    Reply::raw(vec![Piece::Bytes(bytes.as_ref().to_vec())])
}

/// An answer of this header, in which `{}` is the length of the body that follows.
fn with(head: &str, body: &[u8]) -> Reply {
    let head = head.replace("{}", &body.len().to_string()).replace('\n', "\r\n");
    raw([head.as_bytes(), b"\r\n\r\n", body].concat())
}

/// An answer whose first bytes are these, and then the same again and again.
fn endless(first: &str, then: &[u8], interval: u64) -> Reply {
    let first = Piece::Bytes(first.replace('\n', "\r\n").into_bytes());
    Reply::raw(vec![first, Piece::Repeat(then.to_vec(), Duration::from_millis(interval))])
}

/// Honest chunks of that size, with this in each line of a size.
fn chunks(body: &[u8], size: usize, extension: &str) -> Vec<u8> {
    let mut text = Vec::new();
    for part in body.chunks(size) {
        text.extend(format!("{:x}{extension}\r\n", part.len()).into_bytes());
        text.extend([part, b"\r\n"].concat());
    }
    text
}

/// An honest answer in chunks, whose text is changed on its way.
fn chunked(cluster: &Cluster, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Reply {
    let text = [chunks(&honest(cluster), 300, ""), b"0\r\n\r\n".to_vec()].concat();
    with("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", &change(text))
}

const CHUNKED: &str = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n";

const LENGTHS: [Row; 21] = [
    ("a length and chunks, in chunks", JOINED, |c| {
        let text = [chunks(&honest(c), 300, ""), b"0\r\n\r\n".to_vec()].concat();
        with("HTTP/1.1 200 OK\nContent-Length: 5\nTransfer-Encoding: chunked", &text)
    }),
    ("a length and chunks, in one piece", NO_HTTP, |c| {
        with("HTTP/1.1 200 OK\nContent-Length: {}\nTransfer-Encoding: chunked", &honest(c))
    }),
    ("one length twice", JOINED, |c| {
        with("HTTP/1.1 200 OK\nContent-Length: {}\nContent-Length: {}", &honest(c))
    }),
    ("two lengths", NO_HTTP, |c| with("HTTP/1.1 200 OK\nContent-Length: {}\nContent-Length: 5", &honest(c))),
    ("two lengths in a list", NO_HTTP, |c| with("HTTP/1.1 200 OK\nContent-Length: {}, 5", &honest(c))),
    ("a negative length", NO_HTTP, |c| with("HTTP/1.1 200 OK\nContent-Length: -{}", &honest(c))),
    ("a length with a plus", NO_HTTP, |c| with("HTTP/1.1 200 OK\nContent-Length: +{}", &honest(c))),
    ("a length in hex", NO_HTTP, |c| with("HTTP/1.1 200 OK\nContent-Length: 0x{}", &honest(c))),
    ("a length with a space in it", NO_HTTP, |c| with("HTTP/1.1 200 OK\nContent-Length: 1 {}", &honest(c))),
    ("a length of nothing", NO_HTTP, |c| with("HTTP/1.1 200 OK\nContent-Length:", &honest(c))),
    ("a length beyond 64 bits", NO_HTTP, |c| {
        with("HTTP/1.1 200 OK\nContent-Length: 18446744073709551617", &honest(c))
    }),
    ("the length of 64 bits, and a body without end", NO_HTTP, |_| {
        endless("HTTP/1.1 200 OK\nContent-Length: 18446744073709551615\n\n", &[b' '; 65_536], 0)
    }),
    ("a length with a space before its colon", NO_HTTP, |c| {
        with("HTTP/1.1 200 OK\nContent-Length : {}", &honest(c))
    }),
    ("no length, and the end of the connection", JOINED, |c| with("HTTP/1.1 200 OK", &honest(c))),
    ("no length, and half a body", NO_MAP, |c| with("HTTP/1.1 200 OK", &honest(c)[..100])),
    ("a length of one too many", CLOSED, |c| {
        let length = honest(c).len() + 1;
        with(&format!("HTTP/1.1 200 OK\nContent-Length: {length}"), &honest(c))
    }),
    ("a length of one too few", NO_MAP, |c| {
        let length = honest(c).len() - 1;
        with(&format!("HTTP/1.1 200 OK\nContent-Length: {length}"), &honest(c))
    }),
    ("a length of zero", NO_MAP, |c| with("HTTP/1.1 200 OK\nContent-Length: 0", &honest(c))),
    ("gzip for a transfer encoding", NO_MAP, |_| {
        with("HTTP/1.1 200 OK\nTransfer-Encoding: gzip", b"\x1f\x8b\x08\0")
    }),
    ("a transfer encoding that there is not", JOINED, |c| {
        with("HTTP/1.1 200 OK\nTransfer-Encoding: xchunked", &honest(c))
    }),
    ("4 MiB of spaces", TOO_LONG, |_| with("HTTP/1.1 200 OK\nContent-Length: {}", &vec![b' '; 4 << 20])),
];

const CHUNKS: [Row; 18] = [
    ("chunks of a byte", JOINED, |c| {
        let text = [chunks(&honest(c), 1, ""), b"0\r\n\r\n".to_vec()].concat();
        with("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", &text)
    }),
    ("chunks with extensions", JOINED, |c| {
        let text = [chunks(&honest(c), 300, ";a=\"b\""), b"0\r\n\r\n".to_vec()].concat();
        with("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", &text)
    }),
    ("an extension of a chunk without end", NO_HTTP, |_| {
        endless(&format!("{CHUNKED}5;"), &[b'a'; 65_536], 0)
    }),
    ("a size that is no number", NO_HTTP, |c| chunked(c, |text| [b"zz\r\n", &text[..]].concat())),
    ("a negative size", NO_HTTP, |c| chunked(c, |text| [b"-1\r\n", &text[..]].concat())),
    ("a size of 64 bits", NO_HTTP, |_| endless(&format!("{CHUNKED}ffffffffffffffff\n"), &[b' '; 65_536], 0)),
    ("a size beyond 64 bits", NO_HTTP, |c| chunked(c, |text| [b"10000000000000005\r\n", &text[..]].concat())),
    ("a size of zeros without end", NO_HTTP, |_| endless(CHUNKED, &[b'0'; 65_536], 0)),
    ("no size at all", NO_HTTP, |c| chunked(c, |text| [b"\r\n", &text[..]].concat())),
    ("a chunk without its end", CLOSED, |c| chunked(c, |text| text[..text.len() - 100].to_vec())),
    ("no last chunk", CLOSED, |c| chunked(c, |text| text[..text.len() - 5].to_vec())),
    ("a chunk longer than its size", NO_HTTP, |c| chunked(c, |text| [b"3\r\n", &text[..]].concat())),
    ("lines that end without CR", NO_HTTP, |c| {
        chunked(c, |text| text.into_iter().filter(|byte| *byte != b'\r').collect())
    }),
    ("chunks of spaces without end", NO_HTTP, |_| {
        endless(CHUNKED, &[b"10000\r\n", &[b' '; 65_536][..], b"\r\n"].concat(), 0)
    }),
    ("chunks that drip", NO_HTTP, |_| endless(CHUNKED, b"1\r\n \r\n", 50)),
    ("trailers", JOINED, |c| {
        chunked(c, |text| [&text[..text.len() - 2], b"Authorization: Bearer x\r\nX: y\r\n\r\n"].concat())
    }),
    ("trailers without end", NO_HTTP, |_| endless(&format!("{CHUNKED}0\n"), b"x: y\r\n", 0)),
    ("gzip and chunks", NO_MAP, |_| {
        with("HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked", b"4\r\n\x1f\x8b\x08\0\r\n0\r\n\r\n")
    }),
];

const HEADERS: [Row; 19] = [
    ("a thousand headers", NO_HTTP, |c| {
        (0..1000).fold(c.config_map(), |reply, n| reply.header(&format!("X-{n}"), "y"))
    }),
    ("a header of a megabyte", NO_HTTP, |c| c.config_map().header("X-Padding", &"x".repeat(1 << 20))),
    ("a header line without end", NO_HTTP, |_| endless("HTTP/1.1 200 OK\nX: ", &[b'x'; 65_536], 0)),
    ("headers that drip", NO_HTTP, |_| endless("HTTP/1.1 200 OK\n", b"x: y\r\n", 50)),
    ("a header without a colon", NO_HTTP, |c| {
        with("HTTP/1.1 200 OK\nContent-Length: {}\nbroken", &honest(c))
    }),
    ("a header without a name", NO_HTTP, |c| with("HTTP/1.1 200 OK\nContent-Length: {}\n: x", &honest(c))),
    ("NUL in a header", NO_HTTP, |c| with("HTTP/1.1 200 OK\nContent-Length: {}\nX: a\0b", &honest(c))),
    ("NUL in a header's name", NO_HTTP, |c| with("HTTP/1.1 200 OK\nContent-Length: {}\nX\0: ab", &honest(c))),
    ("CR in a header", NO_HTTP, |c| with("HTTP/1.1 200 OK\nContent-Length: {}\nX: a\rb", &honest(c))),
    ("an escape sequence in a header", NO_HTTP, |c| {
        with("HTTP/1.1 200 OK\nContent-Length: {}\nX: \x1b[31m", &honest(c))
    }),
    ("a header on two lines", NO_HTTP, |c| with("HTTP/1.1 200 OK\nContent-Length: {}\nX: a\n b", &honest(c))),
    ("a length on two lines", NO_HTTP, |c| with("HTTP/1.1 200 OK\nContent-Length: 1\n {}", &honest(c))),
    ("bytes beyond ASCII in a header", JOINED, |c| {
        with("HTTP/1.1 200 OK\nContent-Length: {}\nX: ä", &honest(c))
    }),
    ("header lines that end without CR", JOINED, |c| {
        let head = format!("HTTP/1.1 200 OK\nContent-Length: {}\n\n", honest(c).len());
        raw([head.as_bytes(), &honest(c)].concat())
    }),
    ("two media types", JOINED, |c| c.config_map().header("Content-Type", "text/html")),
    ("a body that is said to be compressed", JOINED, |c| c.config_map().header("Content-Encoding", "gzip")),
    ("a bomb of gzip", NO_MAP, |_| {
        // What gzip makes of zeros: each block of these stands for 258 of them, again and again.
        let bomb =
            [&b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xed\xc1\x01\x0d\0\0\0\xc2\xa0"[..], &[0; 100_000]].concat();
        with("HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: {}", &bomb)
    }),
    ("a cookie", JOINED, |c| c.config_map().header("Set-Cookie", "a=b; Path=/")),
    ("another protocol on another port", JOINED, |c| {
        c.config_map().header("Alt-Svc", "h2=\"evil.test:443\"")
    }),
];

const LINES: [Row; 18] = [
    ("HTTP/0.9", NO_HTTP, |c| raw(honest(c))),
    ("HTTP/1.0", JOINED, |c| with("HTTP/1.0 200 OK\nContent-Length: {}", &honest(c))),
    ("HTTP/1.2", NO_HTTP, |c| with("HTTP/1.2 200 OK\nContent-Length: {}", &honest(c))),
    ("HTTP/2 in words", NO_HTTP, |c| with("HTTP/2 200 OK\nContent-Length: {}", &honest(c))),
    ("HTTP/2 in frames", waits("unreachable", ": the response is not valid HTTP (it begins with: "), |_| {
        Reply::raw(vec![Piece::Bytes(vec![0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100]), Piece::Hold])
    }),
    ("ICY", waits("unreachable", ": the response is not valid HTTP (it begins with: ICY 200 OK)"), |c| {
        with("ICY 200 OK\nContent-Length: {}", &honest(c))
    }),
    ("no version", NO_HTTP, |c| with("200 OK\nContent-Length: {}", &honest(c))),
    ("no reason", JOINED, |c| with("HTTP/1.1 200\nContent-Length: {}", &honest(c))),
    ("two spaces", NO_HTTP, |c| with("HTTP/1.1  200 OK\nContent-Length: {}", &honest(c))),
    ("a status of two digits", NO_HTTP, |c| with("HTTP/1.1 20 OK\nContent-Length: {}", &honest(c))),
    ("a status of four digits", NO_HTTP, |c| with("HTTP/1.1 2000 OK\nContent-Length: {}", &honest(c))),
    ("a status of no digits", NO_HTTP, |c| with("HTTP/1.1 abc OK\nContent-Length: {}", &honest(c))),
    ("a negative status", NO_HTTP, |c| with("HTTP/1.1 -200 OK\nContent-Length: {}", &honest(c))),
    ("status 000", NO_HTTP, |c| with("HTTP/1.1 000 OK\nContent-Length: {}", &honest(c))),
    ("status 999", waits("not-published", "HTTP 999"), |c| {
        with("HTTP/1.1 999 OK\nContent-Length: {}", &honest(c))
    }),
    ("an empty line before it", JOINED, |c| with("\nHTTP/1.1 200 OK\nContent-Length: {}", &honest(c))),
    ("a reason without end", NO_HTTP, |_| endless("HTTP/1.1 200 ", &[b'O'; 65_536], 0)),
    ("a byte and silence", waits("unreachable", ": timed out"), |_| {
        Reply::raw(vec![Piece::Bytes(b"H".to_vec()), Piece::Hold])
    }),
];

const CONVERSATIONS: [Row; 16] = [
    ("nothing", NO_ANSWER, |_| Reply::raw(Vec::new())),
    ("silence", NO_ANSWER, |_| Reply::raw(vec![Piece::Hold])),
    ("half a body, and silence", NO_HTTP, |c| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", honest(c).len());
        Reply::raw(vec![Piece::Bytes([head.as_bytes(), &honest(c)[..200]].concat()), Piece::Hold])
    }),
    ("a body that drips", NO_HTTP, |_| endless("HTTP/1.1 200 OK\nContent-Length: 900\n\n", b" ", 50)),
    ("an end that was not said", JOINED, |c| c.config_map().close()),
    ("an end that was said and does not come", JOINED, |c| c.config_map().header("Connection", "close")),
    ("an offer to speak something else", JOINED, |c| {
        c.config_map().header("Connection", "Upgrade").header("Upgrade", "h2c")
    }),
    ("100 first", JOINED, |c| {
        raw([b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", &honest(c)[..]].concat())
    }),
    ("103 first", JOINED, |c| {
        raw([b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", &honest(c)[..]]
            .concat())
    }),
    ("fifty times 102 first", JOINED, |c| {
        raw([&b"HTTP/1.1 102 Processing\r\n\r\n".repeat(50)[..], b"HTTP/1.1 200 OK\r\n\r\n", &honest(c)]
            .concat())
    }),
    ("100 without end", NO_HTTP, |_| endless("", &b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000), 0)),
    ("100 that drips", NO_HTTP, |_| endless("", b"HTTP/1.1 100 Continue\r\n\r\n", 50)),
    ("101", waits("not-published", "HTTP 101"), |c| {
        with("HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: h2c", &honest(c))
    }),
    ("more behind the body", JOINED, |c| {
        let body = [&honest(c)[..], b"\r\nmore"].concat();
        with(&format!("HTTP/1.1 200 OK\nContent-Length: {}", honest(c).len()), &body)
    }),
    ("a second answer behind the first", JOINED, |c| {
        let second = b"HTTP/1.1 422 Invalid\r\nContent-Length: 2\r\n\r\n{}";
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", honest(c).len());
        let both = [head.as_bytes(), &honest(c), second].concat();
        Reply::raw(vec![Piece::Bytes(both), Piece::Pause(Duration::from_secs(2))])
    }),
    ("an answer of another day", waits("unreachable", "HTTP 429"), |_| {
        Reply::status(429, "TooManyRequests").header("Retry-After", "100000")
    }),
];

/// Wishes to be left alone that are none.
const WISHES: [&str; 7] =
    ["-1", "99999999999999999999999", "Fri, 31 Dec 2100 23:59:59 GMT", "1e3", "1.5", "soon", "0"];

/// Asks for cluster-info and gets this answer.
pub fn case(
    name: impl Into<String>,
    expect: Expect,
    answer: impl Fn(&Cluster) -> Reply + Send + Sync + Clone + 'static,
) -> Case {
    Case::new(name, expect, move || {
        let (api, answer) = (Api::start(), answer.clone());
        api.on(Route::Discovery, move |_, _, cluster| Some(answer(cluster)));
        if !expect.says.is_empty() {
            return Stage::with_untrusted(api);
        }
        Stage::with_trusted(api).checked(|stage| {
            for request in stage.trusted[0].requests() {
                assert!(request.header("cookie").is_none(), "a cookie came back");
            }
        })
    })
}

pub fn cases() -> Vec<Case> {
    let rows = LENGTHS.into_iter().chain(CHUNKS).chain(HEADERS).chain(LINES).chain(CONVERSATIONS);
    let mut cases: Vec<Case> = rows.map(|(name, expect, answer)| case(name, expect, answer)).collect();
    for wish in WISHES {
        let expect = waits("unreachable", "HTTP 429: the API server limits requests");
        cases.push(case(format!("429 and Retry-After: {wish}"), expect, |_| {
            Reply::status(429, "TooManyRequests").header("Retry-After", wish)
        }));
    }
    cases
}
