//! What was asked, what both said, and why it differs where it may.

use std::fmt::Debug;

use nodestrap::testing::error::{Error, ErrorKind};

use super::random::seed;

/// What nodestrap says when it refuses.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The kind, which is the program's exit code; none of what the library refuses without an error of its own.
    pub kind: Option<ErrorKind>,
    /// Of one kind are many; the words tell them apart.
    pub words: String,
}

impl Refusal {
    /// A refusal of no kind and without words, as of a parser that gives nothing.
    pub const BARE: Self = Self { kind: None, words: String::new() };
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { kind: Some(error.kind()), words: error.to_string() }
    }
}

impl From<String> for Refusal {
    fn from(words: String) -> Self {
        Self { kind: None, words }
    }
}

impl From<&str> for Refusal {
    fn from(words: &str) -> Self {
        words.to_owned().into()
    }
}

/// One question to both.
#[derive(Debug)]
pub struct Case<I, V> {
    /// nodestrap's value, or its error.
    pub ours: Result<V, Refusal>,
    /// Kubernetes' value, or its error.
    pub theirs: Result<V, String>,
    pub input: I,
}

impl<I, V> Case<I, V> {
    /// Refused by nodestrap alone, with this exit code and words that contain these.
    pub fn stricter(&self, kind: ErrorKind, words: &str) -> bool {
        self.theirs.is_ok() && self.refused(kind, words)
    }

    /// Refused by nodestrap, with this exit code where there is one, and words that contain these.
    pub fn refused(&self, kind: ErrorKind, words: &str) -> bool {
        self.ours
            .as_ref()
            .is_err_and(|error| error.kind.is_none_or(|own| own == kind) && error.words.contains(words))
    }

    /// Refused by Kubernetes alone, in words that contain these.
    pub fn laxer(&self, words: &str) -> bool {
        self.ours.is_ok() && self.theirs.as_ref().is_err_and(|error| error.contains(words))
    }
}

/// A difference that is meant.
pub struct Class<I, V> {
    /// What differs.
    pub name: &'static str,
    /// Why that is right.
    pub reason: &'static str,
    pub explains: fn(&Case<I, V>) -> bool,
}

/// A class of what is refused by nodestrap alone, by the kind of its error and its words.
macro_rules! refused {
    ($name:literal, $reason:literal, $kind:ident, $($words:literal),+) => {
        Class {
            name: $name,
            reason: $reason,
            explains: |case| {
                [$($words),+].iter().any(|words| case.stricter(nodestrap::testing::error::ErrorKind::$kind, words))
            },
        }
    };
}
pub(super) use refused;

/// The outcome of one question's cases.
pub struct DiffReport<I: 'static, V: 'static> {
    question: &'static str,
    classes: &'static [Class<I, V>],
    explained: Vec<usize>,
    accepted: usize,
    refused: usize,
    unexplained: Vec<String>,
}

/// What both said, and to what; the latter at any length, so that it can be tried again.
fn shown<I: Debug, V: Debug>(case: &Case<I, V>) -> String {
    let (ours, theirs) = (format!("{:?}", case.ours), format!("{:?}", case.theirs));
    let cut = |said: String| said.chars().take(400).collect::<String>();
    format!("ours: {}\ntheirs: {}\ninput: {:?}", cut(ours), cut(theirs), case.input)
}

/// So many unexplained differences are shown.
const SHOWN: usize = 10;

impl<I: Debug, V: Debug + PartialEq> DiffReport<I, V> {
    pub fn new(question: &'static str, classes: &'static [Class<I, V>]) -> Self {
        let explained = vec![0; classes.len()];
        Self { question, classes, explained, accepted: 0, refused: 0, unexplained: Vec::new() }
    }

    pub fn hold(&mut self, case: &Case<I, V>) {
        match (&case.ours, &case.theirs) {
            (Ok(ours), Ok(theirs)) if ours == theirs => self.accepted += 1,
            (Err(_), Err(_)) => self.refused += 1,
            _ => match self.classes.iter().position(|class| (class.explains)(case)) {
                Some(class) => self.explained[class] += 1,
                None => self.unexplained.push(shown(case)),
            },
        }
    }

    /// Prints the counts. Panics when there was a difference that nothing explains, or when hardly an input made sense
    /// to both.
    pub fn finish(self) {
        let explained: usize = self.explained.iter().sum();
        let inputs = self.accepted + self.refused + explained + self.unexplained.len();
        println!(
            "{}: {inputs} inputs (seed {}), {} taken alike, {} refused by both, {explained} differ as they should, {} otherwise",
            self.question,
            seed(),
            self.accepted,
            self.refused,
            self.unexplained.len()
        );
        for (class, count) in self.classes.iter().zip(&self.explained) {
            println!("    {count:6} {}: {}", class.name, class.reason);
        }
        let shown: Vec<_> = self.unexplained.iter().take(SHOWN).map(String::as_str).collect();
        assert!(
            shown.is_empty(),
            "{}: differences without an explanation:\n{}",
            self.question,
            shown.join("\n")
        );
        assert!(self.accepted * 20 >= inputs, "{}: hardly an input makes sense", self.question);
    }
}
