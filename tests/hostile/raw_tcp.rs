//! Servers below TLS: bytes by hand, and a relay that fails at one byte.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::suite::{Given, Witness};
use crate::support::api::TOKEN;

/// After this long without a word the relay takes it that both sides wait for each other.
const QUIET: Duration = Duration::from_millis(300);

/// What comes behind a flipped bit: enough for the rest of a handshake, not for an answer.
const BEHIND: usize = 1000;

/// What a server does with a connection.
type Script = Box<dyn Fn(&mut Line) -> io::Result<()> + Send + Sync>;

/// A listener that does the same with every connection.
pub struct Raw {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    script: Script,
    heard: Mutex<Vec<Vec<u8>>>,
    stop: AtomicBool,
}

/// One connection, and what came over it.
pub struct Line {
    socket: TcpStream,
    pub heard: Vec<u8>,
}

impl Raw {
    pub fn start(script: impl Fn(&mut Line) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let script = Box::new(script);
        let state = Arc::new(State { script, heard: Mutex::default(), stop: AtomicBool::new(false) });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                if shared.stop.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(socket), shared) = (socket, Arc::clone(&shared)) else { continue };
                std::thread::spawn(move || {
                    let mut line = Line { socket, heard: Vec::new() };
                    // The client may have gone at any point.
                    let _ = (shared.script)(&mut line);
                    shared.heard.lock().expect("heard").push(line.heard);
                });
            }
        });
        Self { address, state }
    }

    pub fn endpoint(&self) -> String {
        format!("localhost:{}", self.address.port())
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// What is plain on the wire: anything else would need a handshake.
impl Witness for Raw {
    fn given(&self) -> Given {
        let heard = self.state.heard.lock().expect("heard");
        let count = |word: &str| {
            let contains = |bytes: &&Vec<u8>| {
                let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
                text.contains(word)
            };
            heard.iter().filter(contains).count() as u64
        };
        let secret = TOKEN.split_once('.').expect("a dot").1;
        Given {
            connections: heard.len() as u64,
            authorizations: count("authorization") + count(secret),
            certificates: 0,
            requests_to_sign: count("post /"),
            taken: 0,
        }
    }
}

impl Line {
    /// Reads once; what comes is kept.
    pub fn hear(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 4096];
        let count = self.socket.read(&mut bytes)?;
        self.heard.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    pub fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Says nothing more until the client has gone.
    pub fn hold(&mut self) -> io::Result<()> {
        while self.hear()? > 0 {}
        Ok(())
    }

    /// Says the same until the client has gone.
    pub fn repeat(&mut self, bytes: &[u8], interval: Duration) -> io::Result<()> {
        loop {
            self.say(bytes)?;
            std::thread::sleep(interval);
        }
    }

    /// Ends the connection with RST.
    pub fn reset(&mut self) -> io::Result<()> {
        reset(&self.socket)
    }
}

fn reset(socket: &TcpStream) -> io::Result<()> {
    // Closing then sends no FIN.
    rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO))?;
    Ok(())
}

/// How a relay fails.
#[derive(Clone, Copy, PartialEq)]
pub enum Fault {
    Close,
    Reset,
    /// One bit is another, and not much comes behind it: some bits mean nothing, and each must end its connection.
    Flip,
    /// Nothing more, on a connection that stays open.
    Stall,
    /// Each byte by itself, with a pause behind it.
    Drip,
}

/// A port for each of some places in what a server says. The first connection to each fails there; later ones, when
/// `heals`, do not.
pub struct Faulty {
    endpoints: Vec<String>,
    failed: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    addresses: Vec<SocketAddr>,
}

impl Faulty {
    pub fn start(server: SocketAddr, fault: Fault, places: impl Iterator<Item = usize>, heals: bool) -> Self {
        let (failed, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut addresses = Vec::new();
        for place in places {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
            addresses.push(listener.local_addr().expect("its address"));
            let (failed, stop) = (Arc::clone(&failed), Arc::clone(&stop));
            std::thread::spawn(move || {
                for (number, client) in listener.incoming().enumerate() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let (Ok(client), Ok(server)) = (client, TcpStream::connect(server)) else { continue };
                    let fault = (number == 0 || !heals).then_some((fault, place));
                    failed.fetch_add(usize::from(number == 0), Ordering::Relaxed);
                    std::thread::spawn(move || relay(&client, &server, fault));
                }
            });
        }
        let endpoints = addresses.iter().map(|address| format!("localhost:{}", address.port())).collect();
        Self { endpoints, failed, stop, addresses }
    }

    /// All ports, as a join line takes them.
    pub fn endpoints(&self) -> String {
        self.endpoints.join(",")
    }

    /// Whether each of them has failed once.
    pub fn is_through(&self) -> bool {
        self.failed.load(Ordering::Relaxed) == self.endpoints.len()
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for address in &self.addresses {
            let _ = TcpStream::connect(address);
        }
    }
}

fn relay(client: &TcpStream, server: &TcpStream, fault: Option<(Fault, usize)>) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    let upwards = std::thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let ended = downwards(client, server, fault);
    let _ = (server.shutdown(Shutdown::Both), client.shutdown(Shutdown::Both));
    let _ = upwards.join();
    ended
}

fn downwards(
    mut client: &TcpStream,
    mut server: &TcpStream,
    fault: Option<(Fault, usize)>,
) -> io::Result<()> {
    let (mut passed, mut bytes) = (0, [0; 4096]);
    loop {
        if fault == Some((Fault::Close, passed)) {
            return Ok(());
        }
        if fault == Some((Fault::Reset, passed)) {
            return reset(client);
        }
        if fault == Some((Fault::Stall, passed)) {
            while server.read(&mut bytes)? > 0 {}
            return Ok(());
        }
        if fault.is_some_and(|(fault, place)| fault == Fault::Flip && passed > place + BEHIND) {
            return Ok(());
        }
        let most = match fault {
            Some((Fault::Drip, _)) => 1,
            Some((Fault::Flip, place)) if place == passed => 1,
            Some((_, place)) if place > passed => bytes.len().min(place - passed),
            Some((Fault::Flip, _)) => BEHIND,
            _ => bytes.len(),
        };
        let count = server.read(&mut bytes[..most])?;
        if count == 0 {
            return Ok(());
        }
        if fault == Some((Fault::Flip, passed)) {
            bytes[0] ^= 1 << (passed % 8);
            server.set_read_timeout(Some(QUIET))?;
        }
        client.write_all(&bytes[..count])?;
        if matches!(fault, Some((Fault::Drip, _))) {
            std::thread::sleep(Duration::from_millis(20));
        }
        passed += count;
    }
}
