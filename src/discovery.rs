//! Discovery: the ConfigMap kube-public/cluster-info, fetched without any credential. Nothing of it is trusted. And files
//! that lie behind a URL, from servers that are verified, without any credential either.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, Failure, Result, Retry, Step};
use crate::http::{Reply, ServerUrl, Unverified, Verified};
use crate::limits;
use crate::secret::Secret;
use crate::yaml;

/// Where an API server keeps it (`k8s.io/cluster-bootstrap/token/api/types.go`, `ConfigMapClusterInfo`).
const PATH: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";

/// The data of the ConfigMap: the kubeconfig, and its signatures by token ID.
#[derive(Debug, Deserialize)]
pub struct ClusterInfo {
    data: Option<BTreeMap<String, String>>,
}

impl ClusterInfo {
    /// The signed text, untouched.
    pub(crate) fn kubeconfig(&self) -> Option<&str> {
        self.get("kubeconfig")
    }

    /// The detached JWS for the token with this ID.
    pub(crate) fn signature(&self, token_id: &str) -> Option<&str> {
        self.get(&format!("jws-kubeconfig-{token_id}"))
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.data.as_ref()?.get(key).map(String::as_str).filter(|text| !text.is_empty())
    }
}

impl ClusterInfo {
    /// Reads the ConfigMap as `kubectl get -o json` or `-o yaml` prints it. Not trusted: whoever wrote the text, the
    /// signature inside is judged.
    ///
    /// # Errors
    /// Why it is anything else.
    pub fn from_text(text: &str) -> std::result::Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(serde_json::from_str(&yaml::to_json(text)?)?)
    }
}

/// Asks `peer` for cluster-info.
///
/// # Errors
/// [`Failure::Unreachable`] without an answer, [`Failure::NotPublished`] with any other answer than a ConfigMap. Both
/// may heal: an API server that starts answers 403 for a moment, one without cluster-info answers it for good.
pub fn fetch(peer: &Unverified, timeout: Duration) -> Result<ClusterInfo> {
    let reply = peer.get(PATH, timeout)?;
    if reply.status != 200 {
        let advice = match reply.status {
            401 => "anonymous requests are off; allow them for cluster-info, or give it with --cluster-info",
            403 | 404 => "cluster-info is not public or not there; publish it with kubeadm",
            _ => "no cluster-info; check that an API server answers there",
        };
        return Err(refusal(peer.endpoint(), &reply, advice));
    }
    serde_json::from_slice(&reply.body).map_err(|e| {
        let what = "answers with something else than a ConfigMap; check that an API server answers there";
        no_use(peer.endpoint(), what).caused_by(e)
    })
}

/// Fetches the file at `url`, over a connection to its server: text of at most [`limits::FILE_BYTES`]. It may hold a
/// token.
///
/// # Errors
/// As [`fetch`], and what ends a handshake that is verified: [`Failure::NotTrusted`], and [`Failure::Clock`].
pub fn fetch_file(server: &Verified, url: &ServerUrl, timeout: Duration) -> Result<Secret<String>> {
    let reply = server.call(Step::Discovery, url.tail(), None, None, timeout)?;
    if reply.status != 200 {
        let advice = match reply.status {
            300..=399 => "redirects are not followed: give the URL that it leads to",
            401 | 403 => "the file is not public; serve it without asking who fetches it",
            404 => "there is no such file; correct the URL, or publish it",
            _ => "no file; check the URL",
        };
        return Err(refusal(url.as_str(), &reply, advice));
    }
    if reply.body.len() as u64 > limits::FILE_BYTES {
        return Err(no_use(url.as_str(), "answers with more than 1 MiB; check the URL"));
    }
    String::from_utf8(reply.body)
        .map(Secret::new)
        .map_err(|_| no_use(url.as_str(), "answers with something else than text; check the URL"))
}

/// An answer that is no success: busy servers and missing files alike may heal.
fn refusal(who: impl Display, reply: &Reply, advice: &str) -> Error {
    let what = format!("answers HTTP {}: {advice} ({})", reply.status, reply.text());
    no_use(who, &what).healing(Retry::UntilDeadline(reply.retry_after()))
}

/// An answer that is of no use for discovery; another one may be.
pub fn no_use(who: impl Display, what: &str) -> Error {
    Error::new(Step::Discovery, Failure::NotPublished, format!("{who} {what}"))
        .healing(Retry::UntilDeadline(None))
}
