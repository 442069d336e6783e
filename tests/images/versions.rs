//! What a boot's machines are made of, by distribution and version, for the table that is printed.

use std::{cell::RefCell, collections::BTreeSet, fs, path::Path};

thread_local! {
    static PARTS: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// Notes the distribution of a root file system, and the versions of these packages that it has.
pub fn note(root: &Path, packages: &[&str]) {
    let release = fs::read_to_string(root.join("etc/os-release")).unwrap_or_default();
    let field = |name: &str| {
        let value = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.trim_matches('"').to_owned())
    };
    let status = fs::read_to_string(root.join("var/lib/dpkg/status")).unwrap_or_default();
    let versions = packages.iter().filter_map(|package| {
        let (_, rest) = status.split_once(&format!("Package: {package}\n"))?;
        let version = rest.lines().find_map(|line| line.strip_prefix("Version: "))?;
        Some(format!("{package} {version}"))
    });
    let name = field("VERSION_ID").or(field("VERSION_CODENAME")).map(|version| format!("Debian {version}"));
    PARTS.with_borrow_mut(|parts| parts.extend(name.into_iter().chain(versions)));
}

/// Notes a part by its name.
pub fn note_part(part: String) {
    PARTS.with_borrow_mut(|parts| _ = parts.insert(part));
}

/// What this thread has noted since it was asked last.
pub fn noted() -> String {
    PARTS.take().into_iter().collect::<Vec<_>>().join(", ")
}
