//! The endpoints, asked one after the other until one of them leads to a cluster that can be trusted.

use std::time::Duration;

use crate::discovery::{self, ClusterInfo};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::http::Unverified;
use crate::trust::{SignedCluster, TrustedCluster};

/// Whose turn it is among the endpoints.
pub(super) struct Round {
    peers: Vec<Unverified>,
    turn: usize,
    /// The way to the one that was asked last.
    asked: String,
}

impl Round {
    /// A round over these, in this order; of none where nobody is asked.
    pub(super) fn of(peers: Vec<Unverified>) -> Self {
        Self { peers, turn: 0, asked: String::new() }
    }

    /// Asks the one whose turn it is for cluster-info and has it judged, the content first, then the connection, which
    /// is used up by that. One that no waiting heals is asked no more.
    ///
    /// # Errors
    /// As of [`discovery::fetch`], `judge` and [`SignedCluster::over`]. Anybody may have answered, so that nothing in an
    /// answer is final: what does not verify may do so in a moment, when a changed cluster-info is signed, or when another
    /// server of that name answers.
    pub(super) fn ask(
        &mut self,
        token_id: &str,
        timeout: Duration,
        judge: impl Fn(&ClusterInfo) -> Result<SignedCluster>,
    ) -> Result<TrustedCluster> {
        let turn = self.turn;
        self.turn = (turn + 1) % self.peers.len();
        self.trust(turn, token_id, timeout, judge).map_err(again).inspect_err(|error| {
            if error.retry() == Retry::Never {
                self.leave(turn);
            }
        })
    }

    fn trust(
        &mut self,
        turn: usize,
        token_id: &str,
        timeout: Duration,
        judge: impl Fn(&ClusterInfo) -> Result<SignedCluster>,
    ) -> Result<TrustedCluster> {
        let peer = &mut self.peers[turn];
        self.asked = peer.route();
        let signed = discovery::fetch(peer, token_id, timeout).and_then(|info| judge(&info))?;
        let next = peer.anew()?;
        signed.over(std::mem::replace(peer, next))
    }

    /// Leaves one out from now on, and all others behind the same proxy, which may be what is wrong: asked in vain too
    /// often, it locks an account.
    fn leave(&mut self, left: usize) {
        let is_proxied = self.peers[left].is_proxied();
        let asked = self.turn;
        let mut index = 0;
        self.peers.retain(|peer| {
            let stays = index != left && !(is_proxied && peer.is_proxied());
            if !stays && index < asked {
                self.turn -= 1;
            }
            index += 1;
            stays
        });
        if self.turn >= self.peers.len() {
            self.turn = 0;
        }
    }

    /// Whether, behind this failure, others are to be asked before it is worth a pause.
    pub(super) fn goes_on(&self, error: &Error) -> bool {
        self.turn != 0 || error.retry() == Retry::Never && !self.peers.is_empty()
    }

    /// The way to the one that was asked last; empty where nobody is asked.
    pub(super) fn asked(&self) -> &str {
        &self.asked
    }
}

/// The failure of an answer that another one may mend: what does not verify is asked for again, as a refused credential
/// is.
pub(super) fn again(error: Error) -> Error {
    match (error.kind(), error.retry()) {
        (ErrorKind::NotTrusted, Retry::Never) => error.with_retry(Retry::Briefly(None)),
        _ => error,
    }
}
