//! What the fuzz targets, the comparison with Kubernetes' own code and the tests in this process use of the private
//! modules, by name. The feature `testing` has it, which this package's tests switch on; the program is built without
//! it.

pub mod asn1 {
    pub use crate::asn1::{Reader, ctx_constructed, tlv};
}
pub mod cli {
    pub use crate::cli::{Invocation, SettingSources};
}
pub mod clock {
    pub use crate::clock::{Clock, Deadline};
}
pub mod config {
    pub use crate::config::Command;
}
pub mod credentials {
    pub use crate::credentials::{ClientPair, Credentials};
}
pub mod csr {
    pub use crate::csr::{CertificateKind, CertificateRequest, CertificateTemplate, Exchange, Progress};
}
pub mod discovery {
    pub use crate::discovery::{KubeconfigSource, Method, StaticCluster, cluster_info};
}
pub mod error {
    pub use crate::error::{EXIT_CODES, Error, ErrorKind, Result};
}
pub mod http {
    pub use crate::http::{
        Bearer, Endpoint, NameSources, Network, Proxies, Roots, ServerUrl, Socket, System, SystemNetwork,
        Traffic, Unverified, Verified,
    };
}
pub mod input {
    pub use crate::input::Wait;
}
pub mod join {
    pub use crate::join::join;
}
pub mod key {
    pub use crate::key::Key;
}
pub mod kubeconfig {
    pub use crate::kubeconfig::{BootstrapUser, Kubeconfig, bootstrap, kubelet};
}
pub mod kubelet {
    pub use crate::kubelet::{ClusterQuery, Machine, NodeRegistration, Patches, for_machine};
}
pub mod limits {
    pub use crate::limits::{CERTIFICATE_BYTES, CERTIFICATES, DISCOVERY, REQUEST, YAML_BYTES};
}
pub mod log {
    pub use crate::log::Log;
}
pub mod node {
    pub use crate::node::{Layout, NodeFiles, NodePath, NodeState};
}
pub mod node_name {
    pub use crate::node_name::NodeName;
}
pub mod report {
    pub use crate::report::{CertificateInfo, Report, Success};
}
pub mod secret {
    pub use crate::secret::Secret;
}
pub mod trust {
    pub use crate::trust::{
        CaBundle, ClusterInfo, Pin, Pins, SignedCluster, Token, TrustedCluster, UnverifiedClusterInfo,
        share_a_key,
    };
}
pub mod x509 {
    pub use crate::x509::{AltName, AltNames, Certificate, Request};
}
pub mod yaml {
    pub use crate::yaml::{entries, text, to_json, tree};
}
