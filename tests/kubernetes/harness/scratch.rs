//! Directories that are gone after the tests.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
};

const PREFIX: &str = "nodestrap-kubernetes-";

/// A directory of its own, removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes a new, empty directory. The first call removes what killed test runs have left behind: what a `static`
    /// holds is never dropped.
    pub fn new() -> Self {
        static SWEEP: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        SWEEP.call_once(sweep);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("{PREFIX}{}-{number}", process::id()));
        fs::create_dir_all(&path).unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of `name` in this directory, as text.
    pub fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.0.display())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        super::locks::forget(&self.0);
        // A directory that stays is swept by the next run.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes the directories whose owner, by the process id in the name, no longer runs.
fn sweep() {
    let Ok(entries) = fs::read_dir(env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            super::locks::forget(&entry.path());
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
