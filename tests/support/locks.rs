//! The lock files that runs leave in `/run/nodestrap`: they stay until the next boot, and tests have thousands of roots.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Removes those of runs that have ended and whose root was this directory or one below it.
pub fn forget(directory: &Path) {
    let Ok(metadata) = fs::symlink_metadata(directory) else { return };
    if metadata.is_dir() {
        let _ = fs::remove_file(format!("/run/nodestrap/root-{}-{}.lock", metadata.dev(), metadata.ino()));
        fs::read_dir(directory).into_iter().flatten().flatten().for_each(|entry| forget(&entry.path()));
    }
}
