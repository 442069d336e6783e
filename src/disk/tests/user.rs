//! What a user who is not root believes: what root, he himself and nobody else has made.

use std::os::unix::fs::lchown;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_gid, set_thread_res_uid};

use super::*;
use crate::disk::caller_file::may_follow;

/// The user of these tests, and another one.
const USER: u32 = 65_534;
const OTHER: u32 = 65_533;

/// What `work` returns in a thread of that user's, where these tests may have one.
fn as_user<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    process::geteuid().is_root().then(|| {
        let thread = std::thread::spawn(|| {
            let user = Uid::from_raw(USER);
            set_thread_gid(Gid::from_raw(USER)).and_then(|()| set_thread_res_uid(user, user, user)).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

#[test]
fn links_of_root_and_of_the_users_own_are_followed_where_everybody_may_write() {
    let scratch = Scratch::new("user-links");
    std::fs::write(scratch.path("file"), "text").unwrap();
    let shared = scratch.path("shared");
    std::fs::create_dir(&shared).unwrap();
    let links = [("root", 0, true), ("own", USER, true), ("other", OTHER, false)];
    let is_root = process::geteuid().is_root();
    for (name, owner, _) in links {
        symlink("../file", shared.join(name)).unwrap();
        if is_root {
            lchown(shared.join(name), Some(owner), None).unwrap();
        }
    }
    std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o1777)).unwrap();
    for (name, _, is_followed) in links {
        let path = shared.join(name);
        let opened = as_user(move || open_caller_file(&path).is_ok());
        assert!(opened.is_none_or(|opened| opened == is_followed), "{name}");
    }
}

/// In a user namespace, where root is another user outside: the owner of `/` may be one who owns more than the system.
#[test]
fn links_of_the_owner_of_the_system_are_followed_unless_everybody_may_write_there() {
    let scratch = Scratch::new("user-namespace");
    let found = |owner: u32, mode: u32| {
        let mut found = fs::stat(scratch.path("root")).unwrap();
        (found.st_uid, found.st_mode) = (owner, mode);
        found
    };
    let sticky = found(0, 0o41_777);
    for (owner, directory, is_followed) in [
        (USER, found(USER, 0o40_755), true),
        (USER, sticky, false),
        (OTHER, found(USER, 0o40_755), false),
        (OTHER, sticky, false),
        (0, sticky, true),
    ] {
        let followed = may_follow(&found(owner, 0o120_777), &directory, USER);
        assert_eq!(followed, is_followed, "{owner} {:o}", directory.st_mode);
    }
}

#[test]
fn directories_of_root_are_no_strangers_below_a_root_of_ones_own() {
    let scratch = Scratch::new("user-judge");
    std::fs::create_dir_all(scratch.path("root/a/b")).unwrap();
    std::fs::write(scratch.path("root/a/b/f"), "text").unwrap();
    if process::geteuid().is_root() {
        chown(scratch.path("root"), Some(OTHER), None).unwrap();
    }
    let root = scratch.path("root");
    let found = as_user(move || {
        let root = Root::open(&root).unwrap();
        let is_safe = root.examine("/a/b/f").unwrap().unwrap().is_safe;
        (is_safe, root.new_strangers().len())
    });
    assert!(found.is_none_or(|found| found == (true, 0)), "{found:?}");
}

#[test]
fn the_group_of_root_and_ones_own_may_write() {
    let scratch = Scratch::new("user-group");
    std::fs::write(scratch.path("root/f"), "text").unwrap();
    let file = scratch.path("root/f");
    for (group, is_safe) in [(0, true), (USER, true), (OTHER, false)] {
        if process::geteuid().is_root() {
            chown(&file, None, Some(group)).unwrap();
        }
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o664)).unwrap();
        let root = scratch.path("root");
        let found = as_user(move || Root::open(&root).unwrap().examine("/f").unwrap().unwrap().is_safe);
        assert!(found.is_none_or(|found| found == is_safe), "{group}");
    }
}
