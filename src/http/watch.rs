//! A watch: a response that does not end, one JSON event a line (`k8s.io/apiserver/pkg/endpoints/handlers/watch.go`).

use std::io::{self, Read as _};
use std::sync::Arc;

use super::connection::Peer;
use crate::limits;

/// The open response to a watch request.
pub struct Watch {
    reader: ureq::BodyReader<'static>,
    peer: Arc<Peer>,
    buffer: Vec<u8>,
    /// How much of the buffer is known to hold no line break.
    searched: usize,
}

/// What a look at the watch brought.
#[derive(Debug)]
pub enum WatchEvent {
    /// One complete event.
    Event(Vec<u8>),
    /// Nothing for [`limits::WATCH_TICK`].
    Quiet,
    /// The server ended it, or it broke, or an event was longer than [`limits::EVENT_BYTES`]: watch again.
    Ended,
}

impl Watch {
    pub(super) fn new(body: ureq::Body, peer: Arc<Peer>) -> Self {
        peer.set_wake_interval(Some(limits::WATCH_TICK));
        let reader = body.into_with_config().limit(u64::MAX).reader();
        Self { reader, peer, buffer: Vec::new(), searched: 0 }
    }

    /// Waits for the next event, however many pieces it comes in.
    pub fn wait(&mut self) -> WatchEvent {
        loop {
            if let Some(end) = self.buffer[self.searched..].iter().position(|b| *b == b'\n') {
                let rest = self.buffer.split_off(self.searched + end + 1);
                let mut event = std::mem::replace(&mut self.buffer, rest);
                self.searched = 0;
                event.pop();
                return WatchEvent::Event(event);
            }
            self.searched = self.buffer.len();
            if self.searched > limits::EVENT_BYTES {
                return WatchEvent::Ended;
            }
            let mut piece = [0; 4096];
            match self.reader.read(&mut piece) {
                Ok(0) => return WatchEvent::Ended,
                Ok(n) => self.buffer.extend_from_slice(&piece[..n]),
                Err(e) if is_timeout(&e) => return WatchEvent::Quiet,
                Err(_) => return WatchEvent::Ended,
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.peer.set_wake_interval(None);
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.get_ref().and_then(|inner| inner.downcast_ref()), Some(ureq::Error::Timeout(_)))
}
