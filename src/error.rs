//! What can go wrong: a failure's kind decides the exit code, its retry class whether it is tried again.
//!
//! [`ErrorKind`] and [`EXIT_CODES`] are all that has to change for a new exit code in `src/`; help and report follow.
//!
//! An error names the step, the thing and the next action, and keeps its cause. No error text holds a secret:
//! messages are built from checked, public values, and what a server sent is cut and cleaned by [`sanitize`].

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::clock::short;
use crate::sanitize::{one_line, reason, sanitize};

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
    /// None: a bug in this program.
    Internal,
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
            Self::Internal => "internal",
        })
    }
}

/// The kind of a failure. Its number is the process's exit code and is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ErrorKind {
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
pub const EXIT_CODES: [(ErrorKind, &str, &str); 11] = [
    (ErrorKind::Internal, "internal", "a bug in nodestrap: report it"),
    (ErrorKind::Usage, "usage", "correct the command line"),
    (
        ErrorKind::Unreachable,
        "unreachable",
        "API server unreachable or busy until the deadline: check address and network",
    ),
    (
        ErrorKind::NotPublished,
        "not-published",
        "no signed cluster-info, kubelet-config or file at the URL: see the message",
    ),
    (
        ErrorKind::NotTrusted,
        "not-trusted",
        "signature, pin, chain or certificate cannot be verified: check token and pin",
    ),
    (
        ErrorKind::Refused,
        "refused",
        "401 or 403 for token or client certificate: create a new one, or check its RBAC",
    ),
    (
        ErrorKind::Denied,
        "denied",
        "CSR denied, failed or invalid, or node name taken: contact the administrator",
    ),
    (ErrorKind::Pending, "pending", "not approved by the deadline: approve the CSR, then run again"),
    (ErrorKind::Clock, "clock", "a certificate is not valid at the system time: set the clock, or renew it"),
    (ErrorKind::Files, "files", "local files cannot be read, written or replaced: see the message"),
    (
        ErrorKind::ServingPending,
        "serving-pending",
        "joined, the serving certificate is not approved: approve it, then run again",
    ),
];

impl ErrorKind {
    /// The name that reports give this kind.
    pub fn name(self) -> &'static str {
        EXIT_CODES[self as usize - 1].1
    }

    /// The process's exit code.
    pub fn exit_code(self) -> u8 {
        self as u8
    }
}

/// Whether a failure is retryable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Never: the same attempt fails again.
    Never,
    /// Until the stage's deadline; not before the server's Retry-After, where it sent one.
    UntilDeadline(Option<Duration>),
    /// For [`crate::limits::REFUSAL_GRACE`] only: a token or a role binding may just have been made, a cluster-info
    /// changed.
    Briefly(Option<Duration>),
}

impl Retry {
    /// The retry class of two: as long as one of them is worth waiting for, it is, and not before the later Retry-After.
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

/// A failure of one step, as data: what decides over retries and exit codes, and what people read.
///
/// One pointer, so that every result that carries it stays small.
#[derive(Debug)]
pub struct Error(Box<Details>);

#[derive(Debug)]
struct Details {
    step: Step,
    kind: ErrorKind,
    retry: Retry,
    what: String,
    help: Option<Cow<'static, str>>,
    attempts: Option<Attempts>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What was tried before a failure was the last word.
#[derive(Debug)]
pub struct Attempts {
    /// How many there were.
    pub count: u32,
    /// In what time.
    pub time: Duration,
    /// The setting that ended them; empty where none did.
    pub setting: &'static str,
}

/// What every stage returns.
pub type Result<T> = std::result::Result<T, Error>;

/// A usage error: what was given, or something that it names, makes no sense.
pub fn usage(what: impl Into<String>) -> Error {
    Error::new(Step::Options, ErrorKind::Usage, what)
}

impl Error {
    /// A failure that is not retryable. `what` says what is wrong with what.
    pub fn new(step: Step, kind: ErrorKind, what: impl Into<String>) -> Self {
        Self::of(step, kind, what.into())
    }

    #[inline(never)]
    fn of(step: Step, kind: ErrorKind, what: String) -> Self {
        Self(Box::new(Details {
            step,
            kind,
            retry: Retry::Never,
            what,
            help: None,
            attempts: None,
            source: None,
        }))
    }

    /// Says what to do about it.
    pub fn with_help(mut self, help: impl Into<Cow<'static, str>>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Keeps its cause.
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Says whether it is retryable.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Says that it was the last of these attempts.
    pub fn given_up_after(mut self, attempts: Attempts) -> Self {
        self.0.attempts = Some(attempts);
        self
    }

    /// Adds words to what happened.
    pub fn with_note(mut self, note: &str) -> Self {
        self.0.what.push_str(note);
        self
    }

    /// The step that failed.
    pub fn step(&self) -> Step {
        self.0.step
    }

    /// Kind, and so exit code.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether it is retryable.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// How far the attempt came: of several endpoints the one with the greatest has the most to tell.
    pub fn progress(&self) -> u8 {
        match self.0.kind {
            ErrorKind::Internal | ErrorKind::Usage => 0,
            ErrorKind::Unreachable => 1,
            ErrorKind::NotPublished => 2,
            ErrorKind::NotTrusted => 3,
            ErrorKind::Refused | ErrorKind::Denied | ErrorKind::Pending | ErrorKind::ServingPending => 4,
            ErrorKind::Clock | ErrorKind::Files => 5,
        }
    }

    /// What to do about it, as one line.
    pub fn help(&self) -> Option<String> {
        self.0.help.as_deref().map(one_line)
    }

    /// The error, its causes, and how long it was tried, on one line.
    pub fn summary(&self) -> String {
        let mut text = self.chain().join(": ");
        if let Some(Attempts { count, time, setting }) = self.0.attempts
            && (count > 1 || !setting.is_empty())
        {
            let count = if count > 1 { format!("{count} attempts in ") } else { String::new() };
            text.extend([" (gave up after ", &count, &short(time)]);
            let colon = if setting.is_empty() { "" } else { ": " };
            text.extend([colon, setting, ")"]);
        }
        text
    }

    /// The error and its causes, outermost first, each as one line.
    pub fn chain(&self) -> Vec<String> {
        let mut chain = vec![one_line(&format!("{}: {}", self.0.step, self.0.what))];
        let mut next = self.source();
        while let Some(cause) = next {
            chain.push(sanitize(&reason(cause)));
            next = cause.source();
        }
        chain
    }
}

/// One line: the whole chain, and the help behind it.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain().join(": "))?;
        self.help().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_codes() {
        for (index, (failure, name, _)) in EXIT_CODES.iter().enumerate() {
            assert_eq!(failure.exit_code() as usize, index + 1);
            assert_eq!(failure.name(), *name);
        }
    }

    #[test]
    fn the_chain_is_one_line_with_causes() {
        let error = Error::new(Step::Files, ErrorKind::Files, "cannot write x")
            .caused_by(std::io::Error::other("disk\n\u{1b}[31mfull"));
        assert_eq!(error.to_string(), "files: cannot write x: disk  [31mfull");
        let error = Error::new(Step::Options, ErrorKind::Usage, "/a\n\u{1b}[2J\u{202e}b cannot be read");
        assert_eq!(error.chain(), ["options: /a  [2J b cannot be read"]);
    }
}
