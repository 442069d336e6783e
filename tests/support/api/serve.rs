//! The threads of the server: one accepts, one per connection reads requests and writes answers.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;

use super::Shared;
use super::http::{Body, Piece, Reply, Request};
use super::tls::{self, Stream};

/// A connection after its handshake.
struct Line<'a> {
    stream: Stream,
    number: usize,
    shared: &'a Shared,
}

/// Accepts connections until the server is dropped.
pub fn accept(listener: &TcpListener, config: &Arc<ServerConfig>, shared: &Arc<Shared>) {
    for socket in listener.incoming() {
        if shared.stopped() {
            return;
        }
        let Ok(socket) = socket else { continue };
        let (config, shared) = (Arc::clone(config), Arc::clone(shared));
        std::thread::spawn(move || converse(socket, &config, &shared));
    }
}

/// One connection from handshake to end. A client that goes away ends it, whatever was being sent.
fn converse(socket: TcpStream, config: &Arc<ServerConfig>, shared: &Shared) {
    let _ = socket.set_nodelay(true);
    let number = {
        let mut log = shared.log.lock().expect("log");
        log.connections.push(tls::Connection::default());
        log.connections.len() - 1
    };
    let (seen, stream) = tls::handshake(socket, config);
    shared.log.lock().expect("log").connections[number] = seen;
    shared.logged.notify_all();
    let Some(stream) = stream else { return };
    let mut line = Line { stream, number, shared };
    while let Ok(Some(mut request)) = Request::read(number, &mut line.stream) {
        let client = line.stream.conn.peer_certificates().and_then(<[_]>::first);
        request.client = client.map(|certificate| certificate.to_vec());
        if let Some(golden) = &shared.golden {
            golden.note(&request);
        }
        shared.log.lock().expect("log").requests.push(request.clone());
        shared.logged.notify_all();
        let reply = shared.answer(&request);
        if send(&mut line, &reply).is_err() || reply.close {
            break;
        }
    }
    line.stream.conn.send_close_notify();
    let _ = line.stream.flush();
}

/// Writes one answer.
fn send(line: &mut Line<'_>, reply: &Reply) -> io::Result<()> {
    std::thread::sleep(reply.delay);
    let head = reply.head();
    match &reply.body {
        // In one write, as Go does for a small answer.
        Body::Whole(body) => write(line, &[head.as_bytes(), body].concat()),
        Body::Raw(pieces) => send_pieces(line, pieces, <[u8]>::to_vec),
        Body::Chunked(pieces) => {
            write(line, head.as_bytes())?;
            send_pieces(line, pieces, chunk)?;
            if reply.close { Ok(()) } else { write(line, b"0\r\n\r\n") }
        }
        Body::Events { name, version, timeout } => {
            write(line, head.as_bytes())?;
            send_events(line, name, *version, *timeout)?;
            write(line, b"0\r\n\r\n")
        }
    }
}

fn send_pieces(line: &mut Line<'_>, pieces: &[Piece], frame: fn(&[u8]) -> Vec<u8>) -> io::Result<()> {
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => write(line, &frame(bytes))?,
            Piece::Pause(time) => std::thread::sleep(*time),
            Piece::Repeat(bytes, interval) => {
                let framed = frame(bytes);
                while !line.shared.stopped() {
                    write(line, &framed)?;
                    std::thread::sleep(*interval);
                }
            }
            Piece::Hold => {
                let mut byte = [0];
                let _ = line.stream.read(&mut byte)?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
    }
    Ok(())
}

/// The cluster's events as they come, each a chunk.
fn send_events(line: &mut Line<'_>, name: &str, mut version: u64, timeout: Duration) -> io::Result<()> {
    let shared = line.shared;
    let end = Instant::now() + timeout;
    let mut cluster = shared.cluster();
    while !shared.stopped() && Instant::now() < end {
        let events = cluster.events_after(version, name);
        if events.is_empty() {
            // Short, so that a server that was dropped does not keep its threads.
            let wait = Duration::from_millis(100).min(end.saturating_duration_since(Instant::now()));
            cluster = shared.changed.wait_timeout(cluster, wait).expect("cluster").0;
            continue;
        }
        drop(cluster);
        for (number, event) in events {
            version = number;
            write(line, &chunk(format!("{event}\n").as_bytes()))?;
        }
        cluster = shared.cluster();
    }
    Ok(())
}

/// Writes and sends at once, and counts what the client has taken.
fn write(line: &mut Line<'_>, bytes: &[u8]) -> io::Result<()> {
    line.stream.write_all(bytes)?;
    line.stream.flush()?;
    line.shared.log.lock().expect("log").connections[line.number].sent += bytes.len();
    Ok(())
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}
