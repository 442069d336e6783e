//! Boots by systemd: from the credential to the kubelet's start, and what happens when something is in the way.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

use crate::harness::{
    cluster::{MANUAL, free_port},
    token::Wanted,
};
use crate::support::process::{run, wait_for};
use crate::{
    boot_network::{BootNetwork, SERVER},
    machine::Machine,
};

/// Attempts follow each other at once, as many as it takes.
pub const HURRY: &str = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestartSec=1\n";

/// The drop-in for systemd 254 and later.
const GROWING_PAUSE: &str = "systemd/nodestrap.service.d/40-growing-pause.conf";

pub const BOOTS: &[crate::Boot] = &[
    ("systemd 252: the units verify and score", |net| analyzed(net, "bookworm", "verify252")),
    ("systemd 257: the units verify and score", |net| analyzed(net, "trixie", "verify257")),
    ("systemd 252: a join line as a credential", |net| credential(net, "bookworm", "n252")),
    ("systemd 257: a join line as a credential", |net| credential(net, "trixie", "n257")),
    ("systemd 257: an imported credential", imported),
    ("systemd 252: the API server comes up after the first attempt", |net| late(net, "bookworm", "late252")),
    ("systemd 257: the API server comes up after the first attempt", |net| late(net, "trixie", "late257")),
    ("systemd 252: power cut while the request is pending", |net| power_cut(net, "bookworm", "cut252")),
    ("systemd 257: power cut while the request is pending", |net| power_cut(net, "trixie", "cut257")),
    ("systemd 252: second boot without a network", |net| second_boot(net, "bookworm", "twice252")),
    ("systemd 257: second boot without a network", |net| second_boot(net, "trixie", "twice257")),
    ("systemd 252: second boot without the credential", |net| credential_gone(net, "bookworm", "gone252")),
    ("systemd 257: second boot without the credential", |net| credential_gone(net, "trixie", "gone257")),
    ("systemd 252: a token that has expired", |net| expired(net, "bookworm", "expired252")),
    ("systemd 257: a token that has expired", |net| expired(net, "trixie", "expired257")),
    ("systemd 252: an encrypted token", |net| encrypted(net, "bookworm", "encrypted252")),
    ("systemd 257: an encrypted token", |net| encrypted(net, "trixie", "encrypted257")),
    ("systemd 252: a wrong pin is tried again", |net| wrong_pin(net, "bookworm", "pin252")),
    ("systemd 257: a wrong pin is tried again, after pauses that grow", |net| {
        wrong_pin(net, "trixie", "pin257")
    }),
    ("systemd 252: a wrong command line is not tried again", wrong_command_line),
    ("systemd 252: a kubelet.conf that leads nowhere", dangling),
    ("systemd 252: pki on a tmpfs", tmpfs_pki),
    ("systemd 252: read-only root, writable layer over /etc", read_only_root),
    ("systemd 252: read-only root without that is refused", read_only_etc),
    ("systemd 252: /etc/kubernetes on another file system", other_file_system),
    ("systemd 252: a real kubelet", real_kubelet),
];

/// systemd has nothing to say about the units, and finds the exposure low.
fn analyzed(net: &BootNetwork, system: &str, name: &str) -> String {
    let machine = Machine::new(net, system, name);
    machine.copy("systemd/nodestrap.service.d/20-encrypted-token.conf", "/usr/lib/systemd/system");
    machine.copy("systemd/nodestrap.service.d/30-remove-credentials.conf", "/usr/lib/systemd/system");
    if system != "bookworm" {
        machine.copy("systemd/nodestrap.service.d/10-import-credential.conf", "/usr/lib/systemd/system");
        machine.copy(GROWING_PAUSE, "/usr/lib/systemd/system");
    }
    machine.assert_verified("nodestrap.service");
    for platform in ["gce", "azure", "spiffe"] {
        let unit = format!("nodestrap-jwt-{platform}.service");
        let text = fs::read(crate::provision::image(&format!("systemd/jwt/{unit}"))).unwrap();
        machine.put(&format!("/usr/lib/systemd/system/{unit}"), 0o644, text);
        machine.assert_verified(&unit);
    }
    let security = machine.analyze(&["security", "--offline=true", "--threshold=20", "nodestrap.service"]);
    security.lines().last().unwrap_or_default().trim_start_matches("→ ").to_owned()
}

fn credential(net: &BootNetwork, system: &str, name: &str) -> String {
    let machine = Machine::new(net, system, name);
    let figures = joins(net, &machine, &[net.join_credential()]);
    assert!(figures.contains(" 3 requests,"), "{figures}");
    figures
}

/// Boots until the kubelet has started, and checks that the node has joined.
pub fn joins(net: &BootNetwork, machine: &Machine, extra: &[String]) -> String {
    let mut boot = machine.boot(extra);
    let report = boot.kubelet();
    assert_eq!(report["outcome"], "joined");
    machine.assert_joined(net);
    boot.shut_down();
    machine.figures(&report)
}

/// With the drop-in for systemd 254 and later, whatever credential of the program's the machine has arrives.
fn imported(net: &BootNetwork) -> String {
    let machine = Machine::new(net, "trixie", "import257");
    machine.copy("systemd/nodestrap.service.d/10-import-credential.conf", "/usr/lib/systemd/system");
    let token = token_only(net, &machine);
    joins(net, &machine, &[format!("--set-credential=nodestrap.token:{token}")])
}

/// A token that was encrypted on the machine itself, with the key that its systemd has made.
fn encrypted(net: &BootNetwork, system: &str, name: &str) -> String {
    let machine = Machine::new(net, system, name);
    machine.copy("systemd/nodestrap.service.d/20-encrypted-token.conf", "/usr/lib/systemd/system");
    let token = token_only(net, &machine);
    // The key is good on this machine only, which is known by that.
    run(Command::new("systemd-machine-id-setup").arg("--root").arg(machine.root()));
    machine.put("/etc/token", 0o600, token);
    let encrypt = "mkdir -p /etc/credstore.encrypted && exec systemd-creds encrypt --with-key=host \
        --name=nodestrap.token /etc/token /etc/credstore.encrypted/nodestrap.token";
    run(machine.on_disk().args(["sh", "-euc", encrypt]));
    fs::remove_file(machine.file("/etc/token")).unwrap();
    joins(net, &machine, &[])
}

/// A new token, after the machine has been told everything else that a join line says.
fn token_only(net: &BootNetwork, machine: &Machine) -> String {
    let token = net.cluster.token();
    machine.arguments(&format!("{} --discovery-token-ca-cert-hash {}", token.arguments[0], token.pin));
    token.value
}

/// The unit fails, the kubelet's start is skipped, and the attempt that succeeds starts the kubelet.
fn late(net: &BootNetwork, system: &str, name: &str) -> String {
    let machine = Machine::new(net, system, name);
    let (token, port) = (net.cluster.token(), free_port());
    machine.put("/etc/systemd/system/nodestrap.service.d/hurry.conf", 0o644, HURRY);
    machine.arguments("--discovery-timeout=1s");
    let line = format!("kubeadm join {SERVER}:{port} {}", token.arguments[1..].join(" "));
    let mut boot = machine.boot(&[format!("--set-credential=nodestrap.join:{line}")]);
    boot.journal_with("kubelet.service", "no trigger condition checks were met");
    relay(port, net.cluster.port);
    let report = boot.kubelet();
    assert_eq!(report["outcome"], "joined");
    let journal = machine.journal("nodestrap.service");
    assert!(journal.contains("status=3/"), "the first attempt ends as unreachable: {journal}");
    machine.assert_joined(net);
    boot.shut_down();
    machine.figures(&report)
}

/// Connects every client of a port of the net's with the API server, from now on.
pub fn relay(port: u16, server: u16) {
    let listener = TcpListener::bind((SERVER, port)).unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect((SERVER, server)).unwrap();
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                thread::spawn(move || pump(from, to));
            }
        }
    });
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// The machine loses power while nobody has approved it, and goes on with the same request.
fn power_cut(net: &BootNetwork, system: &str, name: &str) -> String {
    let machine = Machine::new(net, system, name);
    let token = net.cluster.token_with(Wanted { group: MANUAL, ..Wanted::default() });
    let line = format!("--set-credential=nodestrap.join:{}", token.join_line());
    let mut boot = machine.boot(std::slice::from_ref(&line));
    boot.journal_with("nodestrap.service", "is pending; to approve it");
    drop(boot);
    assert!(!machine.file("/etc/kubernetes/kubelet.conf").exists());

    let mut boot = machine.boot(&[line]);
    let approve = net.cluster.request_of(name);
    net.cluster.kubectl(&["certificate", "approve", &approve]);
    let report = boot.kubelet();
    assert_eq!(report["csrName"], approve.as_str());
    let requests = net.cluster.signing_requests();
    assert_eq!(requests.iter().filter(|node| *node == name).count(), 1, "one request for both boots");
    assert!(machine.journal("nodestrap.service").contains("already exists"), "the second boot takes it up");
    machine.assert_joined(net);
    boot.shut_down();
    machine.figures(&report)
}

/// A joined node needs nobody to start its kubelet.
fn second_boot(net: &BootNetwork, system: &str, name: &str) -> String {
    let machine = Machine::new(net, system, name);
    joins(net, &machine, &[net.join_credential()]);
    machine.network.set_connected(false);
    let mut boot = machine.boot(&[net.join_credential()]);
    let report = boot.kubelet();
    assert_eq!(report["outcome"], "already-joined");
    assert_eq!((&report["requests"], &report["handshakes"]), (&0.into(), &0.into()));
    boot.shut_down();
    machine.figures(&report)
}

/// A joined node needs nothing of what it was told by a credential, of whatever kind: neither the credential, nor the
/// network.
fn credential_gone(net: &BootNetwork, system: &str, name: &str) -> String {
    let mut told = Vec::new();
    for kind in ["token", "join", "config"] {
        let machine = Machine::new(net, system, &format!("{kind}-{name}"));
        let token = net.cluster.token();
        let text = match kind {
            "token" => {
                let [endpoint, pin] = [&token.arguments[0], &token.pin];
                machine.arguments(&format!("{endpoint} --discovery-token-ca-cert-hash {pin}"));
                token.value.clone()
            }
            "join" => token.join_line(),
            _ => format!(
                "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ndiscovery:\n  bootstrapToken: \
                 {{token: {}, apiServerEndpoint: '{}', caCertHashes: ['{}']}}\n",
                token.value, token.arguments[0], token.pin
            ),
        };
        let file = format!("/etc/credstore/nodestrap.{kind}");
        machine.put(&file, 0o600, text);
        joins(net, &machine, &[]);
        fs::remove_file(machine.file(&file)).unwrap();
        machine.network.set_connected(false);
        let mut boot = machine.boot(&[]);
        let report = boot.kubelet();
        assert_eq!(report["outcome"], "already-joined", "{kind}");
        assert_eq!((&report["requests"], &report["handshakes"]), (&0.into(), &0.into()), "{kind}");
        boot.shut_down();
        told.push(format!("{kind}: {}", machine.figures(&report)));
    }
    told.join("; ")
}

/// Nothing starts, and the console says why.
fn expired(net: &BootNetwork, system: &str, name: &str) -> String {
    let machine = Machine::new(net, system, name);
    let token = net.cluster.token_with(Wanted { lifetime: Duration::from_secs(5), ..Wanted::default() });
    wait_for("the token's end", || (!net.cluster.is_signed_for(&token)).then_some(()));
    machine.arguments("--discovery-timeout=3s");
    let line = format!("--set-credential=nodestrap.join:{}", token.join_line());
    let mut boot = machine.boot(&[line]);
    boot.journal_with("nodestrap.service", "code=exited, status=4/");
    boot.journal_with("kubelet.service", "no trigger condition checks were met");
    boot.console_with("nodestrap: error: ");
    assert!(!boot.console().contains(&token.value) && !machine.has_kubelet());
    boot.shut_down();
    String::new()
}

/// What does not verify is tried again: whoever made the mistake mends it, and the machine joins.
fn wrong_pin(net: &BootNetwork, system: &str, name: &str) -> String {
    let machine = Machine::new(net, system, name);
    machine.put("/etc/systemd/system/nodestrap.service.d/hurry.conf", 0o644, HURRY);
    if system != "bookworm" {
        machine.copy(GROWING_PAUSE, "/usr/lib/systemd/system");
    }
    let token = net.cluster.token();
    let arguments = |pin: &str| {
        machine.arguments(&format!("{} --discovery-token-ca-cert-hash {pin}", token.arguments[0]));
    };
    arguments(&format!("sha256:{}", "0".repeat(64)));
    let mut boot = machine.boot(&[format!("--set-credential=nodestrap.token:{}", token.value)]);
    boot.journal_with("nodestrap.service", "code=exited, status=5/");
    assert!(!machine.file("/etc/kubernetes/pki/ca.crt").exists() && !machine.has_kubelet());
    arguments(&token.pin);
    let report = boot.kubelet();
    assert_eq!(report["outcome"], "joined");
    machine.assert_joined(net);
    boot.shut_down();
    machine.figures(&report)
}

/// A verdict that waiting does not change ends the unit: nothing is sent every few seconds for ever.
fn wrong_command_line(net: &BootNetwork) -> String {
    let machine = Machine::new(net, "bookworm", "usage252");
    machine.put("/etc/systemd/system/nodestrap.service.d/hurry.conf", 0o644, HURRY);
    machine.arguments("--no-such-flag");
    let mut boot = machine.boot(&[net.join_credential()]);
    boot.journal_with("nodestrap.service", "code=exited, status=2/");
    thread::sleep(Duration::from_secs(3));
    let journal = machine.journal("nodestrap.service");
    assert_eq!(journal.matches("Starting nodestrap.service").count(), 1, "{journal}");
    assert!(!machine.file("/etc/kubernetes/pki/ca.crt").exists() && !machine.has_kubelet());
    boot.shut_down();
    String::new()
}

/// What an image must not have, and a crashed join of some other program may leave: it does not block the join.
fn dangling(net: &BootNetwork) -> String {
    let machine = Machine::new(net, "bookworm", "dangling252");
    machine.put("/etc/kubernetes/kubelet.conf", 0o600, "apiVersion: v1\nkind: Config\n");
    joins(net, &machine, &[net.join_credential()])
}

/// As in systems whose identity does not outlive a boot: each boot joins, with a new certificate.
fn tmpfs_pki(net: &BootNetwork) -> String {
    let machine = Machine::new(net, "bookworm", "tmpfs252");
    let mut figures = String::new();
    for _ in 0..2 {
        let mut boot =
            machine.boot(&[net.join_credential(), "--tmpfs=/var/lib/kubelet/pki:mode=0755".into()]);
        let report = boot.kubelet();
        assert_eq!(report["outcome"], "joined");
        boot.shut_down();
        assert_eq!(fs::read_dir(machine.file("/var/lib/kubelet/pki")).unwrap().count(), 0);
        figures = machine.figures(&report);
    }
    figures
}

/// nspawn's arguments for a root that nothing can write to, but for `/var`.
fn read_only(net: &BootNetwork) -> Vec<String> {
    let places = ["/var/lib", "/var/tmp"].map(|path| format!("--tmpfs={path}:mode=0755"));
    [vec![net.join_credential(), "--read-only".into()], places.to_vec()].concat()
}

fn read_only_root(net: &BootNetwork) -> String {
    let machine = Machine::new(net, "bookworm", "readonly252");
    let extra = [read_only(net), vec!["--overlay=+/etc::/etc".into()]].concat();
    let mut boot = machine.boot(&extra);
    boot.console_with("Started kubelet.service");
    assert!(!machine.file("/etc/kubernetes/kubelet.conf").exists(), "the disk below stays as it was");
    net.cluster.request_of("readonly252");
    boot.shut_down();
    String::new()
}

/// systemd itself says in the journal what is in its way, and nothing is asked of the API server.
fn read_only_etc(net: &BootNetwork) -> String {
    let machine = Machine::new(net, "bookworm", "refused252");
    machine.put("/etc/systemd/journald.conf.d/net.conf", 0o644, "[Journal]\nForwardToConsole=yes\n");
    let mut boot = machine.boot(&read_only(net));
    boot.console_with(
        "nodestrap.service: Failed to set up special execution directory in /etc: Read-only file system",
    );
    boot.console_with("Started console-getty.service");
    assert!(!net.cluster.signing_requests().contains(&machine.name) && !machine.has_kubelet());
    boot.shut_down();
    String::new()
}

fn other_file_system(net: &BootNetwork) -> String {
    let machine = Machine::new(net, "bookworm", "other252");
    let mut boot = machine.boot(&[net.join_credential(), "--tmpfs=/etc/kubernetes:mode=0755".into()]);
    let report = boot.kubelet();
    assert_eq!(report["outcome"], "joined");
    boot.shut_down();
    machine.figures(&report)
}

/// The real kubelet registers its Node from what it finds, and requests no certificate.
fn real_kubelet(net: &BootNetwork) -> String {
    let machine = Machine::new(net, "bookworm", "real252");
    machine.real_kubelet();
    machine.arguments(&format!("--with-kubelet-config --cri-socket={}", net.runtime()));
    let mut boot = machine.boot(&[vec![net.join_credential()], net.for_kubelet()].concat());
    boot.journal_with("kubelet.service", "Successfully registered node");
    net.cluster.request_of("real252");
    let told = machine.figures_of_kubelet("nodestrap.service");
    boot.shut_down();
    told
}
