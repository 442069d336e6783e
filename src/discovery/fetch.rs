//! What is fetched, without any credential, and not trusted: the ConfigMap kube-public/cluster-info from an API server that
//! is not verified yet, and files at a URL, from servers that are verified.

use std::fmt::Display;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result, Retry, Step};
use crate::http::{Response, Roots, ServerUrl, System, Unverified, Verified};
use crate::limits;
use crate::secret::Secret;
use crate::trust::{CaBundle, ClusterInfo};

/// Where an API server keeps it (`k8s.io/cluster-bootstrap/token/api/types.go`, `ConfigMapClusterInfo`).
const PATH: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";

const CHECK_URL: &str = "check the URL";
const CHECK_SERVER: &str = "check that the address is that of this cluster's API server";

/// A file at a URL.
#[derive(Debug)]
pub struct RemoteFile {
    /// Where it is.
    pub url: ServerUrl,
    /// The CAs that its server is verified by; without them the public roots.
    pub ca: Option<CaBundle>,
}

impl RemoteFile {
    /// Fetches it: text of at most [`limits::FILE_BYTES`], which may hold a token, and who has answered, for messages.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] without a response and from a busy server, [`ErrorKind::NotPublished`] for anything
    /// but text with status 200, [`ErrorKind::NotTrusted`] and [`ErrorKind::Clock`] when the handshake does not verify the
    /// server.
    pub(super) fn text(&self, system: &System, timeout: Duration) -> Result<(Secret<String>, String)> {
        let response = self.response(system, timeout)?;
        let who = format!("HTTP {}, {}", response.status, response.responder());
        String::from_utf8(response.body)
            .map(|text| (Secret::new(text), who))
            .map_err(|_| self.unusable("did not respond with UTF-8 text"))
    }

    /// Fetches a ConfigMap, as far as it matters to who has the token with this ID: nothing of it is trusted yet.
    ///
    /// # Errors
    /// What keeps the text from being fetched, and [`ErrorKind::NotPublished`], which is retryable, for what is not a
    /// ConfigMap.
    pub(super) fn cluster_info(
        &self,
        token_id: &str,
        system: &System,
        timeout: Duration,
    ) -> Result<ClusterInfo> {
        let response = self.response(system, timeout)?;
        let text = std::str::from_utf8(&response.body).ok();
        let info = text.and_then(|text| ClusterInfo::from_text(text, token_id).ok());
        info.filter(|info| info.kubeconfig().is_some()).ok_or_else(|| {
            // It may be another file than was meant, with a token in it: nothing of it is shown.
            let what = "did not respond with a ConfigMap (JSON or YAML) that has a kubeconfig";
            self.unusable(&format!("{what} (HTTP {}, {})", response.status, response.responder()))
        })
    }

    /// No connection is kept between attempts: what was wrong with one may be its server.
    fn response(&self, system: &System, timeout: Duration) -> Result<Response> {
        let roots = match &self.ca {
            Some(ca) => ca.roots(system.clock.now(), "use the CA of that server in --discovery-ca")?,
            None => Roots::public(),
        };
        let server = Verified::dial(system, &self.url, &roots, None)?;
        let response = server.call(Step::Discovery, self.url.tail(), None, None, timeout)?;
        if response.status != 200 {
            let meaning = match response.status {
                300..=399 => ("redirects are not followed", "use the URL that they lead to"),
                401 | 403 => ("the file is not public", "serve it without authentication"),
                404 => ("not found", "correct the URL, or publish the file"),
                _ => ("no file", CHECK_URL),
            };
            return Err(refusal(
                self.url.as_str(),
                &response,
                "the server",
                Some("check that server"),
                meaning,
            ));
        }
        if response.body.len() > limits::FILE_BYTES {
            return Err(self.unusable("responded with more than 1 MiB"));
        }
        if response.is_page() {
            return Err(self.unusable(&with_words("responded with an HTML page", &response)));
        }
        Ok(response)
    }

    fn unusable(&self, what: &str) -> Error {
        unusable(self.url.as_str(), what).with_help(CHECK_URL)
    }
}

/// Asks `peer` for cluster-info, as far as it matters to who has the token with this ID.
///
/// # Errors
/// [`ErrorKind::Unreachable`] without a response and from a busy server, [`ErrorKind::NotPublished`] with any other
/// response than a ConfigMap. Both are retryable: an API server that starts responds with 403 for a moment, one without
/// cluster-info does so for good.
pub fn cluster_info(peer: &Unverified, token_id: &str, timeout: Duration) -> Result<ClusterInfo> {
    let response = peer.get(PATH, timeout)?;
    if response.status != 200 {
        let meaning = match response.status {
            300..=399 => ("redirects are not followed", "use the API server's own address"),
            401 => (
                "anonymous requests are disabled",
                "allow anonymous requests for cluster-info, or save the ConfigMap to a file and use --cluster-info",
            ),
            403 | 404 => (
                "cluster-info is not public or not found",
                "publish it with `kubeadm init phase bootstrap-token`, or correct the address",
            ),
            _ => ("no cluster-info", CHECK_SERVER),
        };
        return Err(refusal(peer.endpoint(), &response, "the API server", None, meaning));
    }
    ClusterInfo::from_json(&response.body, token_id)
        .filter(|info| info.kubeconfig().is_some() || is_config_map(&response))
        .ok_or_else(|| {
            unusable(peer.endpoint(), &with_words("did not respond with a ConfigMap", &response))
                .with_help(CHECK_SERVER)
        })
}

/// Whether a response says that it is a ConfigMap, if only one without content.
fn is_config_map(response: &Response) -> bool {
    response.json(&["kind"]).is_some_and(|object| object["kind"] == "ConfigMap")
}

/// A response other than a success: busy servers and missing files alike are retryable. Nobody is trusted yet, so that
/// Retry-After counts for no longer than a pause of our own.
fn refusal(
    who: impl Display,
    response: &Response,
    server: &str,
    busy_help: Option<&'static str>,
    meaning: (&str, &'static str),
) -> Error {
    let (status, text) = (response.status, response.text());
    let retry_after = response.retry_after().map(|wanted| wanted.min(limits::BACKOFF_CAP));
    let error = if response.is_busy() {
        let (does, help) = response.busy();
        let what = format!("{who} responded with HTTP {status}: {server} {does} ({text})");
        Error::new(Step::Discovery, ErrorKind::Unreachable, what).with_help(busy_help.unwrap_or(help))
    } else {
        let (meaning, help) = meaning;
        unusable(who, &format!("responded with HTTP {status}: {meaning} ({text})")).with_help(help)
    };
    error.with_retry(Retry::UntilDeadline(retry_after))
}

fn with_words(what: &str, response: &Response) -> String {
    format!("{what} (HTTP {}, {})", response.status, response.text())
}

/// A response that is unusable for discovery; another one may be usable.
pub(super) fn unusable(who: impl Display, what: &str) -> Error {
    Error::new(Step::Discovery, ErrorKind::NotPublished, format!("{who} {what}"))
        .with_retry(Retry::UntilDeadline(None))
}
