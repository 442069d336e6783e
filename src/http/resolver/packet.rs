//! DNS messages (RFC 1035, section 4), as far as addresses are asked for: a question with EDNS0 (RFC 6891), and its answer,
//! which anybody on the way may have made.
//!
//! An own reader, since an answer is taken as Go takes it (`net/dnsclient_unix.go`, `golang.org/x/net/dns/dnsmessage`):
//! record by record, whatever the others hold, and up to the first that is broken. Crates that were looked at read all
//! of a message or nothing of it. dns-protocol 0.1.2 also follows pointers without an end, and past the message;
//! simple-dns 0.13 knows every kind of record in 9,000 lines.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits;

/// The types of records that hold an IPv4 and an IPv6 address (RFC 1035, section 3.2.2; RFC 3596, section 2.1).
pub(super) const A: u16 = 1;
pub(super) const AAAA: u16 = 28;
/// The additional record of EDNS0 (RFC 6891, section 6.1.1).
const OPT: u16 = 41;
/// The class of the Internet.
const INTERNET: u16 = 1;
/// Pointers in one name, as Go follows them; more are a loop.
const POINTERS: usize = 10;

/// What is asked for: the addresses of one family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    /// The complete name, which ends with a dot. Its labels have 1 to 63 bytes.
    pub name: &'a str,
    /// [`A`] or [`AAAA`].
    pub record: u16,
}

/// What a server says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// At least one address.
    Addresses(Vec<IpAddr>),
    /// There is none, and no other server is asked. In words that follow the server's name.
    Nothing(&'static str),
    /// It does not fit into a datagram: to be asked again over TCP.
    Truncated,
    /// The server is of no help: to be asked elsewhere. In words that follow the server's name.
    Unusable(String),
}

/// The message that asks.
pub(super) fn encode(id: u16, question: Question, trust_ad: bool) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    // Recursion is desired, and AD if the answer's is trusted (RFC 6840, section 5.7). One question, one additional record.
    message.extend([1, u8::from(trust_ad) << 5, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in question.name.split('.') {
        message.push(u8::try_from(label.len()).unwrap_or(0));
        message.extend(label.as_bytes());
    }
    for number in [question.record, INTERNET] {
        message.extend(number.to_be_bytes());
    }
    message.push(0);
    for number in [OPT, limits::DNS_DATAGRAM, 0, 0, 0] {
        message.extend(number.to_be_bytes());
    }
    message
}

/// Reads a message that came back; `None` where it answers another question, or nothing at all.
pub(super) fn read(message: &[u8], id: u16, question: Question, over_tcp: bool) -> Option<Answer> {
    let mut reader = Reader { message, at: 0 };
    let (own_id, flags) = (reader.number()?, reader.number()?);
    let counts = [reader.number()?, reader.number()?, reader.number()?, reader.number()?];
    let [questions, answers, authorities, additional] = counts;
    let is_answer = own_id == id && flags & 0x8000 != 0 && questions > 0;
    if !is_answer
        || !reader.name()?.eq_ignore_ascii_case(question.name.as_bytes())
        || reader.number()? != question.record
        || reader.number()? != INTERNET
    {
        return None;
    }
    if questions > 1 {
        return Some(invalid());
    }
    if flags & 0x200 != 0 && !over_tcp {
        return Some(Answer::Truncated);
    }

    let (mut code, mut has_additional) = (flags & 15, false);
    let mut ahead = reader;
    if (0..usize::from(answers) + usize::from(authorities)).all(|_| ahead.record().is_some()) {
        for record in (0..additional).map_while(|_| ahead.record()) {
            has_additional = true;
            // The upper bits of the code, in version 0 (RFC 6891, section 6.1.3).
            if let (OPT, [upper, 0, ..]) = (record.kind, record.time_to_live) {
                code += u16::from(upper) << 4;
                break;
            }
        }
    }
    let is_lame = answers == 0 && flags & 0x480 == 0 && !has_additional;
    match code {
        0 if is_lame => {
            return Some(Answer::Unusable("responded with a referral to other name servers".to_owned()));
        }
        0 => {}
        3 => return Some(Answer::Nothing("responded with NXDOMAIN (no such name)")),
        _ => return Some(Answer::Unusable(format!("responded with {}", name_of(code)))),
    }

    let mut found = Vec::new();
    for _ in 0..answers {
        let Some(record) = reader.record() else { return Some(up_to_here(found)) };
        // A server that was asked for recursion puts the addresses behind all the aliases, so that those need not be
        // followed.
        if found.is_empty() && record.kind != question.record {
            continue;
        }
        found.push(match (record.kind, record.data.len()) {
            (A, 4) => IpAddr::V4(record.data.first_chunk().map(|data: &[u8; 4]| Ipv4Addr::from(*data))?),
            (AAAA, 16) => IpAddr::V6(record.data.first_chunk().map(|data: &[u8; 16]| Ipv6Addr::from(*data))?)
                .to_canonical(),
            (A | AAAA, _) => return Some(up_to_here(found)),
            _ => continue,
        });
        if found.len() == limits::ADDRESSES {
            break;
        }
    }
    Some(if found.is_empty() { Answer::Nothing("has no address for it") } else { Answer::Addresses(found) })
}

/// What stands before a broken record.
fn up_to_here(found: Vec<IpAddr>) -> Answer {
    if found.is_empty() { invalid() } else { Answer::Addresses(found) }
}

/// An answer without sense.
pub(super) fn invalid() -> Answer {
    Answer::Unusable("responded with an invalid message".to_owned())
}

/// The name of a response code (RFC 1035, section 4.1.1; RFC 6895, section 2.3).
fn name_of(code: u16) -> String {
    match code {
        1 => "FORMERR".to_owned(),
        2 => "SERVFAIL".to_owned(),
        4 => "NOTIMP".to_owned(),
        5 => "REFUSED".to_owned(),
        _ => format!("the response code {code}"),
    }
}

/// A message, and how far it is read.
#[derive(Clone, Copy)]
struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

struct Record<'a> {
    kind: u16,
    time_to_live: [u8; 4],
    data: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.message.get(self.at..)?.get(..count)?;
        self.at += count;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// A name with a dot behind each label. What is behind it, not behind what it points to, is read next.
    fn name(&mut self) -> Option<Vec<u8>> {
        let (mut name, mut rest, mut pointers) = (Vec::new(), *self, 0);
        loop {
            let length = rest.take(1)?[0];
            match length >> 6 {
                0 if length == 0 => break,
                0 => {
                    let label = rest.take(length.into())?;
                    name.extend(label);
                    name.push(b'.');
                    if label.contains(&b'.') || name.len() > limits::DNS_NAME {
                        return None;
                    }
                }
                3 => {
                    let low = rest.take(1)?[0];
                    if pointers == 0 {
                        self.at = rest.at;
                    }
                    pointers += 1;
                    if pointers > POINTERS {
                        return None;
                    }
                    rest.at = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                }
                _ => return None,
            }
        }
        if pointers == 0 {
            self.at = rest.at;
        }
        Some(name)
    }

    fn record(&mut self) -> Option<Record<'a>> {
        self.name()?;
        let (kind, _class) = (self.number()?, self.number()?);
        let time_to_live = *self.take(4)?.first_chunk()?;
        let length = self.number()?;
        Some(Record { kind, time_to_live, data: self.take(length.into())? })
    }
}
