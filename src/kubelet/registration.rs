//! How a node registers: what the user can say about it (`nodeRegistration` of kubeadm's JoinConfiguration), and the
//! kubelet's flags that say it.

use super::Machine;

/// The flag that gives a node another name than the machine has.
pub const HOSTNAME_OVERRIDE: &str = "hostname-override";
/// The flag that says where its pairs are.
pub const CERT_DIR: &str = "cert-dir";
/// The flag that says where its identity is.
pub const KUBECONFIG: &str = "kubeconfig";
/// The flag that gives it taints from the beginning.
const TAINTS: &str = "register-with-taints";
/// The flag that says where the container runtime is.
const RUNTIME: &str = "container-runtime-endpoint";

/// What the user says about the node; each part may be empty. The functions of the same names check what goes in.
#[derive(Clone, Debug, Default)]
pub struct NodeRegistration {
    /// Taints that the Node is registered with, as [`taint`](Self::taint) makes them.
    pub taints: Vec<String>,
    /// Flags for the kubelet in their order, as [`kubelet_extra_arg`](Self::kubelet_extra_arg) makes them.
    pub kubelet_extra_args: Vec<String>,
    /// The container runtime's socket, as [`cri_socket`](Self::cri_socket) makes it; without one it is looked for.
    pub cri_socket: Option<String>,
}

impl NodeRegistration {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.taints.is_empty() && self.kubelet_extra_args.is_empty() && self.cri_socket.is_none()
    }

    /// Takes the value of one of the command line's flags `cri-socket`, `kubelet-extra-arg` and `taint`.
    ///
    /// # Errors
    /// What it takes, when the value is something else.
    pub fn take(&mut self, flag: &str, value: &str) -> Result<(), &'static str> {
        match flag {
            "cri-socket" => {
                let problem = "a URL such as unix:///run/containerd/containerd.sock";
                self.cri_socket = Some(Self::cri_socket(value).ok_or(problem)?);
            }
            "taint" => {
                let problem = "KEY=VALUE:EFFECT, the effect NoSchedule, PreferNoSchedule or NoExecute";
                self.taints.push(Self::taint(value).ok_or(problem)?);
            }
            _ => {
                let problem = "NAME=VALUE, a flag of the kubelet in printable ASCII";
                self.kubelet_extra_args.push(Self::kubelet_extra_arg(value).ok_or(problem)?);
            }
        }
        Ok(())
    }

    /// A socket as kubeadm takes it: a `unix://` URL, or a path, which becomes one. `None` for anything else.
    pub fn cri_socket(text: &str) -> Option<String> {
        let path = text.strip_prefix("unix://").unwrap_or(text);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+@%".contains(&b);
        (path.starts_with('/') && path.bytes().all(plain)).then(|| format!("unix://{path}"))
    }

    /// One flag for the kubelet, `NAME=VALUE`, without the dashes that may stand before it. The value is printable
    /// ASCII, which goes into an environment file. `None` for anything else.
    pub fn kubelet_extra_arg(text: &str) -> Option<String> {
        let text = text.strip_prefix("--").unwrap_or(text);
        let (name, value) = text.split_once('=')?;
        let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let fits = !name.is_empty() && !name.starts_with('-') && name.bytes().all(letter);
        (fits && value.bytes().all(|b| (b' '..=b'~').contains(&b))).then(|| text.to_owned())
    }

    /// A taint, `KEY=VALUE:EFFECT` or `KEY:EFFECT` (`k8s.io/api/core/v1/taint.go`). `None` for what the kubelet would not
    /// take.
    pub fn taint(text: &str) -> Option<String> {
        let (rest, effect) = text.rsplit_once(':')?;
        let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let fits = !key.is_empty()
            && key.bytes().all(|b| plain(b) || b == b'/')
            && value.bytes().all(plain)
            && matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute");
        // Without a value there is no equals sign either.
        let equals = if value.is_empty() { "" } else { "=" };
        fits.then(|| [key, equals, value, ":", effect].concat())
    }

    /// The kubelet's flags in one line, as kubeadm writes them: its own in the order of their names, unless the user
    /// gives them, then the user's; `runtime` is the container runtime's socket, or empty (`flags.go` again;
    /// `cmd/kubeadm/app/util/arguments.go`, `ArgumentsToCommand`).
    pub(super) fn arguments(&self, machine: &Machine<'_>, runtime: &str) -> String {
        let users = &self.kubelet_extra_args;
        let taints = self.taints.join(",");
        let given = |value| Some(value).filter(|value: &&str| !value.is_empty());
        let node = machine.node.as_str();
        // A kubelet takes the machine's name, trimmed and in lower case, when it is not told another.
        let is_known = machine.hostname.is_some_and(|name| name.trim().eq_ignore_ascii_case(node));
        let place = |name| machine.path_flags.iter().find(|(flag, _)| *flag == name).map(|(_, path)| *path);
        let mut line = String::new();
        let mut add = |parts: &[&str]| {
            line.push_str(if line.is_empty() { "--" } else { " --" });
            for part in parts {
                line.push_str(part);
            }
        };
        for (name, value) in [
            (CERT_DIR, place(CERT_DIR)),
            (RUNTIME, given(runtime)),
            (HOSTNAME_OVERRIDE, Some(node).filter(|_| !is_known)),
            (KUBECONFIG, place(KUBECONFIG)),
            (TAINTS, given(&taints)),
        ] {
            let is_users = users.iter().any(|arg| arg.split_once('=').is_some_and(|(own, _)| own == name));
            if !is_users && let Some(value) = value {
                add(&[name, "=", value]);
            }
        }
        for arg in users {
            add(&[arg]);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubelet::Patches;
    use crate::node_name::NodeName;

    fn arguments(taints: &[&str], extra: &[&str], node: &str, hostname: Option<&str>) -> String {
        arguments_at(&[], taints, extra, node, hostname)
    }

    fn arguments_at(
        path_flags: &[(&str, &str)],
        taints: &[&str],
        extra: &[&str],
        node: &str,
        hostname: Option<&str>,
    ) -> String {
        let registration = NodeRegistration {
            taints: taints.iter().map(|text| NodeRegistration::taint(text).unwrap()).collect(),
            kubelet_extra_args: extra
                .iter()
                .map(|text| NodeRegistration::kubelet_extra_arg(text).unwrap())
                .collect(),
            cri_socket: None,
        };
        let node = NodeName::new(node).unwrap();
        registration.arguments(
            &Machine {
                node: &node,
                hostname,
                cri_socket: "",
                has_systemd_resolved: false,
                ca: "",
                path_flags,
                patches: &Patches::default(),
            },
            "",
        )
    }

    #[test]
    fn a_kubelet_is_told_where_its_files_lie() {
        let path_flags = [("kubeconfig", "/k"), ("cert-dir", "/c")];
        assert_eq!(
            arguments_at(&path_flags, &["a:NoExecute"], &["z=1"], "n1", None),
            "--cert-dir=/c --hostname-override=n1 --kubeconfig=/k --register-with-taints=a:NoExecute --z=1"
        );
        assert_eq!(
            arguments_at(&path_flags, &[], &["cert-dir=/c"], "n1", Some("n1")),
            "--kubeconfig=/k --cert-dir=/c"
        );
    }

    #[test]
    fn flags_are_those_of_kubeadm_in_its_order() {
        assert_eq!(arguments(&[], &[], "n1", Some("N1\n")), "");
        assert_eq!(arguments(&[], &[], "n1", Some("n2")), "--hostname-override=n1");
        assert_eq!(arguments(&[], &[], "n1", None), "--hostname-override=n1");
        assert_eq!(
            arguments(&["b=c:NoSchedule", "a=:NoExecute"], &["z=1", "--a=2 3", "z=4"], "n1", None),
            "--hostname-override=n1 --register-with-taints=b=c:NoSchedule,a:NoExecute --z=1 --a=2 3 --z=4"
        );
        assert_eq!(
            arguments(&["a:NoExecute"], &["register-with-taints=", "hostname-override=n1"], "n1", None),
            "--register-with-taints= --hostname-override=n1"
        );
    }

    #[test]
    fn the_runtime_is_among_the_flags_where_no_configuration_says_it() {
        let node = NodeName::new("n1").unwrap();
        let socket = "unix:///run/c.sock";
        let machine = Machine {
            node: &node,
            hostname: None,
            cri_socket: socket,
            has_systemd_resolved: false,
            ca: "",
            path_flags: &[("cert-dir", "/c")],
            patches: &Patches::default(),
        };
        let mut registration = NodeRegistration::default();
        assert!(registration.is_empty());
        registration.take("cri-socket", socket).unwrap();
        assert!(!registration.is_empty());
        let line = "--cert-dir=/c --container-runtime-endpoint=unix:///run/c.sock --hostname-override=n1";
        assert_eq!(registration.arguments(&machine, socket), line);
        registration.take("kubelet-extra-arg", "container-runtime-endpoint=unix:///x").unwrap();
        let line = "--cert-dir=/c --hostname-override=n1 --container-runtime-endpoint=unix:///x";
        assert_eq!(registration.arguments(&machine, socket), line, "the user's is last");
    }

    #[test]
    fn sockets_are_urls_or_paths() {
        for text in ["unix:///run/c.sock", "/run/c.sock"] {
            assert_eq!(NodeRegistration::cri_socket(text).as_deref(), Some("unix:///run/c.sock"));
        }
        for bad in ["", "run/c.sock", "tcp://h:1", "unix://run", "npipe:////./pipe", "/a b", "/a\"", "/a: b"]
        {
            assert_eq!(NodeRegistration::cri_socket(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_taint_without_a_value_has_no_equals_sign() {
        for (text, taint) in [
            ("a=b:NoSchedule", "a=b:NoSchedule"),
            ("a=:NoExecute", "a:NoExecute"),
            ("a/b.c:NoExecute", "a/b.c:NoExecute"),
        ] {
            assert_eq!(NodeRegistration::taint(text).as_deref(), Some(taint));
        }
    }

    #[test]
    fn what_is_no_flag_or_no_taint_is_refused() {
        for bad in ["", "=x", "--=x", "---a=x", "a", "a b=c", "a=\n", "a=\u{e4}"] {
            assert_eq!(NodeRegistration::kubelet_extra_arg(bad), None, "{bad:?}");
        }
        for bad in ["", "a", "a=b", "a:", "a=b:noschedule", ":NoSchedule", "=b:NoSchedule", "a=b,c:NoExecute"]
        {
            assert_eq!(NodeRegistration::taint(bad), None, "{bad:?}");
        }
    }
}
