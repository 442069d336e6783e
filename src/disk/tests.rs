mod ownership;
mod lock;
mod caller_file;
mod renames;
mod user;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use super::*;

/// A directory of a test's own, with an empty one for the root in it, until it is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        // What a test makes by itself is not everybody's. None of the modes that are asked for has these bits.
        process::umask(Mode::WGRP | Mode::WOTH);
        let path = std::env::temp_dir().join(format!("nodestrap-disk-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("root")).unwrap();
        Self(path)
    }

    fn root(&self) -> Root {
        Root::open(&self.0.join("root")).unwrap()
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.0.join(below)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What `work` returns, or a panic where it waits for somebody who does not come.
fn at_once<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || drop(sender.send(work())));
    receiver.recv_timeout(Duration::from_secs(20)).expect("it waits, or has panicked")
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
    assert!(root.directory("/", None).unwrap().link("d", "x").is_err());
    assert!(at_once(move || root.read("/fifo")).is_err());
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

/// Planted between the look at the temporary name and the file of that name.
#[test]
fn a_file_is_made_anew_or_not_at_all() {
    let scratch = Scratch::new("anew");
    std::fs::write(scratch.path("victim"), "old").unwrap();
    std::fs::write(scratch.path("root/file"), "old").unwrap();
    symlink(scratch.path("victim"), scratch.path("root/link")).unwrap();
    symlink(scratch.path("nobody"), scratch.path("root/dangling")).unwrap();
    let directory = scratch.root().directory("/", None).unwrap();
    for name in ["file", "link", "dangling"] {
        let error = directory.write_and_sync(name, 0o600, b"new").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{name}");
    }
    for file in ["victim", "root/file"] {
        assert_eq!(std::fs::read(scratch.path(file)).unwrap(), b"old");
    }
    assert!(!scratch.path("nobody").exists());
}

#[test]
fn a_file_of_another_user_is_not_ones_own() {
    let scratch = Scratch::new("own");
    std::fs::write(scratch.path("root/f"), "x").unwrap();
    let own = scratch.root().directory("/", None).unwrap();
    for (mode, private) in
        [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false), (0o601, false)]
    {
        std::fs::set_permissions(scratch.path("root/f"), std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(own.read_private("f").unwrap().is_some(), private, "{mode:o}");
    }
    std::fs::set_permissions(scratch.path("root/f"), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::hard_link(scratch.path("root/f"), scratch.path("second")).unwrap();
    assert_eq!(own.read_private("f").unwrap(), None, "a second name");
    std::fs::remove_file(scratch.path("second")).unwrap();
    assert_eq!(own.read_private("f").unwrap().as_deref(), Some(&b"x"[..]));
    // Root can give one away; for everybody else there is one of root's.
    let (directory, name) = if process::geteuid().is_root() {
        chown(scratch.path("root/f"), Some(65_534), None).unwrap();
        (own, "f")
    } else {
        (Root::open(Path::new("/etc")).unwrap().directory("/", None).unwrap(), "passwd")
    };
    let text = directory.read_with_metadata(name.as_ref()).unwrap().unwrap().2;
    assert_eq!(directory.read_private(name).unwrap(), None);
    assert!(![0o600, 0o644].into_iter().any(|mode| directory.has_contents(name, mode, &text)));
}

#[test]
fn a_file_is_not_replaced_by_a_link() {
    let scratch = Scratch::new("file");
    std::fs::write(scratch.path("root/l"), "kept").unwrap();
    assert!(scratch.root().directory("/", None).unwrap().link("l", "x").is_err());
    assert_eq!(std::fs::read(scratch.path("root/l")).unwrap(), b"kept");
}

/// Opening one can have an effect; a FIFO shows it: who writes to it waits for a reader.
#[test]
fn what_is_no_regular_file_is_not_opened() {
    let scratch = Scratch::new("closed");
    let fifo = scratch.path("root/fifo");
    fs::mknodat(fs::CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let (is_over, opened) =
        (std::sync::atomic::AtomicBool::new(false), std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            use std::sync::atomic::Ordering::Relaxed;
            while !is_over.load(Relaxed) {
                // Without a reader this is ENXIO.
                if fs::open(&fifo, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).is_ok() {
                    opened.store(true, Relaxed);
                }
            }
        });
        for _ in 0..300 {
            assert!(scratch.root().read("/fifo").is_err());
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(!opened.into_inner(), "it was opened");
}

/// Between the look at a name and its opening, anything may take the file's place.
#[test]
fn a_file_is_opened_so_that_a_fifo_or_link_in_its_place_does_nothing() {
    let scratch = Scratch::new("flags");
    std::fs::write(scratch.path("root/f"), "text").unwrap();
    let directory = std::fs::File::open(scratch.path("root")).unwrap().into();
    let (file, _) = directory::open_regular(&directory, OsStr::new("f")).unwrap().unwrap();
    let flags = fs::fcntl_getfl(&file).unwrap();
    assert!(flags.contains(OFlags::NOFOLLOW | OFlags::NONBLOCK), "{flags:?}");
    assert!(rustix::io::fcntl_getfd(&file).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
}

#[test]
fn as_much_as_the_limit_says_is_read() {
    let scratch = Scratch::new("size");
    let limit = limits::FILE_BYTES;
    let root = scratch.root();
    let directory = root.directory("/", None).unwrap();
    for (size, taken) in [(0, true), (1, true), (limit, true), (limit + 1, false)] {
        let bytes = vec![7; size];
        std::fs::write(scratch.path("root/f"), &bytes).unwrap();
        std::fs::set_permissions(scratch.path("root/f"), std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(root.read("/f").ok(), taken.then(|| Some(bytes.clone())), "{size}");
        assert_eq!(directory.read_private("f").ok(), taken.then_some(Some(bytes)), "{size}");
    }
    assert!(directory.read_with_metadata("none".as_ref()).unwrap().is_none());
    assert_eq!(directory.read_private("none").unwrap(), None);
    symlink("f", scratch.path("root/l")).unwrap();
    std::fs::write(scratch.path("root/f"), "x").unwrap();
    assert!(
        directory.read_with_metadata("l".as_ref()).is_err(),
        "a link is not followed where a path is not walked"
    );
}

#[test]
fn points_lead_where_they_lead_at_the_root() {
    let scratch = Scratch::new("points");
    std::fs::create_dir_all(scratch.path("root/d/e")).unwrap();
    std::fs::write(scratch.path("root/f"), "x").unwrap();
    let root = scratch.root();
    for path in ["/f", "f", "//f", "/./f", "/../f", "/../../f", "/d/../f", "/d/e/../../f", "/d/./e/../..//f"]
    {
        assert_eq!(root.read(path).unwrap().as_deref(), Some(&b"x"[..]), "{path}");
    }
    for path in ["/d/f", "/d/e/../f", "/none", "/none/f"] {
        assert_eq!(root.read(path).unwrap(), None, "{path}");
    }
    for path in ["/f/x", "/d", "/d/.."] {
        assert!(root.read(path).is_err(), "{path}");
    }
    assert!(root.directory("/none", None).is_err() && root.directory("/f", Some(0o755)).is_err());
}

#[test]
fn as_many_links_are_followed_as_by_linux() {
    let scratch = Scratch::new("chain");
    std::fs::write(scratch.path("root/0"), "x").unwrap();
    for at in 0..=limits::LINKS {
        symlink(at.to_string(), scratch.path("root").join((at + 1).to_string())).unwrap();
    }
    let read = |links: usize| scratch.root().read(&format!("/{links}"));
    assert_eq!(read(limits::LINKS).unwrap().as_deref(), Some(&b"x"[..]));
    let error = read(limits::LINKS + 1).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::LOOP.raw_os_error()));
}

#[test]
fn names_are_sorted_and_bounded() {
    let scratch = Scratch::new("names");
    let root = scratch.root();
    assert!(root.names("/").unwrap().is_empty() && root.names("/none").unwrap().is_empty());
    for name in ["b", "c", "..a", ".a", "a"] {
        std::fs::write(scratch.path("root").join(name), "").unwrap();
    }
    assert_eq!(root.names("/").unwrap(), ["..a", ".a", "a", "b", "c"]);
    assert!(root.names("/a").is_err());
    for at in 5..limits::ENTRIES {
        symlink("nowhere", scratch.path("root").join(format!("n{at}"))).unwrap();
    }
    assert_eq!(root.names("/").unwrap().len(), limits::ENTRIES);
    std::fs::write(scratch.path("root/one more"), "").unwrap();
    assert!(root.names("/").is_err());
}

#[test]
fn a_socket_is_told_from_a_file_and_from_nothing() {
    let scratch = Scratch::new("socket");
    let _socket = std::os::unix::net::UnixListener::bind(scratch.path("root/s")).unwrap();
    std::fs::write(scratch.path("root/f"), "").unwrap();
    symlink("/s", scratch.path("root/l")).unwrap();
    let root = scratch.root();
    let found = ["/s", "/l", "/f", "/none", "/none/s"].map(|path| root.has(path, FileType::Socket).unwrap());
    assert_eq!(found, [true, true, false, false, false]);
    assert!(root.has("/f/s", FileType::Socket).is_err());
}

#[test]
fn a_file_is_held_with_its_mode_and_bytes_or_not_at_all() {
    let scratch = Scratch::new("holds");
    let directory = scratch.root().directory("/", None).unwrap();
    directory.replace("f", 0o640, b"one").unwrap();
    for (mode, bytes, held) in
        [(0o640, "one", true), (0o640, "two", false), (0o600, "one", false), (0o7777, "one", false)]
    {
        assert_eq!(directory.has_contents("f", mode, bytes.as_bytes()), held, "{mode:o} {bytes}");
    }
    assert!(!directory.has_contents("none", 0o640, b"one"));
}

#[test]
fn a_staged_file_gets_its_name_or_goes() {
    let scratch = Scratch::new("staged");
    let stage = |text: &str| scratch.root().directory("/", None).unwrap().stage("f", 0o600, text.as_bytes());
    drop(stage("one").unwrap());
    assert!(scratch.root().names("/").unwrap().is_empty());
    stage("two").unwrap().commit().unwrap();
    assert_eq!(scratch.root().names("/").unwrap(), ["f"]);
    assert_eq!(std::fs::read(scratch.path("root/f")).unwrap(), b"two");
}

#[test]
fn what_is_removed_was_there_or_not() {
    let scratch = Scratch::new("remove");
    let directory = scratch.root().directory("/", None).unwrap();
    for name in ["f", ".nodestrap.new"] {
        std::fs::write(scratch.path("root").join(name), "").unwrap();
    }
    assert!(directory.has("f").unwrap() && !directory.has("none").unwrap());
    directory.remove_temp().unwrap();
    assert!(!directory.has(".nodestrap.new").unwrap());
    assert!(directory.unlink("f").unwrap() && !directory.unlink("f").unwrap());
    directory.remove("f").unwrap();
    symlink("nowhere", scratch.path("root/l")).unwrap();
    assert!(directory.has("l").unwrap());
    directory.remove("l").unwrap();
    assert!(scratch.root().names("/").unwrap().is_empty());
    assert!(directory.unlink(&"n".repeat(300)).is_err());
}
