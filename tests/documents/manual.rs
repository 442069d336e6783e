//! The manual pages, and the Markdown that `.ci/manual` makes of them.

use std::fs;
use std::process::Command;

use super::{read, root};

const PAGES: [&str; 2] = ["image/man/nodestrap.8", "image/man/nodestrap-report.5"];

/// What a command prints here, or nothing where mandoc is not installed, which `.ci/setup` does.
fn output(command: &mut Command) -> Option<String> {
    match command.current_dir(root()).output() {
        Ok(output) => {
            Some(String::from_utf8(output.stdout).expect("text") + &String::from_utf8_lossy(&output.stderr))
        }
        Err(error) => {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{command:?}: {error}");
            eprintln!("not looked at, {command:?}: {error}");
            None
        }
    }
}

#[test]
fn the_pages_are_clean() {
    for page in PAGES {
        let said = output(Command::new("mandoc").args(["-T", "lint", "-W", "warning", page]));
        assert_eq!(said.unwrap_or_default(), "");
    }
}

#[test]
fn their_markdown_is_made_of_them() {
    for page in PAGES {
        let Some(markdown) = output(Command::new(".ci/manual").arg(page)) else { return };
        let kept = read(&format!("{page}.md"));
        assert!(markdown == kept, "{page}.md is not what `make manual` makes of {page}");
    }
}

#[test]
fn every_page_is_looked_at() {
    let folder = fs::read_dir(root().join("image/man")).expect("a folder");
    let pages = folder.filter(|entry| {
        entry.as_ref().is_ok_and(|entry| !entry.file_name().to_string_lossy().ends_with(".md"))
    });
    assert_eq!(pages.count(), PAGES.len());
}
