//! What a search of an image looks into, and what it tells.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::net::UnixListener;

use super::*;
use crate::disk::Scratch;

/// What is found at `path` in an image that `make` has made, with its level.
fn found(name: &str, location: Location, path: &str, make: impl FnOnce(&Path)) -> Vec<String> {
    let scratch = Scratch::new(name);
    make(&scratch.path("root"));
    let files = NodeFiles::open(&scratch.path("root"), Layout::default()).unwrap().only_looking();
    let mut image = Image { root: files.disk(), findings: Vec::new(), seen: Vec::new() };
    image.search(location, path);
    image
        .findings
        .iter()
        .map(|found| format!("{} {}: {}", found.level.name(), found.path, found.message))
        .collect()
}

const TOKEN: &str = "token: abcdef.0123456789abcdef";

#[test]
fn a_directory_is_searched_to_its_depth() {
    for (more, count) in [(0, 1), (1, 0)] {
        let found = found("check-depth", Location::Boot, "/boot", |root| {
            let deep = "d/".repeat(limits::CHECKED_DEPTH as usize - 1 + more);
            fs::create_dir_all(root.join("boot").join(&deep)).unwrap();
            fs::write(root.join("boot").join(deep).join("f"), TOKEN).unwrap();
        });
        assert_eq!(found.len(), count, "{found:?}");
    }
}

#[test]
fn what_cannot_be_read_is_told_but_where_much_else_lies() {
    for (location, expected) in [
        (Location::Node, "error /etc/x/\u{fffd}: cannot be checked: not a file, not UTF-8 or too deep"),
        (Location::Settings, "error /etc/x/\u{fffd}: cannot be checked: not a file, not UTF-8 or too deep"),
        (Location::Boot, ""),
    ] {
        let found = found("check-name", location, "/etc/x", |root| {
            fs::create_dir_all(root.join("etc/x")).unwrap();
            fs::write(root.join("etc/x").join(OsString::from_vec(vec![0xff])), TOKEN).unwrap();
        });
        assert_eq!(found.join("\n"), expected);
    }
    for (location, expected) in [
        (Location::Node, ""),
        (Location::Settings, "error /etc/x: cannot be checked: not a file, not UTF-8 or too deep"),
        (Location::Boot, ""),
    ] {
        let found = found("check-socket", location, "/etc/x", |root| {
            fs::create_dir_all(root.join("etc")).unwrap();
            drop(UnixListener::bind(root.join("etc/x")).unwrap());
        });
        assert_eq!(found.join("\n"), expected);
    }
}

#[test]
fn nothing_is_below_a_file_and_links_in_a_circle_are_told() {
    let below = found("check-below", Location::Boot, "/etc/kernel/cmdline", |root| {
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join("etc/kernel"), "").unwrap();
    });
    assert_eq!(below, [""; 0]);
    let circle = found("check-circle", Location::Boot, "/etc/kernel/cmdline", |root| {
        std::os::unix::fs::symlink("etc", root.join("etc")).unwrap();
    });
    assert!(
        circle.len() == 1 && circle[0].starts_with("error /etc/kernel/cmdline: cannot be read ("),
        "{circle:?}"
    );
}
