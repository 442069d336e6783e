//! A machine of its own: processor, firmware, kernel and disk, emulated by QEMU. It reaches the API server and nothing
//! else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    node::Node,
    process::{Daemon, run, tethered},
    repository::program,
    scratch::Scratch,
};
use crate::{
    boot_network::{BootNetwork, SERVER},
    versions,
};

/// Longest wait for anything that a machine does. Emulated, on processors that others use too, a boot takes long.
const PATIENCE: Duration = Duration::from_mins(5);

/// The parts that a machine is made of.
#[derive(Clone, Copy, PartialEq)]
pub enum Board {
    /// No PCI, no firmware to speak of.
    Microvm,
    /// Chipset, PCI, BIOS and SMBIOS.
    Pc,
    /// aarch64.
    Arm,
}

impl Board {
    /// Debian's name of the architecture.
    fn architecture(self) -> &'static str {
        if self == Self::Arm { "arm64" } else { "amd64" }
    }

    /// The program and its arguments. Never with KVM: where that is nested, Debian's kernel spins in it.
    fn command(self) -> Command {
        let (program, machine) = match self {
            Self::Microvm => ("x86_64", "microvm -cpu qemu64 -m 256"),
            Self::Pc => ("x86_64", "q35 -cpu qemu64 -m 1024"),
            Self::Arm => ("aarch64", "virt -cpu cortex-a57 -m 512"),
        };
        let mut command = tethered(format!("qemu-system-{program}"));
        command.args(["-accel", "tcg", "-M"]).args(machine.split(' '));
        command.args(["-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"]);
        command
    }

    /// What each kernel is told. A microvm has no clock by which its kernel could measure the processor's, and on a busy
    /// machine a PC's timer is late for the kernel's check of it, which panics.
    pub fn console(self) -> &'static str {
        match self {
            Self::Microvm => "console=ttyS0 quiet panic=-1 lpj=4000000 tsc_early_khz=2000000 reboot=t",
            Self::Pc => "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check",
            Self::Arm => "console=ttyAMA0 quiet panic=-1",
        }
    }

    fn device(self, kind: &str) -> String {
        format!("virtio-{kind}-{}", if self == Self::Pc { "pci" } else { "device" })
    }

    /// The executable that runs there.
    pub fn nodestrap(self) -> PathBuf {
        let amd64 = program();
        if self != Self::Arm {
            return amd64;
        }
        let path = amd64.to_str().unwrap().replace("x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl");
        assert!(path != amd64.to_str().unwrap() && Path::new(&path).is_file(), "{path} is missing: build it");
        path.into()
    }
}

/// What `emulated.sh` keeps under this name.
pub fn ready_made(name: &str) -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/images/emulated.sh");
    run(Command::new(script).arg(name)).trim().into()
}

/// The version of the kernel whose modules lie below `root`.
pub fn kernel_version(root: &Path) -> String {
    let mut versions = fs::read_dir(root.join("lib/modules")).unwrap();
    versions.next().unwrap().unwrap().file_name().into_string().unwrap()
}

/// What a connection of a machine's waits at while it is shut.
#[derive(Clone, Copy)]
pub enum Gate {
    /// On the way to the API server.
    Server,
    /// Behind port 1 of the API server's address, where nothing is: it ends then. So a machine can wait for a test.
    Nothing,
}

/// A machine, before it is switched on.
pub struct Emulated<'n> {
    pub name: String,
    pub board: Board,
    net: &'n BootNetwork,
    pub scratch: Scratch,
    arguments: Vec<String>,
    /// What follows the network's name in the device that drives it.
    card: &'static str,
    tftp: String,
}

impl<'n> Emulated<'n> {
    pub fn new(net: &'n BootNetwork, board: Board, name: &str) -> Self {
        let card = if board == Board::Pc { ",romfile=" } else { "" };
        let (scratch, arguments) = (Scratch::new(), Vec::new());
        Self { name: name.into(), board, net, scratch, arguments, card, tftp: String::new() }
    }

    /// More of QEMU's arguments.
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// A disk that holds the files below `tree`.
    pub fn disk(self, tree: &Path) -> Self {
        let (image, device) = (self.scratch.file("disk"), self.board.device("blk"));
        let mut command = Command::new("mkfs.ext4");
        // Nothing is left for a later start to initialise.
        command.args(["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-d"]).arg(tree);
        run(command.args([&image, "600M"]));
        let drive = format!("id=disk,if=none,format=raw,cache=unsafe,file={image}");
        self.with(&["-drive", &drive, "-device", &format!("{device},drive=disk")])
    }

    /// What QEMU itself loads.
    pub fn kernel(self, initramfs: &Path, command_line: &str) -> Self {
        let system = ready_made(self.board.architecture());
        versions::note_part(format!("linux {}", kernel_version(&system)));
        let kernel = system.join("vmlinuz");
        let line = format!("{} {command_line}", self.board.console());
        self.with(&[
            "-kernel",
            kernel.to_str().unwrap(),
            "-initrd",
            initramfs.to_str().unwrap(),
            "-append",
            &line,
        ])
    }

    /// Boots from the network: `boot` among the files of `directory`.
    pub fn network_boot(mut self, directory: &Path, boot: &str) -> Self {
        self.card = "";
        self.tftp = format!(",tftp={},bootfile={boot}", directory.display());
        self.with(&["-boot", "n"])
    }

    /// The initramfs of image/pxe, with `extra` modules beside its own.
    pub fn initramfs(&self, extra: &str) -> PathBuf {
        let file = self.scratch.path().join("initramfs");
        let system = ready_made(self.board.architecture());
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/image/pxe/mkinitramfs"));
        command.arg("-d").arg(&system).args(["-k", &kernel_version(&system)]);
        command.arg("-b").arg(system.join("busybox")).arg("-n").arg(self.board.nodestrap());
        let modules = format!("virtio_pci virtio_mmio virtio_net virtio_blk af_packet {extra}");
        run(command.args(["-m", &modules]).arg(&file));
        file
    }

    /// A root with nothing in it but a first program that shows what it finds, and ends.
    pub fn bare_root(&self) -> PathBuf {
        let root = self.scratch.path().join("bare");
        for directory in ["bin", "sbin", "etc"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        let busybox = ready_made(self.board.architecture()).join("busybox");
        fs::copy(busybox, root.join("bin/busybox")).unwrap();
        fs::write(root.join("etc/hostname"), &self.name).unwrap();
        fs::write(root.join("sbin/init"), BARE_INIT).unwrap();
        run(Command::new("chmod").args(["0755"]).arg(root.join("sbin/init")));
        root
    }

    /// Shuts a gate: what connects from now on waits there.
    pub fn shut(&self, gate: Gate) {
        fs::write(self.gate(gate), "").unwrap();
    }

    /// Opens it again.
    pub fn open(&self, gate: Gate) {
        fs::remove_file(self.gate(gate)).unwrap();
    }

    /// The file that is there while it is shut: a machine that is gone leaves none shut.
    fn gate(&self, gate: Gate) -> String {
        self.scratch.file(match gate {
            Gate::Server => "server.shut",
            Gate::Nothing => "nothing.shut",
        })
    }

    /// QEMU's words for a port of the API server's address and what is behind its gate: a program for each connection. The form
    /// without one makes a single connection when the machine starts.
    fn forward(&self, port: u16, gate: Gate, program: &str) -> String {
        let wait = format!("while [ -e {} ]; do sleep 0.1; done", self.gate(gate));
        format!("guestfwd=tcp:{SERVER}:{port}-cmd:sh -c '{wait}; exec {program}'")
    }

    /// Switches it on.
    pub fn boot(&self) -> Run {
        let mut command = self.board.command();
        let port = self.net.cluster.port;
        let server = self.forward(port, Gate::Server, &format!("nc {SERVER} {port}"));
        let nothing = self.forward(1, Gate::Nothing, "true");
        let network = format!("user,id=net,net=10.99.0.0/24,host=10.99.0.254,restrict=on,{server},{nothing}");
        command.args(["-netdev", &format!("{network}{}", self.tftp), "-device"]);
        command.arg(format!("{},netdev=net{}", self.board.device("net"), self.card)).args(&self.arguments);
        let log = self.scratch.path().join("console.log");
        Run { daemon: Daemon::start(command, log.clone()), log }
    }

    /// Does something with the files of its disk while it is off.
    pub fn on_disk<T>(&self, act: impl FnOnce(&Path) -> T) -> T {
        let root = self.scratch.path().join("mounted");
        fs::create_dir_all(&root).unwrap();
        run(Command::new("mount").args(["-o", "loop", &self.scratch.file("disk")]).arg(&root));
        let done = act(&root);
        run(Command::new("umount").arg(&root));
        done
    }

    /// Asserts, after its end, that the API server takes the identity on the machine's disk for the node of its name.
    pub fn assert_joined(&self) {
        self.on_disk(|root| {
            for path in ["etc/kubernetes", "var/lib/kubelet"] {
                assert!(root.join(path).is_dir(), "{} has no files of a node", self.name);
            }
            Node::on(&self.name, root.to_owned()).assert_known(&self.net.cluster);
        });
    }

    /// Asserts that the API server has never been asked for this node.
    pub fn assert_never_asked(&self) {
        assert!(!self.net.cluster.signing_requests().contains(&self.name), "{} asked", self.name);
    }
}

/// Says on the console whether there is an identity, and what nodestrap reported before.
const BARE_INIT: &str = r#"#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
echo "report: $(cat /run/initramfs/nodestrap.json)" >/dev/console
if [ -s /etc/kubernetes/kubelet.conf ]; then state=joined; else state='not joined'; fi
echo "the root is up, $state" >/dev/console
sync
mount -o remount,ro /
sleep 1
reboot -f
"#;

/// A machine that runs. Dropping it is a power cut.
pub struct Run {
    daemon: Daemon,
    log: PathBuf,
}

impl Run {
    /// Waits until the console shows `text`: the line.
    pub fn line_with(&mut self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let ended = self.daemon.has_ended();
            let console = self.console();
            if let Some(place) = console.find(text) {
                let start = if text.starts_with('\n') {
                    place + 1
                } else {
                    console[..place].rfind('\n').map_or(0, |end| end + 1)
                };
                if let Some((line, _)) = console[start..].split_once('\n') {
                    return line.to_owned();
                }
            }
            assert!(!ended, "the machine ended without: {text}\n{console}");
            assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for: {text}\n{console}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until the machine is off.
    pub fn ends(&mut self) {
        let start = Instant::now();
        while !self.daemon.has_ended() {
            assert!(start.elapsed() < PATIENCE, "the machine stays on\n{}", self.console());
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// All that the console has shown.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).replace('\r', "")
    }

    /// Waits for a line that begins with `title` and a report of nodestrap: the report.
    pub fn report(&mut self, title: &str) -> Value {
        let line = self.line_with(&format!("\n{title}{{"));
        serde_json::from_str(line.strip_prefix(title).unwrap()).expect("the report is JSON")
    }
}

/// What is told of a join.
pub fn figures(report: &Value) -> String {
    format!("nodestrap {} ms, {} requests", report["milliseconds"]["total"], report["requests"])
}
