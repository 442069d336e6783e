//! Where the repository is, for programs of its own package and of a nested one.

use std::path::{Path, PathBuf};

/// Its root.
///
/// # Panics
/// When the program was built outside of it.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package
        .ancestors()
        .find(|folder| folder.join("tests/support").is_dir())
        .expect("the root of the repository")
}

/// The program under test: `$NODESTRAP`, or what `make build` makes.
///
/// # Panics
/// When it is not there.
pub fn program() -> PathBuf {
    let built = || root().join("target/x86_64-unknown-linux-musl/release/nodestrap").into();
    let path = PathBuf::from(std::env::var_os("NODESTRAP").unwrap_or_else(built));
    let hint = "build it with `make build`, or set NODESTRAP to its path";
    assert!(path.is_file(), "no program at {}: {hint}", path.display());
    // Absolute: some tests start it in another directory.
    path.canonicalize().expect("the path of the program")
}
