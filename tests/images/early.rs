//! Boots in which nodestrap comes before the root's own first program, and such that need a whole machine: firmware,
//! clock, another processor.

use crate::{
    lab::Lab,
    qemu::{Board, Emulated, Run, figures},
};

pub const BOOTS: &[crate::Boot] = &[
    ("microvm: a join line on the kernel command line, into a disk", |lab| {
        bare(lab, Board::Microvm, "microvm")
    }),
    ("aarch64: a join line on the kernel command line, into a disk", |lab| bare(lab, Board::Arm, "aarch64")),
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
    let mut run = machine.boot();
    let told = joined(&mut run);
    machine.assert_joined();
    told
}

/// Waits for the root's first program, which finds the machine joined, and for the end.
fn joined(run: &mut Run) -> String {
    assert_eq!(run.line_with("the root is up"), "the root is up, joined", "{}", run.console());
    let report = run.report();
    assert_eq!(report["outcome"], "joined");
    run.ends();
    figures(&report)
}
