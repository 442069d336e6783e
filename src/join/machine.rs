//! What the machine says about itself, and the kubelet's files that are made of it.

use std::time::SystemTime;

use super::Run;
use crate::error::{Error, Result};
use crate::kubelet::{KubeletFiles, Lookup, Machine};
use crate::log::Log;
use crate::node::NodeFiles;
use crate::node_name::NodeName;
use crate::options::Join;

impl Run<'_> {
    /// The kubelet's configuration and flags, for this machine.
    ///
    /// # Errors
    /// As [`Lookup::kubelet_files`], and [`crate::error::ErrorKind::Files`].
    pub(super) fn kubelet_files(&self, lookup: &Lookup<'_>) -> Result<KubeletFiles> {
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
            resolved: files.has_resolved()?,
            ca: options.layout.ca.as_str(),
            places: &options.layout.kubelet_flags(),
        };
        let kubelet = lookup.kubelet_files(&options.registration, &machine, log)?;
        log.info(&format!("kubelet: configuration fetched; container runtime is {cri_socket}"));
        Ok(kubelet)
    }
}

/// The node's name: the given one, else the machine's. Where a source of settings is named and cannot be read, it may
/// have given one: the identity's own name counts then.
pub(super) fn node_name(options: &Join, files: &NodeFiles, now: SystemTime, log: &Log) -> Result<NodeName> {
    let node = match (&options.node_name, &options.unread) {
        (Some(given), _) => NodeName::new(given)?,
        (None, None) => NodeName::new(&hostname(options, files)?.unwrap_or_default())?,
        (None, Some(unread)) => {
            let missing = || Error::from(unread.clone());
            let own = files.own_name(now)?.ok_or_else(missing)?;
            let told =
                missing().with_note(&format!("; the node is {}, as its certificate says", own.as_str()));
            log.warn(&told.to_string());
            own
        }
    };
    if !node.fits_label() {
        log.warn("node name is longer than 63 characters; no kubelet can register with it");
    }
    Ok(node)
}

/// The image's name, or the running system's, which says nothing about an image.
pub(super) fn hostname(options: &Join, files: &NodeFiles) -> Result<Option<String>> {
    match options.root {
        Some(_) => files.hostname(),
        None => Ok(Some(rustix::system::uname().nodename().to_string_lossy().into_owned())),
    }
}
