//! How a node registers: what the user can say about it (`nodeRegistration` of kubeadm's JoinConfiguration), and the
//! kubelet's flags that say it.

use crate::node::NodeName;

/// The flag that gives a node another name than the machine has.
const HOSTNAME_OVERRIDE: &str = "hostname-override";

/// What the user says about the node; each part may be empty. Every value is checked to be printable ASCII.
#[derive(Clone, Debug, Default)]
pub struct NodeRegistration {
    /// Taints that the Node is born with.
    pub taints: Vec<Taint>,
    /// Flags for the kubelet, name without dashes and value, in their order.
    pub kubelet_extra_args: Vec<(String, String)>,
    /// The container runtime's socket as [`cri_socket`](Self::cri_socket) makes it; without one it is looked for.
    pub cri_socket: Option<String>,
}

impl NodeRegistration {
    /// Takes the value of one of the command line's flags `cri-socket`, `kubelet-extra-arg` and `taint`.
    ///
    /// # Errors
    /// What the flag takes, when the value is something else.
    pub fn take(&mut self, flag: &str, value: &str) -> Result<(), &'static str> {
        match flag {
            "cri-socket" => {
                let problem = "--cri-socket takes a URL such as unix:///run/containerd/containerd.sock";
                self.cri_socket = Some(Self::cri_socket(value).ok_or(problem)?);
            }
            "taint" => {
                let problem =
                    "--taint takes KEY=VALUE:EFFECT, the effect NoSchedule, PreferNoSchedule or NoExecute";
                self.taints.push(Taint::parse(value).ok_or(problem)?);
            }
            _ => {
                let problem =
                    "--kubelet-extra-arg takes NAME=VALUE, a flag of the kubelet in printable ASCII";
                self.kubelet_extra_args.push(Self::kubelet_extra_arg(value).ok_or(problem)?);
            }
        }
        Ok(())
    }

    /// A socket as kubeadm takes it: a `unix://` URL, or a path, which becomes one. `None` for anything else.
    #[must_use]
    pub fn cri_socket(text: &str) -> Option<String> {
        let path = text.strip_prefix("unix://").unwrap_or(text);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+@%".contains(&b);
        (path.starts_with('/') && path.bytes().all(plain)).then(|| format!("unix://{path}"))
    }

    /// One flag for the kubelet, `NAME=VALUE`, the name with or without its dashes. `None` for anything else.
    #[must_use]
    pub fn kubelet_extra_arg(text: &str) -> Option<(String, String)> {
        let (name, value) = text.split_once('=')?;
        let name = name.strip_prefix("--").unwrap_or(name);
        let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let fits = !name.is_empty() && !name.starts_with('-') && name.bytes().all(letter);
        (fits && value.bytes().all(|b| (b' '..=b'~').contains(&b)))
            .then(|| (name.to_owned(), value.to_owned()))
    }

    /// The node's name where the kubelet's own flag gives one, which then wins over every other, as in kubeadm
    /// (`cmd/kubeadm/app/phases/kubelet/flags.go`, `GetNodeNameAndHostname`).
    #[must_use]
    pub fn hostname_override(&self) -> Option<&str> {
        let args = self.kubelet_extra_args.iter();
        args.rev().find(|(name, _)| name == HOSTNAME_OVERRIDE).map(|(_, value)| value.as_str())
    }

    /// The kubelet's flags in one line, as kubeadm writes them: its own in the order of their names, unless the user
    /// gives them, then the user's (`flags.go` again; `cmd/kubeadm/app/util/arguments.go`, `ArgumentsToCommand`).
    #[must_use]
    pub(super) fn arguments(&self, node: &NodeName, hostname: Option<&str>) -> String {
        let mut own = Vec::new();
        // A kubelet takes the machine's name, trimmed and in lower case, when it is not told another.
        if !hostname.is_some_and(|hostname| hostname.trim().eq_ignore_ascii_case(node.as_str())) {
            own.push((HOSTNAME_OVERRIDE, node.as_str().to_owned()));
        }
        if !self.taints.is_empty() {
            let taints: Vec<&str> = self.taints.iter().map(|taint| taint.0.as_str()).collect();
            own.push(("register-with-taints", taints.join(",")));
        }
        let users = &self.kubelet_extra_args;
        own.retain(|(name, _)| users.iter().all(|(given, _)| given != name));
        let own = own.iter().map(|(name, value)| (*name, value));
        let all = own.chain(users.iter().map(|(name, value)| (name.as_str(), value)));
        all.map(|(name, value)| ["--", name, "=", value].concat()).collect::<Vec<_>>().join(" ")
    }
}

/// A checked taint, `KEY=VALUE:EFFECT` or `KEY:EFFECT` (`k8s.io/api/core/v1/taint.go`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint(String);

impl Taint {
    /// Takes a taint in the form that `kubectl taint` and the kubelet read. `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, effect) = text.rsplit_once(':')?;
        let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let fits = !key.is_empty()
            && key.bytes().all(|b| plain(b) || b == b'/')
            && value.bytes().all(plain)
            && matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute");
        // Without a value there is no equals sign either.
        let equals = if value.is_empty() { "" } else { "=" };
        fits.then(|| Self([key, equals, value, ":", effect].concat()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(taints: &[&str], extra: &[&str], node: &str, hostname: Option<&str>) -> String {
        let registration = NodeRegistration {
            taints: taints.iter().map(|text| Taint::parse(text).unwrap()).collect(),
            kubelet_extra_args: extra
                .iter()
                .map(|text| NodeRegistration::kubelet_extra_arg(text).unwrap())
                .collect(),
            cri_socket: None,
        };
        registration.arguments(&NodeName::new(node).unwrap(), hostname)
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
    fn the_last_hostname_override_names_the_node() {
        let args = ["a=1", "hostname-override=n1", "hostname-override=n2"];
        let kubelet_extra_args =
            args.iter().map(|text| NodeRegistration::kubelet_extra_arg(text).unwrap()).collect();
        let registration = NodeRegistration { kubelet_extra_args, ..NodeRegistration::default() };
        assert_eq!(registration.hostname_override(), Some("n2"));
        assert_eq!(NodeRegistration::default().hostname_override(), None);
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
    fn what_is_no_flag_or_no_taint_is_refused() {
        for bad in ["", "=x", "--=x", "---a=x", "a", "a b=c", "a=\n", "a=\u{e4}"] {
            assert_eq!(NodeRegistration::kubelet_extra_arg(bad), None, "{bad:?}");
        }
        for bad in ["", "a", "a=b", "a:", "a=b:noschedule", ":NoSchedule", "=b:NoSchedule", "a=b,c:NoExecute"]
        {
            assert_eq!(Taint::parse(bad), None, "{bad:?}");
        }
    }
}
