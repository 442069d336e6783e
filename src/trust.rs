//! The trust decision: from an answer that anybody may have sent to a cluster whose CA and server are known.
//!
//! In this order: the signature with the token over the raw bytes ([`jws`]); the content, strictly; whether a CA's key is
//! pinned ([`ca`]), which makes a [`SignedCluster`]; the chain and host name of the very connection that delivered the
//! bytes, by the pinned CAs alone, which makes the [`TrustedCluster`] that all later stages take. Neither can be made in
//! another way. Where no server of the cluster has delivered the bytes, each key is pinned.

mod ca;
mod jws;
mod token;

pub use ca::{Bundle, Pin, Pins, share_a_key};
pub use token::Token;

use std::time::SystemTime;

use crate::discovery::ClusterInfo;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::http::{ClientIdentity, Roots, ServerUrl, System, Unverified, Verified};
use crate::kubeconfig::Kubeconfig;

/// A cluster that the token, and the pins where there are any, vouch for, with a verified connection to it.
#[derive(Debug)]
pub struct TrustedCluster {
    server: ServerUrl,
    authorities: Bundle,
    api: Verified,
}

impl TrustedCluster {
    /// The API server, as cluster-info names it.
    #[must_use]
    pub fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// The CAs of the cluster.
    #[must_use]
    pub fn authorities(&self) -> &Bundle {
        &self.authorities
    }

    /// The way to the API server; every handshake on it leads to one of the CAs.
    #[must_use]
    pub fn api(&self) -> &Verified {
        &self.api
    }
}

/// Content that was signed with the token and, where there are pins, by a cluster whose CA is pinned. What is left to
/// judge is the connection. Only [`verify`] makes one.
#[derive(Debug)]
pub struct SignedCluster {
    server: ServerUrl,
    authorities: Bundle,
    /// All CAs, which verify what comes once the cluster is trusted.
    roots: Roots,
    pins: Pins,
    now: SystemTime,
}

/// Decides whether `info` is what the token's cluster has signed.
///
/// `info` is not trusted at all; `token` and `pins` are. Without pins, whoever knows the token can forge cluster-info,
/// which is why [`Pins::None`] has to be asked for.
///
/// # Errors
/// [`ErrorKind::NotPublished`], which may heal, when there is no signature for this token; [`ErrorKind::Clock`], which may
/// heal, when only the time is wrong; [`ErrorKind::NotTrusted`] for everything else.
pub fn verify(info: &ClusterInfo, token: &Token, pins: &Pins, now: SystemTime) -> Result<SignedCluster> {
    let kubeconfig = jws::verify(info, token)?;
    let config =
        Kubeconfig::parse(kubeconfig).map_err(|e| malformed("its kubeconfig is invalid").caused_by(e))?;
    let cluster =
        config.discovery_cluster().map_err(|e| malformed("its kubeconfig is unusable").caused_by(e))?;
    let server = ServerUrl::parse(&cluster.server)
        .ok_or_else(|| malformed("its server is not an https:// URL with host, port and path"))?;
    let authorities =
        Bundle::from_base64(&cluster.certificate_authority_data).map_err(|problem| malformed(&problem))?;
    pins.check(&authorities)?;
    let roots = authorities.roots(now)?;
    Ok(SignedCluster { server, authorities, roots, pins: pins.clone(), now })
}

impl SignedCluster {
    /// The API server, as the content names it.
    #[must_use]
    pub fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// The CAs, all that were published.
    #[must_use]
    pub fn authorities(&self) -> &Bundle {
        &self.authorities
    }

    /// Judges the connection that delivered the content, and trusts it from then on, or goes over to the server that
    /// the content names.
    ///
    /// With pins, the dialled endpoint's chain must verify even where cluster-info names another server, as in kubeadm,
    /// and by the pinned CAs alone, which kubeadm does not ask: a holder of the token could publish his own CA beside the
    /// pinned one. Whoever holds a chain by a pinned CA is the cluster, and vouches for the rest of the bundle. Without
    /// pins the signature is enough where another server is named (`cmd/kubeadm/app/discovery/token`).
    ///
    /// # Errors
    /// [`ErrorKind::Clock`], which may heal, when only the time is wrong; else [`ErrorKind::NotTrusted`].
    pub fn over(self, peer: Unverified) -> Result<TrustedCluster> {
        let is_named = peer.endpoint() == self.server.endpoint();
        let missing = self.pins.missing_of(&self.authorities);
        // Where all CAs are pinned, the named server is judged by all of them below.
        let is_judged_below = is_named && missing.is_empty();
        if !(self.pins.given().is_empty() || is_judged_below) {
            self.check_by_pinned(&peer, missing)?;
        }
        let Self { server, authorities, roots, .. } = self;
        let api = if is_named { peer.verify(&roots, &server)? } else { peer.leave_for(&server, &roots)? };
        Ok(TrustedCluster { server, authorities, api })
    }

    /// Judges the connection by the pinned CAs alone. The keys in `missing` are not pinned.
    fn check_by_pinned(&self, peer: &Unverified, mut missing: Vec<String>) -> Result<()> {
        let check = |is_root: &dyn Fn(&str) -> bool| {
            let roots = self.authorities.roots_among(self.now, &|c| is_root(&c.pin()))?;
            peer.check_chain(&roots)
        };
        let Err(error) = check(&|key| self.pins.name(key)) else { return Ok(()) };
        missing.retain(|missing| check(&|key| key == missing).is_ok());
        if missing.is_empty() {
            return Err(error);
        }
        let (route, missing) = (peer.route(), missing.join(" or "));
        let what = format!("the certificate of {route} is not from a pinned CA, but from {missing}");
        Err(Error::new(Step::Trust, ErrorKind::NotTrusted, what)
            .with_help("if that CA is the cluster's, pin its key too"))
    }

    /// Takes content that no server of the cluster has delivered, so that nobody vouches for what is not pinned.
    ///
    /// # Errors
    /// [`ErrorKind::NotTrusted`] when there are pins, and not one for each certificate.
    fn alone(self) -> Result<Self> {
        self.pins.check_each(&self.authorities, "cluster-info")?;
        Ok(self)
    }

    /// Trusts content that came by another way than the API server's connection: from a file, say. Every connection to
    /// the server that it names is verified in its handshake.
    ///
    /// # Errors
    /// [`ErrorKind::NotTrusted`] when there are pins, and not one for each certificate. A usage error when the server is to
    /// be reached through a proxy that cannot be used. The first request dials.
    pub fn without_peer(self, system: &System) -> Result<TrustedCluster> {
        let Self { server, authorities, roots, .. } = self.alone()?;
        let api = Verified::dial(system, &server, &roots, None)?;
        Ok(TrustedCluster { server, authorities, api })
    }
}

/// Trusts a server and CAs on the operator's own word: a kubeconfig or a CA file that he put on the machine, or that
/// lies behind a URL of his. The pins hold beside it. The server will know this machine by `identity` where one is given.
///
/// # Errors
/// [`ErrorKind::NotTrusted`] when none of the certificates is a CA, or there are pins, and not one for each certificate;
/// [`ErrorKind::Clock`], which may heal, when none of the CAs is valid `now`; a usage error as of
/// [`SignedCluster::without_peer`].
pub fn given(
    system: &System,
    given: &GivenCluster,
    pins: &Pins,
    identity: Option<ClientIdentity>,
    now: SystemTime,
) -> Result<TrustedCluster> {
    let authorities = given.authorities.clone();
    pins.check_each(&authorities, "the given CA data")?;
    let api = Verified::dial(system, &given.server, &authorities.roots(now)?, identity)?;
    Ok(TrustedCluster { server: given.server.clone(), authorities, api })
}

/// A signed cluster-info from anywhere, with what it is to be judged by.
#[derive(Debug)]
pub struct Published {
    /// The ConfigMap, not verified yet.
    pub info: ClusterInfo,
    /// The token that signs it.
    pub token: Token,
    /// Which CA keys are accepted.
    pub pins: Pins,
}

impl Published {
    /// The decision of [`verify`], where no server of the cluster has delivered it.
    ///
    /// # Errors
    /// As of [`verify`], and [`ErrorKind::NotTrusted`] when there are pins, and not one for each certificate.
    pub fn verify(&self, now: SystemTime) -> Result<SignedCluster> {
        verify(&self.info, &self.token, &self.pins, now)?.alone()
    }
}

/// A cluster as the operator names it.
#[derive(Clone, Debug)]
pub struct GivenCluster {
    /// The API server.
    pub server: ServerUrl,
    /// Its CAs.
    pub authorities: Bundle,
}

/// The roots of a cluster that was trusted before, from its `ca`, PEM as the node keeps it.
///
/// # Errors
/// [`ErrorKind::Files`] for what is no bundle of certificates; [`ErrorKind::NotTrusted`] and [`ErrorKind::Clock`] as in
/// [`verify`].
pub fn roots(ca: &[u8], now: SystemTime) -> Result<Roots> {
    let bundle = Bundle::from_pem(ca.to_vec()).map_err(|problem| {
        Error::new(Step::Files, ErrorKind::Files, format!("kubelet.conf is unusable: {problem}"))
    })?;
    bundle.roots(now)
}

/// Signed content that makes no sense: no waiting heals it.
fn malformed(problem: &str) -> Error {
    let what = format!("cluster-info is signed with the token, but {problem}");
    Error::new(Step::Trust, ErrorKind::NotTrusted, what)
        .with_help("correct ConfigMap kube-public/cluster-info in the cluster")
}
