//! The whole join, as one story.

mod fetched;
mod round;
mod serving;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::{Clock, Deadline};
use crate::disk;
use crate::error::{Error, Failure, Result, Retry, Step};
use crate::files::{Existing, Identity, NodeFiles};
use crate::http::{System, Unverified};
use crate::identity::{
    CertificateRequest, Credentials, Exchange, IssuedCertificate, Key, Kind, Verdict, Wait, Wanted,
};
use crate::kubelet::{KubeletFiles, Lookup, Machine};
use crate::limits;
use crate::node::NodeName;
use crate::options::{Discovery, Join, Source, Vouched};
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
    let success = run(options, system, report)?;
    if matches!(success, Success::Joined | Success::AlreadyJoined) && !options.dry_run {
        for file in &options.token_files {
            remove_token(file, report);
        }
    }
    Ok(success)
}

fn run(options: &Join, system: &System, report: &mut Report) -> Result<Success> {
    let clock = &*system.clock;
    report.warn(&options.warnings);
    let overall = options.timeout.map(|budget| Deadline::after(clock, budget));
    let files = NodeFiles::open(options.root.as_deref().unwrap_or(Path::new("/")), options.layout.clone())?;
    let node = node_name(options, &files, report)?;
    report.node_name = Some(node.as_str().to_owned());

    let mut patience = options.discovery_timeout.saturating_add(options.tls_bootstrap_timeout);
    patience = patience.saturating_add(options.serving.as_ref().map_or(Duration::ZERO, |s| s.timeout));
    patience = patience.saturating_add(options.splay);
    files.lock(clock, Deadline::after(clock, patience).earlier(overall))?;

    let existing = files.existing(&node, clock.now())?;
    if !options.replace {
        files.refuse_foreign(&existing, &node)?;
    }
    let run = |report: &mut Report| bootstrap(options, &node, &files, &existing, system, overall, report);
    let success = match &existing {
        Existing::Joined(identity) => {
            // Without --replace nobody is asked whose cluster it is; with it, only where no pin tells.
            let is_here =
                !options.replace || identity.authorities().is_some_and(|own| options.discovery.is_of(&own));
            if is_here {
                stays_joined(&node, identity, report);
            }
            let is_whole = !options.with_kubelet_config || files.has_kubelet()?;
            let success = if is_here && is_whole { Success::AlreadyJoined } else { run(report)? };
            if success == Success::AlreadyJoined {
                if !is_here {
                    stays_joined(&node, identity, report);
                }
                if options.with_client_cert && !options.dry_run {
                    files.settle()?;
                    files.clean_up(options.keep_bootstrap_kubeconfig)?;
                }
            }
            success
        }
        _ => run(report)?,
    };
    let Some(serving) = options.serving.as_ref().filter(|_| !options.dry_run) else { return Ok(success) };
    let wanted = Wanted::serving(&node, serving.names.clone()).expiring_in(options.expiration_seconds);
    let served = serving::serve(wanted, serving.timeout, &files, system, overall, report)
        .map_err(|e| e.with_note("; the node is joined without its serving certificate"))?;
    Ok(if served { Success::Joined } else { success })
}

/// Tells that the node has an identity that stays.
fn stays_joined(node: &NodeName, identity: &Identity, report: &mut Report) {
    let certificate = identity.certificate();
    let not_after = x509::utc(certificate.not_after);
    report.say(&format!("joined already: {} has a certificate until {not_after}", node.as_str()));
    report.certificate =
        Some(CertificateFacts { issuer: certificate.issuer.to_string(), not_after, file: None });
}

/// Makes a machine without an identity a node: discovery, trust, the client certificate, the files. A node that has its
/// identity in this cluster gets the kubelet's configuration only.
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
    if matches!(existing, Existing::Unusable(_)) {
        report.say("files: kubelet.conf holds no identity that a kubelet could start from; joining anew");
    }
    spread(options.splay, overall, clock, report);
    let (cluster, credentials) = trusted_cluster(options, system, overall, report)?;
    let replacement = files.replacement(cluster.authorities(), existing, node, options.replace)?;
    let joined = matches!(existing, Existing::Joined(_)) && replacement.is_empty();
    if options.dry_run {
        for path in replacement.paths() {
            report.say(&format!("dry run: {path} would be moved aside"));
        }
        report.say("dry run: the cluster is trusted; nothing was requested or written");
        return Ok(if joined { Success::AlreadyJoined } else { Success::DryRun });
    }

    let deadline = Deadline::after(clock, options.tls_bootstrap_timeout).earlier(overall);
    let bearer = credentials.bearer()?;
    let bearer = bearer.as_ref();
    // Asked before anything is requested or written: what they refuse leaves no trace, here or in the cluster.
    let lookup = Lookup { api: cluster.api(), bearer, clock, deadline };
    if options.refuse_ready_node && !joined {
        lookup.refuse_ready_node(node, report)?;
    }
    let kubelet = if options.with_kubelet_config && !(joined && files.has_kubelet()?) {
        Some(kubelet_files(options, files, &lookup, node, report)?)
    } else {
        None
    };
    for path in files.set_aside(&replacement, clock.now())? {
        report.say(&format!("files: what another cluster or node has left is {path} now"));
    }
    let write_kubelet = || kubelet.as_ref().map_or(Ok(()), |kubelet| files.write_kubelet(kubelet));
    if joined {
        write_kubelet()?;
        report.end_phase(Phase::Files, clock);
        return Ok(Success::AlreadyJoined);
    }
    // The token's file comes last: with it a kubelet can finish alone, and it needs the others for that.
    let write_early = |with_token: bool| {
        write_kubelet()?;
        files.write_ca(&cluster)?;
        if with_token { files.write_bootstrap(&cluster, &credentials) } else { Ok(()) }
    };
    if !options.with_client_cert {
        write_early(true)?;
        report.end_phase(Phase::Files, clock);
        report.say("prepared: ca.crt and bootstrap-kubelet.conf are in place");
        return Ok(Success::Prepared);
    }

    let wanted = Wanted::client(node).expiring_in(options.expiration_seconds);
    // What can be on disk before the certificate is, is. The token's file, which a joined node does not keep, is only
    // for a wait that lasts.
    let prepare = || {
        write_early(options.keep_bootstrap_kubeconfig)?;
        files.stage_kubelet_conf(&cluster)
    };
    let mut staged = None;
    let mut meanwhile = |wait: Wait| {
        if staged.is_none() {
            staged = Some(prepare()?);
        }
        if wait == Wait::Lasts { files.write_bootstrap(&cluster, &credentials) } else { Ok(()) }
    };
    let (key, certificate) = certificate(&wanted, files, report, &mut |request, report| {
        report.csr_name = Some(request.name().to_owned());
        let exchange = Exchange::new(cluster.api(), bearer, request, clock, deadline);
        exchange.run(report, &mut meanwhile)
    })?;
    report.end_phase(Phase::Approval, clock);
    let (issuer, not_after) = (certificate.issuer(), certificate.not_after());
    report.say(&format!("certificate: issued by {issuer}, valid until {not_after}"));

    let kubelet_conf = staged.map_or_else(prepare, Ok)?;
    let file = files.write_pair(Kind::CLIENT, &key, &certificate)?;
    kubelet_conf.commit()?;
    report.certificate = Some(CertificateFacts { issuer, not_after, file: Some(file) });
    files.clean_up(options.keep_bootstrap_kubeconfig)?;
    report.end_phase(Phase::Files, clock);
    report.say(&format!("joined: {} can start its kubelet", node.as_str()));
    Ok(Success::Joined)
}

/// Puts the first request off by a random time of at most `splay`: machines that boot at one moment do not ask at one
/// moment. No more than half of the time that is there goes by in this way.
fn spread(splay: Duration, overall: Option<Deadline>, clock: &dyn Clock, report: &mut Report) {
    let most = overall.map_or(splay, |end| splay.min(end.left(clock).unwrap_or_default() / 2));
    if most.is_zero() {
        return;
    }
    let time = clock.jitter(most);
    report.say(&format!("splay: the first request comes in {} ms", time.as_millis()));
    clock.sleep(time);
    report.end_phase(Phase::Splay, clock);
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

/// The node has its identity: that the token stays is no failure of the join.
fn remove_token(file: &Path, report: &Report) {
    let shown = file.display();
    match disk::remove_outside(file) {
        Ok(true) => {}
        Ok(false) => report.say(&format!("warning: files: {shown} is no regular file, it stays")),
        Err(e) => {
            let message = format!("the token in {shown} cannot be removed; remove it");
            let error = Error::new(Step::Files, Failure::Files, message).caused_by(e);
            report.say(&format!("warning: {error}"));
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
    let machine = Machine {
        node,
        hostname: hostname.as_deref(),
        cri_socket: &cri_socket,
        resolved,
        ca: options.layout.ca.as_str(),
        places: &options.layout.kubelet_flags(),
    };
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
) -> Result<(TrustedCluster, Credentials)> {
    let clock = &*system.clock;
    let deadline = Deadline::after(clock, options.discovery_timeout).earlier(overall);
    let mut backoff = Backoff::new(clock, deadline);
    let mut round = match &options.discovery {
        Discovery::Token { endpoints, .. } => Round::of(Unverified::to_each(system, endpoints)?),
        _ => Round::of(Vec::new()),
    };
    loop {
        let now = clock.now();
        let timeout = deadline.left(clock).unwrap_or_default().min(limits::REQUEST);
        let attempt = after_build(now).and_then(|()| match &options.discovery {
            Discovery::Token { token, pins, credentials, .. } => {
                let cluster = round.ask(timeout, |info| trust::verify(info, token, pins, now))?;
                Ok((cluster, credentials.clone()))
            }
            Discovery::ClusterInfo { info, token, pins, credentials } => {
                let signed = match info {
                    Source::Read(info) => trust::verify(info, token, pins, now)?,
                    Source::Behind(file) => {
                        trust::verify(&fetched::cluster_info(file, system, timeout)?, token, pins, now)?
                    }
                };
                Ok((signed.without_peer(system)?, credentials.clone()))
            }
            Discovery::Given(vouched) => given(vouched, system, now),
            Discovery::Kubeconfig { download, token } => {
                given(&fetched::kubeconfig(download, token.as_ref(), system, timeout)?, system, now)
            }
            Discovery::Unknown(why) => Err(Error::new(Step::Options, Failure::Usage, why.clone())),
        });
        match attempt {
            Ok((cluster, credentials)) => {
                report.server = Some(cluster.server().as_str().to_owned());
                report.ca_hashes = cluster.authorities().pins();
                report.end_phase(Phase::Discovery, clock);
                tell(&options.discovery, round.route(), &cluster, report);
                return Ok((cluster, credentials));
            }
            Err(error) if round.goes_on() => backoff.go_on(error, report)?,
            Err(error) => backoff.pause(error, report)?,
        }
    }
}

fn given(vouched: &Vouched, system: &System, now: SystemTime) -> Result<(TrustedCluster, Credentials)> {
    let Vouched { cluster, credentials } = vouched;
    Ok((trust::given(system, cluster, credentials.identity(), now)?, credentials.clone()))
}

/// Says how the cluster was found and why it is trusted.
fn tell(discovery: &Discovery, route: &str, cluster: &TrustedCluster, report: &Report) {
    let server = cluster.server().as_str();
    let (source, token, pins) = match discovery {
        Discovery::Token { token, pins, .. } => (format!("fetched from {route}"), token, pins),
        Discovery::ClusterInfo { info: Source::Read(_), token, pins, .. } => {
            ("given, nobody was asked".to_owned(), token, pins)
        }
        Discovery::ClusterInfo { info: Source::Behind(file), token, pins, .. } => {
            (format!("fetched from {}", file.url.as_str()), token, pins)
        }
        Discovery::Given(_) | Discovery::Unknown(_) => {
            return report.say(&format!("trust: server and CA are given; the API server is {server}"));
        }
        Discovery::Kubeconfig { download: file, .. } => {
            let url = file.url.as_str();
            return report
                .say(&format!("trust: server and CA are those of {url}; the API server is {server}"));
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
///
/// # Errors
/// [`Failure::Clock`], which may heal.
pub(crate) fn after_build(now: SystemTime) -> Result<()> {
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
