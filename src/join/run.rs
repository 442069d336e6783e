//! What a run begins with: the node's disk, the node's name, the lock, and what the disk tells without any network.

use std::path::Path;
use std::time::Duration;

use crate::clock::Deadline;
use crate::config::{Comparison, JoinConfig};
use crate::discovery::Method;
use crate::disk::{self, Lock};
use crate::error::{Error, Result};
use crate::http::System;
use crate::input::Wait;
use crate::kubelet::{ClusterQuery, KubeletFiles, Machine, Patches};
use crate::log::Log;
use crate::node::{Identity, NodeFiles, NodeState};
use crate::node_name::{NodeName, USER_PREFIX};
use crate::report::Report;
use crate::x509::AltName;

/// One run: what it was told, and what it works with.
pub(super) struct Run<'a> {
    pub(super) options: &'a JoinConfig,
    pub(super) system: &'a System,
    pub(super) log: &'a Log,
    /// When all of it has to be over, if there is such a time.
    pub(super) overall: Option<Deadline>,
    /// The node's disk.
    pub(super) files: NodeFiles,
    pub(super) node: NodeName,
}

impl<'a> Run<'a> {
    /// Opens the node's disk, and names the node.
    pub(super) fn open(
        options: &'a JoinConfig,
        system: &'a System,
        log: &'a Log,
        report: &mut Report,
    ) -> Result<Self> {
        let overall = options.timeout.map(|timeout| Deadline::at(timeout).set_by("--timeout"));
        let root = options.root.as_deref().unwrap_or(Path::new("/"));
        let files = NodeFiles::open(root, options.layout.clone())?;
        let node = node_name(options, &files, system, log)?;
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
        Ok(Self { options, system, log, overall, files, node })
    }

    /// The deadline of a stage that begins now: `budget` from now, which `setting` says, or the overall one.
    pub(super) fn deadline(&self, budget: Duration, setting: &'static str) -> Deadline {
        Deadline::after(&*self.system.clock, budget).set_by(setting).earlier(self.overall)
    }

    /// Discovery's deadline.
    pub(super) fn discovery_deadline(&self) -> Deadline {
        self.deadline(self.options.discovery_timeout, "--discovery-timeout")
    }

    /// Waits for another run on the same root to end, and keeps others out.
    pub(super) fn lock(&self) -> Result<Lock> {
        let clock = &*self.system.clock;
        let deadline = Deadline::after(clock, self.options.longest_run()).earlier(self.overall);
        self.files.lock(Path::new(disk::RUNTIME), clock, deadline, self.log)
    }

    /// What identity the node has. Nothing is written but the modes of files with secrets.
    pub(super) fn state(&self) -> Result<NodeState> {
        let Self { files, log, .. } = self;
        let state = files.check_directories().and_then(|()| files.state(&self.node, self.system.clock.now()));
        files.log_findings(!self.options.dry_run, log);
        let state = state?;
        if let NodeState::OtherNode(subject) = &state {
            subject
                .common_names
                .iter()
                .for_each(|name| log.show_name(name.strip_prefix(USER_PREFIX).unwrap_or(name)));
        }
        Ok(state)
    }

    /// Refuses an identity that is another node's, or in another cluster than the one whose pins or CAs are given.
    pub(super) fn refuse_other_identity(&self, state: &NodeState) -> Result<()> {
        self.files.refuse_other_identity(state, &self.node)?;
        match state.cluster_keys() {
            Some(keys) if self.options.compare(&keys) == Comparison::Other => {
                Err(self.files.other_cluster(&keys))
            }
            _ => Ok(()),
        }
    }

    /// Whether an identity is in the cluster that is meant. Where no pin and no CA is given, it is, unless it is to be
    /// replaced.
    pub(super) fn is_of_cluster(&self, identity: &Identity) -> bool {
        match self.options.compare(&identity.cluster_keys()) {
            Comparison::Same => true,
            Comparison::Other => false,
            Comparison::Unknown => !self.options.replace,
        }
    }

    /// How the cluster is found, now that this has to be known. A pipe is waited for as long as discovery may take, whose own
    /// time begins afterwards.
    pub(super) fn method(&self) -> Result<&'a Method> {
        let log = self.log;
        let wait = Wait { clock: self.system.clock.clone(), deadline: self.discovery_deadline() };
        let method = self.options.method.get(wait);
        match &method {
            Ok(method) => method.hosts().into_iter().for_each(|host| log.show_name(host)),
            // A name may have turned out to be the token.
            Err(_) => log.forget_names(),
        }
        method
    }

    /// The administrator's patches, where there are any.
    pub(super) fn patches(&self) -> Result<Patches> {
        let directory = self.options.patches.as_ref();
        directory.map_or_else(|| Ok(Patches::default()), |directory| self.files.patches(directory))
    }

    /// The kubelet's configuration and flags, for this machine.
    ///
    /// # Errors
    /// [`ErrorKind::NotPublished`](crate::error::ErrorKind::NotPublished) when the cluster has no configuration for
    /// kubelets, [`ErrorKind::Files`](crate::error::ErrorKind::Files) when this machine cannot be looked at.
    pub(super) fn kubelet_files(&self, query: &ClusterQuery<'_>, patches: &Patches) -> Result<KubeletFiles> {
        let Self { options, log, files, node, .. } = self;
        let cri_socket = match &options.registration.cri_socket {
            Some(given) => given.clone(),
            None => files.cri_socket()?,
        };
        let hostname = hostname(options, files)?;
        let machine = Machine {
            node,
            hostname: hostname.as_deref(),
            cri_socket: &cri_socket,
            has_systemd_resolved: files.has_systemd_resolved()?,
            ca: options.layout.ca.as_str(),
            path_flags: &options.layout.kubelet_flags(),
            patches,
        };
        let kubelet = query.kubelet_files(&options.registration, &machine, log)?;
        log.info(&format!("kubelet: configuration fetched; container runtime is {cri_socket}"));
        Ok(kubelet)
    }

    /// The kubelet's flags alone, for this machine, where there is something to say.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Files`] when the hostname of an image cannot be read.
    pub(super) fn kubelet_flags(&self) -> Result<Option<KubeletFiles>> {
        let Self { options, files, node, .. } = self;
        let registration = &options.registration;
        if registration.is_empty() {
            return Ok(None);
        }
        let hostname = hostname(options, files)?;
        let machine = Machine {
            node,
            hostname: hostname.as_deref(),
            cri_socket: registration.cri_socket.as_deref().unwrap_or_default(),
            has_systemd_resolved: false,
            ca: options.layout.ca.as_str(),
            path_flags: &options.layout.kubelet_flags(),
            patches: &Patches::default(),
        };
        Ok(Some(KubeletFiles::only_flags(registration, &machine)))
    }
}

/// The node's name: the given one, else the machine's. Where a source of settings is named and cannot be read, it may
/// have given one: the identity's own name counts then.
fn node_name(options: &JoinConfig, files: &NodeFiles, system: &System, log: &Log) -> Result<NodeName> {
    let node = match (&options.node_name, &options.unread) {
        (Some(given), _) => NodeName::new(given)?,
        (None, None) => NodeName::new(&hostname(options, files)?.unwrap_or_default())?,
        (None, Some(unread)) => {
            let missing = || Error::from(unread.clone());
            let own = files.own_name(system.clock.now())?.ok_or_else(missing)?;
            let note = format!("; the node is {}, as its certificate says", own.as_str());
            log.warn(&missing().with_note(&note).to_string());
            own
        }
    };
    if !node.fits_label() {
        log.warn("node name is longer than 63 characters; no kubelet can register with it");
    }
    Ok(node)
}

/// The image's name, or the running system's, which says nothing about an image.
fn hostname(options: &JoinConfig, files: &NodeFiles) -> Result<Option<String>> {
    match options.root {
        Some(_) => files.hostname(),
        None => Ok(Some(rustix::system::uname().nodename().to_string_lossy().into_owned())),
    }
}
