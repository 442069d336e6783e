//! What single settings mean: places, times, names, and how the node registers.

use super::{Serving, discovery};
use crate::cli::{Flag, Kind, Settings};
use crate::error::{Result, usage};
use crate::kubelet::NodeRegistration;
use crate::limits;
use crate::node::{Layout, NodePath};
use crate::node_name::NodeName;
use crate::x509::{AltName, AltNames};

/// The node's name, as it was given.
pub(super) fn node_name(settings: &Settings) -> Result<Option<String>> {
    let name = settings.preferred([Flag::HostnameOverride, Flag::NodeName]);
    // To the kubelet, an empty override is none, whatever else was said.
    let name = name.filter(|(setting, name)| *setting == Flag::NodeName || !name.is_empty());
    let Some((setting, name)) = name else { return Ok(None) };
    NodeName::parse(name).map_err(|problem| {
        usage(format!("{}: node name {problem}", settings.label(setting)))
            .with_help("use a DNS name, such as node-1 or node-1.example.org")
    })?;
    Ok(Some(name.to_owned()))
}

pub(super) fn layout(settings: &Settings) -> Result<Layout> {
    let mut layout = Layout::default();
    for (name, path) in [
        (Flag::Kubeconfig, &mut layout.kubeconfig),
        (Flag::CertDir, &mut layout.certificates),
        (Flag::CaCertPath, &mut layout.ca),
    ] {
        if let Some(text) = settings.value(name) {
            *path = NodePath::parse(text).ok_or_else(|| {
                usage(format!(
                    "{} expects an absolute path of letters, digits and ._-+@= without . and ..",
                    settings.label(name)
                ))
            })?;
        }
    }
    if layout.is_distinct() {
        return Ok(layout);
    }
    Err(usage("--kubeconfig, --cert-dir and --ca-cert-path: paths overlap").with_help("use different paths"))
}

/// What the node registers with.
pub(super) fn registration(settings: &Settings) -> Result<NodeRegistration> {
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
pub(super) fn patches(settings: &Settings) -> Result<Option<String>> {
    let Some(directory) = settings.value(Flag::Patches) else { return Ok(None) };
    let label = settings.label(Flag::Patches);
    if !settings.is_on(Flag::WithKubeletConfig) {
        return Err(usage(format!("{label} requires --with-kubelet-config"))
            .with_help("add --with-kubelet-config, or remove the patches"));
    }
    if directory.starts_with('/') && directory.len() <= limits::PATH && !directory.contains('\0') {
        return Ok(Some(directory.to_owned()));
    }
    Err(usage(format!("{label} expects the absolute path of a directory")))
}

/// The node speaks for itself when it requests a serving certificate.
pub(super) fn with_client_cert(settings: &Settings) -> bool {
    settings.is_on(Flag::WithClientCert) || settings.is_on(Flag::WithServingCert)
}

pub(super) fn expiration_seconds(settings: &Settings) -> Result<Option<u32>> {
    let Some(text) = settings.value(Flag::ExpirationSeconds) else { return Ok(None) };
    if !with_client_cert(settings) {
        return Err(
            usage("--expiration-seconds requires a certificate request").with_help("add --with-client-cert")
        );
    }
    let seconds = text.parse().ok().filter(|seconds| limits::EXPIRATION_SECONDS.contains(seconds));
    let label = settings.label(Flag::ExpirationSeconds);
    let seconds = seconds.ok_or_else(|| usage(format!("{label} expects a number from 600 to 2147483647")))?;
    Ok(Some(seconds))
}

pub(super) fn serving(settings: &Settings) -> Result<Option<Serving>> {
    if !settings.is_on(Flag::WithServingCert) {
        return match settings.list(Flag::San).next() {
            None => Ok(None),
            Some(_) => {
                Err(usage("--san requires a serving certificate").with_help("add --with-serving-cert"))
            }
        };
    }
    let mut names = AltNames::default();
    for name in settings.list(Flag::San) {
        let name = AltName::parse(name).ok_or_else(|| {
            usage(format!("{} expects DNS names and IP addresses", settings.label(Flag::San)))
        })?;
        names.add(name);
    }
    if names.as_slice().len() > limits::ALT_NAMES {
        return Err(usage(format!("--san: more than {} names and addresses", limits::ALT_NAMES)));
    }
    let timeout = settings.any_duration(Flag::ServingTimeout)?.unwrap_or(limits::SERVING);
    Ok(Some(Serving { names, timeout }))
}

pub(super) fn warnings(settings: &Settings) -> Result<Vec<String>> {
    let unknown = &settings.unknown;
    if settings.is_on(Flag::Strict)
        && let Some(first) = unknown.first()
    {
        return Err(usage(format!("unknown field {first} in the JoinConfiguration (--strict)"))
            .with_help("correct or remove it"));
    }
    let mut warnings: Vec<String> =
        unknown.iter().map(|path| format!("unknown field {path} in the JoinConfiguration")).collect();
    warnings.extend(no_effect(settings));
    if discovery::ignored_endpoint(settings) {
        warnings.push(format!(
            "{} is ignored: the configuration has discovery.file, which kubeadm uses alone",
            settings.label(Flag::Endpoint)
        ));
    }
    warnings.extend(settings.world_readable_secrets());
    Ok(warnings)
}

/// One line that names all that is accepted and has no effect.
fn no_effect(settings: &Settings) -> Option<String> {
    let asks = |flag: &Flag| match flag {
        Flag::SkipPhases => settings.list(*flag).any(|phase| !phase.is_empty()),
        Flag::BearerToken => discovery::has_unused_bearer_token(settings),
        Flag::ServingTimeout => settings.is_set(*flag) && !settings.is_on(Flag::WithServingCert),
        Flag::RemoveTokenFile => settings.is_on(*flag) && settings.secret_files().next().is_none(),
        _ => flag.row().kind == Kind::Ignored && settings.origin(*flag).is_some(),
    };
    let flags = Flag::ALL.into_iter().filter(asks).map(|flag| settings.label(flag));
    let all: Vec<_> = flags.chain(settings.no_effect.iter().cloned()).collect();
    (!all.is_empty()).then(|| format!("accepted without effect: {}", all.join(", ")))
}

/// Refuses what kubeadm does and this program does not, where leaving it out would change the outcome.
///
/// # Errors
/// A usage error that names the setting, the reason, and the way out.
pub(super) fn refuse_unsupported(settings: &Settings) -> Result<()> {
    if settings.value(Flag::Rootfs).is_some_and(|directory| !directory.is_empty()) {
        let label = settings.label(Flag::Rootfs);
        return Err(usage(format!("{label} is not supported: it is for all that is read, too"))
            .with_help("use chroot DIR nodestrap join; --root is only where files are written"));
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
