//! The network, whose other end says what the bytes say, and a clock that goes on by waiting only.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use nodestrap::testing::clock::Clock;
use nodestrap::testing::http::{Endpoint, Network, Proxies, Socket, System, Traffic};

use super::fixtures;

/// What the server does next.
#[derive(Debug)]
enum Act {
    Say(Vec<u8>),
    /// Nothing, until the client looks up.
    Wait,
    Close,
}

/// Before an answer to the next request, before a connection is closed, and before a pause: all begin with this byte,
/// which no text has.
const MARK: u8 = 0xff;
const CLOSE: u8 = 1;
const WAIT: u8 = 2;

/// The answers that the bytes describe. One that begins with a brace is JSON, and gets the header that belongs to it.
fn answers(data: &[u8]) -> VecDeque<Vec<Act>> {
    let mut parts = data.split(|byte| *byte == MARK);
    let mut answers: Vec<Vec<Act>> = vec![vec![say(parts.next().unwrap_or_default())]];
    for part in parts {
        let (kind, rest) = part.split_first().unwrap_or((&0, &[]));
        match *kind {
            WAIT => {
                let answer = answers.last_mut().expect("the first is there");
                answer.extend([Act::Wait, Act::Say(rest.to_vec())]);
            }
            CLOSE => {
                answers.last_mut().expect("the first is there").push(Act::Close);
                answers.push(vec![say(rest)]);
            }
            _ => answers.push(vec![say(rest)]),
        }
    }
    answers.into()
}

fn say(part: &[u8]) -> Act {
    let mut text = Vec::new();
    if part.starts_with(b"{") {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            part.len()
        );
        text.extend(head.into_bytes());
    }
    text.extend(part);
    Act::Say(text)
}

/// What the other end has seen, and what it is going to say.
#[derive(Debug, Default)]
pub struct Other {
    answers: Mutex<VecDeque<Vec<Act>>>,
    /// The requests, each with the moment that it came at.
    requests: Mutex<Vec<(Duration, String)>>,
    /// Bytes of answers, in the clear.
    said: Mutex<Vec<u8>>,
    clock: Arc<StepClock>,
}

impl Other {
    /// The program's own pauses, in order.
    pub fn pauses(&self) -> Vec<Duration> {
        locked(&self.clock.pauses).clone()
    }

    pub fn requests(&self) -> Vec<String> {
        self.timed_requests().into_iter().map(|(_, text)| text).collect()
    }

    pub fn timed_requests(&self) -> Vec<(Duration, String)> {
        locked(&self.requests).clone()
    }

    /// All that was said so far.
    pub fn said(&self) -> Vec<u8> {
        locked(&self.said).clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Surroundings in which the API server of the fixtures answers what the bytes say, over TLS as it should be.
pub fn server(data: &[u8]) -> (System, Arc<Other>) {
    let other = Arc::new(Other { answers: Mutex::new(answers(data)), ..Other::default() });
    (system(Arc::new(TlsNetwork(other.clone())), other.clock.clone()), other)
}

/// Surroundings in which every connection brings these bytes and ends.
pub fn raw(data: &[u8]) -> System {
    system(Arc::new(RawNetwork(data.to_vec())), Arc::default())
}

/// Surroundings in which nobody answers.
pub fn deaf() -> System {
    server(&[]).0
}

fn system(network: Arc<dyn Network>, clock: Arc<StepClock>) -> System {
    System { clock, network, proxies: Arc::new(Proxies::default()), traffic: Arc::new(Traffic::default()) }
}

/// A clock that stands still but for sleep and time-outs. It draws the middle.
#[derive(Debug, Default)]
pub struct StepClock {
    elapsed: Mutex<Duration>,
    pauses: Mutex<Vec<Duration>>,
}

impl StepClock {
    fn pass(&self, time: Duration) {
        *locked(&self.elapsed) += time;
    }
}

impl Clock for StepClock {
    fn now(&self) -> SystemTime {
        fixtures::now() + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        *locked(&self.elapsed)
    }

    fn sleep(&self, time: Duration) {
        locked(&self.pauses).push(time);
        self.pass(time);
    }

    fn random(&self) -> u32 {
        u32::MAX / 2
    }
}

#[derive(Debug)]
struct TlsNetwork(Arc<Other>);

impl Network for TlsNetwork {
    fn connect(&self, _: &Endpoint, _: Duration, _: bool) -> io::Result<Box<dyn Socket>> {
        if locked(&self.0.answers).is_empty() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let mut tls = ServerConnection::new(config()).map_err(io::Error::other)?;
        tls.set_buffer_limit(None);
        let (coming, acts) = (VecDeque::new(), VecDeque::new());
        let other = self.0.clone();
        Ok(Box::new(TlsSocket {
            tls,
            other,
            request: Vec::new(),
            coming,
            acts,
            closed: false,
            timeout: Duration::ZERO,
        }))
    }
}

fn config() -> Arc<ServerConfig> {
    static CONFIG: Mutex<Option<Arc<ServerConfig>>> = Mutex::new(None);
    let make = || {
        let chain = CertificateDer::pem_slice_iter(fixtures::SERVER.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates");
        let key = PrivateKeyDer::from_pem_slice(fixtures::SERVER_KEY.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Arc::new(
            builder.expect("versions").with_no_client_auth().with_single_cert(chain, key).expect("a pair"),
        )
    };
    locked(&CONFIG).get_or_insert_with(make).clone()
}

/// A connection whose other end is a TLS server in the same place.
#[derive(Debug)]
struct TlsSocket {
    tls: ServerConnection,
    other: Arc<Other>,
    /// The request that is coming in.
    request: Vec<u8>,
    /// Bytes on their way to the client.
    coming: VecDeque<u8>,
    acts: VecDeque<Act>,
    closed: bool,
    timeout: Duration,
}

impl TlsSocket {
    /// Takes whole requests off what has come in, and has each answered.
    fn answer(&mut self) {
        while let Some(length) = length(&self.request) {
            let request: Vec<u8> = self.request.drain(..length).collect();
            let text = String::from_utf8_lossy(&request).into_owned();
            locked(&self.other.requests).push((self.other.clock.elapsed(), text));
            let answer = locked(&self.other.answers).pop_front();
            self.acts.extend(answer.unwrap_or_else(|| vec![Act::Close]));
        }
    }

    fn flush_records(&mut self) -> io::Result<()> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records)?;
        }
        self.coming.extend(records);
        Ok(())
    }
}

/// The length of the whole request that these bytes begin with.
fn length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let body =
        text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    (bytes.len() >= head + body).then_some(head + body)
}

impl Write for TlsSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() && !self.closed {
            self.tls.read_tls(&mut rest)?;
            // A client that does not like the certificate says so and goes.
            self.closed |= self.tls.process_new_packets().is_err();
            let _ = self.tls.reader().read_to_end(&mut self.request);
        }
        self.answer();
        self.flush_records()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TlsSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.coming.is_empty() {
            match self.acts.pop_front() {
                Some(Act::Say(text)) => {
                    locked(&self.other.said).extend(&text);
                    self.tls.writer().write_all(&text)?;
                    self.flush_records()?;
                }
                Some(Act::Close) => {
                    self.closed = true;
                    self.acts.clear();
                    self.tls.send_close_notify();
                    self.flush_records()?;
                }
                None if self.closed => return Ok(0),
                Some(Act::Wait) | None => break,
            }
        }
        if self.coming.is_empty() {
            self.other.clock.pass(self.timeout);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.coming.read(buffer)
    }
}

impl Socket for TlsSocket {
    fn bound_reads(&mut self, timeout: Duration) -> io::Result<()> {
        self.timeout = timeout;
        Ok(())
    }

    fn bound_writes(&mut self, _: Duration) -> io::Result<()> {
        Ok(())
    }

    fn local_address(&self) -> Option<IpAddr> {
        None
    }

    fn is_idle(&mut self) -> bool {
        !self.closed && self.coming.is_empty() && self.acts.is_empty()
    }
}

#[derive(Debug)]
struct RawNetwork(Vec<u8>);

impl Network for RawNetwork {
    fn connect(&self, _: &Endpoint, _: Duration, _: bool) -> io::Result<Box<dyn Socket>> {
        Ok(Box::new(RawSocket(self.0.clone().into())))
    }
}

/// A connection that takes everything, brings its bytes, and ends.
#[derive(Debug)]
struct RawSocket(VecDeque<u8>);

impl Write for RawSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for RawSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Socket for RawSocket {
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
        self.0.is_empty()
    }
}
