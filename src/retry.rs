//! Retrying: for what can heal, until the deadline, with capped exponential pauses and full jitter.

use std::time::Duration;

use crate::clock::{Clock, Deadline};
use crate::error::{Error, Result, Retry};
use crate::limits;
use crate::report::Report;

/// The pauses between the attempts of one stage.
pub struct Backoff<'a> {
    clock: &'a dyn Clock,
    deadline: Deadline,
    attempts: u32,
    /// When the credential was first refused without success since.
    refused_since: Option<Duration>,
    /// What was shown in this round of attempts, and in the one before.
    shown: [Vec<String>; 2],
    /// What this round has come to so far, while others are still to be asked.
    held: Option<Error>,
    /// What the round before said.
    last: Option<Error>,
    /// The one attempt is made that a server's wish beyond the deadline leaves.
    last_made: bool,
}

impl<'a> Backoff<'a> {
    /// Pauses that end at `deadline`.
    pub fn new(clock: &'a dyn Clock, deadline: Deadline) -> Self {
        Self {
            clock,
            deadline,
            attempts: 0,
            refused_since: None,
            shown: [const { Vec::new() }; 2],
            held: None,
            last: None,
            last_made: false,
        }
    }

    /// Notes that a request was answered: a later refusal is a new one, and what failed before has healed.
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

    /// Begins anew with short pauses, after a long success.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// Goes on at once after the failure of one of several endpoints: others are still to be asked in this round.
    ///
    /// # Errors
    /// As [`Self::pause`] when the deadline has come; the pause itself is nothing.
    pub fn go_on(&mut self, error: Error, report: &mut Report) -> Result<()> {
        if self.deadline.left(self.clock).is_none() {
            return self.pause(error, report);
        }
        self.show(&line(&error), report);
        self.held = Some(self.with_held(error));
        Ok(())
    }

    /// One failure for all of a round, so that it does not hang on the order of the endpoints: each of them can be what
    /// heals.
    fn with_held(&mut self, error: Error) -> Error {
        match self.held.take() {
            Some(held) => {
                let retry = held.retry().beside(error.retry());
                let further = if held.failure() > error.failure() { held } else { error };
                further.healing(retry)
            }
            None => error,
        }
    }

    /// Sleeps as long as `error` asks for, and shows it where it is news.
    ///
    /// The pause is drawn from nothing to a cap that doubles each time (full jitter, which spreads a fleet that failed
    /// at the same moment), and lies behind the server's Retry-After where there is one: that is the same for all whom
    /// the server turned away, so the cap is at least as long. Towards the deadline pauses
    /// take half of what is left, so that the time is used to its end. Where the wish goes beyond, one last attempt is
    /// made near the end, so that no server's word takes the time that is there; another one where its jitter, which
    /// spreads a fleet, has left time for that.
    ///
    /// # Errors
    /// `error` itself when waiting cannot heal it or there is no time for another attempt. When the deadline has come
    /// already, it cut the last attempt short, and what the attempt before said is the truer word. Of several endpoints
    /// the one that came furthest speaks for the round.
    pub fn pause(&mut self, error: Error, report: &mut Report) -> Result<()> {
        let line = line(&error);
        self.pause_saying(error, &line, report)
    }

    /// The same, with a line of its own for people.
    ///
    /// # Errors
    /// As [`Self::pause`].
    pub fn pause_saying(&mut self, error: Error, said: &str, report: &mut Report) -> Result<()> {
        let is_final = error.retry() == Retry::Never;
        let error = self.with_held(error);
        let (wish, deadline) = match error.retry() {
            _ if is_final => return Err(error.healing(Retry::Never)),
            Retry::Never => return Err(error),
            Retry::UntilDeadline(wish) => {
                self.end_refusal();
                (wish, self.deadline)
            }
            Retry::Briefly(wish) => {
                if self.refused_since.is_none() {
                    self.last_made = false;
                }
                let since = *self.refused_since.get_or_insert(self.clock.elapsed());
                let spent = self.clock.elapsed().saturating_sub(since);
                let grace = Deadline::after(self.clock, limits::REFUSAL_GRACE.saturating_sub(spent));
                (wish, self.deadline.earlier(Some(grace)))
            }
        };
        let wish = wish.unwrap_or_default().min(limits::RETRY_AFTER_CAP);
        let cap = limits::BACKOFF_START.saturating_mul(1 << self.attempts.min(16));
        let cap = cap.max(wish).min(limits::BACKOFF_CAP);
        self.attempts += 1;
        let Some(left) = deadline.left(self.clock) else {
            return Err(self.last.take().unwrap_or(error).healing(Retry::Never));
        };
        let spare = left.checked_sub(wish).filter(|spare| *spare > limits::LAST_ATTEMPT);
        let time = match spare {
            Some(spare) => wish + self.clock.jitter(cap.min(spare / 2)),
            None if left > if self.last_made { 4 } else { 1 } * limits::LAST_ATTEMPT => {
                self.last_made = true;
                let end = (2 * limits::LAST_ATTEMPT).min(left / 2);
                left.saturating_sub(end + self.clock.jitter(cap.min(left / 8)))
            }
            None => return Err(error.healing(Retry::Never)),
        };
        self.show(said, report);
        self.shown.swap(0, 1);
        self.shown[0].clear();
        self.clock.sleep(time);
        self.last = Some(error);
        Ok(())
    }

    fn show(&mut self, text: &str, report: &mut Report) {
        let [this, before] = &mut self.shown;
        if this.iter().any(|shown| says_the_same(shown, text)) {
            return;
        }
        if !before.iter().any(|shown| says_the_same(shown, text)) {
            report.say(text);
        }
        this.push(text.to_owned());
    }
}

/// Whether a line is no news behind another: moments and how far they are apart aside, since a wrong clock is read anew
/// with each attempt.
fn says_the_same(one: &str, other: &str) -> bool {
    timeless(one).eq(timeless(other))
}

/// The words of a line that do not change with the clock: without moments in RFC 3339, as `x509::utc` has them, and
/// without numbers of a unit, as `clock::distance` has them.
fn timeless(line: &str) -> impl Iterator<Item = &str> {
    let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    let is_unit = |word: &str| ["second", "minute", "hour", "day"].iter().any(|unit| word.starts_with(unit));
    let mut words = line.split(' ').peekable();
    std::iter::from_fn(move || {
        loop {
            let word = words.next()?;
            if is_number(word) && words.next_if(|next| is_unit(next)).is_some() {
                continue;
            }
            if !(is_number(word) && word.contains('Z')) {
                return Some(word);
            }
        }
    })
}

/// What people are told while a failure heals.
fn line(error: &Error) -> String {
    format!("{error}; trying again")
}

#[cfg(test)]
mod tests;
