//! The whole join, from top to bottom: [`join`] is the pipeline, and [`enroll`] the part of it that makes a machine a node.
//!
//! The stages do the work and know nothing of each other: [`crate::discovery`] finds the cluster and trusts it,
//! [`crate::kubelet`] asks it, [`crate::csr`] gets the certificates, [`crate::node`] has the files. What comes before what
//! is decided here and nowhere else: nothing is requested of a cluster that is not trusted, what the cluster refuses leaves
//! no file, kubelet.conf comes last. What depends on flags is decided here too, by [`JoinConfig`].

mod client_cert;
mod run;
mod serving_cert;

use std::path::Path;

use crate::clock::Deadline;
use crate::config::JoinConfig;
use crate::credentials::Credentials;
use crate::csr::{CertificateKind, CertificateRequest, Progress};
use crate::discovery;
use crate::disk;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::http::{Bearer, System};
use crate::kubelet::{ClusterQuery, KubeletFiles, Patches};
use crate::limits;
use crate::log::Log;
use crate::node::{Identity, NodeFiles, NodeState};
use crate::report::{CertificateInfo, Phase, Report, Success, milliseconds};
use crate::trust::TrustedCluster;
use run::Run;

/// Joins this machine: finds the cluster, trusts it, writes its files and, if asked, gets the node its certificates.
///
/// Safe to rerun: finished work is detected, interrupted work resumes with the same key and CSR.
///
/// # Errors
/// The failure that ended the run; its kind is the exit code.
pub fn join(options: &JoinConfig, system: &System, log: &Log, report: &mut Report) -> Result<Success> {
    options.warnings.iter().for_each(|warning| log.warn(warning));
    if let Some(method) = options.method.known() {
        method.tokens().for_each(|token| log.hide(token));
    }
    let run = Run::open(options, system, log, report)?;
    let _lock = run.lock()?; // held until the run ends
    let state = run.state()?;
    if !options.replace {
        run.refuse_other_identity(&state)?; // before any request
    }

    // Only the configured pins and CAs decide this, without a request.
    let joined = state.identity().filter(|identity| run.is_of_cluster(identity));
    if let Some(identity) = joined {
        log_identity(&run, identity, report);
    }
    let mut success = match joined {
        Some(_) if !options.with_kubelet_config || run.files.has_kubelet_files(true)? => {
            Success::AlreadyJoined
        }
        _ => enroll(&run, &state, report)?,
    };
    if let (Success::AlreadyJoined, None, Some(identity)) = (success, joined, state.identity()) {
        log_identity(&run, identity, report); // it is of this cluster after all
    }
    if options.dry_run {
        return Ok(success);
    }
    if success == Success::AlreadyJoined {
        finish_joined(&run)?;
    }
    if serving_cert::obtain(&run, report)? {
        success = Success::Joined;
    }
    if matches!(success, Success::Joined | Success::AlreadyJoined) {
        options.token_files.iter().for_each(|file| remove_token_file(file, log));
    }
    Ok(success)
}

/// Runs the checks that need no request and no node identity.
///
/// # Errors
/// The first thing that a join would refuse.
pub(crate) fn preflight(options: &JoinConfig, system: &System, log: &Log, report: &mut Report) -> Result<()> {
    let run = Run::open(options, system, log, report)?;
    run.patches()?;
    discovery::check_known(run.method()?, &options.pins, system)
}

/// A cluster that is trusted, and what a machine has there before it is a node.
struct Enrollment {
    cluster: TrustedCluster,
    credentials: Credentials,
    /// The bearer token, if the credentials include one.
    bearer: Option<Bearer>,
    /// When the certificate has to be there.
    deadline: Deadline,
    /// What the cluster has for its kubelets, if that is wanted.
    kubelet: Option<KubeletFiles>,
}

/// Makes a machine without an identity a node: discovery, trust, the client certificate, the files. A node that has its
/// identity in this cluster gets the kubelet's configuration only.
fn enroll(run: &Run<'_>, state: &NodeState, report: &mut Report) -> Result<Success> {
    let Run { options, system, log, files, node, .. } = run;
    let clock = &*system.clock;
    log_unusable(run, state);
    let method = run.method()?; // what is missing is an error only now
    let patches = run.patches()?;
    sleep_splay(run, report);
    let (cluster, credentials) =
        discovery::find(method, &options.pins, system, run.discovery_deadline(), log)?;
    report.server = Some(cluster.server().as_str().to_owned());
    report.ca_hashes = cluster.ca().pins();
    report.end_phase(Phase::Discovery, clock);

    let replacement = files.replacement(cluster.ca(), state, node, options.replace)?;
    let keeps_identity = state.identity().is_some() && replacement.is_empty();
    if replacement.renews_ca() {
        let ca = files.shown(options.layout.ca.as_str());
        log.info(&format!("files: {ca} has the cluster's CA keys in other certificates; a join replaces it"));
    }
    if options.dry_run {
        for path in replacement.paths() {
            log.info(&format!("dry run: {} would be moved aside", files.shown(&path)));
        }
        log.info("dry run: the cluster is trusted; nothing was requested or written");
        return Ok(if keeps_identity { Success::AlreadyJoined } else { Success::DryRun });
    }

    if !credentials.fit_kubelet() {
        log.info("files: bootstrap-kubelet.conf is not written: a kubelet could not read the token's file");
    }
    let enrollment = query_cluster(run, cluster, credentials, keeps_identity, &patches)?;
    for path in files.move_aside(&replacement, clock.now())? {
        log.info(&format!("files: moved aside {} (of another cluster or node)", files.shown(&path)));
    }
    let success = if keeps_identity {
        write_kubelet_files(files, &enrollment)?;
        Success::AlreadyJoined
    } else if options.with_client_cert {
        client_cert::obtain(run, &enrollment, report)?;
        Success::Joined
    } else {
        write_files(files, &enrollment)?;
        files.write_bootstrap(&enrollment.cluster, &enrollment.credentials)?; // the token last: a kubelet needs the others
        Success::Prepared
    };
    report.end_phase(Phase::Files, clock);
    match success {
        Success::Joined => log.info(&format!("joined: {} can start its kubelet", node.as_str())),
        Success::Prepared => log.info("prepared: ca.crt and bootstrap-kubelet.conf are written"),
        _ => {}
    }
    if !options.with_kubelet_config && files.has_kubeadm() {
        log.info(
            "kubelet: joined without --with-kubelet-config: `kubeadm upgrade node` fails here or replaces config.yaml; \
             upgrade with --skip-phases=kubelet-config",
        );
    }
    Ok(success)
}

/// Queries the cluster before anything is requested or written, so that a refusal leaves nothing behind.
fn query_cluster(
    run: &Run<'_>,
    cluster: TrustedCluster,
    credentials: Credentials,
    keeps_identity: bool,
    patches: &Patches,
) -> Result<Enrollment> {
    let Run { options, system, log, files, node, .. } = run;
    let clock = &*system.clock;
    let deadline = run.deadline(options.tls_bootstrap_timeout, "--tls-bootstrap-timeout");
    let bearer = credentials.bearer(log)?;
    let query = ClusterQuery { api: cluster.api(), bearer: bearer.as_ref(), clock, deadline };
    if options.refuse_ready_node && !keeps_identity {
        query.refuse_ready_node(node, log)?;
    }
    let kubelet = if !options.with_kubelet_config {
        run.kubelet_flags()?
    } else if keeps_identity && files.has_kubelet_files(true)? {
        None
    } else {
        Some(run.kubelet_files(&query, patches)?)
    };
    Ok(Enrollment { cluster, credentials, bearer, deadline, kubelet })
}

/// Writes what can be on disk before there is a certificate, but for the token.
fn write_files(files: &NodeFiles, enrollment: &Enrollment) -> Result<()> {
    write_kubelet_files(files, enrollment)?;
    files.write_ca(&enrollment.cluster)
}

fn write_kubelet_files(files: &NodeFiles, enrollment: &Enrollment) -> Result<()> {
    enrollment.kubelet.as_ref().map_or(Ok(()), |kubelet| files.write_kubelet_files(kubelet))
}

/// Finishes what an interrupted run has left of a node that is joined.
fn finish_joined(run: &Run<'_>) -> Result<()> {
    let Run { options, log, files, .. } = run;
    if !options.with_kubelet_config
        && let Some(flags) = run.kubelet_flags()?
        && !files.has_kubelet_files(false)?
    {
        files.write_kubelet_files(&flags)?;
    }
    let keeps = options.keep_bootstrap_kubeconfig;
    if options.with_client_cert {
        files.finish_interrupted()?;
        files.clean_up(keeps)?;
    } else if !keeps {
        // The kubelet bootstrapped itself from the prepared files. Failing to remove the leftover is only a warning.
        files.remove_bootstrap().unwrap_or_else(|e| log.warn(&e.to_string()));
    }
    Ok(())
}

/// Sleeps a random time, at most `--splay` and half the remaining time, so that machines booting together do not all send
/// their first request at once.
fn sleep_splay(run: &Run<'_>, report: &mut Report) {
    let (splay, clock) = (run.options.splay, &*run.system.clock);
    let max = run.overall.map_or(splay, |end| splay.min(end.left(clock).unwrap_or_default() / 2));
    if max.is_zero() {
        return;
    }
    let time = clock.jitter(max);
    run.log.info(&format!("splay: waiting {} ms before the first request", milliseconds(time)));
    clock.sleep(time);
    report.end_phase(Phase::Splay, clock);
}

/// Logs the identity that stays.
fn log_identity(run: &Run<'_>, identity: &Identity, report: &mut Report) {
    let info = CertificateInfo::of(identity.certificate(), None);
    let (node, until) = (run.node.as_str(), &info.not_after);
    run.log.info(&format!("already joined: {node} has a certificate until {until}"));
    report.certificate = Some(info);
}

/// Logs why a node that has a kubelet.conf joins again.
fn log_unusable(run: &Run<'_>, state: &NodeState) {
    let layout = &run.options.layout;
    let [conf, ca] = [&layout.kubeconfig, &layout.ca].map(|path| run.files.shown(path.as_str()));
    match state {
        NodeState::Unusable(unusable) => {
            let problem = &unusable.problem;
            run.log.warn(&format!("files: {conf} is unusable: {problem}; joining again"));
        }
        NodeState::WithoutCa(_) => {
            run.log.warn(&format!("files: {ca} is missing or empty beside {conf}; joining again"));
        }
        _ => {}
    }
}

/// Logs how far a certificate request has come, where that is news.
fn log_progress(progress: &Progress, request: &CertificateRequest, log: &Log) {
    let name = request.name();
    match progress {
        Progress::Submitted => {
            let user = request.template.node.user();
            log.info(&format!("request: CSR {name} submitted for {user}"));
        }
        Progress::Resumed => log.info(&format!("request: CSR {name} already exists; resuming it")),
        Progress::StillPending { is_first: true } => log.info(&format!(
            "approval: CSR {name} is pending; to approve it: kubectl certificate approve {name}"
        )),
        Progress::Retry { news: Some(news), .. } => log.info(news),
        _ => {}
    }
}

/// Discards a key whose request is unusable. Another one is tried, of [`limits::KEYS_PER_RUN`], where that was an earlier
/// run's request.
fn discard_key(
    kind: &CertificateKind,
    key_number: u32,
    is_earlier: bool,
    error: Error,
    files: &NodeFiles,
    log: &Log,
) -> Result<()> {
    files.discard_pending_key(kind)?;
    if !is_earlier || key_number == limits::KEYS_PER_RUN {
        return Err(error);
    }
    log.info(&format!("{error}; that was an earlier attempt: retrying with a new key"));
    Ok(())
}

/// Removes a token file. A failure is only a warning: the node has joined.
fn remove_token_file(file: &Path, log: &Log) {
    let shown = file.display();
    match disk::remove_caller_file(file) {
        Ok(true) => {}
        Ok(false) => log.warn(&format!("files: {shown} is not a regular file; not removed")),
        Err(e) => {
            let what = format!("the token in {shown} cannot be removed");
            let error = Error::new(Step::Files, ErrorKind::Files, what).with_help("remove it").caused_by(e);
            log.warn(&error.to_string());
        }
    }
}
