//! A complete response, and what Kubernetes means by one that is not a success.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use ureq::http;
use ureq::http::header::{AsHeaderName, CONTENT_TYPE, DATE, HeaderMap, LOCATION, RETRY_AFTER};

use super::client_auth::Credential;
use super::retry_after;
use crate::error::{Error, ErrorKind, Retry, Step};
use crate::json;
use crate::limits;
use crate::read;
use crate::sanitize::sanitize;
use crate::x509::Certificate;

/// A status and a body of at most [`limits::BODY_BYTES`].
#[derive(Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The complete body.
    pub body: Vec<u8>,
    retry_after: Option<Duration>,
    media_type: String,
    location: String,
    /// The server's certificate, which is read only where it is to be shown.
    leaf: Vec<u8>,
    /// What was sent with the request.
    credential: Credential,
}

impl Response {
    /// Reads a response whose server has shown `leaf`. `now` is for a response without a date of its own.
    pub(super) fn read(
        response: http::Response<ureq::Body>,
        leaf: Option<&[u8]>,
        now: SystemTime,
    ) -> Result<Self, ureq::Error> {
        let status = response.status().as_u16();
        let headers = response.headers();
        let sent = retry_after::moment(&text_of(headers, DATE)).unwrap_or(now);
        let retry_after = retry_after::delay(&text_of(headers, RETRY_AFTER), Some(sent));
        let (media_type, location) = (text_of(headers, CONTENT_TYPE), text_of(headers, LOCATION));
        // One byte more than allowed tells a body that ends at the limit from one that goes on.
        let max = limits::BODY_BYTES + 1;
        // In one piece where its length is told: a buffer that grows is there twice for a moment.
        let length = response.body().content_length().unwrap_or(0);
        let mut body = Vec::with_capacity(usize::try_from(length).unwrap_or(max).min(max));
        let mut source = response.into_body().into_with_config().limit(max as u64).reader();
        read::to_end(&mut source, &mut body, max)?;
        if body.len() > limits::BODY_BYTES {
            if status == 200 && !is_page(&body) {
                return Err(ureq::Error::BodyExceedsLimit(limits::BODY_BYTES as u64));
            }
            // Of a page, and of what is not a success, only the first words are shown.
            body.truncate(limits::BODY_BYTES);
        }
        let leaf = leaf.unwrap_or_default().to_vec();
        Ok(Self {
            status,
            body,
            retry_after,
            media_type,
            location,
            leaf,
            credential: Credential::Certificate,
        })
    }

    /// Notes what was sent with the request.
    pub(super) fn with_credential(self, credential: Credential) -> Self {
        Self { credential, ..self }
    }

    /// What a proxy responds with that makes no tunnel.
    pub(super) fn of_proxy(status: u16, body: Vec<u8>, media_type: String, location: String) -> Self {
        Self {
            status,
            body,
            retry_after: None,
            media_type,
            location,
            leaf: Vec::new(),
            credential: Credential::Certificate,
        }
    }

    /// How long the server wants to be left alone: the header, else the Status' details.
    pub fn retry_after(&self) -> Option<Duration> {
        let in_status = || {
            let status = self.kubernetes_status()?;
            Some(Duration::from_secs(status["details"]["retryAfterSeconds"].as_u64()?))
        };
        self.retry_after.or_else(in_status)
    }

    /// What the server says, fit for one line: the Status' message; else [who answers](Self::responder), and the first
    /// words.
    pub fn text(&self) -> String {
        if let Some(message) = self.kubernetes_status().as_ref().and_then(|status| status["message"].as_str())
        {
            return sanitize(message);
        }
        let responder = self.responder();
        if self.body.is_empty() { responder } else { [responder, first_words(&self.body)].join(": ") }
    }

    /// Who answers, fit for one line: the media type, the name in the certificate, and where a redirect leads; nothing of
    /// the body.
    pub fn responder(&self) -> String {
        let mut text = String::new();
        if (300..400).contains(&self.status) && !self.location.is_empty() {
            text = ["to ", &sanitize(&self.location), ", "].concat();
        }
        let media_type = self.media_type.split(';').next().unwrap_or_default();
        text.push_str(&match (media_type, self.body.is_empty()) {
            ("", true) => "empty response".to_owned(),
            ("", false) => "no media type".to_owned(),
            _ => sanitize(media_type),
        });
        let subject = self.subject();
        if !subject.is_empty() {
            text.extend([" from ", &subject]);
        }
        text
    }

    /// Whom the server's certificate names.
    fn subject(&self) -> String {
        let Ok(leaf) = Certificate::from_der(&self.leaf) else { return String::new() };
        let subject = leaf.subject.to_string();
        if subject.is_empty() { sanitize(&leaf.alt_names.to_string()) } else { subject }
    }

    /// Whether the server has no time for a response, or what lies behind it has not.
    pub fn is_busy(&self) -> bool {
        matches!(self.status, 429 | 500..=599)
    }

    /// What an API server that has no time does, to stand behind its name, and what can be done.
    pub fn busy(&self) -> (&'static str, &'static str) {
        match self.status {
            429 => (
                "limits requests",
                "let machines start at different times (--splay), or check the API server's load and its flow control",
            ),
            _ => ("is busy or restarting", "check the API server and etcd, and any load balancer before it"),
        }
    }

    /// Whether it is a page for people, which holds nothing secret.
    pub fn is_page(&self) -> bool {
        is_page(&self.body)
    }

    /// The parts of a Kubernetes Status (`k8s.io/apimachinery/pkg/apis/meta/v1/types.go`) that are used. Load balancers
    /// and the API server's own filters answer with plain text or HTML instead.
    fn kubernetes_status(&self) -> Option<Value> {
        let status = self.json(&["kind", "message", "details", "retryAfterSeconds"])?;
        (status["kind"] == "Status").then_some(status)
    }

    /// The fields with these names of an object of JSON; `None` for anything else.
    pub fn json(&self, names: &[&str]) -> Option<Value> {
        json::tree(&self.body, names).filter(Value::is_object)
    }

    /// The failure of a response that cannot be read, from a trusted server. `what` is its name. Nonsense is a fault on the
    /// way, which another try may not meet.
    pub fn unreadable(&self, step: Step, what: &str) -> Error {
        unreadable(step, what, &format!("HTTP {}, {}", self.status, self.text()))
    }

    /// The failure that a response to an authenticated request stands for (protocol of `k8s.io/apimachinery`'s
    /// `pkg/api/errors`): 401 and 403 are retryable briefly, 429 and 5xx until the deadline, 422 and the rest never.
    pub fn failure(&self, step: Step, what: &str) -> Error {
        let retry_after = self.retry_after();
        let (failure, retry) = match self.status {
            401 | 403 => (ErrorKind::Refused, Retry::Briefly(retry_after)),
            429 | 500..=599 => (ErrorKind::Unreachable, Retry::UntilDeadline(retry_after)),
            _ => (ErrorKind::Denied, Retry::Never),
        };
        let (meaning, help) = match self.status {
            401 if self.credential == Credential::Certificate => (
                "the client certificate was rejected",
                "create a new one: it may have expired, or its CA is not in --client-ca-file of the API server",
            ),
            401 if self.credential == Credential::Jwt => (
                "the token was rejected",
                "compare the token's audience (aud), issuer (iss) and time (exp, nbf) with the API server's authentication \
                 configuration; its log names the reason",
            ),
            401 => (
                "the credential was rejected",
                "create a new token: it may have expired or lack usage \"authentication\"; if that fails too, check \
                 --enable-bootstrap-token-auth of the API server",
            ),
            403 => (
                "the credential lacks permission",
                "bind the group of the token or certificate to a role that allows it (kubeadm: system:node-bootstrapper)",
            ),
            429 => ("API server limits requests", self.busy().1),
            500..=599 => ("API server is busy or restarting", self.busy().1),
            422 => ("invalid request", "contact the cluster administrator"),
            404 => ("path not found", "check the server's URL and version"),
            300..=399 => ("redirects are not followed", "use the API server's own address"),
            _ => ("unexpected status", "check the server's URL and version"),
        };
        Error::new(step, failure, format!("{what}: HTTP {}, {meaning} ({})", self.status, self.text()))
            .with_help(help)
            .with_retry(retry)
    }
}

/// The failure of what a trusted server has sent and nobody can read; `words` is what people may see of it.
pub fn unreadable(step: Step, what: &str, words: &str) -> Error {
    Error::new(step, ErrorKind::Unreachable, format!("{what} is invalid ({words})"))
        .with_help("check proxies and load balancers before the API server")
        .with_retry(Retry::UntilDeadline(None))
}

fn text_of(headers: &HeaderMap, name: impl AsHeaderName) -> String {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

fn is_page(body: &[u8]) -> bool {
    body.trim_ascii_start().strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start().starts_with(b"<")
}

/// The beginning of a text, fit for one line; of a page its words without the tags; never empty.
pub fn first_words(body: &[u8]) -> String {
    let max = body.len().min(limits::PAGE_TEXT);
    let mut text = String::from_utf8_lossy(&body[..max]).into_owned();
    if max < body.len() {
        text.push('…');
    }
    if is_page(body) {
        let mut words = String::new();
        for piece in text.split('<') {
            match piece.split_once('>') {
                Some((tag, rest)) if !tag.starts_with("style") && !tag.starts_with("script") => {
                    words.push_str(rest);
                    words.push(' ');
                }
                _ => {}
            }
        }
        text = words;
    }
    let words = sanitize(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    if words.trim().is_empty() { "no words".to_owned() } else { words }
}

#[cfg(test)]
mod tests;
