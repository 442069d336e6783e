//! One endpoint behind ureq: how requests are sent, and what it means when no answer comes.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, ClientConfig, InvalidMessage, OtherError};
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use ureq::http::{Method, Request, Response};

use super::address::Endpoint;
use super::connection::{Dialler, Line, NoLookup};
use super::problem::{self, Problem};
use super::proxy::{Refusal, USER_AGENT};
use super::reply::Reply;
use super::resolver::Unresolved;
use super::system::System;
use crate::error::{Error, Failure, Result, Retry, Step};
use crate::limits;
use crate::node::ORGANIZATION;

/// One endpoint with its kept connection.
#[derive(Debug)]
pub(super) struct Client {
    agent: ureq::Agent,
    pub(super) line: Arc<Line>,
    pub(super) system: System,
    /// What stands before every path.
    pub(super) base: String,
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
    /// Prepares to talk to `endpoint`; the first request dials. With `hurry` there are others to try.
    pub(super) fn new(
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

    /// Sends one request and waits for the answer's header.
    pub(super) fn send(
        &self,
        method: Method,
        path: &str,
        authorization: Option<HeaderValue>,
        body: Option<Vec<u8>>,
        timeout: Duration,
    ) -> std::result::Result<Response<ureq::Body>, ureq::Error> {
        self.line.forget_answer();
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

    /// Reads a whole answer.
    pub(super) fn read(&self, answer: Response<ureq::Body>) -> std::result::Result<Reply, ureq::Error> {
        let chain = self.line.chain();
        Reply::read(answer, chain.first().map(AsRef::as_ref), self.system.clock.now())
    }

    /// What a request that got no whole answer means.
    pub(super) fn failure(&self, step: Step, error: ureq::Error) -> Error {
        let io = match &error {
            ureq::Error::Io(io) => Some(io),
            _ => None,
        };
        let inner = io.and_then(io::Error::get_ref);
        if let Some(refusal) = inner.and_then(|inner| inner.downcast_ref::<Refusal>()) {
            return refusal.failure(step);
        }
        if let Some(unresolved) = inner.and_then(|inner| inner.downcast_ref::<Unresolved>()) {
            let message = format!("{unresolved}; check the name and the name servers of this machine");
            return Error::new(step, Failure::Unreachable, message).healing(Retry::UntilDeadline(None));
        }
        let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(why)))) = tls
            && let Some(problem) = why.downcast_ref::<Problem>()
        {
            return self.certificate_failure(step, problem);
        }
        let first_line = self.line.first_line();
        let message = match tls {
            Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                format!(
                    "something else than TLS answers at {self}; check the address and the port (it begins with: \
                     {first_line})"
                )
            }
            Some(tls) if is_disagreement(tls) => format!(
                "{self} agrees on no TLS with this program; check its versions, its cipher suites, its curves and the \
                 key of its certificate: TLS 1.2 and 1.3, ECDHE with AES-GCM on P-256 and P-384, and keys of RSA (2048 to \
                 8192 bits), P-256 and P-384 will do, P-224, P-521, Ed25519 and ML-DSA will not"
            ),
            _ if first_line.is_empty() => format!("no answer from {self}; check the address and the network"),
            _ => format!(
                "no complete HTTP response from {self}; check what answers there (it begins with: {first_line})"
            ),
        };
        let failed = Error::new(step, Failure::Unreachable, message).healing(Retry::UntilDeadline(None));
        match (tls, io) {
            (Some(tls), _) => failed.caused_by(problem::of_tls(tls)),
            // rustls names a page of its own documentation.
            (_, Some(io)) if io.kind() == io::ErrorKind::UnexpectedEof => {
                failed.caused_by("the connection was closed before the response was complete")
            }
            _ => match error {
                ureq::Error::Io(io) => failed.caused_by(io),
                ureq::Error::Timeout(ureq::Timeout::Connect) => failed.caused_by("no connection in time"),
                ureq::Error::Timeout(_) => failed.caused_by("it did not come in time"),
                ureq::Error::LargeResponseHeader(..) | ureq::Error::BodyExceedsLimit(_) => {
                    failed.caused_by("it is longer than any that is read")
                }
                _ if first_line.is_empty() => failed.caused_by("the request cannot be sent"),
                _ => failed.caused_by("it is not valid HTTP"),
            },
        }
    }

    /// What a chain that does not verify means. The time may heal it, and servers behind one name may differ for a moment,
    /// while their certificates are changed.
    pub(super) fn certificate_failure(&self, step: Step, problem: &Problem) -> Error {
        let (failure, message) = match problem {
            Problem::Time(..) => {
                let what = "is not valid at this machine's time; set the clock, or renew the certificate";
                (Failure::Clock, format!("the certificate of {self} {what}"))
            }
            Problem::Limit(_, limit) => {
                (Failure::NotTrusted, format!("the certificate of {self} cannot be checked: {limit}"))
            }
            Problem::Kubelet => {
                let message = format!(
                    "the certificate of {self} is a kubelet's serving certificate (O={ORGANIZATION}) and no API \
                     server's; check the address and who answers there"
                );
                return Error::new(step, Failure::NotTrusted, message).healing(Retry::Briefly(None));
            }
            Problem::Wrong(_) => {
                let what = "does not verify; check the address and who answers there";
                (Failure::NotTrusted, format!("the certificate of {self} {what}"))
            }
        };
        let is_time = failure == Failure::Clock;
        let retry = if is_time { Retry::UntilDeadline(None) } else { Retry::Briefly(None) };
        Error::new(step, failure, message).healing(retry).caused_by(problem.to_string())
    }
}

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
