//! Servers on a port of their own, and which of them is asked when.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

use super::super::packet::{A, AAAA};
use super::super::{NameSources, Resolver};
use super::*;
use crate::clock::SystemClock;

/// What a server, by its number from 1, says to this type: a response code, of which 0 comes with an address, or nothing.
type Says = fn(usize, u16) -> Option<u8>;

/// What was asked: server, number of the message, type.
type Asked = Vec<(usize, u16, u16)>;

const V4: &str = "10.0.0.1:6443";
const V6: &str = "[fd00::1]:6443";

/// The address for `api.lab`, in an answer to this message.
fn answer(message: &[u8], code: u8) -> Vec<u8> {
    let mut answer = message[..message.len() - 11].to_vec();
    answer[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, u8::from(code == 0), 0, 0, 0, 0]);
    if code == 0 {
        let is_v4 = u16::from(message[message.len() - 14]) == A;
        let v6 = b"\xc0\x0c\0\x1c\0\x01\0\0\0\0\0\x10\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01";
        answer.extend(if is_v4 { &b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x0a\0\0\x01"[..] } else { v6 });
    }
    answer
}

/// So many servers at 127.0.0.1 and behind it, a file that names them with these options, and what they were asked.
fn servers(count: u8, options: &str, says: Says) -> (NameSources, Arc<Mutex<Asked>>) {
    let asked = Arc::new(Mutex::new(Asked::new()));
    let mut port = 0;
    let mut lines = vec![format!("options {options}")];
    for server in 1..=count {
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, server), port)).unwrap();
        port = socket.local_addr().unwrap().port();
        lines.push(format!("nameserver 127.0.0.{server}"));
        let log = asked.clone();
        thread::spawn(move || {
            let mut buffer = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                let message = &buffer[..length];
                let record = u16::from(message[length - 14]);
                let id = u16::from_be_bytes([message[0], message[1]]);
                log.lock().unwrap().push((server.into(), id, record));
                if let Some(code) = says(server.into(), record) {
                    socket.send_to(&answer(message, code), from).unwrap();
                }
            }
        });
    }
    let file = std::env::temp_dir().join(format!("nodestrap-resolv-{}-{port}", std::process::id()));
    std::fs::write(&file, lines.join("\n")).unwrap();
    let hostname = || "n1".to_owned();
    (NameSources { hosts: "/nowhere".into(), resolv_conf: file, hostname, port }, asked)
}

/// What is found within so many seconds, sorted, and how long that takes.
fn look(sources: NameSources, seconds: u64) -> (String, Duration) {
    let began = Instant::now();
    let file = sources.resolv_conf.clone();
    let resolver = Resolver::new(Arc::new(SystemClock::start()), sources);
    let found = match resolver.lookup("api.lab", 6443, began + Duration::from_secs(seconds)) {
        Ok(found) => {
            let mut found: Vec<_> = found.iter().map(ToString::to_string).collect();
            found.sort_unstable();
            found.join(" ")
        }
        Err(e) => e.to_string(),
    };
    let _ = std::fs::remove_file(file);
    (found, began.elapsed())
}

/// The servers in the order in which they were asked for a type.
fn order(asked: &Mutex<Asked>, record: u16) -> Vec<usize> {
    asked.lock().unwrap().iter().filter(|asked| asked.2 == record).map(|asked| asked.0).collect()
}

#[test]
fn both_families_are_asked_together_under_numbers_of_their_own() {
    let (sources, asked) = servers(1, "timeout:1 attempts:3", |_, _| None);
    let (found, spent) = look(sources, 2);
    assert_eq!(found, "cannot resolve api.lab: name server 127.0.0.1 did not respond");
    assert!(spent >= Duration::from_secs(2) && spent < Duration::from_secs(4), "{spent:?}");
    let asked = asked.lock().unwrap();
    assert_eq!((asked[0].2, asked[1].2), (A, AAAA), "no wait between them");
    assert!(asked.len() >= 4, "asked again while there is time: {asked:?}");
    let mut numbers: Vec<_> = asked.iter().map(|asked| asked.1).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert!(numbers.len() + 1 >= asked.len(), "{asked:?}");
}

#[test]
fn one_family_is_waited_for_no_longer_than_half_of_the_time() {
    thread::scope(|scope| {
        for options in ["edns0", "single-request"] {
            let cases: [(Says, &str); 2] = [
                (|_, record| (record == A).then_some(0), V4),
                (|_, record| (record == AAAA).then_some(0), V6),
            ];
            for (says, expected) in cases {
                scope.spawn(move || {
                    let (found, spent) = look(servers(1, options, says).0, 6);
                    assert_eq!(found, expected, "{options}");
                    let (least, most) = (Duration::from_millis(2900), Duration::from_secs(5));
                    assert!(least <= spent && spent < most, "{options} {expected} took {spent:?}");
                });
            }
        }
    });
}

#[test]
fn servers_are_asked_in_their_order_until_one_is_of_use() {
    const BOTH: &str = "10.0.0.1:6443 [fd00::1]:6443";
    let cases: [(u8, &str, Says, &str, &[usize]); 7] = [
        (2, "attempts:1", |_, _| Some(0), BOTH, &[1]),
        (3, "attempts:1", |server, _| Some(if server < 3 { 2 } else { 0 }), BOTH, &[1, 2, 3]),
        (
            2,
            "attempts:2",
            |_, _| Some(5),
            "REFUSED, name server 127.0.0.2 responded with REFUSED",
            &[1, 2, 1, 2],
        ),
        (2, "attempts:1", |_, _| Some(3), "127.0.0.1 responded with NXDOMAIN (no such name)", &[1]),
        (
            2,
            "attempts:3",
            |server, _| Some(if server == 1 { 2 } else { 3 }),
            "127.0.0.1 responded with SERVFAIL",
            &[1, 2],
        ),
        (2, "attempts:1 timeout:1", |server, _| (server == 2).then_some(0), BOTH, &[1, 2]),
        (1, "attempts:2 timeout:1", |_, _| None, "127.0.0.1 did not respond", &[1, 1]),
    ];
    for (count, options, says, expected, servers_asked) in cases {
        let (sources, asked) = servers(count, options, says);
        let (found, spent) = look(sources, 20);
        assert!(found.ends_with(expected), "{options}: {found}");
        assert!(spent < Duration::from_secs(10), "{options} took {spent:?}: the servers' own time was over");
        for record in [A, AAAA] {
            assert_eq!(order(&asked, record), servers_asked, "{options} {expected}");
        }
    }
}

#[test]
fn of_two_answers_in_one_moment_the_first_counts() {
    let (sources, _) = servers(2, "attempts:1", |server, _| Some(if server == 1 { 0 } else { 3 }));
    let (config, clock) = (Config::read(&sources), SystemClock::start());
    let _ = std::fs::remove_file(&sources.resolv_conf);
    let mut query = Query::new(&clock, &config, Question { name: "api.lab.", record: A }, 0);
    let now = Instant::now();
    query.advance(now, now + config.timeout);
    query.next = now;
    query.advance(now, now + config.timeout);
    assert_eq!(query.open.len(), 2);
    for conversation in &query.open {
        poll(&mut [conversation.readiness()], None).unwrap();
    }
    query.receive(now);
    assert_eq!((query.found, query.words), (vec!["10.0.0.1".parse().unwrap()], vec![]));
}

/// What is truncated is asked for again over TCP, and that has a turn of its own.
#[test]
fn the_next_server_waits_for_the_whole_of_a_truncated_answer() {
    let whole = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let first = UdpSocket::bind(whole.local_addr().unwrap()).unwrap();
    let second = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let servers = [&first, &second].map(|server| server.local_addr().unwrap()).into();
    let (config, clock) = (Config { servers, attempts: 1, ..Config::default() }, SystemClock::start());
    let mut query = Query::new(&clock, &config, Question { name: "api.lab.", record: A }, 0);
    let now = Instant::now();
    query.advance(now, now + config.timeout);
    let (mut buffer, step) = ([0; 512], query.step);
    let (length, from) = first.recv_from(&mut buffer).unwrap();
    let mut truncated = answer(&buffer[..length], 0);
    truncated[2] |= 2;
    first.send_to(&truncated, from).unwrap();
    poll(&mut [query.open[0].readiness()], None).unwrap();
    query.receive(now);
    for (later, asked) in [(step / 2, 1), (step, 2)] {
        query.advance(now + later, now + config.timeout);
        assert_eq!(query.asked, asked, "{later:?} of {step:?}");
    }
}

#[test]
fn rotate_begins_with_the_next_server_each_time() {
    let (sources, asked) = servers(3, "rotate", |_, _| Some(0));
    let resolver = Resolver::new(Arc::new(SystemClock::start()), sources.clone());
    for _ in 0..3 {
        resolver.lookup("api.lab", 1, Instant::now() + Duration::from_secs(20)).unwrap();
    }
    let _ = std::fs::remove_file(sources.resolv_conf);
    assert_eq!((order(&asked, A), order(&asked, AAAA)), (vec![1, 3, 2], vec![2, 1, 3]));
}

/// The first server is slower than its share of the time, and its answer still counts.
#[test]
fn a_late_answer_counts_within_the_servers_own_time() {
    let (sources, asked) = servers(2, "attempts:1", |server, _| {
        if server == 1 {
            thread::sleep(Duration::from_secs(2));
        }
        (server == 1).then_some(0)
    });
    let (found, _) = look(sources, 6);
    assert!(found.contains(V4), "{found}");
    assert_eq!(order(&asked, A), [1, 2]);
}

#[test]
fn single_request_asks_one_family_after_the_other() {
    let (sources, asked) = servers(1, "single-request", |_, record| {
        thread::sleep(Duration::from_millis(300));
        (record == A || record == AAAA).then_some(0)
    });
    let (_, spent) = look(sources, 20);
    assert!(spent >= Duration::from_millis(600), "{spent:?}");
    assert_eq!(asked.lock().unwrap().len(), 2);
}

/// Nobody waits for a server that has answered, nor goes on to the next one because an earlier one has.
#[test]
fn a_server_without_an_answer_is_left_at_once() {
    let (sources, asked) = servers(3, "attempts:1", |server, _| [None, Some(2), Some(0)][server - 1]);
    let (found, spent) = look(sources, 18);
    assert!(found.contains(V4), "{found}");
    assert_eq!(order(&asked, A), [1, 2, 3]);
    // Three seconds for the silent one, none for the next.
    assert!(spent >= Duration::from_millis(2900) && spent < Duration::from_millis(5500), "{spent:?}");
}

/// The first name of two has half of the time.
#[test]
fn a_name_without_an_answer_leaves_time_for_the_next() {
    let (sources, asked) = servers(1, "timeout:30\nsearch example", |_, _| None);
    let (found, spent) = look(sources, 3);
    assert!(found.contains("127.0.0.1 did not respond") && !found.contains("example"), "{found}");
    assert!(spent >= Duration::from_secs(3) && spent < Duration::from_secs(5), "{spent:?}");
    assert!(order(&asked, A).len() >= 4, "each name twice");
}

#[test]
fn who_has_asked_every_server_as_often_as_it_may_waits_for_no_turn() {
    let (sources, _) = servers(2, "attempts:3", |_, _| None);
    let (config, clock) = (Config::read(&sources), SystemClock::start());
    let _ = std::fs::remove_file(&sources.resolv_conf);
    let mut query = Query::new(&clock, &config, Question { name: "api.lab", record: A }, 0);
    for (asked, waits) in [(0, true), (1, true), (5, true), (6, false)] {
        query.asked = asked;
        assert_eq!(query.wake().is_some(), waits, "{asked}");
    }
    query.is_over = true;
    query.asked = 0;
    assert_eq!(query.wake(), None);
}

#[test]
fn the_next_server_is_asked_at_once_behind_one_of_no_use_though_an_earlier_one_is_silent() {
    // Each has a turn of four seconds, and twenty for its answer.
    let says: Says = |server, _| [None, Some(2), Some(0)][server - 1];
    let (found, spent) = look(servers(3, "timeout:20 attempts:1", says).0, 24);
    assert_eq!(found, format!("{V4} {V6}"));
    let (least, most) = (Duration::from_millis(3900), Duration::from_millis(7500));
    assert!(least <= spent && spent < most, "the silent one has its turn, and nobody else: {spent:?}");
}
