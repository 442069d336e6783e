//! The content of ConfigMap kube-public/cluster-info, from wherever it came. Nothing of it is trusted.

use serde_json::Value;

use crate::json;
use crate::yaml;

/// What is used of the ConfigMap's data: the kubeconfig, and the signature of one token. A cluster has a signature for each
/// of its tokens; the others are passed over.
#[derive(Debug)]
pub struct ClusterInfo {
    kubeconfig: Option<String>,
    signature: Option<String>,
}

impl ClusterInfo {
    /// Reads the API server's JSON, with the signature of the token with this ID, which is empty without a token. Not
    /// trusted: the signature is verified later.
    ///
    /// `None` for what is not a ConfigMap; one that has `data`, the kubeconfig or the signature twice is none.
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
        Self::from_json(json.as_bytes(), token_id).ok_or_else(|| "it is another kind of object".into())
    }

    /// The signed text, untouched.
    pub(crate) fn kubeconfig(&self) -> Option<&str> {
        self.kubeconfig.as_deref()
    }

    /// The detached JWS of the token.
    pub(super) fn signature(&self) -> Option<&str> {
        self.signature.as_deref()
    }
}

/// The keys of the kubeconfig and of the signature (`k8s.io/cluster-bootstrap/token/api/types.go`, `KubeConfigKey` and
/// `JWSSignatureKeyPrefix`).
fn names(token_id: &str) -> [String; 2] {
    ["kubeconfig".to_owned(), ["jws-kubeconfig-", token_id].concat()]
}
