//! The documents' own instructions, by which machines are made.

use std::{fs, path::Path};

/// A block of code of image/README.md, by its section's title and its place in there.
pub fn block(title: &str, place: usize) -> String {
    of("image/README.md", title, place)
}

/// The same of another document.
pub fn of(document: &str, title: &str, place: usize) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).unwrap();
    let section = text.split_once(&format!("\n{title}\n")).expect(title).1;
    let block = section.split("\n```").nth(place * 2 + 1).expect("a block of code");
    block.trim_start().to_owned() + "\n"
}

/// The one command of a document that is between single backquotes and begins like this, as a line.
pub fn command(document: &str, begin: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).unwrap();
    let found: Vec<_> = text.split('`').filter(|part| part.starts_with(begin)).collect();
    assert_eq!(found.len(), 1, "{document}: {begin}: {found:?}");
    format!("{}\n", found[0])
}
