//! Small and read-only file systems, where the machine allows mounting.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::locks;

/// A mounted tmpfs, unmounted when dropped.
pub struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts one with these options over a directory. `None`, said on standard error, where this is not allowed;
    /// with `CI=true` that is a failure, for a skipped test proves nothing.
    ///
    /// # Panics
    /// With `CI=true` when it cannot be mounted.
    pub fn mount(over: &Path, options: &str) -> Option<Self> {
        // As the root of a machine is: the default is that of /tmp, in which everybody can write.
        let options = format!("{options},mode=755");
        if mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], over) {
            return Some(Self(over.to_owned()));
        }
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "mounting a tmpfs needs root");
        eprintln!("skipped: mounting a tmpfs needs root");
        None
    }

    /// Changes its options.
    ///
    /// # Panics
    /// When that fails.
    pub fn remount(&self, options: &str) {
        assert!(mount(&["-o", &format!("remount,{options}")], &self.0), "remount {options}");
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        locks::forget(&self.0);
        unmount(&self.0);
    }
}

/// Unmounts what is mounted over a directory, and tells whether that was done. What another thread starts has the files that
/// this one has open for a moment, until it has become another program: so long the directory is busy.
pub fn unmount(over: &Path) -> bool {
    (0..100).any(|_| {
        let is_done = Command::new("umount").arg(over).output().is_ok_and(|output| output.status.success());
        if !is_done {
            std::thread::sleep(Duration::from_millis(20));
        }
        is_done
    })
}

fn mount(args: &[&str], over: &Path) -> bool {
    Command::new("mount").args(args).arg(over).output().is_ok_and(|output| output.status.success())
}
