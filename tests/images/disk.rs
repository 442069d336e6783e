//! The disk of a machine in a container: a root file system of `rootfs.sh` that many share, and over it a file system of
//! the machine's own, for what its image adds and what it writes.

use std::{cell::Cell, fs, os::unix::fs::MetadataExt, path::PathBuf, process::Command};

use rustix::fs::{major, minor};

use crate::support::{
    process::{run, try_run, wait_for},
    scratch::Scratch,
};
use crate::{boot_network::rootfs, versions};

pub struct Disk {
    scratch: Scratch,
    system: PathBuf,
    /// What the device had read when its file system had been mounted.
    read_before: Cell<u64>,
}

impl Disk {
    pub fn new(system: &str) -> Self {
        let scratch = Scratch::new();
        for part in ["layers", "root"] {
            fs::create_dir(scratch.file(part)).unwrap();
        }
        let mut mkfs = Command::new("mkfs.ext4");
        run(mkfs.args(["-q", "-F", &scratch.file("disk"), "1G"]));
        let system = rootfs(system);
        versions::note(&system, &["systemd", "cloud-init", "selinux-policy-default"]);
        let disk = Self { scratch, system, read_before: Cell::default() };
        disk.mount();
        disk
    }

    fn mount(&self) {
        let script = "mount -o loop \"$1/disk\" \"$1/layers\" && \
            mkdir -p \"$1/layers/upper\" \"$1/layers/work\" && \
            mount -t overlay overlay -o \"lowerdir=$2,upperdir=$1/layers/upper,workdir=$1/layers/work\" \"$1/root\"";
        run(Command::new("sh").args(["-euc", script, "sh"]).arg(self.scratch.path()).arg(&self.system));
        self.read_before.set(self.read());
    }

    fn unmount(&self) -> Result<String, String> {
        let script = "umount \"$1/root\" && umount \"$1/layers\"";
        try_run(Command::new("sh").args(["-euc", script, "sh"]).arg(self.scratch.path()))
    }

    /// Empties the cache: nothing of the machine's own file system is in memory after that.
    pub fn cool(&self) {
        self.unmount().unwrap();
        // The last processes that had it mounted may just have ended.
        wait_for("the disk to be free", || {
            let devices = run(Command::new("losetup").args(["--associated", &self.scratch.file("disk")]));
            devices.is_empty().then_some(())
        });
        self.mount();
    }

    /// Where it is mounted.
    pub fn root(&self) -> PathBuf {
        self.scratch.path().join("root")
    }

    /// Bytes that were read from the machine's own file system since the cache was empty.
    pub fn bytes_read(&self) -> u64 {
        self.read() - self.read_before.get()
    }

    fn read(&self) -> u64 {
        let device = fs::metadata(self.scratch.file("layers")).unwrap().dev();
        let file = format!("/sys/dev/block/{}:{}/stat", major(device), minor(device));
        // Documentation/block/stat.rst of the kernel: the third field counts sectors of 512 bytes.
        let statistics = fs::read_to_string(file).unwrap();
        statistics.split_whitespace().nth(2).unwrap().parse::<u64>().unwrap() * 512
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The end of the mount namespace does the same.
        let _ = self.unmount();
    }
}
