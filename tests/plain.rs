//! A plain debug build, the one that cargo makes beside this test.

#[path = "support/locks.rs"]
mod locks;
#[path = "support/scratch.rs"]
#[allow(dead_code, reason = "each test program uses its own part of it")]
mod scratch;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use scratch::Scratch;

/// A user that owns nothing (base-passwd's nobody).
const NOBODY: u32 = 65_534;

/// Line by line, by any user, also where no other process may look into the program any more (PR_SET_DUMPABLE, src/program.rs).
#[test]
fn a_debugger_steps_through_it() {
    if Command::new("gdb").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "this takes gdb");
        eprintln!("skipped: this takes gdb");
        return;
    }
    // A clone can lie where nobody else can read.
    let scratch = Scratch::new();
    let program = scratch.path().join("nodestrap");
    fs::copy(env!("CARGO_BIN_EXE_nodestrap"), &program).expect("the program");
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-ex", "break nodestrap::main", "-ex", "run", "-ex", "next", "-ex", "step"]);
    gdb.args(["-ex", "backtrace", "--args"]).arg(program).arg("--version");
    if rustix::process::getuid().is_root() {
        gdb.uid(NOBODY).gid(NOBODY);
    }
    let output = gdb.output().expect("gdb runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // `next` has gone over the whole run, `step` into what comes after it.
    for said in
        ["\nnodestrap 0.", "#0  nodestrap::secret::wipe_stack () at src/secret.rs:", "#1 ", "src/main.rs:"]
    {
        assert!(
            text.contains(said),
            "{said:?} is not in:\n{text}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
