//! A whole answer, and what Kubernetes means by one that is no success.

use std::io::Read as _;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::Response;
use ureq::http::header::RETRY_AFTER;

use super::Bearer;
use crate::error::{Error, Failure, Retry, Step, foreign};
use crate::limits;

/// A status and a body of at most [`limits::BODY_BYTES`].
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body, whole.
    pub body: Vec<u8>,
    retry_after: Option<Duration>,
}

/// The parts of a Kubernetes Status (`k8s.io/apimachinery/pkg/apis/meta/v1/types.go`) that are used. Load balancers
/// and the API server's own filters answer with plain text or HTML instead.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    message: Option<String>,
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Details {
    retry_after_seconds: Option<u64>,
}

impl Reply {
    pub(super) fn read(response: Response<ureq::Body>) -> Result<Self, ureq::Error> {
        let status = response.status().as_u16();
        let header = response.headers().get(RETRY_AFTER);
        let retry_after =
            header.and_then(|v| v.to_str().ok()).and_then(|v| v.trim().parse().ok()).map(Duration::from_secs);
        let mut body = Vec::new();
        // One byte more than allowed tells a body that ends at the limit from one that goes on.
        let most = limits::BODY_BYTES as u64 + 1;
        response.into_body().into_with_config().limit(most).reader().take(most).read_to_end(&mut body)?;
        if body.len() > limits::BODY_BYTES {
            return Err(ureq::Error::BodyExceedsLimit(limits::BODY_BYTES as u64));
        }
        Ok(Self { status, body, retry_after })
    }

    /// The same without the token that it answers, where a refusal repeats what was asked: its words are shown.
    pub(super) fn without(mut self, bearer: Option<&Bearer>) -> Self {
        if let Some(bearer) = bearer.filter(|_| !(200..300).contains(&self.status)) {
            for secret in bearer.secrets() {
                let mut at = 0;
                while let Some(found) = self.body[at..].windows(secret.len()).position(|part| part == secret)
                {
                    at += found;
                    self.body[at..at + secret.len()].fill(b'*');
                }
            }
        }
        self
    }

    /// How long the server wants to be left alone: the header, else the Status' details.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
            .or_else(|| self.kubernetes_status()?.details?.retry_after_seconds.map(Duration::from_secs))
    }

    /// What the server says, fit for one line: the Status' message, else the beginning of the text.
    #[must_use]
    pub fn text(&self) -> String {
        let message = self.kubernetes_status().and_then(|status| status.message);
        let text = message.unwrap_or_else(|| {
            let most = self.body.len().min(4 * limits::FOREIGN_TEXT);
            String::from_utf8_lossy(&self.body[..most]).into_owned()
        });
        foreign(&text)
    }

    fn kubernetes_status(&self) -> Option<Status> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The failure that an answer to an authenticated request stands for (protocol of `k8s.io/apimachinery`'s
    /// `pkg/api/errors`): 401 and 403 may heal briefly, 429 and 5xx until the deadline, 422 and the rest never.
    #[must_use]
    pub fn failure(&self, step: Step, what: &str) -> Error {
        let wish = self.retry_after();
        let (failure, retry, advice) = match self.status {
            401 => (
                Failure::Refused,
                Retry::Briefly(wish),
                "the credential is unknown or expired: make a new one",
            ),
            403 => (
                Failure::Refused,
                Retry::Briefly(wish),
                "the credential is not allowed to do this: check its groups and RBAC",
            ),
            429 | 500..=599 => (
                Failure::Unreachable,
                Retry::UntilDeadline(wish),
                "the API server is busy or restarting; check how it is",
            ),
            422 => (
                Failure::Denied,
                Retry::Never,
                "the API server finds the request invalid; ask whoever runs it",
            ),
            404 => {
                (Failure::Denied, Retry::Never, "the path is not there: check the server's URL and version")
            }
            300..=399 => {
                (Failure::Denied, Retry::Never, "redirects are not followed: name the API server itself")
            }
            _ => {
                (Failure::Denied, Retry::Never, "the API server does not take it; check its URL and version")
            }
        };
        let message = format!("{what}: HTTP {}, {advice} ({})", self.status, self.text());
        Error::new(step, failure, message).healing(retry)
    }
}
