//! What is told of an error and of a report.

use std::fmt::Write as _;

use serde_json::Value;

use super::normalize::plain;
use super::{HOSTILE, SUITE};

/// What the error line says.
pub fn error(stderr: &str) -> Option<&str> {
    stderr.lines().rev().find_map(|line| line.trim_start_matches("nodestrap: ").strip_prefix("error: "))
}

/// The fields of a report that are not as usual, but for messages. How often something was done is told where nothing was
/// repeated.
pub fn fields(text: &mut String, report: &Value, is_counted: bool, servers: &[u16]) {
    let plain = |value: &Value| match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => plain(text, servers),
        other => plain(&other.to_string(), servers),
    };
    let outcome = plain(&report["outcome"]);
    let _ = write!(text, " {outcome}");
    for (name, value) in report.as_object().into_iter().flatten() {
        let value = match name.as_str() {
            "version" | "outcome" | "exitCode" | "error" | "help" | "findings" => continue,
            "requests" | "handshakes" if !is_counted || SUITE == HOSTILE => continue,
            "caHashes" => value.as_array().map_or(0, Vec::len).to_string(),
            "milliseconds" => phases(value),
            "certificate" | "servingCertificate" if value.is_object() => {
                let not_after = if value["notAfter"].is_string() { "" } else { " without an end" };
                format!("{} of {}{not_after}", plain(&value["file"]), plain(&value["issuer"]))
            }
            _ => plain(value),
        };
        if value != usual(&outcome, name) {
            let _ = write!(text, "; {name} {value}");
        }
    }
    let findings = report["findings"].as_array().into_iter().flatten();
    let mut findings: Vec<String> =
        findings.map(|finding| format!("{} {}", plain(&finding["level"]), plain(&finding["path"]))).collect();
    // In the order of names with dates, which change.
    findings.sort();
    for finding in findings {
        let _ = write!(text, "\n{finding}");
    }
}

/// What goes without saying.
fn usual(outcome: &str, field: &str) -> &'static str {
    match (outcome, field) {
        (_, "nodeName") => "n1",
        ("joined", "certificate") => "/var/lib/kubelet/pki/kubelet-client-DATE.pem of CN=kubernetes",
        ("joined", "csrName") => "node-csr-*",
        ("joined", "milliseconds") => "approval,discovery,files,request",
        ("joined", "requests") => "3",
        ("joined" | "prepared" | "dry-run", "server") => "https://localhost:PORT",
        ("joined" | "prepared" | "dry-run", "caHashes" | "handshakes") => "1",
        ("already-joined", "certificate") => "none of CN=kubernetes",
        (_, "caHashes" | "handshakes" | "requests") => "0",
        _ => "none",
    }
}

/// The parts of a run whose time is told.
fn phases(milliseconds: &Value) -> String {
    let told = milliseconds.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let names: Vec<&str> = told.map(|(name, _)| name.as_str()).filter(|name| *name != "total").collect();
    if names.is_empty() { "none".to_owned() } else { names.join(",") }
}
