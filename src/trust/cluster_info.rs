//! The content of ConfigMap kube-public/cluster-info, from wherever it came. Nothing of it is trusted.

use serde_json::Value;

use super::token::{Token, is_plain};
use crate::json;
use crate::limits;
use crate::yaml;

/// What is used of the ConfigMap's data: the kubeconfig, and the signature of one token. A cluster has a signature for each
/// of its tokens; the others are passed over.
#[derive(Debug)]
pub struct ClusterInfo {
    kubeconfig: Option<String>,
    signature: Option<String>,
    /// The IDs of tokens that have a signature where this one has none, for messages: a mistyped ID shows beside them.
    signed: Vec<String>,
}

/// Begins the name of a signature (`k8s.io/cluster-bootstrap/token/api/types.go`, `JWSSignatureKeyPrefix`).
const SIGNATURE: &str = "jws-kubeconfig-";

impl ClusterInfo {
    /// Reads the API server's JSON, with the signature of the token with this ID, which is empty without a token. Not
    /// trusted: the signature is verified later.
    ///
    /// `None` for what is not a ConfigMap; one that has `data`, the kubeconfig or the signature twice is none.
    pub fn from_json(json: &[u8], token_id: &str) -> Option<Self> {
        Self::read(json, token_id, json)
    }

    /// Reads JSON, which is made of `text` or the same.
    fn read(json: &[u8], token_id: &str, text: &[u8]) -> Option<Self> {
        let [kubeconfig, signature] = names(token_id);
        let mut object = json::tree(json, &["data", &kubeconfig, &signature]).filter(Value::is_object)?;
        json::field(json::field(&object, "data")?, "")?;
        // Taken, not copied: they can be megabytes.
        let mut take = |name: &str| match object["data"][name].take() {
            Value::String(text) => Some(Some(text).filter(|text| !text.is_empty())),
            Value::Null => Some(None),
            _ => None,
        };
        let (kubeconfig, signature) = (take(&kubeconfig)?, take(&signature)?);
        // Without a token no signature is expected, and nothing is compared.
        let is_expected = signature.is_none() && !token_id.is_empty();
        let signed = if is_expected { signed(text) } else { Vec::new() };
        Some(Self { kubeconfig, signature, signed })
    }

    /// Reads the ConfigMap as `kubectl get -o json` or `-o yaml` prints it, with any spelling, as [`Self::from_json`] does.
    ///
    /// # Errors
    /// For what is not YAML, and for what is not a ConfigMap.
    pub fn from_text(
        text: &str,
        token_id: &str,
    ) -> std::result::Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        // What is not JSON may still be YAML.
        if let Some(info) = Self::from_json(text.as_bytes(), token_id) {
            return Ok(info);
        }
        let [kubeconfig, signature] = names(token_id);
        let json = yaml::entries(text, "data", &[&kubeconfig, &signature])?;
        Self::read(json.as_bytes(), token_id, text.as_bytes())
            .ok_or_else(|| "it is another kind of object".into())
    }

    /// The signed text, untouched.
    pub(crate) fn kubeconfig(&self) -> Option<&str> {
        self.kubeconfig.as_deref()
    }

    /// The tokens whose signatures are there where this token's is missing.
    pub(super) fn signed(&self) -> &[String] {
        &self.signed
    }

    /// The detached JWS of the token.
    pub(super) fn signature(&self) -> Option<&str> {
        self.signature.as_deref()
    }
}

/// The keys of the kubeconfig and of the signature (`k8s.io/cluster-bootstrap/token/api/types.go`, `KubeConfigKey`).
fn names(token_id: &str) -> [String; 2] {
    ["kubeconfig".to_owned(), [SIGNATURE, token_id].concat()]
}

/// The IDs behind [`SIGNATURE`] anywhere in a text, the first [`limits::SHOWN_NAMES`] of them. Not trusted: of the shape of
/// an ID, and no more.
fn signed(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let mut ids: Vec<String> = Vec::new();
    for (at, _) in text.match_indices(SIGNATURE) {
        let rest = &text[at + SIGNATURE.len()..];
        let id = rest.get(..Token::ID_LENGTH).filter(|id| is_plain(id));
        if let Some(id) = id.filter(|id| !ids.iter().any(|known| known == id)) {
            ids.push(id.to_owned());
        }
        if ids.len() == limits::SHOWN_NAMES {
            break;
        }
    }
    ids
}
