//! Facts that are fixed when the program is built: version, commit and time, the architecture's name, and how the
//! program is linked.

use std::process::Command;

/// Added to the linker's own script. crtbegin and crtend keep their frames: they mark where the section ends.
const DISCARD_UNWIND: &str = "SECTIONS {
  /DISCARD/ : {
    *(EXCLUDE_FILE(*crtbegin*.o *crtend*.o) .eh_frame)
    *(.eh_frame_hdr .gcc_except_table .gcc_except_table.*)
  }
} INSERT AFTER .text;
";

/// What std refers to of the unwinder's interface (Itanium C++ ABI: exception handling, level I).
const UNWINDER: [&str; 13] = [
    "Backtrace",
    "DeleteException",
    "GetCFA",
    "GetDataRelBase",
    "GetIP",
    "GetIPInfo",
    "GetLanguageSpecificData",
    "GetRegionStart",
    "GetTextRelBase",
    "RaiseException",
    "Resume",
    "SetGR",
    "SetIP",
];

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

    link();
}

/// Keeps out of the shipped program what it never uses. Only of the program: tests unwind.
fn link() {
    // Relative relocations packed (DT_RELR), which musl's start-up code understands since 1.2.4: 60 KB.
    println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    // Unwind tables: a panic ends the process (panic = "abort"), nobody reads them. 190 KB.
    let script = format!("{}/discard-unwind.ld", std::env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    std::fs::write(&script, DISCARD_UNWIND).expect("OUT_DIR is writable");
    println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr,-T,{script}");
    // The unwinder, which nobody calls then: std refers to it for unwinding and for backtraces, and the program does
    // neither. A name that is defined here is not looked for in libunwind. 73 KB.
    for name in UNWINDER {
        println!("cargo::rustc-link-arg-bins=-Wl,--defsym=_Unwind_{name}=abort");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
