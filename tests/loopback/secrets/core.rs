//! What a crash leaves behind.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::sources::{Source, Told};
use crate::support::api::Route;

/// Starts what follows in the folder `$0`, with cores of any size.
const WITH_CORES: [&str; 3] = ["sh", "-c", r#"ulimit -c unlimited && cd "$0" && exec "$@""#];

/// A run that crashes while it waits for its approval, when it holds token and key, leaves no core, though the machine
/// would write one.
#[test]
fn a_crash_leaves_no_core() {
    for signal in ["SEGV", "ABRT", "BUS", "QUIT"] {
        let told = Told::by(Source::TokenFile);
        let folder = told.node.beside("cores");
        std::fs::create_dir(&folder).expect("a folder");
        let place = folder.display().to_string();
        let words = [&WITH_CORES[..], &[place.as_str()]].concat();

        let control = Command::new(words[0]).args(&words[1..]).args(["sleep", "600"]).spawn();
        let mut control = control.expect("it starts");
        // The shell has become sleep.
        while std::fs::read_to_string(format!("/proc/{}/comm", control.id()))
            .is_ok_and(|name| name != "sleep\n")
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        let status = crash(&mut control, signal);
        assert!(
            status.core_dumped(),
            "this machine writes no core for anybody, so this shows nothing: {status}"
        );

        told.api.cluster(|cluster| cluster.approves = false);
        let mut command = told.command(&words);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        told.api.wait_for(Route::Watch, 1);
        let before = cores(&folder);
        let status = crash(&mut child, signal);
        assert!(status.signal().is_some() && !status.core_dumped(), "SIG{signal}: {status}");
        assert_eq!(cores(&folder), before, "SIG{signal}: a core");
    }
}

/// Sends a signal until the process has ended: the first SIGSEGV only takes Rust's handler for overflown stacks away.
fn crash(child: &mut Child, signal: &str) -> ExitStatus {
    loop {
        let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status();
        assert!(sent.expect("kill").success());
        std::thread::sleep(Duration::from_millis(50));
        if let Some(status) = child.try_wait().expect("its state") {
            return status;
        }
    }
}

fn cores(folder: &std::path::Path) -> usize {
    std::fs::read_dir(folder).expect("a folder").count()
}
