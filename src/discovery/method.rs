//! The discovery methods, each with what it needs.

use std::time::SystemTime;

use super::fetch::RemoteFile;
use crate::credentials::Credentials;
use crate::error::Result;
use crate::http::{Endpoint, ServerUrl, System};
use crate::secret::Secret;
use crate::trust::{CaBundle, Pins, Token, TrustedCluster, UnverifiedClusterInfo};

/// How the cluster is found.
#[derive(Debug)]
pub enum Method {
    /// Ask the API server for cluster-info.
    Token {
        /// Whom to ask; any one of them will do. Never empty.
        endpoints: Vec<Endpoint>,
        /// The token that signs cluster-info.
        token: Token,
        /// What requests the certificate.
        credentials: Credentials,
    },
    /// Ask the API server for cluster-info without a token that signs it: a pin has to do, and the connection to be
    /// verified by it.
    Pinned {
        /// Whom to ask; any one of them will do. Never empty.
        endpoints: Vec<Endpoint>,
        /// What requests the certificate.
        credentials: Credentials,
    },
    /// A signed cluster-info that was read already: the API server is not asked.
    LoadedClusterInfo {
        /// The ConfigMap.
        info: UnverifiedClusterInfo,
        /// What requests the certificate.
        credentials: Credentials,
    },
    /// A signed cluster-info that has to be fetched first.
    RemoteClusterInfo {
        /// Where it is.
        file: RemoteFile,
        /// The token that signs it.
        token: Token,
        /// What requests the certificate.
        credentials: Credentials,
    },
    /// Server and CA are configured, by a kubeconfig or by flags.
    Static(StaticCluster),
    /// Server and CA are configured by a kubeconfig that has to be fetched first.
    RemoteKubeconfig {
        /// Where it is.
        file: RemoteFile,
        /// The operator's token, instead of the credentials of the kubeconfig's user.
        token: Option<Secret<String>>,
    },
}

impl Method {
    /// The tokens that are known already.
    pub fn tokens(&self) -> impl Iterator<Item = &Secret<String>> {
        let (signing, requesting) = match self {
            Self::Token { token, credentials, .. } | Self::RemoteClusterInfo { token, credentials, .. } => {
                (Some(token.as_bearer()), credentials.token())
            }
            Self::LoadedClusterInfo { info, credentials } => {
                (Some(info.token.as_bearer()), credentials.token())
            }
            Self::Static(StaticCluster { credentials, .. }) | Self::Pinned { credentials, .. } => {
                (None, credentials.token())
            }
            Self::RemoteKubeconfig { token, .. } => (None, token.as_ref()),
        };
        signing.into_iter().chain(requesting)
    }

    /// The hosts that are asked first.
    pub fn hosts(&self) -> Vec<&str> {
        let server = match self {
            Self::Token { endpoints, .. } | Self::Pinned { endpoints, .. } => {
                return endpoints.iter().map(Endpoint::host).collect();
            }
            Self::LoadedClusterInfo { .. } => return Vec::new(),
            Self::RemoteClusterInfo { file, .. } | Self::RemoteKubeconfig { file, .. } => &file.url,
            Self::Static(cluster) => &cluster.server,
        };
        vec![server.endpoint().host()]
    }
}

/// A cluster that is configured: nothing else vouches for it.
#[derive(Debug)]
pub struct StaticCluster {
    /// The API server.
    pub server: ServerUrl,
    /// Its CAs.
    pub ca: CaBundle,
    /// What requests the certificate.
    pub credentials: Credentials,
}

impl StaticCluster {
    /// Trusts it, as far as `pins` allow.
    ///
    /// # Errors
    /// `ErrorKind::NotTrusted` when none of its certificates is a CA, or there are pins, and not one for each;
    /// `ErrorKind::Clock`, which is retryable, when none of the CAs is valid `now`; a usage error when the server is to be
    /// reached through a proxy that cannot be used.
    pub(super) fn trust(&self, pins: &Pins, system: &System, now: SystemTime) -> Result<TrustedCluster> {
        let Self { server, ca, credentials } = self;
        TrustedCluster::configured(system, server.clone(), ca.clone(), pins, credentials.identity(), now)
    }
}
