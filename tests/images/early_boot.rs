//! Boots in which nodestrap comes before the root's own first program, and such that need a whole machine: firmware,
//! clock, another processor.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::harness::{cluster::MANUAL, token::Wanted};
use crate::support::process::{run, wait_for};
use crate::{
    boot_network::{BootNetwork, SERVER},
    machine::{Machine, between, journal},
    qemu::{Board, Emulated, Gate, Run, figures, ready_made},
    readme::block,
};

pub const BOOTS: &[crate::Boot] = &[
    ("microvm: a join line on the kernel command line, into a disk", |net| {
        bare(net, Board::Microvm, "microvm")
    }),
    ("aarch64: a join line on the kernel command line, into a disk", |net| {
        assert_moves_anywhere(&Board::Arm.nodestrap());
        bare(net, Board::Arm, "aarch64")
    }),
    ("iPXE: the token as a file, into a disk", |net| network_boot(net, "pxe-disk", "/dev/vda")),
    ("iPXE: the token as a file, into memory", |net| network_boot(net, "pxe-memory", "tmpfs")),
    ("clock: of 2035, no certificate holds and the boot goes on", after_all_certificates),
    ("clock: of 1970, set while nodestrap waits", before_all_certificates),
    ("clock: steps of three days, there and back, while the request is pending", clock_that_steps),
    ("clock: back by three days before cluster-info is answered", clock_that_goes_back),
    ("systemd: a clock of 1970, set after the first attempt", clock_under_systemd),
    ("systemd: a credential by SMBIOS", |net| from_firmware(net, "smbios", &["-smbios", &smbios(net)])),
    ("systemd: a credential by fw_cfg", |net| {
        let text = format!(
            "name=opt/io.systemd.credentials/nodestrap.join,string={}",
            net.cluster.token().join_line()
        );
        from_firmware(net, "fw-cfg", &["-fw_cfg", &text])
    }),
];

/// Where an initramfs of image/pxe is and what it does there; the address is what QEMU's own DHCP would give.
pub const DISK: &str = "root=/dev/vda rw ip=10.99.0.15:::255.255.255.0::eth0:none:";

/// As a credential in a string of the firmware's.
pub fn smbios(net: &BootNetwork) -> String {
    format!("type=11,value=io.systemd.credential:nodestrap.join={}", net.cluster.token().join_line())
}

/// On the kernel command line, with `more` flags.
pub fn parameter(net: &BootNetwork, more: &str) -> String {
    format!("nodestrap.join=\"{} {more}\"", net.cluster.token().join_line())
}

fn bare(net: &BootNetwork, board: Board, name: &str) -> String {
    let machine = Emulated::new(net, board, name);
    let initramfs = machine.initramfs("");
    let root = machine.bare_root();
    let machine = machine.disk(&root).kernel(&initramfs, &format!("{DISK} {}", parameter(net, "")));
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

/// What the unit's control group has read from the disk before nodestrap starts and after it has ended. The shell has
/// been read by the first time.
const IO_ACCOUNTING: &str = "\
[Service]
IOAccounting=yes
ExecStartPre=+/bin/sh -c 'read -r line <$STAT; echo \"$line\" >/run/nodestrap/io.before'
ExecStartPost=+/bin/sh -c 'read -r line <$STAT; echo \"$line\" >/run/nodestrap/io.after'
Environment=STAT=/sys/fs/cgroup/system.slice/nodestrap.service/io.stat
";

/// Stands for the kubelet: shows what it finds, and ends the machine.
pub const KUBELET: &str = r#"#!/bin/sh
for file in /etc/kubernetes/kubelet.conf /etc/kubernetes/pki/ca.crt /var/lib/kubelet/pki/kubelet-client-current.pem; do
    test -s "$file" || exit 1
done
echo "unit's report: $(cat /run/nodestrap/report.json)" >/dev/console
if [ -e /run/initramfs/nodestrap.json ]; then echo "report: $(cat /run/initramfs/nodestrap.json)" >/dev/console; fi
echo "from disk: $(cat /run/nodestrap/io.before) until $(cat /run/nodestrap/io.after)" >/dev/console
echo "the kubelet starts" >/dev/console
systemctl --no-block poweroff
exec sleep infinity
"#;

/// A disk with the root file system `kind`, nodestrap's unit and a kubelet.
pub fn system(net: &BootNetwork, kind: &str, name: &str) -> Machine {
    let system = Machine::new(net, kind, name);
    // Before what systemd itself makes of the kernel's ip=.
    system.put("/etc/systemd/network/10-ethernet.network", 0o644, NETWORK);
    system.put("/usr/bin/kubelet", 0o755, KUBELET);
    // What is mounted read-only at first becomes writable by this.
    system.put("/etc/fstab", 0o644, "/dev/vda / ext4 defaults 0 0\n");
    // A network that never comes holds the boot for no longer than that.
    let drop_in = "/etc/systemd/system/systemd-networkd-wait-online.service.d/timeout.conf";
    let start = "ExecStart=/lib/systemd/systemd-networkd-wait-online --any --timeout=30";
    system.put(drop_in, 0o644, format!("[Service]\nExecStart=\n{start}\n"));
    system.put("/etc/systemd/system/nodestrap.service.d/net.conf", 0o644, IO_ACCOUNTING);
    let mut enable = Command::new("systemctl");
    enable.arg("--root").arg(system.root()).args(["enable", "--quiet"]);
    run(enable.args(["systemd-networkd", "systemd-networkd-wait-online"]));
    // It would write between the lines that are waited for.
    run(Command::new("systemctl").arg("--root").arg(system.root()).args([
        "mask",
        "-q",
        "serial-getty@ttyS0",
    ]));
    system
}

fn from_firmware(net: &BootNetwork, name: &str, arguments: &[&str]) -> String {
    let machine = Emulated::new(net, Board::Pc, name);
    // systemd finds what these two show.
    let initramfs = machine.initramfs("dmi-sysfs qemu_fw_cfg");
    let machine = machine.disk(&system(net, "bookworm", name).root());
    by_unit(&machine.kernel(&initramfs, "root=/dev/vda").with(arguments))
}

/// Boots until the unit has joined the machine and the kubelet has started, and to the end.
pub fn by_unit(machine: &Emulated) -> String {
    let mut boot = machine.boot();
    by_unit_of(machine, &mut boot)
}

pub fn by_unit_of(machine: &Emulated, boot: &mut Run) -> String {
    boot.line_with("the kubelet starts");
    let report = boot.report("unit's report: ");
    assert_eq!(report["outcome"], "joined");
    let read = bytes_read(&boot.line_with("from disk: "));
    boot.ends();
    machine.assert_joined();
    machine.on_disk(|root| {
        let whole = between(root, "nodestrap.service", "Started kubelet.service");
        format!("{whole}, {}, {} KiB from disk", figures(&report), read / 1024)
    })
}

/// What nodestrap has read, whose cache was as cold as the machine, by the kernel's `io.stat` before and after it.
fn bytes_read(line: &str) -> u64 {
    let (before, after) = line.split_once(" until ").unwrap();
    let bytes =
        |line: &str| line.split(' ').find_map(|word| word.strip_prefix("rbytes=")?.parse::<u64>().ok());
    bytes(after).expect("the program was read from the disk") - bytes(before).unwrap_or(0)
}

/// systemd puts the clock to the time of its own making, which is before nodestrap's.
fn clock_under_systemd(net: &BootNetwork) -> String {
    let name = "clock-systemd";
    let system = system(net, "bookworm", name);
    system.arguments("--discovery-timeout=5s");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let set = format!("[Service]\nRestartSec=1\nExecStopPost=+/bin/date -s @{now}\n");
    system.put("/etc/systemd/system/nodestrap.service.d/clock.conf", 0o644, set);
    let machine = Emulated::new(net, Board::Pc, name);
    let initramfs = machine.initramfs("dmi-sysfs");
    let machine = machine.disk(&system.root()).kernel(&initramfs, "root=/dev/vda");
    let machine = machine.with(&["-smbios", &smbios(net), "-rtc", "base=1970-01-01T00:00:00"]);
    let told = by_unit(&machine);
    let ends = machine.on_disk(|root| journal(root, &["-u", "nodestrap.service", "--grep", "status=9/"]));
    assert_eq!(ends.lines().filter(|line| line.contains("status=9/")).count(), 1, "{ends}");
    told
}

/// The first program of an initramfs, with something that happens to the clock beside nodestrap.
const CLOCK: &str = "\
#!/bin/busybox sh
/bin/busybox mkdir -p /dev
/bin/busybox mount -t devtmpfs devtmpfs /dev
(
CHANGES
) &
exec /init
";

/// Three days forward, and back again, for as long as the machine runs. By the clock, every time-out is over at once.
const STEPS: &str = "\
while :; do
    for step in 259200 -259200; do
        /bin/busybox sleep 1
        now=$(/bin/busybox date +%s)
        /bin/busybox date -s @$((now + step)) >/dev/null
        echo \"the clock steps by $step s\" >/dev/console
    done
done";

/// Three days back while the first question is on its way, and right again when the test says so.
const BACK: &str = "step() {
    now=$(/bin/busybox date +%s)
    /bin/busybox date -s @$((now + $1)) >/dev/null
    echo \"the clock steps by $1 s\" >/dev/console
}
until /bin/busybox grep -qs ' 01 ' /proc/net/tcp; do /bin/busybox sleep 0.1; done
step -259200
/bin/busybox nc SERVER 1 </dev/null
step 259200";

/// Puts a first program `/clock`, with these changes, into the initramfs.
fn with_clock(machine: &Emulated, initramfs: &Path, changes: &str) {
    let tree = machine.scratch.path().join("clock");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("clock"), CLOCK.replace("CHANGES", changes)).unwrap();
    // The kernel unpacks one archive after the other.
    let script = "cd \"$1\" && chmod 0755 clock && echo clock | cpio --quiet -o -H newc | gzip >>\"$2\"";
    run(Command::new("sh").args(["-euc", script, "sh"]).arg(&tree).arg(initramfs));
}

fn after_all_certificates(net: &BootNetwork) -> String {
    let machine = Emulated::new(net, Board::Pc, "clock-2035");
    let initramfs = machine.initramfs("");
    let root = machine.bare_root();
    let line = format!("{DISK} {}", parameter(net, "--discovery-timeout 10s"));
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

fn before_all_certificates(net: &BootNetwork) -> String {
    let machine = Emulated::new(net, Board::Pc, "clock-1970");
    machine.shut(Gate::Nothing);
    let initramfs = machine.initramfs("");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    // Once the test says so; before that there may be no network either.
    let wait = format!("until /bin/busybox nc {SERVER} 1 </dev/null; do /bin/busybox sleep 0.1; done");
    with_clock(&machine, &initramfs, &format!("{wait}; /bin/busybox date -s @{now}"));
    let root = machine.bare_root();
    let line = format!("rdinit=/clock {DISK} {}", parameter(net, ""));
    let machine = machine.disk(&root).kernel(&initramfs, &line).with(&["-rtc", "base=1970-01-01T00:00:00"]);
    let mut boot = machine.boot();
    let built = ", nodestrap was built at ";
    boot.line_with(built);
    machine.assert_never_asked();
    machine.open(Gate::Nothing);
    let told = joined(&mut boot);
    let said = boot.console().matches(built).count();
    assert_eq!(said, 1, "once is enough:\n{}", boot.console());
    machine.assert_joined();
    told
}

/// Waits go by the time that has run, whatever the clock says: none ends early, and the request stays the same.
fn clock_that_steps(net: &BootNetwork) -> String {
    let name = "clock-steps";
    let machine = Emulated::new(net, Board::Microvm, name);
    let initramfs = machine.initramfs("");
    with_clock(&machine, &initramfs, STEPS);
    let root = machine.bare_root();
    let token = net.cluster.token_with(Wanted { group: MANUAL, ..Wanted::default() });
    let join = format!("rdinit=/clock {DISK} nodestrap.join=\"{}\"", token.join_line());
    let machine = machine.disk(&root).kernel(&initramfs, &join);
    let mut boot = machine.boot();
    boot.line_with("is pending; to approve it");
    let steps = |boot: &Run| boot.console().matches("the clock steps").count();
    let pending = steps(&boot);
    wait_for("six steps of the clock", || (steps(&boot) >= pending + 6).then_some(()));
    let request = net.cluster.request_of(name);
    net.cluster.kubectl(&["certificate", "approve", &request]);
    let told = joined(&mut boot);
    assert!(!boot.console().contains("retrying"), "nothing went wrong:\n{}", boot.console());
    let requests = net.cluster.signing_requests();
    assert_eq!(requests.iter().filter(|node| *node == name).count(), 1, "one request");
    machine.assert_joined();
    told
}

/// What comes is judged by the clock as it is then: no token goes out before that is right again.
fn clock_that_goes_back(net: &BootNetwork) -> String {
    let machine = Emulated::new(net, Board::Microvm, "clock-back");
    machine.shut(Gate::Server);
    machine.shut(Gate::Nothing);
    let initramfs = machine.initramfs("");
    with_clock(&machine, &initramfs, &BACK.replace("SERVER", SERVER));
    let root = machine.bare_root();
    let line = format!("rdinit=/clock {DISK} {}", parameter(net, ""));
    let machine = machine.disk(&root).kernel(&initramfs, &line);
    let mut boot = machine.boot();
    boot.line_with("the clock steps by -259200 s");
    machine.open(Gate::Server);
    boot.line_with("set the clock; retrying");
    machine.assert_never_asked();
    machine.open(Gate::Nothing);
    let told = joined(&mut boot);
    let console = boot.console();
    assert_eq!(console.matches("retrying").count(), 1, "that and nothing else:\n{console}");
    let (wrong, right) = console.split_once("the clock steps by 259200 s").expect("the clock was set");
    assert!(!wrong.contains("request:") && right.contains("request:"), "{console}");
    machine.assert_joined();
    told
}

/// Boots by image/pxe's own script, with the cluster's address and pin put in: QEMU's iPXE, DHCP and TFTP.
fn network_boot(net: &BootNetwork, name: &str, root: &str) -> String {
    let machine = Emulated::new(net, Board::Pc, name);
    let initramfs = machine.initramfs("");
    let directory = machine.scratch.path().join("tftp");
    fs::create_dir_all(directory.join("tokens")).unwrap();
    fs::rename(initramfs, directory.join("initramfs")).unwrap();
    fs::copy(ready_made("amd64").join("vmlinuz"), directory.join("vmlinuz")).unwrap();
    let tree = machine.bare_root();
    // Without a line break at its end, and with quotes in quotes.
    let variables = "NODESTRAP_ARGS=\"--with-kubelet-config --taint='example.com/pxe:NoSchedule'\"";
    // What both files set, the second one decides.
    for (folder, text) in [("sysconfig", "NODESTRAP_ARGS=--no-such-flag \\"), ("default", variables)] {
        fs::create_dir_all(tree.join("etc").join(folder)).unwrap();
        fs::write(tree.join("etc").join(folder).join("nodestrap"), text).unwrap();
    }
    run(Command::new("tar").arg("-C").arg(&tree).arg("-cf").arg(directory.join("root.tar")).arg("."));
    let token = net.cluster.token();
    // QEMU's first card.
    fs::write(directory.join("tokens/52-54-00-12-34-56"), format!("{}\n", token.value)).unwrap();
    let script = include_str!("../../image/pxe/nodestrap.ipxe");
    assert!(script.contains(&block("### PXE", 1)), "image/README.md shows lines of the script");
    let zeros = format!("sha256:{}", "0".repeat(64));
    let mut script = script.replace("10.0.0.1:6443", &net.cluster.address()).replace(&zeros, &token.pin);
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
        let flags = |root: &Path| fs::read_to_string(root.join("var/lib/kubelet/kubeadm-flags.env"));
        assert!(
            machine.on_disk(flags).unwrap().contains("--register-with-taints=example.com/pxe:NoSchedule")
        );
    }
    assert!(net.cluster.signing_requests().contains(&name.to_owned()));
    told
}
