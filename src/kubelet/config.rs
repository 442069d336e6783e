//! config.yaml: the cluster's KubeletConfiguration with what is this machine's own.
//!
//! kubeadm decodes the ConfigMap's text into the kubelet's type, fills that in and writes it out again. The text was
//! written in the same way when the cluster was made, so that only the lines differ that kubeadm sets on each machine.
//! They are set here as lines, and the outcome is read again; the other fields, comments included, stay as they are.

use serde_json::Value;

use super::Machine;
use crate::yaml::{self, Document};

/// What kubeadm points the kubelet at where systemd-resolved runs
/// (`cmd/kubeadm/app/componentconfigs/kubelet.go`, `kubeletSystemdResolverConfig`): /etc/resolv.conf names only
/// resolved's own address there, which leads nowhere from inside a pod.
pub const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// Why a text is not a configuration for a kubelet, or none that can be completed here.
pub(super) type Problem = Box<dyn std::error::Error + Send + Sync>;

/// Makes the machine's config.yaml of the cluster's `text`, which is trusted but may be written by hand.
///
/// Set as kubeadm sets them: the container runtime's socket; certificate rotation, always on; and the list of name
/// servers, where systemd-resolved runs and the cluster says nothing.
///
/// # Errors
/// When the text is no KubeletConfiguration v1beta1, is larger or deeper than [`yaml::tree`] reads, or has a form
/// in which the fields cannot be set: anything but a map in block style.
pub fn for_machine(text: &str, machine: &Machine<'_>) -> Result<String, Problem> {
    let unset = matches!(read(text)?["resolvConf"].as_str(), None | Some(""));
    let mut lines = vec![("containerRuntimeEndpoint", machine.cri_socket), ("rotateCertificates", "true")];
    if machine.has_systemd_resolved && unset {
        lines.push(("resolvConf", RESOLVED));
    }
    let mut config = text.to_owned();
    for (key, value) in &lines {
        config = with_line(&config, key, value);
    }
    let made = read(&config)?;
    let is_set = |(key, value): &(&str, &str)| match &made[*key] {
        Value::Bool(on) => on.to_string() == *value,
        found => found == value,
    };
    if lines.iter().all(is_set) { Ok(config) } else { Err("not in the form that kubeadm writes".into()) }
}

/// The CA by which a kubelet with this configuration knows the API server when that calls. kubeadm, too, leaves the
/// cluster's as it is, whatever `caCertPath` says.
pub(super) fn client_ca(config: &str) -> Option<String> {
    read(config).ok()?["authentication"]["x509"]["clientCAFile"].as_str().map(str::to_owned)
}

/// The fields of a KubeletConfiguration v1beta1 (`k8s.io/kubelet/config/v1beta1`).
pub(super) fn read(text: &str) -> Result<Document, Problem> {
    let document = yaml::tree(text)?;
    if document["kind"] == "KubeletConfiguration" && document["apiVersion"] == "kubelet.config.k8s.io/v1beta1"
    {
        Ok(document)
    } else {
        Err("not a KubeletConfiguration of kubelet.config.k8s.io/v1beta1".into())
    }
}

/// The text with the line `key: value` at the top level: in place of the old one, else where the alphabet has it.
fn with_line(text: &str, key: &str, value: &str) -> String {
    let line = [key, ": ", value].concat();
    // A carriage return alone ends a line, too (YAML 1.2, section 5.4).
    let text = text.strip_suffix('\r').unwrap_or(text);
    // One after the other: a list of them would take 16 times the memory of a text of blank lines.
    let lines = || text.lines().flat_map(|line| line.split('\r'));
    let old = lines().position(|line| top_level_key(line) == Some(key));
    let later = || lines().position(|line| top_level_key(line).is_some_and(|found| found > key));
    let place = old.or_else(later);
    let mut made = String::with_capacity(text.len() + line.len() + 2);
    for (at, other) in lines().enumerate() {
        if place == Some(at) {
            made.extend([&line, "\n"]);
        }
        if old != Some(at) {
            made.extend([other, "\n"]);
        }
    }
    if place.is_none() {
        made.extend([&line, "\n"]);
    }
    made
}

fn top_level_key(line: &str) -> Option<&str> {
    let (key, rest) = line.split_once(':')?;
    // Without a space behind it the colon is part of the key (YAML 1.2, section 7.3.3).
    let is_key =
        key.starts_with(|c: char| c.is_ascii_alphabetic()) && (rest.is_empty() || rest.starts_with(' '));
    is_key.then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubelet::Patches;
    use crate::node_name::NodeName;

    const CLUSTER: &str = "apiVersion: kubelet.config.k8s.io/v1beta1\nauthentication:\n  x509:\n    clientCAFile: /ca\n\
                           containerRuntimeEndpoint: \"\"\nhealthzPort: 10248\nkind: KubeletConfiguration\n\
                           registryBurst: 3\nrotateCertificates: true\nstaticPodPath: /m\n";

    fn make(text: &str, resolved: bool) -> Result<String, String> {
        let node = NodeName::new("n1").unwrap();
        let cri_socket = "unix:///run/c.sock";
        let machine = Machine {
            node: &node,
            hostname: None,
            cri_socket,
            has_systemd_resolved: resolved,
            ca: "/ca",
            path_flags: &[],
            patches: &Patches::default(),
        };
        for_machine(text, &machine).map_err(|e| e.to_string())
    }

    #[test]
    fn kubeadms_own_text_gets_the_socket_and_nothing_else() {
        let expected = CLUSTER.replace("Endpoint: \"\"", "Endpoint: unix:///run/c.sock");
        assert_eq!(make(CLUSTER, false).unwrap(), expected);
    }

    #[test]
    fn name_servers_are_resolveds_where_the_cluster_says_nothing() {
        let expected = CLUSTER
            .replace("Endpoint: \"\"", "Endpoint: unix:///run/c.sock")
            .replace("rotate", "resolvConf: /run/systemd/resolve/resolv.conf\nrotate");
        assert_eq!(make(CLUSTER, true).unwrap(), expected);
        let own = CLUSTER.replace("rotate", "resolvConf: /etc/own.conf\nrotate");
        assert!(make(&own, true).unwrap().contains("resolvConf: /etc/own.conf\n"));
    }

    #[test]
    fn a_text_written_by_hand_keeps_what_it_says() {
        let hand =
            "# ours\nkind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\nzone: |\n  a: b";
        let made = make(hand, false).unwrap();
        assert_eq!(
            made,
            "# ours\ncontainerRuntimeEndpoint: unix:///run/c.sock\nkind: KubeletConfiguration\n\
             apiVersion: kubelet.config.k8s.io/v1beta1\nrotateCertificates: true\nzone: |\n  a: b\n"
        );
        assert_eq!(make(&made, false).unwrap(), made);
        let off = CLUSTER.replace("rotateCertificates: true", "rotateCertificates: false");
        assert!(make(&off, false).unwrap().contains("rotateCertificates: true\n"), "as kubeadm has it");
    }

    /// What stands behind a line that is set would vanish with it.
    #[test]
    fn lines_end_as_yaml_has_it() {
        let expected = make(CLUSTER, false).unwrap();
        for end in ["\r\n", "\r"] {
            assert_eq!(make(&CLUSTER.replace('\n', end), false).unwrap(), expected, "{end:?}");
            let one = CLUSTER.replace("true\n", &["true", end].concat());
            assert_eq!(make(&one, false).unwrap(), expected, "{end:?}");
        }
    }

    #[test]
    fn a_key_that_begins_like_one_that_is_set_stays() {
        let other = CLUSTER.replace("rotateCertificates: true", "resolvConf:x: y\nrotateCertificates: true");
        assert!(make(&other, true).unwrap().contains("resolvConf:x: y\n"));
    }

    #[test]
    fn the_clusters_word_for_its_ca_is_found() {
        assert_eq!(client_ca(CLUSTER).as_deref(), Some("/ca"));
        assert_eq!(client_ca(&CLUSTER.replace("clientCAFile", "other")), None);
        assert_eq!(client_ca(&CLUSTER.replace("x509:", "x509: {}\n  other:")), None);
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, words) in [
            ("", "not a KubeletConfiguration"),
            ("kind: KubeletConfiguration\n", "not a KubeletConfiguration"),
            (&CLUSTER.replace("v1beta1", "v1"), "not a KubeletConfiguration"),
            (&CLUSTER.replace("KubeletConf", "KubeProxyConf"), "not a KubeletConfiguration"),
            ("- a\n", "not a KubeletConfiguration"),
            ("a: [\n", "syntax error"),
            (&format!("{CLUSTER}---\n{CLUSTER}"), "more than one document"),
            (&format!("{CLUSTER}x: {}\n", "[".repeat(99)), "nested too deeply"),
            ("{kind: KubeletConfiguration, apiVersion: kubelet.config.k8s.io/v1beta1}\n", "invalid YAML"),
            (&CLUSTER.replace("Endpoint: \"\"", "Endpoint:\n  unix:///a"), "not in the form"),
        ] {
            let problem = make(text, false).unwrap_err();
            assert!(problem.contains(words), "{text}: {problem}");
        }
    }
}
