//! What is around the program, passed in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::network::Network;
use super::proxy::Proxies;
use crate::clock::Clock;

/// The surroundings that are passed in: the clock, the network and the proxies on it.
#[derive(Clone, Debug)]
pub struct System {
    /// Wall time, running time and sleep.
    pub clock: Arc<dyn Clock>,
    /// How connections are made.
    pub network: Arc<dyn Network>,
    /// What stands between, as the environment says.
    pub proxies: Arc<Proxies>,
    /// What was sent so far.
    pub traffic: Arc<Traffic>,
}

/// Counts for the report.
#[derive(Debug, Default)]
pub struct Traffic {
    pub(super) requests: AtomicU32,
    pub(super) handshakes: AtomicU32,
}

impl Traffic {
    /// HTTP requests that were answered.
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// TLS handshakes completed.
    pub fn handshakes(&self) -> u32 {
        self.handshakes.load(Ordering::Relaxed)
    }
}
