//! A proxy that knows CONNECT and nothing else, and keeps all that it can see.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What a proxy answers to a CONNECT.
#[derive(Clone)]
pub enum Answer {
    /// A tunnel to this address, whatever name was asked for: the proxy looks names up.
    Tunnel(SocketAddr),
    /// These bytes, and the end.
    Text(Vec<u8>),
    /// These bytes again and again.
    Endless(Vec<u8>),
    /// Nothing.
    Silence,
}

/// One connection, as the proxy saw it.
#[derive(Clone, Default)]
pub struct Seen {
    /// The request's header.
    pub request: String,
    /// What went through the tunnel, both ways.
    pub tunnelled: [Vec<u8>; 2],
}

/// A listening proxy.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

/// Answers the n-th connection (from 0), which asks for this target.
type Script = dyn Fn(usize, &str) -> Answer + Send + Sync;

struct State {
    answer: Box<Script>,
    seen: Mutex<Vec<Seen>>,
    stop: AtomicBool,
}

impl Proxy {
    /// Listens on a free loopback port. `answer` is given the number of the connection (from 0) and the target,
    /// `HOST:PORT`.
    pub fn start(answer: impl Fn(usize, &str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let state = State { answer: Box::new(answer), seen: Mutex::default(), stop: AtomicBool::new(false) };
        let state = Arc::new(state);
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if shared.stop.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { continue };
                let state = Arc::clone(&shared);
                std::thread::spawn(move || state.serve(client));
            }
        });
        Self { address, state }
    }

    /// Leads every tunnel to one address.
    pub fn to(target: SocketAddr) -> Self {
        Self::start(move |_, _| Answer::Tunnel(target))
    }

    /// Says this to everyone.
    pub fn saying(text: &str) -> Self {
        let answer = Answer::Text(text.as_bytes().to_vec());
        Self::start(move |_, _| answer.clone())
    }

    /// `127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// All connections so far, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().expect("seen").clone()
    }

    /// The targets that were asked for, in order.
    pub fn targets(&self) -> Vec<String> {
        self.seen().iter().filter_map(|seen| Some(seen.request.split(' ').nth(1)?.to_owned())).collect()
    }
}

impl Seen {
    /// Asserts that both sides of the tunnel are TLS records from the first byte to the last (RFC 8446, section 5.1),
    /// and that none of these texts can be read in it.
    pub fn assert_only_tls(&self, secrets: &[&str]) {
        for bytes in &self.tunnelled {
            let mut rest = &bytes[..];
            while rest.len() >= 5 {
                assert!((20..=23).contains(&rest[0]) && rest[1] == 3, "no TLS record: {:?}", &rest[..5]);
                rest =
                    rest.get(5 + usize::from(u16::from_be_bytes([rest[3], rest[4]]))..).unwrap_or_default();
            }
            let text = String::from_utf8_lossy(bytes);
            assert!(
                secrets.iter().all(|secret| !text.contains(secret)),
                "a secret can be read in the tunnel"
            );
        }
        assert!(secrets.iter().all(|secret| !self.request.contains(secret)), "{}", self.request);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn serve(self: &Arc<Self>, mut client: TcpStream) {
        let number = {
            let mut seen = self.seen.lock().expect("seen");
            seen.push(Seen::default());
            seen.len() - 1
        };
        let request = read_head(&mut client);
        self.seen.lock().expect("seen")[number].request.clone_from(&request);
        let answer = (self.answer)(number, request.split(' ').nth(1).unwrap_or_default());
        let _ = match answer {
            Answer::Tunnel(target) => self.tunnel(number, &client, target),
            Answer::Text(text) => client.write_all(&text),
            Answer::Endless(text) => loop {
                if let Err(error) = client.write_all(&text) {
                    break Err(error);
                }
            },
            Answer::Silence => client.read(&mut [0]).map(|_| ()),
        };
    }

    /// Copies both ways, each until its sender has closed.
    fn tunnel(self: &Arc<Self>, number: usize, mut client: &TcpStream, target: SocketAddr) -> io::Result<()> {
        let server = TcpStream::connect(target)?;
        client.write_all(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")?;
        for (side, from, to) in [(0, client, &server), (1, &server, client)] {
            from.set_nodelay(true)?;
            let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
            let state = Arc::clone(self);
            std::thread::spawn(move || {
                let mut buffer = [0; 16_384];
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    state.seen.lock().expect("seen")[number].tunnelled[side]
                        .extend_from_slice(&buffer[..count]);
                    if to.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(Shutdown::Write);
            });
        }
        Ok(())
    }
}

fn read_head(client: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && matches!(client.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}
