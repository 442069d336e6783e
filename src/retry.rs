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
    /// made near the end, so that no server's word takes the time that is there.
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
            None if left > limits::LAST_ATTEMPT && !self.last_made => {
                self.last_made = true;
                let end = (2 * limits::LAST_ATTEMPT).min(left / 2);
                left.saturating_sub(end + self.clock.jitter(cap.min(left / 4)))
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
                let is_last = index + 1 == failures.len();
                let retry = if is_last { Retry::Never } else { Retry::UntilDeadline(None) };
                let error = Error::new(Step::Discovery, *failure, "no").healing(retry);
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
    fn of_endpoints_that_came_as_far_the_one_that_was_asked_last_speaks() {
        let clock = FakeClock::at(SystemTime::UNIX_EPOCH);
        let mut backoff = Backoff::new(&clock, Deadline::after(&clock, Duration::from_mins(1)));
        let error = |words: &str| Error::new(Step::Discovery, Failure::Unreachable, words.to_owned());
        backoff.go_on(error("first").healing(Retry::UntilDeadline(None)), &mut Report::silent()).unwrap();
        let end = backoff.pause(error("second").healing(Retry::Never), &mut Report::silent()).unwrap_err();
        assert!(end.to_string().contains("second"), "{end}");
    }

    #[test]
    fn a_line_is_no_news_when_only_the_time_has_changed() {
        let line = "the certificate was valid until 2026-11-30T10:00:00Z, the clock says 2026-11-30T10:00:01Z, 1 second later: no";
        let later = line.replace("00:01Z, 1 second ", "01:02Z, 62 minutes ");
        assert!(says_the_same(line, line) && says_the_same(line, &later) && says_the_same(&later, line));
        for (one, other) in [
            (line.to_owned(), line.replace("no", "yes")),
            ("HTTP 503, busy".to_owned(), "HTTP 500, busy".to_owned()),
            ("no answer from 10.0.0.1:1".to_owned(), "no answer from 10.0.0.2:1".to_owned()),
            ("the second".to_owned(), "the first".to_owned()),
            ("the day".to_owned(), "the".to_owned()),
        ] {
            assert!(!says_the_same(&one, &other), "{one}");
        }
    }

    /// How long rounds of these failures, one of each endpoint, are tried again in a minute, and what they end with.
    fn rounds(of: &[(Failure, Retry)]) -> (Duration, Failure) {
        let clock = FakeClock::at(SystemTime::UNIX_EPOCH);
        let mut backoff = Backoff::new(&clock, Deadline::after(&clock, Duration::from_mins(1)));
        let (last, others) = of.split_last().unwrap();
        let error =
            |(failure, retry): &(Failure, Retry)| Error::new(Step::Discovery, *failure, "no").healing(*retry);
        loop {
            for other in others {
                backoff.go_on(error(other), &mut Report::silent()).unwrap();
            }
            if let Err(end) = backoff.pause(error(last), &mut Report::silent()) {
                return (clock.elapsed(), end.failure());
            }
        }
    }

    #[test]
    fn ten_seconds_end_a_round_only_where_each_endpoint_is_a_misfit() {
        use Failure::{Clock, NotPublished, NotTrusted, Unreachable};
        let misfit = (NotTrusted, Retry::Briefly(None));
        let until = |failure| (failure, Retry::UntilDeadline(None));
        let (grace, minute) = (Duration::from_secs(9)..Duration::from_secs(10), Duration::from_secs(59));
        for (round, failure) in [
            (&[misfit][..], NotTrusted),
            (&[misfit, misfit], NotTrusted),
            (&[misfit, misfit, misfit], NotTrusted),
            (&[(NotTrusted, Retry::Never), misfit], NotTrusted),
        ] {
            let (time, end) = rounds(round);
            assert!(grace.contains(&time) && end == failure, "{round:?}: {time:?}, {end:?}");
        }
        for (round, failure) in [
            (&[misfit, until(Unreachable)][..], NotTrusted),
            (&[until(Unreachable), misfit], NotTrusted),
            (&[misfit, until(NotPublished), misfit], NotTrusted),
            (&[until(Clock), misfit], Clock),
            (&[(Unreachable, Retry::Never), until(NotPublished)], NotPublished),
        ] {
            let (time, end) = rounds(round);
            assert!(time > minute && end == failure, "{round:?}: {time:?}, {end:?}");
        }
        let (time, end) = rounds(&[until(NotPublished), (Unreachable, Retry::Never)]);
        assert_eq!((time, end), (Duration::ZERO, NotPublished), "nobody is left to ask");
    }

    #[test]
    fn a_misfit_between_other_failures_begins_its_ten_seconds_anew() {
        let clock = FakeClock::at(SystemTime::UNIX_EPOCH);
        let mut backoff = Backoff::new(&clock, Deadline::after(&clock, Duration::from_mins(1)));
        let mut pause = |retry| backoff.pause(error(retry), &mut Report::silent());
        while clock.elapsed() < Duration::from_secs(7) {
            pause(Retry::Briefly(None)).unwrap();
        }
        pause(Retry::UntilDeadline(None)).unwrap();
        let since = clock.elapsed();
        while pause(Retry::Briefly(None)).is_ok() {}
        let spent = clock.elapsed().saturating_sub(since);
        assert!(spent > Duration::from_secs(9) && spent < Duration::from_secs(10), "{spent:?}");
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
        // 29 s and the cap of 5 s; 26 s are left, of which one second and a draw of at most 5 s stay for the last attempt.
        assert_eq!(spent(Retry::UntilDeadline(Some(wish))), (2, Duration::from_secs(54)));
    }

    #[test]
    fn a_wish_beyond_the_deadline_leaves_one_last_attempt_near_the_end() {
        for wish in [60, 61, 120, 86_400, u64::MAX] {
            for (drawn, end) in [(0, 59), (u32::MAX, 54)] {
                let clock = FakeClock::at(SystemTime::UNIX_EPOCH).drawing(drawn);
                let mut backoff = Backoff::new(&clock, Deadline::after(&clock, Duration::from_mins(1)));
                let wish = Retry::UntilDeadline(Some(Duration::from_secs(wish)));
                backoff.pause(error(wish), &mut Report::silent()).unwrap();
                assert_eq!(clock.elapsed(), Duration::from_secs(end), "{wish:?}");
                backoff.pause(error(wish), &mut Report::silent()).unwrap_err();
                assert_eq!(clock.elapsed(), Duration::from_secs(end), "only one");
            }
        }
        let (attempts, elapsed) = spent(Retry::Briefly(Some(Duration::from_mins(1))));
        assert!(attempts == 1 && elapsed < Duration::from_secs(10), "{attempts} {elapsed:?}");
    }

    #[test]
    fn another_failure_behind_the_last_attempt_is_tried_again() {
        let clock = FakeClock::at(SystemTime::UNIX_EPOCH);
        let mut backoff = Backoff::new(&clock, Deadline::after(&clock, Duration::from_mins(1)));
        backoff.pause(error(Retry::UntilDeadline(Some(Duration::MAX))), &mut Report::silent()).unwrap();
        backoff.pause(error(Retry::UntilDeadline(None)), &mut Report::silent()).unwrap();
        backoff
            .pause(error(Retry::UntilDeadline(Some(Duration::from_secs(1)))), &mut Report::silent())
            .unwrap();
        assert!(clock.elapsed() > Duration::from_secs(55));
    }

    #[test]
    fn what_cannot_heal_is_returned_at_once() {
        assert_eq!(spent(Retry::Never), (0, Duration::ZERO));
    }
}
