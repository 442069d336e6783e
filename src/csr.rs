//! The node's identity: a key of its own, the request for a certificate, and the certificate that fits both.
//!
//! [`CertificateKind`] is what tells a client certificate from a serving one: signer, usages, names of objects and files.
//! [`Exchange`] is polled by the join, which alone waits, prints and writes.

mod request;
mod exchange;
mod issued;
mod kind;
mod object;

pub use exchange::{Exchange, Progress};
pub use issued::IssuedCertificate;
pub use kind::{CertificateKind, CertificateTemplate};
pub use request::CertificateRequest;

#[cfg(test)]
mod tests;
