//! The manual's table of what becomes of a command and a file for `kubeadm join` has every flag of kubeadm's own help and every
//! field of its types, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::components::{programs, version};

/// The names in the table.
fn table() -> BTreeSet<String> {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("image/man/nodestrap.8");
    let manual = fs::read_to_string(manual).expect("the manual");
    let table = manual.split(".Ss Flags and fields of kubeadm join\n").nth(1).expect("the table");
    let table = table.split("\n.Ss ").next().expect("a first part");
    let items = table.lines().filter_map(|line| line.strip_prefix(".It Li "));
    items.flat_map(|item| item.split(" , ")).map(str::to_owned).collect()
}

#[test]
fn the_manual_has_every_flag_of_kubeadm_join_and_no_other() {
    let output = Command::new(programs().join("kubeadm")).args(["join", "--help"]).output().expect("it runs");
    let help = String::from_utf8(output.stdout).expect("text");
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let words = lines.flat_map(|line| line.split("  ").next().unwrap_or_default().split(", "));
    let names = words.filter_map(|word| word.split(' ').next()).filter(|word| *word != "-h");
    let theirs: BTreeSet<_> = names.map(str::to_owned).collect();
    assert!(theirs.len() > 18, "{theirs:?}");
    let ours: BTreeSet<_> = table().into_iter().filter(|name| name.starts_with('-')).collect();
    assert_eq!(ours, theirs);
}

/// The fields of a type, and of the types of its fields, by their paths in JSON. A type of another package is a value.
fn fields(types: &str, name: &str, path: &str, found: &mut BTreeSet<String>) {
    let body = types.split(&format!("\ntype {name} struct {{\n")).nth(1).expect(name);
    for line in body.split("\n}").next().expect("a first part").lines() {
        let Some((declaration, tag)) = line.trim().split_once(" `json:\"") else { continue };
        let tag = tag.split([',', '"']).next().expect("a first part");
        let Some((_, kind)) = declaration.split_once(' ') else { continue }; // embedded: apiVersion and kind
        let path = if path.is_empty() { tag.to_owned() } else { format!("{path}.{tag}") };
        let kind = kind.trim().trim_start_matches('*');
        if types.contains(&format!("\ntype {kind} struct {{\n")) {
            fields(types, kind, &path, found);
        } else {
            found.insert(path);
        }
    }
}

#[test]
fn the_manual_has_every_field_of_a_join_configuration_and_no_other() {
    let minor = version().trim_start_matches('v').split('.').take(2).collect::<Vec<_>>().join(".");
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/kubernetes/versions/v{minor}"));
    let mut list = Command::new("go");
    list.args(["list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes"]).current_dir(module);
    let output = list.output().expect("go runs");
    let source = String::from_utf8(output.stdout).expect("a path");
    let types = Path::new(source.trim()).join("cmd/kubeadm/app/apis/kubeadm/v1beta4/types.go");
    let types = fs::read_to_string(types).expect("kubeadm's types");
    let mut theirs = BTreeSet::new();
    fields(&types, "JoinConfiguration", "", &mut theirs);
    assert!(theirs.len() > 20, "{theirs:?}");
    let ours: BTreeSet<_> = table().into_iter().filter(|name| !name.starts_with('-')).collect();
    assert_eq!(ours, theirs);
}
