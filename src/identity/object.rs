//! CertificateSigningRequest objects, as the API server sends them (`k8s.io/api/certificates/v1/types.go`).

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::csr::CertificateRequest;
use super::issued::IssuedCertificate;
use crate::error::{Error, Failure, Result, Step, foreign};
use crate::json::{Item, few, or_default};

/// An object, as far as it is judged.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Object {
    pub(super) metadata: Metadata,
    #[serde(default, deserialize_with = "or_default")]
    spec: Spec,
    #[serde(default)]
    status: Option<Status>,
}

/// Its name, identity and version.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    #[serde(deserialize_with = "or_default")]
    pub(super) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) uid: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) resource_version: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(deserialize_with = "or_default")]
    request: String,
    #[serde(deserialize_with = "or_default")]
    signer_name: String,
    #[serde(deserialize_with = "few")]
    usages: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    #[serde(deserialize_with = "few")]
    conditions: Vec<Condition>,
    certificate: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(deserialize_with = "or_default")]
    r#type: String,
    #[serde(deserialize_with = "or_default")]
    reason: String,
    #[serde(deserialize_with = "or_default")]
    message: String,
}

impl Item<'_> for Condition {
    fn matters(&self) -> bool {
        matches!(self.r#type.as_str(), "Approved" | "Denied" | "Failed")
    }
}

impl Item<'_> for Object {}

/// A list of objects; its version is where a watch goes on.
#[derive(Debug, Deserialize)]
pub(super) struct List {
    pub(super) metadata: Metadata,
    #[serde(default, deserialize_with = "few")]
    pub(super) items: Vec<Object>,
}

/// One line of a watch (`k8s.io/apimachinery/pkg/apis/meta/v1/watch.go`).
#[derive(Debug, Deserialize)]
pub(super) struct Event<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'a str,
    #[serde(borrow)]
    pub(super) object: &'a RawValue,
}

/// The object of a bookmark: empty but for its version.
#[derive(Debug, Deserialize)]
pub(super) struct Bookmark {
    pub(super) metadata: Metadata,
}

/// The Status inside an ERROR event.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamError {
    #[serde(deserialize_with = "or_default")]
    pub(super) code: u16,
    #[serde(deserialize_with = "or_default")]
    pub(super) message: String,
}

/// What an object means for us.
#[derive(Debug)]
pub(super) enum Judgement {
    /// Nobody has decided yet, or the signer has not signed yet.
    Pending,
    /// The certificate is there and ours.
    Issued(IssuedCertificate),
    /// This object will never bring a certificate that is of use: the key needs another request.
    Spent(Error),
}

impl Object {
    /// Judges the object that bears our request's name; it may not be ours, and may be old.
    ///
    /// Conditions count by type alone, as for the kubelet (`csr.WaitForCertificate`); a certificate counts only
    /// beside Approved.
    ///
    /// # Errors
    /// When the certificate is not valid yet.
    pub(super) fn judge(&self, ours: &CertificateRequest, now: SystemTime) -> Result<Judgement> {
        let name = ours.name();
        let spent = |failure: Failure, message: String| {
            Ok(Judgement::Spent(Error::new(Step::Approval, failure, message)))
        };
        let (spec, kind) = (&self.spec, ours.wanted.kind);
        if spec.signer_name != kind.signer || spec.usages != kind.usages || !ours.is_like(&spec.request) {
            return spent(Failure::Denied, format!("{name} exists but asks for something else; delete it"));
        }
        let Some(status) = &self.status else { return Ok(Judgement::Pending) };
        let find = |kind: &str| status.conditions.iter().find(|condition| condition.r#type == kind);
        let words = |c: &Condition| foreign(&format!("{}: {}", c.reason, c.message));
        if let Some(condition) = find("Denied") {
            return spent(
                Failure::Denied,
                format!(
                    "{name} was denied ({}); ask the approver, the next run files a new request",
                    words(condition)
                ),
            );
        }
        if let Some(condition) = find("Failed") {
            let words = words(condition);
            return spent(
                Failure::Denied,
                format!("{name} failed at the signer ({words}); ask whoever runs it"),
            );
        }
        let certificate = status.certificate.as_deref().filter(|text| !text.is_empty());
        match (find("Approved"), certificate) {
            (Some(_), Some(base64)) => {
                let pem = STANDARD.decode(base64).unwrap_or_default();
                let certificate = match IssuedCertificate::check(&pem, ours) {
                    Ok(certificate) => certificate,
                    Err(error) => return Ok(Judgement::Spent(error)),
                };
                match certificate.out_of_time(now) {
                    None => Ok(Judgement::Issued(certificate)),
                    Some(error) if certificate.is_expired(now) => Ok(Judgement::Spent(error)),
                    Some(error) => Err(error),
                }
            }
            _ => Ok(Judgement::Pending),
        }
    }
}
