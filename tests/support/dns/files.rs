//! What resolv.conf and hosts say, and what comes of it.

use super::search::{conf, only};
use super::{Asked, Case, Expected};

const V4: &str = "127.0.9.1";

/// Nobody is asked.
fn nobody(asked: &Asked) -> Vec<Vec<u8>> {
    panic!("{} was asked for", asked.name)
}

/// Only this server is of use.
fn server(asked: &Asked, server: usize) -> Vec<Vec<u8>> {
    if asked.server == server { asked.has(&[V4]) } else { asked.code(2) }
}

const fn v4() -> Expected {
    Expected::Addresses(&[V4])
}

/// A case of hosts.
const fn hosts(name: &'static str, hosts: &'static str, host: &'static str, expected: Expected) -> Case {
    Case { name, resolv_conf: "nameserver S1\n", hosts, host, says: nobody, expected, unlike_go: None }
}

/// A case of hosts in which a name server is asked, and knows of nothing.
const fn unknown(name: &'static str, text: &'static str, host: &'static str) -> Case {
    Case { says: |asked| asked.code(3), ..hosts(name, text, host, Expected::Fails("NXDOMAIN")) }
}

pub const CASES: &[Case] = &[
    conf(
        "comments, blanks, tabs and CRLF",
        "# a\r\n;b\r\n \t\r\nnameserver\tS1 # c\r\nsearch  a.example\tcorp.example\r\n",
        "api",
        |asked| only(asked, "api.corp.example"),
        v4(),
    ),
    conf(
        "unknown lines and options",
        "sortlist 10.0.0.0/8\nnameserver S1\noptions edns0 inet6 no-reload debug\nlookup file\n",
        "api.lab",
        |asked| asked.has(&[V4]),
        v4(),
    ),
    conf("no line break at the end", "nameserver S1", "api.lab", |asked| asked.has(&[V4]), v4()),
    conf(
        "what is no name server",
        "nameserver\nnameserver dns.example\nnameserver 10.0.0.256\nnameserver S1\n",
        "api.lab",
        |asked| asked.has(&[V4]),
        v4(),
    ),
    conf(
        "three servers, in their order",
        "nameserver S1\nnameserver S2\nnameserver S3\n",
        "api.lab",
        |asked| server(asked, 3),
        v4(),
    ),
    conf(
        "the fourth is not asked",
        "nameserver S1\nnameserver S2\nnameserver S3\nnameserver S4\noptions attempts:1\n",
        "api.lab",
        |asked| server(asked, 4),
        Expected::Fails("name server S3 responded with SERVFAIL"),
    ),
    conf(
        "a server that is not there",
        "nameserver 127.1.0.9\nnameserver S1\n",
        "api.lab",
        |asked| asked.has(&[V4]),
        v4(),
    ),
    conf(
        "a server that cannot be reached",
        "nameserver 192.0.2.1\nnameserver S1\n",
        "api.lab",
        |asked| asked.has(&[V4]),
        v4(),
    ),
    conf(
        "no server that is there",
        "nameserver 127.1.0.9\noptions attempts:1\n",
        "api.lab",
        nobody,
        Expected::Fails("name server S9 cannot be reached: connection refused"),
    ),
    conf(
        "two silent servers",
        "nameserver S1\nnameserver S2\nnameserver S3\n",
        "api.lab",
        |asked| if asked.server == 3 { asked.has(&[V4]) } else { Vec::new() },
        v4(),
    ),
    conf(
        "a server that is asked twice",
        "nameserver S1\n",
        "api.lab.",
        |asked| {
            if asked.count < 2 { Vec::new() } else { asked.has(&[V4]) }
        },
        v4(),
    ),
    conf(
        "a server that is asked once",
        "nameserver S1\noptions attempts:1\n",
        "api.lab.",
        |asked| {
            if asked.count < 2 { asked.code(2) } else { asked.has(&[V4]) }
        },
        Expected::Fails("name server S1 responded with SERVFAIL"),
    ),
    conf(
        "a server that is asked four times",
        "nameserver S1\noptions attempts:4 single-request\n",
        "api.lab.",
        |asked| {
            if asked.count < 3 { asked.code(2) } else { asked.has(&[V4]) }
        },
        v4(),
    ),
    conf(
        "a slow server",
        "nameserver S1\noptions attempts:1\n",
        "api.lab.",
        |asked| {
            std::thread::sleep(std::time::Duration::from_secs(3));
            asked.has(&[V4])
        },
        v4(),
    ),
    conf(
        "a server that is slower than timeout",
        "nameserver S1\nnameserver S2\noptions attempts:1 timeout:1\n",
        "api.lab.",
        |asked| {
            if asked.server == 1 {
                std::thread::sleep(std::time::Duration::from_secs(3));
            }
            server(asked, 2)
        },
        v4(),
    ),
    conf(
        "rotate",
        "nameserver S1\nnameserver S2\noptions rotate\n",
        "api.lab.",
        |asked| asked.has(&[V4, "::1"]),
        Expected::Addresses(&["::1", V4]),
    ),
    conf(
        "single-request",
        "nameserver S1\noptions single-request\n",
        "api.lab.",
        |asked| asked.has(&[V4, "::1"]),
        Expected::Addresses(&["::1", V4]),
    ),
    conf(
        "single-request, and no A",
        "nameserver S1\noptions single-request-reopen\n",
        "api.lab.",
        |asked| if asked.v6 { asked.has(&["::1"]) } else { asked.code(3) },
        Expected::Addresses(&["::1"]),
    ),
    conf(
        "single-request, and A has no answer",
        "nameserver S1\noptions single-request timeout:1\n",
        "api.lab.",
        |asked| if asked.v6 { asked.has(&["::1"]) } else { Vec::new() },
        Expected::Addresses(&["::1"]),
    ),
    conf(
        "use-vc",
        "nameserver S1\noptions use-vc\n",
        "api.lab.",
        |asked| if asked.tcp { asked.has(&[V4]) } else { asked.code(3) },
        v4(),
    ),
    conf(
        "use-vc, and the first closes",
        "nameserver S1\nnameserver S2\noptions tcp\n",
        "api.lab.",
        |asked| if asked.tcp && asked.server == 2 { asked.has(&[V4]) } else { Vec::new() },
        v4(),
    ),
    conf(
        "trust-ad",
        "nameserver S1\noptions trust-ad\n",
        "api.lab.",
        |asked| if asked.ad { asked.has(&[V4]) } else { asked.code(3) },
        v4(),
    ),
    conf(
        "without trust-ad",
        "nameserver S1\n",
        "api.lab.",
        |asked| if asked.ad { asked.code(3) } else { asked.has(&[V4]) },
        v4(),
    ),
    conf("no resolv.conf", "", "default.example.", nobody, Expected::Addresses(&["127.0.9.2"])),
    conf(
        "no server in it",
        "search a.example\n",
        "default.example.",
        nobody,
        Expected::Addresses(&["127.0.9.2"]),
    ),
    conf(
        "an IPv6 server",
        "nameserver ::1\n",
        "default.example.",
        nobody,
        Expected::Addresses(&["127.0.9.2"]),
    ),
    conf(
        "an IPv6 server with a zone",
        "nameserver fe80::53%lo\n",
        "default.example.",
        nobody,
        Expected::Addresses(&["127.0.9.2"]),
    ),
    conf(
        "an IPv6 server with a zone by its number",
        "nameserver fe80::53%1\n",
        "default.example.",
        nobody,
        Expected::Addresses(&["127.0.9.2"]),
    ),
    conf(
        "addresses of all kinds",
        "nameserver S1\n",
        "api.lab.",
        |asked| asked.has(&["10.9.0.1", "127.0.9.1", "169.254.9.1", "2001:db8::2", "fd00::1"]),
        Expected::Addresses(&["2001:db8::2", "fd00::1", "10.9.0.1", "127.0.9.1", "169.254.9.1"]),
    ),
    conf(
        "IPv6 that cannot be reached",
        "nameserver S1\n",
        "api.lab.",
        |asked| asked.has(&["10.9.0.1", "2001:db8:9::1"]),
        Expected::Addresses(&["10.9.0.1", "2001:db8:9::1"]),
    ),
    conf(
        "IPv4 that cannot be reached",
        "nameserver S1\n",
        "api.lab.",
        |asked| asked.has(&["192.0.2.1", "fd00::1"]),
        Expected::Addresses(&["fd00::1", "192.0.2.1"]),
    ),
    conf(
        "unique local addresses come behind IPv4",
        "nameserver S1\n",
        "api.lab.",
        |asked| asked.has(&["10.9.0.1", "fd00::1"]),
        Expected::Addresses(&["10.9.0.1", "fd00::1"]),
    ),
    hosts("hosts", "127.0.9.1 api.lab\n", "api.lab", v4()),
    hosts("hosts in capitals", "127.0.9.1 API.Lab\n", "api.LAB", v4()),
    hosts("hosts with a dot at its end", "127.0.9.1 api.lab.\n", "api.lab", v4()),
    hosts("a host with a dot at its end", "127.0.9.1 api.lab\n", "api.lab.", v4()),
    Case {
        unlike_go: Some("Go compares the dot where a name has no other"),
        ..hosts("a host of one label with a dot at its end", "127.0.9.1 api\n", "api.", v4())
    },
    hosts("an alias", "127.0.9.1 api api.lab other\n", "other", v4()),
    hosts(
        "several lines, both families",
        "127.0.9.1 api\n::1 api\n127.0.9.2\tx api # api\n",
        "api",
        Expected::Addresses(&["::1", V4, "127.0.9.2"]),
    ),
    hosts(
        "comments, CRLF and lines that are none",
        "#127.0.9.9 api\r\n127.0.9.9\r\n\r\n127.0.9 api\r\n 127.0.9.1 api\r\n",
        "api",
        v4(),
    ),
    hosts("no line break at the end", "127.0.9.1 api", "api", v4()),
    hosts("localhost", "127.0.9.1 localhost\n", "localhost", v4()),
    hosts("a zone", "fe80::53%lo api\n", "api", Expected::Addresses(&["fe80::53"])),
    unknown("a name in a comment", "127.0.9.1 x # api.lab\n", "api.lab"),
    unknown("a longer name", "127.0.9.1 api.lab.example api.la\n", "api.lab"),
    conf(
        "localhost without hosts",
        "nameserver S1\nsearch a.example\n",
        "localhost",
        |asked| only(asked, "localhost"),
        v4(),
    ),
    Case {
        hosts: "127.0.9.1 10.a.b\n",
        ..conf("hosts before the rules for names", "nameserver S1\n", "10.a.b", nobody, v4())
    },
];
