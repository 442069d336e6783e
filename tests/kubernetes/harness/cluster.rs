//! A control plane of real programs, made into a kubeadm cluster by kubeadm's own phases, on loopback ports.

use std::{
    fs,
    net::TcpListener,
    process::{self, Command},
    sync::{
        Mutex,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::Value;

use super::components::{CONTROLLERS, etcd, programs, version};
use crate::support::{
    process::{Daemon, run, tail, try_run, wait_for},
    scratch::Scratch,
};

/// The group that kubeadm gives its tokens: their requests are approved by the controller.
pub const AUTOMATIC: &str = "system:bootstrappers:kubeadm:default-node-token";
/// A group whose tokens may file requests, and for which no binding approves them.
pub const MANUAL: &str = "system:bootstrappers:manual";

/// What may be asked for without credentials; what RBAC says of it comes after that.
#[derive(Clone, Copy, PartialEq)]
pub enum Anonymous {
    Any,
    /// Exactly the path of cluster-info, by an AuthenticationConfiguration.
    ClusterInfo,
    /// What this AuthenticationConfiguration says.
    By(&'static str),
    Nothing,
}

/// What one cluster does differently from kubeadm's defaults.
#[derive(Clone, Copy)]
pub struct Options {
    /// kubeadm's `encryptionAlgorithm`.
    pub algorithm: &'static str,
    /// The host by which cluster-info names the API server.
    pub host: &'static str,
    /// The address on which the API server listens.
    pub bind: &'static str,
    /// Nodes are signed by another CA than the one that serves.
    pub separate_node_ca: bool,
    /// Which requests without credentials the API server lets in.
    pub anonymous: Anonymous,
    /// The controller manager's `--cluster-signing-duration`.
    pub signing_duration: &'static str,
    /// The controller manager's `--controllers`.
    pub controllers: &'static str,
    /// The controller manager may ask the API server a thousand times a second instead of twenty.
    pub raised_rates: bool,
    /// The API server knows a token that is no bootstrap token, by `--token-auth-file`: [`Cluster::static_token`].
    pub static_token: bool,
    /// kubeadm publishes cluster-info and gives tokens their rights. Without that the cluster has what the API server
    /// itself makes, and nothing can join.
    pub published: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            algorithm: "RSA-2048",
            host: "localhost",
            bind: "127.0.0.1",
            separate_node_ca: false,
            anonymous: Anonymous::Any,
            signing_duration: "8760h",
            controllers: CONTROLLERS,
            raised_rates: false,
            static_token: false,
            published: true,
        }
    }
}

/// A running control plane. Its programs end and its directory goes when it is dropped.
pub struct Cluster {
    // Dropped in this order: each program before what it talks to, all before their directory.
    controllers: Mutex<Option<Daemon>>,
    api_server: Mutex<Option<Daemon>>,
    etcd: Mutex<Option<Daemon>>,
    pub options: Options,
    pub port: u16,
    pub(super) etcd_ports: [u16; 2],
    pub scratch: Scratch,
}

impl Cluster {
    /// Starts a cluster and waits until it takes joins, where it is to take them.
    pub fn start(options: Options) -> Self {
        let scratch = Scratch::new();
        let (port, etcd_ports) = (free_port(), [free_port(), free_port()]);
        let [controllers, api_server, etcd] = [const { Mutex::new(None) }; 3];
        let cluster = Self { controllers, api_server, etcd, options, port, etcd_ports, scratch };
        cluster.start_etcd();
        cluster.make_files();
        cluster.start_api_server();
        cluster.start_controllers();
        if options.published {
            cluster.publish();
        }
        cluster
    }

    /// The address by which cluster-info names the API server.
    pub fn address(&self) -> String {
        format!("{}:{}", self.options.host, self.port)
    }

    /// `kubectl` as the super admin: its output. Panics when it fails.
    pub fn kubectl(&self, args: &[&str]) -> String {
        run(self.tool("kubectl").args(args))
    }

    /// What `kubectl ARGS -o json` prints.
    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&run(self.tool("kubectl").args(args).args(["-o", "json"])))
            .expect("kubectl prints JSON")
    }

    /// A kubeadm or kubectl command with the super admin's credentials.
    pub fn tool(&self, program: &str) -> Command {
        let mut command = Command::new(programs().join(program));
        command.env("KUBECONFIG", self.scratch.file("super-admin.conf")).env("HOME", self.scratch.path());
        command
    }

    /// The ends of the programs' logs.
    pub fn logs(&self) -> String {
        let logs = ["etcd.log", "apiserver.log", "controllers.log"];
        logs.map(|name| format!("{name}:\n{}", tail(&self.scratch.path().join(name)))).join("\n")
    }

    /// Starts etcd, with what it knew when it was stopped.
    pub fn start_etcd(&self) {
        let command = etcd(&self.scratch, self.etcd_ports);
        *self.etcd.lock().unwrap() = Some(Daemon::start(command, self.scratch.path().join("etcd.log")));
    }

    /// Ends etcd at once.
    pub fn stop_etcd(&self) {
        self.etcd.lock().unwrap().take();
    }

    /// Starts the controller manager.
    pub fn start_controllers(&self) {
        let daemon = Daemon::start(self.controllers(), self.scratch.path().join("controllers.log"));
        *self.controllers.lock().unwrap() = Some(daemon);
    }

    /// Ends the controller manager at once: nobody approves or signs.
    pub fn stop_controllers(&self) {
        self.controllers.lock().unwrap().take();
    }

    /// Sends the API server a signal, such as `STOP`.
    pub fn signal_api_server(&self, signal: &str) {
        let process = self.api_server.lock().unwrap().as_ref().expect("it runs").id();
        run(Command::new("kill").args([format!("-{signal}"), process.to_string()]));
    }

    /// Ends the API server without a farewell, as a crash does. Connections are reset, watches torn.
    pub fn stop_api_server(&self) {
        self.api_server.lock().unwrap().take();
    }

    /// Starts the API server and waits until it is ready.
    pub fn start_api_server(&self) {
        let mut daemon = Daemon::start(self.api_server(), self.scratch.path().join("apiserver.log"));
        wait_for("the API server to be ready", || {
            daemon.assert_alive();
            try_run(self.tool("kubectl").args(["get", "--raw", "/readyz"])).ok()
        });
        *self.api_server.lock().unwrap() = Some(daemon);
    }

    /// Certificates and kubeconfigs, by kubeadm.
    fn make_files(&self) {
        let init = INIT
            .replace("PORT", &self.port.to_string())
            .replace("HOST", self.options.host)
            .replace("PKI", &self.scratch.file("pki"))
            .replace("ALGORITHM", self.options.algorithm)
            .replace("VERSION", version());
        fs::write(self.scratch.file("init.yaml"), init).unwrap();
        fs::write(self.scratch.file("audit.yaml"), AUDIT_POLICY).unwrap();
        let authentication = match self.options.anonymous {
            Anonymous::By(text) => text,
            _ => AUTHENTICATION,
        };
        fs::write(self.scratch.file("authentication.yaml"), authentication).unwrap();
        for what in
            ["ca", "apiserver", "apiserver-kubelet-client", "front-proxy-ca", "front-proxy-client", "sa"]
        {
            self.init_phase(&["certs", what]);
        }
        for what in ["admin", "controller-manager", "super-admin"] {
            let directory = self.scratch.path().display().to_string();
            self.init_phase(&["kubeconfig", what, "--kubeconfig-dir", &directory]);
        }
        if self.options.static_token {
            self.make_static_token();
        }
        // kubeadm points the controllers at the advertised address, which leads nowhere here.
        let path = self.scratch.file("controller-manager.conf");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("//192.0.2.1:", &format!("//{}:", self.options.host))).unwrap();
        if self.options.separate_node_ca {
            let (key, certificate) =
                (self.scratch.file("pki/node-ca.key"), self.scratch.file("pki/node-ca.crt"));
            let new = ["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
            let names = ["-subj", "/CN=node signer", "-days", "3650", "-keyout", &key, "-out", &certificate];
            run(Command::new("openssl").args(new).args(names));
            // The API server has to know the nodes' certificates by their issuer.
            let [clients, ca] = ["pki/clients.crt", "pki/ca.crt"].map(|name| self.scratch.file(name));
            fs::write(clients, fs::read_to_string(ca).unwrap() + &fs::read_to_string(certificate).unwrap())
                .unwrap();
        }
    }

    /// cluster-info, RBAC and the configuration that `kubeadm join` reads, by kubeadm.
    fn publish(&self) {
        let admin = format!("--kubeconfig={}", self.scratch.file("super-admin.conf"));
        self.init_phase(&["bootstrap-token", &admin]);
        self.init_phase(&["upload-config", "all", &admin]);
        self.init_phase(&["addon", "kube-proxy", &admin]);
        let group = format!("--group={MANUAL}");
        self.kubectl(&[
            "create",
            "clusterrolebinding",
            "manual",
            "--clusterrole=system:node-bootstrapper",
            &group,
        ]);
    }

    /// Has kubeadm publish this KubeletConfiguration, as it does for an InitConfiguration that holds one.
    pub fn publish_kubelet_config(&self, text: &str) {
        let init = self.scratch.file("init.yaml");
        let whole = format!("{}---\n{text}", fs::read_to_string(&init).unwrap());
        fs::write(&init, whole).unwrap();
        let admin = format!("--kubeconfig={}", self.scratch.file("super-admin.conf"));
        self.init_phase(&["upload-config", "kubelet", &admin]);
    }

    fn init_phase(&self, args: &[&str]) {
        let config = self.scratch.file("init.yaml");
        let mut command = self.tool("kubeadm");
        command.args(["init", "phase"]).args(args).args(["--config", &config]);
        run(&mut command);
    }
}

/// A loopback port that nobody listens on, below the range from which the kernel takes ports for connections.
pub fn free_port() -> u16 {
    static OFFSET: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(process::id() % 1200).unwrap() * 10;
    loop {
        let port = 20_000 + (start + OFFSET.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

const AUTHENTICATION: &str = "\
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
anonymous:
  enabled: true
  conditions:
  - path: /api/v1/namespaces/kube-public/configmaps/cluster-info
";

/// kubeadm refuses a loopback address to advertise; this one is for documentation, and is only written into files.
const INIT: &str = "\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: 192.0.2.1, bindPort: PORT}
nodeRegistration: {name: control-plane, criSocket: 'unix:///run/containerd/containerd.sock'}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: VERSION
controlPlaneEndpoint: HOST:PORT
certificatesDir: PKI
encryptionAlgorithm: ALGORITHM
apiServer: {certSANs: [localhost, 127.0.0.1, '::1']}
networking: {serviceSubnet: 10.96.0.0/16}
";
