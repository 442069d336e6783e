//! A man in the middle at TCP level: who gets a connection is decided by its number.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A listener that passes the first connection to the first target, and so on; the last target gets the rest.
pub struct Relay {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    accepted: AtomicUsize,
    stop: AtomicBool,
}

impl Relay {
    /// Listens on a free loopback port.
    pub fn start(targets: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(State { accepted: AtomicUsize::new(0), stop: AtomicBool::new(false) });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if shared.stop.load(Ordering::Relaxed) {
                    return;
                }
                let number = shared.accepted.fetch_add(1, Ordering::Relaxed);
                let target = targets[number.min(targets.len() - 1)];
                if let (Ok(client), Ok(server)) = (client, TcpStream::connect(target)) {
                    join(&client, &server).expect("two sockets");
                }
            }
        });
        Self { address, state }
    }

    /// `localhost:PORT`, as a join line has it.
    pub fn endpoint(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// How many connections came.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// Copies both ways until both ends have closed.
fn join(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    for (from, to) in [(client, server), (server, client)] {
        from.set_nodelay(true)?;
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        std::thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    Ok(())
}
