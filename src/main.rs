//! The shell around the library.

fn main() {}
