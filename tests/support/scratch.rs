//! A directory of one test, removed when the test ends, and looks at the files under it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::locks;

const PREFIX: &str = "nodestrap-test-";

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// A scratch directory.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new, empty directory. The first call removes what killed test runs have left behind: what a `static` holds is
    /// never dropped.
    pub fn new() -> Self {
        static SWEEP: Once = Once::new();
        SWEEP.call_once(sweep);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("{PREFIX}{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a new scratch directory");
        Self(path)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of `name` in this directory, as text.
    pub fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.0.display())
    }
}

/// Removes the directories whose owner, by the process id in the name, no longer runs.
fn sweep() {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            locks::forget(&entry.path());
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        locks::forget(&self.0);
        // A directory that stays is swept by the next run.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Every entry under a directory with its mode and link target, sorted: `drwxr-xr-x etc`, `-rw------- etc/a`.
pub fn tree(directory: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    list(directory, directory, &mut lines);
    lines.sort_by(|a, b| {
        a.split_once(' ').map(|(_, path)| path).cmp(&b.split_once(' ').map(|(_, path)| path))
    });
    lines
}

fn list(root: &Path, directory: &Path, lines: &mut Vec<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let name = path.strip_prefix(root).unwrap_or(&path).display();
        let target =
            fs::read_link(&path).map(|target| format!(" -> {}", target.display())).unwrap_or_default();
        lines.push(format!("{} {name}{target}", mode_text(metadata.mode())));
        if metadata.is_dir() {
            list(root, &path, lines);
        }
    }
}

/// The permission bits of a file.
///
/// # Panics
/// When it is not there.
pub fn mode(path: &Path) -> u32 {
    let metadata = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    metadata.permissions().mode() & 0o7777
}

/// `-rw-r--r--`, as ls has it.
fn mode_text(mode: u32) -> String {
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        _ => '-',
    };
    let bit =
        |shift: u32| if mode >> shift & 1 == 1 { char::from(b"xwr"[(shift % 3) as usize]) } else { '-' };
    std::iter::once(kind).chain((0..9).rev().map(bit)).collect()
}
