//! What the cluster has for a kubelet of kubeadm's packages: the configuration that all its nodes share, and whether
//! a node of this name is at work already. Asked with the token, over the verified connection.

mod config;
mod patches;
mod registration;

pub use config::RESOLVED;
#[cfg(any(test, feature = "testing"))]
pub use config::for_machine;
pub use patches::{PatchType, Patches};
pub use registration::{CERT_DIR, KUBECONFIG, NodeRegistration};

use serde_json::Value;

use crate::clock::{Clock, Deadline};
use crate::error::{Error, ErrorKind, Result, Step};
use crate::http::{Bearer, Verified};
use crate::json;
use crate::limits;
use crate::log::Log;
use crate::node_name::NodeName;
use crate::retry::Backoff;
use crate::sanitize::sanitize;

/// The container runtimes that kubeadm looks for, and the one that it takes when there is none
/// (`cmd/kubeadm/app/constants/constants_unix.go`, `DefaultCRISocket`).
pub const RUNTIMES: [&str; 3] =
    ["/var/run/containerd/containerd.sock", "/var/run/crio/crio.sock", "/var/run/cri-dockerd.sock"];

/// Where kubeadm keeps the configuration (`KubeletBaseConfigurationConfigMap`).
const CONFIG_MAP: &str = "/api/v1/namespaces/kube-system/configmaps/kubelet-config";
/// The key that holds it (`KubeletBaseConfigurationConfigMapKey`).
const KEY: &str = "kubelet";

/// The fields of a Node and of the ConfigMap that are read.
const FIELDS: [&str; 5] = ["data", KEY, "status", "conditions", "type"];

/// The three files that a kubelet of kubeadm's packages reads, as `kubeadm join` 1.36 writes them. Nothing in them is
/// secret.
#[derive(Debug)]
pub struct KubeletFiles {
    /// `config.yaml`, where the cluster's configuration is fetched.
    pub config: Option<String>,
    /// `instance-config.yaml`, which a later `kubeadm upgrade node` reads, there too.
    pub instance: Option<String>,
    /// `kubeadm-flags.env`, which the kubelet's unit reads.
    pub flags: String,
}

/// What this machine adds to the cluster's configuration.
#[derive(Debug)]
pub struct Machine<'a> {
    /// The node's name.
    pub node: &'a NodeName,
    /// The machine's own name, where it is known.
    pub hostname: Option<&'a str>,
    /// The container runtime's `unix://` socket.
    pub cri_socket: &'a str,
    /// Whether systemd-resolved has written its list of servers.
    pub has_systemd_resolved: bool,
    /// Where ca.crt lies.
    pub ca: &'a str,
    /// Where the kubelet's other files lie, as flags of the kubelet, as far as it has to be told.
    pub path_flags: &'a [(&'a str, &'a str)],
    /// What the administrator changes in the configuration.
    pub patches: &'a Patches,
}

/// Questions to the API server before anything is written or requested.
pub struct ClusterQuery<'a> {
    /// The way to it.
    pub api: &'a Verified,
    /// The token, unless the connection has a client certificate instead.
    pub bearer: Option<&'a Bearer>,
    /// The program's clock.
    pub clock: &'a dyn Clock,
    /// When it has to have answered.
    pub deadline: Deadline,
}

impl ClusterQuery<'_> {
    /// Refuses a name under which a node is Ready, as kubeadm does: its kubelet and ours would fight over one Node
    /// (`cmd/kubeadm/app/cmd/phases/join/kubelet.go`).
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] when there is such a node; else the last failure to find out when the deadline has come.
    pub fn refuse_ready_node(&self, node: &NodeName, log: &Log) -> Result<()> {
        let name = node.as_str();
        let what =
            format!("Node {name} cannot be read (kubeadm allows it with ClusterRole kubeadm:get-nodes)");
        if !self.get(&format!("/api/v1/nodes/{name}"), &what, is_ready, log)?.unwrap_or_default() {
            return Ok(());
        }
        let what = format!("a Ready Node {name} already exists");
        Err(Error::new(Step::Cluster, ErrorKind::Denied, what).with_help(
            "use another --node-name, or, if this machine replaces that node, stop its kubelet or delete the Node",
        ))
    }

    /// Fetches the cluster's configuration and makes the machine's files of it.
    ///
    /// # Errors
    /// [`ErrorKind::NotPublished`] when there is no configuration or it is none that a kubelet could take; else the last
    /// failure to fetch it when the deadline has come.
    pub fn kubelet_files(
        &self,
        registration: &NodeRegistration,
        machine: &Machine<'_>,
        log: &Log,
    ) -> Result<KubeletFiles> {
        let what = "ConfigMap kube-system/kubelet-config cannot be read \
                    (kubeadm allows it with Role kubeadm:kubelet-config)";
        // An empty one is there, and is no KubeletConfiguration.
        let read = |object: &Value| match json::field(json::field(object, "data")?, KEY)? {
            Value::Null => Some(None),
            text => Some(Some(text.as_str()?.to_owned())),
        };
        let text = self.get(CONFIG_MAP, what, read, log)?.flatten().ok_or_else(|| {
            not_published("ConfigMap kube-system/kubelet-config not found").with_help(
                "create it with \
                 `kubeadm init phase upload-config kubelet`, or do not use --with-kubelet-config",
            )
        })?;
        let config = config::for_machine(&text, machine).map_err(|e| {
            not_published("ConfigMap kube-system/kubelet-config is unusable")
                .with_help("correct it in the cluster")
                .caused_by(e)
        })?;
        let config = machine.patches.apply(config, &text, machine.cri_socket)?;
        if let Some(summary) = machine.patches.summary() {
            log.info(&format!("kubelet: {summary}"));
        }
        if let Some(other) = config::client_ca(&config).filter(|file| file != machine.ca) {
            let (ca, other) = (machine.ca, sanitize(&other));
            log.warn(&format!("kubelet: clientCAFile is {other}, and the CA is written to {ca}"));
        }
        Ok(KubeletFiles {
            config: Some(config),
            instance: Some(format!("containerRuntimeEndpoint: {}\n", json::quoted(machine.cri_socket))),
            flags: flags_file(&registration.arguments(machine, "")),
        })
    }

    /// Asks until there is a response. `None` when there is no such object.
    fn get<T>(
        &self,
        path: &str,
        what: &str,
        read: impl Fn(&Value) -> Option<T>,
        log: &Log,
    ) -> Result<Option<T>> {
        let mut backoff = Backoff::new(self.clock, self.deadline);
        loop {
            let timeout = self.deadline.left(self.clock).unwrap_or_default().min(limits::REQUEST);
            let error = match self.api.call(Step::Cluster, path, self.bearer, None, timeout) {
                Ok(response) if response.status == 404 => return Ok(None),
                Ok(response) if response.status == 200 => {
                    match response.json(&FIELDS).as_ref().and_then(&read) {
                        Some(found) => return Ok(Some(found)),
                        None => response.unreadable(Step::Cluster, &format!("{what}: the answer")),
                    }
                }
                Ok(response) => response.failure(Step::Cluster, what),
                Err(error) => error,
            };
            let pause = backoff.next(error, "")?;
            log.retry(&pause);
            self.clock.sleep(pause.delay);
        }
    }
}

impl KubeletFiles {
    /// The flags alone, which need nothing of the cluster. The container runtime's socket is among them, where it is given,
    /// as kubeadm has it where the node's configuration is not its own (`cmd/kubeadm/app/phases/kubelet/flags.go`,
    /// `buildKubeletArgsCommon`).
    pub fn only_flags(registration: &NodeRegistration, machine: &Machine<'_>) -> Self {
        let flags = flags_file(&registration.arguments(machine, machine.cri_socket));
        Self { config: None, instance: None, flags }
    }
}

fn flags_file(arguments: &str) -> String {
    format!("KUBELET_KUBEADM_ARGS={}\n", json::quoted(arguments))
}

/// Whether a Node (`k8s.io/api/core/v1`, `NodeStatus`) is Ready.
fn is_ready(node: &Value) -> Option<bool> {
    let conditions = json::list(json::field(node, "status")?, "conditions")?;
    Some(conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True"))
}

fn not_published(message: &str) -> Error {
    Error::new(Step::Cluster, ErrorKind::NotPublished, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_by_its_condition() {
        for (node, ready) in [
            ("{}", false),
            (r#"{"status":{}}"#, false),
            (r#"{"status":null}"#, false),
            (r#"{"status":{"conditions":[null,{"type":null,"status":"True"}]}}"#, false),
            (r#"{"status":{"conditions":null}}"#, false),
            (
                r#"{"status":{"conditions":[{"type":"Ready","status":"False"},{"type":"X","status":"True"}]}}"#,
                false,
            ),
            (r#"{"status":{"conditions":[{"type":"Ready","status":"Unknown","reason":"True"}]}}"#, false),
            (
                r#"{"status":{"conditions":[{"type":"X"},{"status":"True","type":"Ready","message":"m"}]}}"#,
                true,
            ),
        ] {
            let tree = json::tree(node.as_bytes(), &FIELDS).unwrap();
            assert_eq!(is_ready(&tree), Some(ready), "{node}");
        }
    }
}
