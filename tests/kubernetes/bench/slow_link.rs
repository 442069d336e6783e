//! A long way to the API server: a relay that holds back all that passes, and counts the flights.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

/// A relay on a loopback port, for as long as this process lives.
pub struct Link {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    round_trip: Duration,
    connections: usize,
    flights: usize,
    /// Whether the last bytes went towards the server.
    asking: bool,
}

/// What passed since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    pub connections: usize,
    /// Flights of the client that the server answered, the first of TCP among them.
    pub round_trips: usize,
}

impl Link {
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                // The system accepts at once: the round trip of TCP's handshake is held back with the first bytes.
                let handshake = {
                    let mut state = shared.lock().unwrap();
                    state.connections += 1;
                    state.round_trip
                };
                let (client, server) = (client.unwrap(), TcpStream::connect(target).unwrap());
                relay(&client, &server, true, handshake, &shared);
                relay(&server, &client, false, Duration::ZERO, &shared);
            }
        });
        Self { port, state }
    }

    /// From now on a round trip takes so long.
    pub fn set(&self, round_trip: Duration) {
        *self.state.lock().unwrap() = State { round_trip, ..State::default() };
    }

    /// What passed since the last look.
    pub fn passed(&self) -> Passed {
        let mut state = self.state.lock().unwrap();
        let passed =
            Passed { connections: state.connections, round_trips: state.connections + state.flights };
        *state = State { round_trip: state.round_trip, ..State::default() };
        passed
    }
}

/// Copies one way: one thread takes what comes with the moment at which it is due, another one hands it on.
fn relay(from: &TcpStream, to: &TcpStream, asking: bool, late: Duration, state: &Arc<Mutex<State>>) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    to.set_nodelay(true).unwrap();
    let (sender, due) = mpsc::channel::<(Instant, Vec<u8>)>();
    let state = Arc::clone(state);
    let open = Instant::now() + late;
    thread::spawn(move || {
        let mut buffer = [0; 16384];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let mut state = state.lock().unwrap();
            if asking && !state.asking {
                state.flights += 1;
            }
            state.asking = asking;
            let at = Instant::now().max(open) + state.round_trip / 2;
            let _ = sender.send((at, buffer[..count].to_vec()));
        }
    });
    thread::spawn(move || {
        for (at, bytes) in due {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
