//! First boots of images that have nodestrap in them: presets enable units then, and nodestrap is enabled by whoever made
//! the image, by nothing else.

use std::process::Command;

use crate::harness::cluster::free_port;
use crate::support::process::run;
use crate::{
    Boot,
    boot_network::{BootNetwork, SERVER},
    each_systemd,
    machine::Machine,
    systemd::joins,
};

pub fn boots() -> Vec<Boot> {
    let kubeadm: [Boot; 2] = [
        ("systemd 252: kubeadm join instead", |net| kubeadm(net, "kubeadm252", false)),
        ("systemd 252: kubeadm join instead, nodestrap enabled without a cluster", |net| {
            kubeadm(net, "kubeadm-enabled252", true)
        }),
    ];
    [
        each_systemd!("first boot, not enabled", not_enabled).as_slice(),
        &each_systemd!("first boot, enabled before the package came", enabled),
        &each_systemd!("first boot, enabled by the image's preset", enabled_by_preset),
        &each_systemd!("enabled, and nothing names a cluster", nothing_given),
        &kubeadm,
    ]
    .concat()
}

/// Makes the next boot a first one, by machine-id(5). Has the machine the preset of image/.
fn first_boot(machine: &Machine) {
    machine.put("/etc/machine-id", 0o444, "uninitialized\n");
    let preset = std::fs::read(crate::provision::image("systemd/50-nodestrap.preset")).unwrap();
    machine.put("/usr/lib/systemd/system-preset/50-nodestrap.preset", 0o644, preset);
}

/// Runs what a package runs after its files have come, as rpm says that it is the first of its name.
fn installed(machine: &Machine) {
    machine.put(
        "/postinstall",
        0o755,
        std::fs::read(crate::provision::image("packages/postinstall.sh")).unwrap(),
    );
    run(Command::new("chroot").arg(machine.root()).args(["/postinstall", "1"]));
}

fn is_enabled(machine: &Machine) -> bool {
    let mut command = Command::new("systemctl");
    command.arg("--root").arg(machine.root()).args(["is-enabled", "--quiet", "nodestrap.service"]);
    command.status().unwrap().success()
}

/// The kubelet starts as if there were no nodestrap.
fn not_enabled(net: &BootNetwork, system: &str, version: &str) -> String {
    let machine = Machine::new(net, system, &format!("preset{version}"));
    machine.systemctl(&["disable", "nodestrap.service"]);
    first_boot(&machine);
    installed(&machine);
    let mut boot = machine.boot(&[net.join_credential()]);
    boot.journal_with("kubelet.service", "Started kubelet.service");
    boot.journal_with("kubelet.service", "Main process exited");
    assert!(!machine.journal("nodestrap.service").contains("nodestrap.service"), "it was not started");
    assert!(!machine.file("/run/nodestrap").exists() && !is_enabled(&machine));
    boot.shut_down();
    String::new()
}

/// An image whose unit is enabled, on a machine that nobody told what to join: the kubelet starts as if there were no
/// nodestrap.
fn nothing_given(net: &BootNetwork, system: &str, version: &str) -> String {
    let machine = Machine::new(net, system, &format!("nothing{version}"));
    machine.arguments("--with-kubelet-config");
    let mut boot = machine.boot(&[]);
    boot.journal_with("nodestrap.service", "code=exited, status=2/");
    boot.journal_with("kubelet.service", "Main process exited");
    let of_priority = |least: &str| {
        boot.run(&["journalctl", "-b", "-u", "nodestrap", "-t", "nodestrap", "-p", least, "-o", "cat"])
    };
    let errors = of_priority("err");
    assert!(errors.starts_with("nodestrap: error: options: "), "{errors}");
    let is_error =
        |line: &str| ["nodestrap: error: ", "nodestrap: help: "].iter().any(|start| line.starts_with(start));
    assert!(errors.lines().all(is_error), "{errors}");
    let waits = ["sh", "-c", "ls /run/nodestrap | grep waits; true"];
    assert_eq!(boot.run(&waits), "");
    // Once it is told, the kubelet waits, also for the next attempt.
    machine.arguments("--no-such-flag");
    boot.run(&["sh", "-c", "systemctl stop kubelet; systemctl restart nodestrap; systemctl start kubelet"]);
    boot.journal_with("kubelet.service", "no trigger condition checks were met");
    assert_eq!(boot.run(&waits), "kubelet-waits\n");
    boot.shut_down();
    String::new()
}

/// What an image's maker has enabled stays so, also where the package comes later.
fn enabled(net: &BootNetwork, system: &str, version: &str) -> String {
    let machine = Machine::new(net, system, &format!("enabled{version}"));
    first_boot(&machine);
    installed(&machine);
    joins(net, &machine, &[net.join_credential()])
}

/// A preset that sorts before the package's counts; it holds also where presets are applied in full, which undoes a plain
/// enable.
fn enabled_by_preset(net: &BootNetwork, system: &str, version: &str) -> String {
    let machine = Machine::new(net, system, &format!("own{version}"));
    first_boot(&machine);
    machine.systemctl(&["preset", "nodestrap.service"]);
    assert!(!is_enabled(&machine), "a preset in full disables it");
    machine.put("/etc/systemd/system-preset/10-nodestrap.preset", 0o644, "enable nodestrap.service\n");
    machine.systemctl(&["preset", "nodestrap.service"]);
    assert!(is_enabled(&machine), "unless the image has a preset");
    machine.systemctl(&["disable", "nodestrap.service"]);
    joins(net, &machine, &[net.join_credential()])
}

/// The neighbour on the same machine, whose image has nodestrap in it but does not enable it, at a first boot by
/// machine-id(5), where presets are applied: kubeadm and the kubelet's own bootstrap. Somebody has tried nodestrap by hand before, in vain: the lock that it leaves in /run is no sign of the unit.
fn kubeadm(net: &BootNetwork, name: &str, is_enabled: bool) -> String {
    let machine = Machine::new(net, "bookworm", name);
    machine.real_kubelet();
    machine.real("kubeadm");
    let line = net.cluster.token().arguments.join(" ");
    let unit = format!(
        "[Service]\nType=oneshot\nExecStart=/usr/bin/kubeadm join {line} --cri-socket={} \\\n --ignore-preflight-errors=all\n",
        net.runtime()
    );
    machine.put("/usr/lib/systemd/system/kubeadm.service", 0o644, unit);
    if is_enabled {
        machine.arguments("--with-kubelet-config");
    } else {
        machine.systemctl(&["disable", "nodestrap.service"]);
    }
    first_boot(&machine);
    machine.systemctl(&["add-wants", "multi-user.target", "kubeadm.service"]);
    let by_hand = format!(
        "[Unit]\nBefore=kubeadm.service\n[Service]\nType=oneshot\n\
         ExecStart=-/usr/bin/nodestrap join {SERVER}:{} --token-file /etc/token \\\n \
         --discovery-token-unsafe-skip-ca-verification --timeout=1s\nExecStart=/usr/bin/test -d /run/nodestrap\n",
        free_port()
    );
    machine.put("/etc/token", 0o600, "abcdef.0123456789abcdef");
    machine.put("/usr/lib/systemd/system/by-hand.service", 0o644, by_hand);
    machine.systemctl(&["add-requires", "kubeadm.service", "by-hand.service"]);
    let mut boot = machine.boot(&net.for_kubelet());
    boot.journal_with("kubeadm.service", "This node has joined the cluster");
    boot.journal_with("kubelet.service", "Successfully registered node");
    assert_eq!(machine.journal("nodestrap.service").contains("status=2/"), is_enabled);
    let told = machine.figures_of_kubelet("kubeadm.service");
    boot.shut_down();
    told
}
