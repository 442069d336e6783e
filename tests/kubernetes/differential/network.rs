//! A network in memory: connections to TLS servers that answer within the call, and what was sent to a proxy.

use std::fmt::{self, Debug};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use nodestrap::testing::clock::Clock;
use nodestrap::testing::http::{
    Endpoint, Network, Proxies, Roots, ServerUrl, Socket, System, Traffic, Verified,
};
use nodestrap::testing::x509::Certificate;
use rustls::{ServerConfig, ServerConnection};

use crate::support::api::tls;
use crate::support::pki::Authority;

/// What a server says to a request: method, path and body in; status and body out.
pub type Answers = dyn Fn(&str, &str, &[u8]) -> (u16, String) + Send + Sync;

/// Every host is this server.
pub struct InMemory {
    pub tls: Arc<ServerConfig>,
    pub answers: Arc<Answers>,
}

impl Debug for InMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InMemory")
    }
}

impl Network for InMemory {
    fn connect(&self, _: &Endpoint, _: Duration, _: bool) -> io::Result<Box<dyn Socket>> {
        let server = ServerConnection::new(self.tls.clone()).map_err(io::Error::other)?;
        Ok(Box::new(Wire { server, answers: self.answers.clone(), request: Vec::new(), sent: Vec::new() }))
    }
}

/// An API server whose CA is known.
pub struct Trusted {
    authority: Authority,
    tls: Arc<ServerConfig>,
}

impl Trusted {
    pub fn new() -> Self {
        let authority = Authority::new("kubernetes");
        let tls = tls::config(authority.server(&["api.example"]), rustls::DEFAULT_VERSIONS, |_| {});
        Self { authority, tls }
    }

    /// The network that leads to it, where it gives these answers.
    pub fn answering(
        &self,
        answers: impl Fn(&str, &str, &[u8]) -> (u16, String) + Send + Sync + 'static,
    ) -> InMemory {
        InMemory { tls: self.tls.clone(), answers: Arc::new(answers) }
    }

    /// A connection to it.
    pub fn dial(&self, system: &System) -> nodestrap::testing::error::Result<Verified> {
        let root = Certificate::from_der(&self.authority.certificate).expect("a certificate");
        let url = ServerUrl::parse("https://api.example:6443").expect("a URL");
        Verified::dial(system, &url, &Roots::new([&root], []), None)
    }
}

struct Wire {
    server: ServerConnection,
    answers: Arc<Answers>,
    /// The part of a request that has come.
    request: Vec<u8>,
    /// What the server has sent, and nobody has read.
    sent: Vec<u8>,
}

impl Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl Wire {
    /// Answers the requests that are whole.
    fn answer(&mut self) -> io::Result<()> {
        while let Some(head) = self.request.windows(4).position(|window| window == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&self.request[..head]).into_owned();
            let length = text.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            let end = head + 4 + length.unwrap_or(0);
            if self.request.len() < end {
                break;
            }
            let mut words = text.split(' ');
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let (status, body) = (self.answers)(method, path, &self.request[head + 4..end]);
            self.request.drain(..end);
            let answer = format!(
                "HTTP/1.1 {status} Fine\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            self.server.writer().write_all(answer.as_bytes())?;
        }
        Ok(())
    }
}

impl Write for Wire {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len();
        while !bytes.is_empty() {
            self.server.read_tls(&mut bytes)?;
            // What the server says about a bad message reaches the client by the next read.
            if self.server.process_new_packets().is_err() {
                break;
            }
            let mut plain = [0; 4096];
            while let Ok(read @ 1..) = self.server.reader().read(&mut plain) {
                self.request.extend_from_slice(&plain[..read]);
            }
            self.answer()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.server.wants_write() {
            self.server.write_tls(&mut self.sent)?;
        }
        if self.sent.is_empty() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let length = buffer.len().min(self.sent.len());
        buffer[..length].copy_from_slice(&self.sent[..length]);
        self.sent.drain(..length);
        Ok(length)
    }
}

/// Nothing here waits.
macro_rules! never_waits {
    ($socket:ty) => {
        impl Socket for $socket {
            fn bound_reads(&mut self, _: Duration) -> io::Result<()> {
                Ok(())
            }

            fn bound_writes(&mut self, _: Duration) -> io::Result<()> {
                Ok(())
            }

            fn local_address(&self) -> Option<IpAddr> {
                None
            }

            fn is_idle(&mut self) -> bool {
                true
            }
        }
    };
}

never_waits!(Wire);
never_waits!(Listener);

/// Keeps what is sent on the first connection, and where that leads; nothing is ever answered.
#[derive(Debug, Default)]
pub struct Overheard(pub Arc<Mutex<(String, Vec<u8>)>>);

impl Network for Overheard {
    fn connect(&self, endpoint: &Endpoint, _: Duration, _: bool) -> io::Result<Box<dyn Socket>> {
        self.0.lock().unwrap().0 = endpoint.to_string();
        Ok(Box::new(Listener(self.0.clone())))
    }
}

#[derive(Debug)]
struct Listener(Arc<Mutex<(String, Vec<u8>)>>);

impl Write for Listener {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().1.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Listener {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

/// A clock that stands still, except that waiting moves its running time. It draws the middle: a pause of nothing each
/// time would last for ever.
#[derive(Debug)]
pub struct Still(pub SystemTime, pub Mutex<Duration>);

impl Clock for Still {
    fn now(&self) -> SystemTime {
        self.0
    }

    fn elapsed(&self) -> Duration {
        *self.1.lock().unwrap()
    }

    fn sleep(&self, time: Duration) {
        *self.1.lock().unwrap() += time;
    }

    fn random(&self) -> u32 {
        u32::MAX / 2
    }
}

/// The surroundings of a library call.
pub fn system(now: SystemTime, network: Arc<dyn Network>, proxies: Proxies) -> System {
    System {
        clock: Arc::new(Still(now, Mutex::new(Duration::ZERO))),
        network,
        proxies: Arc::new(proxies),
        traffic: Arc::new(Traffic::default()),
    }
}
