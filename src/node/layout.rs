//! Where the node's files are, as far as a kubelet can be told other places than its own.

use super::path;
use crate::csr::CertificateKind;
use crate::kubelet::{CERT_DIR, KUBECONFIG};
use crate::limits;

/// Where Kubernetes keeps a node's configuration (`cmd/kubeadm/app/constants`, `KubernetesDir`), 0755.
pub(crate) const KUBERNETES: &str = "/etc/kubernetes";
/// In that directory, wherever the other files are: nobody needs to be told where a file is that goes after the join.
pub(crate) const BOOTSTRAP: &str = "bootstrap-kubelet.conf";
/// In that directory by default (`KubeletKubeConfigFileName`).
pub(crate) const KUBELET_CONF: &str = "kubelet.conf";
/// Where kubeadm keeps the CA (`DefaultCertificateDir`), and its name there (`DefaultCACertPath`).
pub(crate) const PKI: &str = "/etc/kubernetes/pki";
/// In that directory by default.
pub(crate) const CA: &str = "ca.crt";
/// The kubelet's own directory (`KubeletRunDirectory`), 0700 as kubeadm makes it.
pub(crate) const KUBELET: &str = "/var/lib/kubelet";
/// The kubelet's default `--cert-dir`.
pub(crate) const CERTIFICATES: &str = "/var/lib/kubelet/pki";

/// The path of a file or a directory on the node's disk: absolute, without `.`, `..` and empty components, and in
/// characters that neither YAML nor an environment file nor a shell takes for something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePath(String);

impl NodePath {
    /// Takes a path of at most [`limits::PATH`]. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-+@=".contains(&b);
        let is_component = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(plain);
        let fits = text.len() <= limits::PATH && text.strip_prefix('/')?.split('/').all(is_component);
        fits.then(|| Self(text.to_owned()))
    }

    /// The complete path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its directory, empty for `/`.
    pub(super) fn directory(&self) -> &str {
        self.split().0
    }

    /// Its last component.
    pub(super) fn name(&self) -> &str {
        self.split().1
    }

    fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('/').unwrap_or_default()
    }
}

/// Where the node's files are, below the root.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The kubelet's `--kubeconfig`. kubeadm knows one place for it.
    pub kubeconfig: NodePath,
    /// The kubelet's `--cert-dir`, 0755 as its FileStore makes it.
    pub certificates: NodePath,
    /// `caCertPath` of a JoinConfiguration (`DefaultCACertPath`).
    pub ca: NodePath,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            kubeconfig: NodePath(path(KUBERNETES, KUBELET_CONF)),
            certificates: NodePath(CERTIFICATES.to_owned()),
            ca: NodePath(path(PKI, CA)),
        }
    }
}

impl Layout {
    /// The flags that a kubelet of kubeadm's packages has to be given, which looks in the usual places.
    pub fn kubelet_flags(&self) -> Vec<(&str, &str)> {
        let usual = Self::default();
        let mut flags = Vec::new();
        for (name, path, usual) in [
            (KUBECONFIG, &self.kubeconfig, usual.kubeconfig),
            (CERT_DIR, &self.certificates, usual.certificates),
        ] {
            if *path != usual {
                flags.push((name, path.as_str()));
            }
        }
        flags
    }

    /// Whether each file has a place of its own: none is another one, the bootstrap kubeconfig included, nor the
    /// directory of another, nor has a name that the kubelet gives to its pairs.
    pub fn is_distinct(&self) -> bool {
        let bootstrap = path(KUBERNETES, BOOTSTRAP);
        let certificates = self.certificates.as_str();
        let places = [self.kubeconfig.as_str(), self.ca.as_str(), &bootstrap, certificates];
        let below = |path: &str, place: &str| {
            path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let is_in_the_way =
            |at: usize| places.iter().enumerate().any(|(other, path)| other != at && below(path, places[at]));
        let is_a_pair =
            |file: &NodePath| file.directory() == certificates && move_order(file.name()).is_some();
        !(0..places.len() - 1).any(is_in_the_way) && !is_a_pair(&self.kubeconfig) && !is_a_pair(&self.ca)
    }
}

/// The kubelet's own pair, which it signs itself and uses where it requests none (`cmd/kubelet/app/server.go`,
/// `InitializeTLS`).
const SELF_SIGNED: [&str; 2] = ["kubelet.crt", "kubelet.key"];

/// The turn of a file in the kubelet's `--cert-dir`: first what names nobody, then links, without which no kubelet uses a
/// pair, then pairs. `None` for what neither a kubelet nor this program has put there, and for what was moved aside before.
pub(super) fn move_order(name: &str) -> Option<u8> {
    let of = |kind: &CertificateKind| {
        let rest = name.strip_prefix(kind.file_prefix);
        rest.is_some_and(|rest| [".pem", ".crt", ".key"].iter().any(|suffix| rest.ends_with(suffix)))
    };
    let is_pending =
        [CertificateKind::CLIENT, CertificateKind::SERVING].iter().any(|kind| pending_key(kind) == name);
    let is_link = ["-current.pem", "-updated.pem"].iter().any(|suffix| name.ends_with(suffix));
    match name {
        _ if is_pending || SELF_SIGNED.contains(&name) => Some(0),
        _ if of(CertificateKind::SERVING) => Some(if is_link { 1 } else { 3 }),
        _ if of(CertificateKind::CLIENT) => Some(if is_link { 2 } else { 4 }),
        _ => None,
    }
}

/// The key of a request that is not decided (`pkg/kubelet/certificate/bootstrap`, `tmpPrivateKeyFile`).
pub(super) fn pending_key(kind: &CertificateKind) -> String {
    format!("{}.key.tmp", kind.file_prefix)
}

/// The link to the pair in use (`k8s.io/client-go/util/certificate/certificate_store.go`).
pub(super) fn current(kind: &CertificateKind) -> String {
    format!("{}-current.pem", kind.file_prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute_and_plain() {
        let path = NodePath::parse("/var/lib/kubelet/kubeconfig").unwrap();
        assert_eq!((path.directory(), path.name()), ("/var/lib/kubelet", "kubeconfig"));
        let path = NodePath::parse("/kubeconfig").unwrap();
        assert_eq!((path.directory(), path.name()), ("", "kubeconfig"));
        let long = "/a".repeat(limits::PATH);
        for bad in [
            "", "/", "a", "a/b", "./a", "/a/", "/a//b", "/a/../b", "/..", "/a/.", "/a b", "/a\n", "/a\"",
            "/a#", "/ä", "/a:b", "/$a", &long,
        ] {
            assert_eq!(NodePath::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_kubelet_is_told_of_places_that_are_not_the_usual_ones() {
        let usual = Layout::default();
        let (conf, pki) = (NodePath::parse("/k/conf").unwrap(), NodePath::parse("/k/pki").unwrap());
        assert_eq!(usual.kubelet_flags(), []);
        let moved = Layout { kubeconfig: conf.clone(), ..usual.clone() };
        assert_eq!(moved.kubelet_flags(), [(KUBECONFIG, "/k/conf")]);
        let ca = conf.clone(); // which no flag tells of
        let moved = Layout { kubeconfig: conf, certificates: pki, ca };
        assert_eq!(moved.kubelet_flags(), [(KUBECONFIG, "/k/conf"), (CERT_DIR, "/k/pki")]);
    }

    #[test]
    fn files_have_places_of_their_own() {
        let with = |kubeconfig: &str, certificates: &str, ca: &str| {
            let [kubeconfig, certificates, ca] =
                [kubeconfig, certificates, ca].map(|text| NodePath::parse(text).unwrap());
            Layout { kubeconfig, certificates, ca }.is_distinct()
        };
        assert!(Layout::default().is_distinct());
        assert!(with("/k/kubelet.conf", "/k", "/k/ca.crt"), "one directory for all");
        assert!(with("/a/b", "/a/bc", "/a/b.crt"));
        for (kubeconfig, certificates, ca) in [
            ("/a", "/p", "/a"),
            ("/a", "/a", "/c"),
            ("/a", "/p", "/a/ca.crt"),
            ("/a", "/a/pki", "/c"),
            ("/a", "/c/p", "/c"),
            ("/etc/kubernetes/bootstrap-kubelet.conf", "/p", "/c"),
            ("/a", "/etc/kubernetes/bootstrap-kubelet.conf", "/c"),
            ("/p/kubelet-client-current.pem", "/p", "/c"),
            ("/a", "/p", "/p/kubelet.crt"),
        ] {
            assert!(!with(kubeconfig, certificates, ca), "{kubeconfig} {certificates} {ca}");
        }
    }
}
