//! Boots of images that learn how to join from cloud-init, Ignition or a container's layer.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{process::run, repository::program, scratch::Scratch};
use crate::{
    boot_network::{BootNetwork, rootfs},
    machine::Machine,
    readme::{block, of},
    systemd::joins,
};

pub const BOOTS: &[crate::Boot] = &[
    ("cloud-init: user-data of a NoCloud seed", cloud_init),
    ("Ignition: unit, drop-in and credential onto a disk", ignition),
    ("container: a layer copied into an image", container),
    ("image/README.md: installed on a running system", installed),
    ("image/README.md: a golden image", golden),
    ("README.md: quick start", quick_start),
];

/// A file of image/.
pub fn image(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("image").join(name)
}

/// The example's join line with this net's address, token and pin in place of its own.
pub fn filled(net: &BootNetwork, text: &str) -> String {
    let token = net.cluster.token();
    let filled = text
        .replace("10.0.0.1:6443", &token.arguments[0])
        .replace("abcdef.0123456789abcdef", &token.value)
        .replace(&format!("sha256:{}", "0".repeat(64)), &token.pin);
    assert!(filled.contains(&token.value) && filled.contains(&token.pin), "the example has a join line");
    filled
}

fn cloud_init(net: &BootNetwork) -> String {
    let user_data = fs::read_to_string(image("cloud-init/user-data")).unwrap();
    assert!(user_data.len() < 16 * 1024);
    let is_comment = |line: &str| line.trim_start().starts_with("# ");
    let shown: String = user_data.split_inclusive('\n').filter(|line| !is_comment(line)).collect();
    assert_eq!(
        block("## cloud-init", 0),
        shown.replace(&"0".repeat(64), "…"),
        "image/README.md shows the file"
    );
    let short = of("README.md", "## Quick start: cloud-init", 0);
    assert!(shown.replace(&"0".repeat(64), "…").starts_with(&short), "README.md shows how it begins");
    let machine = Machine::new(net, "cloud", "cloud1");
    machine.copy("systemd/nodestrap.service.d/30-remove-credentials.conf", "/usr/lib/systemd/system");
    machine.put("/tmp/user-data", 0o600, &user_data);
    let schema = ["cloud-init", "schema", "--config-file", "/tmp/user-data"];
    let said = run(Command::new("chroot").arg(machine.root()).args(schema));
    assert!(said.contains("Valid cloud-config"), "{said}");

    let seed = "/var/lib/cloud/seed/nocloud";
    machine.put(&format!("{seed}/meta-data"), 0o644, "instance-id: i-1\nlocal-hostname: cloud1\n");
    machine.put(&format!("{seed}/user-data"), 0o600, filled(net, &user_data));
    // Nobody gives out addresses in the net, and the root file system has no locales.
    let local = "datasource_list: [NoCloud]\nnetwork: {config: disabled}\nlocale: false\n";
    machine.put("/etc/cloud/cloud.cfg.d/99-net.cfg", 0o644, local);
    let figures = joins(net, &machine, &[]);
    assert!(!machine.file("/etc/credstore/nodestrap.join").exists(), "the token is gone");
    assert!(machine.file("/var/lib/kubelet/config.yaml").exists(), "as --with-kubelet-config");
    let report = machine.boot(&[]).kubelet();
    assert_eq!(report["outcome"], "already-joined", "a joined node does not miss it");
    figures
}

/// The example for Ignition, with this net's join line in it.
pub fn ignition_config(net: &BootNetwork) -> String {
    const ENCODED: [(&str, &str); 3] = [(" ", "%20"), (":", "%3A"), ("\n", "%0A")];
    let mut config: Value = serde_json::from_slice(&fs::read(image("ignition/config.ign")).unwrap()).unwrap();
    let validate = rootfs("ignition").join("usr/bin/ignition-validate");
    assert_eq!(run(Command::new(validate).arg(image("ignition/config.ign"))), "");
    for (pointer, file) in [
        ("/systemd/units/0/contents", "systemd/nodestrap.service"),
        ("/systemd/units/1/dropins/0/contents", "systemd/kubelet.service.d/20-nodestrap.conf"),
    ] {
        let text = fs::read_to_string(image(file)).unwrap();
        assert_eq!(config.pointer(pointer), Some(&json!(text)), "config.ign has {file} as it is");
    }
    let source = &mut config["storage"]["files"][0]["contents"]["source"];
    let line = source.as_str().and_then(|source| source.strip_prefix("data:,")).unwrap().to_owned();
    let line = ENCODED.iter().fold(line, |line, (plain, encoded)| line.replace(encoded, plain));
    let line = ENCODED.iter().fold(filled(net, &line), |line, (plain, encoded)| line.replace(plain, encoded));
    *source = format!("data:,{line}").into();
    config.to_string()
}

/// Butane makes of the example for it, in both variants, what the example for Ignition has, and a file of arguments.
fn assert_butane_makes_the_same() {
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/go-tool");
    let butane = run(Command::new(tool).arg("butane"));
    let fcos = fs::read_to_string(image("ignition/nodestrap.bu")).unwrap();
    let flatcar = fcos.replace("variant: fcos\nversion: 1.5.0", "variant: flatcar\nversion: 1.1.0");
    assert_ne!(fcos, flatcar);
    let example: Value = serde_json::from_slice(&fs::read(image("ignition/config.ign")).unwrap()).unwrap();
    let scratch = Scratch::new();
    for text in [fcos, flatcar] {
        fs::write(scratch.file("nodestrap.bu"), text).unwrap();
        let mut command = Command::new(butane.trim());
        command.args(["--strict", "--files-dir"]).arg(image("")).arg(scratch.file("nodestrap.bu"));
        let made: Value = serde_json::from_str(&run(&mut command)).unwrap();
        assert_eq!(made["systemd"], example["systemd"]);
        let files = |config: &Value| -> Vec<Value> {
            let files = config["storage"]["files"].as_array().expect("files");
            files.iter().map(|file| json!([file["path"], file["mode"]])).collect()
        };
        let arguments = json!(["/etc/default/nodestrap", 0o644]);
        assert_eq!(files(&made), [files(&example), vec![arguments]].concat());
        let source =
            |config: &Value| config["storage"]["files"][0]["contents"]["source"].as_str().unwrap().to_owned();
        let packed = source(&made);
        let packed = packed.strip_prefix("data:;base64,").expect("Butane packs what is shorter then");
        let unpack = "printf %s \"$1\" | base64 -d | gunzip";
        let line = run(Command::new("sh").args(["-euc", unpack, "sh", packed]));
        let plain = source(&example).replace("%20", " ").replace("%3A", ":").replace("%0A", "\n");
        assert_eq!(format!("data:,{line}"), plain);
    }
}

/// Leaves to Ignition what it brings, on a machine that it finds before its first boot.
pub fn leave_to_ignition(machine: &Machine) {
    for path in ["nodestrap.service", "kubelet.service.d/20-nodestrap.conf"] {
        fs::remove_file(machine.file(&format!("/usr/lib/systemd/system/{path}"))).unwrap();
    }
    for unit in ["nodestrap.service", "kubelet.service"] {
        let wants = machine.file("/etc/systemd/system/multi-user.target.wants");
        fs::remove_file(wants.join(unit)).unwrap();
    }
    // A first boot by machine-id(5), at which systemd enables what Ignition's preset names.
    machine.put("/etc/machine-id", 0o444, "uninitialized\n");
    // Ignition relabels what it writes and fails without a policy to do that by.
    machine.put("/etc/selinux/config", 0o644, "SELINUXTYPE=targeted\n");
    machine.put("/etc/selinux/targeted/contexts/files/file_contexts", 0o644, "");
    machine.put("/usr/sbin/setfiles", 0o755, "#!/bin/sh\n");
}

/// Ignition's stages as its initramfs runs them, onto a disk without the unit.
fn ignition(net: &BootNetwork) -> String {
    let ignition = rootfs("ignition").join("usr/lib/dracut/modules.d/30ignition/ignition");
    let machine = Machine::new(net, "bookworm", "ignition1");
    assert_butane_makes_the_same();
    leave_to_ignition(&machine);
    machine.put("/config.ign", 0o600, ignition_config(net));
    let script = r#"
cd "$2"
for stage in fetch-offline fetch kargs disks mount files umount; do
    IGNITION_CONFIG_FILE=$2/config.ign PATH=$2/usr/sbin:$PATH "$1" -platform=file -stage=$stage -root="$2" \
        -config-cache="$2/config.cache" -log-to-stdout
done
rm -r /run/ignition
"#;
    run(Command::new("sh").args(["-euc", script, "sh"]).arg(ignition).arg(machine.root()));
    joins(net, &machine, &[])
}

/// The layer is built as the Containerfile says, and its files lie where an image has them.
fn container(net: &BootNetwork) -> String {
    let machine = Machine::without_nodestrap(net, "bookworm", "container1");
    let build = Scratch::new();
    let script = r#"
context=$1/context
mkdir -p "$context/target/x86_64-unknown-linux-musl/release"
cp "$2" "$context/target/x86_64-unknown-linux-musl/release/nodestrap"
cp -r "$3" "$context/image"
buildah="buildah --root $1/storage --runroot $1/run --storage-driver vfs"
$buildah build --isolation chroot --tag nodestrap --file "$context/image/container/Containerfile" "$context"
layer=$($buildah mount "$($buildah from nodestrap)")
cp -a "$layer/." "$4"
"#;
    run(Command::new("sh")
        .args(["-euc", script, "sh"])
        .arg(build.path())
        .arg(program())
        .arg(image(""))
        .arg(machine.root()));
    machine.enable();
    joins(net, &machine, &[net.join_credential()])
}

/// What image/README.md tells to do on a system, done there.
fn installed(net: &BootNetwork) -> String {
    let machine = Machine::without_nodestrap(net, "trixie", "readme1");
    machine.follow("## systemd");
    joins(net, &machine, &[net.join_credential()])
}

/// What README.md tells first, in an image with the package's files, and its join command as a file.
fn quick_start(net: &BootNetwork) -> String {
    const TITLE: &str = "## Quick start: systemd";
    let machine = Machine::without_nodestrap(net, "trixie", "quick1");
    machine.put("/usr/bin/nodestrap", 0o755, fs::read(program()).unwrap());
    machine.copy("systemd/nodestrap.service", "/usr/lib/systemd/system");
    machine.copy("systemd/50-nodestrap.preset", "/usr/lib/systemd/system-preset");
    machine.copy("systemd/kubelet.service.d/20-nodestrap.conf", "/usr/lib/systemd/system");
    machine.put("/root/join-command", 0o600, net.cluster.token().join_line());
    let command = of("README.md", TITLE, 1);
    let (made, given) = command.split_once('\n').unwrap();
    assert!(made.starts_with("kubeadm token create "), "{made}");
    machine.type_there(&format!("{}\ncd /root\n{given}", of("README.md", TITLE, 0)));
    joins(net, &machine, &[])
}

/// What image/README.md tells to do to a root file system, and what it leaves to the machine.
fn golden(net: &BootNetwork) -> String {
    let machine = Machine::without_nodestrap(net, "bookworm", "golden1");
    let clone = Scratch::new();
    let folder = clone.path();
    std::os::unix::fs::symlink(image(""), folder.join("image")).unwrap();
    fs::copy(program(), folder.join("nodestrap")).unwrap();
    let mut command = Command::new("sh");
    command.args(["-euc", &block("## A golden image", 0)]).current_dir(folder);
    run(command.env("IMAGE", machine.root()));
    joins(net, &machine, &[net.join_credential()])
}
