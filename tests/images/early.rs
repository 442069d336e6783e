//! Boots in which nodestrap comes before the root's own first program, and such that need a whole machine: firmware,
//! clock, another processor.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    harness::process::run,
    lab::{Lab, rootfs},
    machine::Machine,
    qemu::{Board, Emulated, Run, figures, kernel_version, ready_made},
};

pub const BOOTS: &[crate::Boot] = &[
    ("microvm: a join line on the kernel command line, into a disk", |lab| {
        bare(lab, Board::Microvm, "microvm")
    }),
    ("aarch64: a join line on the kernel command line, into a disk", |lab| {
        assert_moves_anywhere(&Board::Arm.nodestrap());
        bare(lab, Board::Arm, "aarch64")
    }),
    ("initramfs-tools: joins before systemd starts", |lab| {
        before_systemd(lab, Generator::InitramfsTools, "tools")
    }),
    ("nightly: initramfs-tools: without a network there, the unit joins", |lab| {
        unit_instead(lab, Generator::InitramfsTools, "tools-late", "ip=off")
    }),
    ("dracut: joins before systemd starts", |lab| before_systemd(lab, Generator::Dracut, "dracut")),
    ("nightly: dracut: without a network there, the unit joins", |lab| {
        // dracut waits for a card that is not there: for two thirds of that many seconds.
        let network = "ip=10.99.0.15:::255.255.255.0::eth7:none rd.retry=15";
        unit_instead(lab, Generator::Dracut, "dracut-late", network)
    }),
    ("iPXE: the token as a file, into a disk", |lab| network_boot(lab, "pxe-disk", "/dev/vda")),
    ("iPXE: the token as a file, into memory", |lab| network_boot(lab, "pxe-memory", "tmpfs")),
    ("clock: of 2035, no certificate holds and the boot goes on", after_all_certificates),
    ("clock: of 1970, set while nodestrap waits", before_all_certificates),
    ("systemd: a credential by SMBIOS", |lab| from_firmware(lab, "smbios", &["-smbios", &smbios(lab)])),
    ("systemd: a credential by fw_cfg", |lab| {
        let text = format!("name=opt/io.systemd.credentials/nodestrap.join,string={}", join_line(lab));
        from_firmware(lab, "fw-cfg", &["-fw_cfg", &text])
    }),
];

/// Where an initramfs of image/pxe is and what it does there; the address is what QEMU's own DHCP would give.
pub const DISK: &str = "root=/dev/vda rw ip=10.99.0.15:::255.255.255.0::eth0:none:";

fn join_line(lab: &Lab) -> String {
    format!("kubeadm join {}", lab.cluster.token().arguments.join(" "))
}

/// As a credential in a string of the firmware's.
pub fn smbios(lab: &Lab) -> String {
    format!("type=11,value=io.systemd.credential:nodestrap.join={}", join_line(lab))
}

/// On the kernel command line, with `more` flags.
pub fn parameter(lab: &Lab, more: &str) -> String {
    format!("nodestrap.join=\"{} {more}\"", join_line(lab))
}

fn bare(lab: &Lab, board: Board, name: &str) -> String {
    let machine = Emulated::new(lab, board, name);
    let initramfs = machine.initramfs("");
    let root = machine.bare_root();
    let machine = machine.disk(&root).kernel(&initramfs, &format!("{DISK} {}", parameter(lab, "")));
    let mut boot = machine.boot();
    let told = joined(&mut boot);
    machine.assert_joined();
    told
}

/// Asserts that a program is static and position-independent, and that its segments fit memory pages of any size: a
/// kernel for aarch64 may have been made for pages of 64 KiB.
fn assert_moves_anywhere(program: &Path) {
    let shown =
        run(Command::new("readelf").args(["--file-header", "--program-headers", "--wide"]).arg(program));
    assert!(
        shown.contains("DYN (Position-Independent Executable file)") && !shown.contains("INTERP"),
        "{shown}"
    );
    let segments: Vec<_> = shown.lines().filter(|line| line.trim_start().starts_with("LOAD")).collect();
    assert!(!segments.is_empty() && segments.iter().all(|line| line.ends_with("0x10000")), "{shown}");
}

/// Waits for the root's first program, which finds the machine joined, and for the end.
fn joined(boot: &mut Run) -> String {
    assert_eq!(boot.line_with("the root is up"), "the root is up, joined", "{}", boot.console());
    let report = boot.report("report: ");
    assert_eq!(report["outcome"], "joined");
    boot.ends();
    figures(&report)
}

/// For systemd-networkd. DHCP would need a module of the kernel, and the disk has none.
const NETWORK: &str = "[Match]\nName=e*\n[Network]\nAddress=10.99.0.15/24\nLinkLocalAddressing=no\nLLDP=no\n";

/// Stands for the kubelet: shows what it finds, and ends the machine.
pub const KUBELET: &str = r#"#!/bin/sh
for file in /etc/kubernetes/kubelet.conf /etc/kubernetes/pki/ca.crt /var/lib/kubelet/pki/kubelet-client-current.pem; do
    test -s "$file" || exit 1
done
echo "unit's report: $(cat /run/nodestrap/report.json)" >/dev/console
if [ -e /run/initramfs/nodestrap.json ]; then echo "report: $(cat /run/initramfs/nodestrap.json)" >/dev/console; fi
echo "the kubelet starts" >/dev/console
systemctl --no-block poweroff
exec sleep infinity
"#;

/// A disk with the root file system `kind`, nodestrap's unit and a kubelet.
pub fn system(lab: &Lab, kind: &str, name: &str) -> Machine {
    let system = Machine::new(lab, kind, name);
    // Before what systemd itself makes of the kernel's ip=.
    system.put("/etc/systemd/network/10-ethernet.network", 0o644, NETWORK);
    system.put("/usr/bin/kubelet", 0o755, KUBELET);
    // What is mounted read-only at first becomes writable by this.
    system.put("/etc/fstab", 0o644, "/dev/vda / ext4 defaults 0 0\n");
    // A network that never comes holds the boot for no longer than that.
    let drop_in = "/etc/systemd/system/systemd-networkd-wait-online.service.d/timeout.conf";
    let start = "ExecStart=/lib/systemd/systemd-networkd-wait-online --any --timeout=30";
    system.put(drop_in, 0o644, format!("[Service]\nExecStart=\n{start}\n"));
    let mut enable = Command::new("systemctl");
    enable.arg("--root").arg(system.root()).args(["enable", "--quiet"]);
    run(enable.args(["systemd-networkd", "systemd-networkd-wait-online"]));
    system
}

fn from_firmware(lab: &Lab, name: &str, arguments: &[&str]) -> String {
    let machine = Emulated::new(lab, Board::Pc, name);
    // systemd finds what these two show.
    let initramfs = machine.initramfs("dmi-sysfs qemu_fw_cfg");
    let machine = machine
        .disk(&system(lab, "bookworm", name).root())
        .kernel(&initramfs, "root=/dev/vda")
        .with(arguments);
    let mut boot = machine.boot();
    let told = by_unit(&mut boot);
    machine.assert_joined();
    told
}

/// Waits for the kubelet after a join by the unit, and for the end.
pub fn by_unit(boot: &mut Run) -> String {
    boot.line_with("the kubelet starts");
    let report = boot.report("unit's report: ");
    assert_eq!(report["outcome"], "joined");
    boot.ends();
    figures(&report)
}

/// How to make an initramfs.
#[derive(Clone, Copy)]
pub enum Generator {
    InitramfsTools,
    Dracut,
    /// dracut without nodestrap: what Ignition writes joins later.
    DracutWithIgnition,
}

impl Generator {
    fn root(self) -> PathBuf {
        ready_made(if matches!(self, Self::InitramfsTools) { "initramfs-tools" } else { "dracut" })
    }

    /// What puts the modules in place.
    fn script(self) -> &'static str {
        match self {
            Self::InitramfsTools => {
                "cp -r /image/initramfs-tools/* /etc/initramfs-tools/
                 mkinitramfs -c gzip -o /out/generated"
            }
            Self::Dracut => {
                "cp -r /image/dracut/99nodestrap /usr/lib/dracut/modules.d/
                 echo 'add_dracutmodules+=\" nodestrap network-legacy \"' >/etc/dracut.conf.d/nodestrap.conf
                 dracut --quiet --no-hostonly --no-early-microcode --compress 'gzip -1' /out/generated"
            }
            // Ignition relabels what it writes and fails without a policy to do that by. Its module comes after the one
            // for the network, which it would otherwise choose by itself.
            Self::DracutWithIgnition => {
                "cp -r /ignition/usr/lib/dracut/modules.d/30ignition /usr/lib/dracut/modules.d/99ignition
                 printf '#!/bin/sh\\n' >/usr/sbin/setfiles
                 chmod 0755 /usr/sbin/setfiles
                 echo 'add_dracutmodules+=\" ignition network-legacy \"' >/etc/dracut.conf.d/ignition.conf
                 echo 'add_drivers+=\" qemu_fw_cfg \"' >>/etc/dracut.conf.d/ignition.conf
                 dracut --quiet --no-hostonly --no-early-microcode --compress 'gzip -1' /out/generated"
            }
        }
    }
}

/// The initramfs that a distribution's own generator makes for `machine`.
pub fn generated(machine: &Emulated, generator: Generator) -> PathBuf {
    let root = generator.root();
    let version = kernel_version(&root);
    let mut command = Command::new("systemd-nspawn");
    command.arg("-D").arg(&root).args(["--volatile=overlay", "--register=no", "--keep-unit", "--quiet"]);
    command.arg("--pipe").arg(format!("--machine=build-{}", machine.name));
    command.arg(format!("--bind={}:/out", machine.scratch.path().display()));
    let image = concat!(env!("CARGO_MANIFEST_DIR"), "/image").into();
    let read_only = [
        (machine.board.nodestrap(), "/usr/bin/nodestrap"),
        (image, "/image"),
        (rootfs("ignition"), "/ignition"),
    ];
    command.args(read_only.map(|(from, to)| format!("--bind-ro={}:{to}", from.display())));
    run(command.args(["sh", "-euc", &format!("{} {version}", generator.script())]));
    machine.scratch.path().join("generated")
}

/// Boots with `ip=` and a join line, through an initramfs of `generator`.
fn generated_boot<'l>(lab: &'l Lab, generator: Generator, name: &str, parameters: &str) -> Emulated<'l> {
    let machine = Emulated::new(lab, Board::Pc, name);
    let initramfs = generated(&machine, generator);
    // An unreachable API server does not hold the boot for as long as it would without a word.
    let line = format!("root=/dev/vda ro {parameters} {}", parameter(lab, "--discovery-timeout 20s"));
    machine.disk(&system(lab, "bookworm", name).root()).kernel(&initramfs, &line)
}

fn before_systemd(lab: &Lab, generator: Generator, name: &str) -> String {
    let machine = generated_boot(lab, generator, name, "ip=dhcp");
    let mut boot = machine.boot();
    boot.line_with("the kubelet starts");
    let report = boot.report("report: ");
    assert_eq!(report["outcome"], "joined");
    assert_eq!(boot.report("unit's report: ")["outcome"], "already-joined");
    boot.ends();
    machine.assert_joined();
    figures(&report)
}

fn unit_instead(lab: &Lab, generator: Generator, name: &str, network: &str) -> String {
    let machine = generated_boot(lab, generator, name, network);
    let mut boot = machine.boot();
    boot.line_with("not joined before the boot, exit code 3; the boot goes on");
    let told = by_unit(&mut boot);
    machine.assert_joined();
    told
}

/// The first program of an initramfs that sets the clock a while after nodestrap has begun to wait.
const LATE_CLOCK: &str = "\
#!/bin/busybox sh
/bin/busybox mkdir -p /dev
/bin/busybox mount -t devtmpfs devtmpfs /dev
(/bin/busybox sleep 6; /bin/busybox date -s @NOW) &
exec /init
";

fn after_all_certificates(lab: &Lab) -> String {
    let machine = Emulated::new(lab, Board::Pc, "clock-2035");
    let initramfs = machine.initramfs("");
    let root = machine.bare_root();
    let line = format!("{DISK} {}", parameter(lab, "--discovery-timeout 10s"));
    let machine = machine.disk(&root).kernel(&initramfs, &line).with(&["-rtc", "base=2035-06-01T00:00:00"]);
    let mut boot = machine.boot();
    let said = boot.line_with("init: not joined");
    assert_eq!(said, "init: not joined, exit code 9; the boot goes on");
    assert_eq!(boot.line_with("the root is up"), "the root is up, not joined");
    assert_eq!(boot.report("report: ")["outcome"], "clock");
    boot.ends();
    machine.assert_never_asked();
    "exit code 9".into()
}

fn before_all_certificates(lab: &Lab) -> String {
    let machine = Emulated::new(lab, Board::Pc, "clock-1970");
    let initramfs = machine.initramfs("");
    let tree = machine.scratch.path().join("late");
    fs::create_dir(&tree).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().to_string();
    fs::write(tree.join("late-clock"), LATE_CLOCK.replace("NOW", &now)).unwrap();
    // The kernel unpacks one archive after the other.
    let script =
        "cd \"$1\" && chmod 0755 late-clock && echo late-clock | cpio --quiet -o -H newc | gzip >>\"$2\"";
    run(Command::new("sh").args(["-euc", script, "sh"]).arg(&tree).arg(&initramfs));
    let root = machine.bare_root();
    let line = format!("rdinit=/late-clock {DISK} {}", parameter(lab, ""));
    let machine = machine.disk(&root).kernel(&initramfs, &line).with(&["-rtc", "base=1970-01-01T00:00:00"]);
    let mut boot = machine.boot();
    boot.line_with("which is before this program was made");
    let told = joined(&mut boot);
    let said = boot.console().matches("before this program was made").count();
    assert_eq!(said, 1, "once is enough:\n{}", boot.console());
    machine.assert_joined();
    told
}

/// Boots by image/pxe's own script, with the cluster's address and pin put in: QEMU's iPXE, DHCP and TFTP.
fn network_boot(lab: &Lab, name: &str, root: &str) -> String {
    let machine = Emulated::new(lab, Board::Pc, name);
    let initramfs = machine.initramfs("");
    let directory = machine.scratch.path().join("tftp");
    fs::create_dir_all(directory.join("tokens")).unwrap();
    fs::rename(initramfs, directory.join("initramfs")).unwrap();
    fs::copy(ready_made("amd64").join("vmlinuz"), directory.join("vmlinuz")).unwrap();
    let tree = machine.bare_root();
    run(Command::new("tar").arg("-C").arg(&tree).arg("-cf").arg(directory.join("root.tar")).arg("."));
    let token = lab.cluster.token();
    // QEMU's first card.
    fs::write(directory.join("tokens/52-54-00-12-34-56"), format!("{}\n", token.value)).unwrap();
    let script = include_str!("../../image/pxe/nodestrap.ipxe");
    let zeros = format!("sha256:{}", "0".repeat(64));
    let mut script = script.replace("10.0.0.1:6443", &lab.cluster.address()).replace(&zeros, &token.pin);
    script = script.replace("root=/dev/vda", &format!("{} root={root}", Board::Pc.console()));
    if root == "tmpfs" {
        script = script.replace("\nboot\n", "\ninitrd ${base}root.tar /root.tar\nboot\n");
    }
    fs::write(directory.join("boot.ipxe"), script).unwrap();
    let on_disk = root != "tmpfs";
    let mut machine = machine.network_boot(&directory, "boot.ipxe");
    if on_disk {
        machine = machine.disk(&tree);
    }
    let mut boot = machine.boot();
    let told = joined(&mut boot);
    let log = boot.console();
    assert!(!log.contains(&token.value), "the token is on the console:\n{log}");
    if on_disk {
        machine.assert_joined();
    }
    assert!(lab.cluster.signing_requests().contains(&name.to_owned()));
    told
}
