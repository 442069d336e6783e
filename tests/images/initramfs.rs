//! Boots through an initramfs of a distribution's own generator, into which image/ puts nodestrap.

use std::{fs, path::PathBuf, process::Command};

use crate::support::process::run;
use crate::{
    boot_network::{BootNetwork, rootfs},
    early_boot::{by_unit_of, parameter, system},
    machine::Machine,
    qemu::{Board, Emulated, figures, kernel_version, ready_made},
    readme::block,
    versions,
};

pub const BOOTS: &[crate::Boot] = &[
    ("initramfs-tools: joins before systemd starts", |net| {
        before_systemd(net, Generator::InitramfsTools, "tools")
    }),
    ("nightly: initramfs-tools: without a network there, the unit joins", |net| {
        unit_instead(net, Generator::InitramfsTools, "tools-late", "ip=off")
    }),
    ("nightly: initramfs-tools: what is mounted later is left to the unit", |net| {
        mounted_later(net, Generator::InitramfsTools, "tools-mount")
    }),
    ("dracut: joins before systemd starts", |net| before_systemd(net, Generator::Dracut, "dracut")),
    ("dracut 112: joins before systemd starts", |net| {
        before_systemd(net, Generator::DracutForky, "dracut112")
    }),
    ("nightly: dracut, network-legacy: joins before systemd starts", |net| {
        before_systemd(net, Generator::DracutLegacy, "dracut-legacy")
    }),
    ("nightly: dracut: without a network there, the unit joins", |net| {
        unit_instead(net, Generator::Dracut, "dracut-late", NO_CARD)
    }),
    ("nightly: dracut 112: without a network there, the unit joins", |net| {
        unit_instead(net, Generator::DracutForky, "dracut112-late", NO_CARD)
    }),
    ("nightly: dracut, network-legacy: without a network there, the unit joins", |net| {
        unit_instead(net, Generator::DracutLegacy, "legacy-late", NO_CARD)
    }),
    ("nightly: dracut: what is mounted later is left to the unit", |net| {
        mounted_later(net, Generator::Dracut, "dracut-mount")
    }),
];

/// dracut waits for a card that is not there: for two thirds of that many seconds.
const NO_CARD: &str = "ip=10.99.0.15:::255.255.255.0::eth7:none rd.retry=15";

/// How to make an initramfs.
#[derive(Clone, Copy)]
pub enum Generator {
    InitramfsTools,
    /// dracut 059 of Debian 12, with systemd-networkd.
    Dracut,
    /// The same with its own scripts for the network.
    DracutLegacy,
    /// dracut 112 of Debian testing, with systemd-networkd.
    DracutForky,
    /// dracut without nodestrap: what Ignition writes joins later.
    DracutWithIgnition,
}

impl Generator {
    fn root(self) -> PathBuf {
        ready_made(match self {
            Self::InitramfsTools => "initramfs-tools",
            Self::DracutForky => "dracut-forky",
            _ => "dracut",
        })
    }

    /// What puts nodestrap in place, as image/README.md tells it up to the generator's own run, and the run.
    fn script(self) -> String {
        const DRACUT: &str =
            "dracut --quiet --no-hostonly --no-early-microcode --compress 'gzip -1' /out/generated";
        let told = |title, generator: &str| {
            let block = block(title, 0);
            block.split_once(&format!("\n{generator}")).expect("the last line runs it").0.to_owned()
        };
        match self {
            Self::InitramfsTools => {
                told("### initramfs-tools", "update-initramfs") + "\nmkinitramfs -c gzip -o /out/generated"
            }
            Self::Dracut | Self::DracutForky => told("### dracut", "dracut --force") + "\n" + DRACUT,
            Self::DracutLegacy => {
                let told = told("### dracut", "dracut --force");
                assert!(told.contains("\" nodestrap \""), "{told}");
                told.replace("\" nodestrap \"", "\" nodestrap network-legacy \"") + "\n" + DRACUT
            }
            Self::DracutWithIgnition => format!("{IGNITION}{DRACUT}"),
        }
    }
}

/// Ignition relabels what it writes and fails without a policy to do that by. Its module comes after the one for the
/// network, which it would otherwise choose by itself.
const IGNITION: &str = "\
cp -r ignition/usr/lib/dracut/modules.d/30ignition /usr/lib/dracut/modules.d/99ignition
printf '#!/bin/sh\\n' >/usr/sbin/setfiles
chmod 0755 /usr/sbin/setfiles
echo 'add_dracutmodules+=\" ignition network-legacy \"' >/etc/dracut.conf.d/ignition.conf
echo 'add_drivers+=\" qemu_fw_cfg \"' >>/etc/dracut.conf.d/ignition.conf
";

/// The initramfs that a distribution's own generator makes for `machine`.
pub fn generated(machine: &Emulated, generator: Generator) -> PathBuf {
    let root = generator.root();
    let version = kernel_version(&root);
    versions::note(&root, &["dracut", "initramfs-tools"]);
    let mut command = Command::new("systemd-nspawn");
    command.arg("-D").arg(&root).args(["--volatile=overlay", "--register=no", "--keep-unit", "--quiet"]);
    command.arg("--pipe").arg(format!("--machine=build-{}", machine.name));
    command.arg(format!("--bind={}:/out", machine.scratch.path().display()));
    let image = concat!(env!("CARGO_MANIFEST_DIR"), "/image").into();
    let read_only = [
        (machine.board.nodestrap(), "/usr/bin/nodestrap"),
        (image, "/mnt/image"),
        (rootfs("ignition"), "/mnt/ignition"),
    ];
    command.args(read_only.map(|(from, to)| format!("--bind-ro={}:{to}", from.display())));
    run(command.args(["--chdir=/mnt", "sh", "-euc", &format!("{} {version}", generator.script())]));
    machine.scratch.path().join("generated")
}

/// A machine that boots `system` with `ip=` and a join line, through an initramfs of `generator`.
fn generated_boot<'n>(
    net: &'n BootNetwork,
    generator: Generator,
    system: &Machine,
    network: &str,
) -> Emulated<'n> {
    let machine = Emulated::new(net, Board::Pc, &system.name);
    let initramfs = generated(&machine, generator);
    // An unreachable API server does not hold the boot for as long as it would without a word.
    let line = format!("root=/dev/vda ro {network} {}", parameter(net, "--discovery-timeout 20s"));
    machine.disk(&system.root()).kernel(&initramfs, &line)
}

/// The root's own file, by systemd's rules: quotes in quotes, a line that goes on, a pattern, and no line break at its end.
const VARIABLES: &str = "# The image's.
NODESTRAP_ARGS=\"--with-kubelet-config \\
    --kubelet-extra-arg='v=/* ?' --taint='example.com/new:NoSchedule'\"
NO_PROXY='10.99.0.1'";

/// The root's other file, which the first one is stronger than.
const WEAKER: &str = "HTTPS_PROXY=http://127.0.0.1:1\nNODESTRAP_ARGS=--no-such-flag \\";

/// The settings in the root's own file hold, which is no shell's.
fn before_systemd(net: &BootNetwork, generator: Generator, name: &str) -> String {
    let system = system(net, "bookworm", name);
    system.put("/etc/default/nodestrap", 0o600, VARIABLES);
    system.put("/etc/sysconfig/nodestrap", 0o600, WEAKER);
    let machine = generated_boot(net, generator, &system, "ip=dhcp");
    let mut boot = machine.boot();
    boot.line_with("the kubelet starts");
    let report = boot.report("report: ");
    assert_eq!(report["outcome"], "joined");
    assert_eq!(boot.report("unit's report: ")["outcome"], "already-joined");
    boot.ends();
    machine.assert_joined();
    let flags = machine.on_disk(|root| fs::read_to_string(root.join("var/lib/kubelet/kubeadm-flags.env")));
    assert!(flags.unwrap().contains("--register-with-taints=example.com/new:NoSchedule --v=/* ?"));
    figures(&report)
}

fn unit_instead(net: &BootNetwork, generator: Generator, name: &str, network: &str) -> String {
    let machine = generated_boot(net, generator, &system(net, "bookworm", name), network);
    let mut boot = machine.boot();
    boot.line_with("not joined before the boot, exit code 3; the boot goes on");
    by_unit_of(&machine, &mut boot)
}

/// A place of the node's files is another file system, and nothing is hidden below it.
fn mounted_later(net: &BootNetwork, generator: Generator, name: &str) -> String {
    let system = system(net, "bookworm", name);
    let later = "tmpfs /var/lib/kubelet tmpfs mode=0700 0 0\n";
    let fstab = fs::read_to_string(system.file("/etc/fstab")).unwrap() + later;
    system.put("/etc/fstab", 0o644, fstab);
    let machine = generated_boot(net, generator, &system, "ip=dhcp");
    let mut boot = machine.boot();
    boot.line_with("nodestrap: not joined before the boot: /var/lib/kubelet is not mounted yet");
    boot.line_with("the kubelet starts");
    assert_eq!(boot.report("unit's report: ")["outcome"], "joined");
    boot.ends();
    let requests = net.cluster.signing_requests();
    assert_eq!(requests.iter().filter(|node| *node == name).count(), 1, "one request for both");
    assert_eq!(machine.on_disk(|root| fs::read_dir(root.join("var/lib/kubelet")).unwrap().count()), 0);
    String::new()
}
