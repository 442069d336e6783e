//! Facts that are fixed when the program is built: version, commit and time, the architecture's name, and how the
//! program is linked.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=.git/logs/HEAD");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");

    let arch = match std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86_64") => "amd64".to_owned(),
        Ok("aarch64") => "arm64".to_owned(),
        other => other.unwrap_or("unknown").to_owned(),
    };
    println!("cargo::rustc-env=NODESTRAP_GOARCH={arch}");

    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=NODESTRAP_COMMIT={commit}");

    // No machine that runs this program can have an earlier time than this; see `join::after_build`.
    let time = std::env::var("SOURCE_DATE_EPOCH").ok().filter(|time| time.parse::<u64>().is_ok());
    let time = time.or_else(|| git(&["log", "-1", "--format=%ct"])).unwrap_or_else(|| "0".to_owned());
    println!("cargo::rustc-env=NODESTRAP_BUILD_TIME={time}");
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
