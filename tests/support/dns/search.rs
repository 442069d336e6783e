//! Which names are asked for, by the search list and the rules for names, and what comes of it.

use super::{Asked, Case, Expected};

const V4: &str = "127.0.9.1";

/// Only this name has an address.
pub fn only(asked: &Asked, name: &str) -> Vec<Vec<u8>> {
    if asked.name == name { asked.has(&[V4]) } else { asked.code(3) }
}

const fn v4() -> Expected {
    Expected::Addresses(&[V4])
}

/// A case of resolv.conf.
pub const fn conf(
    name: &'static str,
    resolv_conf: &'static str,
    host: &'static str,
    says: super::Says,
    expected: Expected,
) -> Case {
    Case { name, resolv_conf, hosts: "", host, says, expected, unlike_go: None }
}

pub const CASES: &[Case] = &[
    conf(
        "a name with dots is asked for as it is first",
        "nameserver S1\nsearch corp.example\n",
        "api.lab",
        |asked| {
            if asked.name == "api.lab" { asked.has(&[V4]) } else { asked.has(&["127.0.9.9"]) }
        },
        v4(),
    ),
    conf(
        "then in the search list",
        "nameserver S1\nsearch a.example corp.example\n",
        "api.lab",
        |asked| only(asked, "api.lab.corp.example"),
        v4(),
    ),
    conf(
        "also behind a failure",
        "nameserver S1\nsearch corp.example\noptions attempts:1\n",
        "api.lab",
        |asked| {
            if asked.name == "api.lab" { asked.code(2) } else { asked.has(&[V4]) }
        },
        v4(),
    ),
    conf(
        "also behind an empty answer",
        "nameserver S1\nsearch corp.example\n",
        "api.lab",
        |asked| {
            if asked.name == "api.lab" { asked.has(&[]) } else { asked.has(&[V4]) }
        },
        v4(),
    ),
    conf(
        "also behind silence",
        "nameserver S1\nsearch corp.example\noptions timeout:1 attempts:1\n",
        "api.lab",
        |asked| {
            if asked.name == "api.lab" { Vec::new() } else { asked.has(&[V4]) }
        },
        v4(),
    ),
    conf(
        "also behind silence that lasts",
        "nameserver S1\nsearch corp.example\n",
        "api.lab",
        |asked| if asked.name == "api.lab" { Vec::new() } else { asked.has(&[V4]) },
        v4(),
    ),
    conf(
        "one family of the first name is enough",
        "nameserver S1\nsearch corp.example\n",
        "api.lab",
        |asked| {
            if asked.name == "api.lab" { asked.has(&[V4]) } else { asked.has(&["127.0.9.9", "fd00::1"]) }
        },
        v4(),
    ),
    conf(
        "a name without dots is searched for first",
        "nameserver S1\nsearch corp.example\n",
        "api",
        |asked| {
            if asked.name == "api.corp.example" { asked.has(&[V4]) } else { asked.has(&["127.0.9.9"]) }
        },
        v4(),
    ),
    conf(
        "and asked for as it is at last",
        "nameserver S1\nsearch corp.example\n",
        "api",
        |asked| only(asked, "api"),
        v4(),
    ),
    conf(
        "ndots:3",
        "nameserver S1\nsearch corp.example\noptions ndots:3\n",
        "api.lab",
        |asked| {
            if asked.name == "api.lab" { asked.has(&["127.0.9.9"]) } else { asked.has(&[V4]) }
        },
        v4(),
    ),
    conf(
        "ndots:0",
        "nameserver S1\nsearch corp.example\noptions ndots:0\n",
        "api",
        |asked| {
            if asked.name == "api" { asked.has(&[V4]) } else { asked.has(&["127.0.9.9"]) }
        },
        v4(),
    ),
    conf(
        "ndots:99 is 15",
        "nameserver S1\nsearch corp.example\noptions ndots:99\n",
        "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p",
        |asked| if asked.name.ends_with(".example") { asked.has(&["127.0.9.9"]) } else { asked.has(&[V4]) },
        v4(),
    ),
    conf(
        "a dot at the end ends the search",
        "nameserver S1\nsearch corp.example\n",
        "api.lab.",
        |asked| {
            if asked.name == "api.lab" { asked.code(3) } else { asked.has(&["127.0.9.9"]) }
        },
        Expected::Fails("name server S1 responded with NXDOMAIN"),
    ),
    conf(
        "domain",
        "nameserver S1\ndomain corp.example\n",
        "api",
        |asked| only(asked, "api.corp.example"),
        v4(),
    ),
    conf(
        "domain behind search",
        "nameserver S1\nsearch a.example\ndomain b.example\n",
        "api",
        |asked| only(asked, "api.b.example"),
        v4(),
    ),
    conf(
        "search behind domain",
        "nameserver S1\ndomain b.example\nsearch a.example. .\n",
        "api",
        |asked| only(asked, "api.a.example"),
        v4(),
    ),
    conf(
        "the domain of the hostname",
        "nameserver S1\n",
        "api",
        |asked| only(asked, "api.corp.example"),
        v4(),
    ),
    conf(
        "a search list of nothing",
        "nameserver S1\nsearch a.example\nsearch .\n",
        "api",
        |asked| only(asked, "api.corp.example"),
        v4(),
    ),
    conf(
        "a domain that is none",
        "nameserver S1\nsearch a..b c.example\n",
        "api",
        |asked| only(asked, "api.c.example"),
        v4(),
    ),
    conf("Tor", "nameserver S1\n", "api.onion.", |asked| asked.has(&[V4]), Expected::Fails("not a DNS name")),
    conf(
        "the root of Tor in the search list",
        "nameserver S1\nsearch onion corp.example\noptions ndots:9\n",
        "api.lab",
        |asked| {
            if asked.name.ends_with("onion") {
                asked.has(&["127.0.9.9"])
            } else {
                only(asked, "api.lab.corp.example")
            }
        },
        v4(),
    ),
    conf("a label of 63", "nameserver S1\n", const_name(0), |asked| asked.has(&[V4]), v4()),
    conf(
        "a name that is too long in the search list",
        "nameserver S1\nsearch corp.example\noptions ndots:15\n",
        const_name(3),
        |asked| {
            if asked.name.ends_with("corp.example") { asked.has(&["127.0.9.9"]) } else { asked.has(&[V4]) }
        },
        v4(),
    ),
    conf("an underscore", "nameserver S1\n", "a_b.lab", |asked| asked.has(&[V4]), v4()),
];

/// A name whose labels are as long as they can be.
const fn const_name(more: usize) -> &'static str {
    const LONG: &str = concat!(
        "a23456789012345678901234567890123456789012345678901234567890123.",
        "b23456789012345678901234567890123456789012345678901234567890123.",
        "c23456789012345678901234567890123456789012345678901234567890123.",
        "d234567890123456789012345678901234567890123456789012345678901"
    );
    LONG.split_at(if more == 0 { 63 } else { LONG.len() }).0
}
