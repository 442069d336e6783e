//! A process between the suite and the program, whose only child that is: what it learns of its children is the program's.

use std::fs;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

/// The first argument that makes the suite's executable a measuring process.
pub const WORD: &str = "measure";

/// The most time that a run may take, far above every deadline that it is given.
pub const LIMIT: Duration = Duration::from_secs(55);

/// Runs `measure FILE COMMAND…`, writes the most memory in KiB that the command has had into `FILE`, and ends as the
/// command does (what this process has had itself counts too, and is less than any limit); with 124 when it had to be killed at [`LIMIT`], and with 125 when a signal ended it.
pub fn main(arguments: &[String]) -> ExitCode {
    let [file, program, rest @ ..] = arguments else { panic!("measure FILE COMMAND…") };
    let mut child = Command::new(program).args(rest).spawn().unwrap_or_else(|e| panic!("{program}: {e}"));
    let end = Instant::now() + LIMIT;
    let code = loop {
        if let Some(status) = child.try_wait().expect("its status") {
            break status.code().map_or(125, |code| u8::try_from(code).expect("eight bits"));
        }
        if Instant::now() > end {
            child.kill().expect("a child to kill");
            child.wait().expect("its status");
            break 124;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).expect("what it took").max_rss();
    fs::write(file, peak.to_string()).expect("the file is written");
    ExitCode::from(code)
}
