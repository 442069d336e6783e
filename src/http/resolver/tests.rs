//! What needs no namespace: messages byte by byte, orders, and servers on ports of their own. What name servers answer and
//! what the files say is a table of the whole program's (`tests/support/dns`), held against Go.

use std::time::SystemTime;

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

/// What comes of an answer with these flags, and counts of answers and additional records, of which these are the bytes.
#[test]
fn what_a_server_says_is_told_apart() {
    let unusable = |words: &str| Answer::Unusable(format!("responded with {words}"));
    let option = |upper: u8, version: u8| vec![0, 0, 41, 4, 0xd0, upper, version, 0, 0, 0, 0];
    let nothing = Answer::Nothing("has no address for it");
    let no_name = Answer::Nothing("responded with NXDOMAIN (no such name)");
    let address = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x0a\0\0\x01".to_vec();
    let other = b"\xc0\x0c\0\x1c\0\x01\0\0\0\0\0\x10\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01".to_vec();
    let both = [address.clone(), other.clone()].concat();
    for (flags, answers, additional, records, expected) in [
        (0x8180, 0, 0, vec![], nothing.clone()),
        (0x8400, 0, 0, vec![], nothing.clone()),
        (0x8080, 0, 0, vec![], nothing.clone()),
        (0x8000, 0, 0, vec![], unusable("a referral to other name servers")),
        (0x8000, 0, 1, option(0, 0), nothing.clone()),
        (0x8000, 1, 0, address.clone(), addresses(&["10.0.0.1"])),
        (0x8181, 0, 0, vec![], unusable("FORMERR")),
        (0x8182, 0, 0, vec![], unusable("SERVFAIL")),
        (0x8183, 0, 0, vec![], no_name.clone()),
        (0x8183, 1, 0, address.clone(), no_name.clone()),
        (0x8184, 0, 0, vec![], unusable("NOTIMP")),
        (0x8185, 0, 0, vec![], unusable("REFUSED")),
        (0x8186, 0, 0, vec![], unusable("the response code 6")),
        (0x8180, 0, 1, option(1, 0), unusable("the response code 16")),
        (0x8183, 0, 1, option(1, 0), unusable("the response code 19")),
        (0x8183, 0, 1, option(1, 1), no_name.clone()),
        (0x8180, 1, 1, [address.clone(), option(1, 0)].concat(), unusable("the response code 16")),
        (0x8380, 1, 0, address.clone(), Answer::Truncated),
        // Of the other family one counts behind one that was asked for.
        (0x8180, 1, 0, other.clone(), nothing.clone()),
        (0x8180, 2, 0, both.clone(), addresses(&["10.0.0.1", "fd00::1"])),
        (0x8180, 2, 0, [other, address.clone()].concat(), addresses(&["10.0.0.1"])),
        (0x8180, 3, 0, both, addresses(&["10.0.0.1", "fd00::1"])),
        (
            0x8180,
            2,
            0,
            [address.clone(), b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x03\0\0\0".to_vec()].concat(),
            addresses(&["10.0.0.1"]),
        ),
        (0x8180, 1, 0, b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x05\0\0\0\0\0".to_vec(), packet::invalid()),
        (0x8180, 1, 0, b"\x40a\0\x01\0\x01\0\0\0\0\0\x04\0\0\0\0".to_vec(), packet::invalid()),
        (0x8180, 1, 0, b"\x03a.b\0\0\x01\0\x01\0\0\0\0\0\x04\0\0\0\0".to_vec(), packet::invalid()),
    ] {
        let mut message = answer(7);
        message.truncate(12 + 9 + 4);
        message[2..4].copy_from_slice(&u16::to_be_bytes(flags));
        (message[7], message[11]) = (answers, additional);
        message.extend(records);
        let read = packet::read(&message, 7, QUESTION, false);
        assert_eq!(read, Some(expected), "{flags:x} {message:?}");
        assert_eq!(packet::read(&message, 8, QUESTION, false), None, "another number");
        message[2] &= 0x7f;
        assert_eq!(packet::read(&message, 7, QUESTION, false), None, "cannot connect");
    }
    let mut whole = answer(7);
    whole[2] |= 2;
    assert_eq!(packet::read(&whole, 7, QUESTION, true), Some(addresses(&["10.0.0.1"])), "over TCP");
    for (place, byte, expected) in [
        (5, 0, None),
        (5, 2, Some(packet::invalid())),
        (13, b'A', Some(addresses(&["10.0.0.1"]))),
        (13, b'b', None),
        (22, 28, None),
        (24, 3, None),
    ] {
        let mut message = answer(7);
        message[place] = byte;
        assert_eq!(packet::read(&message, 7, QUESTION, false), expected, "byte {place} is {byte}");
    }
}

#[test]
fn a_name_has_254_bytes_at_most_and_a_name_256_addresses() {
    for (last, expected) in [(61, addresses(&["10.0.0.1"])), (62, packet::invalid())] {
        let mut message = answer(7);
        message.truncate(12 + 9 + 4);
        message[7] = 1;
        for length in [63_u8, 63, 63, last] {
            message.push(length);
            message.extend(vec![b'a'; length.into()]);
        }
        message.extend(b"\0\0\x01\0\x01\0\0\0\0\0\x04\x0a\0\0\x01");
        assert_eq!(packet::read(&message, 7, QUESTION, false), Some(expected), "{last}");
    }
    let mut message = answer(7);
    message.truncate(12 + 9 + 4);
    message[6..8].copy_from_slice(&[2, 0]);
    for _ in 0..512 {
        message.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x0a\0\0\x01");
    }
    let Some(Answer::Addresses(found)) = packet::read(&message, 7, QUESTION, true) else {
        panic!("addresses")
    };
    assert_eq!(found.len(), crate::limits::ADDRESSES);
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

#[test]
fn an_error_tells_what_each_server_said_of_which_name() {
    let word =
        |name: &str, text: &str, is_denial| Word { name: name.to_owned(), text: text.to_owned(), is_denial };
    let (no, bad, worse) = ("S1 says no", "S1 fails", "S2 fails");
    for (words, expected) in [
        (vec![word("api.", no, true), word("api.", no, true)], "S1 says no"),
        (vec![word("api.a.", no, true), word("api.", no, true)], "S1 says no"),
        (vec![word("api.", no, true), word("api.a.", no, true)], "S1 says no"),
        (vec![word("api.a.", no, true), word("api.b.", no, true)], "S1 says no for api.a"),
        (vec![word("api.", no, true), word("api.a.", bad, false)], "S1 fails for api.a"),
        (
            vec![word("api.", bad, false), word("api.", worse, false), word("api.", no, true)],
            "S1 fails, S2 fails",
        ),
        (vec![], "not in /etc/hosts, and not a DNS name"),
    ] {
        for host in ["api", "api."] {
            let words = words.iter().map(|w| word(&w.name, &w.text, w.is_denial)).collect();
            assert_eq!(Unresolved::new(host, words).to_string(), format!("cannot resolve api: {expected}"));
        }
    }
}

#[test]
fn addresses_are_sorted_by_the_machines_own_sources() {
    let addresses =
        |text: &str| -> Vec<SocketAddr> { text.split(' ').map(|word| word.parse().unwrap()).collect() };
    let sorted = order::sort(addresses("127.0.0.1:0 [::1]:0 127.0.0.2:0"));
    assert_eq!(sorted, addresses("[::1]:0 127.0.0.1:0 127.0.0.2:0"));
}
