//! A machine: Debian with the files of image/, booted by systemd-nspawn.

use std::{
    cell::Cell,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::harness::components::programs;
use crate::support::{
    node::Node,
    process::{Daemon, run, wait_for},
    repository::program,
    scratch::Scratch,
    wording,
};
use crate::{
    boot_network::{BootNetwork, Network},
    control_group::ControlGroup,
    disk::Disk,
    readme::block,
};

/// The kubelet's unit and drop-in of kubeadm's packages (`cmd/krel/templates/latest/kubelet` and `kubeadm` of
/// kubernetes/release), word for word.
const KUBELET_UNIT: &str = "\
[Unit]
Description=kubelet: The Kubernetes Node Agent
Documentation=https://kubernetes.io/docs/
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/usr/bin/kubelet
Restart=always
StartLimitInterval=0
RestartSec=10

[Install]
WantedBy=multi-user.target
";
const KUBEADM_DROP_IN: &str = r#"# Note: This dropin only works with kubeadm and kubelet v1.11+
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
"#;

/// Stands for the kubelet: it starts only if what a kubelet needs is there, and says so.
const KUBELET_STUB: &str = r#"#!/bin/sh
set -eu
for file in /etc/kubernetes/kubelet.conf /etc/kubernetes/pki/ca.crt /var/lib/kubelet/pki/kubelet-client-current.pem; do
    test -s "$file"
done
mkdir -p /var/lib/kubelet-stub
if [ -e /run/nodestrap/report.json ]; then cp /run/nodestrap/report.json /var/lib/kubelet-stub/; fi
echo "$@" >/var/lib/kubelet-stub/started
exec sleep infinity
"#;

/// `setupKernelTunables` of Kubernetes (pkg/kubelet/cm/container_manager_linux.go), without those that every kernel has.
const KERNEL_SETTINGS: [(&str, u8); 3] =
    [("vm/overcommit_memory", 1), ("kernel/panic", 10), ("kernel/panic_on_oops", 1)];

/// A machine with a disk that outlives its boots.
pub struct Machine {
    pub name: String,
    pub network: Network,
    disk: Disk,
    /// Bytes read from the disk when the kubelet had started.
    read: Cell<u64>,
    scratch: Scratch,
}

impl Machine {
    /// A machine that has never booted, with the image's files in place.
    pub fn new(net: &BootNetwork, system: &str, name: &str) -> Self {
        let machine = Self::without_nodestrap(net, system, name);
        machine.put("/usr/bin/nodestrap", 0o755, fs::read(program()).unwrap());
        machine.copy("systemd/nodestrap.service", "/usr/lib/systemd/system");
        machine.copy("systemd/kubelet.service.d/20-nodestrap.conf", "/usr/lib/systemd/system");
        machine.enable();
        machine
    }

    /// A machine that has never booted, with a kubelet.
    pub fn without_nodestrap(net: &BootNetwork, system: &str, name: &str) -> Self {
        let (network, disk) = (net.network(), Disk::new(system));
        let machine =
            Self { name: name.into(), network, disk, read: Cell::default(), scratch: Scratch::new() };
        machine.put("/usr/lib/systemd/system/kubelet.service", 0o644, KUBELET_UNIT);
        machine.put("/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", 0o644, KUBEADM_DROP_IN);
        machine.put("/usr/bin/kubelet", 0o755, KUBELET_STUB);
        machine.put("/etc/hostname", 0o644, format!("{}\n", machine.name));
        machine
    }

    /// Does on the machine, before it boots, what image/README.md tells first in a section, beside nodestrap and image/.
    pub fn follow(&self, section: &str) {
        self.type_there(&block(section, 0));
    }

    /// What runs a program on the disk, before it boots.
    pub fn on_disk(&self) -> Command {
        let mut command = Command::new("systemd-nspawn");
        command.arg("-D").arg(self.root()).args(["--register=no", "--keep-unit", "--quiet", "--pipe"]);
        command
    }

    /// Runs a shell on the disk, before it boots.
    pub fn type_there(&self, script: &str) {
        let mut command = self.on_disk();
        command.arg(concat!("--bind-ro=", env!("CARGO_MANIFEST_DIR"), "/image:/mnt/image"));
        command.arg(format!("--bind-ro={}:/mnt/nodestrap", program().display())).arg("--chdir=/mnt");
        run(command.args(["sh", "-euc", script]));
    }

    /// Has its boots start nodestrap and the kubelet.
    pub fn enable(&self) {
        self.systemctl(&["enable", "nodestrap.service", "kubelet.service"]);
    }

    /// Does with its units what systemctl does on a disk.
    pub fn systemctl(&self, arguments: &[&str]) {
        run(Command::new("systemctl").arg("--quiet").arg("--root").arg(self.root()).args(arguments));
    }

    /// Copies a file of image/, its first folder cut off, into a directory of the machine.
    pub fn copy(&self, name: &str, directory: &str) {
        let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("image");
        let (_, rest) = name.split_once('/').expect("a folder of image/");
        self.put(&format!("{directory}/{rest}"), 0o644, fs::read(image.join(name)).unwrap());
    }

    /// Puts a real program of Kubernetes onto the disk.
    pub fn real(&self, program: &str) {
        self.put(&format!("/usr/bin/{program}"), 0o755, fs::read(programs().join(program)).unwrap());
    }

    /// Puts a real kubelet onto the disk, and lets it live in a container: it does not start before the kernel has the
    /// settings that it wants, and these are the test machine's own. So it is shown files that hold them.
    pub fn real_kubelet(&self) {
        self.real("kubelet");
        let binds = KERNEL_SETTINGS.map(|(setting, value)| {
            let file = format!("/usr/share/kernel-settings/{}", setting.replace('/', "."));
            self.put(&file, 0o644, format!("{value}\n"));
            format!("BindReadOnlyPaths={file}:/proc/sys/{setting}\n")
        });
        let drop_in = format!("[Service]\n{}", binds.concat());
        self.put("/etc/systemd/system/kubelet.service.d/kernel-settings.conf", 0o644, drop_in);
    }

    /// Sets what the unit gives to nodestrap beside its own arguments.
    pub fn arguments(&self, arguments: &str) {
        self.put("/etc/default/nodestrap", 0o600, format!("NODESTRAP_ARGS={arguments}\n"));
    }

    /// The machine's `/`.
    pub fn root(&self) -> PathBuf {
        self.disk.root()
    }

    /// A file of the machine, by its absolute path there.
    pub fn file(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    /// Writes a file onto the machine's disk.
    pub fn put(&self, path: &str, mode: u32, content: impl AsRef<[u8]>) {
        let file = self.file(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// What its `systemd-analyze` says with these arguments.
    pub fn analyze(&self, arguments: &[&str]) -> String {
        run(Command::new("chroot").arg(self.root()).args(["systemd-analyze", "--man=no"]).args(arguments))
    }

    /// Asserts that its systemd finds nothing wrong with a unit. An unknown key is a line, not an exit code.
    pub fn assert_verified(&self, unit: &str) {
        let mut command = Command::new("sh");
        let script = "exec chroot \"$1\" systemd-analyze verify --man=no \"$2\" 2>&1";
        assert_eq!(run(command.args(["-euc", script, "sh"]).arg(self.root()).arg(unit)), "");
    }

    /// Switches it on, with nothing of its disk in memory; `extra` are nspawn's arguments, such as credentials and mounts.
    pub fn boot(&self, extra: &[String]) -> Boot<'_> {
        let _ = fs::remove_dir_all(self.file("/var/lib/kubelet-stub"));
        self.disk.cool();
        let group = ControlGroup::new();
        let mut command = group.tethered("systemd-nspawn");
        command.arg("--directory").arg(self.root());
        command.args(["--register=no", "--keep-unit", "--console=read-only", "--quiet", "--boot"]);
        command.arg(format!("--machine={}", self.name));
        command.arg(format!("--network-namespace-path={}", self.network.path().display()));
        // Else systemd 257 finds only the older hierarchy of the machine below and refuses it.
        command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1").args(extra);
        let daemon = Daemon::start(command, self.scratch.path().join("console.log"));
        Boot { machine: self, daemon, _group: group }
    }

    /// The journal of all boots: what `unit` and systemd said about it.
    pub fn journal(&self, unit: &str) -> String {
        let journal = journal(&self.root(), &["-o", "short-monotonic", "-u", unit]);
        let said = journal.lines().filter_map(|line| Some(line.split_once("]: nodestrap: ")?.1));
        wording::hold(&said.collect::<Vec<_>>().join("\n"), None);
        journal
    }

    /// Whether the kubelet has started.
    pub fn has_kubelet(&self) -> bool {
        self.file("/var/lib/kubelet-stub/started").exists()
    }

    /// How long it took from the unit's start to the kubelet's, what share of it is nodestrap's, its requests, and what
    /// had been read by then of all that the image adds to its system.
    pub fn figures(&self, report: &Value) -> String {
        let whole = between(&self.root(), "nodestrap.service", "Started kubelet.service");
        let share =
            format!("nodestrap {} ms, {} requests", report["milliseconds"]["total"], report["requests"]);
        format!("{whole}, {share}, {} KiB from disk", self.read.get() / 1024)
    }

    /// The same of a real kubelet, until it has registered its node; `joiner` is the unit that joins the machine.
    pub fn figures_of_kubelet(&self, joiner: &str) -> String {
        let whole = between(&self.root(), joiner, "Successfully registered node");
        format!("{whole}, {} KiB from disk", self.disk.bytes_read() / 1024)
    }

    /// Asserts that the API server takes the machine's identity for the node of its name.
    pub fn assert_joined(&self, net: &BootNetwork) {
        Node::on(&self.name, self.root()).assert_known(&net.cluster);
    }
}

/// The journal on a disk, as `journalctl` shows it with these arguments.
pub fn journal(root: &Path, arguments: &[&str]) -> String {
    run(Command::new("journalctl")
        .arg("-D")
        .arg(root.join("var/log/journal"))
        .arg("--no-pager")
        .args(arguments))
}

/// How long it took from the last start of `joiner` to the kubelet's last line with `to`, in the journal on a disk.
pub fn between(root: &Path, joiner: &str, to: &str) -> String {
    let units = [joiner, "kubelet.service"];
    let journal = units.map(|unit| journal(root, &["-o", "short-monotonic", "-u", unit])).concat();
    let from = &format!("Starting {joiner}");
    let last = |text: &str| {
        let line = journal.lines().rfind(|line| line.contains(text))?;
        line.trim_start_matches(['[', ' ']).split(']').next()?.parse::<f64>().ok()
    };
    let seconds = last(to).zip(last(from)).map(|(to, from)| to - from);
    format!("{:.0} ms from {from:?} to {to:?}", seconds.expect("both are there") * 1000.0)
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let journal = self.journal("nodestrap.service") + &self.journal("kubelet.service");
            eprintln!("the journal of {}:\n{journal}", self.name);
        }
    }
}

/// A machine that runs. Dropping it is a power cut.
pub struct Boot<'m> {
    machine: &'m Machine,
    // Ends before its group does.
    daemon: Daemon,
    _group: ControlGroup,
}

impl Boot<'_> {
    /// Waits until the kubelet has started: nodestrap's report of this boot.
    pub fn kubelet(&mut self) -> Value {
        wait_for("the kubelet to start", || {
            self.daemon.assert_alive();
            self.machine.has_kubelet().then_some(())
        });
        self.machine.read.set(self.machine.disk.bytes_read());
        let report = fs::read_to_string(self.machine.file("/var/lib/kubelet-stub/report.json")).unwrap();
        serde_json::from_str(&report).expect("the report is JSON")
    }

    /// Waits until the unit's journal holds `text`.
    pub fn journal_with(&mut self, unit: &str, text: &str) {
        wait_for(text, || {
            self.daemon.assert_alive();
            self.machine.journal(unit).contains(text).then_some(())
        });
    }

    /// What it has written to its console, in all of its boots, without colours.
    pub fn console(&self) -> String {
        let bytes = fs::read(self.machine.scratch.path().join("console.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let mut parts = text.split("\u{1b}[");
        let first = parts.next().unwrap_or_default().to_owned();
        first + &parts.map(|part| part.split_once('m').map_or(part, |(_, rest)| rest)).collect::<String>()
    }

    /// Waits until the console shows `text`.
    pub fn console_with(&mut self, text: &str) {
        wait_for(text, || {
            self.daemon.assert_alive();
            self.console().contains(text).then_some(())
        });
    }

    /// Runs a program in it, and returns what that prints.
    pub fn run(&self, words: &[&str]) -> String {
        let id = self.daemon.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let leader = children.split_whitespace().next().expect("its first process");
        let mut command = Command::new("nsenter");
        command.args(["--all", "--root", "--wdns=/", "--target", leader, "--"]).args(words);
        run(command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"))
    }

    /// Shuts it down in order.
    pub fn shut_down(mut self) {
        self.daemon.terminate();
    }
}

impl Drop for Boot<'_> {
    /// The end of the first process ends all others at once. nspawn's own end would not.
    fn drop(&mut self) {
        let id = self.daemon.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let _ = Command::new("kill").arg("-9").args(children.split_whitespace()).output();
    }
}
