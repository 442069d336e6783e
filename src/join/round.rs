//! The endpoints, asked one after the other until one of them leads to a cluster that can be trusted.

use std::time::Duration;

use crate::discovery::{self, ClusterInfo};
use crate::error::Result;
use crate::http::Unverified;
use crate::trust::{SignedCluster, TrustedCluster};

/// Whose turn it is among the endpoints.
pub(super) struct Round {
    peers: Vec<Unverified>,
    turn: usize,
    route: String,
}

impl Round {
    /// A round over these, in this order; of none where nobody is asked.
    pub(super) fn of(peers: Vec<Unverified>) -> Self {
        Self { peers, turn: 0, route: String::new() }
    }

    /// Asks the one whose turn it is for cluster-info and has it judged, the content first, then the connection, which
    /// is used up by that.
    ///
    /// # Errors
    /// As of [`discovery::fetch`], `judge` and [`SignedCluster::over`].
    pub(super) fn ask(
        &mut self,
        token_id: &str,
        timeout: Duration,
        judge: impl Fn(&ClusterInfo) -> Result<SignedCluster>,
    ) -> Result<TrustedCluster> {
        let turn = self.turn;
        self.turn = (turn + 1) % self.peers.len();
        let peer = &mut self.peers[turn];
        let signed = discovery::fetch(peer, token_id, timeout).and_then(|info| judge(&info))?;
        self.route = peer.route();
        let next = peer.anew()?;
        signed.over(std::mem::replace(peer, next))
    }

    /// Whether others are still to be asked before it is worth a pause.
    pub(super) fn goes_on(&self) -> bool {
        self.turn != 0
    }

    /// The way to the one that answered.
    pub(super) fn route(&self) -> &str {
        &self.route
    }
}
