//! What single settings mean: places, times, names, and how the node registers.

use std::time::Duration;

use super::settings::{ENDPOINT, Origin};
use super::{Options, Serving, discovery, duration, usage};
use crate::error::{Error, Result};
use crate::kubelet::NodeRegistration;
use crate::limits;
use crate::node::{Layout, NodePath};
use crate::node_name::NodeName;
use crate::x509::{AltName, AltNames};

impl Options {
    /// The node's name, as it was given.
    pub(super) fn node_name(&self) -> Result<Option<String>> {
        let name = self.settings.stronger(["hostname-override", "node-name"]);
        // To the kubelet, an empty override is none, whatever else was said.
        let name = name.filter(|(setting, name, _)| *setting == "node-name" || !name.is_empty());
        let Some((setting, name, _)) = name else { return Ok(None) };
        NodeName::parse(name)
            .map_err(|problem| usage(format!("{}: node name {problem}", self.settings.label(setting))))?;
        Ok(Some(name.to_owned()))
    }

    pub(super) fn layout(&self) -> Result<Layout> {
        let mut layout = Layout::default();
        for (name, path) in [
            ("kubeconfig", &mut layout.kubeconfig),
            ("cert-dir", &mut layout.certificates),
            ("ca-cert-path", &mut layout.ca),
        ] {
            if let Some(text) = self.settings.value(name) {
                *path = NodePath::parse(text).ok_or_else(|| {
                    usage(format!(
                        "{} expects an absolute path of letters, digits and ._-+@= without . and ..",
                        self.settings.label(name)
                    ))
                })?;
            }
        }
        if layout.is_distinct() {
            return Ok(layout);
        }
        Err(usage("--kubeconfig, --cert-dir and --ca-cert-path: paths overlap")
            .with_help("use different paths"))
    }

    /// What the node registers with, where that is written. A configuration may say it for kubeadm; a flag is meant.
    pub(super) fn registration(&self) -> Result<NodeRegistration> {
        let settings = &self.settings;
        let mut registration = NodeRegistration::default();
        if !settings.is_on("with-kubelet-config") {
            let is_meant = |name| settings.origin(name) == Some(Origin::Flags);
            if is_meant("taint") || is_meant("kubelet-extra-arg") {
                return Err(usage("--taint and --kubelet-extra-arg require --with-kubelet-config"));
            }
            return Ok(registration);
        }
        for name in ["cri-socket", "taint", "kubelet-extra-arg"] {
            for value in settings.list(name) {
                let label = settings.label(name);
                registration
                    .take(name, value)
                    .map_err(|expected| usage(format!("{label} expects {expected}")))?;
            }
        }
        Ok(registration)
    }

    /// The node speaks for itself when it requests a serving certificate.
    pub(super) fn with_client_cert(&self) -> bool {
        self.settings.is_on("with-client-cert") || self.settings.is_on("with-serving-cert")
    }

    pub(super) fn expiration_seconds(&self) -> Result<Option<u32>> {
        let Some(text) = self.settings.value("expiration-seconds") else { return Ok(None) };
        if !self.with_client_cert() {
            return Err(usage("--expiration-seconds requires a certificate request")
                .with_help("add --with-client-cert"));
        }
        let seconds = text.parse().ok().filter(|seconds| limits::EXPIRATION_SECONDS.contains(seconds));
        let label = self.settings.label("expiration-seconds");
        let seconds =
            seconds.ok_or_else(|| usage(format!("{label} expects a number from 600 to 2147483647")))?;
        Ok(Some(seconds))
    }

    pub(super) fn serving(&self) -> Result<Option<Serving>> {
        if !self.settings.is_on("with-serving-cert") {
            return match self.settings.list("san").next() {
                None => Ok(None),
                Some(_) => {
                    Err(usage("--san requires a serving certificate").with_help("add --with-serving-cert"))
                }
            };
        }
        let mut names = AltNames::default();
        for name in self.settings.list("san") {
            let name = AltName::parse(name).ok_or_else(|| {
                usage(format!("{} expects DNS names and IP addresses", self.settings.label("san")))
            })?;
            names.add(name);
        }
        if names.as_slice().len() > limits::ALT_NAMES {
            return Err(usage(format!("--san: more than {} names and addresses", limits::ALT_NAMES)));
        }
        let timeout = self.any_duration("serving-timeout")?.unwrap_or(limits::SERVING);
        Ok(Some(Serving { names, timeout }))
    }

    pub(super) fn duration(&self, name: &str) -> Result<Option<Duration>> {
        match self.any_duration(name)? {
            Some(Duration::ZERO) => Err(self.no_duration(name)),
            time => Ok(time),
        }
    }

    /// A duration, which may be none at all.
    pub(super) fn any_duration(&self, name: &str) -> Result<Option<Duration>> {
        let Some(text) = self.settings.value(name) else { return Ok(None) };
        duration::parse(text).map(Some).ok_or_else(|| self.no_duration(name))
    }

    pub(super) fn no_duration(&self, name: &str) -> Error {
        usage(format!("{} expects a duration such as 90s or 5m0s", self.settings.label(name)))
    }

    pub(super) fn warnings(&self) -> Result<Vec<String>> {
        let unknown = &self.settings.unknown;
        if let (Some(first), true) = (unknown.first(), self.settings.is_on("strict")) {
            return Err(usage(format!("unknown field {first} in the JoinConfiguration (--strict)")));
        }
        let mut warnings: Vec<String> =
            unknown.iter().map(|path| format!("unknown field {path} in the JoinConfiguration")).collect();
        if discovery::ignored_endpoint(&self.settings) {
            warnings.push(format!(
                "{} is ignored: the configuration has discovery.file, which kubeadm uses alone",
                self.settings.label(ENDPOINT)
            ));
        }
        warnings.extend(self.settings.public_secrets());
        Ok(warnings)
    }
}
