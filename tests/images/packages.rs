//! Packages that come, change and go: what an administrator has decided stays, and so does a kubelet that runs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{process::run, repository::program, scratch::Scratch};
use crate::{Boot, boot_network::BootNetwork, each_systemd, machine::Machine};

pub fn boots() -> Vec<Boot> {
    let rpm: Boot = ("packages: .rpm keeps what was decided", rpm_states);
    [
        each_systemd!(".deb keeps what was decided", deb_states).as_slice(),
        &each_systemd!(".deb comes and goes beside a kubelet that runs", beside_a_kubelet),
        &[rpm],
    ]
    .concat()
}

const CLONE: &str = env!("CARGO_MANIFEST_DIR");

/// Packages of this clone's files, in two versions that differ in nothing else: the older one first.
struct Packages {
    scratch: Scratch,
}

impl Packages {
    fn build(kind: &str) -> Self {
        let scratch = Scratch::new();
        let nfpm = run(Command::new(format!("{CLONE}/.ci/go-tool")).arg("nfpm"));
        let script = r#"
cd "$1"
mkdir stage target
ln -s "$2"/image "$2"/LICENSE-* .
cp "$3" stage/nodestrap
for file in changelog third-party-licences nodestrap.8 nodestrap-report.5; do echo text | gzip >stage/$file.gz; done
for version in 0.1.0 0.2.0; do
    sed "s/VERSION/$version/g; s/DATE/2026-01-01T00:00:00Z/" image/packages/changelog.yaml >target/changelog.yaml
    mkdir $version
    ARCH=amd64 VERSION=$version STAGE=stage "$4" package --config image/packages/nodestrap.yaml --packager "$5" \
        --target $version
done
"#;
        let mut command = Command::new("sh");
        command.args(["-euc", script, "sh"]).arg(scratch.path()).arg(CLONE).arg(program());
        run(command.arg(nfpm.trim()).arg(kind));
        Self { scratch }
    }

    fn file(&self, version: &str) -> PathBuf {
        let mut entries = fs::read_dir(self.scratch.path().join(version)).unwrap();
        entries.next().unwrap().unwrap().path()
    }
}

const OLD: &str = "0.1.0";
const NEW: &str = "0.2.0";

/// What `systemctl is-enabled` says of nodestrap.service below a root.
fn state(root: &Path) -> String {
    let mut command = Command::new("systemctl");
    let output = command.arg("--root").arg(root).args(["is-enabled", "nodestrap.service"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Links below /etc/systemd that lead nowhere.
fn dangling(root: &Path) -> String {
    let script = "cd \"$1\" && find etc/systemd -type l -lname '*nodestrap*' | while read -r link; do
        [ -e \"$1/$(readlink \"$link\")\" ] || echo \"$link\"; done";
    run(Command::new("sh").args(["-euc", script, "sh"]).arg(root))
}

/// What nodestrap's packages own or have made below a root.
fn left(root: &Path) -> String {
    let script = "cd \"$1\" && find etc usr -name '*nodestrap*' ! -name 'nodestrap*.deb'";
    run(Command::new("sh").args(["-euc", script, "sh"]).arg(root))
}

/// Goes through each decision of an administrator's and each change of the package, by what installs and removes it.
fn states(machine: &Machine, install: &dyn Fn(&str), remove: &dyn Fn(), purge: &dyn Fn()) {
    let root = machine.root();
    for (verb, expected) in [("enable", "enabled"), ("disable", "disabled"), ("mask", "masked")] {
        install(OLD);
        assert_eq!(state(&root), "disabled", "a package enables nothing");
        machine.systemctl(&[verb, "nodestrap.service"]);
        for version in [NEW, OLD, OLD] {
            install(version);
            assert_eq!(state(&root), expected, "after {version}");
        }
        remove();
        assert_eq!(dangling(&root), "", "{verb}");
        purge();
        assert_eq!(left(&root), "", "{verb}");
    }
}

fn deb_states(net: &BootNetwork, system: &str, version: &str) -> String {
    let machine = Machine::without_nodestrap(net, system, &format!("deb{version}"));
    let packages = Packages::build("deb");
    for version in [OLD, NEW] {
        machine.put(&format!("/{version}.deb"), 0o644, fs::read(packages.file(version)).unwrap());
    }
    let dpkg = |words: &[&str]| {
        run(Command::new("chroot").arg(machine.root()).arg("dpkg").args(words));
    };
    let install = |version: &str| dpkg(&["--install", &format!("/{version}.deb")]);
    states(&machine, &install, &|| dpkg(&["--remove", "nodestrap"]), &|| dpkg(&["--purge", "nodestrap"]));
    String::new()
}

fn rpm_states(net: &BootNetwork) -> String {
    let machine = Machine::without_nodestrap(net, "bookworm", "rpm");
    let packages = Packages::build("rpm");
    let rpm = |words: &[&str]| {
        let mut command = Command::new("rpm");
        command.arg("--root").arg(machine.root()).args(["--dbpath", "/var/lib/rpm", "--nodeps"]);
        run(command.args(words));
    };
    let upgrade = ["--upgrade", "--oldpackage", "--replacepkgs"];
    let install = |version: &str| {
        rpm(&[upgrade.as_slice(), &[packages.file(version).to_str().unwrap()]].concat());
    };
    let erase = || {
        rpm(&["--erase", "nodestrap"]);
        // What rpm has no word for: its erase leaves an administrator's mask.
        let _ = fs::remove_file(machine.file("/etc/systemd/system/nodestrap.service"));
    };
    states(&machine, &install, &erase, &|| ());
    String::new()
}

/// The kubelet requires nodestrap's unit, and is the same process from the join on until the package has gone.
fn beside_a_kubelet(net: &BootNetwork, system: &str, version: &str) -> String {
    let machine = Machine::without_nodestrap(net, system, &format!("running{version}"));
    let packages = Packages::build("deb");
    for version in [OLD, NEW] {
        machine.put(&format!("/{version}.deb"), 0o644, fs::read(packages.file(version)).unwrap());
    }
    let drop_in = "[Unit]\nRequires=nodestrap.service\n";
    machine.put("/etc/systemd/system/kubelet.service.d/50-somebody.conf", 0o644, drop_in);
    run(Command::new("chroot").arg(machine.root()).args(["dpkg", "--install", "/0.1.0.deb"]));
    machine.enable();
    let mut boot = machine.boot(&[net.join_credential()]);
    boot.kubelet();
    let process = ["systemctl", "show", "--property=ActiveState,MainPID", "kubelet.service"];
    let kubelet = boot.run(&process);
    assert!(kubelet.contains("ActiveState=active"), "{kubelet}");
    for words in ["--install /0.2.0.deb", "--install /0.1.0.deb", "--install /0.1.0.deb", "--purge nodestrap"]
    {
        let words: Vec<_> = std::iter::once("dpkg").chain(words.split(' ')).collect();
        boot.run(&words);
        assert_eq!(boot.run(&process), kubelet, "{words:?}");
    }
    boot.shut_down();
    String::new()
}
