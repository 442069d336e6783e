//! kubeadm's JoinConfiguration, v1beta3 and v1beta4, YAML or JSON (`cmd/kubeadm/app/apis/kubeadm`).
//!
//! The fields become settings under the names of kubeadm's flags. A table of known fields instead of typed structs:
//! most have no meaning for a program that only joins, and all that is asked of them is that they exist.

use serde_json::Value;

use super::flags::Flag;
use super::settings::{Form, Origin, Settings};
use crate::error::{Error, Result, usage};
use crate::sanitize::sanitize;
use crate::yaml;

const CHECK: &str = "correct it; kubeadm config validate --config FILE checks it";

/// What a known field means.
enum Field {
    /// A text for this setting.
    Text(Flag),
    /// A list of texts for this setting.
    Texts(Flag),
    /// true or false for this setting.
    Switch(Flag),
    /// What kubeadm does and this program does not: preflight checks, images, waiting for components.
    NoEffect,
    /// `apiVersion` and `kind`, which are looked at before.
    Type,
    /// `controlPlane`: not for this program.
    ControlPlane,
    /// A map to look into.
    Map,
    /// `taints`: a list of key, value and effect.
    Taints,
    /// `kubeletExtraArgs`: a map in v1beta3, a list of name and value in v1beta4.
    KubeletArguments,
}

/// A version of the configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V1Beta3,
    V1Beta4,
}

/// The fields by their path (`v1beta4/types.go`, and `v1beta3/types.go` where they differ). One that a version does not
/// have is unknown there, as kubeadm's decoder has it.
fn field(path: &str, version: Version) -> Option<Field> {
    let of_version = match path {
        "discovery.timeout" => version == Version::V1Beta3,
        "dryRun" | "nodeRegistration.imagePullSerial" => version == Version::V1Beta4,
        _ => version == Version::V1Beta4 || !path.starts_with("timeouts"),
    };
    if !of_version {
        return None;
    }
    Some(match path {
        "discovery"
        | "discovery.bootstrapToken"
        | "discovery.file"
        | "nodeRegistration"
        | "timeouts"
        | "patches" => Field::Map,
        "patches.directory" => Field::Text(Flag::Patches),
        "discovery.bootstrapToken.token" => Field::Text(Flag::Token),
        "discovery.bootstrapToken.apiServerEndpoint" => Field::Text(Flag::Endpoint),
        "discovery.bootstrapToken.caCertHashes" => Field::Texts(Flag::CaCertHash),
        "discovery.bootstrapToken.unsafeSkipCAVerification" => Field::Switch(Flag::SkipCaVerification),
        "discovery.file.kubeConfigPath" => Field::Text(Flag::DiscoveryFile),
        "discovery.tlsBootstrapToken" => Field::Text(Flag::TlsBootstrapToken),
        "discovery.timeout" | "timeouts.discovery" => Field::Text(Flag::DiscoveryTimeout),
        "timeouts.tlsBootstrap" => Field::Text(Flag::TlsBootstrapTimeout),
        "nodeRegistration.name" => Field::Text(Flag::NodeName),
        "nodeRegistration.criSocket" => Field::Text(Flag::CriSocket),
        "nodeRegistration.taints" => Field::Taints,
        "nodeRegistration.kubeletExtraArgs" => Field::KubeletArguments,
        "dryRun" => Field::Switch(Flag::DryRun),
        "apiVersion" | "kind" => Field::Type,
        "skipPhases" => Field::Texts(Flag::SkipPhases),
        "nodeRegistration.ignorePreflightErrors"
        | "nodeRegistration.imagePullPolicy"
        | "nodeRegistration.imagePullSerial"
        | "timeouts.kubernetesAPICall"
        | "timeouts.kubeletHealthCheck"
        | "timeouts.controlPlaneComponentHealthCheck"
        | "timeouts.etcdAPICall"
        | "timeouts.upgradeManifests" => Field::NoEffect,
        "controlPlane" => Field::ControlPlane,
        "caCertPath" => Field::Text(Flag::CaCertPath),
        _ => return None,
    })
}

/// Reads the one JoinConfiguration among the documents of `text`. Documents of other kinds (a ClusterConfiguration, a
/// KubeletConfiguration) are left alone, as kubeadm leaves them.
///
/// Unknown fields become warnings, as in kubeadm, which makes them errors in no case.
///
/// # Errors
/// A usage error, which names the source, for text that is not YAML, has no JoinConfiguration or two of them, has an API
/// version that is not known, joins a control plane, names two ways to find the cluster, or gives a known field a value of
/// another type.
pub(super) fn read(text: &str, origin: Origin, settings: &mut Settings) -> Result<()> {
    settings.form = Form::Configuration;
    let place = settings.place(origin, Form::Configuration);
    documents(text, origin, settings).map_err(|e| e.with_note(&format!(" (in {place})")))
}

fn documents(text: &str, origin: Origin, settings: &mut Settings) -> Result<()> {
    let documents =
        yaml::trees(text).map_err(|e| usage("invalid configuration").with_help(CHECK).caused_by(e))?;
    let mut found = 0;
    for document in documents {
        let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("kind") != "JoinConfiguration" {
            continue;
        }
        found += 1;
        let version = match text("apiVersion") {
            "kubeadm.k8s.io/v1beta3" => Version::V1Beta3,
            "kubeadm.k8s.io/v1beta4" => Version::V1Beta4,
            other => return Err(unknown_version(other)),
        };
        walk("", &document, version, origin, settings)?;
        let discovery = &document["discovery"];
        if discovery["bootstrapToken"].is_object() && discovery["file"].is_object() {
            return Err(usage("discovery.bootstrapToken and discovery.file are mutually exclusive")
                .with_help("use one of them"));
        }
    }
    match found {
        1 => Ok(()),
        0 => Err(usage("no JoinConfiguration found in the configuration")
            .with_help("add a document with kind: JoinConfiguration")),
        _ => Err(usage("more than one JoinConfiguration in the configuration").with_help("keep one of them")),
    }
}

/// Versions that kubeadm has read once, each with the kubeadm that migrates it to the next one
/// (`cmd/kubeadm/app/util/config/common.go`, `oldKnownAPIVersions`). The last one here becomes v1beta3.
const MIGRATED: [(&str, &str); 5] = [
    ("v1alpha1", "v1.11"),
    ("v1alpha2", "v1.12"),
    ("v1alpha3", "v1.14"),
    ("v1beta1", "v1.15"),
    ("v1beta2", "v1.22"),
];

/// The version is shown only where it is one of kubeadm's.
fn unknown_version(found: &str) -> Error {
    const USE: &str = "use kubeadm.k8s.io/v1beta4 or v1beta3";
    let name = found.strip_prefix("kubeadm.k8s.io/").unwrap_or_default();
    if name == "v1" {
        let what =
            "apiVersion kubeadm.k8s.io/v1 of the JoinConfiguration is experimental: no kubeadm joins with it";
        return usage(what).with_help(USE);
    }
    let Some(at) = MIGRATED.into_iter().position(|(old, _)| old == name) else {
        return usage("unknown apiVersion of the JoinConfiguration").with_help(USE);
    };
    let steps: Vec<_> = MIGRATED[at..].iter().map(|(_, kubeadm)| *kubeadm).collect();
    let steps = steps.join(", then with kubeadm ");
    usage(format!("the JoinConfiguration has the old apiVersion kubeadm.k8s.io/{name}")).with_help(format!(
        "migrate it with kubeadm {steps}: kubeadm config migrate --old-config FILE --new-config FILE"
    ))
}

fn walk(path: &str, map: &Value, version: Version, origin: Origin, settings: &mut Settings) -> Result<()> {
    let wrong = |path: &str, what: &str| {
        Err(usage(format!("{path} in the JoinConfiguration is not {what}")).with_help(CHECK))
    };
    let is_duration = |flag| matches!(flag, Flag::DiscoveryTimeout | Flag::TlsBootstrapTimeout);
    let Some(entries) = map.as_object() else { return wrong(path, "a map") };
    for (key, value) in entries {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let Some(field) = field(&path, version) else {
            settings.unknown.push(sanitize(&path));
            continue;
        };
        // null and a missing field are the same to Go's decoder.
        match (field, value) {
            (_, Value::Null) | (Field::Type, _) => {}
            (Field::NoEffect, value) => {
                let says_something = match value {
                    Value::String(text) => !text.is_empty(),
                    Value::Array(items) => !items.is_empty(),
                    _ => true,
                };
                if says_something {
                    settings.no_effect.push(path);
                }
            }
            // Without anything in it, too.
            (Field::ControlPlane, _) => settings.put(Flag::ControlPlane, "true", origin),
            (Field::Map, value) => walk(&path, value, version, origin, settings)?,
            // So are an empty text and a missing one, except where a duration is read of it.
            (Field::Text(flag), Value::String(text)) if text.is_empty() && !is_duration(flag) => {}
            (Field::Text(flag), Value::String(text)) => settings.put(flag, text, origin),
            (Field::Switch(flag), Value::Bool(on)) => settings.put(flag, on.to_string(), origin),
            (Field::Texts(flag), Value::Array(items)) => {
                for item in items {
                    let Some(text) = text(Some(item)) else { return wrong(&path, "a list of strings") };
                    settings.put(flag, text, origin);
                }
            }
            (Field::KubeletArguments, value) => kubelet_arguments(&path, value, version, origin, settings)?,
            (Field::Taints, value) => taints(&path, value, origin, settings)?,
            (Field::Text(..), _) => {
                return wrong(&path, "a string").map_err(|e| e.with_help("put its value in quotes"));
            }
            (Field::Switch(_), _) => return wrong(&path, "true or false"),
            (Field::Texts(_), _) => return wrong(&path, "a list of strings"),
        }
    }
    Ok(())
}

/// A text of an item, which is empty where it is null or missing. `None` for anything else.
fn text(value: Option<&Value>) -> Option<&str> {
    match value {
        None | Some(Value::Null) => Some(""),
        Some(value) => value.as_str(),
    }
}

/// The kubelet's arguments, in the order of their names in v1beta3. Some decide here too: `hostname-override` is the
/// node's name, over `nodeRegistration.name` (kubeadm warns where the two differ).
fn kubelet_arguments(
    path: &str,
    value: &Value,
    version: Version,
    origin: Origin,
    settings: &mut Settings,
) -> Result<()> {
    let pairs: Option<Vec<(&str, &str)>> = match value {
        Value::Object(map) if version == Version::V1Beta3 => {
            map.iter().map(|(name, value)| Some((name.as_str(), text(Some(value))?))).collect()
        }
        Value::Array(items) if version == Version::V1Beta4 => items
            .iter()
            .enumerate()
            .map(|(at, item)| {
                warn_unknown(&format!("{path}[{at}]"), item, &["name", "value"], settings);
                Some((text(item.get("name"))?, text(item.get("value"))?))
            })
            .collect(),
        _ => None,
    };
    // An argument may lack its value, and not its name.
    let Some(pairs) = pairs.filter(|pairs| pairs.iter().all(|(name, _)| !name.is_empty())) else {
        return Err(usage(format!("{path} in the JoinConfiguration is not a list of names and values"))
            .with_help(
                "put numbers and words such as yes in \
             quotes",
            ));
    };
    for (name, value) in pairs {
        settings.put_kubelet_flag(name, value, origin);
        settings.put(Flag::KubeletExtraArg, format!("{name}={value}"), origin);
    }
    Ok(())
}

/// `taints` (`k8s.io/api/core/v1`, `Taint`), in the form of the kubelet's `--register-with-taints`.
fn taints(path: &str, value: &Value, origin: Origin, settings: &mut Settings) -> Result<()> {
    let wrong = || {
        let what = format!("{path} in the JoinConfiguration is not a list of taints");
        usage(what).with_help("each has strings for key, value and effect")
    };
    for (at, item) in value.as_array().ok_or_else(wrong)?.iter().enumerate() {
        if !matches!(item, Value::Object(_) | Value::Null) {
            return Err(wrong());
        }
        warn_unknown(&format!("{path}[{at}]"), item, &["key", "value", "effect", "timeAdded"], settings);
        let part = |name: &str| text(item.get(name)).ok_or_else(wrong);
        let [key, value, effect] = [part("key")?, part("value")?, part("effect")?];
        if !(key.is_empty() && value.is_empty() && effect.is_empty()) {
            settings.put(Flag::Taint, format!("{key}={value}:{effect}"), origin);
        }
    }
    Ok(())
}

fn warn_unknown(path: &str, item: &Value, known: &[&str], settings: &mut Settings) {
    let keys = item.as_object().into_iter().flat_map(|map| map.keys());
    let unknown = keys.filter(|key| !known.contains(&key.as_str()));
    settings.unknown.extend(unknown.map(|key| sanitize(&format!("{path}.{key}"))));
}
