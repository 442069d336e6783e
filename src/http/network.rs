//! The network, which is passed in: name look-up and TCP.
//!
//! Every wait on a socket is bounded by its caller. A look-up is bounded by the resolver's own settings
//! (resolv.conf(5): five seconds and two attempts, unless set otherwise).

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use super::address::Endpoint;
use crate::limits;

/// A way to open connections.
pub trait Network: Debug + Send + Sync {
    /// Opens a connection to one of the endpoint's addresses within `timeout`.
    ///
    /// # Errors
    /// When the name has no address or none of the addresses accepts.
    fn connect(&self, endpoint: &Endpoint, timeout: Duration) -> io::Result<Box<dyn Socket>>;
}

/// An open connection.
pub trait Socket: Read + Write + Debug + Send + Sync {
    /// Bounds each of the following reads and writes.
    ///
    /// # Errors
    /// As the system has it; `timeout` must not be zero.
    fn set_timeout(&mut self, timeout: Duration) -> io::Result<()>;

    /// The machine's own address on this connection, where there is one.
    fn local_address(&self) -> Option<IpAddr>;

    /// Whether the peer has neither closed the connection nor sent anything that was not read.
    fn is_idle(&mut self) -> bool;
}

/// The machine's own network.
#[derive(Debug)]
pub struct SystemNetwork;

impl Network for SystemNetwork {
    /// Looks the name up once and tries its addresses in order. Where there are several, the first round gives each of
    /// them [`limits::CONNECT_ONE_OF_MANY`], so that one that swallows packets does not eat the time of the next; a
    /// second round gives each an equal share of what is left.
    fn connect(&self, endpoint: &Endpoint, timeout: Duration) -> io::Result<Box<dyn Socket>> {
        let until = Instant::now() + timeout;
        let addresses: Vec<SocketAddr> = (endpoint.host(), endpoint.port()).to_socket_addrs()?.collect();
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        let mut last = io::Error::new(io::ErrorKind::TimedOut, "looking the name up took all the time");
        for round in 0..2 {
            for (index, address) in addresses.iter().enumerate() {
                let left = until.saturating_duration_since(Instant::now());
                let remaining = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
                let share = match (addresses.len(), round) {
                    (1, _) => left,
                    (_, 0) => left.min(limits::CONNECT_ONE_OF_MANY),
                    _ => left / remaining,
                };
                if share.is_zero() {
                    return Err(last);
                }
                match TcpStream::connect_timeout(address, share) {
                    Ok(stream) => {
                        stream.set_nodelay(true)?;
                        return Ok(Box::new(stream));
                    }
                    Err(e) => last = e,
                }
            }
            // Only silence is worth a second, longer try; a refusal is an answer.
            if addresses.len() < 2 || last.kind() != io::ErrorKind::TimedOut {
                break;
            }
        }
        Err(last)
    }
}

impl Socket for TcpStream {
    fn set_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout))?;
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
