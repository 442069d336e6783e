//! The own instructions of image/README.md, by which machines are made.

use std::fs;

/// A block of code, by its section's title and its place in there.
pub fn block(title: &str, place: usize) -> String {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/image/README.md")).unwrap();
    let section = readme.split_once(&format!("\n{title}\n")).expect(title).1;
    let block = section.split("\n```").nth(place * 2 + 1).expect("a block of code");
    block.trim_start().to_owned() + "\n"
}
