//! The whole join, as one story: [`join`] names its parts in order, and [`Run::bootstrap`] those of a machine that is no
//! node yet.

mod discover;
mod fetched;
mod machine;
mod round;
mod serving;
mod tls_bootstrap;

use std::path::Path;
use std::time::Duration;

use crate::clock::Deadline;
use crate::csr::Credentials;
use crate::disk::{self, Lock};
use crate::error::{Error, ErrorKind, Result, Step};
use crate::http::{Bearer, System};
use crate::kubelet::{KubeletFiles, Lookup};
use crate::log::Log;
use crate::node::{Existing, Identity, NodeFiles, Unusable};
use crate::node_name::{NodeName, USER_PREFIX};
use crate::options::{Comparison, Discovery, Join, Wait};
use crate::report::{CertificateInfo, Phase, Report, Success, milliseconds};
use crate::trust::TrustedCluster;
use crate::x509::{AltName, Certificate};
pub(crate) use discover::after_build;

/// Joins this machine: finds the cluster, trusts it, writes its files and, if asked, gets the node its certificates.
///
/// Runs again at any time: what is done is found done, what was interrupted goes on with the same key and request.
///
/// # Errors
/// The failure that ended the run; its kind is the exit code.
pub fn join(options: &Join, system: &System, log: &Log, report: &mut Report) -> Result<Success> {
    options.warnings.iter().for_each(|warning| log.warn(warning));
    if let Some(discovery) = options.method.decided() {
        discovery.tokens().for_each(|token| log.hide(token));
    }
    let run = Run::begin(options, system, log, report)?;
    let existing = run.files.judge().and_then(|()| run.files.existing(&run.node, system.clock.now()));
    run.files.tell(!options.dry_run, log);
    let existing = existing?;
    if let Existing::OtherNode(subject) = &existing {
        subject
            .common_names
            .iter()
            .for_each(|name| log.show_name(name.strip_prefix(USER_PREFIX).unwrap_or(name)));
    }
    if !options.replace {
        run.files.refuse_foreign(&existing, &run.node)?;
    }
    if let (Existing::WithoutCa(authorities), false) = (&existing, options.replace) {
        let keys: Vec<_> = authorities.iter().map(Certificate::pin).collect();
        if options.compare(&keys) == Comparison::Other {
            return Err(run.files.other_cluster(&keys));
        }
    }
    let success = match &existing {
        Existing::Joined(identity) => run.stay(identity, &existing, report)?,
        _ => run.bootstrap(&existing, report)?,
    };
    if options.dry_run {
        return Ok(success);
    }
    let success = if run.serve(report)? { Success::Joined } else { success };
    if matches!(success, Success::Joined | Success::AlreadyJoined) {
        options.token_files.iter().for_each(|file| remove_token(file, log));
    }
    Ok(success)
}

/// Goes as far as a join does before it asks anybody or looks at an identity: what is wrong or missing is told.
///
/// # Errors
/// As of [`join`].
pub(crate) fn rehearse(options: &Join, system: &System, log: &Log, report: &mut Report) -> Result<()> {
    let run = Run::open(options, system, log, report)?;
    run.judge_given(run.method()?)
}

/// One run: what it was told, and what it works with.
struct Run<'a> {
    options: &'a Join,
    system: &'a System,
    log: &'a Log,
    /// When all of it has to be over, if there is such a time.
    overall: Option<Deadline>,
    /// The node's disk.
    files: NodeFiles,
    /// Keeps other runs from working on it meanwhile.
    lock: Option<Lock>,
    node: NodeName,
}

/// A cluster that is trusted, and what a machine has there before it is a node.
struct Joining {
    cluster: TrustedCluster,
    credentials: Credentials,
    /// The token of the credentials, unless they are a client certificate.
    bearer: Option<Bearer>,
    /// When the certificate has to be there.
    deadline: Deadline,
    /// What the cluster has for its kubelets, if that is wanted.
    kubelet: Option<KubeletFiles>,
}

impl<'a> Run<'a> {
    /// Opens the node's disk, and names the node.
    fn open(options: &'a Join, system: &'a System, log: &'a Log, report: &mut Report) -> Result<Self> {
        let overall = options.timeout.map(Deadline::at);
        let root = options.root.as_deref().unwrap_or(Path::new("/"));
        let files = NodeFiles::open(root, options.layout.clone())?;
        let node = machine::node_name(options, &files, system.clock.now(), log)?;
        report.node_name = Some(node.as_str().to_owned());
        log.show_name(node.as_str());
        if let Some(proxy) = system.proxies.host() {
            log.show_name(&proxy);
        }
        for name in options.serving.iter().flat_map(|serving| serving.names.as_slice()) {
            if let AltName::Dns(name) = name {
                log.show_name(name);
            }
        }
        Ok(Self { options, system, log, overall, files, lock: None, node })
    }

    /// The same, and waits for another run to end.
    fn begin(options: &'a Join, system: &'a System, log: &'a Log, report: &mut Report) -> Result<Self> {
        let mut run = Self::open(options, system, log, report)?;
        let clock = &*system.clock;
        let serving = options.serving.as_ref().map_or(Duration::ZERO, |serving| serving.timeout);
        let patience = [options.discovery_timeout, options.tls_bootstrap_timeout, serving, options.splay]
            .into_iter()
            .fold(Duration::ZERO, Duration::saturating_add);
        let deadline = Deadline::after(clock, patience).earlier(run.overall);
        run.lock = Some(run.files.lock(Path::new(disk::RUNTIME), clock, deadline, log)?);
        Ok(run)
    }

    /// How the cluster is found, now that this has to be known.
    fn method(&self) -> Result<&'a Discovery> {
        let log = self.log;
        let clock = self.system.clock.clone();
        let deadline = Deadline::after(&*clock, self.options.discovery_timeout).earlier(self.overall);
        let method = self.options.method.discovery(Wait { clock, deadline });
        match &method {
            Ok(method) => method.hosts().into_iter().for_each(|host| log.show_name(host)),
            // A name may have turned out to be the token.
            Err(_) => log.forget_names(),
        }
        method
    }

    /// What is there to do for a node that has an identity. Whose cluster it is in, the given pins and CAs tell; where
    /// there are none nobody is asked, unless `--replace` is given.
    fn stay(&self, identity: &Identity, existing: &Existing, report: &mut Report) -> Result<Success> {
        let Self { options, files, log, .. } = self;
        let keys = identity.cluster_keys();
        let is_here = match options.compare(&keys) {
            Comparison::Same => true,
            Comparison::Other if !options.replace => return Err(files.other_cluster(&keys)),
            Comparison::Other => false,
            Comparison::Unknown => !options.replace,
        };
        if is_here {
            self.tell_of(identity, report);
        }
        let is_whole = !options.with_kubelet_config || files.has_kubelet()?;
        if !(is_here && is_whole) {
            let success = self.bootstrap(existing, report)?;
            if success != Success::AlreadyJoined {
                return Ok(success);
            }
            if !is_here {
                self.tell_of(identity, report);
            }
        }
        let keeps = options.keep_bootstrap_kubeconfig;
        if options.with_client_cert && !options.dry_run {
            files.settle()?;
            files.clean_up(keeps)?;
        } else if !(keeps || options.dry_run) {
            // A kubelet has made the node one since its files were prepared. That this one stays, on a read-only disk
            // say, is no failure then.
            files.remove_bootstrap().unwrap_or_else(|e| log.warn(&e.to_string()));
        }
        Ok(Success::AlreadyJoined)
    }

    /// Tells that the node has an identity that stays.
    fn tell_of(&self, identity: &Identity, report: &mut Report) {
        let facts = CertificateInfo::of(identity.certificate(), None);
        self.log.info(&format!(
            "already joined: {} has a certificate until {}",
            self.node.as_str(),
            facts.not_after
        ));
        report.certificate = Some(facts);
    }

    /// Makes a machine without an identity a node: discovery, trust, the client certificate, the files. A node that has
    /// its identity in this cluster gets the kubelet's configuration only.
    fn bootstrap(&self, existing: &Existing, report: &mut Report) -> Result<Success> {
        let Self { options, system, log, files, node, .. } = self;
        let clock = &*system.clock;
        let (conf, ca) = (options.layout.kubeconfig.as_str(), options.layout.ca.as_str());
        match existing {
            Existing::Unusable(Unusable { problem, .. }) => {
                log.info(&format!("files: {conf} is unusable: {problem}; joining again"));
            }
            Existing::WithoutCa(_) => {
                log.info(&format!("files: {ca} is missing or empty beside {conf}; joining again"));
            }
            _ => {}
        }
        let method = self.method()?;
        self.spread(report);
        let (cluster, credentials) = self.discover(method, report)?;
        let replacement = files.replacement(cluster.authorities(), existing, node, options.replace)?;
        let joined = matches!(existing, Existing::Joined(_)) && replacement.is_empty();
        if replacement.renews_ca() {
            log.info(&format!(
                "files: {ca} has the cluster's CA keys in other certificates; a join replaces it"
            ));
        }
        if options.dry_run {
            for path in replacement.paths() {
                log.info(&format!("dry run: {path} would be moved aside"));
            }
            log.info("dry run: the cluster is trusted; nothing was requested or written");
            return Ok(if joined { Success::AlreadyJoined } else { Success::DryRun });
        }

        let joining = self.ask(cluster, credentials, joined)?;
        for path in files.set_aside(&replacement, clock.now())? {
            log.info(&format!("files: moved aside {path} (of another cluster or node)"));
        }
        let (success, told) = if joined {
            self.write_kubelet(&joining)?;
            (Success::AlreadyJoined, None)
        } else if options.with_client_cert {
            self.tls_bootstrap(&joining, report)?;
            (Success::Joined, Some(format!("joined: {} can start its kubelet", node.as_str())))
        } else {
            self.prepare(&joining, true)?;
            let told = "prepared: ca.crt and bootstrap-kubelet.conf are written".to_owned();
            (Success::Prepared, Some(told))
        };
        report.end_phase(Phase::Files, clock);
        if let Some(told) = told {
            log.info(&told);
        }
        Ok(success)
    }

    /// Puts the first request off by a random time of at most `--splay`: machines that boot at one moment do not ask at
    /// one moment. No more than half of the time that is there goes by in this way.
    fn spread(&self, report: &mut Report) {
        let (splay, clock) = (self.options.splay, &*self.system.clock);
        let most = self.overall.map_or(splay, |end| splay.min(end.left(clock).unwrap_or_default() / 2));
        if most.is_zero() {
            return;
        }
        let time = clock.jitter(most);
        self.log.info(&format!("splay: waiting {} ms before the first request", milliseconds(time)));
        clock.sleep(time);
        report.end_phase(Phase::Splay, clock);
    }

    /// Asks the cluster what has to be known before anything is requested or written: what it refuses leaves no trace,
    /// here or there.
    fn ask(&self, cluster: TrustedCluster, credentials: Credentials, joined: bool) -> Result<Joining> {
        let Self { options, files, node, .. } = self;
        let clock = &*self.system.clock;
        let deadline = Deadline::after(clock, options.tls_bootstrap_timeout).earlier(self.overall);
        let bearer = credentials.bearer()?;
        let lookup = Lookup { api: cluster.api(), bearer: bearer.as_ref(), clock, deadline };
        if options.refuse_ready_node && !joined {
            lookup.refuse_ready_node(node, self.log)?;
        }
        let has_kubelet = !options.with_kubelet_config || (joined && files.has_kubelet()?);
        let kubelet = if has_kubelet { None } else { Some(self.kubelet_files(&lookup)?) };
        Ok(Joining { cluster, credentials, bearer, deadline, kubelet })
    }

    /// Writes what a kubelet needs to bootstrap itself. The token's file comes last: with it a kubelet can finish alone,
    /// and it needs the others for that.
    fn prepare(&self, joining: &Joining, with_token: bool) -> Result<()> {
        self.write_kubelet(joining)?;
        self.files.write_ca(&joining.cluster)?;
        if with_token {
            self.files.write_bootstrap(&joining.cluster, &joining.credentials)?;
        }
        Ok(())
    }

    fn write_kubelet(&self, joining: &Joining) -> Result<()> {
        joining.kubelet.as_ref().map_or(Ok(()), |kubelet| self.files.write_kubelet(kubelet))
    }
}

/// The node has its identity: that the token stays is no failure of the join.
fn remove_token(file: &Path, log: &Log) {
    let shown = file.display();
    match disk::remove_outside(file) {
        Ok(true) => {}
        Ok(false) => log.warn(&format!("files: {shown} is not a regular file; not removed")),
        Err(e) => {
            let what = format!("the token in {shown} cannot be removed");
            let error = Error::new(Step::Files, ErrorKind::Files, what).with_help("remove it").caused_by(e);
            log.warn(&error.to_string());
        }
    }
}
