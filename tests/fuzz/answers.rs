//! What the API server of the fixtures says about our request, in small: objects, events, and answers of HTTP.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::targets::fixtures::NODE;

const REQUEST: &str = include_str!("pki/client.csr");
const CSR_NAME: &str = include_str!("../vectors/csr-name.txt");

/// Our request, as the API server has it, with a status.
pub fn object(version: u32, status: &Value) -> Value {
    json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"name": CSR_NAME.trim(), "uid": "u-1", "resourceVersion": version.to_string()},
        "spec": {
            "request": BASE64_STANDARD.encode(REQUEST), "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "usages": ["digital signature", "client auth"],
        },
        "status": status,
    })
}

/// The status of one that was approved and signed.
pub fn issued() -> Value {
    json!({
        "conditions": [{"type": "Approved", "status": "True", "reason": "AutoApproved", "message": "m"}],
        "certificate": BASE64_STANDARD.encode(NODE),
    })
}

/// That of one that was not.
pub fn denied() -> Value {
    json!({"conditions": [{"type": "Denied", "status": "True", "reason": "R", "message": "no"}]})
}

/// What a bookmark carries.
pub fn bookmark(version: u32) -> Value {
    json!({"metadata": {"resourceVersion": version.to_string(), "creationTimestamp": null}})
}

/// A line of a watch.
pub fn event(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

/// An answer of 200 with these chunks, which does not end.
pub fn chunked(parts: &[String]) -> Vec<u8> {
    let mut text =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n".to_owned();
    for part in parts {
        let _ = write!(text, "{:x}\r\n{part}\r\n", part.len());
    }
    text.into_bytes()
}

/// An answer of 200 with this.
pub fn json(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// The requests of this version.
pub fn list(version: u32, items: &[Value]) -> Vec<u8> {
    json(&json!({"metadata": {"resourceVersion": version.to_string()}, "items": items}))
}

/// An answer with another status, and with header lines.
pub fn status(status: u16, extra: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\n{extra}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Answers one behind the other, with the mark between that begins a new one.
pub fn answers(list: &[Vec<u8>]) -> Vec<u8> {
    list.join(&[0xff, 0][..])
}
