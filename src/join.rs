//! The whole join, as one story.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::Deadline;
use crate::discovery;
use crate::error::{Error, Failure, Result, Retry, Step};
use crate::files::{Existing, NodeFiles};
use crate::http::{Bearer, System, Unverified};
use crate::identity::{CertificateRequest, Exchange, Verdict};
use crate::kubelet::{KubeletFiles, Lookup, Machine};
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
    let joined = matches!(existing, Existing::Joined(_));
    if let Existing::Joined(certificate) = &existing {
        let not_after = x509::utc(certificate.not_after);
        report.say(&format!("joined already: {} has a certificate until {not_after}", node.as_str()));
        report.certificate =
            Some(CertificateFacts { issuer: certificate.issuer.to_string(), not_after, file: None });
        if !options.with_kubelet_config || files.has_kubelet()? {
            return already_joined(options, &files);
        }
    }

    let cluster = trusted_cluster(options, system, overall, report)?;
    files.accepts(cluster.authorities(), &existing)?;

    let deadline = Deadline::after(clock, options.tls_bootstrap_timeout).earlier(overall);
    let bearer = Bearer::new(options.tls_bootstrap_token.whole())?;
    // Asked before anything is requested or written: what they refuse leaves no trace, here or in the cluster.
    let lookup = Lookup { api: cluster.api(), bearer: &bearer, clock, deadline };
    if options.refuse_ready_node && !joined {
        lookup.refuse_ready_node(&node, report)?;
    }
    let kubelet = if options.with_kubelet_config {
        Some(kubelet_files(options, &files, &lookup, &node, report)?)
    } else {
        None
    };
    let write_kubelet = || kubelet.as_ref().map_or(Ok(()), |kubelet| files.write_kubelet(kubelet));
    if joined {
        write_kubelet()?;
        report.end_phase(Phase::Files, clock);
        return already_joined(options, &files);
    }
    // The token's file comes last: with it a kubelet can finish alone, and it needs its configuration for that.
    let mut write_early = || {
        write_kubelet()?;
        files.write_discovery(&cluster, &options.tls_bootstrap_token)
    };
    if !options.with_client_cert {
        write_early()?;
        report.end_phase(Phase::Files, clock);
        report.say("prepared: ca.crt and bootstrap-kubelet.conf are in place");
        return Ok(Success::Prepared);
    }

    let mut spent = 0;
    let (key, certificate) = loop {
        let key = files.pending_key()?;
        let request = CertificateRequest::new(&key, &node)?;
        report.csr_name = Some(request.name().to_owned());
        let exchange = Exchange::new(cluster.api(), &bearer, &request, clock, deadline);
        match exchange.run(report, &mut write_early)? {
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

    write_early()?;
    let file = files.write_identity(&cluster, &key, &certificate, clock.now())?;
    report.certificate = Some(CertificateFacts { issuer, not_after, file: Some(file) });
    files.clean_up(options.keep_bootstrap_kubeconfig)?;
    report.end_phase(Phase::Files, clock);
    report.say(&format!("joined: {} can start its kubelet", node.as_str()));
    Ok(Success::Joined)
}

/// What is left to do on a node that has its identity.
fn already_joined(options: &Join, files: &NodeFiles) -> Result<Success> {
    if options.with_client_cert {
        files.clean_up(options.keep_bootstrap_kubeconfig)?;
    }
    Ok(Success::AlreadyJoined)
}

/// The image's name, or the running system's, which says nothing about an image.
fn hostname(options: &Join, files: &NodeFiles) -> Result<Option<String>> {
    match options.root {
        Some(_) => files.hostname(),
        None => Ok(Some(rustix::system::uname().nodename().to_string_lossy().into_owned())),
    }
}

/// The node's name: that of the kubelet's own flag, else the given one, else the machine's.
fn node_name(options: &Join, files: &NodeFiles, report: &Report) -> Result<NodeName> {
    let name = match options.registration.hostname_override().or(options.node_name.as_deref()) {
        Some(given) => given.to_owned(),
        None => hostname(options, files)?.unwrap_or_default(),
    };
    let node = NodeName::new(&name)?;
    if !node.fits_label() {
        report.say("warning: the node name is longer than 63 characters, no kubelet can register under it");
    }
    Ok(node)
}

/// The kubelet's configuration and flags, for this machine.
fn kubelet_files(
    options: &Join,
    files: &NodeFiles,
    lookup: &Lookup<'_>,
    node: &NodeName,
    report: &mut Report,
) -> Result<KubeletFiles> {
    let cri_socket = match &options.registration.cri_socket {
        Some(given) => given.clone(),
        None => files.cri_socket()?,
    };
    let hostname = hostname(options, files)?;
    let resolved = files.has_resolved()?;
    let machine = Machine { node, hostname: hostname.as_deref(), cri_socket: &cri_socket, resolved };
    let kubelet = lookup.kubelet_files(&options.registration, &machine, report)?;
    report.say(&format!("kubelet: configuration fetched; the container runtime is {cri_socket}"));
    Ok(kubelet)
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
    let mut peer = Unverified::new(system, &options.endpoint)?;
    loop {
        let timeout = deadline.left(clock).unwrap_or_default().min(limits::REQUEST);
        let signed = after_build(clock.now())
            .and_then(|()| discovery::fetch(&peer, timeout))
            .and_then(|info| trust::verify(&info, &options.discovery_token, &options.pins, clock.now()));
        let error = match signed {
            Ok(signed) => match signed.over(peer) {
                Ok(cluster) => {
                    report.server = Some(cluster.server().as_str().to_owned());
                    report.ca_hashes = cluster.authorities().pins();
                    report.end_phase(Phase::Discovery, clock);
                    report.say(&format!("discovery: cluster-info fetched from {}", options.endpoint));
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
                Err(error) => {
                    peer = Unverified::new(system, &options.endpoint)?;
                    error
                }
            },
            Err(error) => error,
        };
        backoff.pause(error, report)?;
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
