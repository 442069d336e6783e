use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use super::*;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        take_modes_literally();
        let path = std::env::temp_dir().join(format!("nodestrap-disk-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("root")).unwrap();
        Self(path)
    }

    fn root(&self) -> Root {
        Root::open(&self.0.join("root")).unwrap()
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.join(below)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_appear_whole_with_their_mode_and_replace_older_ones() {
    let scratch = Scratch::new("replace");
    let directory = scratch.root().directory("/a/b", Some(0o700)).unwrap();
    std::fs::write(scratch.path("root/a/b/.nodestrap.new"), "left over").unwrap();
    directory.replace("f", 0o600, b"one").unwrap();
    directory.replace("f", 0o644, b"two").and_then(|()| directory.sync()).unwrap();
    let f = scratch.path("root/a/b/f");
    assert_eq!(std::fs::read(&f).unwrap(), b"two");
    assert_eq!(std::fs::metadata(&f).unwrap().permissions().mode() & 0o7777, 0o644);
    assert_eq!(std::fs::metadata(scratch.path("root/a/b")).unwrap().permissions().mode() & 0o7777, 0o700);
    assert_eq!(std::fs::metadata(scratch.path("root/a")).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(std::fs::read_dir(scratch.path("root/a/b")).unwrap().count(), 1);
}

#[test]
fn links_cannot_lead_out_of_the_root() {
    let scratch = Scratch::new("links");
    std::fs::create_dir_all(scratch.path("outside")).unwrap();
    std::fs::write(scratch.path("outside/secret"), "x").unwrap();
    symlink(scratch.path("outside"), scratch.path("root/absolute")).unwrap();
    symlink("../../../../outside", scratch.path("root/relative")).unwrap();
    symlink(scratch.path("outside/secret"), scratch.path("root/file")).unwrap();
    let root = scratch.root();
    for path in ["/absolute/secret", "/relative/secret", "/file", "/../outside/secret"] {
        assert!(matches!(root.read(path), Ok(None)), "{path}");
    }
    root.directory("/relative/deep", Some(0o755)).unwrap().replace("f", 0o644, b"in").unwrap();
    assert_eq!(std::fs::read(scratch.path("root/outside/deep/f")).unwrap(), b"in");
    assert_eq!(std::fs::read_dir(scratch.path("outside")).unwrap().count(), 1);
}

#[test]
fn links_inside_the_root_are_followed() {
    let scratch = Scratch::new("inside");
    std::fs::create_dir_all(scratch.path("root/var/x")).unwrap();
    symlink("/var/x", scratch.path("root/etc")).unwrap();
    let root = scratch.root();
    root.directory("/etc/k", Some(0o755)).unwrap().replace("f", 0o644, b"1").unwrap();
    assert_eq!(root.read("/etc/k/f").unwrap().unwrap(), b"1");
    assert_eq!(std::fs::read(scratch.path("root/var/x/k/f")).unwrap(), b"1");
    root.directory("/etc/k", None).unwrap().link("l", "/etc/k/f").unwrap();
    root.directory("/etc/k", None).unwrap().link("l", "/etc/k/f").unwrap();
    assert_eq!(root.read("/var/x/k/l").unwrap().unwrap(), b"1");
}

#[test]
fn loops_directories_and_fifos_are_errors() {
    let scratch = Scratch::new("odd");
    symlink("b", scratch.path("root/a")).unwrap();
    symlink("a", scratch.path("root/b")).unwrap();
    std::fs::create_dir(scratch.path("root/d")).unwrap();
    fs::mknodat(fs::CWD, scratch.path("root/fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let root = scratch.root();
    assert!(root.read("/a").is_err());
    assert!(root.read("/d").is_err());
    assert!(root.read("/fifo").is_err());
    assert!(root.directory("/", None).unwrap().link("d", "x").is_err());
}

#[test]
fn nothing_is_written_through_a_planted_link() {
    let scratch = Scratch::new("planted");
    std::fs::write(scratch.path("victim"), "old").unwrap();
    symlink(scratch.path("victim"), scratch.path("root/f")).unwrap();
    symlink(scratch.path("victim"), scratch.path("root/.nodestrap.new")).unwrap();
    scratch.root().directory("/", None).unwrap().replace("f", 0o644, b"new").unwrap();
    assert_eq!(std::fs::read(scratch.path("victim")).unwrap(), b"old");
    assert_eq!(std::fs::read(scratch.path("root/f")).unwrap(), b"new");
}

#[test]
fn a_file_is_not_replaced_by_a_link() {
    let scratch = Scratch::new("file");
    std::fs::write(scratch.path("root/l"), "kept").unwrap();
    assert!(scratch.root().directory("/", None).unwrap().link("l", "x").is_err());
    assert_eq!(std::fs::read(scratch.path("root/l")).unwrap(), b"kept");
}

#[test]
fn what_is_set_aside_overwrites_nothing() {
    let scratch = Scratch::new("aside");
    std::fs::write(scratch.path("target"), "t").unwrap();
    let directory = scratch.root().directory("/", None).unwrap();
    for (text, aside) in [("1", "f.old-now"), ("2", "f.old-now-2"), ("3", "f.old-now-3")] {
        directory.replace("f", 0o640, text.as_bytes()).unwrap();
        assert_eq!(directory.set_aside("f", ".old-now").unwrap().as_deref(), Some(aside));
    }
    symlink(scratch.path("target"), scratch.path("root/l")).unwrap();
    directory.set_aside("l", ".old-now").unwrap();
    assert_eq!(directory.set_aside("l", ".old-now").unwrap(), None);
    assert_eq!(scratch.root().names("/").unwrap(), ["f.old-now", "f.old-now-2", "f.old-now-3", "l.old-now"]);
    for (text, aside) in [("1", "f.old-now"), ("3", "f.old-now-3")] {
        let path = scratch.path("root").join(aside);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o640);
    }
    assert_eq!(std::fs::read_link(scratch.path("root/l.old-now")).unwrap(), scratch.path("target"));
    assert!(directory.set_aside(&"n".repeat(300), ".old-now").is_err());
}

/// Nothing can be renamed to no name at all: the last step fails. A link that it happened to stayed under the temporary
/// name once.
#[test]
fn what_does_not_get_its_name_is_not_left_under_another() {
    let scratch = Scratch::new("nameless");
    let steps: [fn(Directory) -> io::Result<()>; 3] = [
        |directory| directory.link("", "target"),
        |directory| directory.replace("", 0o600, b"key"),
        |directory| directory.stage("", 0o600, b"conf").unwrap().commit(),
    ];
    for (number, step) in steps.iter().enumerate() {
        assert!(step(scratch.root().directory("/", None).unwrap()).is_err(), "step {number}");
        // After each: the next one would clear it away.
        assert_eq!(scratch.root().names("/").unwrap(), [""; 0], "step {number}");
    }
}
