//! The one table of flags: parser, `--help` and the completions of shells are made of it.

/// What follows a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: it is the word itself, without a flag before it.
    Positional,
    /// One value; the last one counts.
    Value,
    /// Several values, by repetition or with commas.
    List,
    /// Several values, by repetition only: a comma is part of the value.
    Each,
    /// Nothing, or `=true`, or `=false`.
    Switch,
    /// A secret; `--NAME-file FILE` reads it from a file, `-` from standard input.
    Secret,
    /// A value that has no effect, and is not kept: it may be a secret.
    Ignored,
}

/// Where `--help` shows a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Nowhere: it is in the usage.
    Usage,
    /// Among those of `kubeadm join`.
    Kubeadm,
    /// Among those of `kubeadm join` that are accepted or refused by name.
    Other,
    /// Among those of nodestrap alone.
    Own,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The name, without the dashes before it. Of a positional argument, the name of the setting.
    pub name: &'static str,
    /// What follows it.
    pub kind: Kind,
    /// What stands for the value in the help; empty for a switch.
    pub value: &'static str,
    /// Where the help shows it.
    pub group: Group,
    /// What the help says of it, in lines that fit behind the flag.
    pub help: &'static str,
}

/// Makes the enum and the table of the same rows, in their order.
macro_rules! flags {
    ($($flag:ident, $name:literal, $kind:ident, $value:literal, $group:ident, $help:literal;)*) => {
        /// A setting, by the flag that sets it. The number is the row of the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Flag {
            $(#[doc = concat!("`", $name, "`: ", $help)] $flag,)*
        }

        impl Flag {
            /// Every flag, in the order of the table.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$flag),*];
        }

        static ROWS: [Row; Flag::ALL.len()] = [
            $(Row { name: $name, kind: Kind::$kind, value: $value, group: Group::$group, help: $help },)*
        ];
    };
}

flags! {
    Endpoint, "api-server-endpoint", Positional, "HOST:PORT", Usage, "the API server; several with commas between";
    File, "FILE", Positional, "FILE", Usage, "certificates in PEM, for ca-hash";

    Config, "config", Value, "FILE", Kubeadm, "a JoinConfiguration, v1beta4 or v1beta3; - is standard input";
    Token, "token", Secret, "TOKEN", Kubeadm, "bootstrap token, for discovery and for TLS bootstrap";
    DiscoveryToken, "discovery-token", Secret, "TOKEN", Kubeadm, "the token for discovery, if different";
    TlsBootstrapToken, "tls-bootstrap-token", Secret, "TOKEN", Kubeadm,
        "the token for the certificate request, if different\n\
         each also as --token-file FILE and so on; - is standard input";
    CaCertHash, "discovery-token-ca-cert-hash", List, "sha256:HEX", Kubeadm,
        "pin of the cluster CA's public key; may be repeated";
    SkipCaVerification, "discovery-token-unsafe-skip-ca-verification", Switch, "", Kubeadm,
        "no pin: anyone with the token can impersonate the cluster";
    DiscoveryFile, "discovery-file", Value, "FILE|URL", Kubeadm,
        "server, CA and optionally credentials of a kubeconfig";
    NodeName, "node-name", Value, "NAME", Kubeadm, "default: the hostname; with --root, that of DIR/etc/hostname";
    HostnameOverride, "hostname-override", Value, "NAME", Kubeadm, "the kubelet's name for --node-name";
    CriSocket, "cri-socket", Value, "unix://PATH", Kubeadm,
        "the container runtime; default with --with-kubelet-config: detected";
    Patches, "patches", Value, "DIR", Kubeadm, "patches of config.yaml, for --with-kubelet-config";
    DryRun, "dry-run", Switch, "", Kubeadm, "find and verify the cluster; request and write nothing";

    Verbosity, "v", Ignored, "LEVEL", Other, "no effect, also as -v LEVEL";
    Vmodule, "vmodule", Ignored, "MODULES", Other, "no effect";
    IgnorePreflightErrors, "ignore-preflight-errors", Ignored, "LIST", Other, "no effect: there are no such checks";
    SkipPhases, "skip-phases", List, "PHASES", Other, "no effect: of phases that do not exist here";
    CertificateKey, "certificate-key", Ignored, "KEY", Other, "no effect on a worker";
    AdvertiseAddress, "apiserver-advertise-address", Ignored, "IP", Other, "no effect on a worker";
    BindPort, "apiserver-bind-port", Ignored, "PORT", Other, "no effect on a worker";
    ControlPlane, "control-plane", Switch, "", Other, "refused: nodestrap joins workers only";
    Rootfs, "rootfs", Value, "DIR", Other, "refused: use chroot DIR nodestrap join";

    PinEveryCa, "pin-every-ca", Switch, "", Own, "every CA of the cluster must be pinned, not only its server's";
    EnvFile, "env-file", Value, "FILE", Own,
        "a systemd EnvironmentFile with the variables below, and\nNODESTRAP_ARGS for more arguments";
    ClusterInfo, "cluster-info", Value, "FILE|URL", Own, "the ConfigMap as kubectl prints it, instead of fetching it";
    DiscoveryCa, "discovery-ca", Value, "FILE", Own, "CAs of the server behind such a URL; default: public CAs";
    Server, "server", Value, "URL", Own, "static configuration, instead of discovery: the API server";
    CertificateAuthority, "certificate-authority", Value, "FILE", Own, "its CAs, in PEM";
    BootstrapKubeconfig, "bootstrap-kubeconfig", Value, "FILE", Own,
        "static configuration from the kubelet's bootstrap file";
    BearerToken, "bearer-token", Secret, "TOKEN", Own, "a token other than a bootstrap token, of any kind";
    RemoveTokenFile, "remove-token-file", Switch, "", Own,
        "once joined, remove the files of --token-file and the like";
    WithClientCert, "with-client-cert", Switch, "", Own,
        "request the kubelet's client certificate, write kubelet.conf";
    ExpirationSeconds, "expiration-seconds", Value, "N", Own,
        "its lifetime, at least 600; the signer may shorten it";
    WithServingCert, "with-serving-cert", Switch, "", Own, "then request the kubelet's serving certificate";
    San, "san", List, "NAME|IP", Own,
        "its names; may be repeated; default: the node name and the\naddress that reaches the API server";
    ServingTimeout, "serving-timeout", Value, "DURATION", Own,
        "how long to wait for it, default 10s; 0s: do not wait";
    KeepBootstrapKubeconfig, "keep-bootstrap-kubeconfig", Switch, "", Own, "keep bootstrap-kubelet.conf once joined";
    WithKubeletConfig, "with-kubelet-config", Switch, "", Own,
        "write config.yaml, instance-config.yaml, kubeadm-flags.env";
    KubeletExtraArg, "kubelet-extra-arg", Each, "NAME=VALUE", Own,
        "a kubelet flag for kubeadm-flags.env; may be repeated";
    Taint, "taint", Each, "KEY=VALUE:EFFECT", Own, "a taint that the Node registers with; may be repeated";
    RefuseReadyNode, "refuse-ready-node", Switch, "", Own, "fail if a Node of this name is Ready, as kubeadm does";
    Kubeconfig, "kubeconfig", Value, "FILE", Own, "path of kubelet.conf, default /etc/kubernetes/kubelet.conf";
    CertDir, "cert-dir", Value, "DIR", Own,
        "the kubelet's certificates and keys, default /var/lib/kubelet/pki";
    CaCertPath, "ca-cert-path", Value, "FILE", Own, "kubeadm's caCertPath, default /etc/kubernetes/pki/ca.crt";
    Replace, "replace", Switch, "", Own, "move files of another cluster or node aside, as NAME.old-DATE";
    Root, "root", Value, "DIR", Own, "write below DIR: a mounted image, an initramfs";
    Report, "report", Value, "FILE", Own, "write a report, one JSON object; - is standard output";
    DiscoveryTimeout, "discovery-timeout", Value, "DURATION", Own, "default 5m0s, as kubeadm's timeouts.discovery";
    TlsBootstrapTimeout, "tls-bootstrap-timeout", Value, "DURATION", Own,
        "default 5m0s, as kubeadm's timeouts.tlsBootstrap";
    Timeout, "timeout", Value, "DURATION", Own, "overall time limit";
    Splay, "splay", Value, "DURATION", Own,
        "first wait a random time up to this, to spread machines booting\n\
         together; a joined machine does not wait";
    PrintConfig, "print-config", Switch, "", Own, "print each setting and where it came from, and exit";
    PrintRole, "print-role", Switch, "", Own, "print worker or control-plane, for which the command is, and exit";
    Strict, "strict", Switch, "", Own, "unknown fields of the configuration are errors";
}

impl Flag {
    /// Its row of the table.
    pub fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// The flag of this name, and whether `-file` was appended to the name of a secret.
    pub(crate) fn named(name: &str) -> Option<(Self, bool)> {
        let find = |name: &str| Self::ALL.into_iter().find(|flag| flag.is_flag() && flag.row().name == name);
        if let Some(flag) = find(name) {
            return Some((flag, false));
        }
        let flag = find(name.strip_suffix("-file")?)?;
        (flag.row().kind == Kind::Secret).then_some((flag, true))
    }

    /// The flag whose name is nearest to a mistyped one, if one is near: a letter in four may be wrong.
    pub(crate) fn near(name: &str) -> Option<&'static str> {
        let names = Self::ALL.into_iter().filter(|flag| flag.is_flag()).map(|flag| flag.row().name);
        let (distance, near) = names.map(|own| (distance(name, own), own)).min()?;
        (distance <= name.len() / 4).then_some(near)
    }

    /// Whether it names a discovery method. Two of them in one source are a contradiction.
    pub(crate) fn names_method(self) -> bool {
        matches!(
            self,
            Self::Endpoint
                | Self::ClusterInfo
                | Self::DiscoveryFile
                | Self::BootstrapKubeconfig
                | Self::Server
        )
    }

    /// Whether it says which cluster to join, or by what right. A kubelet waits for a machine that has such a setting.
    pub(crate) fn names_cluster(self) -> bool {
        self.names_method()
            || self.row().kind == Kind::Secret
            || matches!(self, Self::Config | Self::CaCertHash)
    }

    /// Whether it is given with dashes.
    pub(crate) fn is_flag(self) -> bool {
        self.row().kind != Kind::Positional
    }
}

/// How many letters have to be added, removed or replaced to make one word of another (Levenshtein). What is far longer
/// than the other is far from it.
fn distance(one: &str, other: &str) -> usize {
    if one.len() > 2 * other.len() {
        return one.len();
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.bytes().enumerate() {
        let mut before = std::mem::replace(&mut row[0], at + 1);
        for (column, own) in other.bytes().enumerate() {
            let replaced = before + usize::from(letter != own);
            before = row[column + 1];
            row[column + 1] = replaced.min(before + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_secrets_have_a_file_form() {
        assert_eq!(Flag::named("token-file"), Some((Flag::Token, true)));
        assert_eq!(Flag::named("node-name-file"), None);
        assert_eq!(Flag::named("api-server-endpoint"), None);
    }

    #[test]
    fn a_mistyped_name_is_found_again() {
        for (typed, near) in [
            ("tokn", Some("token")),
            ("discovery-token-ca-cert-hashes", Some("discovery-token-ca-cert-hash")),
            ("with-client-certs", Some("with-client-cert")),
            ("node_name", Some("node-name")),
            ("nodename", Some("node-name")),
            ("with-kublet-config", Some("with-kubelet-config")),
            ("x", None),
            ("wat", None),
            ("no-such-flag", None),
            ("", None),
            ("0123456789abcdef", None),
        ] {
            assert_eq!(Flag::near(typed), near, "{typed}");
        }
        assert_eq!((distance("abc", "abc"), distance("abc", "acb"), distance("", "abc")), (0, 2, 3));
        assert_eq!((distance("kitten", "sitting"), distance("abcd", "abd")), (3, 1));
        assert_eq!((distance("abd", "abcd"), distance("abcdef", "abc")), (1, 3));
        assert_eq!(distance("abcdefg", "abc"), 7, "too far to be compared");
    }

    #[test]
    fn names_are_given_once() {
        for flag in Flag::ALL {
            let of_name = Flag::ALL.into_iter().filter(|other| other.row().name == flag.row().name);
            assert_eq!(of_name.count(), 1, "{flag:?}");
            assert_eq!(flag.row().value.is_empty(), flag.row().kind == Kind::Switch, "{flag:?}");
        }
    }
}
