//! Disks of their own, in a file, whose power can be cut.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};

use crate::support::locks;
use crate::support::scratch::Scratch;
use crate::support::tmpfs::unmount;

/// A file system that a node may have its root on.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Told not to write the data of a renamed file by itself, which ext4 does for programs that do not ask for it.
    Ext4,
    Xfs,
}

/// An empty disk that has been formatted, to be copied.
pub struct Blank {
    kind: Kind,
    image: PathBuf,
    _scratch: Scratch,
}

/// A disk that is mounted, until it is dropped.
pub struct Disk {
    kind: Kind,
    image: PathBuf,
    at: PathBuf,
}

impl Blank {
    /// Formats one.
    pub fn new(kind: Kind) -> Self {
        let scratch = Scratch::new();
        let image = scratch.path().join("disk");
        // The least that mkfs.xfs takes, all of it holes.
        let bytes = match kind {
            Kind::Ext4 => 16 << 20,
            Kind::Xfs => 300 << 20,
        };
        File::create(&image).and_then(|file| file.set_len(bytes)).expect("an image of a disk");
        let program = match kind {
            Kind::Ext4 => "mkfs.ext4",
            Kind::Xfs => "mkfs.xfs",
        };
        run(Command::new(program).arg("-q").arg(&image));
        Self { kind, image, _scratch: scratch }
    }

    /// Mounts a copy, which is kept in the file `image`, over a directory, for this thread and what it starts: what others
    /// see, they may still hold on to when it is to be unmounted.
    ///
    /// # Panics
    /// When it cannot be mounted, which takes root.
    pub fn mount(&self, image: PathBuf, at: PathBuf) -> Disk {
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
        run(Command::new("mount").args(["--make-rslave", "/"]));
        run(Command::new("cp").arg("--sparse=always").arg(&self.image).arg(&image));
        let disk = Disk { kind: self.kind, image, at };
        disk.attach();
        // What mkfs.ext4 makes, and no machine's root is without. Nothing here looks for it.
        let _ = fs::remove_dir(disk.at.join("lost+found"));
        disk
    }
}

impl Disk {
    fn attach(&self) {
        let options = match self.kind {
            Kind::Ext4 => "loop,noatime,noauto_da_alloc",
            // Each copy of the blank disk has the identity of all others.
            Kind::Xfs => "loop,noatime,nouuid",
        };
        run(Command::new("mount").args(["-o", options]).arg(&self.image).arg(&self.at));
    }

    fn detach(&self) {
        locks::forget(&self.at);
        assert!(unmount(&self.at), "umount {}", self.at.display());
    }

    /// Makes everything durable that was written so far.
    pub fn sync(&self) {
        run(Command::new("sync").arg("-f").arg(&self.at));
    }

    /// Loses what is not durable, as a power cut does: the file system is shut down without its log being written, and
    /// mounted again.
    pub fn cut(&self) {
        // FS_IOC_SHUTDOWN and FS_SHUTDOWN_FLAGS_NOLOGFLUSH of Linux, which no safe function of ours makes.
        let script = r#"open(my $root, "<", $ARGV[0]) or die $!; my $how = pack("L", 2); ioctl($root, 0x8004587d, $how) or die $!"#;
        run(Command::new("perl").args(["-e", script]).arg(&self.at));
        self.detach();
        self.attach();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        locks::forget(&self.at);
        unmount(&self.at);
        let _ = fs::remove_file(&self.image);
    }
}

/// Sets or takes an attribute that chattr(1) knows, `+i` or `-i`.
pub fn attribute(path: &Path, change: &str) {
    run(Command::new("chattr").arg(change).arg(path));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
