//! The administrator's patches to the cluster's kubelet configuration: files as `kubeadm join --patches` takes them
//! (`cmd/kubeadm/app/util/patches/patches.go`), `TARGET[SUFFIX][+TYPE].yaml` or `.json`. What they say is the
//! administrator's own word, and bounded like that of any file.

mod merge;
mod operations;
mod strategic;

use std::mem;

use serde_json::{Map, Value};

use super::config::{self, Problem};
use crate::error::{Error, ErrorKind, Result, Step};
use crate::limits;
use crate::sanitize::sanitize;
use crate::yaml::{self, Document};

/// The target that a join of a worker writes.
const TARGET: &str = "kubeletconfiguration";
/// The targets of a control plane (`knownTargets`; the last one came with 1.37).
const OTHER_TARGETS: [&str; 6] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "corednsdeployment",
    "kubeproxydaemonset",
];

/// The field for the container runtime's socket.
const SOCKET: &str = "containerRuntimeEndpoint";

/// How a patch changes a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// As `kubectl patch` has it by default.
    Strategic,
    /// RFC 7386.
    Merge,
    /// RFC 6902.
    Json,
}

impl PatchType {
    /// What the name of the file at `path` says. `None` where it is not a patch for the kubelet's configuration: another
    /// target, which a worker does not have, or a name that kubeadm ignores.
    ///
    /// # Errors
    /// A usage error for a type that there is not.
    pub fn of(path: &str) -> Result<Option<Self>> {
        let name = path.rsplit('/').next().unwrap_or_default();
        let stem = name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".json"));
        if !stem.is_some_and(|stem| stem.ends_with(|last| last != '\n')) {
            return Ok(None);
        }
        let mut targets = OTHER_TARGETS.into_iter().chain([TARGET]);
        let Some((target, rest)) = targets.find_map(|target| Some((target, name.strip_prefix(target)?)))
        else {
            return Ok(None);
        };
        let suffix = rest.find(['.', '+', '\n']).unwrap_or(rest.len());
        // Behind the type kubeadm takes anything.
        let patch_type = match rest[suffix..].strip_prefix('+') {
            None => Self::Strategic,
            Some(word) if word.starts_with("strategic") => Self::Strategic,
            Some(word) if word.starts_with("merge") => Self::Merge,
            Some(word) if word.starts_with("json") => Self::Json,
            Some(_) => return Err(unusable(path, "what follows + is not json, merge or strategic")),
        };
        Ok((target == TARGET).then_some(patch_type))
    }
}

/// The patches of one directory, in the order in which they are applied.
#[derive(Debug, Default)]
pub struct Patches {
    /// Each with the path of its file.
    list: Vec<(String, PatchType, Document)>,
    /// The names of files that hold none.
    skipped: Vec<String>,
    /// How long the files are together.
    bytes: usize,
}

impl Patches {
    /// Adds the patches of the file at `path` behind those that are there.
    ///
    /// # Errors
    /// A usage error when the text is neither YAML nor JSON, and when all files together have more than
    /// [`limits::YAML_BYTES`].
    pub fn add(&mut self, path: &str, patch_type: PatchType, text: &[u8]) -> Result<()> {
        self.bytes += text.len();
        if self.bytes > limits::YAML_BYTES {
            return Err(unusable(path, "the patches are longer than 1 MiB together"));
        }
        let text = str::from_utf8(text).map_err(|e| unusable(path, e))?;
        for document in yaml::trees(text).map_err(|e| unusable(path, e))? {
            // Between two marks there may be a comment only.
            if !document.is_null() {
                self.list.push((path.to_owned(), patch_type, document));
            }
        }
        Ok(())
    }

    /// Notes a file that is not a patch for the kubelet's configuration.
    pub fn skip(&mut self, name: &str) {
        self.skipped.push(sanitize(name));
    }

    /// What was found, in one line. `None` where there is no directory of patches.
    pub(super) fn summary(&self) -> Option<String> {
        if self.list.is_empty() && self.skipped.is_empty() {
            return None;
        }
        let mut files: Vec<String> = self.list.iter().map(|(path, ..)| sanitize(path)).collect();
        files.dedup();
        let applied = if files.is_empty() { "none".to_owned() } else { files.join(", ") };
        let skipped = match self.skipped.join(", ") {
            names if names.is_empty() => names,
            names => format!("; skipped, not for {TARGET}: {names}"),
        };
        Some(format!("patches applied: {applied}{skipped}"))
    }

    /// Applies the patches to the machine's config.yaml, made of the cluster's text; without patches it stays as it is.
    /// They see the cluster's word for the container runtime's socket, and the machine's wins over them: kubeadm merges
    /// instance-config.yaml last.
    ///
    /// # Errors
    /// A usage error when a patch cannot be applied, or when no KubeletConfiguration is left.
    pub(super) fn apply(&self, config: String, cluster: &str, cri_socket: &str) -> Result<String> {
        let Some((last, ..)) = self.list.last() else { return Ok(config) };
        let unreadable = |e: Problem| unusable(last, e);
        let mut document = config::read(&config).map_err(unreadable)?.clone();
        let own = config::read(cluster).map_err(unreadable)?[SOCKET].as_str().unwrap_or_default().to_owned();
        document[SOCKET] = own.into();
        let mut room = limits::YAML_BYTES;
        for (path, patch_type, patch) in &self.list {
            document = patched(document, *patch_type, patch, &mut room).map_err(|e| unusable(path, e))?;
        }
        if document.is_object() {
            document[SOCKET] = cri_socket.into();
        }
        let text = yaml::text(&document);
        let written = config::read(&text)
            .map_err(|e| unreadable(["what is left is ", &e.to_string()].concat().into()))?;
        if same(&written, &document) { Ok(text) } else { Err(unusable(last, "it cannot be written as YAML")) }
    }
}

/// A configuration with one patch.
fn patched(
    document: Value,
    patch_type: PatchType,
    patch: &Value,
    room: &mut usize,
) -> std::result::Result<Value, String> {
    match (patch_type, patch, document) {
        (PatchType::Json, Value::Array(list), mut document) => {
            for (number, operation) in (1..).zip(list) {
                operations::apply(&mut document, operation, room)
                    .map_err(|problem| format!("operation {number}: {problem}"))?;
            }
            Ok(document)
        }
        (PatchType::Merge, Value::Object(patch), Value::Object(mut document)) => {
            merge::merge(&mut document, patch.clone());
            Ok(Value::Object(document))
        }
        (PatchType::Strategic, Value::Object(patch), Value::Object(document)) => {
            Ok(Value::Object(strategic::merge(document, patch.clone())?))
        }
        (PatchType::Json, ..) => Err("expected a list of operations".to_owned()),
        _ => Err("expected a map".to_owned()),
    }
}

/// Keeps the entries for which `is_kept` holds. A new map is made: what takes entries out of one is kilobytes of code.
fn keep(map: &mut Map<String, Value>, mut is_kept: impl FnMut(&String, &Value) -> bool) {
    for (key, value) in mem::take(map) {
        if is_kept(&key, &value) {
            map.insert(key, value);
        }
    }
}

/// Takes an entry out of a map.
fn remove(map: &mut Map<String, Value>, key: &str) -> Option<Value> {
    let value = mem::take(map.get_mut(key)?);
    keep(map, |other, _| other != key);
    Some(value)
}

/// Whether two values say the same; 1 and 1.0 do.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| same(one, other)))
        }
        _ => one == other,
    }
}

fn unusable(path: &str, problem: impl Into<Problem>) -> Error {
    Error::new(Step::Options, ErrorKind::Usage, format!("patch {path} is unusable"))
        .with_help("correct or remove it")
        .caused_by(problem)
}

#[cfg(test)]
mod tests;
