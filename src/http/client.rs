//! One endpoint behind ureq: how requests are sent, and what it means when no response comes.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, ClientConfig, InvalidMessage, OtherError};
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use ureq::http::{self, Method, Request};

use super::System;
use super::address::Endpoint;
use super::connection::{NoLookup, Peer, Reached, TlsConnector};
use super::problem::{self, Problem};
use super::proxy::{Refusal, USER_AGENT};
use super::resolver::Unresolved;
use super::response::Response;
use crate::error::{Error, ErrorKind, Result, Retry, Step};
use crate::limits;

/// One endpoint with its kept connection.
#[derive(Debug)]
pub(super) struct Client {
    agent: ureq::Agent,
    pub(super) peer: Arc<Peer>,
    pub(super) system: System,
    /// What stands before every path.
    pub(super) base: String,
}

/// What errors call the server: its URL, and the proxy on the way.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.peer.endpoint().fmt(f)?;
        match self.peer.proxy() {
            Some(proxy) => write!(f, " via proxy {proxy}"),
            None => Ok(()),
        }
    }
}

impl Client {
    /// Prepares to talk to `endpoint`; the first request dials. With `has_fallback` there are others to try.
    pub(super) fn new(
        system: &System,
        endpoint: &Endpoint,
        path: &str,
        config: Arc<ClientConfig>,
        has_fallback: bool,
    ) -> Result<Self> {
        let peer = Peer::new(endpoint.clone(), system, config, has_fallback)?;
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
        let agent = ureq::Agent::with_parts(config, TlsConnector(peer.clone()), NoLookup);
        let base = format!("https://{endpoint}{path}");
        Ok(Self { agent, peer, system: system.clone(), base })
    }

    /// Sends one request and waits for the response's header.
    pub(super) fn send(
        &self,
        method: Method,
        path: &str,
        authorization: Option<HeaderValue>,
        body: Option<Vec<u8>>,
        timeout: Duration,
    ) -> std::result::Result<http::Response<ureq::Body>, ureq::Error> {
        self.peer.forget_answer();
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

    /// Reads a complete response.
    pub(super) fn read(
        &self,
        answer: http::Response<ureq::Body>,
    ) -> std::result::Result<Response, ureq::Error> {
        let chain = self.peer.chain();
        Response::read(answer, chain.first().map(AsRef::as_ref), self.system.clock.now())
    }

    /// What a request that got no complete response means.
    pub(super) fn failure(&self, step: Step, error: &ureq::Error) -> Error {
        let io = match error {
            ureq::Error::Io(io) => Some(io),
            _ => None,
        };
        let inner = io.and_then(io::Error::get_ref);
        if let Some(refusal) = inner.and_then(|inner| inner.downcast_ref::<Refusal>()) {
            return refusal.failure(step);
        }
        if let Some(unresolved) = inner.and_then(|inner| inner.downcast_ref::<Unresolved>()) {
            return Error::new(step, ErrorKind::Unreachable, unresolved.to_string())
                .with_help("check the name, and the name servers in /etc/resolv.conf")
                .with_retry(Retry::UntilDeadline(None));
        }
        let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(why)))) = tls
            && let Some(problem) = why.downcast_ref::<Problem>()
        {
            return self.certificate_failure(step, problem);
        }
        let first_line = self.peer.first_line();
        let begins = |what: &str| format!("{what} (it begins with: {first_line})");
        let (what, help) = match self.peer.reached() {
            Reached::Nothing => (format!("cannot connect to {self}"), "check the address and the network"),
            Reached::Connected => {
                (format!("TLS handshake with {self} failed"), "check the address and the port")
            }
            Reached::Handshaken if first_line.is_empty() => {
                (format!("no response from {self}"), "check the API server")
            }
            Reached::Handshaken => {
                (format!("no complete HTTP response from {self}"), "check the address and the port")
            }
        };
        let is_disagreement = tls.is_some_and(is_disagreement);
        let cause = match (tls, error) {
            (Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)), _) => {
                begins("the response is not TLS")
            }
            (Some(tls), _) => problem::of_tls(tls),
            // rustls names a page of its own documentation.
            (_, ureq::Error::Io(io)) if io.kind() == io::ErrorKind::UnexpectedEof => {
                let what = "the connection was closed before the response was complete";
                if first_line.is_empty() { what.to_owned() } else { begins(what) }
            }
            (_, ureq::Error::Io(io)) => io.to_string(),
            (_, ureq::Error::Timeout(_)) => "timed out".to_owned(),
            (_, ureq::Error::LargeResponseHeader(..) | ureq::Error::BodyExceedsLimit(_)) => {
                "the response is too large".to_owned()
            }
            _ if first_line.is_empty() => "the request cannot be sent".to_owned(),
            _ => begins("the response is not valid HTTP"),
        };
        Error::new(step, ErrorKind::Unreachable, what)
            .with_help(if is_disagreement { SUPPORTED } else { help })
            .with_retry(Retry::UntilDeadline(None))
            .caused_by(cause)
    }

    /// What a chain that does not verify means. A change of the clock may end it, and servers behind one name may
    /// differ for a moment, while their certificates are changed.
    pub(super) fn certificate_failure(&self, step: Step, problem: &Problem) -> Error {
        const WHO: &str = "check that the address is that of this cluster's API server";
        let (failure, retry) = match problem {
            Problem::Time(..) => (ErrorKind::Clock, Retry::UntilDeadline(None)),
            _ => (ErrorKind::NotTrusted, Retry::Briefly(None)),
        };
        let (what, help) = match problem {
            Problem::Time(certificate, now) if *now < certificate.not_before => {
                ("is not valid now", "set the clock, or renew the certificate if it starts too late")
            }
            Problem::Time(..) => (
                "is not valid now",
                "set the clock, or renew the certificate on the control plane node (kubeadm certs renew apiserver)",
            ),
            Problem::Limit { limit, help, .. } => (*limit, *help),
            Problem::Kubelet => {
                ("is a kubelet's serving certificate (O=system:nodes), not an API server's", WHO)
            }
            Problem::Name(_) => (
                "cannot be verified",
                "check that the address is that of this cluster's API server; if it is, use a name in its certificate, or add this \
                 one to it (kubeadm: apiServer.certSANs)",
            ),
            Problem::Wrong(_) if self.peer.proxy().is_some() => (
                "cannot be verified",
                "check that the address is that of this cluster's API server, and that the proxy does not intercept TLS (NO_PROXY)",
            ),
            Problem::Wrong(_) => ("cannot be verified", WHO),
        };
        Error::new(step, failure, format!("the certificate of {self} {what}"))
            .with_help(help)
            .with_retry(retry)
            .caused_by(problem.to_string())
    }
}

/// What nodestrap can agree on with a server.
const SUPPORTED: &str = "nodestrap supports TLS 1.2 and 1.3 with ECDHE and AES-GCM on P-256 and P-384, and keys of RSA (2048 to 8192 \
                         bits), P-256 and P-384: check the server's versions, cipher suites, curves and key";

/// Whether the peer speaks TLS, but none of it that both know (RFC 8446, section 6.2; RFC 7301, section 3.2).
fn is_disagreement(error: &rustls::Error) -> bool {
    use AlertDescription::{HandshakeFailure, InsufficientSecurity, NoApplicationProtocol, ProtocolVersion};
    matches!(
        error,
        rustls::Error::PeerIncompatible(_)
            | rustls::Error::AlertReceived(
                HandshakeFailure | InsufficientSecurity | NoApplicationProtocol | ProtocolVersion
            )
    )
}

#[cfg(test)]
mod tests {
    use rustls::PeerIncompatible;

    use super::*;
    use crate::clock::{Clock, SystemClock};
    use crate::http::{NameSources, Proxies, SystemNetwork, Traffic, Unverified};

    /// What is said of this before anything has come.
    fn said(error: &ureq::Error) -> String {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let system = System {
            network: Arc::new(SystemNetwork::new(clock.clone(), NameSources::of_system())),
            clock,
            proxies: Arc::new(Proxies::default()),
            traffic: Arc::new(Traffic::default()),
        };
        let peers = Unverified::to_each(&system, &Endpoint::parse_list("api.example:6443").unwrap()).unwrap();
        peers[0].0.failure(Step::Discovery, error).to_string()
    }

    fn tls(error: rustls::Error) -> ureq::Error {
        ureq::Error::Io(io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn a_failed_handshake_says_whether_both_have_anything_in_common() {
        use AlertDescription::{
            BadCertificate, HandshakeFailure, InsufficientSecurity, NoApplicationProtocol, ProtocolVersion,
        };
        let alert = rustls::Error::AlertReceived;
        for (error, disagrees) in [
            (rustls::Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon), true),
            (alert(HandshakeFailure), true),
            (alert(InsufficientSecurity), true),
            (alert(NoApplicationProtocol), true),
            (alert(ProtocolVersion), true),
            (alert(BadCertificate), false),
            (rustls::Error::NoCertificatesPresented, false),
        ] {
            let said = said(&tls(error.clone()));
            let (words, help) =
                (problem::of_tls(&error), if disagrees { SUPPORTED } else { "check the address" });
            assert!(said.contains(&words) && said.contains(help), "{said}");
        }
        let no_tls = said(&tls(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)));
        assert!(no_tls.contains("the response is not TLS (it begins with: "), "{no_tls}");
    }

    #[test]
    fn where_nothing_has_come_nothing_is_shown_of_it() {
        let end = said(&ureq::Error::Io(io::ErrorKind::UnexpectedEof.into()));
        assert!(end.contains(": the connection was closed before the response was complete; "), "{end}");
        let request = said(&ureq::Error::ConnectionFailed);
        assert!(request.contains(": the request cannot be sent; "), "{request}");
    }
}
