//! The whole join, as one story.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::Deadline;
use crate::discovery;
use crate::error::{Error, Failure, Result, Retry, Step};
use crate::files::{Existing, NodeFiles};
use crate::http::{Bearer, System, Unverified};
use crate::identity::{CertificateRequest, Exchange, Verdict};
use crate::limits;
use crate::node::NodeName;
use crate::options::Join;
use crate::report::{CertificateFacts, Phase, Report, Success};
use crate::retry::Backoff;
use crate::trust::{self, Pins, TrustedCluster};
use crate::x509;

/// Joins this machine: finds the cluster, trusts it, writes its files and, if asked, gets the node its certificate.
///
/// Runs again at any time: what is done is found done, what was interrupted goes on with the same key and request.
///
/// # Errors
/// The failure that ended the run; its kind is the exit code.
pub fn join(options: &Join, system: &System, report: &mut Report) -> Result<Success> {
    let clock = &*system.clock;
    let overall = options.timeout.map(|budget| Deadline::after(clock, budget));
    let files = NodeFiles::open(options.root.as_deref().unwrap_or(Path::new("/")))?;
    let node = node_name(options, &files, report)?;
    report.node_name = Some(node.as_str().to_owned());

    let patience = options.discovery_timeout.saturating_add(options.tls_bootstrap_timeout);
    files.lock(clock, Deadline::after(clock, patience).earlier(overall))?;

    let existing = files.existing(&node, clock.now())?;
    if let Existing::Joined(certificate) = &existing {
        if options.with_client_cert {
            files.clean_up(options.keep_bootstrap_kubeconfig)?;
        }
        let not_after = x509::utc(certificate.not_after);
        report.say(&format!("joined already: {} has a certificate until {not_after}", node.as_str()));
        report.certificate =
            Some(CertificateFacts { issuer: certificate.issuer.to_string(), not_after, file: None });
        return Ok(Success::AlreadyJoined);
    }

    let cluster = trusted_cluster(options, system, overall, report)?;
    files.accepts(cluster.authorities(), &existing)?;
    let mut write_discovery = || files.write_discovery(&cluster, &options.tls_bootstrap_token);
    if !options.with_client_cert {
        write_discovery()?;
        report.end_phase(Phase::Files, clock);
        report.say("prepared: ca.crt and bootstrap-kubelet.conf are in place");
        return Ok(Success::Prepared);
    }

    let deadline = Deadline::after(clock, options.tls_bootstrap_timeout).earlier(overall);
    let bearer = Bearer::new(options.tls_bootstrap_token.whole())?;
    let mut spent = 0;
    let (key, certificate) = loop {
        let key = files.pending_key()?;
        let request = CertificateRequest::new(&key, &node)?;
        report.csr_name = Some(request.name().to_owned());
        let exchange = Exchange::new(cluster.api(), &bearer, &request, clock, deadline);
        match exchange.run(report, &mut write_discovery)? {
            Verdict::Issued(certificate) => break (key, certificate),
            Verdict::Spent { earlier, error } => {
                files.discard_pending_key()?;
                spent += 1;
                if !earlier || spent == limits::KEYS_PER_RUN {
                    return Err(error);
                }
                report.say(&format!("{error}; that was an earlier attempt, trying with a new key"));
            }
        }
    };
    report.end_phase(Phase::Approval, clock);
    let (issuer, not_after) = (certificate.issuer(), certificate.not_after());
    report.say(&format!("certificate: issued by {issuer}, valid until {not_after}"));

    write_discovery()?;
    let file = files.write_identity(&cluster, &key, &certificate, clock.now())?;
    report.certificate = Some(CertificateFacts { issuer, not_after, file: Some(file) });
    files.clean_up(options.keep_bootstrap_kubeconfig)?;
    report.end_phase(Phase::Files, clock);
    report.say(&format!("joined: {} can start its kubelet", node.as_str()));
    Ok(Success::Joined)
}

/// The node's name: the given one, else the image's, else the running system's, which says nothing about an image.
fn node_name(options: &Join, files: &NodeFiles, report: &Report) -> Result<NodeName> {
    let name = match (&options.node_name, &options.root) {
        (Some(given), _) => given.clone(),
        (None, Some(_)) => files.hostname()?.unwrap_or_default(),
        (None, None) => rustix::system::uname().nodename().to_string_lossy().into_owned(),
    };
    let node = NodeName::new(&name)?;
    if !node.fits_label() {
        report.say("warning: the node name is longer than 63 characters, no kubelet can register under it");
    }
    Ok(node)
}

/// Fetches cluster-info until it can be trusted, or until it is clear that it cannot be.
fn trusted_cluster(
    options: &Join,
    system: &System,
    overall: Option<Deadline>,
    report: &mut Report,
) -> Result<TrustedCluster> {
    let clock = &*system.clock;
    let deadline = Deadline::after(clock, options.discovery_timeout).earlier(overall);
    let mut backoff = Backoff::new(clock, deadline);
    let mut peers = Unverified::to_each(system, &options.endpoints)?;
    let mut turn = 0;
    loop {
        let peer = &mut peers[turn];
        let timeout = deadline.left(clock).unwrap_or_default().min(limits::REQUEST);
        let signed = after_build(clock.now())
            .and_then(|()| discovery::fetch(peer, timeout))
            .and_then(|info| trust::verify(&info, &options.discovery_token, &options.pins, clock.now()));
        let trusted = signed.and_then(|signed| {
            let next = peer.anew()?;
            signed.over(std::mem::replace(peer, next))
        });
        let error = match trusted {
            Ok(cluster) => {
                report.server = Some(cluster.server().as_str().to_owned());
                report.ca_hashes = cluster.authorities().pins();
                report.end_phase(Phase::Discovery, clock);
                report.say(&format!("discovery: cluster-info fetched from {}", peer.route()));
                report.say(&format!(
                    "trust: {} for token {}; the API server is {}",
                    if matches!(options.pins, Pins::UnsafeSkip) {
                        "the signature holds, without a pin,"
                    } else {
                        "signature and CA pin hold"
                    },
                    options.discovery_token.id(),
                    cluster.server().as_str()
                ));
                return Ok(cluster);
            }
            Err(error) => error,
        };
        turn = (turn + 1) % peers.len();
        if turn == 0 {
            backoff.pause(error, report)?;
        } else {
            backoff.go_on(error, report)?;
        }
    }
}

/// A clock that is behind the program's own making is wrong, whatever certificates say.
fn after_build(now: SystemTime) -> Result<()> {
    let built = UNIX_EPOCH + Duration::from_secs(env!("NODESTRAP_BUILD_TIME").parse().unwrap_or_default());
    if now >= built {
        return Ok(());
    }
    let message = format!(
        "the clock says {}, which is before this program was made ({}); set the clock",
        x509::utc(now),
        x509::utc(built)
    );
    Err(Error::new(Step::Trust, Failure::Clock, message).healing(Retry::UntilDeadline(None)))
}
