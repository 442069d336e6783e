//! A control group of a machine's own: two systemds in one would take each other's processes for their own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use crate::support::process::tethered;

const PREFIX: &str = "nodestrap-images-";

/// A control group below this process's own, in the hierarchy of version 2. Dropping it kills what is left in it.
pub struct ControlGroup(PathBuf);

impl ControlGroup {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = own().join(format!("{PREFIX}{}-{number}", process::id()));
        fs::create_dir(&path).unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
        Self(path)
    }

    /// A [`tethered`] command that moves into the group before it becomes `program`.
    pub fn tethered(&self, program: &str) -> Command {
        let script = "echo $$ >\"$1/cgroup.procs\"; shift; exec \"$@\"";
        let mut command = tethered("sh");
        command.args(["-euc", script, "sh"]).arg(&self.0).arg(program);
        command
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // Processes that have just been killed keep their groups for a moment. What stays is swept by the next run.
        for _ in 0..100 {
            if remove(&self.0) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Removes what killed test runs have left behind.
pub fn sweep() {
    for entry in fs::read_dir(own()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            remove(&entry.path());
        }
    }
}

/// Kills what is in the group and the groups below, and removes them: whether they are gone.
fn remove(group: &Path) -> bool {
    let Ok(entries) = fs::read_dir(group) else { return true };
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        remove(&entry.path());
    }
    let left = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    if !left.is_empty() {
        let _ = Command::new("kill").arg("-9").args(left.split_whitespace()).output();
    }
    fs::remove_dir(group).is_ok()
}

/// The group that this process is in.
fn own() -> PathBuf {
    // mountinfo(5): the fourth field is what is mounted there of the file system, the fifth where; the type follows " - ".
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 ")).expect("control groups, version 2");
    let fields: Vec<_> = mount.split(' ').collect();
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap();
    let path =
        groups.lines().find_map(|line| line.strip_prefix("0::")).expect("cgroups(7): a line for version 2");
    let below = Path::new(path).strip_prefix(fields[3]).expect("the group is in what is mounted");
    Path::new(fields[4]).join(below)
}
