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
