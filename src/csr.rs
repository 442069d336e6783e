//! The node's identity: a key of its own, the request for a certificate, and the certificate that fits both; and what the
//! machine is known by until it has one.

mod credentials;
mod request;
mod exchange;
mod issued;
mod key;
mod kind;
mod object;

pub use credentials::{ClientPair, Credentials};
pub use exchange::{Exchange, Progress};
pub use issued::IssuedCertificate;
pub use key::Key;
pub use kind::{CertificateKind, CertificateTemplate};
pub use request::CertificateRequest;

#[cfg(test)]
mod tests;
