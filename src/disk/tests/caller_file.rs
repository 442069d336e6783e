use std::io::Read as _;

use super::*;

#[test]
fn a_file_of_the_callers_own_is_written_where_it_belongs_and_removed() {
    let scratch = Scratch::new("outside");
    let (file, link, target) = (scratch.path("report"), scratch.path("link"), scratch.path("target"));
    std::fs::write(&file, "a longer text that was there").unwrap();
    write_caller_file(&file, 0o640, b"one").unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"one");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o640);
    std::fs::write(&target, "a longer text that was there").unwrap();
    symlink(&target, &link).unwrap();
    write_caller_file(&link, 0o640, b"two").unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), b"two");
    assert!(link.is_symlink());
    let fifo = scratch.path("fifo");
    fs::mknodat(fs::CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let unread = fifo.clone();
    assert!(at_once(move || write_caller_file(&unread, 0o640, b"x")).is_err(), "nobody reads");
    assert_eq!((remove_caller_file(&link).unwrap(), remove_caller_file(&fifo).unwrap()), (false, false));
    for path in [&file, &file, &scratch.path("none/report")] {
        assert!(remove_caller_file(path).unwrap() && !path.exists());
    }
    assert!(link.symlink_metadata().is_ok() && fifo.exists());
    assert!(remove_caller_file(&target.join("below")).is_err());
    assert!(write_caller_file(&scratch.path("none/report"), 0o640, b"x").is_err());
    assert!(write_caller_file(&scratch.path("root/.."), 0o640, b"x").is_err());
}

#[test]
fn what_a_link_leads_to_is_written_in_place_and_anything_else_anew() {
    let scratch = Scratch::new("outside-inode");
    let (target, link) = (scratch.path("target"), scratch.path("link"));
    std::fs::write(&target, "a longer text that was there").unwrap();
    symlink(&target, &link).unwrap();
    let inode = || std::fs::metadata(&target).unwrap().ino();
    let before = inode();
    for (path, stays) in [(&link, true), (&target, false)] {
        write_caller_file(path, 0o640, b"text").unwrap();
        assert_eq!((inode() == before, std::fs::read(&target).unwrap()), (stays, b"text".to_vec()));
    }
}

#[test]
fn a_fifo_is_opened_before_anybody_writes_and_is_no_childs() {
    let scratch = Scratch::new("outside-fifo");
    let fifo = scratch.path("fifo");
    fs::mknodat(fs::CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let file = at_once(move || open_caller_file(&fifo)).unwrap();
    assert!(rustix::io::fcntl_getfd(&file).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
}

/// Reads what `open_caller_file` opens.
fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open_caller_file(path)?.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn ones_own_links_are_followed_wherever_they_stand() {
    let scratch = Scratch::new("outside-links");
    let file = scratch.path("root/deep/file");
    std::fs::create_dir_all(scratch.path("root/deep")).unwrap();
    std::fs::write(&file, "text").unwrap();
    symlink("root/deep", scratch.path("relative")).unwrap();
    symlink(scratch.path("relative"), scratch.path("absolute")).unwrap();
    symlink("../root/./deep//../deep/file", scratch.path("root/dots")).unwrap();
    for path in ["root/deep/file", "relative/file", "absolute/file", "absolute/../deep/file", "root/dots"] {
        assert_eq!(text(&scratch.path(path)).unwrap(), "text", "{path}");
    }
    write_caller_file(&scratch.path("absolute/new"), 0o600, b"new").unwrap();
    assert_eq!(std::fs::read(scratch.path("root/deep/new")).unwrap(), b"new");
    symlink("root/deep/none", scratch.path("dangling")).unwrap();
    assert_eq!(text(&scratch.path("dangling")).unwrap_err().kind(), io::ErrorKind::NotFound);
    write_caller_file(&scratch.path("dangling"), 0o600, b"made").unwrap();
    assert_eq!(std::fs::read(scratch.path("root/deep/none")).unwrap(), b"made");
    symlink("loop", scratch.path("loop")).unwrap();
    assert_eq!(text(&scratch.path("loop")).unwrap_err().raw_os_error(), Some(Errno::LOOP.raw_os_error()));
    assert!(
        remove_caller_file(&scratch.path("absolute/new")).unwrap() && !scratch.path("root/deep/new").exists()
    );
    // The kernel's own links, which say something else than where they lead.
    let (open, path) = (std::fs::File::open(&file).unwrap(), std::env::current_dir().unwrap());
    let fd = std::os::fd::AsRawFd::as_raw_fd(&open);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(text(Path::new(&format!("/proc/self/fd/{fd}"))).unwrap(), "text");
    assert_eq!(
        text(Path::new("Cargo.toml")).unwrap(),
        std::fs::read_to_string(path.join("Cargo.toml")).unwrap()
    );
    assert!(text(Path::new("/proc/self/cwd/Cargo.toml")).is_ok());
    assert!(text(Path::new("/")).is_err() && text(Path::new("")).is_err());
}

/// As `fs.protected_symlinks` would have it in sticky directories, if it were on, and everywhere else.
#[test]
fn a_link_of_another_user_leads_nowhere() {
    if !process::geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new("outside-planted");
    let (victim, shared) = (scratch.path("victim"), scratch.path("shared"));
    std::fs::create_dir_all(&shared).unwrap();
    std::fs::create_dir(scratch.path("other")).unwrap();
    std::fs::write(&victim, "victim").unwrap();
    std::fs::write(scratch.path("other/file"), "victim").unwrap();
    let plant = |target: &str, at: &str| {
        symlink(scratch.path(target), scratch.path(at)).unwrap();
        std::os::unix::fs::lchown(scratch.path(at), Some(65_534), Some(65_534)).unwrap();
    };
    plant("victim", "shared/file");
    plant("nobody", "shared/new");
    plant("other", "shared/directory");
    symlink("shared/file", scratch.path("own")).unwrap();
    for (mode, owner) in [(0o1777, 0), (0o777, 0), (0o755, 0), (0o755, 65_534), (0o1777, 65_534)] {
        std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(mode)).unwrap();
        chown(&shared, Some(owner), None).unwrap();
        for path in ["shared/file", "shared/new", "shared/directory/file", "shared/directory/new", "own"] {
            let path = scratch.path(path);
            let error = write_caller_file(&path, 0o644, b"report").unwrap_err();
            assert!(error.to_string().contains("another user"), "{}: {error}", path.display());
            assert!(text(&path).is_err(), "{}", path.display());
        }
        assert!(remove_caller_file(&scratch.path("shared/directory/file")).is_err());
        assert!(!remove_caller_file(&scratch.path("shared/file")).unwrap(), "a link stays");
    }
    assert_eq!(text(&victim).unwrap() + &text(&scratch.path("other/file")).unwrap(), "victimvictim");
    assert!(!scratch.path("nobody").exists() && !scratch.path("other/new").exists());
}
