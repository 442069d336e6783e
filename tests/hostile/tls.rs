//! Handshakes that go wrong: RFC 8446 and RFC 5246, by servers that know neither or know them too well.

use std::io;
use std::time::Duration;

use crate::raw_tcp::{Fault, Faulty, Line, Raw};
use crate::server_hello::{
    ALPN, HANDSHAKE, Hello, KEY_SHARE, RETRY, SERVER_HELLO, SUPPORTED_VERSIONS, alert, message, record,
};
use crate::suite::{Case, DISAGREES, Expect, JOINED, Stage, waits};
use crate::support::api::{Api, Setup};

const NO_ANSWER: Expect = waits("unreachable", "localhost:");
const NO_TLS: Expect = waits("unreachable", ": the response is not TLS (it begins with: ");

type Versions = &'static [&'static rustls::SupportedProtocolVersion];
const TLS13: Versions = &[&rustls::version::TLS13];
const TLS12: Versions = &[&rustls::version::TLS12];

/// What a server does once a client is there; whether the client can see at once that it comes to nothing.
type Row = (&'static str, Expect, bool, fn(&mut Line) -> io::Result<()>);

const NOISE: [Row; 15] = [
    ("closed at once", NO_ANSWER, true, |_| Ok(())),
    ("reset at once", NO_ANSWER, true, |line| line.reset()),
    ("closed after the ClientHello", NO_ANSWER, true, |line| line.hear().map(drop)),
    ("reset after the ClientHello", NO_ANSWER, true, |line| line.hear().and_then(|_| line.reset())),
    ("silence", NO_ANSWER, false, Line::hold),
    ("one byte, and silence", NO_ANSWER, false, |line| line.say(&[HANDSHAKE]).and_then(|()| line.hold())),
    ("the header of a record, and silence", NO_ANSWER, false, |line| {
        line.say(&[HANDSHAKE, 3, 3, 0, 100]).and_then(|()| line.hold())
    }),
    ("HTTP without TLS", waits("unreachable", "(it begins with: HTTP/1.1 400 Bad Request)"), true, |line| {
        line.hear()?;
        line.say(b"HTTP/1.1 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
    }),
    ("the banner of SSH", waits("unreachable", "(it begins with: SSH-2.0-OpenSSH_9.2)"), true, |line| {
        line.say(b"SSH-2.0-OpenSSH_9.2\r\n").and_then(|()| line.hold())
    }),
    ("the banner of SMTP", NO_TLS, true, |line| line.say(b"220 mail ESMTP\r\n").and_then(|()| line.hold())),
    ("the preface of HTTP/2", NO_TLS, true, |line| {
        line.say(&[0, 0, 18, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100]).and_then(|()| line.hold())
    }),
    ("zeros without end", waits("unreachable", "(it begins with: no words)"), true, |line| {
        line.repeat(&[0; 4096], Duration::ZERO)
    }),
    ("what the client has said", NO_ANSWER, true, |line| {
        line.hear()?;
        line.say(&line.heard.clone())?;
        line.hold()
    }),
    ("a ServerHello of SSL 2", NO_TLS, true, |line| {
        line.say(&[0x80, 11, 4, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0]).and_then(|()| line.hold())
    }),
    ("a record of a version that there is not", NO_ANSWER, true, |line| {
        line.say(&[HANDSHAKE, 9, 9, 0, 1, 0]).and_then(|()| line.hold())
    }),
];

const RECORDS: [Row; 16] = [
    ("a record longer than may be", NO_ANSWER, true, |line| {
        line.say(&[&[HANDSHAKE, 3, 3, 0xff, 0xff][..], &[0; 65_535]].concat()).and_then(|()| line.hold())
    }),
    ("empty records without end", NO_ANSWER, true, |line| {
        line.repeat(&record(HANDSHAKE, &[]).repeat(100), Duration::ZERO)
    }),
    ("a message of 16 MiB", NO_ANSWER, true, |line| {
        line.say(&record(HANDSHAKE, &[SERVER_HELLO, 0xff, 0xff, 0xff]))?;
        line.repeat(&record(HANDSHAKE, &[0; 16_384]), Duration::ZERO)
    }),
    ("a message that comes byte by byte", NO_ANSWER, false, |line| {
        line.hear()?;
        for byte in [&[SERVER_HELLO, 0, 0xff, 0xff][..], &[0; 2000]].concat() {
            line.say(&record(HANDSHAKE, &[byte]))?;
            std::thread::sleep(Duration::from_millis(20));
        }
        line.hold()
    }),
    ("data before the handshake", NO_ANSWER, true, |line| {
        line.say(&record(23, b"HTTP/1.1 200 OK\r\n\r\n")).and_then(|()| line.hold())
    }),
    ("ChangeCipherSpec without end", NO_ANSWER, true, |line| {
        line.repeat(&record(20, &[1]).repeat(100), Duration::ZERO)
    }),
    ("a ChangeCipherSpec that says something", NO_ANSWER, true, |line| {
        line.say(&record(20, &[2, 2])).and_then(|()| line.hold())
    }),
    ("a certificate first", NO_ANSWER, true, |line| {
        line.say(&message(11, &[0, 0, 0])).and_then(|()| line.hold())
    }),
    ("ServerHelloDone first", NO_ANSWER, true, |line| line.say(&message(14, &[])).and_then(|()| line.hold())),
    ("Finished first", NO_ANSWER, true, |line| line.say(&message(20, &[0; 32])).and_then(|()| line.hold())),
    ("HelloRequest without end", NO_ANSWER, true, |line| {
        line.repeat(&message(0, &[]).repeat(100), Duration::ZERO)
    }),
    ("a ClientHello", NO_ANSWER, true, |line| line.say(&message(1, &[3; 50])).and_then(|()| line.hold())),
    ("a message that there is not", NO_ANSWER, true, |line| {
        line.say(&message(99, &[0; 4])).and_then(|()| line.hold())
    }),
    ("a record of heartbeat", NO_TLS, true, |line| {
        line.say(&record(24, &[1, 0xff, 0xff])).and_then(|()| line.hold())
    }),
    ("a ServerHello with another session, and silence", NO_ANSWER, false, |line| {
        line.hear()?;
        let hello = Hello { session: Some(vec![9; 32]), ..Hello::tls13() };
        line.say(&message(SERVER_HELLO, &hello.body(&line.heard)))?;
        line.hold()
    }),
    ("noise in a record's dress", NO_ANSWER, true, |line| {
        line.repeat(&record(HANDSHAKE, &[0xa5; 300]), Duration::ZERO)
    }),
];

const ALERTS: [Row; 9] = [
    ("handshake_failure", DISAGREES, true, |line| line.say(&alert(2, 40))),
    ("protocol_version", DISAGREES, true, |line| line.say(&alert(2, 70))),
    ("unrecognized_name", NO_ANSWER, true, |line| line.say(&alert(2, 112))),
    ("certificate_required", NO_ANSWER, true, |line| line.say(&alert(2, 116))),
    ("close_notify", NO_ANSWER, true, |line| line.say(&alert(1, 0))),
    ("a number that there is not", NO_ANSWER, true, |line| line.say(&alert(2, 255))),
    ("a level that there is not", DISAGREES, true, |line| line.say(&alert(9, 40))),
    ("half an alert", NO_ANSWER, true, |line| line.say(&record(21, &[2])).and_then(|()| line.hold())),
    ("warnings without end", NO_ANSWER, true, |line| line.repeat(&alert(1, 90).repeat(100), Duration::ZERO)),
];

/// A ServerHello, as it is made of an honest one.
type Forged = (&'static str, fn() -> Hello);

/// In a version that is not spoken here.
const VERSIONS: [Forged; 5] = [
    ("SSL 3", || Hello { version: [3, 0], ..Hello::tls12() }),
    ("TLS 1.0", || Hello { version: [3, 1], ..Hello::tls12() }),
    ("TLS 1.1", || Hello { version: [3, 2], ..Hello::tls12() }),
    ("TLS 1.1 behind 1.3's extension", || Hello::tls13().with(SUPPORTED_VERSIONS, &[3, 2])),
    ("TLS 1.4", || Hello::tls13().with(SUPPORTED_VERSIONS, &[3, 5])),
];

const HELLOS: [Forged; 21] = [
    ("TLS 1.2 behind 1.3's extension", || Hello::tls13().with(SUPPORTED_VERSIONS, &[3, 3])),
    ("1.2 by a server of 1.3, whose random warns", || {
        let mut random = [7; 32];
        random[24..].copy_from_slice(b"DOWNGRD\x01");
        Hello { random, ..Hello::tls12() }
    }),
    ("RSA key exchange", || Hello { suite: [0, 0x9c], ..Hello::tls12() }),
    ("CBC and SHA-1", || Hello { suite: [0xc0, 9], ..Hello::tls12() }),
    ("no encryption", || Hello { suite: [0xc0, 6], ..Hello::tls12() }),
    ("export ciphers", || Hello { suite: [0, 3], ..Hello::tls12() }),
    ("anonymous keys", || Hello { suite: [0xc0, 0x15], ..Hello::tls12() }),
    ("RC4", || Hello { suite: [0xc0, 7], ..Hello::tls12() }),
    ("a suite of 1.3 that was not offered", || Hello { suite: [0x13, 5], ..Hello::tls13() }),
    ("a suite of 1.2 in 1.3", || Hello { suite: [0xc0, 0x2b], ..Hello::tls13() }),
    ("compression", || Hello { compression: 1, ..Hello::tls12() }),
    ("HTTP/2, which was not offered", || Hello::tls12().with(ALPN, b"\0\x03\x02h2")),
    ("a protocol that there is not", || Hello::tls12().with(ALPN, b"\0\x06\x05spdy/")),
    ("two protocols", || Hello::tls12().with(ALPN, b"\0\x12\x08http/1.1\x08http/1.1")),
    ("no protocol in the protocol's place", || Hello::tls12().with(ALPN, b"\0\0")),
    ("an extension that was not offered", || Hello::tls12().with(15, &[1])),
    ("an extension twice", || {
        let mut hello = Hello::tls12();
        hello.extensions.push((23, Vec::new()));
        hello
    }),
    ("a share of a group that was not offered", || {
        Hello::tls13().with(KEY_SHARE, &[&[0, 29, 0, 32][..], &[9; 32]].concat())
    }),
    ("a share that is no point of the curve", || {
        Hello::tls13().with(KEY_SHARE, &[&[0, 23, 0, 65, 4][..], &[9; 64]].concat())
    }),
    ("no share", || {
        let mut hello = Hello::tls13();
        hello.extensions.truncate(1);
        hello
    }),
    ("a key that was agreed on before", || Hello::tls13().with(41, &[0, 0])),
];

/// HelloRetryRequests (RFC 8446, section 4.1.4).
const RETRIES: [(&str, u16, &[u8]); 5] = [
    ("for the group that was shared", KEY_SHARE, &[0, 23]),
    ("for a group that was not offered", KEY_SHARE, &[0, 29]),
    ("for nothing", 44, &[]),
    ("again and again, with a cookie", 44, &[0, 2, 1, 1]),
    ("for another group, twice", KEY_SHARE, &[0, 24]),
];

/// Servers that shake hands as they should, in their own way.
type Honest = (&'static str, Expect, fn(&mut rustls::ServerConfig));

const HONEST: [Honest; 6] = [
    ("no protocol chosen", JOINED, |config| config.alpn_protocols.clear()),
    ("HTTP/2 only", DISAGREES, |config| config.alpn_protocols = vec![b"h2".to_vec()]),
    ("HTTP/1.0 only", DISAGREES, |config| config.alpn_protocols = vec![b"http/1.0".to_vec()]),
    ("records of 32 bytes", JOINED, |config| config.max_fragment_size = Some(32)),
    ("two hundred tickets", JOINED, |config| config.send_tls13_tickets = 200),
    ("no ticket", JOINED, |config| config.send_tls13_tickets = 0),
];

/// Which bytes of what the server says are tried: TLS version, how it fails, and from where to where.
const SWEEPS: [(&str, Versions, Fault); 6] = [
    ("TLS 1.3, closed", TLS13, Fault::Close),
    ("TLS 1.3, reset", TLS13, Fault::Reset),
    ("TLS 1.3, a bit flipped", TLS13, Fault::Flip),
    ("TLS 1.2, closed", TLS12, Fault::Close),
    ("TLS 1.2, reset", TLS12, Fault::Reset),
    ("TLS 1.2, a bit flipped", TLS12, Fault::Flip),
];

/// The bytes of a server's handshake that are tried, so many in one case.
pub const SWEPT: usize = 900;
const IN_ONE: usize = 100;

fn raw(
    name: String,
    expect: Expect,
    quick: bool,
    script: impl Fn(&mut Line) -> io::Result<()> + Send + Sync + Clone + 'static,
) -> Case {
    Case::new(name, expect, move || {
        let server = Raw::start(script.clone());
        let stage =
            Stage::at(server.endpoint(), vec![format!("sha256:{}", "00".repeat(32))]).and_untrusted(server);
        stage.checked(move |stage| {
            let connections = stage.untrusted[0].given().connections;
            assert!(!quick || connections > 1, "the first connection was waited for to no end");
        })
    })
}

fn honest(versions: Versions) -> Api {
    Api::with(Setup { versions, ..Setup::default() })
}

/// Ports of a faulty relay before an honest server, which is joined once all of them have failed.
fn sweep(name: String, versions: Versions, fault: Fault, from: usize) -> Case {
    Case::new(name, JOINED, move || {
        let api = honest(versions);
        let relay = Faulty::start(api.address(), fault, from..from + IN_ONE, true);
        let stage = Stage::at(relay.endpoints(), vec![api.authority.pin()]).and_trusted(api);
        stage.checked(move |_| assert!(relay.is_through(), "not every byte was tried"))
    })
}

fn stalled(name: String, versions: Versions, fault: Fault, place: usize) -> Case {
    Case::new(name, NO_ANSWER, move || {
        let api = honest(versions);
        let relay = Faulty::start(api.address(), fault, std::iter::once(place), false);
        Stage::at(relay.endpoints(), vec![api.authority.pin()]).and_untrusted(api).and(relay)
    })
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, expect, quick, script) in NOISE.into_iter().chain(RECORDS) {
        cases.push(raw(name.to_owned(), expect, quick, script));
    }
    for (name, expect, quick, script) in ALERTS {
        cases.push(raw(format!("alert: {name}"), expect, quick, move |line: &mut Line| {
            line.hear()?;
            script(line)
        }));
    }
    let versions = VERSIONS.into_iter().map(|hello| (hello, DISAGREES));
    for ((name, forge), expect) in HELLOS.into_iter().map(|hello| (hello, NO_ANSWER)).chain(versions) {
        cases.push(raw(format!("a ServerHello with {name}"), expect, true, move |line: &mut Line| {
            line.hear()?;
            line.say(&message(SERVER_HELLO, &forge().body(&line.heard)))?;
            line.hold()
        }));
    }
    for (name, kind, value) in RETRIES {
        cases.push(raw(format!("a HelloRetryRequest {name}"), NO_ANSWER, true, move |line: &mut Line| {
            let mut hello = Hello { random: RETRY, ..Hello::tls13() };
            hello.extensions.truncate(1);
            loop {
                let before = line.heard.len();
                line.hear()?;
                line.say(&message(
                    SERVER_HELLO,
                    &hello.clone().with(kind, value).body(&line.heard[before..]),
                ))?;
            }
        }));
    }
    for (name, expect, adjust) in HONEST {
        cases.push(Case::new(format!("an honest server with {name}"), expect, move || {
            let api = Api::with(Setup { adjust, ..Setup::default() });
            if expect.waits { Stage::with_untrusted(api) } else { Stage::with_trusted(api) }
        }));
    }
    for (name, versions, fault) in SWEEPS {
        for from in (0..SWEPT).step_by(IN_ONE) {
            let until = from + IN_ONE - 1;
            cases.push(sweep(format!("{name} at each byte from {from} to {until}"), versions, fault, from));
        }
    }
    for (version, versions) in [("1.3", TLS13), ("1.2", TLS12)] {
        for place in [1, 60, 200, 500, SWEPT] {
            let name = format!("TLS {version}, silent from byte {place} on");
            cases.push(stalled(name, versions, Fault::Stall, place));
        }
        cases.push(stalled(format!("TLS {version}, dripping"), versions, Fault::Drip, 0));
    }
    cases
}
