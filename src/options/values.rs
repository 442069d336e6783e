//! What single settings mean: places, times, names, and how the node registers.

use std::time::Duration;

use super::flags::{Flag, Kind};
use super::{Options, Serving, discovery, duration};
use crate::error::{Error, Result, usage};
use crate::kubelet::NodeRegistration;
use crate::limits;
use crate::node::{Layout, NodePath};
use crate::node_name::NodeName;
use crate::x509::{AltName, AltNames};

impl Options {
    /// The node's name, as it was given.
    pub(super) fn node_name(&self) -> Result<Option<String>> {
        let name = self.settings.preferred([Flag::HostnameOverride, Flag::NodeName]);
        // To the kubelet, an empty override is none, whatever else was said.
        let name = name.filter(|(setting, name)| *setting == Flag::NodeName || !name.is_empty());
        let Some((setting, name)) = name else { return Ok(None) };
        NodeName::parse(name)
            .map_err(|problem| usage(format!("{}: node name {problem}", self.settings.label(setting))))?;
        Ok(Some(name.to_owned()))
    }

    pub(super) fn layout(&self) -> Result<Layout> {
        let mut layout = Layout::default();
        for (name, path) in [
            (Flag::Kubeconfig, &mut layout.kubeconfig),
            (Flag::CertDir, &mut layout.certificates),
            (Flag::CaCertPath, &mut layout.ca),
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

    /// What the node registers with.
    pub(super) fn registration(&self) -> Result<NodeRegistration> {
        let settings = &self.settings;
        let mut registration = NodeRegistration::default();
        for flag in [Flag::CriSocket, Flag::Taint, Flag::KubeletExtraArg] {
            for value in settings.list(flag) {
                let label = settings.label(flag);
                registration
                    .take(flag.row().name, value)
                    .map_err(|expected| usage(format!("{label} expects {expected}")))?;
            }
        }
        Ok(registration)
    }

    /// Where the administrator's patches are. They are for what is written with the cluster's configuration only.
    pub(super) fn patches(&self) -> Result<Option<String>> {
        let Some(directory) = self.settings.value(Flag::Patches) else { return Ok(None) };
        let label = self.settings.label(Flag::Patches);
        if !self.settings.is_on(Flag::WithKubeletConfig) {
            return Err(usage(format!("{label} requires --with-kubelet-config"))
                .with_help("add --with-kubelet-config, or remove the patches"));
        }
        if directory.starts_with('/') && directory.len() <= limits::PATH && !directory.contains('\0') {
            return Ok(Some(directory.to_owned()));
        }
        Err(usage(format!("{label} expects the absolute path of a directory")))
    }

    /// The node speaks for itself when it requests a serving certificate.
    pub(super) fn with_client_cert(&self) -> bool {
        self.settings.is_on(Flag::WithClientCert) || self.settings.is_on(Flag::WithServingCert)
    }

    pub(super) fn expiration_seconds(&self) -> Result<Option<u32>> {
        let Some(text) = self.settings.value(Flag::ExpirationSeconds) else { return Ok(None) };
        if !self.with_client_cert() {
            return Err(usage("--expiration-seconds requires a certificate request")
                .with_help("add --with-client-cert"));
        }
        let seconds = text.parse().ok().filter(|seconds| limits::EXPIRATION_SECONDS.contains(seconds));
        let label = self.settings.label(Flag::ExpirationSeconds);
        let seconds =
            seconds.ok_or_else(|| usage(format!("{label} expects a number from 600 to 2147483647")))?;
        Ok(Some(seconds))
    }

    pub(super) fn serving(&self) -> Result<Option<Serving>> {
        if !self.settings.is_on(Flag::WithServingCert) {
            return match self.settings.list(Flag::San).next() {
                None => Ok(None),
                Some(_) => {
                    Err(usage("--san requires a serving certificate").with_help("add --with-serving-cert"))
                }
            };
        }
        let mut names = AltNames::default();
        for name in self.settings.list(Flag::San) {
            let name = AltName::parse(name).ok_or_else(|| {
                usage(format!("{} expects DNS names and IP addresses", self.settings.label(Flag::San)))
            })?;
            names.add(name);
        }
        if names.as_slice().len() > limits::ALT_NAMES {
            return Err(usage(format!("--san: more than {} names and addresses", limits::ALT_NAMES)));
        }
        let timeout = self.any_duration(Flag::ServingTimeout)?.unwrap_or(limits::SERVING);
        Ok(Some(Serving { names, timeout }))
    }

    pub(super) fn duration(&self, flag: Flag) -> Result<Option<Duration>> {
        match self.any_duration(flag)? {
            Some(Duration::ZERO) => Err(self.no_duration(flag)),
            time => Ok(time),
        }
    }

    /// A duration, which may be none at all.
    pub(super) fn any_duration(&self, flag: Flag) -> Result<Option<Duration>> {
        let Some(text) = self.settings.value(flag) else { return Ok(None) };
        duration::parse(text).map(Some).ok_or_else(|| self.no_duration(flag))
    }

    pub(super) fn no_duration(&self, flag: Flag) -> Error {
        usage(format!("{} expects a duration such as 90s or 5m0s", self.settings.label(flag)))
    }

    pub(super) fn warnings(&self) -> Result<Vec<String>> {
        let settings = &self.settings;
        let is_strict = settings.is_on(Flag::Strict);
        let unknown = &settings.unknown;
        if let (Some(first), true) = (unknown.first(), is_strict) {
            return Err(usage(format!("unknown field {first} in the JoinConfiguration (--strict)"))
                .with_help("correct or remove it"));
        }
        let mut warnings: Vec<String> =
            unknown.iter().map(|path| format!("unknown field {path} in the JoinConfiguration")).collect();
        if let Some(no_effect) = self.no_effect() {
            if is_strict {
                return Err(usage(format!("{no_effect} (--strict)")).with_help("remove it"));
            }
            warnings.push(no_effect);
        }
        if discovery::ignored_endpoint(&self.settings) {
            warnings.push(format!(
                "{} is ignored: the configuration has discovery.file, which kubeadm uses alone",
                self.settings.label(Flag::Endpoint)
            ));
        }
        warnings.extend(self.settings.world_readable_secrets());
        Ok(warnings)
    }

    /// One line that names all that is accepted and has no effect.
    fn no_effect(&self) -> Option<String> {
        let settings = &self.settings;
        let asks = |flag: &Flag| match flag.row().kind {
            Kind::Ignored => settings.origin(*flag).is_some(),
            _ => *flag == Flag::SkipPhases && settings.list(*flag).any(|phase| !phase.is_empty()),
        };
        let flags = Flag::ALL.into_iter().filter(asks).map(|flag| settings.label(flag));
        let all: Vec<_> = flags.chain(settings.no_effect.iter().cloned()).collect();
        (!all.is_empty()).then(|| format!("accepted without effect: {}", all.join(", ")))
    }

    /// Refuses what kubeadm does and this program does not, where leaving it out would change the outcome.
    ///
    /// # Errors
    /// A usage error that names the setting, the reason, and the way out.
    pub(super) fn refuse_unsupported(&self) -> Result<()> {
        let settings = &self.settings;
        if settings.value(Flag::Rootfs).is_some_and(|directory| !directory.is_empty()) {
            let label = settings.label(Flag::Rootfs);
            return Err(usage(format!("{label} is not supported: it is for all that is read, too"))
                .with_help("use chroot DIR nodestrap join …; --root is only where files are written"));
        }
        for phase in settings.list(Flag::SkipPhases) {
            let label = settings.label(Flag::SkipPhases);
            // Those below a phase go with it.
            match phase.split('/').next().unwrap_or_default() {
                "kubelet-start" => {
                    return Err(usage(format!(
                        "{label}: kubelet-start cannot be skipped: it is the join itself"
                    ))
                    .with_help("remove it, or use kubeadm"));
                }
                "" => {}
                known if NO_PHASES.contains(&known) => {}
                _ => {
                    return Err(usage(format!("{label}: not a phase of kubeadm join"))
                        .with_help("kubeadm join --help lists them"));
                }
            }
        }
        Ok(())
    }

    /// Whether a control plane is asked for.
    pub(super) fn is_control_plane(&self) -> bool {
        self.settings.is_on(Flag::ControlPlane)
    }
}

/// The phases of `kubeadm join` that do not exist here, or are empty on a worker (`cmd/kubeadm/app/cmd/phases/join`).
const NO_PHASES: [&str; 7] = [
    "preflight",
    "control-plane-prepare",
    "check-etcd",
    "etcd-join",
    "kubelet-wait-bootstrap",
    "control-plane-join",
    "wait-control-plane",
];
