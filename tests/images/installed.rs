//! What `make release` has made, installed by README's own commands and used.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::readme::{block, command};
use crate::support::{process::run, repository::program, scratch::Scratch};
use crate::{Boot, boot_network::BootNetwork, each_systemd, machine::Machine};

pub fn boots() -> Vec<Boot> {
    [
        each_systemd!("the release's .deb, by apt", by_apt),
        each_systemd!("the release's archive, by hand", by_hand),
        each_systemd!("the release's system extension", by_sysext),
    ]
    .concat()
}

/// The release's folder, which holds the program under test.
fn dist() -> PathBuf {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/dist");
    let name = format!("nodestrap-{}-{}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let released = fs::read(dist.join(name)).expect("what `make release` makes");
    assert!(released == fs::read(program()).unwrap(), "another program is in {}", dist.display());
    dist
}

/// Runs a shell on the disk of a machine that is switched off; `downloads` is its folder then.
fn type_there(machine: &Machine, downloads: &Path, script: &str) -> String {
    let mut command = machine.on_disk();
    command.arg(format!("--bind-ro={}:/mnt", downloads.display())).arg("--chdir=/mnt");
    run(command.args(["bash", "-euc", script]))
}

/// The program answers, and bash completes a flag. These roots leave manuals out.
const USE: &str = r#"
nodestrap --version
. /usr/share/bash-completion/completions/nodestrap
COMP_WORDS=(nodestrap join --with-c) COMP_CWORD=2
"$(complete -p nodestrap | sed -E 's/.*-F ([^ ]+).*/\1/')"
echo "${COMPREPLY[@]}"
"#;

fn by_apt(net: &BootNetwork, system: &str, version: &str) -> String {
    let machine = Machine::without_nodestrap(net, system, &format!("apt{version}"));
    let said = type_there(&machine, &dist(), &[command("README.md", "apt install "), USE.into()].concat());
    let expected = format!("nodestrap {} (", env!("CARGO_PKG_VERSION"));
    assert!(said.contains(&expected) && said.ends_with("\n--with-client-cert\n"), "{said}");
    machine.enable();
    crate::systemd::joins(net, &machine, &[net.join_credential()])
}

fn by_hand(net: &BootNetwork, system: &str, version: &str) -> String {
    let machine = Machine::without_nodestrap(net, system, &format!("archive{version}"));
    let (dist, downloads) = (dist(), Scratch::new());
    let archive = format!("nodestrap-{}-image.tar.gz", env!("CARGO_PKG_VERSION"));
    run(Command::new("tar")
        .arg("-C")
        .arg(downloads.path())
        .args(["--strip-components=1", "-xzf"])
        .arg(dist.join(archive)));
    fs::copy(program(), downloads.file("nodestrap")).unwrap();
    type_there(&machine, downloads.path(), &block("## systemd", 0));
    crate::systemd::joins(net, &machine, &[net.join_credential()])
}

/// Merges the image itself, as systemd does at boot, which a container without loop devices cannot.
fn by_sysext(net: &BootNetwork, system: &str, version: &str) -> String {
    let machine = Machine::without_nodestrap(net, system, &format!("raw{version}"));
    type_there(&machine, &dist(), &command("README.md", "install -D -m 0644 nodestrap-"));
    let script = r#"
mount --make-rshared /
cd "$1"
for directory in dev sys proc; do mount --rbind "/$directory" "$directory"; done
mount -t tmpfs tmpfs run
mkdir run/udev
# Nobody is there who could load units. Systemd 252 loads none.
no_reload=
if chroot . systemd-sysext --help | grep -q -- --no-reload; then no_reload=--no-reload; fi
chroot . systemd-sysext merge $no_reload
chroot . nodestrap --version
chroot . systemd-analyze verify --man=no nodestrap.service nodestrap-start.service
chroot . systemd-sysext unmerge $no_reload
[ ! -e usr/bin/nodestrap ]
"#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-euc", script, "sh"]).arg(machine.root());
    let said = run(&mut command);
    assert!(said.contains(&format!("nodestrap {} (", env!("CARGO_PKG_VERSION"))), "{said}");
    String::new()
}
