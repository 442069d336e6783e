//! Where a secret goes: the token, by whatever source it came, and the private keys. Only into the files that are meant
//! for it, into no byte that leaves the process otherwise; and what is left of it in memory at the end.

mod memory;
mod needles;
mod sources;
mod trace;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use needles::Needles;
use sources::{SOURCES, Source, Told};
use trace::Call;

use crate::support::api::{Cluster, Route, jws};
use crate::support::node::{BOOTSTRAP_CONF, PKI};

/// How a run is to end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Joined,
    /// The same, but somebody approves it only when it has begun to wait.
    JoinedLate,
    /// Signature and credential are of no use.
    Refused,
}

impl End {
    fn arrange(self, told: &Told) {
        told.api.cluster(|cluster| match self {
            Self::Joined => {}
            Self::JoinedLate => cluster.approves = false,
            Self::Refused => {
                let kubeconfig = cluster.kubeconfig();
                cluster.publish_as(&kubeconfig, &jws::sign("abcdef.abcdefabcdefabcd", &kubeconfig));
                cluster.token_is_valid = false;
            }
        });
    }

    /// Does what is left to do when the program has been started.
    fn go_on(self, told: &Told) {
        if self == Self::JoinedLate {
            until_it_waits(told);
            told.api.cluster(Cluster::grant);
        }
    }

    fn codes(self) -> &'static [i32] {
        if self == Self::Refused { &[5, 6] } else { &[0] }
    }
}

/// Has `check` look at a machine for each source and each end, all at a time.
fn each_case(check: impl Fn(&Told, End) + Sync) {
    let ends = |source| [End::Joined, End::JoinedLate, End::Refused].map(|end| (source, end));
    let cases: Vec<_> = SOURCES.into_iter().flat_map(ends).collect();
    crate::support::all(
        &cases,
        |case| format!("{case:?}"),
        |&(source, end)| {
            let told = Told::by(source);
            end.arrange(&told);
            check(&told, end);
        },
    );
}

/// Until the program waits for an approval, with the token in bootstrap-kubelet.conf.
fn until_it_waits(told: &Told) {
    told.api.wait_for(Route::Watch, 1);
    let until = Instant::now() + Duration::from_mins(1);
    while !told.node.has(BOOTSTRAP_CONF) && Instant::now() < until {
        thread::sleep(Duration::from_millis(5));
    }
}

/// In all system calls of a run a secret is read from its source, written into a file of mode 0600 that is meant for it,
/// and read from there. It is not in what goes to the network, to standard output and error, to the service manager, into
/// the report, or into any other file.
#[test]
fn a_secret_goes_only_where_it_is_meant_to_go() {
    each_case(|told, end| {
        let source = told.source;
        let log = told.node.beside("strace.log");
        let child = told.start(&trace::traced(&log.display().to_string()));
        end.go_on(told);
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code().is_some_and(|code| end.codes().contains(&code)), "{said}");
        let warns =
            matches!(source, Source::Argument | Source::KernelCommandLine | Source::KernelConfiguration);
        assert_eq!(said.contains("all users of this machine can read the token"), warns, "{said}");

        let needles = told.needles();
        let nothing = |bytes: &[u8], what: &str| {
            let found = needles.in_bytes(bytes);
            assert!(found.is_empty(), "{what}: {found:?}");
        };
        nothing(&output.stdout, "standard output");
        nothing(&output.stderr, "standard error");
        nothing(&told.heard(), "the service manager");
        nothing(&fs::read(told.node.beside("report.json")).expect("a report"), "the report");
        let (all, with) = judge_calls(told, &log, &needles);
        fs::remove_file(&log).expect("the log");
        let files = judge_files(told, &needles);
        println!(
            "{source:?} {end:?}: {all} system calls, {with} of them with a secret; it stays in {files:?}"
        );
    });
}

/// Asserts that every call with a secret is meant to have it. How many calls there are, and how many have one.
fn judge_calls(told: &Told, log: &Path, needles: &Needles) -> (usize, usize) {
    let calls = trace::calls(log);
    let mut open_to_others: BTreeMap<String, bool> = BTreeMap::new();
    let mut with = 0;
    for call in &calls {
        if call.name.starts_with("open") {
            // The file that was opened stands behind the descriptor that it returned.
            open_to_others.insert(call.opened(), call.opens_for_others());
        }
        assert!(!call.says("Bearer "), "{}", call.text());
        let found = call.secrets(needles);
        if found.is_empty() {
            continue;
        }
        with += 1;
        assert!(is_meant(told, call, &found), "{}: {found:?}\n{}", call.name, call.text());
        assert_ne!(open_to_others.get(&call.path), Some(&true), "{} is open to others", call.path);
    }
    assert!(calls.len() > 50 && with > 0, "the trace was not understood");
    (calls.len(), with)
}

fn is_meant(told: &Told, call: &Call, found: &BTreeMap<&str, usize>) -> bool {
    let token = found.keys().all(|name| name.starts_with("token") || name.starts_with("bootstrap key"));
    let key = found.keys().all(|name| name.starts_with("client key") || name.starts_with("serving key"));
    let is = |file: &Path| Path::new(&call.path) == file;
    match call.name.as_str() {
        // What the process was started with.
        "execve" => matches!(told.source, Source::Argument | Source::Environment | Source::EnvironmentJoin),
        // A key is made.
        "getrandom" => key,
        "read" | "readv" | "pread64" if token && is_source(told, &call.path) => true,
        "read" | "readv" | "pread64" | "write" | "writev" => {
            let parent = told.node.at(BOOTSTRAP_CONF).with_file_name(TEMPORARY);
            let in_store = Path::new(&call.path).parent() == Some(&told.node.at(PKI));
            token && (is(&told.node.at(BOOTSTRAP_CONF)) || is(&parent)) || key && in_store
        }
        _ => false,
    }
}

/// The name of a file that is being written (src/disk.rs).
const TEMPORARY: &str = ".nodestrap.new";

fn is_source(told: &Told, path: &str) -> bool {
    match told.source {
        Source::StandardInput => path.starts_with("pipe:"),
        Source::KernelCommandLine | Source::KernelConfiguration => path == "/proc/cmdline",
        _ => Path::new(path) == told.file(),
    }
}

/// Asserts that a secret stays in its source and in files of the node's identity, which nobody else can read. Returns
/// these.
fn judge_files(told: &Told, needles: &Needles) -> Vec<String> {
    let mut holding = Vec::new();
    let mut pending = vec![told.node.beside("")];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).expect("a folder").map(|entry| entry.expect("an entry")) {
            let (path, kind) = (entry.path(), entry.file_type().expect("a type"));
            if kind.is_dir() {
                pending.push(path);
            } else if kind.is_file() && !needles.in_bytes(&fs::read(&path).expect("a file")).is_empty() {
                let mode = entry.metadata().expect("its mode").permissions().mode() & 0o777;
                assert_eq!(mode, 0o600, "{}", path.display());
                holding.push(path);
            }
        }
    }
    let is_source = |path: &PathBuf| *path == told.file();
    let is_meant = |path: &PathBuf| path.parent() == Some(&told.node.at(PKI)) || is_source(path);
    assert!(holding.iter().all(is_meant), "{holding:?}");
    let name = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    holding.iter().filter(|path| !is_source(path)).map(name).collect()
}

/// At its exit a process holds no secret any more, whole or in parts of eight bytes, but for what the kernel put on its
/// stack when it started: its own command line and environment, which only code that is not safe could overwrite.
#[test]
fn nothing_secret_is_left_in_memory_at_the_end() {
    each_case(|told, end| {
        judge_memory(told, end, &format!("{:?} {end:?}", told.source));
        if end == End::Joined {
            // Reads the pairs.
            judge_memory(told, end, &format!("{:?}, joined already", told.source));
        }
    });
}

fn judge_memory(told: &Told, end: End, case: &str) {
    let log = told.node.beside("held.log").display().to_string();
    let child = told.start(&memory::held(&log));
    end.go_on(told);
    let found = memory::at_exit(child, || told.needles());
    let by_the_kernel =
        matches!(told.source, Source::Argument | Source::Environment | Source::EnvironmentJoin);
    let allowed = by_the_kernel.then(|| ("token in [stack]".to_owned(), SECRET)).into_iter().collect();
    assert_eq!(found, allowed, "{case}");
    println!("{case}: at the exit {} bytes of secrets", found.values().sum::<usize>());
}

/// The secret half of a bootstrap token, in bytes.
const SECRET: usize = 16;

/// The same look at a process that waits for its approval finds what it needs: the look is not blind.
#[test]
fn what_is_in_use_is_seen_in_memory() {
    let told = Told::by(Source::Configuration);
    told.api.cluster(|cluster| cluster.approves = false);
    let mut child = told.start(&["env"]);
    until_it_waits(&told);
    let found = memory::scan(child.id(), &told.needles());
    child.kill().expect("a child to kill");
    child.wait().expect("its end");
    println!("while it waits: {found:#?}");
    for secret in ["token in ", "client key in PEM in ", "client key in Montgomery form in "] {
        assert!(found.keys().any(|place| place.starts_with(secret)), "{secret}: {found:?}");
    }
}
