//! A name server of the tests' own, which can answer in any way, and a table of what it says to whom. It needs a network
//! namespace, for port 53.

pub mod answers;
pub mod files;
pub mod lookup;
pub mod search;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What is answered to one question: the messages that are sent back; over TCP, where there is none, the connection is
/// closed.
pub type Says = fn(&Asked) -> Vec<Vec<u8>>;

/// One way to resolve a name, and what comes of it.
pub struct Case {
    pub name: &'static str,
    /// resolv.conf, in which `S1`, `S2` and `S3` are the case's own name servers; none where it is empty.
    pub resolv_conf: &'static str,
    pub hosts: &'static str,
    /// Who is looked for.
    pub host: &'static str,
    pub says: Says,
    pub expected: Expected,
    /// Why it is not as in Go, where it is not.
    pub unlike_go: Option<&'static str>,
}

/// What comes of it.
pub enum Expected {
    /// These addresses, the family of the first one first.
    Addresses(&'static [&'static str]),
    /// So many, all of IPv4.
    Count(usize),
    /// None, and these words.
    Fails(&'static str),
}

/// A question as a server has it.
pub struct Asked {
    pub id: u16,
    /// In lower case, without a dot at its end.
    pub name: String,
    pub v6: bool,
    pub tcp: bool,
    /// Whether it trusts the server's AD.
    pub ad: bool,
    /// Which of the case's servers was asked, from 1.
    pub server: usize,
    /// How many questions came before this one, over all servers.
    pub count: usize,
    /// As it came: name, type and class.
    pub question: Vec<u8>,
}

const RECURSION: u16 = 0x8180;

impl Asked {
    /// Reads a message of the program's.
    ///
    /// # Panics
    /// When it is not one question of class IN for an address, with EDNS0 of 1232 bytes, and nothing else.
    fn read(message: &[u8], tcp: bool, server: usize, count: usize) -> Self {
        assert_eq!(message[4..12], [0, 1, 0, 0, 0, 0, 0, 1], "one question, one additional record");
        let (mut at, mut labels) = (12, Vec::new());
        while message[at] != 0 {
            let end = at + 1 + usize::from(message[at]);
            labels.push(String::from_utf8(message[at + 1..end].to_vec()).expect("text"));
            at = end;
        }
        let question = message[12..at + 5].to_vec();
        let kind = question[question.len() - 3];
        assert!(kind == 1 || kind == 28, "A or AAAA");
        assert_eq!(message[at + 5..], [0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0], "EDNS0");
        assert_eq!(message[2] & 1, 1, "recursion is desired");
        let name = labels.join(".").to_lowercase();
        let id = u16::from_be_bytes([message[0], message[1]]);
        Self { id, name, v6: kind == 28, tcp, ad: message[3] & 0x20 != 0, server, count, question }
    }

    /// An answer to it with these flags and records.
    pub fn reply(&self, flags: u16, answers: &[Vec<u8>]) -> Vec<Vec<u8>> {
        vec![message(self.id, flags, &[&self.question], answers, &[])]
    }

    /// These addresses, of those that are asked for.
    pub fn has(&self, addresses: &[&str]) -> Vec<Vec<u8>> {
        let addresses = addresses.iter().map(|address| address.parse::<IpAddr>().expect("an address"));
        let records: Vec<_> = addresses.filter(|address| address.is_ipv6() == self.v6).map(record).collect();
        self.reply(RECURSION, &records)
    }

    /// A response code.
    pub fn code(&self, code: u16) -> Vec<Vec<u8>> {
        self.reply(RECURSION | code, &[])
    }
}

/// A message with these flags, questions and records.
pub fn message(id: u16, flags: u16, questions: &[&[u8]], answers: &[Vec<u8>], more: &[Vec<u8>]) -> Vec<u8> {
    let counts = [questions.len(), answers.len(), 0, more.len()].map(short);
    let head = [id, flags].into_iter().chain(counts).flat_map(u16::to_be_bytes);
    head.chain(questions.concat()).chain(answers.concat()).chain(more.concat()).collect()
}

/// A length in a message.
fn short(length: usize) -> u16 {
    length.try_into().expect("no more than a message holds")
}

/// An address, of the name that is asked for.
pub fn record(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => typed(1, &address.octets()),
        IpAddr::V6(address) => typed(28, &address.octets()),
    }
}

/// A record of the name that is asked for.
pub fn typed(kind: u16, data: &[u8]) -> Vec<u8> {
    of(&[0xc0, 12], kind, data)
}

/// A record of a name that is encoded already.
pub fn of(name: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let mut record = name.to_vec();
    for number in [kind, 1, 0, 60, short(data.len())] {
        record.extend(number.to_be_bytes());
    }
    record.extend(data);
    record
}

/// Starts a name server for a case, which runs until the test program ends.
pub fn serve(address: SocketAddr, says: Says, server: usize, count: &Arc<AtomicUsize>) {
    let udp = UdpSocket::bind(address).unwrap_or_else(|e| panic!("{address}: {e}"));
    let tcp = TcpListener::bind(address).expect("the same port");
    let asked = Arc::clone(count);
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        loop {
            let Ok((length, from)) = udp.recv_from(&mut buffer) else { return };
            let asked = Asked::read(&buffer[..length], false, server, asked.fetch_add(1, Ordering::Relaxed));
            let udp = udp.try_clone().expect("the same socket");
            thread::spawn(move || says(&asked).iter().for_each(|message| _ = udp.send_to(message, from)));
        }
    });
    let asked = Arc::clone(count);
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let (mut stream, asked) = (stream.expect("a connection"), Arc::clone(&asked));
            thread::spawn(move || {
                let mut length = [0; 2];
                let mut message = Vec::new();
                if stream.read_exact(&mut length).is_err() {
                    return;
                }
                let length = u16::from_be_bytes(length);
                (&stream).take(length.into()).read_to_end(&mut message).expect("a message");
                let asked = Asked::read(&message, true, server, asked.fetch_add(1, Ordering::Relaxed));
                for message in says(&asked) {
                    let length = short(message.len()).to_be_bytes();
                    // In two pieces: a stream keeps no bounds.
                    let _ = stream.write_all(&length).and_then(|()| stream.write_all(&message));
                }
            });
        }
    });
}
