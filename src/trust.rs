//! The trust decision: from a response that anybody may have sent to a cluster whose CA and server are known.
//!
//! In this order:
//! 1. the signature with the token over the raw bytes ([`jws`]);
//! 2. the content, parsed strictly;
//! 3. whether a CA's key is pinned ([`pins`]), which makes a [`SignedCluster`];
//! 4. the chain and host name of the very connection that delivered the bytes, by the pinned CAs alone, which makes the
//!    [`TrustedCluster`] that all later stages take. Without pins it may move to the server that the content names.
//!
//! Neither can be made in another way. Where no server of the cluster has delivered the bytes, each key is pinned. Without a
//! token there is no signature: then a pin is required, and the connection decides alone ([`PinnedCluster`]).

mod ca;
mod cluster_info;
mod jws;
mod pins;
mod token;

pub use ca::{CaBundle, share_a_key};
pub use cluster_info::ClusterInfo;
pub use pins::{Pin, Pins};
pub use token::Token;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::distance;
use crate::error::{Error, ErrorKind, Result, Retry, Step};
use crate::http::{ClientIdentity, Roots, ServerUrl, System, Unverified, Verified};
use crate::kubeconfig::Kubeconfig;
use crate::x509;

/// What to do where no certificate of cluster-info is a CA's.
const PUBLISH_CA: &str = "publish the cluster's CA certificate in cluster-info";
/// What to do where none of a static configuration is.
const USE_CLUSTER_CA: &str = "use the cluster's CA certificate in the kubeconfig or the CA file";

/// A cluster that the token, and the pins where there are any, vouch for, or that is configured, with a verified connection
/// to it.
#[derive(Debug)]
pub struct TrustedCluster {
    server: ServerUrl,
    ca: CaBundle,
    api: Verified,
}

impl TrustedCluster {
    /// Trusts a server and CAs that are configured: a kubeconfig or a CA file that the operator put on the machine, or
    /// that is at a URL of theirs. The pins hold in addition. The server will know this machine by `identity` where one
    /// is given.
    ///
    /// # Errors
    /// [`ErrorKind::NotTrusted`] when none of the certificates is a CA, or there are pins, and not one for each
    /// certificate; [`ErrorKind::Clock`], which is retryable, when none of the CAs is valid `now`; a usage error when
    /// the server is to be reached through a proxy that cannot be used.
    pub fn configured(
        system: &System,
        server: ServerUrl,
        ca: CaBundle,
        pins: &Pins,
        identity: Option<ClientIdentity>,
        now: SystemTime,
    ) -> Result<Self> {
        pins.check_each(&ca, "the given CA data")?;
        let api = Verified::dial(system, &server, &ca.roots(now, USE_CLUSTER_CA)?, identity)?;
        Ok(Self { server, ca, api })
    }

    /// The API server's URL.
    pub fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// The CAs of the cluster.
    pub fn ca(&self) -> &CaBundle {
        &self.ca
    }

    /// The connection to the API server; every handshake on it leads to one of the CAs.
    pub fn api(&self) -> &Verified {
        &self.api
    }
}

/// A signed cluster-info from anywhere, with what it is to be verified by.
#[derive(Debug)]
pub struct UnverifiedClusterInfo {
    /// The content of the ConfigMap.
    pub info: ClusterInfo,
    /// The token that signs it.
    pub token: Token,
    /// Which CA keys are accepted. Without pins, anyone with the token can impersonate the cluster, which is why
    /// [`Pins::None`] has to be asked for.
    pub pins: Pins,
}

impl UnverifiedClusterInfo {
    /// Decides whether it is what the token's cluster has signed. The content is not trusted at all; token and pins are.
    ///
    /// # Errors
    /// [`ErrorKind::NotPublished`], which is retryable, when there is no signature for this token;
    /// [`ErrorKind::Clock`], which is retryable, when only the time is wrong; [`ErrorKind::NotTrusted`] for everything
    /// else.
    pub fn verify(&self, now: SystemTime) -> Result<SignedCluster> {
        let kubeconfig = jws::verify(&self.info, &self.token)?;
        ClusterContent::read(kubeconfig, &self.pins, now)
            .map(SignedCluster)
            .map_err(|problem| problem.into_error("cluster-info is signed with the token, but"))
    }
}

/// Content that nobody has signed, of a bundle with a pinned key. It proves nothing until the connection that delivered it
/// ends at a pinned certificate: then that API server said all of it. Only [`PinnedCluster::read`] makes one.
#[derive(Debug)]
pub struct PinnedCluster(ClusterContent);

impl PinnedCluster {
    /// Reads `info`, which is not trusted at all; `pins` are.
    ///
    /// # Errors
    /// [`ErrorKind::NotPublished`], which is retryable, without a kubeconfig; [`ErrorKind::Clock`], which is retryable,
    /// when only the time is wrong; [`ErrorKind::NotTrusted`] for everything else, and without pins.
    pub fn read(info: &ClusterInfo, pins: &Pins, now: SystemTime) -> Result<Self> {
        if pins.given().is_empty() {
            let what = "cluster-info without a signature needs a CA pin";
            return Err(Error::new(Step::Trust, ErrorKind::NotTrusted, what));
        }
        ClusterContent::read(jws::kubeconfig(info)?, pins, now)
            .map(Self)
            .map_err(|problem| problem.into_error("cluster-info is unusable:"))
    }

    /// Verifies the connection that delivered the content, by the pinned certificates alone and by the name that was
    /// dialled, and trusts the content from then on.
    ///
    /// # Errors
    /// [`ErrorKind::Clock`], which is retryable, when only the time is wrong; else [`ErrorKind::NotTrusted`].
    pub fn trust_via(self, peer: Unverified) -> Result<TrustedCluster> {
        self.0.trust_via(peer)
    }
}

/// What is wrong with content.
enum ContentError {
    /// It makes no sense; a clause, and its cause.
    Malformed(String, Option<Box<dyn std::error::Error + Send + Sync>>),
    /// It is well-formed, but not pinned, or outside its validity.
    Refused(Error),
}

impl ContentError {
    /// The error about `subject`, which says what is known of the content.
    fn into_error(self, subject: &str) -> Error {
        match self {
            Self::Malformed(problem, cause) => {
                let what = format!("{subject} {problem}");
                let error = Error::new(Step::Trust, ErrorKind::NotTrusted, what)
                    .with_help("correct ConfigMap kube-public/cluster-info in the cluster");
                match cause {
                    Some(cause) => error.caused_by(cause),
                    None => error,
                }
            }
            Self::Refused(error) => error,
        }
    }
}

/// Content that was signed with the token and, where there are pins, by a cluster whose CA is pinned. What is left to
/// verify is the connection. Only [`UnverifiedClusterInfo::verify`] makes one.
#[derive(Debug)]
pub struct SignedCluster(ClusterContent);

impl SignedCluster {
    /// The API server, as the content names it.
    pub fn server(&self) -> &ServerUrl {
        &self.0.server
    }

    /// The CAs, all that were published.
    pub fn ca(&self) -> &CaBundle {
        &self.0.ca
    }

    /// Verifies the connection that delivered the content, and trusts it from then on, or switches to the server that the
    /// content names.
    ///
    /// With pins, the dialled endpoint's chain must verify even where cluster-info names another server, as in kubeadm,
    /// and by the pinned CAs alone, which kubeadm does not ask: anyone with the token could publish their own CA beside the
    /// pinned one. A server with a chain by a pinned CA is the cluster, and vouches for the rest of the bundle. Without
    /// pins the signature is enough where another server is named (`cmd/kubeadm/app/discovery/token`).
    ///
    /// # Errors
    /// [`ErrorKind::Clock`], which is retryable, when only the time is wrong; else [`ErrorKind::NotTrusted`].
    pub fn trust_via(self, peer: Unverified) -> Result<TrustedCluster> {
        self.0.trust_via(peer)
    }

    /// Accepts content that no server of the cluster has delivered, so that nobody vouches for what is not pinned.
    ///
    /// # Errors
    /// [`ErrorKind::NotTrusted`] when there are pins, and not one for each certificate.
    pub fn require_every_key_pinned(self) -> Result<Self> {
        self.0.pins.check_each(&self.0.ca, "cluster-info")?;
        Ok(self)
    }

    /// Trusts content that came in another way than over the API server's connection: from a file, say. Every connection to
    /// the server that it names is verified in its handshake; the first request dials.
    ///
    /// # Errors
    /// [`ErrorKind::NotTrusted`] when there are pins, and not one for each certificate; a usage error when the server
    /// is to be reached through a proxy that cannot be used.
    pub fn trust_without_peer(self, system: &System) -> Result<TrustedCluster> {
        let ClusterContent { server, ca, roots, .. } = self.require_every_key_pinned()?.0;
        let api = Verified::dial(system, &server, &roots, None)?;
        Ok(TrustedCluster { server, ca, api })
    }
}

/// The content of a cluster-info, read strictly and held against the pins. What vouches for it says the type around it.
#[derive(Debug)]
struct ClusterContent {
    server: ServerUrl,
    ca: CaBundle,
    /// All CAs, which verify what comes once the cluster is trusted.
    roots: Roots,
    pins: Pins,
    now: SystemTime,
}

impl ClusterContent {
    /// Reads content, strictly, and holds its CAs against the pins.
    fn read(kubeconfig: &str, pins: &Pins, now: SystemTime) -> std::result::Result<Self, ContentError> {
        let malformed = |problem: &str| ContentError::Malformed(problem.to_owned(), None);
        let config = Kubeconfig::parse(kubeconfig)
            .map_err(|e| ContentError::Malformed("its kubeconfig is invalid".to_owned(), Some(e.into())))?;
        let cluster = config
            .discovery_cluster()
            .map_err(|e| ContentError::Malformed("its kubeconfig is unusable".to_owned(), Some(e.into())))?;
        let server = ServerUrl::parse(&cluster.server)
            .ok_or_else(|| malformed("its server is not an https:// URL with host, port and path"))?;
        let ca = CaBundle::from_base64(&cluster.certificate_authority_data)
            .map_err(|problem| ContentError::Malformed(problem, None))?;
        pins.check(&ca).map_err(ContentError::Refused)?;
        let roots = ca.roots(now, PUBLISH_CA).map_err(ContentError::Refused)?;
        Ok(Self { server, ca, roots, pins: pins.clone(), now })
    }

    /// Verifies the connection that delivered the content, by all rules of [`SignedCluster::trust_via`].
    fn trust_via(self, peer: Unverified) -> Result<TrustedCluster> {
        let is_named = peer.endpoint() == self.server.endpoint();
        let unpinned = self.pins.unpinned_keys(&self.ca);
        let has_pins = !self.pins.given().is_empty();
        // Where all CAs are pinned, the named server is verified by all of them below.
        let needs_pinned_chain = has_pins && !(is_named && unpinned.is_empty());
        if needs_pinned_chain {
            self.check_by_pinned(&peer, unpinned)?;
        }
        let Self { server, ca, roots, .. } = self;
        let api = if is_named { peer.verify(&roots, &server)? } else { peer.switch_to(&server, &roots)? };
        Ok(TrustedCluster { server, ca, api })
    }

    /// Verifies the connection by the pinned CAs alone. The keys in `unpinned` are not pinned.
    fn check_by_pinned(&self, peer: &Unverified, mut unpinned: Vec<String>) -> Result<()> {
        let check = |is_root: &dyn Fn(&str) -> bool| {
            let roots = self.ca.roots_among(self.now, PUBLISH_CA, &|c| is_root(&c.pin()))?;
            peer.check_chain(&roots)
        };
        let Err(error) = check(&|key| self.pins.contains(key)) else { return Ok(()) };
        unpinned.retain(|key| check(&|other| other == key).is_ok());
        if unpinned.is_empty() {
            return Err(error);
        }
        let (route, unpinned) = (peer.route(), unpinned.join(" or "));
        let what = format!("the certificate of {route} is not from a pinned CA, but from {unpinned}");
        Err(Error::new(Step::Trust, ErrorKind::NotTrusted, what).with_help(
            "if that CA is the cluster's, pin its key too; compare it with the control plane's ca.crt first",
        ))
    }
}

/// `now`, unless it is before the program was built: such a clock is wrong, whatever certificates say.
///
/// # Errors
/// [`ErrorKind::Clock`], which is retryable.
pub fn check_not_before_build_date(now: SystemTime) -> Result<SystemTime> {
    let built = UNIX_EPOCH + Duration::from_secs(env!("NODESTRAP_BUILD_TIME").parse().unwrap_or_default());
    if now >= built {
        return Ok(now);
    }
    let what = format!(
        "system time is {}, nodestrap was built at {}, {} later: the clock is behind, or that of the build was ahead",
        x509::utc(now),
        x509::utc(built),
        distance(now, built)
    );
    Err(Error::new(Step::Trust, ErrorKind::Clock, what)
        .with_help("set the clock")
        .with_retry(Retry::UntilDeadline(None)))
}
