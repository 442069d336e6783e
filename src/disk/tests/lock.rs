use super::*;

fn runtime(scratch: &Scratch) -> PathBuf {
    scratch.path("run/nodestrap")
}

#[test]
fn one_is_in_at_a_time() {
    for in_runtime in [true, false] {
        let scratch = Scratch::new(&format!("lock-{in_runtime}"));
        std::fs::create_dir(scratch.path("run")).unwrap();
        let place = runtime(&scratch);
        let place = in_runtime.then_some(place.as_path());
        let (one, other) = (scratch.root(), scratch.root());
        let lock = one.try_lock(place).unwrap().expect("nobody is in");
        assert!(other.try_lock(place).unwrap().is_none());
        drop((lock, one));
        assert!(other.try_lock(place).unwrap().is_some());
        assert_eq!(scratch.root().names("/").unwrap(), [""; 0], "nothing is written below the root");
    }
}

#[test]
fn the_lock_is_the_roots_own_and_stays() {
    let scratch = Scratch::new("lock-name");
    for at in ["run", "other"] {
        std::fs::create_dir(scratch.path(at)).unwrap();
    }
    symlink("root", scratch.path("link")).unwrap();
    let runtime = runtime(&scratch);
    let lock = |at: &str| Root::open(&scratch.path(at)).unwrap().try_lock(Some(&runtime)).unwrap();
    let first = lock("root").unwrap();
    assert!(lock("link").is_none() && lock("root/.").is_none(), "the same directory");
    assert!(lock("other").is_some(), "another one");
    drop(first);
    assert!(lock("link").is_some());
    let files: Vec<_> = std::fs::read_dir(&runtime).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(files.len(), 2);
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    }
    assert_eq!(std::fs::metadata(&runtime).unwrap().permissions().mode() & 0o7777, 0o755);
}

/// Its directory goes with a service, say, whose own it is, while the next run waits.
#[test]
fn a_lock_file_that_is_removed_meanwhile_keeps_nobody_in() {
    let scratch = Scratch::new("lock-removed");
    std::fs::create_dir(scratch.path("run")).unwrap();
    let runtime = runtime(&scratch);
    let root = scratch.root();
    let lock = root.try_lock(Some(&runtime)).unwrap().unwrap();
    std::fs::remove_dir_all(&runtime).unwrap();
    drop(lock);
    let again = root.try_lock(Some(&runtime)).unwrap();
    assert!(again.is_some() && runtime.is_dir());
}

#[test]
fn what_others_could_have_made_or_opened_is_no_lock() {
    type Plant = fn(&std::path::Path, &std::path::Path);
    let refused = |name: &str, words: &str, plant: Plant| {
        let scratch = Scratch::new(&format!("lock-{name}"));
        let (runtime, victim) = (runtime(&scratch), scratch.path("victim"));
        std::fs::create_dir(scratch.path("run")).unwrap();
        std::fs::write(&victim, "victim").unwrap();
        plant(&runtime, &victim);
        let error = scratch.root().try_lock(Some(&runtime)).unwrap_err().to_string();
        assert!(error.contains(words), "{name}: {error}");
        assert_eq!(std::fs::read(&victim).unwrap(), b"victim");
    };
    refused("file", "", |runtime, _| std::fs::write(runtime, "").unwrap());
    refused("link", "", |runtime, victim| symlink(victim.with_file_name("root"), runtime).unwrap());
    refused("none", "No such file", |runtime, _| std::fs::remove_dir(runtime.parent().unwrap()).unwrap());
    for (name, mode) in [("0777", 0o777), ("1777", 0o1777), ("0775", 0o775)] {
        let scratch = Scratch::new(&format!("lock-{name}"));
        let runtime = runtime(&scratch);
        std::fs::create_dir_all(&runtime).unwrap();
        std::fs::set_permissions(&runtime, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = scratch.root().try_lock(Some(&runtime)).unwrap_err().to_string();
        assert!(error.contains("other users can write to it"), "{name}: {error}");
    }
    let files: [(&str, &str, Plant); 5] = [
        ("file link", "not a regular file", |file, victim| symlink(victim, file).unwrap()),
        ("file hard link", "accessible to other users", |file, victim| {
            std::fs::set_permissions(victim, std::fs::Permissions::from_mode(0o600)).unwrap();
            std::fs::hard_link(victim, file).unwrap();
        }),
        ("file fifo", "not a regular file", |file, _| {
            fs::mknodat(fs::CWD, file, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        }),
        ("file mode", "accessible to other users", |file, _| {
            std::fs::write(file, "").unwrap();
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
        }),
        ("file directory", "not a regular file", |file, _| std::fs::create_dir(file).unwrap()),
    ];
    for (name, words, plant) in files {
        let scratch = Scratch::new(&format!("lock-{name}"));
        std::fs::create_dir(scratch.path("run")).unwrap();
        let (root, runtime, victim) = (scratch.root(), runtime(&scratch), scratch.path("victim"));
        std::fs::write(&victim, "victim").unwrap();
        drop(root.try_lock(Some(&runtime)).unwrap());
        let file = std::fs::read_dir(&runtime).unwrap().next().unwrap().unwrap().path();
        std::fs::remove_file(&file).unwrap();
        plant(&file, &victim);
        let error = root.try_lock(Some(&runtime)).unwrap_err().to_string();
        assert!(error.contains(words), "{name}: {error}");
        assert_eq!(std::fs::read(&victim).unwrap(), b"victim");
    }
    // Root can give one away; for everybody else there is one of root's.
    let scratch = Scratch::new("lock-owner");
    let theirs = if process::geteuid().is_root() {
        let theirs = scratch.path("theirs");
        std::fs::create_dir(&theirs).unwrap();
        chown(&theirs, Some(65_534), None).unwrap();
        theirs
    } else {
        PathBuf::from("/etc")
    };
    let error = scratch.root().try_lock(Some(&theirs)).unwrap_err().to_string();
    assert!(error.contains("belongs to another user"), "{error}");
}
