//! The order of the stages is the architecture: a module imports earlier stages and leaves only, and a source file
//! stays short enough to read. And no document names a test, or links to a place, that there is not.

use std::fs;
use std::path::{Path, PathBuf};

/// The most lines that a source file may have.
const LINES: usize = 400;

/// The stages in order, as src/lib.rs lists them.
const STAGES: [&str; 9] =
    ["http", "discovery", "trust", "kubelet", "csr", "node", "options", "join", "commands"];

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

/// A test, by the path of its file without the ending, and its name.
type Test = (String, String);

/// All tests of a folder.
fn tests(folder: &str) -> Vec<Test> {
    let mut found = Vec::new();
    for (name, source) in all(folder) {
        let file = name.trim_end_matches(".rs").trim_end_matches("/tests").trim_end_matches("/main");
        let mut lines = source.lines().map(str::trim);
        while lines.any(|line| line == "#[test]") {
            let function = lines.find_map(|line| line.strip_prefix("fn ")?.split('(').next());
            found.push((file.to_owned(), function.expect("a function behind #[test]").to_owned()));
        }
    }
    found
}

/// What stands between backticks in the text, outside of its blocks of code.
fn code_words(text: &str) -> Vec<&str> {
    let mut in_block = false;
    let outside = text.lines().filter(move |line| {
        let fence = line.starts_with("```");
        in_block ^= fence;
        !in_block && !fence
    });
    outside.flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// `module::test` is one of loopback or of a unit, `kubernetes module::test` one against real Kubernetes, `faults
/// module::test` one of tests/faults, `fuzz` and `shipped` likewise; `module::*` is any there. `hostile module::*` is a table of hostile servers.
#[test]
fn the_readmes_name_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = ["README.md", "tests/README.md"]
        .map(|name| fs::read_to_string(root.join(name)).expect("it is there"))
        .concat();
    let real = tests("tests/kubernetes");
    let [faults, fuzz, shipped] = ["tests/faults", "tests/fuzz", "tests/shipped"].map(tests);
    let others = [tests("tests/loopback"), tests("src")].concat();
    let mut named = 0;
    for word in code_words(&readme) {
        if let Some(table) = word.strip_prefix("hostile ").and_then(|path| path.strip_suffix("::*")) {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/hostile/{table}.rs"));
            assert!(file.is_file(), "the README names {word}, which is not there");
            named += 1;
            continue;
        }
        let (tests, path) =
            [("kubernetes ", &real), ("faults ", &faults), ("fuzz ", &fuzz), ("shipped ", &shipped)]
                .into_iter()
                .find_map(|(place, tests)| Some((tests, word.strip_prefix(place)?)))
                .unwrap_or((&others, word));
        let Some((module, name)) = path.rsplit_once("::") else { continue };
        if module.is_empty() || !path.chars().all(|c| c.is_ascii_alphanumeric() || "_:*".contains(c)) {
            continue;
        }
        let end = format!("/{}", module.replace("::", "/"));
        let is_meant = |test: &Test| test.0.ends_with(&end) && (name == "*" || test.1 == name);
        assert!(tests.iter().any(is_meant), "a README names {word}, which is not there");
        named += 1;
    }
    assert!(named > 80, "the READMEs name {named} tests; their tables were not found");
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let mut in_block = false;
    let headings = text.lines().filter(move |line| {
        in_block ^= line.starts_with("```");
        !in_block && line.starts_with('#')
    });
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    let anchor =
        |line: &str| line.trim_start_matches('#').trim().to_lowercase().chars().filter(kept).collect();
    headings.map(|line| -> String { anchor(line) }).map(|title| title.replace(' ', "-")).collect()
}

#[test]
fn every_link_leads_to_a_file_or_a_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut followed = 0;
    for name in
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "tests/README.md", ".cargo/README.md"]
    {
        let document = root.join(name);
        let text = fs::read_to_string(&document).expect(name);
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().expect("a first part")) {
            if link.starts_with("https://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { document.clone() } else { document.with_file_name(path) };
            assert!(target.exists(), "{name} links to {link}");
            let found = || anchors(&fs::read_to_string(&target).expect("text")).iter().any(|a| a == anchor);
            assert!(anchor.is_empty() || found(), "{name} links to {link}");
            followed += 1;
        }
    }
    assert!(followed > 10, "{followed} links were found");
}
