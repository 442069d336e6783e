//! Facts that are fixed when the program is built: version, commit and time, the architecture's name, and how the
//! program is linked.

use std::path::Path;
use std::process::Command;

/// Added to the linker's own rules. crtbegin and crtend keep their frames: they mark where the section ends.
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
    // In a worktree it is elsewhere. A file that is not there would have the program built anew by every command.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo::rerun-if-changed={log}");
    }
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");

    let arch = match std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86_64") => "amd64".to_owned(),
        Ok("aarch64") => "arm64".to_owned(),
        other => other.unwrap_or("unknown").to_owned(),
    };
    println!("cargo::rustc-env=NODESTRAP_GOARCH={arch}");

    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=NODESTRAP_COMMIT={commit}");

    // No machine that runs this program can have an earlier time than this; see `trust::check_not_before_build_date`.
    let time = std::env::var("SOURCE_DATE_EPOCH").ok().filter(|time| time.parse::<u64>().is_ok());
    let time = time.or_else(|| git(&["log", "-1", "--format=%ct"])).unwrap_or_else(|| "0".to_owned());
    println!("cargo::rustc-env=NODESTRAP_BUILD_TIME={time}");

    // Set by .cargo/shipped.toml. Any other build is a plain one, for every target that ring supports.
    println!("cargo::rerun-if-env-changed=NODESTRAP_SHIPPED");
    if std::env::var_os("NODESTRAP_SHIPPED").is_some() {
        if arch == "arm64" {
            link_position_independent();
        }
        link();
    }
}

/// How the shipped program is linked; .cargo/README.md says why each of it is sound, and what it saves. Nobody unwinds it
/// and nobody prints its stack: a panic is one line and the end (`panic = "abort"`, `program::exit_on_panic`).
const LINK: [&str; 8] = [
    // Relative relocations packed (DT_RELR), which musl's start-up code understands since 1.2.4.
    "-zpack-relative-relocs",
    // Functions that came out the same are one.
    "--icf=all",
    "--no-eh-frame-hdr",
    // Instruction sequences that recur become functions of their own.
    "-mllvm=-enable-machine-outliner=always",
    // A call of `_Unwind_Backtrace` has no effect, so what std does with its result, which is to read debug
    // information and to demangle names, is dead code. `memory` without an argument is `memory(none)`.
    "-mllvm=-force-attribute=_Unwind_Backtrace:memory",
    "-mllvm=-force-attribute=_Unwind_Backtrace:willreturn",
    "-mllvm=-force-attribute=_Unwind_Backtrace:nounwind",
    "--lto-newpm-passes=forceattrs,lto<O2>",
];

fn link() {
    for argument in LINK {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    // A second link makes the file of symbols, whose loaded bytes are the program's: it is given its build ID (.ci/release).
    println!("cargo::rerun-if-env-changed=NODESTRAP_SYMBOLS_OF");
    match std::env::var("NODESTRAP_SYMBOLS_OF") {
        Ok(id) => println!("cargo::rustc-link-arg-bins=--build-id=0x{id}"),
        Err(_) => {
            println!("cargo::rustc-link-arg-bins=--build-id=sha1");
            println!("cargo::rustc-link-arg-bins=--strip-all");
        }
    }
    // Unwind tables.
    let script = format!("{}/discard-unwind.ld", std::env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    std::fs::write(&script, DISCARD_UNWIND).expect("OUT_DIR is writable");
    println!("cargo::rustc-link-arg-bins=-T{script}");
    // The unwinder, to which std still refers. A name that is defined here is not looked for in libunwind.
    for name in UNWINDER {
        println!("cargo::rustc-link-arg-bins=--defsym=_Unwind_{name}=abort");
    }
}

/// What rustc itself does on x86_64 only. musl's rcrt1.o is the start-up code that applies a program's relocations to
/// itself; of the other start-up files nothing is needed, as the linker lists constructors without them.
fn link_position_independent() {
    let target = std::env::var("TARGET").expect("cargo sets TARGET");
    let rustc = std::env::var_os("RUSTC").expect("cargo sets RUSTC");
    let libraries = output(Command::new(rustc).args(["--print", "target-libdir", "--target", &target]));
    let musl = libraries.expect("rustc knows its libraries") + "/self-contained";
    for argument in
        [&format!("-L{musl}"), &format!("{musl}/rcrt1.o"), "-pie", "--no-dynamic-linker", "-ztext"]
    {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    output(Command::new("git").args(arguments))
}

/// What a program says that succeeds.
fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
