//! What needs no namespace: messages byte by byte, orders, and servers on ports of their own. What name servers answer and
//! what the files say is a table of the whole program's (`tests/support/dns`), held against Go.

use std::net::UdpSocket;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, SystemTime};

use super::packet::{A, AAAA, Answer, Question};
use super::*;
use crate::clock::SystemClock;
use crate::clock::fake::FakeClock;

const QUESTION: Question = Question { name: "api.lab.", record: A };

/// An answer to the question of this id, with one address behind an alias.
fn answer(id: u16) -> Vec<u8> {
    let mut message = packet::encode(id, QUESTION, false);
    message.truncate(message.len() - 11);
    message[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0]);
    message.extend(b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01b\xc0\x10");
    message.extend(b"\x01b\xc0\x10\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01");
    message
}

fn addresses(text: &[&str]) -> Answer {
    Answer::Addresses(text.iter().map(|address| address.parse().unwrap()).collect())
}

#[test]
fn a_question_is_one_name_with_edns0() {
    assert_eq!(
        packet::encode(0x1234, Question { name: "a.lab.", record: AAAA }, true),
        b"\x12\x34\x01\x20\0\x01\0\0\0\0\0\x01\x01a\x03lab\0\0\x1c\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0"
    );
}

#[test]
fn an_answer_is_never_more_than_what_is_there() {
    let whole = answer(7);
    assert_eq!(packet::read(&whole, 7, QUESTION, false), Some(addresses(&["10.0.0.1"])));
    let question = 12 + 9 + 4;
    for length in 0..whole.len() {
        let read = packet::read(&whole[..length], 7, QUESTION, false);
        assert_eq!(read, (length >= question).then(packet::invalid), "{length} bytes");
    }
}

/// Whatever the bytes are, reading ends, and finds no more than could be there.
#[test]
fn a_damaged_answer_is_read_to_an_end() {
    let clock = SystemClock::start();
    for _ in 0..200_000 {
        let mut message = answer(7);
        for _ in 0..=clock.random() % 4 {
            let place = clock.random() as usize % message.len();
            message[place] = [0xc0, 0xff, clock.random().to_be_bytes()[0], 12][clock.random() as usize % 4];
        }
        if let Some(Answer::Addresses(found)) = packet::read(&message, 7, QUESTION, true) {
            assert!(found.len() <= 2, "{message:?}");
        }
    }
}

#[test]
fn pointers_are_followed_ten_times() {
    for (count, expected) in [(10, addresses(&["10.0.0.1"])), (11, packet::invalid())] {
        let mut message = answer(7);
        message.truncate(12 + 9 + 4);
        message[7] = 1;
        // A record of another type, whose data are pointers, each to the one before it.
        let data = message.len() + 12;
        message.extend(b"\xc0\x0c\0\x10\0\x01\0\0\0\0\0\x40");
        let pointer = |place: usize| u16::try_from(0xc000 | place).unwrap().to_be_bytes();
        message.extend(pointer(12));
        for index in 0..31 {
            message.extend(pointer(data + 2 * index));
        }
        message.extend(pointer(data + 2 * (count - 2)));
        message.extend(b"\0\x01\0\x01\0\0\0\0\0\x04\x0a\0\0\x01");
        message[7] = 2;
        assert_eq!(packet::read(&message, 7, QUESTION, false), Some(expected), "{count} pointers");
    }
}

/// What was asked of a server: number and type of each question.
type Asked = Arc<Mutex<Vec<(u16, u16)>>>;

/// Files of a test's own, with a server on a port of its own, which answers the types for which `says` is true, and keeps
/// silent else.
fn sources(options: &str, says: fn(u16) -> bool) -> (NameSources, Asked) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let asked = Asked::default();
    let log = asked.clone();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            let id = u16::from_be_bytes([buffer[0], buffer[1]]);
            let record = u16::from(buffer[length - 14]);
            log.lock().unwrap().push((id, record));
            if says(record) {
                let mut message = answer(id);
                message[12 + 9 + 1] = buffer[length - 14];
                socket.send_to(&message, from).unwrap();
            }
        }
    });
    let file = std::env::temp_dir().join(format!("nodestrap-resolv-{}-{port}", std::process::id()));
    std::fs::write(&file, format!("nameserver 127.0.0.1\noptions {options}\n")).unwrap();
    let hostname = || "n1".to_owned();
    (NameSources { hosts: "/nowhere".into(), resolv_conf: file, hostname, port }, asked)
}

/// What is found, and how long that takes.
fn look(sources: NameSources, budget: Duration) -> (Result<Vec<SocketAddr>, String>, Duration) {
    let began = Instant::now();
    let file = sources.resolv_conf.clone();
    let resolver = Resolver::new(Arc::new(SystemClock::start()), sources);
    let found = resolver.lookup("api.lab", 6443, began + budget).map_err(|e| e.to_string());
    let _ = std::fs::remove_file(file);
    (found, began.elapsed())
}

#[test]
fn both_families_are_asked_together_under_numbers_of_their_own() {
    let (sources, asked) = sources("timeout:1 attempts:3", |_| false);
    let (found, spent) = look(sources, Duration::from_secs(2));
    assert_eq!(found.unwrap_err(), "cannot resolve api.lab: name server 127.0.0.1 did not respond");
    assert!(spent >= Duration::from_secs(2) && spent < Duration::from_secs(4), "{spent:?}");
    let asked = asked.lock().unwrap();
    assert_eq!((asked[0].1, asked[1].1), (A, AAAA), "no wait between them");
    let mut numbers: Vec<_> = asked.iter().map(|(id, _)| *id).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert!(numbers.len() + 1 >= asked.len(), "{asked:?}");
}

#[test]
fn one_family_is_waited_for_no_longer_than_half_of_the_time() {
    thread::scope(|scope| {
        for options in ["edns0", "single-request"] {
            // An address of IPv4 is one to the first question only.
            scope.spawn(move || {
                let (found, spent) = look(sources(options, |record| record == A).0, Duration::from_secs(6));
                assert_eq!(found.unwrap(), ["10.0.0.1:6443".parse().unwrap()], "{options}");
                assert!(spent < Duration::from_secs(5), "{options} took {spent:?}");
            });
        }
    });
}

#[test]
fn an_address_needs_no_lookup() {
    let sources =
        NameSources { hosts: "/nowhere".into(), resolv_conf: "/nowhere".into(), ..NameSources::of_system() };
    let resolver = Resolver::new(Arc::new(FakeClock::at(SystemTime::UNIX_EPOCH)), sources);
    for (host, address) in [("10.0.0.1", "10.0.0.1:6443"), ("fd00::1", "[fd00::1]:6443")] {
        assert_eq!(resolver.lookup(host, 6443, Instant::now()).unwrap(), [address.parse().unwrap()]);
    }
}
