//! Machines that get nodestrap by systemd-sysext. The image of a release is unpacked into a folder, which systemd merges alike:
//! a container has no loop devices for the image itself.

use std::{path::Path, process::Command};

use crate::support::{process::run, repository::program, scratch::Scratch};
use crate::{Boot, boot_network::BootNetwork, machine::Machine};

/// Systemd 252 does not load units of an extension without being told.
pub const BOOTS: &[Boot] = &[
    ("systemd 257: a system extension", |net| joins(net, "trixie", "extension257")),
    ("systemd 262: a system extension", |net| joins(net, "forky", "extension262")),
    ("systemd 257: a system extension, and exit code 2", |net| fails(net, "trixie", "extension-fails257")),
];

/// A machine whose /usr has no nodestrap, with the extension beside it.
fn machine(net: &BootNetwork, system: &str, name: &str) -> Machine {
    let machine = Machine::without_nodestrap(net, system, name);
    let scratch = Scratch::new();
    let image = scratch.file("nodestrap.raw");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/sysext");
    run(Command::new(script).args([std::env::consts::ARCH]).arg(program()).arg(&image));
    let folder = machine.file("/var/lib/extensions/nodestrap");
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    run(Command::new("unsquashfs").args(["-quiet", "-no-progress", "-dest"]).arg(folder).arg(&image));
    machine.systemctl(&["enable", "systemd-sysext.service", "kubelet.service"]);
    machine
}

fn joins(net: &BootNetwork, system: &str, name: &str) -> String {
    crate::systemd::joins(net, &machine(net, system, name), &[net.join_credential()])
}

/// What no repetition heals is tried once, although a target upholds what starts it.
fn fails(net: &BootNetwork, system: &str, name: &str) -> String {
    let machine = machine(net, system, name);
    machine.arguments("--no-such-flag");
    let mut boot = machine.boot(&[net.join_credential()]);
    boot.journal_with("nodestrap.service", "code=exited, status=2/");
    boot.journal_with("nodestrap-start.service", "Finished nodestrap-start.service");
    std::thread::sleep(std::time::Duration::from_secs(5));
    let attempts = machine.journal("nodestrap.service").matches("status=2/").count();
    assert_eq!(attempts, 1);
    boot.shut_down();
    String::new()
}
