//! The connection under ureq: TCP and TLS behind its transport traits, with the one switch that matters, whether a
//! handshake is verified.
//!
//! ureq redials through its connector whenever a kept connection turns out to be closed. The switch lives in the
//! connector, so that such a redial is verified by what is known at that moment, and never taken for the connection that
//! was verified before.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport, time};

use super::System;
use super::address::Endpoint;
use super::buffers::HeaderBuffers;
use super::network::Socket;
use super::proxy::Proxy;
use super::response::first_words;
use crate::error;
use crate::limits;

/// The peer: what all connections to one endpoint share.
#[derive(Debug)]
pub(super) struct Peer {
    endpoint: Endpoint,
    proxy: Option<Proxy>,
    system: System,
    state: Mutex<State>,
    /// Number of the connection that was dialled last; only that one may be used.
    current: AtomicU32,
}

#[derive(Debug)]
struct State {
    config: Arc<ClientConfig>,
    /// There are other endpoints to try.
    has_fallback: bool,
    /// The chain that the peer of the last dialled connection showed.
    chain: Vec<CertificateDer<'static>>,
    /// The longest that one read may wait, where a caller wants to look up in between.
    wake_interval: Option<Duration>,
    /// A connection that was made before the request that will use it.
    preconnected: Option<Stream>,
    /// The first bytes of the last response, for messages.
    began: Vec<u8>,
    reached: Reached,
}

/// How far a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// Neither the peer nor its proxy.
    Nothing,
    /// The peer, or something that took the connection.
    Connected,
    /// The end of the TLS handshake.
    Handshaken,
}

type Stream = StreamOwned<ClientConnection, DeadlineStream>;

impl Peer {
    /// A peer at `endpoint` whose handshakes follow `config`. With `has_fallback` there are other endpoints to try.
    ///
    /// # Errors
    /// A usage error when there is a proxy on the way that cannot be used.
    pub(super) fn new(
        endpoint: Endpoint,
        system: &System,
        config: Arc<ClientConfig>,
        has_fallback: bool,
    ) -> error::Result<Arc<Self>> {
        let proxy = system.proxies.towards(&endpoint)?;
        let state = State {
            config,
            has_fallback,
            chain: Vec::new(),
            wake_interval: None,
            preconnected: None,
            began: Vec::new(),
            reached: Reached::Nothing,
        };
        let state = Mutex::new(state);
        Ok(Arc::new(Self { endpoint, proxy, system: system.clone(), state, current: AtomicU32::new(0) }))
    }

    /// The proxy on the way to it.
    pub(super) fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// Whether there are other endpoints to try.
    pub(super) fn has_fallback(&self) -> bool {
        self.state().has_fallback
    }

    /// The endpoint that is dialled.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The chain of the last dialled connection, which is the one in use.
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.state().chain.clone()
    }

    /// The first line of the last response, whatever it is, fit for one line; empty where nothing came.
    pub(super) fn first_line(&self) -> String {
        let state = self.state();
        if state.began.is_empty() {
            return String::new();
        }
        first_words(state.began.trim_ascii_start().split(|byte| *byte == b'\n').next().unwrap_or_default())
    }

    /// How far the last connection came.
    pub(super) fn reached(&self) -> Reached {
        self.state().reached
    }

    /// From now on what has come so far is not a response.
    pub(super) fn forget_answer(&self) {
        self.state().began.clear();
    }

    /// From now on handshakes follow `config`, and this endpoint is the one that the program stays with.
    pub(super) fn switch(&self, config: Arc<ClientConfig>) {
        let mut state = self.state();
        state.config = config;
        state.has_fallback = false;
    }

    /// From now on a read that waits longer than `interval` fails with a timeout and can be repeated.
    pub(super) fn set_wake_interval(&self, interval: Option<Duration>) {
        self.state().wake_interval = interval;
    }

    /// Makes the next request's connection now, and returns this machine's own address on it.
    pub(super) fn preconnect(&self, timeout: Duration) -> io::Result<Option<IpAddr>> {
        let stream = self.dial(timeout)?;
        let address = stream.sock.socket.local_address();
        self.state().preconnected = Some(stream);
        Ok(address)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // One thread only: the lock is never poisoned, and its content is complete at every point.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dial(&self, timeout: Duration) -> io::Result<Stream> {
        let (config, has_fallback) = {
            let state = self.state();
            (state.config.clone(), state.has_fallback)
        };
        let timeout = if has_fallback { timeout.min(limits::DIAL_ONE_OF_MANY) } else { timeout };
        let until = Instant::now() + timeout;
        let next = self.proxy.as_ref().map_or(&self.endpoint, Proxy::endpoint);
        self.forget_answer();
        self.state().reached = Reached::Nothing;
        let mut sock = DeadlineStream {
            socket: self.system.network.connect(next, timeout, has_fallback)?,
            until,
            began: Vec::new(),
        };
        if let Some(proxy) = &self.proxy {
            proxy.tunnel(&mut sock, &self.endpoint)?;
            sock.began.clear();
        }
        self.state().reached = Reached::Connected;
        let conn = ClientConnection::new(config, self.endpoint.server_name()).map_err(io::Error::other)?;
        let mut stream = StreamOwned { conn, sock };
        let done = stream.conn.complete_io(&mut stream.sock);
        // What speaks TLS begins with the type of a record (RFC 8446, section 5.1).
        if done.is_err() && stream.sock.began.first().is_some_and(|byte| !(20..=24).contains(byte)) {
            self.state().began = std::mem::take(&mut stream.sock.began);
        }
        done?;
        self.system.traffic.handshakes.fetch_add(1, Ordering::Relaxed);
        self.state().reached = Reached::Handshaken;
        self.state().chain = stream
            .conn
            .peer_certificates()
            .unwrap_or_default()
            .iter()
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        Ok(stream)
    }
}

/// ureq's connector: every connection that it makes is TLS to the peer's endpoint.
pub(super) struct TlsConnector(pub(super) Arc<Peer>);

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConnector")
    }
}

impl Connector for TlsConnector {
    type Out = TlsTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<TlsTransport>, ureq::Error> {
        let timeout = duration(&details.timeout);
        let preconnected = self.0.state().preconnected.take();
        let stream = match preconnected {
            Some(stream) => stream,
            None => self.0.dial(timeout).map_err(|e| as_ureq(e, &details.timeout))?,
        };
        let number = self.0.current.fetch_add(1, Ordering::Relaxed) + 1;
        let buffers = HeaderBuffers::new();
        Ok(Some(TlsTransport { buffers, stream, number, peer: self.0.clone(), received: 0 }))
    }
}

/// One TLS connection, as ureq's transport.
pub(super) struct TlsTransport {
    buffers: HeaderBuffers,
    stream: Stream,
    number: u32,
    peer: Arc<Peer>,
    /// Bytes that came since something was sent.
    received: usize,
}

impl TlsTransport {
    /// The chain that was verified is that of the last dialled connection; an older one must not speak again.
    fn begin(&mut self, timeout: &NextTimeout) -> io::Result<()> {
        if self.number != self.peer.current.load(Ordering::Relaxed) {
            return Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "a newer connection has replaced this one",
            ));
        }
        self.stream.sock.until = Instant::now() + duration(timeout);
        Ok(())
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let timeout = timeout.for_write();
        self.begin(&timeout)?;
        self.received = 0;
        let output = &self.buffers.output()[..amount];
        let sent = self.stream.write_all(output).and_then(|()| self.stream.flush());
        self.buffers.wipe_output(amount);
        sent.map_err(|e| as_ureq(e, &timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let timeout = timeout.for_read();
        self.begin(&timeout)?;
        let interval = self.peer.state().wake_interval;
        if let Some(interval) = interval {
            let sock = &mut self.stream.sock;
            sock.until = sock.until.min(Instant::now() + interval);
        } else if self.received > limits::ANSWER_BYTES {
            return Err(ureq::Error::Io(io::Error::other("the answer is longer than any that is read")));
        }
        let input = self.buffers.input_append_buf();
        let amount = self.stream.read(input).map_err(|e| as_ureq(e, &timeout))?;
        if self.received < limits::FOREIGN_TEXT {
            self.peer.state().began.extend_from_slice(&input[..amount.min(limits::FOREIGN_TEXT)]);
        }
        self.buffers.input_appended(amount);
        self.received = self.received.saturating_add(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.socket.is_idle()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// Without the buffers, which can hold a token.
impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

/// A socket whose every operation ends by one moment, however small the pieces that a peer sends.
#[derive(Debug)]
struct DeadlineStream {
    socket: Box<dyn Socket>,
    until: Instant,
    /// The first bytes that came.
    began: Vec<u8>,
}

impl DeadlineStream {
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        left.ok_or_else(|| io::ErrorKind::TimedOut.into())
    }
}

impl Read for DeadlineStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left()?;
        self.socket.bound_reads(left)?;
        let amount = self.socket.read(buffer)?;
        if self.began.len() < limits::FOREIGN_TEXT {
            self.began.extend_from_slice(&buffer[..amount.min(limits::FOREIGN_TEXT)]);
        }
        Ok(amount)
    }
}

impl Write for DeadlineStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left()?;
        self.socket.bound_writes(left)?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// The connector looks names up, once for each connection; ureq would ask before each request, from a thread.
#[derive(Debug)]
pub(super) struct NoLookup;

impl Resolver for NoLookup {
    fn resolve(
        &self,
        _: &ureq::http::Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

fn duration(timeout: &NextTimeout) -> Duration {
    match timeout.after {
        time::Duration::Exact(after) => after,
        // Every request is given a timeout, so that this is no way to wait for ever.
        time::Duration::NotHappening => limits::REQUEST,
    }
}

fn as_ureq(error: io::Error, timeout: &NextTimeout) -> ureq::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
        _ => ureq::Error::Io(error),
    }
}
