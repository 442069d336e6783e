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
    shown: String,
    /// What the attempt before said.
    last: Option<Error>,
}

impl<'a> Backoff<'a> {
    /// Pauses that end at `deadline`.
    pub fn new(clock: &'a dyn Clock, deadline: Deadline) -> Self {
        Self { clock, deadline, attempts: 0, refused_since: None, shown: String::new(), last: None }
    }

    /// Notes that a request was answered: a later refusal is a new one, and what failed before has healed.
    pub fn accepted(&mut self) {
        self.refused_since = None;
        self.last = None;
    }

    /// Begins anew with short pauses, after a long success.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// Sleeps as long as `error` asks for, and shows it where it is news.
    ///
    /// The pause is drawn from nothing to a cap that doubles each time (full jitter, which spreads a fleet that failed
    /// at the same moment), and lies behind the server's Retry-After where there is one. Towards the deadline pauses
    /// take half of what is left, so that the time is used to its end.
    ///
    /// # Errors
    /// `error` itself when waiting cannot heal it or there is no time for another attempt. When the deadline has come
    /// already, it cut the last attempt short, and what the attempt before said is the truer word.
    pub fn pause(&mut self, error: Error, report: &mut Report) -> Result<()> {
        let line = format!("{error}; trying again");
        self.pause_saying(error, &line, report)
    }

    /// The same, with a line of its own for people.
    ///
    /// # Errors
    /// As [`Self::pause`].
    pub fn pause_saying(&mut self, error: Error, line: &str, report: &mut Report) -> Result<()> {
        let (wish, deadline) = match error.retry() {
            Retry::Never => return Err(error),
            Retry::UntilDeadline(wish) => {
                self.refused_since = None;
                (wish, self.deadline)
            }
            Retry::Briefly(wish) => {
                let since = *self.refused_since.get_or_insert(self.clock.elapsed());
                let spent = self.clock.elapsed().saturating_sub(since);
                let grace = Deadline::after(self.clock, limits::CREDENTIAL_GRACE.saturating_sub(spent));
                (wish, self.deadline.earlier(Some(grace)))
            }
        };
        let wish = wish.unwrap_or_default().min(limits::RETRY_AFTER_CAP);
        let cap = limits::BACKOFF_START.saturating_mul(1 << self.attempts.min(16)).min(limits::BACKOFF_CAP);
        self.attempts += 1;
        let Some(left) = deadline.left(self.clock) else {
            return Err(self.last.take().unwrap_or(error).healing(Retry::Never));
        };
        match left.checked_sub(wish).filter(|spare| *spare > limits::LAST_ATTEMPT) {
            Some(spare) => {
                self.show(line, report);
                self.clock.sleep(wish + self.clock.jitter(cap).min(spare / 2));
                self.last = Some(error);
                Ok(())
            }
            None => Err(error.healing(Retry::Never)),
        }
    }

    fn show(&mut self, line: &str, report: &mut Report) {
        if line != self.shown {
            report.say(line);
            line.clone_into(&mut self.shown);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::clock::fake::FakeClock;
    use crate::error::{Failure, Step};

    fn error(retry: Retry) -> Error {
        Error::new(Step::Discovery, Failure::Unreachable, "no").healing(retry)
    }

    fn spent(retry: Retry) -> (u32, Duration) {
        let clock = FakeClock::at(SystemTime::UNIX_EPOCH);
        let mut backoff = Backoff::new(&clock, Deadline::after(&clock, Duration::from_mins(1)));
        let mut attempts = 0;
        while backoff.pause(error(retry), &mut Report::silent()).is_ok() {
            attempts += 1;
        }
        (attempts, clock.elapsed())
    }

    #[test]
    fn pauses_double_up_to_the_cap_and_use_the_time_up() {
        // 0.25 + 0.5 + 1 + 2 + 4 = 7.75, then 5 s nine times: 52.75; then halves of what is left.
        let (attempts, elapsed) = spent(Retry::UntilDeadline(None));
        assert_eq!(attempts, 18);
        assert!(elapsed > Duration::from_secs(59) && elapsed < Duration::from_mins(1), "{elapsed:?}");
    }

    #[test]
    fn a_refused_credential_is_tried_for_ten_seconds() {
        let (_, elapsed) = spent(Retry::Briefly(None));
        assert!(elapsed > Duration::from_secs(9) && elapsed < Duration::from_secs(10), "{elapsed:?}");
    }

    #[test]
    fn retry_after_is_kept_before_the_jitter() {
        let wish = Duration::from_secs(29);
        assert_eq!(spent(Retry::UntilDeadline(Some(wish))), (2, 2 * wish + Duration::from_millis(750)));
        assert_eq!(spent(Retry::UntilDeadline(Some(Duration::from_mins(1)))).0, 0);
    }

    #[test]
    fn what_cannot_heal_is_returned_at_once() {
        assert_eq!(spent(Retry::Never), (0, Duration::ZERO));
    }
}
