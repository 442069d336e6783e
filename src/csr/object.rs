//! CertificateSigningRequest objects, as the API server sends them (`k8s.io/api/certificates/v1/types.go`).

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::issued::IssuedCertificate;
use super::request::CertificateRequest;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::http;
use crate::json;
use crate::sanitize::sanitize;

/// The fields of requests, lists, watch events (`k8s.io/apimachinery/pkg/apis/meta/v1/watch.go`) and the Status in an
/// event of an error that are read.
pub(super) const FIELDS: [&str; 17] = [
    "type",
    "object",
    "metadata",
    "name",
    "uid",
    "resourceVersion",
    "items",
    "spec",
    "request",
    "signerName",
    "usages",
    "status",
    "conditions",
    "reason",
    "message",
    "certificate",
    "code",
];

/// An object, as far as it is checked.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) resource_version: String,
    request: String,
    signer_name: String,
    usages: Vec<String>,
    conditions: Vec<Condition>,
    certificate: String,
}

#[derive(Debug)]
struct Condition {
    kind: String,
    reason: String,
    message: String,
}

/// The version in the metadata of an object or a list, where a watch goes on.
pub(super) fn resource_version(object: &Value) -> Option<String> {
    Some(json::text(metadata(object)?, "resourceVersion")?.to_owned())
}

fn metadata(object: &Value) -> Option<&Value> {
    json::field(object, "metadata").filter(|metadata| metadata.is_object())
}

/// One line of a watch.
#[derive(Debug)]
pub(super) enum Event {
    /// An object was added, modified or deleted.
    Object {
        /// The object, the last state of a deleted one.
        object: Object,
        is_deleted: bool,
    },
    /// The version where a watch goes on.
    Bookmark(String),
    /// The API server ends the watch, for this reason.
    Failed(String),
}

impl Event {
    /// Reads a line, which is not trusted.
    ///
    /// # Errors
    /// For what is not an event, or has a field of another type.
    pub(super) fn read(line: &[u8]) -> Result<Self> {
        let unreadable = |what| http::unreadable(Step::Approval, what, &http::first_words(line));
        let event = json::tree(line, &FIELDS).unwrap_or_default();
        let object = &event["object"];
        let Some(kind) = event["type"].as_str().filter(|_| object.is_object()) else {
            return Err(unreadable("a watch event"));
        };
        match kind {
            "ERROR" => {
                let code = match &object["code"] {
                    Value::Null => Some(0),
                    code => code.as_u64(),
                };
                let (Some(code), Some(message)) = (code, json::text(object, "message")) else {
                    return Err(unreadable("a watch error"));
                };
                Ok(Self::Failed(format!("watch failed with {code} ({})", sanitize(message))))
            }
            "BOOKMARK" => {
                Ok(Self::Bookmark(resource_version(object).ok_or_else(|| unreadable("a bookmark"))?))
            }
            _ => {
                let object = Object::read(object).ok_or_else(|| unreadable("a watched object"))?;
                Ok(Self::Object { object, is_deleted: kind == "DELETED" })
            }
        }
    }
}

/// What a CertificateSigningRequest has come to.
#[derive(Debug)]
pub(super) enum CsrStatus {
    /// It is neither approved nor denied yet, or the signer has not signed yet.
    Pending,
    /// The certificate is there and ours.
    Issued(IssuedCertificate),
    /// This object will never bring a certificate of use: a new key is needed.
    Unusable(Error),
}

impl Object {
    /// Takes an object of which [`FIELDS`] were read. `None` for what is not an object with metadata, or has a field of
    /// another type.
    pub(super) fn read(object: &Value) -> Option<Self> {
        let text = |value: &Value, name: &str| json::text(value, name).map(str::to_owned);
        let metadata = metadata(object)?;
        let (spec, status) = (json::field(object, "spec")?, json::field(object, "status")?);
        let usages = json::list(spec, "usages")?.iter().map(|usage| json::string(usage).map(str::to_owned));
        let conditions = json::list(status, "conditions")?.iter().map(|condition| {
            Some(Condition {
                kind: text(condition, "type")?,
                reason: text(condition, "reason")?,
                message: text(condition, "message")?,
            })
        });
        Some(Self {
            name: text(metadata, "name")?,
            uid: text(metadata, "uid")?,
            resource_version: text(metadata, "resourceVersion")?,
            request: text(spec, "request")?,
            signer_name: text(spec, "signerName")?,
            usages: usages.collect::<Option<_>>()?,
            conditions: conditions.collect::<Option<_>>()?,
            certificate: text(status, "certificate")?,
        })
    }

    /// Checks the object that bears our request's name; it may not be ours, and may be old.
    ///
    /// Conditions count by type alone, as for the kubelet (`csr.WaitForCertificate`); a certificate counts only
    /// beside Approved.
    ///
    /// # Errors
    /// When the certificate is not valid yet.
    pub(super) fn check(&self, ours: &CertificateRequest, now: SystemTime) -> Result<CsrStatus> {
        let name = ours.name();
        let unusable = |what: String, help: &'static str| {
            Ok(CsrStatus::Unusable(Error::new(Step::Approval, ErrorKind::Denied, what).with_help(help)))
        };
        let kind = ours.template.kind;
        if self.signer_name != kind.signer || self.usages != kind.usages || !ours.is_compatible(&self.request)
        {
            return unusable(
                format!("CSR {name} already exists and differs from this node's request"),
                "delete it",
            );
        }
        let find = |kind: &str| self.conditions.iter().find(|condition| condition.kind == kind);
        let words = |c: &Condition| sanitize(&format!("{}: {}", c.reason, c.message));
        if let Some(condition) = find("Denied") {
            let what = format!("CSR {name} was denied ({})", words(condition));
            return unusable(what, "contact the cluster administrator; the next run creates a new CSR");
        }
        if let Some(condition) = find("Failed") {
            return unusable(
                format!("CSR {name} failed at the signer ({})", words(condition)),
                "check the logs of the signer (kube-controller-manager)",
            );
        }
        match (find("Approved"), self.certificate.as_str()) {
            (None, _) | (_, "") => Ok(CsrStatus::Pending),
            (Some(_), base64) => {
                let pem = STANDARD.decode(base64).unwrap_or_default();
                let certificate = match IssuedCertificate::check(&pem, ours) {
                    Ok(certificate) => certificate,
                    Err(error) => return Ok(CsrStatus::Unusable(error)),
                };
                match certificate.validity_error(now) {
                    None => Ok(CsrStatus::Issued(certificate)),
                    Some(error) if certificate.is_expired(now) => Ok(CsrStatus::Unusable(error)),
                    Some(error) => Err(error),
                }
            }
        }
    }
}
