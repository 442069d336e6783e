//! Ports at which nobody answers, in the two ways that there are.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};

/// A port that refuses every connection. It stays taken until the tests end, so that no other test gets it: its socket is
/// bound and does not listen.
pub fn closed() -> u16 {
    let flags = SocketFlags::CLOEXEC;
    let taken = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("a socket");
    bind(&taken, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = SocketAddr::try_from(getsockname(&taken).expect("its address")).expect("an IPv4 address");
    std::mem::forget(taken);
    address.port()
}

/// A port that swallows every packet: the queue of its listener is full, and nobody accepts.
pub struct BlackHole {
    address: SocketAddr,
    _listener: TcpListener,
    _only_one_that_fits: TcpStream,
}

impl BlackHole {
    /// Opens one on loopback.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        rustix::net::listen(&listener, 0).expect("a shorter queue");
        let address = listener.local_addr().expect("its address");
        let only = TcpStream::connect(address).expect("one fits into the queue");
        Self { address, _listener: listener, _only_one_that_fits: only }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}
