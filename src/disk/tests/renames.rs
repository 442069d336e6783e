//! What gets a name, and what is never overwritten.

use super::*;

#[test]
fn what_is_set_aside_overwrites_nothing() {
    let scratch = Scratch::new("aside");
    std::fs::write(scratch.path("target"), "t").unwrap();
    let directory = scratch.root().directory("/", None).unwrap();
    for (text, aside) in [("1", "f.old-now"), ("2", "f.old-now-2"), ("3", "f.old-now-3")] {
        directory.replace("f", 0o640, text.as_bytes()).unwrap();
        assert_eq!(directory.move_aside("f", ".old-now").unwrap().as_deref(), Some(aside));
    }
    symlink(scratch.path("target"), scratch.path("root/l")).unwrap();
    directory.move_aside("l", ".old-now").unwrap();
    assert_eq!(directory.move_aside("l", ".old-now").unwrap(), None);
    assert_eq!(scratch.root().names("/").unwrap(), ["f.old-now", "f.old-now-2", "f.old-now-3", "l.old-now"]);
    for (text, aside) in [("1", "f.old-now"), ("3", "f.old-now-3")] {
        let path = scratch.path("root").join(aside);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o640);
    }
    assert_eq!(std::fs::read_link(scratch.path("root/l.old-now")).unwrap(), scratch.path("target"));
    assert!(directory.move_aside(&"n".repeat(300), ".old-now").is_err());
}

/// What takes the name between the look and the rename stays.
#[test]
fn a_name_that_is_taken_is_left_to_who_has_it() {
    let scratch = Scratch::new("taken");
    let directory = scratch.root().directory("/", None).unwrap();
    for name in ["f", "taken"] {
        std::fs::write(scratch.path("root").join(name), name).unwrap();
    }
    assert_eq!(directory.rename_to_new("f", "taken"), Err(Errno::EXIST));
    assert_eq!(directory.rename_to_new("none", "new"), Err(Errno::NOENT));
    directory.rename_to_new("f", "new").unwrap();
    assert_eq!(scratch.root().names("/").unwrap(), ["new", "taken"]);
    assert_eq!(std::fs::read(scratch.path("root/taken")).unwrap(), b"taken");
}

/// Swapped between the write and the rename.
#[test]
fn only_what_was_written_gets_the_name() {
    let scratch = Scratch::new("swapped");
    let stage = || scratch.root().directory("/", None).unwrap().stage("f", 0o600, b"own").unwrap();
    let staged = scratch.path("root/.nodestrap.staged");
    std::fs::write(scratch.path("root/f"), "old").unwrap();
    let swaps: [&dyn Fn(); 3] = [
        &|| std::fs::write(scratch.path("other"), "other").unwrap(),
        &|| symlink("/etc/passwd", scratch.path("other")).unwrap(),
        &|| std::fs::create_dir(scratch.path("other")).unwrap(),
    ];
    for (number, make) in swaps.iter().enumerate() {
        let file = stage();
        make();
        std::fs::remove_file(&staged).unwrap();
        std::fs::rename(scratch.path("other"), &staged).unwrap();
        assert!(file.commit().unwrap_err().to_string().contains("replaced by another"), "{number}");
        assert_eq!(std::fs::read(scratch.path("root/f")).unwrap(), b"old", "{number}");
        let _ = std::fs::remove_dir(&staged);
    }
    let file = stage();
    std::fs::remove_file(&staged).unwrap();
    assert_eq!(file.commit().unwrap_err().kind(), io::ErrorKind::NotFound);
    stage().commit().unwrap();
    assert_eq!(std::fs::read(scratch.path("root/f")).unwrap(), b"own");
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
