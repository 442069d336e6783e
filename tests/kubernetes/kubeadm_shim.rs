//! `image/kubeadm/kubeadm` in kubeadm's place: what Cluster API, kubespray and kind run on a worker, against a real control
//! plane and with a real kubelet. `systemctl` is a stand-in that starts that kubelet; `kubeadm.real` says that it was asked.

use std::{fs, os::unix::fs::PermissionsExt, os::unix::fs::symlink, path::Path, process::Command};

use serde_json::{Value, json};

use crate::harness::{
    cluster::{Cluster, Options, free_port},
    components::programs,
    kubelet::{Containerd, configuration, namespaced},
    token::Token,
};
use crate::support::{
    node::Node,
    process::{tail, try_run, wait_for},
    repository::program,
    scratch::Scratch,
};

/// By `cluster-api/renew`, for a KubeadmConfig with taints, labels, extra arguments, verbosity, files, patches, and commands
/// before and after.
const CLOUD_INIT: &str = include_str!("cluster-api/user-data");
const IGNITION: &str = include_str!("cluster-api/config.ign");

const SENTINEL: &str = "/run/cluster-api/bootstrap-success.complete";

const SYSTEMCTL: &str = r#"#!/bin/sh
echo "$*" >>"$STATE/systemctl"
case $* in
daemon-reload) ;;
"restart kubelet")
    (
        . /var/lib/kubelet/kubeadm-flags.env
        exec setsid timeout --signal KILL 400 "$KUBELET" --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \
            --kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/config.yaml $KUBELET_KUBEADM_ARGS
    ) >>"$STATE/kubelet.log" 2>&1 &
    echo $! >"$STATE/kubelet.pid"
    ;;
"--quiet is-active kubelet") kill -0 "$(cat "$STATE/kubelet.pid")" 2>/dev/null ;;
*) exit 64 ;;
esac
"#;

/// Puts the node's `/run` and files of `/etc` into their places, and runs the rest of the words.
const PLACES: &str = r#"
mkdir -p "$1/run/systemd/system" "$1/etc/kubernetes"
mount --bind "$1/run" /run
cp -a "$1"/etc/kubeadm* /etc/ 2>/dev/null || true
shift
exec "$@"
"#;

/// A machine whose image has the wrapper, and its kubelet, which goes with it.
struct Machine {
    node: Node,
    scratch: Scratch,
}

impl Machine {
    fn new(name: &str) -> Self {
        let (node, scratch) = (Node::named(name), Scratch::new());
        let machine = Self { node, scratch };
        let wrapper = include_str!("../../image/kubeadm/kubeadm");
        machine.program("kubeadm", wrapper);
        machine.program("kubeadm.real", "#!/bin/sh\necho \"real: $*\"\nexit 42\n");
        machine.program("systemctl", SYSTEMCTL);
        symlink(program(), machine.scratch.path().join("bin/nodestrap")).unwrap();
        machine
    }

    fn program(&self, name: &str, text: &str) {
        let file = self.scratch.path().join("bin").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let file = self.node.at(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
    }

    fn has(&self, path: &str) -> bool {
        self.node.at(path).exists()
    }

    /// Runs a script there as root's shell does.
    fn run(&self, script: &str) -> Result<String, String> {
        self.write("/run/script", script);
        let mut command = namespaced(&self.node, &self.scratch);
        command.args(["sh", "-euc", PLACES, "sh"]).arg(self.node.root()).args(["sh", "/run/script"]);
        let path = format!("{}:{}", self.scratch.file("bin"), std::env::var("PATH").unwrap());
        command
            .env("PATH", path)
            .env("STATE", self.scratch.path())
            .env("KUBELET", programs().join("kubelet"));
        let result = try_run(&mut command);
        // For the next run of the machine.
        fs::remove_dir(self.scratch.file("mount")).unwrap();
        result
    }

    fn systemctl(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.scratch.file("systemctl")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// Waits for the Node's status, which only a kubelet that runs writes.
    fn registered(&self, cluster: &Cluster) -> Value {
        wait_for("the Node's status", || {
            let nodes = cluster.json(&["get", "nodes"]);
            let mut items = nodes["items"].as_array().unwrap().iter();
            let node = items.find(|node| node["metadata"]["name"] == self.node.name.as_str())?;
            node["status"]["nodeInfo"]["kubeletVersion"].as_str().filter(|version| !version.is_empty())?;
            Some(node.clone())
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kubelet of {}:\n{}", self.node.name, tail(&self.scratch.path().join("kubelet.log")));
        }
        // The kubelet is a group of its own.
        if let Ok(id) = fs::read_to_string(self.scratch.file("kubelet.pid")) {
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", id.trim())]).status();
        }
    }
}

/// A cluster whose kubelets run here, one at a time, and their container runtime.
struct Setup {
    cluster: Cluster,
    runtime: Containerd,
    _scratch: Scratch,
}

impl Setup {
    fn new() -> Self {
        let cluster = Cluster::start(Options { algorithm: "ECDSA-P256", ..Options::default() });
        let (scratch, runtime) = (Scratch::new(), Containerd::start());
        let text = configuration(&scratch, "unix:///nowhere.sock");
        let port = format!("healthzPort: {}", free_port());
        cluster.publish_kubelet_config(&text.replace("healthzPort: 0", &port));
        Self { cluster, runtime, _scratch: scratch }
    }

    /// A text of the fixtures for this cluster and machine.
    fn fill(&self, text: &str, token: &Token, name: &str) -> String {
        text.replace("fixture.invalid:6443", &token.arguments[0])
            .replace("sha256:0000000000000000000000000000000000000000000000000000000000000000", &token.pin)
            .replace("abcdef.0123456789abcdef", &token.value)
            .replace("unix:///run/fixture.sock", &self.runtime.endpoint())
            .replace("machine-1", name)
    }
}

/// Does what cloud-init does with `write_files`, and returns the script that it makes of `runcmd`.
fn cloud_init(machine: &Machine, user_data: &str) -> String {
    let data: Value = serde_json::from_str(&nodestrap::testing::yaml::to_json(user_data).unwrap()).unwrap();
    for file in data["write_files"].as_array().unwrap() {
        let content = file["content"].as_str().unwrap();
        let is_encoded = file["encoding"] == "base64";
        machine.write(file["path"].as_str().unwrap(), if is_encoded { "a\n" } else { content });
    }
    let commands = data["runcmd"].as_array().unwrap().iter().map(|command| command.as_str().unwrap());
    ["#!/bin/sh"].into_iter().chain(commands).flat_map(|line| [line, "\n"]).collect()
}

/// Does what Ignition does with its files.
fn ignite(machine: &Machine, config: &str) {
    let config: Value = serde_json::from_str(config).unwrap();
    for file in config["storage"]["files"].as_array().unwrap() {
        let source = file["contents"]["source"].as_str().unwrap().strip_prefix("data:,").unwrap();
        let mut bytes = Vec::new();
        let mut rest = source.bytes();
        while let Some(byte) = rest.next() {
            let digits = if byte == b'%' { [rest.next().unwrap(), rest.next().unwrap()] } else { [b'0'; 2] };
            let digits = str::from_utf8(&digits).unwrap();
            bytes.push(if byte == b'%' { u8::from_str_radix(digits, 16).unwrap() } else { byte });
        }
        machine.write(file["path"].as_str().unwrap(), bytes);
    }
}

fn assert_registered(machine: &Machine, cluster: &Cluster) {
    let node = machine.registered(cluster);
    let taints = node["spec"]["taints"].as_array().unwrap();
    for taint in [
        json!({"key": "example.com/boot", "value": "yes", "effect": "NoSchedule"}),
        json!({"key": "node.cluster.x-k8s.io/uninitialized", "effect": "NoSchedule"}),
    ] {
        assert!(taints.contains(&taint), "{taints:#?}");
    }
    assert_eq!(node["metadata"]["labels"]["example.com/rack"], "r1");
    assert_eq!(node["status"]["capacity"]["pods"], "42", "the patch's");
    assert_eq!(machine.systemctl()[..2], ["daemon-reload", "restart kubelet"]);
}

/// The sentinel says that a kubelet runs, with all that the KubeadmConfig asks for.
#[test]
fn cluster_apis_user_data_makes_a_node_with_its_taint_and_label() {
    let setup = Setup::new();
    let token = setup.cluster.token();
    let machine = Machine::new("capi-cloud-init");
    let script = cloud_init(&machine, &setup.fill(CLOUD_INIT, &token, "capi-cloud-init"));
    let output = machine.run(&script).unwrap();
    assert!(machine.has(SENTINEL), "{output}");
    assert_eq!(machine.node.read("/run/commands"), "before\nafter\n");
    assert_registered(&machine, &setup.cluster);
    drop(machine);

    let machine = Machine::new("capi-ignition");
    let config = IGNITION.replace("%3A%2F%2F%2Frun%2Ffixture.sock", ":///run/fixture.sock");
    let config =
        config.replace("fixture.invalid%3A6443", "fixture.invalid:6443").replace("sha256%3A0", "sha256:0");
    ignite(&machine, &setup.fill(&config, &token, "capi-ignition"));
    // Not into the host's /tmp.
    let script = machine.node.read("/etc/kubeadm.sh").replace(" /tmp/", " /run/");
    machine.run(&script).unwrap();
    assert!(machine.has(SENTINEL) && machine.has("/run/kubeadm.yml"));
    assert_registered(&machine, &setup.cluster);
}

#[test]
fn a_join_or_a_kubelet_that_fails_leaves_no_sentinel() {
    let setup = Setup::new();
    let token = setup.cluster.token();
    let user_data = setup.fill(CLOUD_INIT, &token, "capi-failing");

    let machine = Machine::new("capi-failing");
    let script =
        cloud_init(&machine, &user_data.replace("op: add, path: /maxPods", "op: remove, path: /none"));
    machine.run(&script).unwrap();
    assert_eq!(machine.node.read("/run/commands"), "before\nafter\n", "cloud-init goes on");
    assert!(!machine.has(SENTINEL) && !machine.has("/etc/kubernetes/kubelet.conf"));
    assert_eq!(machine.systemctl(), Vec::<String>::new(), "no kubelet was started");

    // A field that stops the kubelet. Four minutes go by at once.
    let machine = Machine::new("capi-failing");
    machine.program("sleep", "#!/bin/sh\n");
    machine.program(
        "date",
        "#!/bin/sh\necho $(($(cat $STATE/now 2>/dev/null || echo 0) + 60)) | tee $STATE/now\n",
    );
    let script =
        cloud_init(&machine, &user_data.replace("/maxPods, value: 42", "/featureGates, value: {None: true}"));
    machine.run(&script).unwrap();
    assert!(!machine.has(SENTINEL) && machine.has("/etc/kubernetes/kubelet.conf"));
    assert!(machine.systemctl().contains(&"restart kubelet".to_owned()));
}

/// As kubespray's role and kind's action write and run them.
#[test]
fn kubesprays_and_kinds_commands_make_nodes() {
    let setup = Setup::new();
    let token = setup.cluster.token();
    let discovery = json!({
        "bootstrapToken": {"apiServerEndpoint": token.arguments[0], "token": token.value, "caCertHashes": [token.pin]},
        "tlsBootstrapToken": token.value,
    });
    let registration = |name: &str| {
        json!({
            "name": name, "criSocket": setup.runtime.endpoint(),
            "kubeletExtraArgs": [{"name": "node-labels", "value": "example.com/rack=r1"}],
        })
    };
    let document = |name: &str| {
        json!({
            "apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "JoinConfiguration", "discovery": discovery,
            "nodeRegistration": registration(name), "caCertPath": "/etc/kubernetes/pki/ca.crt",
        })
    };
    for (name, file, command) in [
        (
            "kubespray",
            "/etc/kubernetes/kubeadm-client.conf",
            "timeout -k 120s 120s kubeadm join --config /etc/kubernetes/kubeadm-client.conf \
             --ignore-preflight-errors=DirAvailable--etc-kubernetes-manifests,Port-10250 --skip-phases=",
        ),
        (
            "kind",
            "/run/kind/kubeadm.conf",
            "kubeadm join --config /run/kind/kubeadm.conf --v=6 --skip-phases=preflight",
        ),
    ] {
        let machine = Machine::new(name);
        let others =
            "---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nclusterName: kind\n---\n";
        machine.write(file, format!("{others}{}\n", document(name)));
        machine.run(command).unwrap();
        let node = machine.registered(&setup.cluster);
        assert_eq!(node["metadata"]["labels"]["example.com/rack"], "r1", "{name}");
    }
}

/// All that is not a worker's join is the real kubeadm's, with the same words, and its exit code is the wrapper's.
#[test]
fn all_else_goes_to_the_real_kubeadm() {
    let control_plane = r#"{"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "JoinConfiguration", "controlPlane": {},
        "discovery": {"bootstrapToken": {"apiServerEndpoint": "h:1", "token": "abcdef.0123456789abcdef",
        "unsafeSkipCAVerification": true}}}"#;
    for arguments in [
        "version -o json",
        "--v=5 version",
        "init",
        "reset -f",
        "",
        "join h:1 --token abcdef.0123456789abcdef --discovery-token-unsafe-skip-ca-verification --control-plane",
        "join --config /run/control-plane.json",
        "join phase preflight",
        "join h:1 --rootfs /x",
    ] {
        let machine = Machine::new("real");
        machine.write("/run/control-plane.json", control_plane);
        let output = machine.run(&format!("kubeadm {arguments} || test $? = 42")).unwrap();
        assert_eq!(output.trim_end(), format!("real: {arguments}").trim_end());
        assert!(!Path::new(&machine.node.at("/etc/kubernetes/kubelet.conf")).exists());
        assert_eq!(machine.systemctl(), Vec::<String>::new());
    }
}
