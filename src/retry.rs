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
    /// The failure of this round that came furthest, while others are still to be asked.
    held: Option<Error>,
    /// What the round before said.
    last: Option<Error>,
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
        }
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

    /// Goes on at once after the failure of one of several endpoints: others are still to be asked in this round.
    ///
    /// # Errors
    /// As [`Self::pause`]; the pause itself is nothing.
    pub fn go_on(&mut self, error: Error, report: &mut Report) -> Result<()> {
        if error.retry() == Retry::Never || self.deadline.left(self.clock).is_none() {
            return self.pause(error, report);
        }
        self.show(&line(&error), report);
        self.hold(error);
        Ok(())
    }

    /// The failure to judge a round by, so that it does not hang on the order of the endpoints.
    fn hold(&mut self, error: Error) {
        if self.held.as_ref().is_none_or(|held| held.failure() <= error.failure()) {
            self.held = Some(error);
        }
    }

    /// Sleeps as long as `error` asks for, and shows it where it is news.
    ///
    /// The pause is drawn from nothing to a cap that doubles each time (full jitter, which spreads a fleet that failed
    /// at the same moment), and lies behind the server's Retry-After where there is one: that is the same for all whom
    /// the server turned away, so the cap is at least as long. Towards the deadline pauses
    /// take half of what is left, so that the time is used to its end.
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
        let mut said = said.to_owned();
        let error = match self.held.take() {
            Some(held) if error.retry() != Retry::Never && held.failure() > error.failure() => {
                self.show(&said, report);
                said = line(&held);
                held
            }
            _ => error,
        };
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
        let cap = limits::BACKOFF_START.saturating_mul(1 << self.attempts.min(16));
        let cap = cap.max(wish).min(limits::BACKOFF_CAP);
        self.attempts += 1;
        let Some(left) = deadline.left(self.clock) else {
            return Err(self.last.take().unwrap_or(error).healing(Retry::Never));
        };
        match left.checked_sub(wish).filter(|spare| *spare > limits::LAST_ATTEMPT) {
            Some(spare) => {
                self.show(&said, report);
                self.shown.swap(0, 1);
                self.shown[0].clear();
                self.clock.sleep(wish + self.clock.jitter(cap).min(spare / 2));
                self.last = Some(error);
                Ok(())
            }
            None => Err(error.healing(Retry::Never)),
        }
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

/// Whether a line is no news behind another: moments aside, since a wrong clock is read anew with each attempt.
fn says_the_same(one: &str, other: &str) -> bool {
    // RFC 3339, as `x509::utc` has it.
    let is_no_moment = |word: &&str| !(word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('Z'));
    one.split(' ').filter(is_no_moment).eq(other.split(' ').filter(is_no_moment))
}

/// What people are told while a failure heals.
fn line(error: &Error) -> String {
    format!("{error}; trying again")
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
    fn the_endpoint_that_came_furthest_speaks_for_its_round() {
        use Failure::{NotPublished, Unreachable};
        for (failures, word) in [
            (&[NotPublished, Unreachable][..], NotPublished),
            (&[Unreachable, NotPublished], NotPublished),
            (&[Unreachable, Unreachable], Unreachable),
            // Two rounds of two: the last whole one decides, whatever was said before.
            (&[NotPublished, Unreachable, Unreachable, Unreachable], Unreachable),
        ] {
            let clock = FakeClock::at(SystemTime::UNIX_EPOCH);
            let mut backoff = Backoff::new(&clock, Deadline::after(&clock, Duration::from_mins(1)));
            let mut end = Ok(());
            for (index, failure) in failures.iter().enumerate() {
                // What the last round wishes for lies behind the deadline.
                let wish = (index + 2 >= failures.len()).then_some(Duration::from_mins(1));
                let error = Error::new(Step::Discovery, *failure, "no").healing(Retry::UntilDeadline(wish));
                end = if index % 2 == 0 {
                    backoff.go_on(error, &mut Report::silent())
                } else {
                    backoff.pause(error, &mut Report::silent())
                };
            }
            assert_eq!(end.unwrap_err().failure(), word, "{failures:?}");
        }
    }

    #[test]
    fn what_cannot_heal_ends_a_round_at_once() {
        let clock = FakeClock::at(SystemTime::UNIX_EPOCH);
        let mut backoff = Backoff::new(&clock, Deadline::after(&clock, Duration::from_mins(1)));
        let published =
            Error::new(Step::Discovery, Failure::NotPublished, "no").healing(Retry::UntilDeadline(None));
        backoff.go_on(published, &mut Report::silent()).unwrap();
        let end = backoff.go_on(error(Retry::Never), &mut Report::silent());
        assert_eq!(end.unwrap_err().failure(), Failure::Unreachable);
    }

    #[test]
    fn a_refused_credential_is_tried_for_ten_seconds() {
        let (_, elapsed) = spent(Retry::Briefly(None));
        assert!(elapsed > Duration::from_secs(9) && elapsed < Duration::from_secs(10), "{elapsed:?}");
    }

    #[test]
    fn retry_after_is_kept_before_a_jitter_as_long() {
        // Each draw is the most: twice one second, then 1 s more than the cap of that attempt.
        let clock = FakeClock::at(SystemTime::UNIX_EPOCH);
        let mut backoff = Backoff::new(&clock, Deadline::after(&clock, Duration::from_hours(1)));
        let mut pause = |seconds| {
            let (before, wish) = (clock.elapsed(), Duration::from_secs(seconds));
            backoff.pause(error(Retry::UntilDeadline(Some(wish))), &mut Report::silent()).unwrap();
            clock.elapsed().saturating_sub(before).as_millis()
        };
        let pauses = [1, 1, 1, 1, 4, 60].map(&mut pause);
        assert_eq!(pauses, [2000, 2000, 2000, 3000, 8000, 65_000]);
    }

    #[test]
    fn retry_after_leaves_half_of_what_is_spare() {
        let wish = Duration::from_secs(29);
        // 29 s and the cap of 5 s, 26 s left: too little.
        assert_eq!(spent(Retry::UntilDeadline(Some(wish))), (1, Duration::from_secs(34)));
        assert_eq!(spent(Retry::UntilDeadline(Some(Duration::from_mins(1)))).0, 0);
    }

    #[test]
    fn what_cannot_heal_is_returned_at_once() {
        assert_eq!(spent(Retry::Never), (0, Duration::ZERO));
    }
}
