//! The oracle: one process answers all questions of a test, a line each.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// What Kubernetes' code returns: a value, or the words of its error.
pub type Answer = Result<Value, String>;

#[derive(Debug)]
pub struct Oracle {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// The program, which `oracle.sh` builds unless its cache has it, of `$KUBERNETES` or the newest version.
fn program() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| built(&mut Command::new(SCRIPT)))
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kubernetes/oracle.sh");

fn built(script: &mut Command) -> String {
    let output = script.stderr(Stdio::inherit()).output().expect("a shell");
    assert!(output.status.success(), "the oracle was not built");
    String::from_utf8(output.stdout).expect("a path").trim().to_owned()
}

impl Oracle {
    /// Starts the program. It ends when this value, or the whole test, does.
    pub fn start() -> Self {
        Self::run(program())
    }

    /// The same of one version in `tests/kubernetes/versions`, as in `1.36`.
    pub fn of(version: &str) -> Self {
        Self::run(&built(Command::new(SCRIPT).env("KUBERNETES", version)))
    }

    fn run(program: &str) -> Self {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the oracle starts");
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, questions, answers }
    }

    /// Asks one question. Panics when it makes no sense to the oracle.
    pub fn ask(&mut self, question: &str, input: &Value) -> Answer {
        let line = format!("{}\n", json!({"question": question, "input": input}));
        self.questions.as_mut().expect("a pipe").write_all(line.as_bytes()).expect("the oracle reads");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the oracle answers");
        let mut answer: Value =
            serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{e}: {answer:?} for {line}"));
        assert!(answer["bug"].is_null(), "{} for {line}", answer["bug"].as_str().unwrap_or_default());
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["value"].take()),
        }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // The end of its input is its end.
        self.questions = None;
        let _ = self.child.wait();
    }
}

/// Bytes as the oracle takes them.
pub fn bytes(bytes: impl AsRef<[u8]>) -> Value {
    BASE64_STANDARD.encode(bytes).into()
}

/// Bytes as the oracle gives them; null for none.
pub fn given_bytes(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().unwrap_or_default()).expect("base64")
}

/// A text of the oracle's.
pub fn given_text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
