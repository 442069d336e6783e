//! Boots in which nodestrap comes before the root's own first program, and such that need a whole machine: firmware,
//! clock, another processor.

use std::{path::PathBuf, process::Command};

use crate::{
    harness::process::run,
    lab::Lab,
    machine::Machine,
    qemu::{Board, Emulated, Run, figures, kernel_version, ready_made},
};

pub const BOOTS: &[crate::Boot] = &[
    ("microvm: a join line on the kernel command line, into a disk", |lab| {
        bare(lab, Board::Microvm, "microvm")
    }),
    ("aarch64: a join line on the kernel command line, into a disk", |lab| bare(lab, Board::Arm, "aarch64")),
    ("initramfs-tools: joins before systemd starts", |lab| before_systemd(lab, "initramfs-tools", "tools")),
    ("initramfs-tools: without a network there, the unit joins", |lab| {
        unit_instead(lab, "initramfs-tools", "tools-late")
    }),
    ("systemd: a credential by SMBIOS", |lab| {
        let text = format!("type=11,value=io.systemd.credential:nodestrap.join={}", join_line(lab));
        from_firmware(lab, "smbios", &["-smbios", &text])
    }),
    ("systemd: a credential by fw_cfg", |lab| {
        let text = format!("name=opt/io.systemd.credentials/nodestrap.join,string={}", join_line(lab));
        from_firmware(lab, "fw-cfg", &["-fw_cfg", &text])
    }),
];

/// Where an initramfs of image/pxe is and what it does there; the address is what QEMU's own DHCP would give.
const DISK: &str = "root=/dev/vda rw ip=10.99.0.15:::255.255.255.0::eth0:none:";

fn join_line(lab: &Lab) -> String {
    format!("kubeadm join {}", lab.cluster.token().arguments.join(" "))
}

/// On the kernel command line.
fn parameter(lab: &Lab) -> String {
    format!("nodestrap.join=\"{}\"", join_line(lab))
}

fn bare(lab: &Lab, board: Board, name: &str) -> String {
    let machine = Emulated::new(lab, board, name);
    let initramfs = machine.initramfs("");
    let root = machine.bare_root();
    let machine = machine.disk(&root).kernel(&initramfs, &format!("{DISK} {}", parameter(lab)));
    let mut boot = machine.boot();
    let told = joined(&mut boot);
    machine.assert_joined();
    told
}

/// Waits for the root's first program, which finds the machine joined, and for the end.
fn joined(boot: &mut Run) -> String {
    assert_eq!(boot.line_with("the root is up"), "the root is up, joined", "{}", boot.console());
    let report = boot.report("report: ");
    assert_eq!(report["outcome"], "joined");
    boot.ends();
    figures(&report)
}

/// The address that QEMU gives, by systemd-networkd.
const NETWORK: &str = "[Match]\nName=e*\n[Network]\nDHCP=ipv4\n";

/// Stands for the kubelet: shows what it finds, and ends the machine.
const KUBELET: &str = r#"#!/bin/sh
for file in /etc/kubernetes/kubelet.conf /etc/kubernetes/pki/ca.crt /var/lib/kubelet/pki/kubelet-client-current.pem; do
    test -s "$file" || exit 1
done
echo "unit's report: $(cat /run/nodestrap/report.json)" >/dev/console
if [ -e /run/initramfs/nodestrap.json ]; then echo "report: $(cat /run/initramfs/nodestrap.json)" >/dev/console; fi
echo "the kubelet starts" >/dev/console
systemctl --no-block poweroff
exec sleep infinity
"#;

/// A disk with systemd, nodestrap's unit and a kubelet.
fn system(lab: &Lab, name: &str) -> Machine {
    let system = Machine::new(lab, "bookworm", name);
    system.put("/etc/systemd/network/ethernet.network", 0o644, NETWORK);
    system.put("/usr/bin/kubelet", 0o755, KUBELET);
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
    let machine = machine.disk(&system(lab, name).root()).kernel(&initramfs, "root=/dev/vda").with(arguments);
    let mut boot = machine.boot();
    let told = by_unit(&mut boot);
    machine.assert_joined();
    told
}

/// Waits for the kubelet after a join by the unit, and for the end.
fn by_unit(boot: &mut Run) -> String {
    boot.line_with("the kubelet starts");
    let report = boot.report("unit's report: ");
    assert_eq!(report["outcome"], "joined");
    boot.ends();
    figures(&report)
}

/// The initramfs that the distribution's own generator makes for `machine`.
fn generated(machine: &Emulated, generator: &str) -> PathBuf {
    let root = ready_made(generator);
    let version = kernel_version(&root);
    let image = concat!(env!("CARGO_MANIFEST_DIR"), "/image");
    let mut command = Command::new("systemd-nspawn");
    command.arg("-D").arg(&root).args(["--volatile=overlay", "--register=no", "--keep-unit", "--quiet"]);
    command.arg("--pipe").arg(format!("--machine=build-{}", machine.name));
    command.arg(format!("--bind={}:/out", machine.scratch.path().display()));
    command.arg(format!("--bind-ro={}:/usr/bin/nodestrap", machine.board.nodestrap().display()));
    command.arg(format!("--bind-ro={image}:/image"));
    let script = match generator {
        "initramfs-tools" => {
            "cp -r /image/initramfs-tools/* /etc/initramfs-tools/ && mkinitramfs -c gzip -o /out/generated"
        }
        _ => unreachable!(),
    };
    run(command.args(["sh", "-euc", &format!("{script} {version}")]));
    machine.scratch.path().join("generated")
}

/// Boots with `ip=` and a join line, through an initramfs of `generator`.
fn generated_boot<'l>(lab: &'l Lab, generator: &str, name: &str, parameters: &str) -> Emulated<'l> {
    let machine = Emulated::new(lab, Board::Pc, name);
    let initramfs = generated(&machine, generator);
    let line = format!("root=/dev/vda ro {parameters} {}", parameter(lab));
    machine.disk(&system(lab, name).root()).kernel(&initramfs, &line)
}

fn before_systemd(lab: &Lab, generator: &str, name: &str) -> String {
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

fn unit_instead(lab: &Lab, generator: &str, name: &str) -> String {
    let machine = generated_boot(lab, generator, name, "ip=off");
    let mut boot = machine.boot();
    boot.line_with("not joined before the boot, exit code 3; the boot goes on");
    let told = by_unit(&mut boot);
    machine.assert_joined();
    told
}
