//! What the program has from whoever starts it: a umask, limits, descriptors, signals, an identity, arguments. And what
//! others of the machine see of it.

use std::ffi::OsString;
use std::fs;
use std::io::pipe;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::api::{Api, Cluster, Route};
use crate::support::node::{BOOTSTRAP_CONF, CURRENT, KEY_TMP, KUBELET_CONF, Node};
use crate::support::pki::Authority;
use crate::support::run::{self, Running};

/// A user that owns nothing (base-passwd's nobody).
const NOBODY: u32 = 65_534;

/// Starts a join as the shell would after `before`, with `after` behind its command line.
fn start(node: &Node, api: &Api, before: &str, after: &str) -> Running {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{before} exec \"$0\" \"$@\" {after}")]).arg(run::program());
    command.args(node.join(api).with_cert().words());
    for (variable, _) in run::command().get_envs() {
        command.env_remove(variable);
    }
    run::start_as(&command, &node.root(), None, vec![])
}

/// The tree without the times in the names of pairs.
fn timeless(node: &Node) -> Vec<String> {
    node.tree().iter().map(|line| line.replace(|c: char| c.is_ascii_digit(), "0")).collect()
}

#[test]
fn no_umask_changes_a_mode() {
    let trees = ["022", "000", "077", "777"].map(|umask| {
        let (api, node) = (Api::start(), Node::new());
        start(&node, &api, &format!("umask {umask};"), "").finish().expect("joined");
        assert_eq!(crate::support::scratch::mode(&node.beside("report.json")), 0o644, "umask {umask}");
        timeless(&node)
    });
    assert!(trees.iter().all(|tree| *tree == trees[0]), "{trees:#?}");
}

/// Files must not take the places of standard input, output and error: what is said would be written into them.
#[test]
fn closed_standard_descriptors_change_nothing() {
    let trees = ["", "<&- >&- 2>&-", "<&-", "2>&-"].map(|closed| {
        let (api, node) = (Api::start(), Node::new());
        start(&node, &api, "", closed).finish().expect("joined");
        for file in node.files() {
            assert!(file == CURRENT || !node.read(&file).contains("nodestrap:"), "{file} after {closed}");
        }
        timeless(&node)
    });
    assert!(trees.iter().all(|tree| *tree == trees[0]), "{trees:#?}");
}

/// As when a log's reader dies.
#[test]
fn nobody_who_listens_is_no_reason_to_stop() {
    let (api, node) = (Api::start(), Node::new());
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let mut command = run::command();
    command.args(node.join(&api).with_cert().words()).stdin(Stdio::null());
    command.stdout(writer.try_clone().expect("a pipe")).stderr(writer);
    assert_eq!(run::status(&mut command).code(), Some(0));
    assert!(node.has(KUBELET_CONF));
}

/// Whoever asked for an answer must not take none for a success.
#[test]
fn an_answer_that_nobody_reads_is_an_error() {
    for words in [&["--help"][..], &["--version"], &["join", "h:1", "--token", "a", "--print-config"]] {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let output =
            run::command().args(words).stdin(Stdio::null()).stdout(writer).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code().is_some_and(|code| code > 1), "{words:?}: {:?} {said}", output.status);
    }
}

/// Neither does it wait for an answer first, nor does what it leaves keep the next run from the same request.
#[test]
fn a_signal_ends_it_at_once_and_the_next_run_goes_on() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let (api, node) = (Api::manual(), Node::new());
        // What a shell starts in the background has some of them ignored, the tests and all that they start too.
        let running = start(&node, &api, "exec env --default-signal \"$0\" \"$@\";", "");
        api.wait_for(Route::Watch, 1);
        node.wait_for(BOOTSTRAP_CONF);
        kill_process(pid(running.id()), signal).expect("it runs");
        let run = running.finish();
        run.check(run.code.is_none(), &format!("ended by {signal:?}"));
        assert!(node.has(KEY_TMP) && !node.has(KUBELET_CONF), "{:#?}", node.tree());
        api.cluster(Cluster::grant);
        node.joins(&api);
        assert_eq!(api.cluster(|cluster| cluster.names().len()), 1, "one request for both runs");
    }
}

/// As a home that others may pass and not list.
#[test]
fn a_relative_path_leads_through_directories_that_may_not_be_listed() {
    let (node, ca) = (Node::new(), Authority::new("kubernetes"));
    let place = node.root().join("place");
    fs::create_dir(&place).expect("a directory");
    fs::write(place.join("ca.crt"), ca.pem()).expect("a file");
    fs::set_permissions(&place, fs::Permissions::from_mode(0o711)).expect("its mode");
    for file in ["ca.crt", "./ca.crt", "../place/ca.crt"] {
        let mut command = run::command();
        command.args(["ca-hash", file]).current_dir(&place).uid(NOBODY).gid(NOBODY);
        let output = command.output().expect("it runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), ca.pin(), "{file}: {output:?}");
    }
}

/// A crash while it waits for its approval, when it holds token and key, where the machine would write a core.
#[test]
fn no_core_is_left_and_no_other_process_of_its_user_looks_in() {
    for signal in [Signal::SEGV, Signal::ABORT, Signal::BUS, Signal::QUIT] {
        let (api, node) = (Api::manual(), Node::new());
        let place = node.root();
        chown(&place, Some(NOBODY), Some(NOBODY)).expect("a root of nobody's");
        chown(place.parent().expect("the scratch directory"), Some(NOBODY), None)
            .expect("a report of nobody's");
        let as_nobody = |program: &Path, words: &[OsString]| {
            let mut command = Command::new("sh");
            let script = "ulimit -c unlimited; exec env --default-signal \"$0\" \"$@\"";
            command.args(["-c", script]).arg(program).args(words);
            command.current_dir(&place).uid(NOBODY).gid(NOBODY);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs")
        };

        let mut control = as_nobody(Path::new("sleep"), &["600".into()]);
        // The shell has become sleep.
        let name = format!("/proc/{}/comm", control.id());
        while fs::read_to_string(&name).is_ok_and(|name| name != "sleep\n") {
            thread::sleep(Duration::from_millis(5));
        }
        let status = crash(&mut control, signal);
        assert!(status.core_dumped(), "no core for anybody on this machine, so this shows nothing: {status}");
        for core in cores(&node) {
            fs::remove_file(core).expect("the control's core");
        }

        let mut child = as_nobody(&run::program(), &node.join(&api).with_cert().words());
        api.wait_for(Route::Watch, 1);
        // What one user's processes may not see of each other belongs to root (proc(5), on PR_SET_DUMPABLE).
        for part in ["environ", "maps", "mem", "fd"] {
            let owner = fs::metadata(format!("/proc/{}/{part}", child.id())).expect("it runs").uid();
            assert_eq!(owner, 0, "{part}");
        }
        let status = crash(&mut child, signal);
        assert_eq!((status.signal(), status.core_dumped()), (Some(signal.as_raw()), false));
        assert!(cores(&node).is_empty(), "{signal:?}: {:#?}", node.tree());
    }
}

/// Sends a signal until the process has ended: the first SIGSEGV only takes Rust's handler for overflown stacks away.
fn crash(child: &mut Child, signal: Signal) -> ExitStatus {
    loop {
        kill_process(pid(child.id()), signal).expect("it runs");
        thread::sleep(Duration::from_millis(50));
        if let Some(status) = child.try_wait().expect("its state") {
            return status;
        }
    }
}

/// The files in the working directory, where cores go whatever the machine calls them: a join leaves none there.
fn cores(node: &Node) -> Vec<PathBuf> {
    let entries = fs::read_dir(node.root()).expect("the root");
    entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()).collect()
}

#[test]
fn arguments_of_any_size_and_kind_are_told_in_one_line() {
    let long = "a".repeat(100_000);
    let many: Vec<String> = (0..10_000).map(|number| format!("--x{number}")).collect();
    let mut lists: Vec<Vec<Vec<u8>>> = vec![
        vec![],
        vec![vec![]],
        vec![b"\xff\xfe".to_vec()],
        vec![b"join".to_vec(), b"\xff:1".to_vec()],
        vec![b"join".to_vec(), long.clone().into_bytes()],
        vec![b"join".to_vec(), format!("--{long}").into_bytes()],
        vec![b"join".to_vec(), b"--node-name".to_vec(), long.clone().into_bytes()],
        vec![b"join".to_vec(), b"--config".to_vec(), long.clone().into_bytes()],
        vec![b"join".to_vec(), b"--config".to_vec(), b"/a\n\x1b[2Jb".to_vec()],
        vec![long.into_bytes()],
    ];
    lists.push(many.iter().map(|word| word.clone().into_bytes()).collect());
    for list in lists {
        let words: Vec<_> = list.iter().cloned().map(OsString::from_vec).collect();
        let run = run::start(&words, Path::new("/nonexistent"), None, vec![]).finish();
        run.check(run.code == Some(2) && run.stdout.is_empty(), "a usage error");
        run.check(run.stderr.lines().count() <= 2 && run.stderr.len() < 1000, "a short line, and help");
        run.check(!run.stderr.contains(|c: char| c.is_control() && c != '\n'), "no control characters");
    }
    let unnamed = run::command().arg0("").arg("--version").output().expect("it runs");
    assert_eq!(unnamed.status.code(), Some(0));
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(id.try_into().expect("a process")).expect("a process")
}
