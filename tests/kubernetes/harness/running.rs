//! Runs of nodestrap.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
};

use serde_json::Value;

use super::{PATIENCE, process::spawn, schema, wording};

/// A run of nodestrap that has not ended yet.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    report: PathBuf,
}

impl Running {
    /// Starts a command that writes its report into `report`.
    pub fn start(mut command: Command, report: PathBuf) -> Self {
        // A report of an earlier run must not pass for this one's.
        let _ = fs::remove_file(&report);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = spawn(command);
        let (sender, lines) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines, seen: Vec::new(), report }
    }

    /// Waits for a line on stderr that contains `text`.
    pub fn line_with(&mut self, text: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no line with {text:?} after:\n{}", self.seen.join("\n"));
            };
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Waits for the hint that a person has to approve: the name of the request.
    pub fn pending_request(&mut self) -> String {
        let line = self.line_with("kubectl certificate approve ");
        let name = line.split("kubectl certificate approve ").nth(1).unwrap();
        name.split_whitespace()
            .next()
            .unwrap()
            .trim_matches(|c: char| !c.is_alphanumeric() && c != '-' && c != '_')
            .into()
    }

    /// Waits until it ends by itself.
    pub fn finish(mut self) -> Outcome {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end:\n{}", self.seen.join("\n")),
            }
        }
        let status = self.child.wait().unwrap();
        let report = fs::read(&self.report)
            .ok()
            .map(|bytes| serde_json::from_slice(&bytes).expect("the report is JSON"));
        let said = self.seen.join("\n");
        wording::hold(&said, report.as_ref());
        schema::hold(report.as_ref());
        Outcome {
            code: status.code(),
            killed: status.signal() == Some(9),
            stderr: said,
            report: report.unwrap_or_default(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a run of nodestrap ended.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// SIGKILL ended it.
    pub killed: bool,
    pub stderr: String,
    /// The report, or null when there is none.
    pub report: Value,
}

impl Outcome {
    /// Asserts the exit code and, in the report, the outcome.
    #[track_caller]
    pub fn assert(&self, code: i32, outcome: &str) {
        let got = (self.code, self.report["outcome"].as_str());
        assert_eq!(got, (Some(code), Some(outcome)), "stderr:\n{}\nreport: {:#}", self.stderr, self.report);
        assert_eq!(self.report["exitCode"], code, "the report's code is the process's");
    }
}
