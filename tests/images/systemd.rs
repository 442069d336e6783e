//! Boots by systemd: from the credential to the kubelet's start, and what happens when something is in the way.

use crate::{lab::Lab, machine::Machine};

pub const BOOTS: &[crate::Boot] = &[
    ("systemd 252: a join line as a credential", |lab| credential(lab, "bookworm", "n252")),
    ("systemd 257: a join line as a credential", |lab| credential(lab, "trixie", "n257")),
];

fn join_line(lab: &Lab) -> String {
    format!("--set-credential=nodestrap.join:kubeadm join {}", lab.cluster.token().arguments.join(" "))
}

fn credential(lab: &Lab, system: &str, name: &str) -> String {
    let machine = Machine::new(lab, system, name);
    let mut boot = machine.boot(&[join_line(lab)]);
    let report = boot.kubelet();
    assert_eq!(report["outcome"], "joined");
    assert_eq!(report["requests"], 3);
    machine.assert_joined(lab);
    boot.shut_down();
    format!("{} ms in nodestrap", report["milliseconds"]["total"])
}
