//! Runs the program with a time limit and a clean environment, and holds every run to what is true of all of them.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::process::{PATIENCE, tether};
pub use super::repository::program;
use super::{golden, schema, scratch, wording};

/// Far more than any run needs, on any machine, once nobody but itself keeps it waiting.
const LIMIT: Duration = Duration::from_mins(1);

/// Outcomes of the report and their exit codes.
const OUTCOMES: [(&str, i32); 18] = [
    ("joined", 0),
    ("already-joined", 0),
    ("prepared", 0),
    ("dry-run", 0),
    ("checked", 0),
    ("verified", 0),
    ("hashed", 0),
    ("internal", 1),
    ("usage", 2),
    ("unreachable", 3),
    ("not-published", 4),
    ("not-trusted", 5),
    ("refused", 6),
    ("denied", 7),
    ("pending", 8),
    ("clock", 9),
    ("files", 10),
    ("serving-pending", 11),
];

/// A run in progress.
pub struct Running {
    child: Killed,
    command: String,
    started: Instant,
    stdout: Option<JoinHandle<String>>,
    lines: Receiver<String>,
    /// The lines so far.
    said: String,
    directory: PathBuf,
    report: Option<PathBuf>,
    secrets: Vec<String>,
    golden: Option<golden::Run>,
}

/// A child that ends with this value.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A run that has ended.
pub struct Finished {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal.
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// The report, when one was asked for and written.
    pub report: Option<Value>,
    pub elapsed: Duration,
    command: String,
    directory: PathBuf,
}

/// Variables that lead to a proxy or a service manager: no run inherits them from whoever runs the tests.
const INHERITED: [&str; 5] = ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "NOTIFY_SOCKET"];

/// Starts the program with these arguments. `directory` is listed when the test fails; no text in `secrets` may
/// appear in anything that it says.
pub fn start(args: &[OsString], directory: &Path, report: Option<PathBuf>, secrets: Vec<String>) -> Running {
    let mut command = command();
    command.args(args);
    start_as(&command, directory, report, secrets)
}

/// The program without arguments, and without the proxies and the service manager of whoever runs the tests.
pub fn command() -> Command {
    let mut command = Command::new(program());
    for variable in INHERITED {
        command.env_remove(variable);
    }
    command
}

/// The same on a machine whose kernel command line is the text of this file.
pub fn command_under(kernel_line: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount --bind \"$1\" /proc/cmdline && shift && exec \"$@\"", "sh"]);
    command.arg(kernel_line).arg(program());
    for variable in INHERITED {
        command.env_remove(variable);
    }
    command
}

/// Runs a command that ends as the program does, whatever becomes of its output.
///
/// # Panics
/// When it takes too long.
pub fn output(command: &mut Command) -> Output {
    let mut running = start_as(command, Path::new("/nonexistent"), None, Vec::new());
    let status = running.wait().expect("it ends in time");
    let (stdout, stderr) = running.rest();
    if let Some(golden) = running.golden {
        golden.end(status.code(), &stderr, None);
    }
    Output { status, stdout: stdout.into_bytes(), stderr: stderr.into_bytes() }
}

/// The same of a command whose standard input, output and error are set.
///
/// # Panics
/// When it takes too long.
pub fn status(command: &mut Command) -> ExitStatus {
    let golden = golden::Run::begin(command);
    let mut child = Killed(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")));
    let status = ended(&mut child).expect("it ends in time");
    if let Some(golden) = golden {
        golden.end(status.code(), "", None);
    }
    status
}

/// Starts a command that ends as the program does, as [`start`] does.
pub fn start_as(
    command: &Command,
    directory: &Path,
    report: Option<PathBuf>,
    secrets: Vec<String>,
) -> Running {
    start_with_input(command, None, directory, report, secrets)
}

/// The same with this text on standard input.
pub fn start_with_input(
    command: &Command,
    input: Option<&str>,
    directory: &Path,
    report: Option<PathBuf>,
    secrets: Vec<String>,
) -> Running {
    let text = format!("{command:?}");
    let golden = golden::Run::begin(command);
    let mut command = tether(command);
    let stdin = input.map_or_else(Stdio::null, |_| Stdio::piped());
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = Instant::now();
    // By this thread, which may have mounts of its own, and which waits for it.
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{text}: {error}"));
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
        // A program that does not read closes its end early.
        let _ = pipe.write_all(input.as_bytes());
    }
    let stdout = Some(drain(child.stdout.take().expect("a pipe")));
    let lines = lines(child.stderr.take().expect("a pipe"));
    let (child, said, directory) = (Killed(child), String::new(), directory.to_owned());
    Running { child, command: text, started, stdout, lines, said, directory, report, secrets, golden }
}

fn drain(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Each line with its end, as it comes.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut pipe, mut line) = (BufReader::new(pipe), Vec::new());
        while pipe.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
            line.clear();
        }
    });
    lines
}

/// Waits for the end of a child. `None` where it had to be killed at the time limit.
fn ended(child: &mut Killed) -> Option<ExitStatus> {
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        if let Some(status) = child.0.try_wait().expect("its status") {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.0.kill().expect("a child to kill");
    child.0.wait().expect("its status");
    None
}

impl Running {
    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.0.id()
    }

    /// Kills it at once, as a power cut would, and waits for its end.
    pub fn kill(mut self) {
        self.child.0.kill().expect("a child to kill");
        self.child.0.wait().expect("its status");
    }

    /// Waits for a line on standard error that contains `text`.
    ///
    /// # Panics
    /// When it does not come.
    pub fn line_with(&mut self, text: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no line with {text:?} after:\n{}", self.said);
            };
            self.said.push_str(&line);
            if line.contains(text) {
                return line.trim_end().to_owned();
            }
        }
    }

    /// Waits for the hint that a person has to approve: the name of the request.
    ///
    /// # Panics
    /// When it does not come.
    pub fn pending_request(&mut self) -> String {
        const COMMAND: &str = "kubectl certificate approve ";
        let line = self.line_with(COMMAND);
        let name = line.split_once(COMMAND).and_then(|(_, rest)| rest.split_whitespace().next());
        let is_of_name = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        name.expect("a name").trim_matches(|c| !is_of_name(c)).to_owned()
    }

    fn wait(&mut self) -> Option<ExitStatus> {
        ended(&mut self.child)
    }

    /// All that it said, once it has ended.
    fn rest(&mut self) -> (String, String) {
        self.said.extend(self.lines.iter());
        let stdout = self.stdout.take().and_then(|thread| thread.join().ok());
        (stdout.expect("standard output"), std::mem::take(&mut self.said))
    }

    /// Waits for its end, and checks what must hold for every run.
    ///
    /// # Panics
    /// When it takes too long, says a secret, or its lines, report and exit code do not agree.
    pub fn finish(mut self) -> Finished {
        let status = self.wait();
        let elapsed = self.started.elapsed();
        let report_text =
            self.report.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        let (stdout, stderr) = self.rest();
        let finished = Finished {
            code: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
            stdout,
            stderr,
            report: serde_json::from_str(&report_text).ok(),
            elapsed,
            command: self.command,
            directory: self.directory,
        };
        finished.check(status.is_some(), "still running at the time limit");
        for secret in self.secrets.iter().map(String::as_str).chain(["PRIVATE KEY-----"]) {
            let said =
                [&finished.stdout, &finished.stderr, &report_text].iter().any(|text| text.contains(secret));
            finished.check(!said, "a secret was printed");
        }
        let has_report = self.report.is_none() || finished.report.is_some();
        // A killed run has none; any other one says so.
        let is_told = finished.stderr.contains("nodestrap: warning: files: the report ");
        finished.check(has_report || finished.code.is_none() || is_told, "no report, or not JSON");
        let misfit = wording::misfit(&finished.stderr, finished.report.as_ref());
        finished.check(misfit.is_none(), misfit.as_deref().unwrap_or_default());
        let misfit = finished.report.as_ref().and_then(schema::misfit);
        finished.check(misfit.is_none(), misfit.as_deref().unwrap_or_default());
        finished.check_agreement();
        if let Some(golden) = self.golden {
            golden.end(finished.code, &finished.stderr, finished.report.as_ref());
        }
        finished
    }
}

impl Finished {
    /// Asserts the exit code that goes with an outcome, and the outcome in the report when there is one.
    pub fn expect(&self, outcome: &str) -> &Self {
        let (_, code) =
            OUTCOMES.iter().find(|(name, _)| *name == outcome).expect("an outcome of the contract");
        self.check(self.code == Some(*code), &format!("expected {outcome} ({code})"));
        if let Some(report) = &self.report {
            self.check(report["outcome"] == outcome, &format!("expected {outcome} in the report"));
        }
        self
    }

    /// Asserts that it ended well, whatever there was to do.
    pub fn check_success(&self) {
        self.check(self.code == Some(0), "expected success");
    }

    /// Asserts that standard error contains each of these.
    pub fn says(&self, texts: &[&str]) -> &Self {
        for text in texts {
            self.check(self.stderr.contains(text), &format!("expected {text:?} on standard error"));
        }
        self
    }

    /// Panics with everything that helps to see why.
    pub fn check(&self, holds: bool, expectation: &str) {
        assert!(holds, "{expectation}\n{}", self.account());
    }

    /// The report.
    ///
    /// # Panics
    /// When none was asked for.
    pub fn report(&self) -> &Value {
        self.report.as_ref().expect("a report")
    }

    fn account(&self) -> String {
        let mut text = format!("$ {}\nstatus: {:?} after {:?}\n", self.command, self.code, self.elapsed);
        for (name, content) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            let _ = writeln!(text, "--- {name}\n{content}");
        }
        let _ = writeln!(text, "--- report\n{:?}", self.report);
        let _ = writeln!(text, "--- files\n{}", scratch::tree(&self.directory).join("\n"));
        text
    }

    /// One error line exactly on failure, all lines ours, and a report that says what the exit code says.
    fn check_agreement(&self) {
        let Some(code) = self.code else { return };
        let errors = self.stderr.lines().filter(|line| line.starts_with("nodestrap: error: ")).count();
        self.check(errors == usize::from(code != 0), "one error line on failure, none on success");
        let mut end = self.stderr.lines().rev().peekable();
        let help = end.next_if(|line| line.starts_with("nodestrap: help: "));
        let is_last = end.next().is_some_and(|line| line.starts_with("nodestrap: error: "));
        self.check(is_last == (code != 0), "the error line, and help at most, are the last");
        let helps = self.stderr.lines().filter(|line| line.starts_with("nodestrap: help: ")).count();
        self.check(helps == usize::from(help.is_some()), "help behind the error only");
        let strange = self.stderr.lines().find(|line| !line.starts_with("nodestrap: "));
        self.check(strange.is_none(), &format!("a line without the program's name: {strange:?}"));
        if let Some(report) = &self.report {
            self.check(report["exitCode"] == code, "the report has another exit code");
            let outcome = report["outcome"].as_str().unwrap_or_default();
            self.check(OUTCOMES.contains(&(outcome, code)), "outcome and exit code do not belong together");
            let chain = report["error"].as_array().map_or(0, Vec::len);
            self.check((chain > 0) == (code != 0), "an error chain exactly on failure");
            let told = report["help"].as_str().map(|help| format!("nodestrap: help: {help}"));
            self.check(told.as_deref() == help, "the report has other help than standard error");
        }
    }
}
