//! Children that cannot outlive the tests, and programs that run to their end.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{LazyLock, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

/// Longest wait for anything that a healthy machine does in seconds; no verdict hangs on its exact value.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Asks `probe` until it has an answer.
///
/// # Panics
/// When [`PATIENCE`] runs out; it names `what`.
pub fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A command that the kernel kills when the test binary ends, however it ends: `setpriv` asks for that and then
/// becomes `program`, so that the child's process id is the program's. Start it with [`spawn`].
pub fn tethered(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// The same for a command that has arguments and an environment.
pub fn tether(command: &Command) -> Command {
    let mut whole = tethered(command.get_program());
    whole.args(command.get_args());
    for (variable, value) in command.get_envs() {
        match value {
            Some(value) => whole.env(variable, value),
            None => whole.env_remove(variable),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        whole.current_dir(directory);
    }
    whole
}

type Order = (Command, mpsc::Sender<std::io::Result<Child>>);

/// Starts `command` from a thread that lives as long as the process: the kernel takes the end of the starting *thread*
/// for the parent's death, and the thread of a test ends before the cluster that it started.
pub fn spawn(command: Command) -> Child {
    static KEEPER: LazyLock<Mutex<mpsc::Sender<Order>>> = LazyLock::new(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let shown = format!("{command:?}");
    let (answer, result) = mpsc::channel();
    KEEPER.lock().unwrap().send((command, answer)).unwrap();
    result.recv().unwrap().unwrap_or_else(|e| panic!("cannot start {shown}: {e}"))
}

/// A program that runs beside the tests. It is killed when this value goes or the test binary ends; the end of its
/// log is shown when a test panics.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts a [`tethered`] command with its output in `log`, after what an earlier run wrote there.
    pub fn start(mut command: Command, log: PathBuf) -> Self {
        let file = File::options().create(true).append(true).open(&log).expect("the log opens");
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: spawn(command), log }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks the program to end, and waits until it has.
    pub fn terminate(&mut self) {
        let _ = run(Command::new("kill").arg(self.id().to_string()));
        self.child.wait().unwrap();
    }

    /// Whether the program has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Panics with the log when the program has ended.
    pub fn assert_alive(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{} ended early: {status}\n{}", self.log.display(), tail(&self.log));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}:\n{}", self.log.display(), tail(&self.log));
        }
        // Fails only when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a log.
pub fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// Runs a program to its end and returns its output. Panics, with all it wrote, when it fails.
pub fn run(command: &mut Command) -> String {
    try_run(command).unwrap_or_else(|failure| panic!("{failure}"))
}

/// Runs a program to its end: its output, or on failure all that it wrote.
pub fn try_run(command: &mut Command) -> Result<String, String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("cannot run {}: {e}", command.get_program().display()));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?} failed: {}\n{stdout}{stderr}", output.status))
}
