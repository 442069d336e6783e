//! HTTP over one connection, in two states that are two types.
//!
//! [`Unverified`] can fetch, and has no way to be given a credential. [`Unverified::verify`] judges the chain that the
//! very connection in use has shown and turns it into [`Verified`], which sends the token. No other function makes a
//! `Verified` but [`Verified::dial`], whose handshakes are all verified, and which alone can show a client certificate. This module is the only user of ureq and rustls.

mod address;
mod client_auth;
mod connection;
mod network;
mod proxy;
mod reply;
mod tls;
mod watch;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use ureq::http::{Method, Request, Response};

pub use address::{Endpoint, ServerUrl};
pub use client_auth::{ClientIdentity, SignsHandshake};
pub use network::{Network, Socket, SystemNetwork};
pub use proxy::Proxies;
pub use reply::Reply;
pub use watch::{Next, Watch};

use crate::clock::{Clock, shuffle};
use crate::error::{Error, Failure, Result, Retry, Step};
use crate::limits;
use crate::secret::Secret;
use crate::x509::Certificate;
use connection::{Dialler, Line, NoLookup};
use proxy::Refusal;
use tls::ServerCertificate;

/// `User-Agent`, in the form that Kubernetes' own components use: name/version (os/architecture), with Go's names.
const USER_AGENT: &str =
    concat!("nodestrap/", env!("CARGO_PKG_VERSION"), " (linux/", env!("NODESTRAP_GOARCH"), ")");

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
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// TLS handshakes completed.
    #[must_use]
    pub fn handshakes(&self) -> u32 {
        self.handshakes.load(Ordering::Relaxed)
    }
}

/// One endpoint with its kept connection.
#[derive(Debug)]
struct Client {
    agent: ureq::Agent,
    line: Arc<Line>,
    system: System,
    /// What stands before every path.
    base: String,
}

/// What errors call the server: its URL, and the proxy on the way.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)?;
        match self.line.proxy() {
            Some(proxy) => write!(f, " through the proxy {proxy}"),
            None => Ok(()),
        }
    }
}

impl Client {
    fn new(
        system: &System,
        endpoint: &Endpoint,
        path: &str,
        config: Arc<ClientConfig>,
        hurry: bool,
    ) -> Result<Self> {
        let line = Line::new(endpoint.clone(), system, config, hurry)?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .https_only(true)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(USER_AGENT)
            .accept("application/json")
            .accept_encoding(ureq::config::AutoHeaderValue::None)
            .max_response_header_size(limits::HEADER_BYTES)
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .max_idle_age(limits::WATCH)
            .build();
        let agent = ureq::Agent::with_parts(config, Dialler(line.clone()), NoLookup);
        let base = format!("https://{endpoint}{path}");
        Ok(Self { agent, line, system: system.clone(), base })
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        authorization: Option<HeaderValue>,
        body: Option<Vec<u8>>,
        timeout: Duration,
    ) -> std::result::Result<Response<ureq::Body>, ureq::Error> {
        // A watch lasts long; its connection and its header must not.
        let head = Some(timeout.min(limits::REQUEST));
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let response = match body {
            Some(body) => {
                let request = request.header(CONTENT_TYPE, "application/json").body(body)?;
                self.agent.run(self.agent.configure_request(request).timeout_global(head).build())
            }
            None => {
                let request = request.body(())?;
                let config = self.agent.configure_request(request).timeout_global(Some(timeout));
                self.agent.run(config.timeout_connect(head).timeout_recv_response(head).build())
            }
        }?;
        self.system.traffic.requests.fetch_add(1, Ordering::Relaxed);
        Ok(response)
    }

    fn failure(&self, step: Step, error: ureq::Error) -> Error {
        let inner = match &error {
            ureq::Error::Io(io) => io.get_ref(),
            _ => None,
        };
        if let Some(tls @ rustls::Error::InvalidCertificate(_)) = inner.and_then(|inner| inner.downcast_ref())
        {
            return self.certificate_failure(step, tls).caused_by(error);
        }
        if let Some(refusal) = inner.and_then(|inner| inner.downcast_ref::<Refusal>()) {
            return refusal.failure(step);
        }
        let message = format!("no answer from {self}; check the address and the network");
        Error::new(step, Failure::Unreachable, message).healing(Retry::UntilDeadline(None)).caused_by(error)
    }

    fn certificate_failure(&self, step: Step, error: &rustls::Error) -> Error {
        if tls::is_about_time(error) {
            let message =
                format!("the certificate of {self} is not valid at this machine's time; set the clock");
            return Error::new(step, Failure::Clock, message).healing(Retry::UntilDeadline(None));
        }
        let message =
            format!("the certificate of {self} does not verify against the cluster's CA; check the address");
        Error::new(step, Failure::NotTrusted, message)
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
        let hurry = endpoints.len() > 1;
        let prepare = |endpoint| Self::to_one(system, endpoint, hurry);
        let mut peers = endpoints.iter().map(prepare).collect::<Result<Vec<_>>>()?;
        shuffle(&*system.clock, &mut peers);
        Ok(peers)
    }

    fn to_one(system: &System, endpoint: &Endpoint, hurry: bool) -> Result<Self> {
        let config = tls::client_config(ServerCertificate::Recorded, None, system.clock.clone());
        Ok(Self(Client::new(system, endpoint, "", config.map_err(internal)?, hurry)?))
    }

    /// The same anew, without any connection.
    ///
    /// # Errors
    /// As [`Self::to_each`].
    pub fn anew(&self) -> Result<Self> {
        let Client { line, system, .. } = &self.0;
        Self::to_one(system, line.endpoint(), line.hurry())
    }

    /// Fetches `path`. What comes back may be forged.
    ///
    /// # Errors
    /// Any failure to get a whole answer within `timeout`, until the deadline: [`Failure::Unreachable`], or
    /// [`Failure::NotTrusted`] when the peer does not hold the key of its certificate. A proxy's 407 is final.
    pub fn get(&self, path: &str, timeout: Duration) -> Result<Reply> {
        self.0.send(Method::GET, path, None, None, timeout).and_then(Reply::read).map_err(|e| {
            match self.0.failure(Step::Discovery, e) {
                // Whoever answers here is not trusted yet; another answer may be the right one.
                error if error.failure() == Failure::NotTrusted => error.healing(Retry::UntilDeadline(None)),
                error => error,
            }
        })
    }

    /// The endpoint that is dialled.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        self.0.line.endpoint()
    }

    /// The endpoint and the proxy on the way to it, for people.
    #[must_use]
    pub fn route(&self) -> String {
        self.0.to_string().trim_start_matches("https://").to_owned()
    }

    /// Judges the chain that the connection in use has shown, by the rules of any verified handshake.
    ///
    /// # Errors
    /// [`Failure::NotTrusted`] when the chain does not lead to `roots` or does not name the endpoint;
    /// [`Failure::Clock`] when only the time is wrong.
    pub fn check_chain(&self, roots: &Roots) -> Result<()> {
        let line = &self.0.line;
        let name = line.endpoint().server_name();
        tls::verify_chain(&roots.0, &line.chain(), &name, self.0.system.clock.now())
            .map_err(|e| self.0.certificate_failure(Step::Trust, &e).caused_by(e))
    }

    /// Turns the connection in use into a verified one, and has every later redial verified too.
    ///
    /// # Errors
    /// As [`Self::check_chain`].
    pub fn verify(self, roots: &Roots, path: &ServerUrl) -> Result<Verified> {
        self.check_chain(roots)?;
        let verified = ServerCertificate::Verified(roots.0.clone());
        self.0
            .line
            .switch(tls::client_config(verified, None, self.0.system.clock.clone()).map_err(internal)?);
        let base = format!("{}{}", self.0.base, path.path());
        Ok(Verified(Client { base, ..self.0 }))
    }

    /// Leaves this connection for a verified one to another server.
    ///
    /// # Errors
    /// As [`Verified::dial`]; the first request dials.
    pub fn leave_for(self, server: &ServerUrl, roots: &Roots) -> Result<Verified> {
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

    /// Dials now instead of with the next request, which will use that connection, and tells this machine's own address
    /// on it.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn local_address(&self, step: Step, timeout: Duration) -> Result<Option<IpAddr>> {
        self.0.line.open_ahead(timeout).map_err(|e| self.0.failure(step, e.into()))
    }

    /// Sends one request, with a bearer token unless the connection has a client certificate, and reads the whole
    /// answer, whatever its status.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] until the deadline; [`Failure::NotTrusted`] and [`Failure::Clock`] when a redial met a
    /// server that does not verify.
    pub fn call(
        &self,
        step: Step,
        path: &str,
        bearer: Option<&Bearer>,
        body: Option<Vec<u8>>,
        timeout: Duration,
    ) -> Result<Reply> {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        self.0
            .send(method, path, bearer.map(|bearer| bearer.0.clone()), body, timeout)
            .and_then(Reply::read)
            .map_err(|e| self.0.failure(step, e))
    }

    /// Begins a watch: the answer's lines come one by one. Any status but 200 is returned as a whole reply.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn watch(
        &self,
        step: Step,
        path: &str,
        bearer: Option<&Bearer>,
        timeout: Duration,
    ) -> Result<std::result::Result<Watch, Reply>> {
        let response = self
            .0
            .send(Method::GET, path, bearer.map(|bearer| bearer.0.clone()), None, timeout)
            .map_err(|e| self.0.failure(step, e))?;
        if response.status() == 200 {
            return Ok(Ok(Watch::new(response.into_body(), self.0.line.clone())));
        }
        Reply::read(response).map(Err).map_err(|e| self.0.failure(step, e))
    }
}

fn internal(error: rustls::Error) -> Error {
    Error::new(Step::Discovery, Failure::Internal, "the TLS configuration is not usable").caused_by(error)
}

/// Roots that server chains may end at.
#[derive(Debug)]
pub struct Roots(RootCertStore);

impl Roots {
    /// Takes certificates that the caller has found to be CAs and to be trusted.
    ///
    /// # Errors
    /// [`Failure::NotTrusted`] when webpki cannot read one.
    pub fn new<'a>(authorities: impl IntoIterator<Item = &'a Certificate>) -> Result<Self> {
        let mut store = RootCertStore::empty();
        for authority in authorities {
            store.add(CertificateDer::from_slice(&authority.der).into_owned()).map_err(|e| {
                Error::new(Step::Trust, Failure::NotTrusted, "a CA certificate cannot be used as a root")
                    .caused_by(e)
            })?;
        }
        Ok(Self(store))
    }
}

/// A bearer token, ready to be sent. ureq keeps copies of it in its buffers until the process ends.
#[derive(Debug)]
pub struct Bearer(HeaderValue);

impl Bearer {
    /// Makes the header's value (RFC 6750, section 2.1).
    ///
    /// # Errors
    /// A usage error for a token with characters that no header can carry.
    pub fn new(token: &Secret<String>) -> Result<Self> {
        let text = Secret::new(format!("Bearer {}", token.expose()));
        let mut value = HeaderValue::from_str(text.expose()).map_err(|_| {
            Error::new(
                Step::Options,
                Failure::Usage,
                "the token has characters that an HTTP header cannot carry",
            )
        })?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}
