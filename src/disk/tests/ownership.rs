use super::*;

/// Entry tags and rights of an access control list in the kernel's form (`linux/posix_acl_xattr.h`): version 2, then tag,
/// rights and ID of each entry. User 1000 may do what is given here, and so may the mask.
fn list(rights: u16) -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] =
        [(0x01, 7, !0), (0x02, rights, 1000), (0x04, 5, !0), (0x10, rights, !0), (0x20, 5, !0)];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(rights.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn set(path: &Path, mode: u32, owner: u32, group: u32) {
    chown(path, Some(owner), Some(group)).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// What puts a directory on the way right where it is refused, and the owners of those that were noted.
fn walked(root: &Root, path: &str) -> (Option<String>, Vec<Option<u32>>) {
    let error = root.directory(path, None).err().map(|e| Stranger::of(&e).expect("a stranger").help());
    (error, root.new_strangers().iter().map(|stranger| stranger.owner).collect())
}

#[test]
fn a_directory_is_judged_by_its_owner_and_who_can_write_to_it() {
    if !process::geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new("judge");
    std::fs::create_dir_all(scratch.path("root/a/b")).unwrap();
    let at = scratch.path("root/a/b");
    // Mode, owner, group; whether it is refused, whether its owner is told.
    for (mode, owner, group, refused, told) in [
        (0o755, 0, 0, false, false),
        (0o700, 0, 1000, false, false),
        (0o775, 0, 0, false, false),
        (0o2775, 0, 0, false, false),
        (0o770, 0, 0, false, false),
        (0o755, 0, 1000, false, false),
        (0o775, 0, 1000, true, false),
        (0o720, 0, 1000, true, false),
        (0o777, 0, 0, true, false),
        (0o1777, 0, 0, true, false),
        (0o757, 0, 0, true, false),
        (0o702, 0, 0, true, false),
        (0o755, 1000, 1000, false, true),
        (0o755, 65_534, 65_534, false, true),
        (0o775, 1000, 0, false, true),
        (0o775, 1000, 1000, true, false),
        (0o777, 1000, 1000, true, false),
    ] {
        set(&at, mode, owner, group);
        let root = scratch.root();
        let (error, owners) = walked(&root, "/a/b");
        let case = format!("{mode:o} {owner}:{group}");
        assert_eq!(error.is_some(), refused, "{case}: {error:?}");
        let expected: Vec<_> = told.then_some(Some(owner)).into_iter().collect();
        assert_eq!(owners, expected, "{case}");
        if let Some(error) = error {
            assert!(error.ends_with(&format!("run `chmod go-w {}`", at.display())), "{error}");
            // It is refused for everything that lies there, and not for who only looks.
            assert!(root.read("/a/b/f").is_err() && root.names("/a/b").is_err(), "{case}");
            assert!(root.directory("/a/b/new", Some(0o755)).is_err() && !at.join("new").exists(), "{case}");
            assert!(!root.has("/a/b/f", FileType::RegularFile).unwrap(), "{case}");
            let root = scratch.root().only_looking();
            assert_eq!((root.read("/a/b/f").unwrap(), root.new_strangers().len()), (None, 1), "{case}");
        }
    }
}

#[test]
fn behind_a_list_the_group_is_anybody() {
    let scratch = Scratch::new("judge-list");
    std::fs::create_dir(scratch.path("root/a")).unwrap();
    let at = std::fs::File::open(scratch.path("root/a")).unwrap();
    for (rights, refused) in [(7, true), (2, true), (5, false)] {
        match fs::fsetxattr(&at, "system.posix_acl_access", &list(rights), fs::XattrFlags::empty()) {
            Err(Errno::OPNOTSUPP) => return,
            result => result.unwrap(),
        }
        let (error, owners) = walked(&scratch.root(), "/a");
        assert_eq!((error.is_some(), owners.len()), (refused, 0), "{rights}: {error:?}");
    }
    // As the command has it.
    set(&scratch.path("root/a"), 0o755, 0, 0);
    assert_eq!(walked(&scratch.root(), "/a"), (None, vec![]));
}

#[test]
fn the_way_is_judged_from_the_root_on_and_where_links_lead() {
    let scratch = Scratch::new("judge-way");
    for at in ["root/etc/k", "root/data/k", "root/aside"] {
        std::fs::create_dir_all(scratch.path(at)).unwrap();
    }
    symlink("/data/k", scratch.path("root/link")).unwrap();
    symlink("../data/./k/../k", scratch.path("root/etc/dots")).unwrap();
    std::fs::write(scratch.path("root/data/k/f"), "x").unwrap();
    symlink("/data/k/f", scratch.path("root/etc/k/f")).unwrap();
    let open = |at: &str, mode| {
        std::fs::set_permissions(scratch.path(at), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let refused = |path: &str| {
        let error = scratch.root().read(path).err();
        error.map(|e| Stranger::of(&e).expect("a stranger").path.clone())
    };
    // Above the root and beside the way nobody looks.
    open("", 0o777);
    open("root/aside", 0o777);
    for path in ["/etc/k/f", "/link/f", "/etc/dots/f"] {
        assert_eq!(refused(path), None, "{path}");
    }
    for (at, path, shown) in [
        ("root", "/f", "/"),
        ("root", "/etc/k/f", "/"),
        ("root/etc", "/etc/k/f", "/etc"),
        ("root/etc/k", "/etc/k/f", "/etc/k"),
        ("root/data", "/etc/k/f", "/data"),
        ("root/data/k", "/etc/k/f", "/data/k"),
        ("root/data/k", "/link/f", "/data/k"),
        ("root/data/k", "/etc/dots/f", "/data/k"),
        ("root/data", "/link/../k/f", "/data"),
        ("root/etc", "/etc/../data/k/f", "/etc"),
    ] {
        open(at, 0o777);
        assert_eq!(refused(path).as_deref(), Some(shown), "{at}, {path}");
        open(at, 0o755);
    }
    open("", 0o755);
}

#[test]
fn the_owner_of_the_root_is_no_stranger_below_it() {
    if !process::geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new("judge-owner");
    std::fs::create_dir_all(scratch.path("root/a/b")).unwrap();
    for at in ["root", "root/a", "root/a/b"] {
        set(&scratch.path(at), 0o755, 1000, 1000);
    }
    assert_eq!(walked(&scratch.root(), "/a/b"), (None, vec![]));
    set(&scratch.path("root/a"), 0o755, 1001, 1000);
    assert_eq!(walked(&scratch.root(), "/a/b"), (None, vec![Some(1001)]));
    // Once, however often it is walked.
    let root = scratch.root();
    for _ in 0..3 {
        root.directory("/a/b", None).unwrap();
    }
    assert_eq!(root.new_strangers().len(), 1);
}

#[test]
fn a_file_is_safe_and_its_owners_alone_or_not() {
    if !process::geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new("judge-file");
    let file = scratch.path("root/f");
    std::fs::write(&file, "x").unwrap();
    for (mode, owner, group, safe, exposed) in [
        (0o600, 0, 0, true, false),
        (0o644, 0, 0, true, true),
        (0o640, 0, 0, true, true),
        (0o400, 0, 1000, true, false),
        (0o664, 0, 0, true, true),
        (0o664, 0, 1000, false, true),
        (0o666, 0, 0, false, true),
        (0o602, 0, 0, false, true),
        (0o600, 1000, 0, false, false),
    ] {
        set(&file, mode, owner, group);
        let found = scratch.root().examine("/f").unwrap().unwrap();
        let case = format!("{mode:o} {owner}:{group}");
        assert_eq!((found.bytes.as_slice(), found.is_safe), (&b"x"[..], safe), "{case}");
        let file_is_exposed = found.exposed.map(|exposed| exposed.close().unwrap()).is_some();
        assert_eq!(file_is_exposed, exposed, "{case}");
        let mode_then = std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode_then, if exposed { 0o600 } else { mode }, "{case}");
    }
    assert!(scratch.root().examine("/none").unwrap().is_none());
}

#[test]
fn a_command_names_the_path_as_a_shell_reads_it() {
    let scratch = Scratch::new("judge-quoted");
    for name in ["plain", "a b", "it's", "$(id)", "`id`", "\"", "*", ";"] {
        let at = scratch.path("root").join(name);
        std::fs::create_dir(&at).unwrap();
        std::fs::set_permissions(&at, std::fs::Permissions::from_mode(0o777)).unwrap();
        let error = scratch.root().directory(&format!("/{name}"), None).unwrap_err();
        let text = Stranger::of(&error).unwrap().help();
        let command = text.rsplit_once("run `").unwrap().1.strip_suffix('`').unwrap();
        let status = std::process::Command::new("sh").args(["-c", command]).status().unwrap();
        assert!(status.success(), "{command}");
        assert!(scratch.root().directory(&format!("/{name}"), None).is_ok(), "{command}");
    }
}
