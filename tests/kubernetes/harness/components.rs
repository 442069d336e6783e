//! The control plane's programs, and how each is started.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use super::cluster::{Anonymous, Cluster};
use crate::support::{
    process::{run, tethered},
    repository::root,
    scratch::Scratch,
};

/// The folder with the control plane's programs. `build.sh` builds them unless its cache has them;
/// `$KUBERNETES` says which version.
pub fn programs() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let script = root().join("tests/kubernetes/build.sh");
        run(&mut Command::new(script)).trim().into()
    })
}

/// The folder with the programs of the version before that one, of which `tests/kubernetes/versions` has some; none before
/// the oldest.
pub fn older_programs() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let mut numbers = version().trim_start_matches('v').split('.');
        let [major, minor] =
            [(); 2].map(|()| numbers.next().and_then(|text| text.parse::<u32>().ok()).expect("a number"));
        let older = format!("{major}.{}", minor - 1);
        let folder = root().join("tests/kubernetes");
        folder
            .join(format!("versions/v{older}"))
            .exists()
            .then(|| run(Command::new(folder.join("build.sh")).env("KUBERNETES", older)).trim().into())
    });
    folder.as_deref()
}

/// The version of these programs, as in `v1.37.2`.
pub fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        run(Command::new(programs().join("kubeadm")).args(["version", "-o", "short"])).trim().into()
    })
}

/// etcd's command.
pub(super) fn etcd(scratch: &Scratch, [port, peer_port]: [u16; 2]) -> Command {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
    let mut command = tethered(programs().join("etcd"));
    command
        .args(["--data-dir", &scratch.file("etcd"), "--unsafe-no-fsync", "--log-level", "warn"])
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")]);
    command
}

impl Cluster {
    /// The API server's command.
    pub(super) fn api_server(&self) -> Command {
        let pki = |name: &str| self.scratch.file(&format!("pki/{name}"));
        let clients = if self.options.separate_node_ca { "clients.crt" } else { "ca.crt" };
        let mut command = tethered(programs().join("kube-apiserver"));
        command
            .arg(format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_ports[0]))
            .arg(format!("--secure-port={}", self.port))
            .arg(format!("--bind-address={}", self.options.bind))
            .arg("--advertise-address=192.0.2.1")
            .arg(format!("--tls-cert-file={}", pki("apiserver.crt")))
            .arg(format!("--tls-private-key-file={}", pki("apiserver.key")))
            .arg(format!("--client-ca-file={}", pki(clients)))
            .arg("--service-account-issuer=https://kubernetes.default.svc.cluster.local")
            .arg(format!("--service-account-key-file={}", pki("sa.pub")))
            .arg(format!("--service-account-signing-key-file={}", pki("sa.key")))
            .args(["--service-cluster-ip-range=10.96.0.0/16", "--allow-privileged"])
            .args(["--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"])
            .arg("--enable-bootstrap-token-auth")
            .arg(format!("--requestheader-client-ca-file={}", pki("front-proxy-ca.crt")))
            .arg("--requestheader-allowed-names=front-proxy-client")
            .arg("--requestheader-extra-headers-prefix=X-Remote-Extra-")
            .args([
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-username-headers=X-Remote-User",
            ])
            .arg(format!("--proxy-client-cert-file={}", pki("front-proxy-client.crt")))
            .arg(format!("--proxy-client-key-file={}", pki("front-proxy-client.key")))
            .arg(format!("--audit-policy-file={}", self.scratch.file("audit.yaml")))
            .arg(format!("--audit-log-path={}", self.scratch.file("audit.log")))
            // Megabytes. By default the log begins anew at 100, which thousands of polling clients fill.
            .arg("--audit-log-maxsize=100000");
        match self.options.anonymous {
            Anonymous::Any => command.arg("--anonymous-auth=true"),
            Anonymous::ClusterInfo | Anonymous::By(_) => {
                command.arg(format!("--authentication-config={}", self.scratch.file("authentication.yaml")))
            }
            Anonymous::Nothing => command.arg("--anonymous-auth=false"),
        };
        if self.options.static_token {
            command.arg(format!("--token-auth-file={}", self.scratch.file("tokens.csv")));
        }
        command
    }

    /// The controller manager's command.
    pub(super) fn controllers(&self) -> Command {
        let pki = |name: &str| self.scratch.file(&format!("pki/{name}"));
        let config = self.scratch.file("controller-manager.conf");
        let mut command = tethered(programs().join("kube-controller-manager"));
        for flag in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
            command.arg(format!("--{flag}={config}"));
        }
        command
            .arg(format!("--root-ca-file={}", pki("ca.crt")))
            .arg(format!("--service-account-private-key-file={}", pki("sa.key")))
            .arg(format!("--cluster-signing-duration={}", self.options.signing_duration))
            .args(["--use-service-account-credentials", "--leader-elect=false", "--secure-port=0"])
            .arg(format!("--controllers={}", self.options.controllers));
        if self.options.raised_rates {
            command.args(["--kube-api-qps=1000", "--kube-api-burst=2000"]);
        }
        if self.options.separate_node_ca {
            command
                .arg(format!("--cluster-signing-kubelet-client-cert-file={}", pki("node-ca.crt")))
                .arg(format!("--cluster-signing-kubelet-client-key-file={}", pki("node-ca.key")));
        } else {
            command
                .arg(format!("--cluster-signing-cert-file={}", pki("ca.crt")))
                .arg(format!("--cluster-signing-key-file={}", pki("ca.key")));
        }
        command
    }
}

/// The controllers that a join meets.
pub(super) const CONTROLLERS: &str = "bootstrap-signer-controller,token-cleaner-controller,\
    certificatesigningrequest-signing-controller,certificatesigningrequest-approving-controller,\
    certificatesigningrequest-cleaner-controller";
