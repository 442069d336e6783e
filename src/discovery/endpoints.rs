//! The endpoints, asked one after the other until one of them leads to a cluster that can be trusted.

use crate::error::{Error, ErrorKind, Result, Retry, Step};
use crate::http::Unverified;
use crate::trust::TrustedCluster;

/// Which of the endpoints is asked next.
pub(super) struct EndpointRotation {
    peers: Vec<Unverified>,
    next: usize,
    /// The route to the one that was asked last.
    asked: String,
}

impl EndpointRotation {
    /// Rotates over these, in this order; over none where no server is contacted.
    pub(super) fn new(peers: Vec<Unverified>) -> Self {
        Self { peers, next: 0, asked: String::new() }
    }

    /// Has `fetch` ask the next one and check the content, and then `verify` the connection, which is used up by that. One
    /// whose failure is not retryable is asked no more.
    ///
    /// # Errors
    /// What `fetch` or `verify` says, retryable: anybody may have responded, so that nothing in a response is final.
    /// What does not verify may do so in a moment, when a changed cluster-info is signed, or when another server of
    /// that name responds.
    pub(super) fn ask<T>(
        &mut self,
        fetch: impl FnOnce(&Unverified) -> Result<T>,
        verify: impl FnOnce(T, Unverified) -> Result<TrustedCluster>,
    ) -> Result<TrustedCluster> {
        let index = self.next;
        self.next = (index + 1) % self.peers.len();
        let is_one_of_many = self.peers.len() > 1;
        let peer = &mut self.peers[index];
        self.asked = peer.route();
        // An error about content does not say whose it is; one about a connection does.
        let from = |error: Error| match error.step() {
            Step::Trust if is_one_of_many => error.with_note(&format!(" (from {})", self.asked)),
            _ => error,
        };
        let attempt = fetch(peer).map_err(from).and_then(|content| {
            let next = peer.without_connection()?;
            verify(content, std::mem::replace(peer, next))
        });
        attempt.map_err(retryable).inspect_err(|error| {
            if error.retry() == Retry::Never {
                self.remove(index);
            }
        })
    }

    /// Removes one, and all others behind the same proxy, which may be what is wrong: asked in vain too often, it locks an
    /// account.
    fn remove(&mut self, removed: usize) {
        let is_proxied = self.peers[removed].is_proxied();
        let next = self.next;
        let mut index = 0;
        self.peers.retain(|peer| {
            let stays = index != removed && !(is_proxied && peer.is_proxied());
            if !stays && index < next {
                self.next -= 1;
            }
            index += 1;
            stays
        });
        if self.next >= self.peers.len() {
            self.next = 0;
        }
    }

    /// Whether, after this failure, others are to be asked before a pause.
    pub(super) fn has_more(&self, error: &Error) -> bool {
        self.next != 0 || error.retry() == Retry::Never && !self.peers.is_empty()
    }

    /// The route to the one that was asked last; empty where no server is contacted.
    pub(super) fn asked(&self) -> &str {
        &self.asked
    }
}

/// The failure of a response that another one may mend: what does not verify is asked for again, as a refused credential
/// is.
pub(super) fn retryable(error: Error) -> Error {
    match (error.kind(), error.retry()) {
        (ErrorKind::NotTrusted, Retry::Never) => error.with_retry(Retry::Briefly(None)),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use super::*;
    use crate::clock::Clock;
    use crate::clock::fake::FakeClock;
    use crate::error::Step;
    use crate::http::{Endpoint, NameSources, Proxies, System, SystemNetwork, Traffic};

    /// Which of `a`, `b`, `c` and `d` are asked, of which `direct` are behind no proxy, until none is left or ten times; after
    /// each `.` where a pause follows. Those in `final_at` fail for good.
    fn asked(direct: &str, final_at: &str) -> String {
        let clock: Arc<dyn Clock> = Arc::new(FakeClock::at(SystemTime::UNIX_EPOCH));
        let proxies = Proxies::from_environment(|name| match name {
            "HTTPS_PROXY" => Some("http://proxy:3128".to_owned()),
            "NO_PROXY" => Some(direct.split("").collect::<Vec<_>>().join(",")),
            _ => None,
        });
        let network = Arc::new(SystemNetwork::new(clock.clone(), NameSources::of_system()));
        let system =
            System { clock, network, proxies: Arc::new(proxies), traffic: Arc::new(Traffic::default()) };
        let endpoints = Endpoint::parse_list("a:1,b:1,c:1,d:1").unwrap();
        let mut rotation = EndpointRotation::new(Unverified::to_each(&system, &endpoints).unwrap());
        let mut asked = String::new();
        for _ in 0..10 {
            if rotation.peers.is_empty() {
                break;
            }
            let fetch = |peer: &Unverified| {
                let is_final = final_at.contains(peer.endpoint().host());
                let retry = if is_final { Retry::Never } else { Retry::UntilDeadline(None) };
                Err::<(), _>(Error::new(Step::Discovery, ErrorKind::Unreachable, "no").with_retry(retry))
            };
            let error = rotation.ask(fetch, |(), _| unreachable!()).unwrap_err();
            asked.push_str(&rotation.asked()[..1]);
            if !rotation.has_more(&error) {
                asked.push('.');
            }
        }
        asked
    }

    #[test]
    fn each_endpoint_is_asked_in_turn_until_it_fails_for_good() {
        for (direct, final_at, expected) in [
            ("abcd", "", "abcd.abcd.ab"),
            ("abcd", "a", "abcd.bcd.bcd."),
            ("abcd", "b", "abcd.acd.acd."),
            ("abcd", "d", "abcdabc.abc."),
            ("abcd", "cd", "abcdab.ab.ab."),
            ("abcd", "abcd", "abcd."),
        ] {
            assert_eq!(asked(direct, final_at), expected, "{final_at}");
        }
    }

    /// Behind the same proxy are all but the direct ones.
    #[test]
    fn with_an_endpoint_all_behind_its_proxy_are_left() {
        for (direct, final_at, expected) in [
            ("", "a", "a."),
            ("", "c", "abc."),
            ("bd", "a", "abd.bd.bd.bd.b"),
            ("bd", "c", "abcd.bd.bd.bd."),
            ("ab", "d", "abcdab.ab.ab."),
            ("bd", "b", "abcd.acd.acd."),
        ] {
            assert_eq!(asked(direct, final_at), expected, "{direct} {final_at}");
        }
    }
}
