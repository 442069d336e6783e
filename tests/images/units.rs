//! How nodestrap.service and the kubelet's unit go together, whatever somebody's drop-in says about it: one start of the
//! kubelet for each boot, and no attempt more than it takes.

use std::{fs, thread, time::Duration};

use crate::harness::{
    cluster::{MANUAL, free_port},
    token::Wanted,
};
use crate::{
    Boot,
    boot_network::{BootNetwork, SERVER},
    each_systemd,
    machine::{Boot as Running, Machine},
    systemd::{HURRY, joins, relay},
};

pub fn boots() -> Vec<Boot> {
    [
        each_systemd!("the kubelet's unit says nothing of nodestrap's", |net, system, version| {
            first_and_second(net, system, version, "")
        }),
        each_systemd!("Requires= in the kubelet's unit", |net, system, version| {
            first_and_second(net, system, version, "Requires")
        }),
        each_systemd!("Wants= in the kubelet's unit", |net, system, version| {
            first_and_second(net, system, version, "Wants")
        }),
        each_systemd!("Upholds= in the kubelet's unit", |net, system, version| {
            first_and_second(net, system, version, "Upholds")
        }),
        each_systemd!("BindsTo= in the kubelet's unit", |net, system, version| {
            first_and_second(net, system, version, "BindsTo")
        }),
        each_systemd!("no end that is final is tried for ever", final_ends),
        each_systemd!("a serving certificate that is pending", serving_pending),
        each_systemd!("power-off in the middle of an attempt", shut_down_meanwhile),
        each_systemd!("no kubelet, and one that is masked", without_kubelet),
        each_systemd!("start, restart and stop of a joined machine's unit", by_hand),
    ]
    .concat()
}

/// A drop-in of somebody's for the kubelet's unit, with this dependency on nodestrap.
fn depend(machine: &Machine, dependency: &str) {
    if !dependency.is_empty() {
        let drop_in = format!("[Unit]\n{dependency}=nodestrap.service\n");
        machine.put("/etc/systemd/system/kubelet.service.d/50-somebody.conf", 0o644, drop_in);
    }
}

/// Attempts follow each other at once.
fn hurry(machine: &Machine) {
    machine.put("/etc/systemd/system/nodestrap.service.d/hurry.conf", 0o644, HURRY);
}

/// How often systemd said of a unit that it starts it, or has started it, in all boots.
fn count(machine: &Machine, unit: &str, text: &str) -> usize {
    machine.journal(unit).lines().filter(|line| line.contains(text)).count()
}

fn kubelet_starts(machine: &Machine) -> usize {
    count(machine, "kubelet.service", "Started kubelet.service")
}

fn attempts(machine: &Machine) -> usize {
    count(machine, "nodestrap.service", "Starting nodestrap.service")
}

/// Long enough for a loop to show itself: the tries of one follow each other in parts of a second.
fn settle() {
    thread::sleep(Duration::from_secs(3));
}

/// The first boot has an attempt that fails, the second one an identity.
fn first_and_second(net: &BootNetwork, system: &str, version: &str, dependency: &str) -> String {
    let machine = Machine::new(net, system, &format!("{}-{version}", dependency.to_lowercase() + "unit"));
    depend(&machine, dependency);
    hurry(&machine);
    let (token, port) = (net.cluster.token(), free_port());
    // What both files set, the second one decides.
    machine.put("/etc/sysconfig/nodestrap", 0o600, "NODESTRAP_ARGS=--no-such-flag\n");
    machine.arguments("--discovery-timeout=1s");
    let line = format!("kubeadm join {SERVER}:{port} {}", token.arguments[1..].join(" "));
    let credential = [format!("--set-credential=nodestrap.join:{line}")];
    let mut boot = machine.boot(&credential);
    boot.journal_with("nodestrap.service", "status=3/");
    relay(port, net.cluster.port);
    assert_eq!(boot.kubelet()["outcome"], "joined");
    settle();
    let tried = attempts(&machine);
    assert!(tried > 1 && kubelet_starts(&machine) == 1, "{tried} attempts, {dependency}");
    assert_eq!(boot.run(&["systemctl", "is-active", "nodestrap.service"]), "active\n");
    let credentials = boot.run(&["sh", "-c", "ls -A /run/credentials/nodestrap.service 2>/dev/null; true"]);
    assert_eq!(credentials.is_empty(), system != "bookworm", "{credentials}");
    machine.assert_joined(net);
    boot.shut_down();

    let mut boot = machine.boot(&credential);
    assert_eq!(boot.kubelet()["outcome"], "already-joined");
    settle();
    assert_eq!((attempts(&machine), kubelet_starts(&machine)), (tried + 1, 2), "{dependency}");
    boot.shut_down();
    let left = if credentials.is_empty() { "" } else { ", credentials stay mounted" };
    format!("{tried} attempts{left}")
}

/// Exit code 2 on a machine that has an identity: the kubelet starts, unless its unit requires the other one.
fn final_ends(net: &BootNetwork, system: &str, version: &str) -> String {
    let mut told = Vec::new();
    for (dependency, starts) in [("", true), ("Wants", true), ("Upholds", true), ("Requires", false)] {
        let machine = Machine::new(net, system, &format!("final{}-{version}", dependency.to_lowercase()));
        depend(&machine, dependency);
        joins(net, &machine, &[net.join_credential()]);
        machine.arguments("--no-such-flag");
        let mut boot = machine.boot(&[net.join_credential()]);
        boot.journal_with("nodestrap.service", "code=exited, status=2/");
        if starts {
            boot.kubelet();
        }
        // One that upholds it is told to leave it alone by the start limit.
        let last = if dependency == "Upholds" { "Start request repeated too quickly" } else { "status=2/" };
        boot.journal_with("nodestrap.service", last);
        settle();
        assert_eq!(machine.has_kubelet(), starts, "{dependency}");
        let tried = attempts(&machine) - 1;
        assert!(if dependency == "Upholds" { tried <= 10 } else { tried == 1 }, "{dependency}: {tried}");
        boot.shut_down();
        told.push(format!("{dependency}: {tried}"));
    }
    format!("attempts {}", told.join(", "))
}

/// Exit code 11 is a joined machine.
fn serving_pending(net: &BootNetwork, system: &str, version: &str) -> String {
    let machine = Machine::new(net, system, &format!("serving{version}"));
    depend(&machine, "Requires");
    let arguments = "NODESTRAP_ARGS=--with-serving-cert --serving-timeout=1s\n";
    machine.put("/etc/sysconfig/nodestrap", 0o600, arguments);
    let mut boot = machine.boot(&[net.join_credential()]);
    assert_eq!(boot.kubelet()["exitCode"], 11);
    settle();
    assert_eq!((attempts(&machine), kubelet_starts(&machine)), (1, 1));
    assert_eq!(boot.run(&["systemctl", "is-active", "nodestrap.service"]), "active\n");
    boot.shut_down();
    String::new()
}

/// Nothing starts the kubelet of a machine that goes down while it joins.
fn shut_down_meanwhile(net: &BootNetwork, system: &str, version: &str) -> String {
    for dependency in ["", "Requires"] {
        let machine = Machine::new(net, system, &format!("down{}-{version}", dependency.to_lowercase()));
        depend(&machine, dependency);
        let token = net.cluster.token_with(Wanted { group: MANUAL, ..Wanted::default() });
        let line = format!("--set-credential=nodestrap.join:{}", token.join_line());
        let mut boot = machine.boot(&[line]);
        boot.journal_with("nodestrap.service", "is pending; to approve it");
        boot.shut_down();
        assert_eq!((attempts(&machine), kubelet_starts(&machine)), (1, 0), "{dependency:?}");
    }
    String::new()
}

/// The machine has joined, and one attempt is enough.
fn without_kubelet(net: &BootNetwork, system: &str, version: &str) -> String {
    for masked in [false, true] {
        let machine = Machine::new(net, system, &format!("nokubelet{masked}-{version}"));
        hurry(&machine);
        if masked {
            machine.systemctl(&["mask", "kubelet.service"]);
        } else {
            machine.systemctl(&["disable", "kubelet.service"]);
            for path in ["kubelet.service", "kubelet.service.d"] {
                let path = machine.file(&format!("/usr/lib/systemd/system/{path}"));
                let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            }
        }
        let mut boot = machine.boot(&[net.join_credential()]);
        boot.journal_with("nodestrap.service", "Finished nodestrap.service");
        settle();
        assert_eq!(attempts(&machine), 1, "masked: {masked}");
        machine.assert_joined(net);
        boot.shut_down();
    }
    String::new()
}

/// What an administrator types: `start` does nothing on a joined machine, `restart` runs nodestrap again, and with it the
/// kubelet where its unit requires the other one.
fn by_hand(net: &BootNetwork, system: &str, version: &str) -> String {
    for dependency in ["", "Requires"] {
        let machine = Machine::new(net, system, &format!("hand{}-{version}", dependency.to_lowercase()));
        depend(&machine, dependency);
        let mut boot = machine.boot(&[net.join_credential()]);
        boot.kubelet();
        let expect = |boot: &mut Running, words: &[&str], expected: (usize, usize)| {
            boot.run(words);
            settle();
            assert_eq!((attempts(&machine), kubelet_starts(&machine)), expected, "{dependency:?}: {words:?}");
        };
        expect(&mut boot, &["systemctl", "start", "nodestrap.service"], (1, 1));
        let required = usize::from(!dependency.is_empty());
        expect(&mut boot, &["systemctl", "restart", "nodestrap.service"], (2, 1 + required));
        // What an administrator has stopped stays so.
        expect(&mut boot, &["systemctl", "stop", "kubelet.service"], (2, 1 + required));
        boot.shut_down();
    }
    String::new()
}
