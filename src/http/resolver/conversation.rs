//! One question put to one name server, over a socket of its own that never blocks.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::packet::{self, Answer, Question};
use crate::limits;

/// A question that is under way.
#[derive(Debug)]
pub(super) struct Conversation {
    /// Who is asked.
    pub server: SocketAddr,
    /// Until when an answer counts.
    pub until: Instant,
    id: u16,
    channel: Channel,
}

#[derive(Debug)]
enum Channel {
    Udp(UdpSocket),
    /// What is still to be sent, and what came so far.
    Tcp(TcpStream, Vec<u8>, Vec<u8>),
}

/// A socket to `target` that never blocks, or that will be: TCP connects meanwhile. From UDP the system takes nothing that
/// another sends than `target`; it draws the port.
pub(super) fn connected(target: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let family = if target.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    match connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(e) => Err(e.into()),
    }
}

impl Conversation {
    /// Asks.
    ///
    /// # Errors
    /// The system's, such as a network that cannot be reached.
    pub fn open(
        server: SocketAddr,
        until: Instant,
        id: u16,
        question: Question,
        (use_tcp, trust_ad): (bool, bool),
    ) -> io::Result<Self> {
        let message = packet::encode(id, question, trust_ad);
        let channel = if use_tcp {
            let length = u16::try_from(message.len()).unwrap_or_default().to_be_bytes();
            let stream = TcpStream::from(connected(server, SocketType::STREAM)?);
            Channel::Tcp(stream, [&length[..], &message].concat(), Vec::new())
        } else {
            let socket = UdpSocket::from(connected(server, SocketType::DGRAM)?);
            socket.send(&message)?;
            Channel::Udp(socket)
        };
        Ok(Self { server, until, id, channel })
    }

    /// What to wait for before the next [`Self::receive`].
    pub fn readiness(&self) -> PollFd<'_> {
        match &self.channel {
            Channel::Udp(socket) => PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN),
            Channel::Tcp(stream, unsent, _) => {
                let flags = if unsent.is_empty() { PollFlags::IN } else { PollFlags::OUT };
                PollFd::from_borrowed_fd(stream.as_fd(), flags)
            }
        }
    }

    /// Looks for the answer, without waiting. What does not answer this question may be forged: it is passed over.
    ///
    /// # Errors
    /// The system's: the server refuses, or is unreachable.
    pub fn receive(&mut self, question: Question) -> io::Result<Option<Answer>> {
        match self.exchange(question) {
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
            other => other,
        }
    }

    fn exchange(&mut self, question: Question) -> io::Result<Option<Answer>> {
        match &mut self.channel {
            Channel::Udp(socket) => {
                let mut buffer = [0; limits::DNS_DATAGRAM as usize];
                let length = socket.recv(&mut buffer)?;
                Ok(packet::read(&buffer[..length], self.id, question, false))
            }
            Channel::Tcp(stream, unsent, received) => {
                while !unsent.is_empty() {
                    let sent = stream.write(unsent)?;
                    unsent.drain(..sent);
                }
                let mut piece = [0; limits::DNS_DATAGRAM as usize];
                let length = stream.read(&mut piece)?;
                received.extend(&piece[..length]);
                let whole = received
                    .split_first_chunk()
                    .and_then(|(length, message)| message.get(..usize::from(u16::from_be_bytes(*length))));
                match whole {
                    // Nobody else speaks on this connection: what is not an answer is the server's own.
                    Some(message) => {
                        let answer = packet::read(message, self.id, question, true);
                        Ok(Some(answer.unwrap_or_else(packet::invalid)))
                    }
                    None if length == 0 => Ok(Some(Answer::Unusable("closed the connection".to_owned()))),
                    None => Ok(None),
                }
            }
        }
    }
}
