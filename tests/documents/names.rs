//! Tests and messages that documents name.

use std::io;

use super::{code_words, documents, read, root};
use crate::all;

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

/// Whether what is in backticks there may be a test.
fn names_tests(document: &str) -> bool {
    ["README.md", "SECURITY.md", "image/README.md"].contains(&document) || document.starts_with("tests/")
}

/// `module::test` is one of loopback or of a unit, `kubernetes module::test` one against real Kubernetes, `faults
/// module::test` one of tests/faults, `fuzz` and `shipped` likewise; `module::*` is any there. `hostile module::*` is a
/// table of hostile servers.
#[test]
fn the_documents_name_tests_that_are_there() {
    let real = tests("tests/kubernetes");
    let [faults, fuzz, shipped] = ["tests/faults", "tests/fuzz", "tests/shipped"].map(tests);
    let others = [tests("tests/loopback"), tests("src")].concat();
    let mut named = 0;
    for (document, text) in documents().into_iter().filter(|(document, _)| names_tests(document)) {
        for word in code_words(&text) {
            if let Some(table) = word.strip_prefix("hostile ").and_then(|path| path.strip_suffix("::*")) {
                let file = root().join(format!("tests/hostile/{table}.rs"));
                assert!(file.is_file(), "{document} names {word}, which is not there");
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
            assert!(tests.iter().any(is_meant), "{document} names {word}, which is not there");
            named += 1;
        }
    }
    assert!(named > 80, "the documents name {named} tests; their tables were not found");
}

/// The table by which somebody finds out why a machine does not join has words of the program's own lines.
#[test]
fn the_messages_of_a_machine_that_does_not_join_are_the_programs() {
    let text = read("image/README.md");
    let rows = text.split_once("| code | the `error:` line has |").expect("the table").1;
    let program = all("src").into_iter().filter(|(name, _)| !name.contains("tests"));
    let sources: String = program.map(|(_, source)| joined(&source)).collect();
    // The system's words are written small in a line.
    let of_the_system: Vec<String> =
        (1..=133).map(|number| io::Error::from_raw_os_error(number).to_string().to_lowercase()).collect();
    let mut found = 0;
    for row in rows.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cell = row.split(" | ").nth(1).expect("a second cell");
        for message in code_words(cell) {
            let is_said =
                sources.contains(message) || of_the_system.iter().any(|said| said.contains(message));
            assert!(is_said, "no message has {message:?}");
            found += 1;
        }
    }
    assert!(found > 20, "{found} messages");
}

/// A source whose string literals that go on in the next line are on one.
fn joined(source: &str) -> String {
    let mut lines = source.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| text + line.trim_start())
}
