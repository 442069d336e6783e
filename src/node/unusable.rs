//! Why no kubelet could start from the kubelet.conf that is there, as data.

use std::fmt::{self, Display, Formatter};
use std::time::SystemTime;

use crate::clock::distance;
use crate::http::ServerUrl;
use crate::kubeconfig::{Cluster, KubeconfigError};
use crate::sanitize::sanitize;
use crate::x509::{Certificate, utc};

/// An identity that a kubelet could not start from.
#[derive(Debug)]
pub struct Unusable {
    /// The first thing that is wrong with it.
    pub problem: Problem,
    /// The CAs that it trusts; none where they cannot be read.
    pub authorities: Vec<Certificate>,
}

/// What others could have written is nobody's identity.
pub(super) const WRITABLE: &str = "other users can write to it";

/// What is wrong with a kubelet.conf, or with a file that it names.
#[derive(Debug)]
pub enum Problem {
    /// Others could have written it.
    Writable,
    /// It is not text.
    NotText,
    /// It is not a kubeconfig.
    Kubeconfig(KubeconfigError),
    /// Its current context does not lead to a cluster and a user.
    Context,
    /// The field `server` is missing or empty.
    ServerUnset,
    /// The field `server` is no URL of an API server.
    Server,
    /// It turns verification off.
    Insecure,
    /// A part of it, by its field and its file where it has one, and what is wrong with it.
    Part(String, &'static str),
    /// The certificate at this place of the client's chain is expired.
    Expired {
        /// 0 for the client's own.
        place: usize,
        /// The last second of its validity.
        not_after: SystemTime,
        /// What the clock said.
        now: SystemTime,
    },
}

/// The clause behind "kubelet.conf is unusable:".
impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Writable => f.write_str(WRITABLE),
            Self::NotText => f.write_str("it is not UTF-8 text"),
            Self::Kubeconfig(e) => write!(f, "not a kubeconfig: {e}"),
            Self::Context => f.write_str("its current-context does not lead to a cluster and a user"),
            Self::ServerUnset => f.write_str("its cluster has no server"),
            Self::Server => f.write_str("the server of its cluster is not an https:// URL"),
            Self::Insecure => f.write_str("insecure-skip-tls-verify is set"),
            Self::Part(part, problem) => write!(f, "{}: {problem}", sanitize(part)),
            Self::Expired { place, not_after, now } => {
                f.write_str(if *place == 0 { "client" } else { "an intermediate" })?;
                write!(f, " certificate expired {} ({} ago)", utc(*not_after), distance(*now, *not_after))
            }
        }
    }
}

/// Whether a kubelet could talk to the server of this cluster at all (`k8s.io/client-go/rest`, `IsConfigTransportTLS`: it
/// sends no client certificate to anything but an https:// URL; `transport.TLSConfigFor`).
pub(super) fn check_server(cluster: &Cluster) -> Result<(), Problem> {
    if cluster.server.is_empty() {
        return Err(Problem::ServerUnset);
    }
    if cluster.insecure_skip_tls_verify {
        return Err(Problem::Insecure);
    }
    // client-go drops the query and the fragment. It would take a user's name for Basic authentication.
    let (scheme, rest) = cluster.server.split_once("://").unwrap_or_default();
    let rest = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
    let is_server =
        scheme.eq_ignore_ascii_case("https") && ServerUrl::parse(&["https://", rest].concat()).is_some();
    if is_server { Ok(()) } else { Err(Problem::Server) }
}
