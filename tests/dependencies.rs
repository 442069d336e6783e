//! The crates that ship are those that somebody has looked at: `.ci/crates.md` lists each with its version, how much of
//! its source is `unsafe`, and why it is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn cargo(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).args([
        "--locked",
        "--manifest-path",
        concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
    ]);
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Name and version of each crate in the shipped program, of both processors; what only builds it is left out.
fn shipped() -> Vec<(String, String)> {
    let mut crates: Vec<_> = ["x86_64", "aarch64"]
        .iter()
        .flat_map(|processor| {
            let target = format!("{processor}-unknown-linux-musl");
            let tree =
                cargo(&["tree", "-e", "normal,no-proc-macro", "--prefix", "none", "--target", &target]);
            let lines = tree.lines().filter(|line| !line.starts_with("nodestrap "));
            let pair = |line: &str| {
                let mut words = line.split(' ');
                let version = |word: &str| word.trim_start_matches('v').to_owned();
                Some((words.next()?.to_owned(), words.next().map(version)?))
            };
            lines.filter_map(pair).collect::<Vec<_>>()
        })
        .collect();
    crates.sort();
    crates.dedup();
    crates
}

/// Where the source of each crate lies.
fn folders() -> BTreeMap<(String, String), PathBuf> {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--format-version", "1"])).expect("JSON");
    let text = |package: &Value, field: &str| package[field].as_str().expect("a text").to_owned();
    let packages = metadata["packages"].as_array().expect("packages").iter().map(|package| {
        let folder = Path::new(&text(package, "manifest_path")).with_file_name("src");
        ((text(package, "name"), text(package, "version")), folder)
    });
    packages.collect()
}

/// How many lines of code say `unsafe`, in whatever feature, or that the compiler is told to take none.
fn unsafety(folder: &Path) -> String {
    let mut sources = vec![folder.to_owned()];
    let mut lines = 0;
    while let Some(path) = sources.pop() {
        if path.is_dir() {
            sources
                .extend(fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
            let is_word = |word: &str| word == "unsafe";
            let separator = |c: char| !c.is_alphanumeric() && c != '_';
            lines += code.filter(|line| line.split(separator).any(is_word)).count();
        }
    }
    let library = fs::read_to_string(folder.join("lib.rs")).unwrap_or_default();
    let forbids = library.lines().any(|line| line.starts_with("#![") && line.contains("forbid(unsafe_code"));
    if forbids { "forbidden".to_owned() } else { lines.to_string() }
}

#[test]
fn each_crate_that_ships_was_looked_at() {
    let list =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/crates.md")).expect("the list");
    let rows: Vec<Vec<&str>> = list
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| crate "))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let folders = folders();
    let expected: Vec<_> = shipped()
        .into_iter()
        .map(|(name, version)| {
            let unsafety = unsafety(&folders[&(name.clone(), version.clone())]);
            [name, version, unsafety]
        })
        .collect();
    let listed: Vec<_> = rows.iter().map(|row| [row[0], row[1], row[2]].map(str::to_owned)).collect();
    let words = |rows: &[[String; 3]]| rows.iter().map(|row| row.join(" ")).collect::<Vec<_>>().join("\n");
    assert_eq!(listed, expected, "look at what is new, then list:\n{}", words(&expected));
    assert!(rows.iter().all(|row| row.len() == 4 && row[3].len() > 10), "a crate without a reason");
}
