//! Boots that take a minute or more each: cloud-init and Ignition on a machine of their own, and SELinux that enforces.

use std::{fs, path::Path, process::Command};

use crate::support::process::run;
use crate::{
    boot_network::BootNetwork,
    early_boot::{DISK, KUBELET, by_unit, parameter, smbios, system},
    initramfs::{Generator, generated},
    provision::{filled, ignition_config, image, leave_to_ignition},
    qemu::{Board, Emulated},
};

pub const BOOTS: &[crate::Boot] = &[
    ("nightly: cloud-init: user-data and network of a NoCloud disk", cloud_init),
    ("nightly: dracut and Ignition: unit, drop-in and credential onto a disk", ignition),
    ("nightly: SELinux enforcing: joined by the unit", |net| {
        let told = enforcing(net, "selinux-unit", "", &["-smbios", &smbios(net)]);
        // As in this policy's every file that a service makes in /etc.
        assert_eq!(told, ["etc_runtime_t", "etc_runtime_t", "var_lib_t"]);
        told.join(" ")
    }),
    ("nightly: SELinux enforcing: joined before there was a policy", |net| {
        let line = format!("{DISK} {}", parameter(net, ""));
        let told = enforcing(net, "selinux-early", &line, &[]);
        assert_eq!(told, ["etc_t", "etc_t", "var_lib_t"]);
        told.join(" ")
    }),
];

/// cloud-init's own network, in version 2 of its format; the card's name is that of q35's first slot.
const NETWORK: &str = "version: 2\nethernets: {enp0s1: {addresses: [10.99.0.15/24]}}\n";

fn cloud_init(net: &BootNetwork) -> String {
    let name = "cloud-disk";
    let system = system(net, "cloud", name);
    fs::remove_file(system.file("/etc/systemd/network/10-ethernet.network")).unwrap();
    system.copy("systemd/nodestrap.service.d/30-remove-credentials.conf", "/usr/lib/systemd/system");
    // The root file system has no locales.
    system.put("/etc/cloud/cloud.cfg.d/99-net.cfg", 0o644, "datasource_list: [NoCloud]\nlocale: false\n");
    let machine = Emulated::new(net, Board::Pc, name);
    let seed = machine.scratch.path().join("seed");
    fs::create_dir(&seed).unwrap();
    fs::write(seed.join("meta-data"), format!("instance-id: i-1\nlocal-hostname: {name}\n")).unwrap();
    fs::write(seed.join("network-config"), NETWORK).unwrap();
    let user_data = fs::read_to_string(image("cloud-init/user-data")).unwrap();
    fs::write(seed.join("user-data"), filled(net, &user_data)).unwrap();
    let disk = machine.scratch.file("seed.iso");
    run(Command::new("genisoimage").args(["-quiet", "-J", "-r", "-V", "cidata", "-o", &disk]).arg(&seed));
    let drive = format!("id=seed,if=none,format=raw,readonly=on,file={disk}");
    let initramfs = machine.initramfs("isofs");
    let machine = machine.disk(&system.root()).kernel(&initramfs, "root=/dev/vda");
    let machine = machine.with(&["-drive", &drive, "-device", "virtio-blk-pci,drive=seed"]);
    by_unit(&machine)
}

fn ignition(net: &BootNetwork) -> String {
    let name = "ignition-disk";
    let system = system(net, "bookworm", name);
    leave_to_ignition(&system);
    let machine = Emulated::new(net, Board::Pc, name);
    let config = machine.scratch.file("config.ign");
    fs::write(&config, ignition_config(net)).unwrap();
    let initramfs = generated(&machine, Generator::DracutWithIgnition);
    let line = "root=/dev/vda ro ignition.firstboot ignition.platform.id=qemu";
    let machine = machine.disk(&system.root()).kernel(&initramfs, line);
    let machine = machine.with(&["-fw_cfg", &format!("name=opt/com.coreos/config,file={config}")]);
    by_unit(&machine)
}

/// What the kubelet's stand-in says: whether the policy is enforced, the labels of what it needs, and what was denied.
const SECURITY: &str = r#"#!/bin/sh
echo "SELinux is $(getenforce)" >/dev/console
label() { ls -1 --directory --dereference --context "$1" | cut -d : -f 3; }
cd /var/lib/kubelet/pki
for file in /etc/kubernetes/kubelet.conf /etc/kubernetes/pki/ca.crt kubelet-client-current.pem; do
    label "$file"
done | tr '\n' ' ' | sed 's/^/labels: /; s/ $/\n/' >/dev/console
dmesg | grep 'avc:  denied' >/dev/console
"#;

/// A machine that enforces Debian's policy, with the kernel's and QEMU's arguments by which it joins: the types of
/// `kubelet.conf`, `ca.crt` and the client pair.
fn enforcing(net: &BootNetwork, name: &str, line: &str, firmware: &[&str]) -> Vec<String> {
    let system = system(net, "selinux", name);
    system.put("/usr/bin/kubelet", 0o755, KUBELET.replace("#!/bin/sh\n", SECURITY));
    system.put("/etc/selinux/config", 0o644, "SELINUX=enforcing\nSELINUXTYPE=default\n");
    system.follow("#### SELinux");
    system.assert_verified("nodestrap-relabel.service");
    let machine = Emulated::new(net, Board::Pc, name);
    // systemd finds the firmware's strings by this.
    let initramfs = machine.initramfs("dmi-sysfs");
    let machine = machine.disk(&system.root()).with(firmware);
    let machine = machine.kernel(&initramfs, &format!("security=selinux root=/dev/vda {line}"));
    machine.on_disk(label);
    let mut boot = machine.boot();
    assert_eq!(boot.line_with("SELinux is"), "SELinux is Enforcing");
    let labels = boot.line_with("\nlabels: ");
    boot.line_with("the kubelet starts");
    boot.ends();
    for denied in boot.console().lines().filter(|line| line.contains("avc:  denied")) {
        let concerned = ["nodestrap", "kube", "restorecon"].iter().any(|word| denied.contains(word));
        assert!(!concerned, "{denied}");
    }
    machine.assert_joined();
    labels.split_whitespace().skip(1).map(str::to_owned).collect()
}

/// Gives every file of a disk the label of its policy.
fn label(root: &Path) {
    let script = r#"
mount -t proc proc "$1/proc"
chroot "$1" setfiles -m -e /proc /etc/selinux/default/contexts/files/file_contexts /
umount "$1/proc"
"#;
    run(Command::new("sh").args(["-euc", script, "sh"]).arg(root));
}
