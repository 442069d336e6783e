//! What the documents say is there: tests, links, messages, manual pages, figures, the length of README.

mod figures;
mod links;
mod manual;
mod names;

use std::fs;
use std::path::{Path, PathBuf};

/// README's most lines and bytes: a reader decides within a minute.
const README: (usize, usize) = (240, 16 * 1024);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).expect(name)
}

/// Every document of the repository, from its root, and what it says.
fn documents() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && !path.is_symlink() && !["target", ".git"].contains(&name) {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(root(), &mut found);
    assert!(found.len() > 10, "{} documents were found", found.len());
    let name = |path: &PathBuf| path.strip_prefix(root()).expect("below the root").display().to_string();
    found.iter().map(|path| (name(path), fs::read_to_string(path).expect("text"))).collect()
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

#[test]
fn readme_is_short_enough_to_read() {
    let readme = read("README.md");
    assert!(readme.lines().count() <= README.0, "README.md has {} lines", readme.lines().count());
    assert!(readme.len() <= README.1, "README.md has {} bytes", readme.len());
}
