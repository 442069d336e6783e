//! Retrying: for what is retryable, until the deadline, with capped exponential pauses and full jitter. It computes;
//! its callers speak and sleep.

use std::time::Duration;

use crate::clock::{Clock, Deadline, short};
use crate::error::{Attempts, Error, ErrorKind, Result, Retry, Step};
use crate::limits;

/// The pauses between the attempts of one stage.
pub struct Backoff<'a> {
    clock: &'a dyn Clock,
    deadline: Deadline,
    began: Duration,
    /// All attempts that failed.
    failures: u32,
    /// The pauses since the last long success.
    attempts: u32,
    /// When the credential was first refused without success since.
    refused_since: Option<Duration>,
    /// What failed in this round of attempts, and in the one before.
    failed: [Vec<Event>; 2],
    /// The failure of this round that came furthest, while others are still to be asked.
    furthest: Option<Error>,
    /// What the round before came to.
    last: Option<Error>,
    /// The one attempt is made that a server's Retry-After beyond the deadline leaves.
    last_made: bool,
}

/// What tells one failure from another: of what, and where.
type Event = (Step, ErrorKind, String);

/// What to do before the next attempt.
#[derive(Debug)]
pub struct Pause {
    /// How long to wait; nothing where another endpoint is still to be asked.
    pub delay: Duration,
    /// What failed, for messages, where it is worth a line: the attempts before failed in another way, or with something
    /// else.
    pub news: Option<String>,
    /// What is waited for.
    retry: Retry,
    /// The server's Retry-After, where it is kept.
    retry_after: Option<Duration>,
    /// How long this kind of failure is retried from now on.
    left: Duration,
}

impl Pause {
    /// What failed and what comes next, for messages, where it is news.
    pub fn line(&self) -> Option<String> {
        self.news.as_ref().map(|news| format!("{news}; {}", self.prospect()))
    }

    /// What comes next, for messages. Drawn pauses are not shown.
    pub fn prospect(&self) -> String {
        match (self.retry_after.unwrap_or_default().as_secs(), self.retry) {
            (0, Retry::Briefly(_)) => format!("retrying for {}", short(self.left)),
            (0, _) => format!("retrying until the deadline ({})", short(self.left)),
            (retry_after, _) => format!("retrying in {retry_after} s, as the server asks"),
        }
    }
}

impl<'a> Backoff<'a> {
    /// Pauses that end at `deadline`.
    pub fn new(clock: &'a dyn Clock, deadline: Deadline) -> Self {
        Self {
            clock,
            deadline,
            began: clock.elapsed(),
            failures: 0,
            attempts: 0,
            refused_since: None,
            failed: [const { Vec::new() }; 2],
            furthest: None,
            last: None,
            last_made: false,
        }
    }

    /// Notes that a request was answered: a later refusal is a new one, and what failed before works again.
    pub fn accepted(&mut self) {
        self.end_refusal();
        self.last = None;
    }

    /// The stage's own deadline counts again, and with it one last attempt before that.
    fn end_refusal(&mut self) {
        if self.refused_since.take().is_some() {
            self.last_made = false;
        }
    }

    /// Starts over with short pauses, after a long success.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The next endpoint is asked at once after the failure of one of several: others are left in this round. `subject` is
    /// what the failure is about.
    ///
    /// # Errors
    /// The error to give up with, when the deadline has come.
    pub fn next_endpoint(&mut self, error: Error, subject: &str) -> Result<Pause> {
        let Some(left) = self.deadline.left(self.clock) else {
            return self.next(error, subject);
        };
        self.failures += 1;
        let news = self.news(&error, subject);
        let error = self.with_furthest(error);
        let retry = error.retry();
        self.furthest = Some(error);
        Ok(Pause { delay: Duration::ZERO, news, retry, retry_after: None, left })
    }

    /// One failure for all of a round, so that it does not hang on the order of the endpoints: each of them can be what
    /// heals.
    fn with_furthest(&mut self, error: Error) -> Error {
        match self.furthest.take() {
            Some(other) => {
                let retry = other.retry().beside(error.retry());
                let further = if other.progress() > error.progress() { other } else { error };
                further.with_retry(retry)
            }
            None => error,
        }
    }

    /// How long to wait after the last failure of a round, as long as it asks for.
    ///
    /// The pause is drawn from nothing to a cap that doubles each time (full jitter, which spreads a fleet that failed
    /// at the same moment), and lies behind the server's Retry-After where there is one: that is the same for all whom
    /// the server turned away, so the cap is at least as long. Towards the deadline pauses
    /// take half of what is left, so that the time is used to its end. Where Retry-After goes beyond, one last attempt is
    /// made near the end, so that no server's word takes the time that is there; another one where its jitter, which
    /// spreads a fleet, has left time for that.
    ///
    /// # Errors
    /// `error` itself when it is not retryable or there is no time for another attempt. When the deadline has come
    /// already, it cut the last attempt short, and what the attempt before said is the truer word. Of several endpoints
    /// the one that came furthest speaks for the round.
    pub fn next(&mut self, error: Error, subject: &str) -> Result<Pause> {
        self.failures += 1;
        let news = self.news(&error, subject);
        let is_final = error.retry() == Retry::Never;
        let error = self.with_furthest(error);
        let (retry_after, deadline) = match error.retry() {
            _ if is_final => return Err(error.with_retry(Retry::Never)),
            Retry::Never => return Err(error),
            Retry::UntilDeadline(retry_after) => {
                self.end_refusal();
                (retry_after, self.deadline)
            }
            Retry::Briefly(retry_after) => {
                if self.refused_since.is_none() {
                    self.last_made = false;
                }
                let since = *self.refused_since.get_or_insert(self.clock.elapsed());
                let spent = self.clock.elapsed().saturating_sub(since);
                let grace = Deadline::after(self.clock, limits::REFUSAL_GRACE.saturating_sub(spent));
                (retry_after, self.deadline.earlier(Some(grace)))
            }
        };
        let asked = retry_after.unwrap_or_default();
        let retry_after = asked.min(limits::RETRY_AFTER_CAP);
        let cap = limits::BACKOFF_START.saturating_mul(1 << self.attempts.min(16));
        let cap = cap.max(retry_after).min(limits::BACKOFF_CAP);
        self.attempts += 1;
        let Some(left) = deadline.left(self.clock) else {
            let last = self.last.take().unwrap_or(error);
            return Err(self.given_up(last, deadline));
        };
        let spare = left.checked_sub(retry_after).filter(|spare| *spare > limits::LAST_ATTEMPT);
        let (retry_after, delay) = match spare {
            Some(spare) => (Some(asked), retry_after + self.clock.jitter(cap.min(spare / 2))),
            None if left > if self.last_made { 4 } else { 1 } * limits::LAST_ATTEMPT => {
                self.last_made = true;
                let end = (2 * limits::LAST_ATTEMPT).min(left / 2);
                (None, left.saturating_sub(end + self.clock.jitter(cap.min(left / 8))))
            }
            None => return Err(self.given_up(error, deadline)),
        };
        self.failed.swap(0, 1);
        self.failed[0].clear();
        let retry_after = retry_after.filter(|retry_after| *retry_after <= delay);
        let retry = error.retry();
        self.last = Some(error);
        Ok(Pause { delay, news, retry, retry_after, left })
    }

    fn given_up(&self, error: Error, deadline: Deadline) -> Error {
        let time = self.clock.elapsed().saturating_sub(self.began);
        let attempts = Attempts { count: self.failures, time, setting: deadline.setting() };
        error.with_retry(Retry::Never).given_up_after(attempts)
    }

    /// The failure as a line, unless one of the kind was in this round or in the one before.
    fn news(&mut self, error: &Error, subject: &str) -> Option<String> {
        let is_it = |event: &Event| (event.0, event.1) == (error.step(), error.kind()) && event.2 == subject;
        let is_news = !self.failed.iter().flatten().any(is_it);
        if !self.failed[0].iter().any(is_it) {
            self.failed[0].push((error.step(), error.kind(), subject.to_owned()));
        }
        is_news.then(|| error.to_string())
    }
}

#[cfg(test)]
mod tests;
