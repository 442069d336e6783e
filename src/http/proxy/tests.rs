use super::*;

fn endpoint(text: &str) -> Endpoint {
    Endpoint::parse(text).unwrap()
}

fn proxies(variables: &[(&str, &str)]) -> Proxies {
    Proxies::from_environment(|name| {
        variables.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned())
    })
}

/// The proxy that is taken for an API server by name: where it listens, and from which variable.
fn towards(variables: &[(&str, &str)]) -> Option<String> {
    proxies(variables).towards(&endpoint("api.example:6443")).unwrap().map(|proxy| proxy.to_string())
}

#[test]
fn this_machine_is_never_reached_through_a_proxy() {
    for (host, direct) in [
        ("localhost:6443", true),
        ("LocalHost:6443", true),
        ("127.0.0.1:6443", true),
        ("127.9.9.9:6443", true),
        ("[::1]:6443", true),
        ("[::ffff:127.0.0.1]:6443", true),
        ("localhost.example:6443", false),
        ("api.localhost:6443", false),
        ("128.0.0.1:6443", false),
        ("[::2]:6443", false),
    ] {
        assert_eq!(is_direct(&endpoint(host), ""), direct, "{host}");
    }
}

#[test]
fn no_proxy_names_hosts_as_go_reads_it() {
    for (exceptions, direct, proxied) in [
        ("*", &["api.example:1", "10.0.0.1:1", "[fd00::1]:1"][..], &[][..]),
        ("other, * ,", &["api.example:1"], &[]),
        ("*:6443", &[], &["api.example:6443"]),
        // A name is itself and all below it.
        (
            "example.org",
            &["example.org:1", "api.example.org:1", "a.b.example.org:1"],
            &["anexample.org:1", "example.org.net:1", "example.com:1", "org:1"],
        ),
        (" EXAMPLE.org ", &["Example.ORG:1", "api.example.org:1"], &["example.net:1"]),
        // With a dot before it, only what is below it; a star before the dot says the same.
        (".example.org", &["api.example.org:1", "a.b.example.org:1"], &["example.org:1", "anexample.org:1"]),
        ("*.example.org", &["api.example.org:1"], &["example.org:1", "anexample.org:1"]),
        ("*example.org", &[], &["anexample.org:1", "example.org:1"]),
        ("api.*", &[], &["api.example:1"]),
        // Ports.
        ("example.org:6443", &["example.org:6443", "api.example.org:6443"], &["example.org:443"]),
        (".example.org:6443", &["api.example.org:6443"], &["example.org:6443", "api.example.org:443"]),
        ("*.example.org:6443", &["api.example.org:6443"], &["api.example.org:443"]),
        ("example.org:", &["example.org:1"], &[]),
        ("example.org:http", &[], &["example.org:80"]),
        (":6443", &[], &["api.example:6443"]),
        // Addresses, in any spelling.
        ("10.0.0.1", &["10.0.0.1:1", "[::ffff:10.0.0.1]:1"], &["10.0.0.2:1", "api.example:1"]),
        ("::ffff:10.0.0.1", &["10.0.0.1:1"], &["10.0.0.2:1"]),
        ("10.0.0.1:6443", &["10.0.0.1:6443"], &["10.0.0.1:443"]),
        ("fd00::1", &["[fd00::1]:1", "[fd00:0::1]:6443"], &["[fd00::2]:1"]),
        ("[fd00::1]:6443", &["[fd00::1]:6443"], &["[fd00::1]:443"]),
        // Go takes brackets only where a port follows.
        ("[fd00::1]", &[], &["[fd00::1]:6443"]),
        // Not octal, not short.
        ("010.0.0.1,10.1", &[], &["10.0.0.1:1", "8.0.0.1:1"]),
        // Networks.
        ("10.0.0.0/8", &["10.0.0.1:1", "10.255.255.255:1"], &["11.0.0.0:1", "[fd00::1]:1", "api.example:1"]),
        ("10.1.2.3/8", &["10.0.0.1:1"], &["11.1.2.3:1"]),
        ("10.0.0.1/32", &["10.0.0.1:1"], &["10.0.0.2:1"]),
        ("0.0.0.0/0", &["10.0.0.1:1"], &["[fd00::1]:1", "api.example:1"]),
        ("fd00::/8", &["[fd00::1]:1", "[fdff::1]:1"], &["[fe00::1]:1", "10.0.0.1:1"]),
        ("::/0", &["[fd00::1]:1"], &["10.0.0.1:1"]),
        ("::ffff:10.0.0.0/104", &["10.0.0.1:1"], &["11.0.0.1:1", "[fd00::1]:1"]),
        ("::ffff:10.0.0.0/96", &["10.0.0.1:1", "11.0.0.1:1"], &["[::2]:1"]),
        // A larger network than that of all IPv4 addresses is one of IPv6 addresses.
        ("::ffff:10.0.0.0/95,::ffff:10.0.0.0/40", &["[::2]:1"], &["10.0.0.1:1", "[fd00::1]:1"]),
        (
            "10.0.0.0/33,10.0.0.0/-1,10.0.0.0/+8,10.0.0.0/,10.0.0.0/8:6443,fd00::/129",
            &[],
            &["10.0.0.1:6443", "[fd00::1]:1"],
        ),
        // An address is no name, even where it looks like the end of one.
        ("0.0.1,.0.0.1,1", &[], &["10.0.0.1:1"]),
        // A dot alone is the end of a name that ends with one.
        (".", &["api.:1"], &["api:1", "10.0.0.1:1"]),
        // What makes no sense excepts nothing, and does not hide what follows.
        (",, .,*.,..,[,],:,[]:1,a:b:c,%,ä.example,api.example", &["api.example:1"], &["b.example:1", "c:1"]),
    ] {
        for host in direct {
            assert!(is_direct(&endpoint(host), exceptions), "{host} with NO_PROXY={exceptions}");
        }
        for host in proxied {
            assert!(!is_direct(&endpoint(host), exceptions), "{host} with NO_PROXY={exceptions}");
        }
    }
}

#[test]
fn the_first_variable_that_is_not_empty_counts() {
    let upper = ("HTTPS_PROXY", "http://upper:3128");
    let lower = ("https_proxy", "http://lower:3128");
    for (variables, proxy) in [
        (&[][..], None),
        (&[upper][..], Some("upper:3128 (HTTPS_PROXY)")),
        (&[lower], Some("lower:3128 (https_proxy)")),
        (&[upper, lower], Some("upper:3128 (HTTPS_PROXY)")),
        (&[("HTTPS_PROXY", ""), lower], Some("lower:3128 (https_proxy)")),
        (&[upper, ("NO_PROXY", "api.example")], None),
        (&[upper, ("no_proxy", "api.example")], None),
        (&[upper, ("NO_PROXY", ""), ("no_proxy", "api.example")], None),
        (&[upper, ("NO_PROXY", "other"), ("no_proxy", "api.example")], Some("upper:3128 (HTTPS_PROXY)")),
        (&[("HTTP_PROXY", "http://p:1"), ("http_proxy", "http://p:1"), ("ALL_PROXY", "http://p:1")], None),
    ] {
        assert_eq!(towards(variables).as_deref(), proxy, "{variables:?}");
    }
}

#[test]
fn a_proxy_is_a_url_or_a_host_with_a_port() {
    for (url, shown, credentials) in [
        ("http://proxy.example:3128", "proxy.example:3128", None),
        ("HTTP://proxy.example:3128/", "proxy.example:3128", None),
        ("proxy.example:3128", "proxy.example:3128", None),
        ("http://proxy.example/path?query#fragment", "proxy.example:80", None),
        ("10.0.0.1", "10.0.0.1:80", None),
        ("http://[fd00::1]:3128", "[fd00::1]:3128", None),
        ("http://[fd00::1]", "[fd00::1]:80", None),
        ("http://user:password@proxy:3128", "proxy:3128", Some("user:password")),
        ("user:password@proxy:3128", "proxy:3128", Some("user:password")),
        ("http://user@proxy:3128", "proxy:3128", Some("user:")),
        ("http://:password@proxy:3128", "proxy:3128", Some(":password")),
        ("http://@proxy:3128", "proxy:3128", Some(":")),
        ("http://a%40b:p%3A%2f%25+%20@proxy:3128", "proxy:3128", Some("a@b:p:/%+ ")),
        ("http://user:p@ss@proxy:3128", "proxy:3128", Some("user:p@ss")),
        ("http://user:a:b@proxy:3128", "proxy:3128", Some("user:a:b")),
        // A line break inside of it stays inside of it.
        ("http://u:%0d%0aX-Evil:%201@proxy:3128", "proxy:3128", Some("u:\r\nX-Evil: 1")),
    ] {
        let proxy = Proxy::parse("HTTPS_PROXY", url).unwrap();
        assert_eq!(proxy.endpoint().to_string(), shown, "{url}");
        let encoded = credentials.map(|plain| STANDARD.encode(plain));
        assert_eq!(proxy.credentials.as_ref().map(|secret| secret.expose().clone()), encoded, "{url}");
    }
}

#[test]
fn what_is_no_http_proxy_is_a_usage_error_that_names_the_variable_and_no_value() {
    for (url, words) in [
        ("https://hunter2:3128", "does not name an http:// proxy"),
        ("socks5://hunter2:1080", "does not name an http:// proxy"),
        ("socks5h://u:hunter2@p:1080", "does not name an http:// proxy"),
        (" http://hunter2:3128", "does not name an http:// proxy"),
        ("http://u:hunter2@", "is no URL"),
        ("http://hunter2:0", "is no URL"),
        ("http://hunter2:99999", "is no URL"),
        ("http://hunter2 :1", "is no URL"),
        ("http://fd00::1:3128/hunter2", "is no URL"),
        ("//hunter2:3128", "is no URL"),
        ("http:///hunter2", "is no URL"),
        ("http://u:123/hunter2@p:3128", "percent-encoded"),
        ("http://u:123#hunter2@p:3128", "percent-encoded"),
        ("http://u:hunter2%@p:3128", "hex digits"),
        ("http://u:hunter2%4@p:3128", "hex digits"),
        ("http://u:hunter2%zz@p:3128", "hex digits"),
        ("http://u:hunter2%+1@p:3128", "hex digits"),
    ] {
        for variable in ["HTTPS_PROXY", "https_proxy"] {
            let proxies = proxies(&[(variable, url), ("NO_PROXY", "excepted.example")]);
            let error = proxies.towards(&endpoint("api.example:6443")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            let text = error.to_string();
            assert!(
                text.contains(variable) && text.contains(words) && text.contains("api.example"),
                "{url}: {text}"
            );
            assert!(!text.contains("hunter2") && !format!("{proxies:?}").contains("hunter2"), "{text}");
            // Where no proxy is needed the value does not matter.
            assert!(proxies.towards(&endpoint("excepted.example:6443")).unwrap().is_none());
            assert!(proxies.towards(&endpoint("localhost:6443")).unwrap().is_none());
        }
    }
}

/// A proxy at the other end: keeps what it is told, and has its whole answer ready.
struct Wire {
    told: Vec<u8>,
    answer: io::Cursor<Vec<u8>>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.answer.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.told.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Asks a proxy that answers with `answer` for a tunnel.
fn tunnel(url: &str, target: &str, answer: &[u8]) -> (io::Result<()>, Wire) {
    let proxy = Proxy::parse("HTTPS_PROXY", url).unwrap();
    let mut wire = Wire { told: Vec::new(), answer: io::Cursor::new(answer.to_vec()) };
    let result = proxy.tunnel(&mut wire, &endpoint(target));
    (result, wire)
}

#[test]
fn a_tunnel_is_asked_for_in_one_request_and_nothing_of_it_is_taken() {
    let ok = b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n\x16\x03";
    let (result, mut wire) = tunnel("http://proxy:3128", "[fd00::1]:6443", ok);
    result.unwrap();
    let request = format!(
        "CONNECT [fd00::1]:6443 HTTP/1.1\r\nHost: [fd00::1]:6443\r\nUser-Agent: {USER_AGENT}\r\n\r\n"
    );
    assert_eq!(String::from_utf8(wire.told).unwrap(), request);
    let mut rest = Vec::new();
    wire.answer.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"\x16\x03");
    tunnel("http://proxy:3128", "[fd00::1]:6443", b"HTTP/1.0 200\nX: y\n\n\x16\x03").0.unwrap();

    let (_, wire) = tunnel("http://Aladdin:open%20sesame@proxy:3128", "api.example:6443", ok);
    let told = String::from_utf8(wire.told).unwrap();
    // The example of RFC 7617, section 2.
    assert!(told.contains("\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"), "{told}");
    assert!(told.starts_with("CONNECT api.example:6443 HTTP/1.1\r\n"), "{told}");
}

#[test]
fn a_refusal_tells_proxy_status_and_remedy_and_only_407_is_final() {
    let plain = "http://proxy:3128";
    let with_user = "http://user:hunter2@proxy:3128";
    for (url, answer, final_, words) in [
        (plain, "407 Proxy Authentication Required", true, &["HTTP 407", "user and password required"][..]),
        (
            with_user,
            "407 Proxy Authentication Required",
            true,
            &["HTTP 407", "user and password were refused"],
        ),
        (plain, "403 Forbidden", false, &["HTTP 403", "Forbidden", "NO_PROXY"]),
        (plain, "429 Too Many Requests", false, &["HTTP 429", "busy"]),
        (plain, "502 Bad Gateway", false, &["HTTP 502", "cannot reach"]),
        (plain, "503", false, &["HTTP 503"]),
        (plain, "405 Method Not Allowed", false, &["HTTP 405", "CONNECT"]),
        (plain, "301 Moved", false, &["HTTP 301"]),
        (plain, "400 \u{1b}[31mhunter\r", false, &["HTTP 400", " [31mhunter"]),
    ] {
        let (result, _) = tunnel(url, "api.example:6443", format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes());
        let error = result.unwrap_err();
        let refusal = error.get_ref().and_then(|inner| inner.downcast_ref::<Refusal>()).unwrap();
        let failure = refusal.failure(Step::Discovery);
        assert_eq!(failure.kind(), ErrorKind::Unreachable, "{answer}");
        assert_eq!(failure.retry() == Retry::Never, final_, "{answer}");
        let text = failure.to_string();
        for word in [&["proxy:3128 (HTTPS_PROXY)", "api.example:6443"], words].concat() {
            assert!(text.contains(word), "{word} in {text}");
        }
        assert!(!text.contains("hunter2") && !text.contains('\u{1b}'), "{text}");
    }
}

#[test]
fn a_refusal_shows_no_credentials_and_its_wish_is_bounded() {
    let failure = |answer: &str| {
        let (result, _) = tunnel("http://user:hunter22@proxy:3128", "api.example:6443", answer.as_bytes());
        let error = result.unwrap_err();
        error.get_ref().and_then(|inner| inner.downcast_ref::<Refusal>()).unwrap().failure(Step::Discovery)
    };
    let shown = failure("HTTP/1.1 503 Basic dXNlcjpodW50ZXIyMg== is user:hunter22, hunter22\r\n\r\n");
    assert!(shown.chain()[0].ends_with("(Basic *** is ***, ***; empty response)"), "{shown}");
    for (headers, retry_after) in [
        ("Retry-After: 2", Some(2)),
        ("retry-after: 3600", Some(5)),
        ("Retry-After: 99999999999999999999999", Some(5)),
        ("Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\nDate: Sun, 06 Nov 1994 08:49:34 GMT", Some(3)),
        ("Retry-After: Sun, 06 Nov 2094 08:49:37 GMT", None),
        ("Retry-After: soon", None),
    ] {
        let retry = failure(&format!("HTTP/1.1 429 Busy\r\n{headers}\r\n\r\n")).retry();
        assert_eq!(retry, Retry::UntilDeadline(retry_after.map(std::time::Duration::from_secs)), "{headers}");
    }
}

/// The words of a refusal, of a proxy that knows a password.
fn refused(answer: &[u8]) -> String {
    let (result, wire) = tunnel("http://user:hunter22@proxy:3128", "api.example:6443", answer);
    let most = limits::HEADER_BYTES + limits::PAGE_TEXT;
    assert!(wire.answer.position() <= most as u64, "more was read than is shown");
    let error = result.unwrap_err();
    error.get_ref().and_then(|inner| inner.downcast_ref::<Refusal>()).unwrap().to_string()
}

#[test]
fn a_refusal_tells_the_first_words_of_the_proxys_own_page() {
    let squid = "<!DOCTYPE html><html><head><style>body { color: red }</style><title>ERROR</title></head>\n<body>\
                 <h1>Access Denied</h1>by proxy01 for user:hunter22, dXNlcjpodW50ZXIyMg==</body></html>";
    for (answer, words) in [
        (
            format!(
                "403 Forbidden\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\r\n{squid}more",
                squid.len()
            ),
            "(Forbidden; text/html: ERROR Access Denied by proxy01 for ***, ***)",
        ),
        (format!("403 Forbidden\r\n\r\n{squid}"), "(Forbidden; no media type: ERROR Access Denied by"),
        (
            format!("502 Bad\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{squid}\r\n0\r\n\r\n", squid.len()),
            "(Bad; no media type: ERROR Access Denied by proxy01",
        ),
        (
            "302 Found\r\nLocation: http://login.example/\u{1b}[2J\r\n\r\n".to_owned(),
            "to http://login.example/ [2J, ",
        ),
        ("503 No\nContent-Length: 4\n\nfull and more".to_owned(), "(No; no media type: full)"),
        ("503 No\r\nContent-Length: 4\r\n\r\nfull and more".to_owned(), "(No; no media type: full)"),
        ("503 No\r\nContent-Length: -1\r\n\r\nfull".to_owned(), "no media type: full)"),
        (format!("503 No\r\n\r\n{}", "x".repeat(100_000)), "xx…)"),
    ] {
        let shown = refused(format!("HTTP/1.1 {answer}").as_bytes());
        assert!(shown.contains(words) && !shown.contains("hunter22") && !shown.contains('\u{1b}'), "{shown}");
    }
}

#[test]
fn what_is_no_answer_is_no_tunnel() {
    let endless = [&b"HTTP/1.1 200 OK\r\n"[..], &b"x: y\r\n".repeat(10_000)].concat();
    for (answer, words) in [
        (&b"HTTP/1.1 200 OK\r\n"[..], "HTTP/1.1 200 OK)"),
        (b"HTTP/2 200\r\n\r\n", "HTTP/2 200)"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "SSH-2.0-OpenSSH_9.2)"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-OpenSSH_9.2)"),
        (b"HTTP/1.1 OK\r\n\r\n", "HTTP/1.1 OK)"),
        (b"HTTP/1.1 99 OK\r\n\r\n", "HTTP/1.1 99 OK)"),
        (b"HTTP/1.1 \xff\r\n\r\n", "HTTP/1.1 \u{fffd})"),
        (b"\x1b[2J hunter22\r\n\r\n", "[2J ***)"),
        (&endless, "HTTP/1.1 200 OK x: y x: y"),
    ] {
        let shown = refused(answer);
        let before = "proxy proxy:3128 (HTTPS_PROXY) sent no complete HTTP response for api.example:6443 (";
        assert!(shown.starts_with(before) && shown.contains(words), "{shown}");
    }
    let (result, _) = tunnel("http://proxy:3128", "api.example:6443", b"");
    assert_eq!(result.unwrap_err().to_string(), "connection closed by the proxy");
}

#[test]
fn the_proxys_own_host_is_known_where_it_is_one() {
    for (variables, host) in [
        (&[][..], None),
        (&[("HTTPS_PROXY", "http://u:p@proxy.example:3128")], Some("proxy.example")),
        (&[("https_proxy", "192.0.2.1:3128")], Some("192.0.2.1")),
        (&[("HTTPS_PROXY", "socks5://proxy.example:1080")], None),
    ] {
        assert_eq!(proxies(variables).host().as_deref(), host, "{variables:?}");
    }
}

#[test]
fn of_a_refusals_page_the_size_of_a_chunk_is_no_part() {
    let read = |head: &str, body: &str| {
        String::from_utf8(read_body(
            &mut body.as_bytes(),
            ["HTTP/1.1 403 No\r\n", head, "\r\n"].concat().as_bytes(),
        ))
        .unwrap()
    };
    assert_eq!(read("", "5\r\nno\n"), "5\r\nno\n");
    assert_eq!(read("Content-Length: 3\r\n", "no\nx"), "no\n");
    assert_eq!(read("Transfer-Encoding: chunked\r\n", "5\r\nno\nx"), "no\nx");
    assert_eq!(read("Transfer-Encoding: chunked\r\n", "no"), "no");
}
