//! The two kinds of certificate that a node asks for, by what distinguishes them.

use crate::error::ErrorKind;
use crate::node_name::NodeName;
use crate::x509::{AltNames, Certificate};

/// One kind of certificate: who signs it, what for, and what its objects and files are called.
#[derive(Debug)]
pub struct CertificateKind {
    /// `spec.signerName` (`k8s.io/api/certificates/v1`).
    pub(super) signer: &'static str,
    /// `spec.usages` for an EC key (`k8s.io/client-go/util/certificate`, without key encipherment since 1.27).
    pub(super) usages: [&'static str; 2],
    /// What stands before the digest in the object's name. No kind's is the beginning of another's.
    pub(super) prefix: &'static str,
    /// Whether a certificate is one for this use.
    pub(super) has_usage: fn(&Certificate) -> bool,
    /// That use in words.
    pub(super) usage: &'static str,
    /// What it means that it is neither approved nor denied by the deadline.
    pub(super) pending: ErrorKind,
    /// How it gets decided, to stand before the command that approves it.
    pub(super) approval: &'static str,
    /// What its files' names begin with: the name of the kubelet's FileStore (`pkg/kubelet/certificate/kubelet.go`).
    pub file_prefix: &'static str,
}

impl CertificateKind {
    /// With which the node speaks to the API server.
    pub const CLIENT: &'static Self = &Self {
        signer: "kubernetes.io/kube-apiserver-client-kubelet",
        usages: ["digital signature", "client auth"],
        prefix: "node-csr-",
        has_usage: |certificate| certificate.client_auth,
        usage: "client authentication",
        pending: ErrorKind::Pending,
        approval: "bind ClusterRole system:certificates.k8s.io:certificatesigningrequests:nodeclient to the token's group for \
                   automatic approval, or approve it, the next run resumes it",
        file_prefix: "kubelet-client",
    };

    /// With which the kubelet answers the API server: logs, exec, metrics.
    pub const SERVING: &'static Self = &Self {
        signer: "kubernetes.io/kubelet-serving",
        usages: ["digital signature", "server auth"],
        prefix: "node-serving-csr-",
        has_usage: |certificate| certificate.server_auth,
        usage: "server authentication",
        pending: ErrorKind::ServingPending,
        approval: "check its names and approve it, which Kubernetes does not do by itself for serving certificates",
        file_prefix: "kubelet-server",
    };
}

/// The certificate that is asked for.
#[derive(Clone, Debug)]
pub struct CertificateTemplate {
    /// What use it is for.
    pub kind: &'static CertificateKind,
    /// Whose it is.
    pub node: NodeName,
    /// The hosts that it names: none for a client.
    pub names: AltNames,
    /// How long it is to last; the signer's own limit, and its choice where nothing is said.
    pub expiration_seconds: Option<u32>,
}

impl CertificateTemplate {
    /// The client certificate of a node.
    pub fn client(node: &NodeName) -> Self {
        let names = AltNames::default();
        Self { kind: CertificateKind::CLIENT, node: node.clone(), names, expiration_seconds: None }
    }

    /// The serving certificate of a node, for these hosts.
    pub fn serving(node: &NodeName, names: AltNames) -> Self {
        Self { kind: CertificateKind::SERVING, node: node.clone(), names, expiration_seconds: None }
    }

    /// Asks for a certificate that lasts so many seconds, of which the signer gives at most its own duration; a request
    /// that exists already keeps what it asked for.
    #[must_use]
    pub fn expiring_in(self, expiration_seconds: Option<u32>) -> Self {
        Self { expiration_seconds, ..self }
    }

    /// Whether a certificate, whosever key it holds, is one of this kind for this node and at least these hosts.
    ///
    /// # Errors
    /// A clause that says what is wrong, to stand behind "the certificate".
    pub fn matches(&self, certificate: &Certificate) -> std::result::Result<(), String> {
        if certificate.subject != self.node.subject() {
            return Err(format!("names {}", certificate.subject));
        }
        if !(self.kind.has_usage)(certificate) || certificate.is_ca {
            return Err(format!("is not for {} only", self.kind.usage));
        }
        if certificate.unknown_critical {
            return Err("has an unknown critical extension".to_owned());
        }
        if !certificate.alt_names.covers(&self.names) {
            return Err(format!("is for {} and not for {}", certificate.alt_names, self.names));
        }
        Ok(())
    }
}
