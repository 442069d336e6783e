//! The whole join, as one story.

mod round;
mod serving;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::Deadline;
use crate::error::{Error, Failure, Result, Retry, Step};
use crate::files::{Existing, NodeFiles};
use crate::http::{Bearer, System, Unverified};
use crate::identity::{CertificateRequest, Exchange, IssuedCertificate, Key, Kind, Verdict, Wanted};
use crate::kubelet::{KubeletFiles, Lookup, Machine};
use crate::limits;
use crate::node::NodeName;
use crate::options::{Discovery, Join};
use crate::report::{CertificateFacts, Phase, Report, Success};
use crate::retry::Backoff;
use crate::trust::{self, Pins, TrustedCluster};
use crate::x509;
use round::Round;

/// Joins this machine: finds the cluster, trusts it, writes its files and, if asked, gets the node its certificates.
///
/// Runs again at any time: what is done is found done, what was interrupted goes on with the same key and request.
///
/// # Errors
/// The failure that ended the run; its kind is the exit code.
pub fn join(options: &Join, system: &System, report: &mut Report) -> Result<Success> {
    let clock = &*system.clock;
    for warning in &options.warnings {
        report.say(&format!("warning: {warning}"));
    }
    let overall = options.timeout.map(|budget| Deadline::after(clock, budget));
    let files = NodeFiles::open(options.root.as_deref().unwrap_or(Path::new("/")))?;
    let node = node_name(options, &files, report)?;
    report.node_name = Some(node.as_str().to_owned());

    let mut patience = options.discovery_timeout.saturating_add(options.tls_bootstrap_timeout);
    patience = patience.saturating_add(options.serving.as_ref().map_or(Duration::ZERO, |s| s.timeout));
    files.lock(clock, Deadline::after(clock, patience).earlier(overall))?;

    let existing = files.existing(&node, clock.now())?;
    let success = match &existing {
        Existing::Joined(identity) => {
            let certificate = identity.certificate();
            let not_after = x509::utc(certificate.not_after);
            report.say(&format!("joined already: {} has a certificate until {not_after}", node.as_str()));
            report.certificate =
                Some(CertificateFacts { issuer: certificate.issuer.to_string(), not_after, file: None });
            if options.with_kubelet_config && !files.has_kubelet()? {
                bootstrap(options, &node, &files, &existing, system, overall, report)?;
            }
            if options.with_client_cert && !options.dry_run {
                files.clean_up(options.keep_bootstrap_kubeconfig)?;
            }
            Success::AlreadyJoined
        }
        existing => bootstrap(options, &node, &files, existing, system, overall, report)?,
    };
    let Some(serving) = options.serving.as_ref().filter(|_| !options.dry_run) else { return Ok(success) };
    let served = serving::serve(serving, &node, &files, system, overall, report)
        .map_err(|e| e.with_note("; the node is joined without its serving certificate"))?;
    Ok(if served { Success::Joined } else { success })
}

/// Makes a machine without an identity a node: discovery, trust, the client certificate, the files. A node that has its
/// identity gets the kubelet's configuration only.
fn bootstrap(
    options: &Join,
    node: &NodeName,
    files: &NodeFiles,
    existing: &Existing,
    system: &System,
    overall: Option<Deadline>,
    report: &mut Report,
) -> Result<Success> {
    let clock = &*system.clock;
    if matches!(existing, Existing::Unusable) {
        report.say("files: kubelet.conf holds no identity that a kubelet could start from; joining anew");
    }
    let cluster = trusted_cluster(options, system, overall, report)?;
    files.accepts(cluster.authorities(), existing)?;
    if options.dry_run {
        report.say("dry run: the cluster is trusted; nothing was requested or written");
        return Ok(Success::DryRun);
    }

    let deadline = Deadline::after(clock, options.tls_bootstrap_timeout).earlier(overall);
    let bearer = Bearer::new(&options.tls_bootstrap_token)?;
    // Asked before anything is requested or written: what they refuse leaves no trace, here or in the cluster.
    let joined = matches!(existing, Existing::Joined(_));
    let lookup = Lookup { api: cluster.api(), bearer: &bearer, clock, deadline };
    if options.refuse_ready_node && !joined {
        lookup.refuse_ready_node(node, report)?;
    }
    let kubelet = if options.with_kubelet_config {
        Some(kubelet_files(options, files, &lookup, node, report)?)
    } else {
        None
    };
    let write_kubelet = || kubelet.as_ref().map_or(Ok(()), |kubelet| files.write_kubelet(kubelet));
    if joined {
        write_kubelet()?;
        report.end_phase(Phase::Files, clock);
        return Ok(Success::AlreadyJoined);
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

    let (key, certificate) = certificate(&Wanted::client(node), files, report, &mut |request, report| {
        report.csr_name = Some(request.name().to_owned());
        let exchange = Exchange::new(cluster.api(), Some(&bearer), request, clock, deadline);
        exchange.run(report, &mut write_early)
    })?;
    report.end_phase(Phase::Approval, clock);
    let (issuer, not_after) = (certificate.issuer(), certificate.not_after());
    report.say(&format!("certificate: issued by {issuer}, valid until {not_after}"));

    write_early()?;
    let file = files.write_pair(Kind::CLIENT, &key, &certificate, clock.now())?;
    files.write_kubelet_conf(&cluster)?;
    report.certificate = Some(CertificateFacts { issuer, not_after, file: Some(file) });
    files.clean_up(options.keep_bootstrap_kubeconfig)?;
    report.end_phase(Phase::Files, clock);
    report.say(&format!("joined: {} can start its kubelet", node.as_str()));
    Ok(Success::Joined)
}

/// Gets the certificate that is wanted, by an `exchange`: with the pending key, or with a new one where the request of
/// an earlier run has used that up.
fn certificate(
    wanted: &Wanted,
    files: &NodeFiles,
    report: &mut Report,
    exchange: &mut dyn FnMut(&CertificateRequest, &mut Report) -> Result<Verdict>,
) -> Result<(Key, IssuedCertificate)> {
    let mut spent = 0;
    loop {
        let key = files.pending_key(wanted.kind)?;
        let request = CertificateRequest::new(&key, wanted)?;
        match exchange(&request, report)? {
            Verdict::Issued(certificate) => return Ok((key, certificate)),
            Verdict::Spent { earlier, error } => {
                files.discard_pending_key(wanted.kind)?;
                spent += 1;
                if !earlier || spent == limits::KEYS_PER_RUN {
                    return Err(error);
                }
                report.say(&format!("{error}; that was an earlier attempt, trying with a new key"));
            }
        }
    }
}

/// The image's name, or the running system's, which says nothing about an image.
fn hostname(options: &Join, files: &NodeFiles) -> Result<Option<String>> {
    match options.root {
        Some(_) => files.hostname(),
        None => Ok(Some(rustix::system::uname().nodename().to_string_lossy().into_owned())),
    }
}

/// The node's name: the given one, else the machine's.
fn node_name(options: &Join, files: &NodeFiles, report: &Report) -> Result<NodeName> {
    let name = match &options.node_name {
        Some(given) => given.clone(),
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

/// Finds the cluster and tries until it can be trusted, or until it is clear that it cannot be.
fn trusted_cluster(
    options: &Join,
    system: &System,
    overall: Option<Deadline>,
    report: &mut Report,
) -> Result<TrustedCluster> {
    let clock = &*system.clock;
    let deadline = Deadline::after(clock, options.discovery_timeout).earlier(overall);
    let mut backoff = Backoff::new(clock, deadline);
    let mut round = match &options.discovery {
        Discovery::Token { endpoints, .. } => Round::of(Unverified::to_each(system, endpoints)?),
        _ => Round::of(Vec::new()),
    };
    loop {
        let now = clock.now();
        let attempt = after_build(now).and_then(|()| match &options.discovery {
            Discovery::Token { token, pins, .. } => {
                let timeout = deadline.left(clock).unwrap_or_default().min(limits::REQUEST);
                round.ask(timeout, |info| trust::verify(info, token, pins, now))
            }
            Discovery::ClusterInfo { info, token, pins } => {
                trust::verify(info, token, pins, now).and_then(|signed| signed.without_peer(system))
            }
            Discovery::Given(given) => trust::given(system, given, now),
        });
        match attempt {
            Ok(cluster) => {
                report.server = Some(cluster.server().as_str().to_owned());
                report.ca_hashes = cluster.authorities().pins();
                report.end_phase(Phase::Discovery, clock);
                tell(&options.discovery, round.route(), &cluster, report);
                return Ok(cluster);
            }
            Err(error) if round.goes_on() => backoff.go_on(error, report)?,
            Err(error) => backoff.pause(error, report)?,
        }
    }
}

/// Says how the cluster was found and why it is trusted.
fn tell(discovery: &Discovery, route: &str, cluster: &TrustedCluster, report: &Report) {
    let server = cluster.server().as_str();
    let (source, token, pins) = match discovery {
        Discovery::Token { token, pins, .. } => (format!("fetched from {route}"), token, pins),
        Discovery::ClusterInfo { token, pins, .. } => ("given, nobody was asked".to_owned(), token, pins),
        Discovery::Given(_) => {
            return report.say(&format!("trust: server and CA are given; the API server is {server}"));
        }
    };
    report.say(&format!("discovery: cluster-info {source}"));
    let why = match pins {
        Pins::UnsafeSkip => "the signature holds, without a pin,",
        _ => "signature and CA pin hold",
    };
    report.say(&format!("trust: {why} for token {}; the API server is {server}", token.id()));
}

/// A clock that is behind the program's own making is wrong, whatever certificates say.
fn after_build(now: SystemTime) -> Result<()> {
    let built = UNIX_EPOCH + Duration::from_secs(env!("NODESTRAP_BUILD_TIME").parse().unwrap_or_default());
    if now >= built {
        return Ok(());
    }
    // The day alone: a text that changes with each second would be shown at each attempt.
    let now = x509::utc(now);
    let today = now.split('T').next().unwrap_or(&now);
    let built = x509::utc(built);
    let message =
        format!("the clock says {today}, which is before this program was made ({built}); set the clock");
    Err(Error::new(Step::Trust, Failure::Clock, message).healing(Retry::UntilDeadline(None)))
}
