//! What can go wrong: a failure's kind decides the exit code, its retry class decides whether time can heal it.
//!
//! An error names the step, the thing and the next action, and keeps its cause. No error text holds a secret:
//! messages are built from checked, public values, and what a server said is cut and cleaned by [`foreign`].

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::limits;

/// The step of a join that failed, as the word that begins an error line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Reading the command line and what it names.
    Options,
    /// Fetching cluster-info over a connection that is not verified yet.
    Discovery,
    /// Deciding whether that cluster-info, and the connection it came over, can be trusted.
    Trust,
    /// Asking the trusted cluster what it has for this node.
    Cluster,
    /// Submitting the certificate request.
    Request,
    /// Waiting until the request is approved and the certificate issued.
    Approval,
    /// Judging the issued certificate.
    Certificate,
    /// Reading and writing the node's files.
    Files,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Options => "options",
            Self::Discovery => "discovery",
            Self::Trust => "trust",
            Self::Cluster => "cluster",
            Self::Request => "request",
            Self::Approval => "approval",
            Self::Certificate => "certificate",
            Self::Files => "files",
        })
    }
}

/// The kind of a failure. Its number is the process's exit code and is stable. The greater of two is the one that came
/// further on its way to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Failure {
    /// A bug in this program.
    Internal = 1,
    /// The command line, or something that it names, does not make sense.
    Usage = 2,
    /// The API server could not be reached, or was too busy, until the deadline.
    Unreachable = 3,
    /// A server answered, but not with a cluster-info that is signed for this token, until the deadline; or the
    /// trusted cluster has no configuration for kubelets.
    NotPublished = 4,
    /// Signature, pin, certificate chain, host name or issued certificate do not verify.
    NotTrusted = 5,
    /// The API server refused the token or the client certificate.
    Refused = 6,
    /// The certificate request was denied, or failed, or is invalid to the API server; or a Ready Node has the name.
    Denied = 7,
    /// The certificate request is still waiting for approval at the deadline.
    Pending = 8,
    /// A certificate is not valid at the time that this machine's clock shows, until the deadline.
    Clock = 9,
    /// The node's own files cannot be read, written or replaced.
    Files = 10,
    /// The node is joined, but its request for a serving certificate is still waiting for approval.
    ServingPending = 11,
}

/// The one table of exit codes, which `--help` prints and the README repeats: kind, name in reports, what to do.
pub const FAILURES: [(Failure, &str, &str); 11] = [
    (Failure::Internal, "internal", "a bug in nodestrap: report it"),
    (Failure::Usage, "usage", "correct the command line"),
    (
        Failure::Unreachable,
        "unreachable",
        "API server out of reach or busy until the deadline: check address and network",
    ),
    (
        Failure::NotPublished,
        "not-published",
        "no signed cluster-info, no kubelet-config, no file at the URL: see the message",
    ),
    (
        Failure::NotTrusted,
        "not-trusted",
        "signature, pin, chain or certificate does not verify: check token and pin",
    ),
    (
        Failure::Refused,
        "refused",
        "401 or 403 for token or client certificate: make a new one, or check its RBAC",
    ),
    (
        Failure::Denied,
        "denied",
        "request denied, failed or invalid, or node name taken: ask who runs the cluster",
    ),
    (Failure::Pending, "pending", "not approved by the deadline: approve the request, then run again"),
    (
        Failure::Clock,
        "clock",
        "a certificate is not valid at this machine's time: set the clock, or renew it",
    ),
    (Failure::Files, "files", "local files cannot be read, written or replaced: follow the message"),
    (
        Failure::ServingPending,
        "serving-pending",
        "joined, the serving certificate is not approved: approve it, then run again",
    ),
];

impl Failure {
    /// The name that reports give this kind.
    #[must_use]
    pub fn name(self) -> &'static str {
        FAILURES[self as usize - 1].1
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        self as u8
    }
}

/// Whether waiting can heal a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Never: the same attempt fails again.
    Never,
    /// Until the stage's deadline; not before the server's own wish, where it named one.
    UntilDeadline(Option<Duration>),
    /// For [`limits::REFUSAL_GRACE`] only: a token or a role binding may just have been made, a cluster-info changed.
    Briefly(Option<Duration>),
}

impl Retry {
    /// What heals one of two: as long as one of them is worth waiting for, it is, and not before the later wish.
    #[must_use]
    pub fn beside(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, retry) | (retry, Self::Never) => retry,
            (Self::Briefly(one), Self::Briefly(other)) => Self::Briefly(one.max(other)),
            (
                Self::Briefly(one) | Self::UntilDeadline(one),
                Self::Briefly(other) | Self::UntilDeadline(other),
            ) => Self::UntilDeadline(one.max(other)),
        }
    }
}

/// A failure of one step, with what heals it.
#[derive(Debug)]
pub struct Error {
    step: Step,
    failure: Failure,
    retry: Retry,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What every stage returns.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure that no waiting heals. `message` says what is wrong with what, and what to do.
    pub fn new(step: Step, failure: Failure, message: impl Into<String>) -> Self {
        Self { step, failure, retry: Retry::Never, message: message.into(), source: None }
    }

    /// The same with its cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same with another answer to whether waiting heals it.
    #[must_use]
    pub fn healing(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same with words added at the end of the message.
    #[must_use]
    pub fn with_note(mut self, note: &str) -> Self {
        self.message.push_str(note);
        self
    }

    /// Kind, and so exit code.
    #[must_use]
    pub fn failure(&self) -> Failure {
        self.failure
    }

    /// Whether waiting can heal it.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// The error and its causes, outermost first, each as one line.
    #[must_use]
    pub fn chain(&self) -> Vec<String> {
        let mut chain = vec![one_line(&format!("{}: {}", self.step, self.message))];
        let mut next = self.source();
        while let Some(cause) = next {
            chain.push(foreign(&cause.to_string()));
            next = cause.source();
        }
        chain
    }
}

/// The whole chain on one line, so that a log line or a console shows the cause too.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain().join(": "))
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

/// Text that a server or a file supplied, made fit for one line of a terminal or a log: control characters (escape
/// sequences, line breaks) become spaces, and no more than [`limits::FOREIGN_TEXT`] characters are kept.
#[must_use]
pub fn foreign(text: &str) -> String {
    let mut rest = text.trim().chars();
    let mut clean: String = rest.by_ref().take(limits::FOREIGN_TEXT).map(harmless).collect();
    if rest.next().is_some() {
        clean.push('…');
    }
    clean
}

/// Text with a space for each control character, whole: a path that a message names can hold any.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.chars().map(harmless).collect()
}

fn harmless(c: char) -> char {
    if c.is_control() || is_bidi(c) { ' ' } else { c }
}

/// Characters that make a terminal show text in another order than it is written (Unicode TR 9, section 2).
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_codes() {
        for (index, (failure, name, _)) in FAILURES.iter().enumerate() {
            assert_eq!(failure.exit_code() as usize, index + 1);
            assert_eq!(failure.name(), *name);
        }
    }

    #[test]
    fn the_chain_is_one_line_with_causes() {
        let error = Error::new(Step::Files, Failure::Files, "cannot write x")
            .caused_by(std::io::Error::other("disk\n\u{1b}[31mfull"));
        assert_eq!(error.to_string(), "files: cannot write x: disk  [31mfull");
    }

    #[test]
    fn a_path_of_control_characters_is_shown_on_one_line() {
        let error = Error::new(Step::Options, Failure::Usage, "/a\n\u{1b}[2J\u{202e}b cannot be read");
        assert_eq!(error.chain(), ["options: /a  [2J b cannot be read"]);
    }

    #[test]
    fn foreign_text_is_cut() {
        assert_eq!(foreign(&"x".repeat(10_000)).chars().count(), limits::FOREIGN_TEXT + 1);
    }
}
