//! Discovery: the ConfigMap kube-public/cluster-info, fetched without any credential. Nothing of it is trusted.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, Failure, Result, Retry, Step};
use crate::http::Unverified;
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
    /// A usage error for anything else.
    pub fn from_text(text: &str) -> Result<Self> {
        let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
            let message = "the given cluster-info is no ConfigMap in JSON or YAML";
            Error::new(Step::Discovery, Failure::Usage, message).caused_by(e)
        };
        let json = yaml::to_json(text).map_err(|e| failed(e.into()))?;
        serde_json::from_str(&json).map_err(|e| failed(e.into()))
    }
}

/// Asks `peer` for cluster-info.
///
/// # Errors
/// [`Failure::Unreachable`] without an answer, [`Failure::NotPublished`] with any other answer than a ConfigMap. Both
/// may heal: an API server that starts answers 403 for a moment, one without cluster-info answers it for good.
pub fn fetch(peer: &Unverified, timeout: Duration) -> Result<ClusterInfo> {
    let reply = peer.get(PATH, timeout)?;
    let failure = |what: String| {
        let message = format!("{} {what}", peer.endpoint());
        Error::new(Step::Discovery, Failure::NotPublished, message)
            .healing(Retry::UntilDeadline(reply.retry_after()))
    };
    if reply.status != 200 {
        let advice = match reply.status {
            401 => "anonymous requests are off; discovery by token needs them for cluster-info",
            403 | 404 => "cluster-info is not public or not there",
            _ => "no cluster-info",
        };
        return Err(failure(format!("answers HTTP {}: {advice} ({})", reply.status, reply.text())));
    }
    serde_json::from_slice(&reply.body)
        .map_err(|e| failure("answers with something else than a ConfigMap".to_owned()).caused_by(e))
}
