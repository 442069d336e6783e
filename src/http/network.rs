//! The network, which is passed in: name lookup and TCP.
//!
//! Every wait is bounded by its caller, the lookup of a name too.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::address::Endpoint;
use super::resolver::{NameSources, Resolver};
use crate::clock::{Clock, shuffle};
use crate::limits;

/// A way to open connections.
pub trait Network: Send + Sync {
    /// Opens a connection to one of the endpoint's addresses within `timeout`. With `has_fallback` there are other
    /// endpoints to try: an address that does not answer soon is given up.
    ///
    /// # Errors
    /// When the name has no address or none of the addresses accepts.
    fn connect(
        &self,
        endpoint: &Endpoint,
        timeout: Duration,
        has_fallback: bool,
    ) -> io::Result<Box<dyn Socket>>;
}

impl fmt::Debug for dyn Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

/// An open connection.
pub trait Socket: Read + Write + Send + Sync {
    /// Bounds each of the following reads. `timeout` must not be zero.
    fn bound_reads(&mut self, timeout: Duration) -> io::Result<()>;

    /// Bounds each of the following writes. `timeout` must not be zero.
    fn bound_writes(&mut self, timeout: Duration) -> io::Result<()>;

    /// The machine's own address on this connection, where there is one.
    fn local_address(&self) -> Option<IpAddr>;

    /// Whether the peer has neither closed the connection nor sent anything that was not read.
    fn is_idle(&mut self) -> bool;
}

impl fmt::Debug for dyn Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Socket")
    }
}

/// The machine's own network.
#[derive(Debug)]
pub struct SystemNetwork {
    clock: Arc<dyn Clock>,
    resolver: Resolver,
}

impl SystemNetwork {
    /// The machine's network, whose choice among addresses is drawn from `clock`. Names are looked up in `names`.
    pub fn new(clock: Arc<dyn Clock>, names: NameSources) -> Self {
        Self { resolver: Resolver::new(clock.clone(), names), clock }
    }
}

impl Network for SystemNetwork {
    /// Looks the name up once and tries its addresses in turn.
    fn connect(
        &self,
        endpoint: &Endpoint,
        timeout: Duration,
        has_fallback: bool,
    ) -> io::Result<Box<dyn Socket>> {
        let until = Instant::now() + timeout;
        let addresses = self.resolver.lookup(endpoint.host(), endpoint.port(), until)?;
        let stream = connect_one(&shuffle_within_family(&*self.clock, &addresses), until, has_fallback)?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

/// Shuffles addresses, so that a fleet does not lean on the first of them. The family that the resolver prefers stays in
/// front: the other one may lead nowhere (RFC 6724, section 6).
fn shuffle_within_family(clock: &dyn Clock, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let preferred = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let mut order = Vec::with_capacity(addresses.len());
    for ipv6 in [preferred, !preferred] {
        let start = order.len();
        order.extend(addresses.iter().filter(|address| address.is_ipv6() == ipv6));
        shuffle(clock, &mut order[start..]);
    }
    order
}

/// Connects to the first of `addresses` that accepts.
///
/// Where there are several, or other endpoints, the first round gives each of them [`limits::CONNECT_ONE_OF_MANY`], so
/// that one that swallows packets does not eat the time of the next. Unless there are other endpoints, a second round
/// gives each an equal share of what is left.
fn connect_one(addresses: &[SocketAddr], until: Instant, has_fallback: bool) -> io::Result<TcpStream> {
    let patient = !has_fallback && addresses.len() == 1;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address found");
    for round in 0..2 {
        let mut silent = false;
        for (index, address) in addresses.iter().enumerate() {
            let left = until.saturating_duration_since(Instant::now());
            let remaining = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            let share = match round {
                _ if patient => left,
                0 => left.min(limits::CONNECT_ONE_OF_MANY),
                _ => left / remaining,
            };
            if share.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "timed out"));
            }
            match TcpStream::connect_timeout(address, share) {
                Ok(stream) => return Ok(stream),
                Err(e) => {
                    silent |= e.kind() == io::ErrorKind::TimedOut;
                    last = e;
                }
            }
        }
        // Only silence is worth a second, longer try; a refusal is an answer.
        if patient || has_fallback || !silent {
            break;
        }
    }
    Err(last)
}

impl Socket for TcpStream {
    fn bound_reads(&mut self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout))
    }

    fn bound_writes(&mut self, timeout: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(timeout))
    }

    fn local_address(&self) -> Option<IpAddr> {
        self.local_addr().ok().map(|address| address.ip().to_canonical())
    }

    fn is_idle(&mut self) -> bool {
        let idle = self.set_nonblocking(true).is_ok()
            && matches!(self.peek(&mut [0]), Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        self.set_nonblocking(false).is_ok() && idle
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::SystemTime;

    use rustix::net::{AddressFamily, SocketType};

    use super::*;
    use crate::clock::fake::FakeClock;

    #[test]
    fn addresses_are_shuffled_within_their_families() {
        let addresses = |text: &str| -> Vec<SocketAddr> {
            text.split(' ').map(|address| address.parse().unwrap()).collect()
        };
        for (given, drawn, tried) in [
            ("10.0.0.1:1 10.0.0.2:1", u32::MAX, "10.0.0.1:1 10.0.0.2:1"),
            ("10.0.0.1:1 10.0.0.2:1", 0, "10.0.0.2:1 10.0.0.1:1"),
            ("[fd00::1]:1 10.0.0.1:1 10.0.0.2:1", 0, "[fd00::1]:1 10.0.0.2:1 10.0.0.1:1"),
            ("10.0.0.1:1 [fd00::1]:1 [fd00::2]:1", 0, "10.0.0.1:1 [fd00::2]:1 [fd00::1]:1"),
            ("10.0.0.1:1 [fd00::1]:1 10.0.0.2:1", u32::MAX, "10.0.0.1:1 10.0.0.2:1 [fd00::1]:1"),
        ] {
            let clock = FakeClock::at(SystemTime::UNIX_EPOCH).drawing(drawn);
            assert_eq!(
                shuffle_within_family(&clock, &addresses(given)),
                addresses(tried),
                "{given} with {drawn}"
            );
        }
    }

    #[test]
    fn one_address_of_several_is_enough() {
        use io::ErrorKind::{ConnectionRefused, NotFound, TimedOut};

        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        // Bound and not listening: it refuses, and no other program gets its port meanwhile.
        let bound = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&bound, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let closed = SocketAddr::try_from(rustix::net::getsockname(&bound).unwrap()).unwrap();
        let full = TcpListener::bind("127.0.0.1:0").unwrap();
        // A queue of one, which is full then: the system swallows whatever else knocks.
        rustix::net::listen(&full, 0).unwrap();
        let full =
            full.local_addr().map(|address| (full, TcpStream::connect(address).unwrap(), address)).unwrap();
        let open_address = open.local_addr().unwrap();
        for (addresses, seconds) in [
            (&[closed, open_address][..], 0),
            (&[full.2, open_address], 1),
            (&[full.2, full.2, closed, open_address], 2),
        ] {
            let began = Instant::now();
            let stream = connect_one(addresses, began + Duration::from_secs(20), false).unwrap();
            assert_eq!(stream.peer_addr().unwrap(), open_address);
            let spent = began.elapsed();
            assert!(spent >= Duration::from_secs(seconds), "{addresses:?} took {spent:?}");
            assert!(spent < Duration::from_secs(seconds + 5), "{addresses:?} took {spent:?}");
        }
        let budget = Duration::from_secs(3);
        // Why nothing came of it, and whether all the time was taken for that.
        let failure = |addresses: &[SocketAddr], has_fallback| {
            let began = Instant::now();
            let error = connect_one(addresses, began + budget, has_fallback).unwrap_err();
            (error.kind(), began.elapsed() >= budget)
        };
        assert_eq!(failure(&[full.2], true), (TimedOut, false), "others wait");
        assert_eq!(failure(&[full.2], false), (TimedOut, true), "nobody else waits");
        assert_eq!(
            failure(&[closed, full.2], false),
            (TimedOut, true),
            "a second round, since one was silent"
        );
        assert_eq!(failure(&[closed, closed], false), (ConnectionRefused, false), "no second round");
        assert_eq!(failure(&[], false).0, NotFound);
    }
}
