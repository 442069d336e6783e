//! HTTP over one connection, in two states that are two types.
//!
//! [`Unverified`] can fetch, and has no way to be given a credential. [`Unverified::verify`] checks the chain that the
//! very connection in use has shown and turns it into [`Verified`], which sends the token. No other function makes a
//! `Verified` but [`Verified::dial`], whose handshakes are all verified, and which alone can show a client certificate.
//! A `Verified` is worth as much as its [`Roots`], for which the caller answers. This module is the only user of ureq and rustls.

mod address;
mod buffers;
mod chain;
mod client;
mod client_auth;
mod connection;
mod network;
mod problem;
mod proxy;
mod response;
mod resolver;
mod retry_after;
mod signatures;
mod tls;
mod watch;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ureq::http::Method;

pub use address::{Endpoint, ServerUrl};
pub use chain::Roots;
pub use client_auth::{Bearer, ClientIdentity, HandshakeSignature, SignsHandshake};
pub use network::{Network, Socket, SystemNetwork};
pub use proxy::Proxies;
pub use resolver::NameSources;
pub use response::{Response, first_words, unreadable};
pub use signatures::checks_key;
pub use watch::{Watch, WatchEvent};

use crate::clock::{Clock, shuffle};
use crate::error::{Error, ErrorKind, Result, Retry, Step};
use client::Client;
use client_auth::Credential;
use tls::ServerCertificate;

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
    requests: AtomicU32,
    handshakes: AtomicU32,
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

/// A connection whose server is not known yet. It sends no credential of any kind.
#[derive(Debug)]
pub struct Unverified(Client);

impl Unverified {
    /// Prepares to talk to each of `endpoints`, in a shuffled order; the first request to one dials it. Where there are
    /// several, one that keeps silent is given up soon.
    ///
    /// # Errors
    /// A usage error when one is to be reached through a proxy that cannot be used.
    pub fn to_each(system: &System, endpoints: &[Endpoint]) -> Result<Vec<Self>> {
        let has_fallback = endpoints.len() > 1;
        let prepare = |endpoint| Self::to_one(system, endpoint, has_fallback);
        let mut peers = endpoints.iter().map(prepare).collect::<Result<Vec<_>>>()?;
        shuffle(&*system.clock, &mut peers);
        Ok(peers)
    }

    fn to_one(system: &System, endpoint: &Endpoint, has_fallback: bool) -> Result<Self> {
        let config = tls::client_config(ServerCertificate::Unverified, None, system.clock.clone());
        Ok(Self(Client::new(system, endpoint, "", config.map_err(internal)?, has_fallback)?))
    }

    /// Another one to the same endpoint, which dials with its first request.
    ///
    /// # Errors
    /// A usage error when it is to be reached through a proxy that cannot be used.
    pub fn without_connection(&self) -> Result<Self> {
        let Client { peer, system, .. } = &self.0;
        Self::to_one(system, peer.endpoint(), peer.has_fallback())
    }

    /// Fetches `path`. What comes back may be forged.
    ///
    /// # Errors
    /// Any failure to get a complete response within `timeout`, until the deadline: [`ErrorKind::Unreachable`], or
    /// [`ErrorKind::NotTrusted`] when the peer does not hold the key of its certificate. A proxy's 407 is final.
    pub fn get(&self, path: &str, timeout: Duration) -> Result<Response> {
        self.0.send(Method::GET, path, None, None, timeout).and_then(|answer| self.0.read(answer)).map_err(
            |e| {
                match self.0.failure(Step::Discovery, &e) {
                    // Whoever answers here is not trusted yet; another response may be the right one.
                    error if error.kind() == ErrorKind::NotTrusted => {
                        error.with_retry(Retry::UntilDeadline(None))
                    }
                    error => error,
                }
            },
        )
    }

    /// The endpoint that is dialled.
    pub fn endpoint(&self) -> &Endpoint {
        self.0.peer.endpoint()
    }

    /// Whether it is reached through a proxy.
    pub fn is_proxied(&self) -> bool {
        self.0.peer.proxy().is_some()
    }

    /// The endpoint and the proxy on the way to it, for messages.
    pub fn route(&self) -> String {
        self.0.to_string()
    }

    /// Verifies the chain that the connection in use has shown, by the rules of any verified handshake.
    ///
    /// # Errors
    /// [`ErrorKind::NotTrusted`] when the chain does not lead to `roots` or does not name the endpoint;
    /// [`ErrorKind::Clock`] when only the time is wrong.
    pub fn check_chain(&self, roots: &Roots) -> Result<()> {
        let peer = &self.0.peer;
        let name = peer.endpoint().server_name();
        let now = self.0.system.clock.now();
        (roots.0.verify(&peer.chain(), &name, now))
            .map_err(|problem| self.0.certificate_failure(Step::Trust, &problem))
    }

    /// Turns the connection in use into a verified one, and has every later redial verified too.
    ///
    /// # Errors
    /// [`ErrorKind::NotTrusted`] when the chain does not lead to `roots` or does not name the endpoint;
    /// [`ErrorKind::Clock`] when only the time is wrong.
    pub fn verify(self, roots: &Roots, path: &ServerUrl) -> Result<Verified> {
        self.check_chain(roots)?;
        let verified = ServerCertificate::Verified(roots.0.clone());
        self.0
            .peer
            .switch(tls::client_config(verified, None, self.0.system.clock.clone()).map_err(internal)?);
        let mut client = self.0;
        client.base.push_str(path.path());
        Ok(Verified(client))
    }

    /// Drops this connection for a verified one to another server, which the first request dials.
    ///
    /// # Errors
    /// A usage error when it is to be reached through a proxy that cannot be used.
    pub fn switch_to(self, server: &ServerUrl, roots: &Roots) -> Result<Verified> {
        Verified::dial(&self.0.system, server, roots, None)
    }
}

/// A connection whose every byte is exchanged with a server that a trusted CA vouches for.
#[derive(Debug)]
pub struct Verified(Client);

impl Verified {
    /// Prepares to talk to `server`, which will know this machine by `identity` where one is given; the first request
    /// dials, and the handshake is verified.
    ///
    /// # Errors
    /// A usage error when it is to be reached through a proxy that cannot be used.
    pub fn dial(
        system: &System,
        server: &ServerUrl,
        roots: &Roots,
        identity: Option<ClientIdentity>,
    ) -> Result<Self> {
        let certificate = ServerCertificate::Verified(roots.0.clone());
        let config = tls::client_config(certificate, identity, system.clock.clone()).map_err(internal)?;
        Ok(Self(Client::new(system, server.endpoint(), server.path(), config, false)?))
    }

    /// Dials now instead of with the next request, which will use that connection, and returns this machine's own address
    /// on it.
    ///
    /// # Errors
    /// What ends a request without a response.
    pub fn local_address(&self, step: Step, timeout: Duration) -> Result<Option<IpAddr>> {
        self.0.peer.preconnect(timeout).map_err(|e| self.0.failure(step, &e.into()))
    }

    /// Sends one request, with a bearer token where one is given, and reads the complete response, whatever its status.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] until the deadline; [`ErrorKind::NotTrusted`] and [`ErrorKind::Clock`] when a redial
    /// met a server that does not verify; what keeps the token from being read.
    pub fn call(
        &self,
        step: Step,
        path: &str,
        bearer: Option<&Bearer>,
        body: Option<Vec<u8>>,
        timeout: Duration,
    ) -> Result<Response> {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let authorization = bearer.map(Bearer::header).transpose()?;
        let credential = Credential::of(authorization.as_ref());
        self.0
            .send(method, path, authorization, body, timeout)
            .and_then(|answer| self.0.read(answer))
            .map(|response| response.with_credential(credential))
            .map_err(|e| self.0.failure(step, &e))
    }

    /// Begins a watch: the response's lines come one by one. Any status but 200 is returned as a complete response.
    ///
    /// # Errors
    /// What ends a request without a response.
    pub fn watch(
        &self,
        step: Step,
        path: &str,
        bearer: Option<&Bearer>,
        timeout: Duration,
    ) -> Result<std::result::Result<Watch, Response>> {
        let authorization = bearer.map(Bearer::header).transpose()?;
        let credential = Credential::of(authorization.as_ref());
        let response = (self.0.send(Method::GET, path, authorization, None, timeout))
            .map_err(|e| self.0.failure(step, &e))?;
        if response.status() == 200 {
            return Ok(Ok(Watch::new(response.into_body(), self.0.peer.clone())));
        }
        let response = self.0.read(response).map_err(|e| self.0.failure(step, &e))?;
        Ok(Err(response.with_credential(credential)))
    }
}

fn internal(error: rustls::Error) -> Error {
    Error::new(Step::Discovery, ErrorKind::Internal, "the TLS configuration is not usable").caused_by(error)
}
