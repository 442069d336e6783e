//! The order of the stages is the architecture: a module imports earlier stages and leaves only, and a source file
//! stays short enough to read.

mod documents;

use std::fs;
use std::path::{Path, PathBuf};

/// The most lines that a source file may have.
const LINES: usize = 400;

/// The stages in order, as src/lib.rs lists them.
const STAGES: [&str; 12] = [
    "http",
    "key",
    "rsa_key",
    "trust",
    "credentials",
    "discovery",
    "kubelet",
    "csr",
    "node",
    "options",
    "join",
    "commands",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the entry can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

fn all(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    sources(&root.join(folder), &mut found);
    assert!(!found.is_empty());
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root).expect("it lies below the root").display().to_string();
        (name, fs::read_to_string(path).expect("the source can be read"))
    };
    found.into_iter().map(read).collect()
}

/// The top-level modules that the code of a source names after `crate::`; docs may name any.
fn imports(source: &str) -> impl Iterator<Item = &str> {
    code(source).flat_map(|line| line.split("crate::").skip(1)).map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

fn code(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter(|line| !line.trim_start().starts_with("//"))
}

fn rank(module: &str) -> Option<usize> {
    STAGES.iter().position(|stage| *stage == module)
}

#[test]
fn a_module_imports_earlier_stages_only() {
    for (name, source) in all("src") {
        let module =
            name.trim_start_matches("src/").split(['/', '.']).next().expect("a path has a first part");
        if matches!(module, "lib" | "main") {
            continue;
        }
        for import in imports(&source) {
            let earlier = match (rank(module), rank(import)) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(own), Some(other)) => other <= own,
            };
            assert!(earlier, "{name} imports crate::{import}, a later stage");
        }
    }
}

#[test]
fn the_library_lists_the_stages_in_order() {
    let library =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("it is there");
    let listed: Vec<_> = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .filter(|module| rank(module).is_some())
        .collect();
    assert_eq!(listed, STAGES);
}

#[test]
fn only_http_uses_ureq_and_rustls() {
    for (name, source) in all("src") {
        if !name.starts_with("src/http") {
            for line in code(&source) {
                assert!(!line.contains("ureq::") && !line.contains("rustls::"), "{name}: {line}");
            }
        }
    }
}

#[test]
fn no_source_is_longer_than_a_reader_likes() {
    for (name, source) in all("src").into_iter().chain(all("tests")) {
        let lines = source.lines().count();
        assert!(lines <= LINES, "{name} has {lines} lines");
    }
}
