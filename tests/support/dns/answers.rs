//! What name servers answer, and what comes of it.

use super::{Asked, Case, Expected, RECURSION, Says, message, of, record, short, typed};

/// One server, no search list.
const ONE: &str = "nameserver S1\nsearch none.example\noptions ndots:1\n";
/// Two, one question each.
const TWO: &str = "nameserver S1\nnameserver S2\noptions attempts:1\n";
const V4: &str = "127.0.9.1";
const V6: &str = "::1";

/// A case of `api.example` with one server.
const fn one(name: &'static str, says: Says, expected: Expected) -> Case {
    Case { name, resolv_conf: ONE, hosts: "", host: "api.example.", says, expected, unlike_go: None }
}

/// A case in which the second server knows the address.
const fn two(name: &'static str, says: Says, expected: Expected) -> Case {
    Case { name, resolv_conf: TWO, hosts: "", host: "api.example.", says, expected, unlike_go: None }
}

const fn v4() -> Expected {
    Expected::Addresses(&[V4])
}

const fn v6() -> Expected {
    Expected::Addresses(&[V6])
}

/// Whoever is asked for the other family gets `other`.
fn v4_else(asked: &Asked, other: impl Fn(&Asked) -> Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if asked.v6 { other(asked) } else { asked.has(&[V4]) }
}

fn v6_else(asked: &Asked, other: impl Fn(&Asked) -> Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if asked.v6 { asked.has(&[V6]) } else { other(asked) }
}

/// The first server is of this use, the second one knows.
fn second(asked: &Asked, first: impl Fn(&Asked) -> Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if asked.server == 1 { first(asked) } else { asked.has(&[V4]) }
}

fn address(text: &str) -> Vec<u8> {
    record(text.parse().expect("an address"))
}

fn lame(asked: &Asked) -> Vec<Vec<u8>> {
    asked.reply(0x8000, &[])
}

/// A name that points to itself.
fn looped(asked: &Asked) -> Vec<Vec<u8>> {
    let here = 12 + short(asked.question.len());
    asked.reply(RECURSION, &[of(&(0xc000 | here).to_be_bytes(), 1, &[127, 0, 9, 9])])
}

/// Aliases before the address, the second of them with a name that is compressed.
fn aliases(asked: &Asked) -> Vec<Vec<u8>> {
    let aliases = [typed(5, b"\x01a\xc0\x10"), of(b"\x01a\xc0\x10", 5, b"\x01b\x05other\0")];
    let mut records = aliases.to_vec();
    if !asked.v6 {
        records.push(of(b"\x01b\x05other\0", 1, &[127, 0, 9, 1]));
    }
    asked.reply(RECURSION, &records)
}

/// A code whose upper bits are in the additional record (BADVERS), or any code there.
fn extended(asked: &Asked, upper: u8, code: u16) -> Vec<Vec<u8>> {
    let mut option = vec![0, 0, 41, 4, 0xd0];
    option.extend([upper, 0, 0, 0, 0, 0]);
    vec![message(asked.id, RECURSION | code, &[&asked.question], &[], &[option])]
}

fn many(asked: &Asked, count: u8) -> Vec<Vec<u8>> {
    let records: Vec<_> = (1..=count).map(|last| typed(1, &[127, 0, 8, last])).collect();
    if asked.v6 { asked.has(&[]) } else { asked.reply(RECURSION, &records) }
}

fn truncated(asked: &Asked) -> Vec<Vec<u8>> {
    if asked.tcp { asked.has(&[V4]) } else { asked.reply(RECURSION | 0x200, &[address("127.0.9.9")]) }
}

/// What is forged comes first, what is right a moment later.
fn forged(asked: &Asked, forged: Vec<u8>) -> Vec<Vec<u8>> {
    [vec![forged], asked.has(&[V4])].concat()
}

fn wrong_id(asked: &Asked) -> Vec<u8> {
    message(asked.id ^ 1, RECURSION, &[&asked.question], &[address("127.0.9.9")], &[])
}

fn wrong_question(asked: &Asked) -> Vec<u8> {
    let other = b"\x03api\x05other\0\0\x01\0\x01";
    message(asked.id, RECURSION, &[other], &[address("127.0.9.9")], &[])
}

pub const CASES: &[Case] = &[
    one("both families", |asked| asked.has(&[V4, V6]), Expected::Addresses(&[V6, V4])),
    one("AAAA is NXDOMAIN", |asked| v4_else(asked, |asked| asked.code(3)), v4()),
    one("AAAA is SERVFAIL", |asked| v4_else(asked, |asked| asked.code(2)), v4()),
    one("AAAA is REFUSED", |asked| v4_else(asked, |asked| asked.code(5)), v4()),
    one("AAAA is NOTIMP", |asked| v4_else(asked, |asked| asked.code(4)), v4()),
    one("AAAA is FORMERR", |asked| v4_else(asked, |asked| asked.code(1)), v4()),
    one("AAAA has no answer", |asked| v4_else(asked, |_| Vec::new()), v4()),
    one("AAAA is empty", |asked| v4_else(asked, |asked| asked.has(&[])), v4()),
    one("AAAA is a lame referral", |asked| v4_else(asked, lame), v4()),
    one(
        "AAAA is truncated, and TCP closes",
        |asked| v4_else(asked, |asked| if asked.tcp { Vec::new() } else { truncated(asked) }),
        v4(),
    ),
    one("AAAA is garbage", |asked| v4_else(asked, |_| vec![b"no DNS message at all".to_vec()]), v4()),
    one("A is NXDOMAIN", |asked| v6_else(asked, |asked| asked.code(3)), v6()),
    one("A is SERVFAIL", |asked| v6_else(asked, |asked| asked.code(2)), v6()),
    one("A is REFUSED", |asked| v6_else(asked, |asked| asked.code(5)), v6()),
    one("A is NOTIMP", |asked| v6_else(asked, |asked| asked.code(4)), v6()),
    one("A is FORMERR", |asked| v6_else(asked, |asked| asked.code(1)), v6()),
    one("A has no answer", |asked| v6_else(asked, |_| Vec::new()), v6()),
    one("A is empty", |asked| v6_else(asked, |asked| asked.has(&[])), v6()),
    one("A is a lame referral", |asked| v6_else(asked, lame), v6()),
    one("A is short", |asked| v6_else(asked, |asked| vec![asked.has(&[])[0][..11].to_vec()]), v6()),
    one(
        "both are NXDOMAIN",
        |asked| asked.code(3),
        Expected::Fails("name server S1 responded with NXDOMAIN"),
    ),
    one("both are empty", |asked| asked.has(&[]), Expected::Fails("name server S1 has no address for it")),
    one(
        "both are SERVFAIL",
        |asked| asked.code(2),
        Expected::Fails("name server S1 responded with SERVFAIL"),
    ),
    one("both are REFUSED", |asked| asked.code(5), Expected::Fails("name server S1 responded with REFUSED")),
    one(
        "both are of an unknown code",
        |asked| asked.code(11),
        Expected::Fails("responded with the response code 11"),
    ),
    one(
        "both are of an extended code",
        |asked| extended(asked, 1, 0),
        Expected::Fails("the response code 16"),
    ),
    one(
        "an extended code is no NXDOMAIN",
        |asked| extended(asked, 1, 3),
        Expected::Fails("the response code 19"),
    ),
    one("nothing at all", |_| Vec::new(), Expected::Fails("name server S1 did not respond")),
    one("a lame referral", lame, Expected::Fails("responded with a referral to other name servers")),
    one(
        "without recursion, but with authority",
        |asked| asked.reply(0x8400, &if asked.v6 { vec![] } else { vec![address(V4)] }),
        v4(),
    ),
    one("truncated, and whole over TCP", truncated, v4()),
    one(
        "truncated over TCP too",
        |asked| asked.reply(RECURSION | 0x200, &[address(if asked.v6 { V6 } else { V4 })]),
        Expected::Addresses(&[V6, V4]),
    ),
    one(
        "truncated, and TCP closes",
        |asked| if asked.tcp { Vec::new() } else { truncated(asked) },
        Expected::Fails("name server S1 closed the connection"),
    ),
    one(
        "TCP answers another question",
        |asked| {
            if asked.tcp { vec![wrong_question(asked)] } else { truncated(asked) }
        },
        Expected::Fails("name server S1 responded with an invalid message"),
    ),
    one("a wrong id first", |asked| forged(asked, wrong_id(asked)), v4()),
    one("another question first", |asked| forged(asked, wrong_question(asked)), v4()),
    one(
        "a question first",
        |asked| forged(asked, message(asked.id, 0x100, &[&asked.question], &[address("127.0.9.9")], &[])),
        v4(),
    ),
    one(
        "no question first",
        |asked| forged(asked, message(asked.id, RECURSION, &[], &[address("127.0.9.9")], &[])),
        v4(),
    ),
    one("garbage first", |asked| forged(asked, vec![0xff; 40]), v4()),
    one("a wrong id only", |asked| vec![wrong_id(asked)], Expected::Fails("name server S1 did not respond")),
    one("another question only", |asked| vec![wrong_question(asked)], Expected::Fails("did not respond")),
    one(
        "two questions",
        |asked| vec![message(asked.id, RECURSION, &[&asked.question, &asked.question], &[address(V4)], &[])],
        Expected::Fails("responded with an invalid message"),
    ),
    one(
        "the question in capitals",
        |asked| {
            let question = asked.question.to_ascii_uppercase();
            let records: &[Vec<u8>] = if asked.v6 { &[] } else { &[address(V4)] };
            vec![message(asked.id, RECURSION, &[&question], records, &[])]
        },
        v4(),
    ),
    one("a name that points to itself", looped, Expected::Fails("responded with an invalid message")),
    one(
        "a broken record behind an address",
        |asked| asked.reply(RECURSION, &if asked.v6 { vec![] } else { vec![address(V4), b"\x80".to_vec()] }),
        v4(),
    ),
    one(
        "more records promised than sent",
        |asked| {
            let mut message =
                asked.reply(RECURSION, &if asked.v6 { vec![] } else { vec![address(V4)] }).remove(0);
            message[7] = 9;
            vec![message]
        },
        v4(),
    ),
    one("aliases", aliases, v4()),
    one(
        "aliases that lead nowhere",
        |asked| asked.reply(RECURSION, &[typed(5, b"\x01a\xc0\x10")]),
        Expected::Fails("name server S1 has no address for it"),
    ),
    one(
        "records of other types",
        |asked| {
            let mut records = vec![typed(46, &[0; 30]), typed(16, b"\x04text")];
            records.extend((!asked.v6).then(|| address(V4)));
            asked.reply(RECURSION, &records)
        },
        v4(),
    ),
    one(
        "an IPv4 address in IPv6 form",
        |asked| {
            if asked.v6 {
                asked.reply(RECURSION, &[typed(28, b"\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\x09\x01")])
            } else {
                asked.has(&[])
            }
        },
        v4(),
    ),
    one("many addresses", |asked| many(asked, 50), Expected::Count(50)),
    one(
        "more addresses than a datagram holds",
        |asked| {
            if asked.tcp || asked.v6 { many(asked, 200) } else { asked.reply(RECURSION | 0x200, &[]) }
        },
        Expected::Count(200),
    ),
    one("a datagram that is cut off", |asked| many(asked, 200), Expected::Count(75)),
    two("the first has no answer", |asked| second(asked, |_| Vec::new()), v4()),
    two("the first is SERVFAIL", |asked| second(asked, |asked| asked.code(2)), v4()),
    two("the first is REFUSED", |asked| second(asked, |asked| asked.code(5)), v4()),
    two("the first is a lame referral", |asked| second(asked, lame), v4()),
    two(
        "the first is truncated, and TCP closes",
        |asked| second(asked, |asked| if asked.tcp { Vec::new() } else { truncated(asked) }),
        v4(),
    ),
    two("the first is broken", |asked| second(asked, |asked| asked.reply(RECURSION, &[vec![0x80]])), v4()),
    two("the first points to itself", |asked| second(asked, looped), v4()),
    two(
        "the first is NXDOMAIN, which is final",
        |asked| second(asked, |asked| asked.code(3)),
        Expected::Fails("name server S1 responded with NXDOMAIN"),
    ),
    two(
        "the first is empty, which is final",
        |asked| second(asked, |asked| asked.has(&[])),
        Expected::Fails("name server S1 has no address for it"),
    ),
    two(
        "the second is a faster NXDOMAIN",
        |asked| {
            if asked.server == 2 {
                return asked.code(3);
            }
            std::thread::sleep(std::time::Duration::from_millis(700));
            asked.has(&[V4])
        },
        v4(),
    ),
    two(
        "both fail in their own way",
        |asked| if asked.server == 1 { asked.code(2) } else { lame(asked) },
        Expected::Fails("name server S1 responded with SERVFAIL, name server S2 responded with a referral"),
    ),
    Case {
        name: "an address that is too short",
        unlike_go: Some("Go takes what stands behind it for its end"),
        ..two(
            "",
            |asked| {
                second(asked, |asked| asked.reply(RECURSION, &[typed(1, &[127, 0, 9]), address("127.0.9.9")]))
            },
            v4(),
        )
    },
    Case {
        name: "an address behind the end of the message",
        unlike_go: Some("Go asks no other server"),
        ..two(
            "",
            |asked| {
                second(asked, |asked| {
                    let mut message = asked.reply(RECURSION, &[address("127.0.9.9")]).remove(0);
                    message.pop();
                    vec![message]
                })
            },
            v4(),
        )
    },
];
