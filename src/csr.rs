//! The node's identity: a key of its own, the request for a certificate, and the certificate that fits both; and what the
//! machine is known by until it has one.

mod credentials;
mod request;
mod exchange;
mod issued;
mod key;
mod kind;
mod object;
mod rsa_key;

pub use credentials::{ClientPair, Credentials};
pub use exchange::{Exchange, Progress};
pub use issued::IssuedCertificate;
pub use key::Key;
pub use kind::{CertificateKind, CertificateTemplate};
pub use request::CertificateRequest;
pub use rsa_key::RsaKey;

#[cfg(test)]
mod tests;
