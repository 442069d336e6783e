//! What `.ci/release` has put into target/dist, as somebody who takes it would find it: checksums, packages that come and
//! go without a trace, a bill of materials, symbols that fit, and nothing of the machine that built it.

#[path = "support/locks.rs"]
mod locks;
#[path = "support/scratch.rs"]
#[allow(dead_code, reason = "each test program uses its own part of it")]
mod scratch;

#[path = "release/images.rs"]
mod images;
#[path = "release/signature.rs"]
mod signature;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use scratch::{Scratch, tree};
use serde_json::Value;

const NODESTRAP: &[&str] = &[
    "-rwxr-xr-x usr/bin/nodestrap",
    "-rw-r--r-- usr/lib/systemd/system/kubelet.service.d/20-nodestrap.conf",
    "-rw-r--r-- usr/lib/nodestrap/join-root.sh",
    "-rw-r--r-- usr/lib/systemd/system/nodestrap.service",
    "-rw-r--r-- usr/lib/systemd/system-preset/50-nodestrap.preset",
    "-rw-r--r-- usr/share/bash-completion/completions/nodestrap",
    "-rw-r--r-- usr/share/doc/nodestrap/changelog.gz",
    "-rw-r--r-- usr/share/doc/nodestrap/copyright",
    "-rw-r--r-- usr/share/doc/nodestrap/examples/nodestrap.service.d/10-import-credential.conf",
    "-rw-r--r-- usr/share/doc/nodestrap/examples/nodestrap.service.d/20-encrypted-token.conf",
    "-rw-r--r-- usr/share/doc/nodestrap/examples/nodestrap.service.d/30-remove-credentials.conf",
    "-rw-r--r-- usr/share/doc/nodestrap/examples/nodestrap.service.d/40-growing-pause.conf",
    "-rw-r--r-- usr/share/doc/nodestrap/nodestrap-report.schema.json",
    "-rw-r--r-- usr/share/doc/nodestrap/third-party-licences.gz",
    "-rw-r--r-- usr/share/man/man5/nodestrap-report.5.gz",
    "-rw-r--r-- usr/share/fish/vendor_completions.d/nodestrap.fish",
    "-rw-r--r-- usr/share/man/man8/nodestrap.8.gz",
];
/// Distributions look for zsh's functions in different directories.
const ZSH_OF_DEBIAN: &[&str] = &["-rw-r--r-- usr/share/zsh/vendor-completions/_nodestrap"];
const ZSH: &[&str] = &["-rw-r--r-- usr/share/zsh/site-functions/_nodestrap"];
const LICENCES: &[&str] = &[
    "-rw-r--r-- usr/share/licenses/nodestrap/LICENSE-APACHE",
    "-rw-r--r-- usr/share/licenses/nodestrap/LICENSE-MIT",
];
const DRACUT: &[&str] = &[
    "-rwxr-xr-x usr/lib/dracut/modules.d/99nodestrap/ask-for-network.sh",
    "-rwxr-xr-x usr/lib/dracut/modules.d/99nodestrap/give-up.sh",
    "-rwxr-xr-x usr/lib/dracut/modules.d/99nodestrap/join.sh",
    "-rwxr-xr-x usr/lib/dracut/modules.d/99nodestrap/module-setup.sh",
    "-rw-r--r-- usr/lib/systemd/system/nodestrap-relabel.service",
];
const INITRAMFS_TOOLS: &[&str] = &[
    "-rwxr-xr-x usr/share/initramfs-tools/hooks/nodestrap",
    "-rwxr-xr-x usr/share/initramfs-tools/scripts/local-bottom/nodestrap",
];
/// What is in a .deb only.
const DEBIAN: &[&str] = &[
    "-rw-r--r-- usr/share/doc/nodestrap/changelog.Debian.gz",
    "-rw-r--r-- usr/share/doc/nodestrap-dracut/changelog.Debian.gz",
    "-rw-r--r-- usr/share/doc/nodestrap-dracut/copyright",
    "-rw-r--r-- usr/share/doc/nodestrap-initramfs-tools/changelog.Debian.gz",
    "-rw-r--r-- usr/share/doc/nodestrap-initramfs-tools/copyright",
];

fn clone() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn dist() -> PathBuf {
    clone().join("target/dist")
}

/// The artifacts' paths, by the end of their names.
fn artifacts(end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dist()).expect("make release has been run");
    let mut found: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().ends_with(end))
        .collect();
    found.sort();
    found
}

/// The machines that were built for, by the files of their symbols.
fn machines() -> Vec<(String, PathBuf)> {
    let found: Vec<_> = artifacts(".debug")
        .into_iter()
        .map(|debug| {
            let program = debug.with_extension("");
            let name = program.to_string_lossy().rsplit_once('-').expect("NAME-VERSION-MACHINE").1.to_owned();
            (name, program)
        })
        .collect();
    assert!(!found.is_empty(), "no program in {}", dist().display());
    found
}

/// What a program that ends well prints.
fn output(program: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(clone());
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The one artifact of this name and end for this machine.
fn one(start: &str, end: &str) -> String {
    let fits =
        |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
    let all = artifacts(end);
    let found: Vec<_> = all.iter().filter(fits).collect();
    assert_eq!(found.len(), 1, "{start}*{end}: {found:?}");
    found[0].display().to_string()
}

/// Files and links below the root, without the package manager's own and folders that are there anyway.
fn installed(root: &Path) -> BTreeSet<String> {
    let own = |line: &String| {
        ["var/", "bin/", "dev/", "usr/bin/systemctl"].iter().any(|own| line[11..].starts_with(own))
    };
    tree(root).into_iter().filter(|line| !line.starts_with('d') && !own(line)).collect()
}

fn folders(root: &Path) -> Vec<String> {
    tree(root).into_iter().filter(|line| line.starts_with('d') && line.contains("nodestrap")).collect()
}

fn set(lists: &[&[&str]]) -> BTreeSet<String> {
    lists.concat().into_iter().map(str::to_owned).collect()
}

/// The machine that tests run on.
const HERE: &str = std::env::consts::ARCH;

/// The Debian package of nodestrap for it.
fn deb_here() -> String {
    one("nodestrap_", if HERE == "x86_64" { "_amd64.deb" } else { "_arm64.deb" })
}

#[test]
fn the_checksums_hold_and_cover_everything() {
    let sums = fs::read_to_string(dist().join("SHA256SUMS")).expect("the checksums");
    let told: BTreeSet<_> = sums.lines().filter_map(|line| Some(line.split_once("  ")?.1)).collect();
    let there = artifacts("");
    let there: Vec<_> = there.iter().map(|path| path.file_name().unwrap().to_string_lossy()).collect();
    let there: BTreeSet<_> =
        there.iter().map(AsRef::as_ref).filter(|name| !name.starts_with("SHA256SUMS")).collect();
    assert_eq!(told, there);
    output("sh", ["-c", "cd target/dist && sha256sum --quiet --strict -c SHA256SUMS"]);
}

/// What `nodestrap check` looks into of an image's /root, which may be the home of who builds.
const OWN: [&str; 4] =
    ["/root/anaconda-ks.cfg", "/root/original-ks.cfg", "/root/.bash_history", "/root/.kube"];

#[test]
fn the_program_is_the_tested_one_and_knows_nothing_of_the_machine_that_built_it() {
    for (machine, program) in machines() {
        let bytes = fs::read(&program).expect("the program");
        let built = clone().join(format!("target/{machine}-unknown-linux-musl/release/nodestrap"));
        assert!(fs::read(built).expect("make build has been run") == bytes, "{machine}: not what was built");
        let home = std::env::var("HOME").expect("HOME");
        let debug = fs::read(program.with_extension("debug")).unwrap_or_default();
        for foreign in [env!("CARGO_MANIFEST_DIR"), &home, "registry/src", ".cargo", ".rustup"] {
            for (what, bytes) in [("program", &bytes), ("symbols", &debug)] {
                let mut places = bytes.windows(foreign.len()).enumerate();
                let found = places.any(|(at, part)| {
                    part == foreign.as_bytes()
                        && !OWN.iter().any(|own| bytes[at..].starts_with(own.as_bytes()))
                });
                assert!(!found, "{machine}: {foreign} is in the {what}");
            }
        }
    }
}

#[test]
fn the_symbols_are_those_of_the_program() {
    for (machine, program) in machines() {
        let build_id = |file: &Path| {
            let notes = output("readelf", [OsStr::new("-n"), file.as_os_str()]);
            notes.lines().find_map(|line| Some(line.split_once("Build ID: ")?.1.to_owned()))
        };
        let debug = PathBuf::from(format!("{}.debug", program.display()));
        let id = build_id(&program).expect("a build ID");
        assert_eq!(build_id(&debug), Some(id), "{machine}");
        let sections = output("readelf", [OsStr::new("-SW"), program.as_os_str()]);
        assert!(
            !sections.contains(".symtab") && !sections.contains(".debug_info"),
            "{machine} is not stripped"
        );
        let symbols = output("nm", [OsStr::new("-C"), debug.as_os_str()]);
        let line =
            symbols.lines().find(|line| line.contains("nodestrap::join::join")).expect("join is a function");
        let address = line.split(' ').next().expect("an address");
        let place = output("addr2line", [OsStr::new("-e"), debug.as_os_str(), OsStr::new(address)]);
        assert!(place.contains("src/join.rs:"), "{machine}: {line} is at {place}");
    }
}

#[test]
fn debian_packages_come_and_go() {
    let scratch = Scratch::new();
    let root = scratch.path();
    for folder in ["info", "updates", "triggers"] {
        fs::create_dir_all(root.join("var/lib/dpkg").join(folder)).expect("a folder");
    }
    fs::write(root.join("var/lib/dpkg/status"), "").expect("an empty database");
    let dpkg = |arguments: &[&str]| {
        let root = format!("--root={}", root.display());
        let words = [&[root.as_str(), "--force-depends", "--force-script-chrootless"], arguments].concat();
        output("dpkg", words)
    };
    let packages = ["nodestrap", "nodestrap-dracut", "nodestrap-initramfs-tools"];
    let files =
        [deb_here(), one("nodestrap-dracut_", "_all.deb"), one("nodestrap-initramfs-tools_", "_all.deb")];
    dpkg(&["--install", &files[0], &files[1], &files[2]]);
    assert_eq!(
        installed(root),
        set(&[NODESTRAP, ZSH_OF_DEBIAN, DRACUT, INITRAMFS_TOOLS, DEBIAN]),
        "nothing is enabled"
    );

    output("systemctl", [&format!("--root={}", root.display()), "enable", "nodestrap.service"]);
    let wanted = root.join("etc/systemd/system/multi-user.target.wants/nodestrap.service");
    assert!(fs::symlink_metadata(&wanted).is_ok());
    dpkg(&["--install", &files[0]]);
    assert!(fs::symlink_metadata(&wanted).is_ok(), "an upgrade leaves it enabled");

    dpkg(&[&["--purge"], packages.as_slice()].concat());
    assert_eq!(installed(root), BTreeSet::new());
    let left: Vec<_> = folders(root).into_iter().filter(|line| !line.contains("var/lib/dpkg")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn rpm_packages_come_and_go() {
    let scratch = Scratch::new();
    let root = scratch.path();
    for folder in ["bin", "dev", "usr/bin", "var/lib/rpm"] {
        fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    // What runs the packages' scripts there, and what they call.
    fs::copy("/bin/busybox", root.join("bin/sh")).expect("busybox is static");
    fs::write(root.join("dev/null"), "").expect("a file");
    let systemctl = root.join("usr/bin/systemctl");
    fs::write(&systemctl, "#!/bin/sh\necho \"$@\" >>/var/systemctl\n").expect("a script");
    output("chmod", ["0755", &systemctl.to_string_lossy()]);
    let rpm = |arguments: &[&str]| {
        let root = root.display().to_string();
        let words = [&["--root", &root, "--dbpath", "/var/lib/rpm", "--nodeps"], arguments];
        output("rpm", words.concat())
    };
    let files = [one("nodestrap-0", &format!(".{HERE}.rpm")), one("nodestrap-dracut-", ".noarch.rpm")];
    rpm(&["--install", &files[0], &files[1]]);
    assert_eq!(installed(root), set(&[NODESTRAP, ZSH, LICENCES, DRACUT]));
    rpm(&["--erase", "nodestrap", "nodestrap-dracut"]);
    assert_eq!(installed(root), BTreeSet::new());
    assert_eq!(folders(root), Vec::<String>::new());
    let asked = fs::read_to_string(root.join("var/systemctl")).expect("it was called");
    assert_eq!(
        asked,
        "--no-reload preset --preset-mode=enable-only nodestrap.service\n--root=/ --no-reload disable nodestrap.service\n"
    );
}

#[test]
fn packages_hold_the_program_of_their_machine() {
    for (machine, program) in machines() {
        let (deb, scratch) = (if machine == "x86_64" { "amd64" } else { "arm64" }, Scratch::new());
        let package = one("nodestrap_", &format!("_{deb}.deb"));
        output("dpkg-deb", ["--extract", &package, &scratch.path().to_string_lossy()]);
        let packed = fs::read(scratch.path().join("usr/bin/nodestrap")).expect("the program");
        assert!(packed == fs::read(program).expect("the program"), "{package} holds another program");
        let digest = output("sha256sum", [scratch.path().join("usr/bin/nodestrap")]);
        let query = [
            "-qp",
            "--queryformat",
            "[%{FILEDIGESTS} %{FILENAMES}\n]",
            &one("nodestrap-0", &format!(".{machine}.rpm")),
        ];
        let line = format!("{} /usr/bin/nodestrap", digest.split(' ').next().expect("a digest"));
        assert!(output("rpm", query).contains(&line), "the .rpm for {machine} holds another program");
    }
}

/// Name and version of each crate that a bill of materials tells of.
fn told_crates(bill: &Value) -> BTreeSet<(String, String)> {
    let mut told = BTreeSet::new();
    for part in bill["components"].as_array().expect("components") {
        let text = |field: &str| part[field].as_str().unwrap_or_default().to_owned();
        assert!(!part["licenses"].is_null(), "{} has no licence", text("name"));
        told.insert((text("name"), text("version")));
    }
    let all = told.len();
    told.retain(|(name, _)| name != "rust-std" && name != "musl");
    assert_eq!(all - told.len(), 2, "what no lock file names is missing");
    told
}

fn bill_of(machine: &str) -> Value {
    let text = fs::read_to_string(one("nodestrap-", &format!("{machine}.cdx.json"))).expect("it is there");
    assert!(
        !text.contains("file://") && !text.contains(env!("CARGO_MANIFEST_DIR")),
        "a path of this machine"
    );
    serde_json::from_str(&text).expect("JSON")
}

/// Name and version of each crate whose code is in the program, as cargo has it.
fn linked_crates(machine: &str) -> BTreeSet<(String, String)> {
    let target = format!("{machine}-unknown-linux-musl");
    let words = "tree --locked --prefix none --format {p} --edges normal,no-proc-macro --target";
    let crates = output("cargo", words.split(' ').chain([target.as_str()]));
    let crates = crates.lines().filter_map(|line| line.split_once(" v"));
    crates
        .map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap_or_default().to_owned()))
        .filter(|(name, _)| name != "nodestrap")
        .collect()
}

#[test]
fn the_bill_of_materials_is_what_is_linked() {
    for (machine, _) in machines() {
        let bill = bill_of(&machine);
        assert_eq!(told_crates(&bill), linked_crates(&machine), "{machine}");
        assert_eq!(bill["metadata"]["component"]["name"], "nodestrap");
    }
}

/// The section that cargo-auditable's readers look for: JSON, compressed by zlib. gzip takes it behind a header of its
/// own, and complains about the end only.
#[test]
fn the_program_itself_tells_a_scanner_what_is_linked() {
    for (machine, program) in machines() {
        let table = output("readelf", [OsStr::new("-SW"), program.as_os_str()]);
        let row = table.split_once(" .dep-v0 ").expect("the section").1;
        let words: Vec<_> = row.split_whitespace().take(4).collect();
        let number = |word: &str| usize::from_str_radix(word, 16).expect("a number");
        let (start, length) = (number(words[2]), number(words[3]));
        // Behind zlib's two bytes of header.
        let deflated = &fs::read(&program).expect("the program")[start + 2..start + length];
        let scratch = Scratch::new();
        let file = scratch.path().join("list.gz");
        fs::write(&file, [b"\x1f\x8b\x08\0\0\0\0\0\0\x03", deflated].concat()).expect("a file");
        let text = output("sh", ["-c", "gzip -dc $1 2>/dev/null; true", "sh", &file.to_string_lossy()]);
        let list: Value = serde_json::from_str(&text).expect("JSON");
        let packages = list["packages"].as_array().expect("packages").iter();
        let in_program = packages.filter(|part| part["kind"] != "build" && part["root"] != true);
        let told: BTreeSet<_> = in_program
            .map(|part| ["name", "version"].map(|field| part[field].as_str().unwrap_or_default().to_owned()))
            .map(|[name, version]| (name, version))
            .collect();
        // It unites features with those of the tests, so there may be a crate too many.
        assert!(told.is_superset(&linked_crates(&machine)), "{machine}: {told:?}");
    }
}

#[test]
fn every_crate_that_is_linked_has_its_licence_in_the_packages() {
    let scratch = Scratch::new();
    output("dpkg-deb", ["--extract", &deb_here(), &scratch.path().to_string_lossy()]);
    let text = output("zcat", [scratch.path().join("usr/share/doc/nodestrap/third-party-licences.gz")]);
    for (name, version) in told_crates(&bill_of(HERE)) {
        let heading = format!("\n{name}@{version}: ");
        let section = text.split_once(&heading).unwrap_or_else(|| panic!("{name} is not there")).1;
        let section = section.split("\n====").next().expect("a section");
        assert!(section.contains("LICEN") || section.contains("COPYING"), "{name} has no licence text");
    }
}
