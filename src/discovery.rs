//! Discovery: the ConfigMap kube-public/cluster-info, fetched without any credential. Nothing of it is trusted. And files
//! that lie behind a URL, from servers that are verified, without any credential either.

use std::fmt::Display;
use std::time::Duration;

use serde_json::Value;

use crate::error::{Error, ErrorKind, Result, Retry, Step};
use crate::http::{Reply, ServerUrl, Unverified, Verified};
use crate::json;
use crate::limits;
use crate::secret::Secret;
use crate::yaml;

/// Where an API server keeps it (`k8s.io/cluster-bootstrap/token/api/types.go`, `ConfigMapClusterInfo`).
const PATH: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";

const CHECK_URL: &str = "check the URL";
const CHECK_SERVER: &str = "check that the address is that of this cluster's API server";

/// What is used of the ConfigMap's data: the kubeconfig, and the signature of one token. A cluster has a signature for each
/// of its tokens; the others are passed over.
#[derive(Debug)]
pub struct ClusterInfo {
    kubeconfig: Option<String>,
    signature: Option<String>,
}

impl ClusterInfo {
    /// Reads the API server's JSON, with the signature of the token with this ID. Not trusted: the signature is judged.
    ///
    /// `None` for what is no ConfigMap; one that has `data`, the kubeconfig or the signature twice is none.
    #[must_use]
    pub fn from_json(json: &[u8], token_id: &str) -> Option<Self> {
        let [kubeconfig, signature] = names(token_id);
        let mut object = json::tree(json, &["data", &kubeconfig, &signature]).filter(Value::is_object)?;
        json::field(json::field(&object, "data")?, "")?;
        // Taken, not copied: they can be megabytes.
        let mut take = |name: &str| match object["data"][name].take() {
            Value::String(text) => Some(Some(text).filter(|text| !text.is_empty())),
            Value::Null => Some(None),
            _ => None,
        };
        Some(Self { kubeconfig: take(&kubeconfig)?, signature: take(&signature)? })
    }

    /// Reads the ConfigMap as `kubectl get -o json` or `-o yaml` prints it, whoever wrote it, as [`Self::from_json`] does.
    ///
    /// # Errors
    /// For what is no YAML, and for what is no ConfigMap.
    pub fn from_text(
        text: &str,
        token_id: &str,
    ) -> std::result::Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        // What is no JSON may still be YAML.
        if let Some(info) = Self::from_json(text.as_bytes(), token_id) {
            return Ok(info);
        }
        let [kubeconfig, signature] = names(token_id);
        let json = yaml::entries(text, "data", &[&kubeconfig, &signature])?;
        Self::from_json(json.as_bytes(), token_id).ok_or_else(|| "it is another kind of object".into())
    }

    /// The signed text, untouched.
    pub(crate) fn kubeconfig(&self) -> Option<&str> {
        self.kubeconfig.as_deref()
    }

    /// The detached JWS of the token.
    pub(crate) fn signature(&self) -> Option<&str> {
        self.signature.as_deref()
    }
}

/// Where the kubeconfig lies, and where the signature (`k8s.io/cluster-bootstrap/token/api/types.go`, `KubeConfigKey` and
/// `JWSSignatureKeyPrefix`).
fn names(token_id: &str) -> [String; 2] {
    ["kubeconfig".to_owned(), ["jws-kubeconfig-", token_id].concat()]
}

/// Asks `peer` for cluster-info, as far as it matters to who has the token with this ID.
///
/// # Errors
/// [`ErrorKind::Unreachable`] without an answer and from a busy server, [`ErrorKind::NotPublished`] with any other answer than
/// a ConfigMap. Both may heal: an API server that starts answers 403 for a moment, one without cluster-info answers it for
/// good.
pub fn fetch(peer: &Unverified, token_id: &str, timeout: Duration) -> Result<ClusterInfo> {
    let reply = peer.get(PATH, timeout)?;
    if reply.status != 200 {
        let meaning = match reply.status {
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
        return Err(refusal(peer.endpoint(), &reply, "the API server", meaning));
    }
    ClusterInfo::from_json(&reply.body, token_id)
        .filter(|info| info.kubeconfig().is_some() || is_config_map(&reply))
        .ok_or_else(|| {
            no_use(peer.endpoint(), &with_words("did not respond with a ConfigMap", &reply))
                .with_help(CHECK_SERVER)
        })
}

/// Whether an answer says that it is a ConfigMap, if only one without content.
fn is_config_map(reply: &Reply) -> bool {
    reply.json(&["kind"]).is_some_and(|object| object["kind"] == "ConfigMap")
}

/// Fetches the file at `url`, over a connection to its server: text of at most [`limits::FILE_BYTES`], which may hold a
/// token, and who has answered, for people.
///
/// # Errors
/// As [`fetch`], and what ends a handshake that is verified: [`ErrorKind::NotTrusted`], and [`ErrorKind::Clock`].
pub fn fetch_file(server: &Verified, url: &ServerUrl, timeout: Duration) -> Result<(Secret<String>, String)> {
    let reply = fetch_text(server, url, timeout)?;
    let who = format!("HTTP {}, {}", reply.status, reply.answerer());
    String::from_utf8(reply.body)
        .map(|text| (Secret::new(text), who))
        .map_err(|_| no_use(url.as_str(), "did not respond with UTF-8 text").with_help(CHECK_URL))
}

/// Fetches a ConfigMap from `url`, as far as it matters to who has the token with this ID: nothing of it is trusted yet.
///
/// # Errors
/// As [`fetch_file`]; what is no ConfigMap may heal.
pub fn fetch_published(
    server: &Verified,
    url: &ServerUrl,
    token_id: &str,
    timeout: Duration,
) -> Result<ClusterInfo> {
    let reply = fetch_text(server, url, timeout)?;
    let info =
        std::str::from_utf8(&reply.body).ok().and_then(|text| ClusterInfo::from_text(text, token_id).ok());
    info.filter(|info| info.kubeconfig().is_some()).ok_or_else(|| {
        // It may be another file than was meant, with a token in it: nothing of it is shown.
        let what = "did not respond with a ConfigMap (JSON or YAML) that has a kubeconfig";
        no_use(url.as_str(), &format!("{what} (HTTP {}, {})", reply.status, reply.answerer()))
            .with_help(CHECK_URL)
    })
}

fn fetch_text(server: &Verified, url: &ServerUrl, timeout: Duration) -> Result<Reply> {
    let reply = server.call(Step::Discovery, url.tail(), None, None, timeout)?;
    if reply.status != 200 {
        let meaning = match reply.status {
            300..=399 => ("redirects are not followed", "use the URL that they lead to"),
            401 | 403 => ("the file is not public", "serve it without authentication"),
            404 => ("not found", "correct the URL, or publish the file"),
            _ => ("no file", CHECK_URL),
        };
        return Err(refusal(url.as_str(), &reply, "the server", meaning));
    }
    if reply.body.len() > limits::FILE_BYTES {
        return Err(no_use(url.as_str(), "responded with more than 1 MiB").with_help(CHECK_URL));
    }
    if reply.is_page() {
        let what = with_words("responded with an HTML page", &reply);
        return Err(no_use(url.as_str(), &what).with_help(CHECK_URL));
    }
    Ok(reply)
}

/// An answer that is no success: busy servers and missing files alike may heal. Nobody is trusted yet, so that a wish
/// counts for no longer than a pause of our own.
fn refusal(who: impl Display, reply: &Reply, server: &str, meaning: (&str, &'static str)) -> Error {
    let (status, text) = (reply.status, reply.text());
    let wish = reply.retry_after().map(|wish| wish.min(limits::BACKOFF_CAP));
    let error = if reply.is_busy() {
        let what = format!("{who} responded with HTTP {status}: {server} is busy or restarting ({text})");
        Error::new(Step::Discovery, ErrorKind::Unreachable, what).with_help("check the API server and etcd")
    } else {
        let (meaning, help) = meaning;
        no_use(who, &format!("responded with HTTP {status}: {meaning} ({text})")).with_help(help)
    };
    error.with_retry(Retry::UntilDeadline(wish))
}

fn with_words(what: &str, reply: &Reply) -> String {
    format!("{what} (HTTP {}, {})", reply.status, reply.text())
}

/// An answer that is of no use for discovery; another one may be.
pub fn no_use(who: impl Display, what: &str) -> Error {
    Error::new(Step::Discovery, ErrorKind::NotPublished, format!("{who} {what}"))
        .with_retry(Retry::UntilDeadline(None))
}
