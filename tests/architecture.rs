//! The order of the modules is the architecture: each names earlier ones only, and a source file stays short enough to read.

mod documents;
mod modules;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use modules::Modules;

/// The most lines that a source file may have.
const LINES: usize = 400;

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

fn code(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter(|line| !line.trim_start().starts_with("//"))
}

fn modules() -> Modules {
    let name = |name: String| name.strip_prefix("src/").expect("a file of src").to_owned();
    Modules::of(all("src").into_iter().map(|(path, text)| (name(path), text)))
}

/// The modules at the top in the order of src/lib.rs.
fn listed() -> Vec<String> {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let text = fs::read_to_string(library).expect("it is there");
    let names = text.lines().filter_map(|line| {
        let (line, _) = line.split_once(';')?;
        line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("mod "))
    });
    names.map(str::to_owned).collect()
}

#[test]
fn a_module_names_earlier_ones_only() {
    let order = listed();
    let rank = |path: &modules::Path| order.iter().position(|name| *name == path[0]).expect("it is listed");
    for (module, named) in modules().edges() {
        for other in named {
            let (from, to) = (module.join("::"), other.join("::"));
            assert!(rank(&other) <= rank(module), "{from} names {to}, which src/lib.rs lists behind it");
        }
    }
}

/// A file and a file below it may name each other; all others that belong together do so in one direction.
#[test]
fn no_two_files_name_each_other_but_parent_and_child() {
    let modules = modules();
    let mut edges = modules.edges();
    for (module, named) in &mut edges {
        named.retain(|other| !other.starts_with(module) && !module.starts_with(other));
    }
    for start in edges.keys() {
        let (mut reached, mut next) = (BTreeSet::new(), vec![*start]);
        while let Some(module) = next.pop() {
            for other in edges.get(module).into_iter().flatten() {
                let (from, to) = (module.join("::"), other.join("::"));
                assert!(other != *start, "{from} names {to}, which leads back to it");
                if reached.insert(other) {
                    next.push(other);
                }
            }
        }
    }
}

/// One that nobody reads would be accepted, and have no effect.
#[test]
fn each_flag_is_read_somewhere() {
    let (tables, others): (Vec<_>, Vec<_>) =
        all("src").into_iter().partition(|(name, _)| name == "src/cli/flags.rs");
    let rows = tables[0].1.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(", \""));
    let rows: Vec<_> = rows.filter(|(flag, _)| flag.chars().all(char::is_alphanumeric)).collect();
    assert!(rows.iter().any(|(flag, _)| *flag == "Endpoint"), "the table of flags");
    for (flag, row) in rows {
        let name = format!("Flag::{flag}");
        let names_it = |line: &str| {
            line.split(&name).skip(1).any(|rest| !rest.starts_with(|next: char| next.is_alphanumeric()))
        };
        let is_read = others
            .iter()
            .filter(|(path, _)| !path.contains("/tests"))
            .any(|(_, text)| code(text.split("#[cfg(test)]").next().unwrap_or_default()).any(names_it));
        assert!(is_read || row.contains("\", Ignored, "), "no module reads {name}");
    }
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
