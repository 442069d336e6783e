use std::time::SystemTime;

use super::*;
use crate::clock::fake::FakeClock;
use crate::error::{ErrorKind, Step};

fn error(retry: Retry) -> Error {
    Error::new(Step::Discovery, ErrorKind::Unreachable, "no").with_retry(retry)
}

fn pause(backoff: &mut Backoff<'_>, clock: &FakeClock, error: Error) -> Result<()> {
    backoff.next(error, "").map(|pause| clock.sleep(pause.delay))
}

fn spent(retry: Retry) -> (u32, Duration) {
    let clock = FakeClock::at(SystemTime::UNIX_EPOCH);
    let mut backoff = Backoff::new(&clock, Deadline::after(&clock, Duration::from_mins(1)));
    let mut attempts = 0;
    while pause(&mut backoff, &clock, error(retry)).is_ok() {
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
    use ErrorKind::{NotPublished, Unreachable};
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
            let error = Error::new(Step::Discovery, *failure, "no").with_retry(retry);
            end = if index % 2 == 0 {
                backoff.next_endpoint(error, "").map(drop)
            } else {
                pause(&mut backoff, &clock, error)
            };
        }
        assert_eq!(end.unwrap_err().kind(), word, "{failures:?}");
    }
}

#[test]
fn of_endpoints_that_came_as_far_the_one_that_was_asked_last_speaks() {
    let clock = FakeClock::at(SystemTime::UNIX_EPOCH);
    let mut backoff = Backoff::new(&clock, Deadline::after(&clock, Duration::from_mins(1)));
    let error = |words: &str| Error::new(Step::Discovery, ErrorKind::Unreachable, words.to_owned());
    backoff.next_endpoint(error("first").with_retry(Retry::UntilDeadline(None)), "").unwrap();
    let end = backoff.next(error("second").with_retry(Retry::Never), "").unwrap_err();
    assert!(end.to_string().contains("second"), "{end}");
}

#[test]
fn a_failure_is_news_until_step_kind_or_subject_changes() {
    let clock = FakeClock::at(SystemTime::UNIX_EPOCH);
    let mut backoff = Backoff::new(&clock, Deadline::after(&clock, Duration::from_mins(1)));
    let (discovery, trust) = (Step::Discovery, Step::Trust);
    for (step, kind, subject, words, is_news) in [
        (discovery, ErrorKind::Unreachable, "a:1", "3 seconds", true),
        (discovery, ErrorKind::Unreachable, "a:1", "4 seconds", false),
        (discovery, ErrorKind::Unreachable, "b:1", "4 seconds", true),
        (discovery, ErrorKind::Unreachable, "a:1", "4 seconds", true),
        (discovery, ErrorKind::NotPublished, "a:1", "4 seconds", true),
        (trust, ErrorKind::NotPublished, "a:1", "4 seconds", true),
        (discovery, ErrorKind::Unreachable, "a:1", "4 seconds", true),
    ] {
        let error = Error::new(step, kind, words).with_retry(Retry::UntilDeadline(None));
        assert_eq!(
            backoff.next(error, subject).unwrap().news.is_some(),
            is_news,
            "{step} {kind:?} {subject}"
        );
    }
}

#[test]
fn what_comes_next_is_told_without_a_drawn_pause() {
    let clock = FakeClock::at(SystemTime::UNIX_EPOCH);
    let mut backoff = Backoff::new(&clock, Deadline::after(&clock, Duration::from_secs(3 * 3600 + 292)));
    for (retry, words) in [
        (Retry::UntilDeadline(None), "retrying until the deadline (3h4m52s)"),
        (Retry::UntilDeadline(Some(Duration::from_secs(30))), "retrying in 30 s, as the server asks"),
        (Retry::UntilDeadline(Some(Duration::from_hours(9))), "retrying until the deadline (3h4m52s)"),
        (Retry::Briefly(None), "retrying for 10s"),
    ] {
        assert_eq!(backoff.next(error(retry), "").unwrap().prospect(), words);
    }
}

/// How long rounds of these failures, one of each endpoint, are tried again in a minute, and what they end with.
fn rounds(of: &[(ErrorKind, Retry)]) -> (Duration, ErrorKind) {
    let clock = FakeClock::at(SystemTime::UNIX_EPOCH);
    let mut backoff = Backoff::new(&clock, Deadline::after(&clock, Duration::from_mins(1)));
    let (last, others) = of.split_last().unwrap();
    let error = |(failure, retry): &(ErrorKind, Retry)| {
        Error::new(Step::Discovery, *failure, "no").with_retry(*retry)
    };
    loop {
        for other in others {
            backoff.next_endpoint(error(other), "").unwrap();
        }
        if let Err(end) = pause(&mut backoff, &clock, error(last)) {
            return (clock.elapsed(), end.kind());
        }
    }
}

#[test]
fn ten_seconds_end_a_round_only_where_each_endpoint_is_a_misfit() {
    use ErrorKind::{Clock, NotPublished, NotTrusted, Unreachable};
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
    let mut pause = |retry| super::tests::pause(&mut backoff, &clock, error(retry));
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
        let (before, retry_after) = (clock.elapsed(), Duration::from_secs(seconds));
        pause(&mut backoff, &clock, error(Retry::UntilDeadline(Some(retry_after)))).unwrap();
        clock.elapsed().saturating_sub(before).as_millis()
    };
    let pauses = [1, 1, 1, 1, 4, 60].map(&mut pause);
    assert_eq!(pauses, [2000, 2000, 2000, 3000, 8000, 65_000]);
}

#[test]
fn retry_after_leaves_half_of_what_is_spare() {
    let retry_after = Duration::from_secs(29);
    // 29 s and the cap of 5 s; 26 s are left, of which one second and an eighth of them stay for the last attempt: time for
    // another one.
    let (attempts, elapsed) = spent(Retry::UntilDeadline(Some(retry_after)));
    assert_eq!((attempts, elapsed.as_millis()), (3, 58_468));
}

#[test]
fn a_wish_beyond_the_deadline_leaves_one_last_attempt_near_the_end() {
    for retry_after in [60, 61, 120, 86_400, u64::MAX] {
        for (drawn, end) in [(0, 59), (u32::MAX, 54)] {
            let clock = FakeClock::at(SystemTime::UNIX_EPOCH).drawing(drawn);
            let mut backoff = Backoff::new(&clock, Deadline::after(&clock, Duration::from_mins(1)));
            let retry_after = Retry::UntilDeadline(Some(Duration::from_secs(retry_after)));
            pause(&mut backoff, &clock, error(retry_after)).unwrap();
            assert_eq!(clock.elapsed(), Duration::from_secs(end), "{retry_after:?}");
            let attempts = (0..9).take_while(|_| pause(&mut backoff, &clock, error(retry_after)).is_ok());
            assert_eq!(attempts.count(), usize::from(end < 58), "only where time was left");
            assert!(clock.elapsed() >= Duration::from_secs(58), "{:?}", clock.elapsed());
        }
    }
    let (attempts, elapsed) = spent(Retry::Briefly(Some(Duration::from_mins(1))));
    assert!(attempts == 2 && elapsed > Duration::from_secs(8), "{attempts} {elapsed:?}");
}

#[test]
fn no_wish_ends_a_run_while_there_is_time() {
    for seconds in [1, 2, 3, 5, 8, 30, 120, 300] {
        for retry_after in [1, 4, 29, 119, 120, 3600] {
            for drawn in [0, u32::MAX / 2, u32::MAX] {
                let clock = FakeClock::at(SystemTime::UNIX_EPOCH).drawing(drawn);
                let time = Duration::from_secs(seconds);
                let mut backoff = Backoff::new(&clock, Deadline::after(&clock, time));
                let retry_after = Retry::UntilDeadline(Some(Duration::from_secs(retry_after)));
                let mut pauses =
                    (0..999).take_while(|_| pause(&mut backoff, &clock, error(retry_after)).is_ok());
                assert!(pauses.next().is_some(), "{seconds} {retry_after:?}");
                pauses.for_each(drop);
                let left = time.saturating_sub(clock.elapsed());
                assert!(left <= Duration::from_secs(2), "{seconds} {retry_after:?}: {left:?}");
            }
        }
    }
}

#[test]
fn another_failure_behind_the_last_attempt_is_tried_again() {
    let clock = FakeClock::at(SystemTime::UNIX_EPOCH);
    let mut backoff = Backoff::new(&clock, Deadline::after(&clock, Duration::from_mins(1)));
    pause(&mut backoff, &clock, error(Retry::UntilDeadline(Some(Duration::MAX)))).unwrap();
    pause(&mut backoff, &clock, error(Retry::UntilDeadline(None))).unwrap();
    pause(&mut backoff, &clock, error(Retry::UntilDeadline(Some(Duration::from_secs(1))))).unwrap();
    assert!(clock.elapsed() > Duration::from_secs(55));
}

#[test]
fn what_cannot_heal_is_returned_at_once() {
    assert_eq!(spent(Retry::Never), (0, Duration::ZERO));
}

#[test]
fn as_much_as_a_last_attempt_takes_is_left_for_it_and_less_is_no_time() {
    let last = limits::LAST_ATTEMPT;
    let retry_after = |left: Duration, retry_after: Option<Duration>| {
        let clock = FakeClock::at(SystemTime::UNIX_EPOCH);
        let mut backoff = Backoff::new(&clock, Deadline::after(&clock, left));
        pause(&mut backoff, &clock, error(Retry::UntilDeadline(retry_after))).ok().map(|()| clock.elapsed())
    };
    let long = Some(Duration::MAX);
    for (left, expected) in [
        (last, None),
        (last / 2, None),
        // Half of it, and at most an eighth of it drawn.
        (2 * last, Some(3 * last / 4)),
        (3 * last, Some(9 * last / 8)),
        (4 * last, Some(3 * last / 2)),
        // Twice the time of an attempt, and an eighth of it drawn.
        (8 * last, Some(5 * last)),
    ] {
        assert_eq!(retry_after(left, long), expected, "{left:?}");
        assert_eq!(retry_after(left, None).is_some(), expected.is_some(), "{left:?}");
    }
    // What is beyond Retry-After has to be more than that, too.
    assert_eq!(retry_after(9 * last, Some(8 * last)), Some(47 * last / 8));
    assert!(retry_after(9 * last, Some(15 * last / 2)).is_some_and(|time| time > 15 * last / 2));
}

#[test]
fn each_attempt_counts_also_of_those_without_a_pause() {
    let clock = FakeClock::at(SystemTime::UNIX_EPOCH);
    let mut backoff = Backoff::new(&clock, Deadline::after(&clock, Duration::from_mins(1)));
    let end = (1..).find_map(|attempt| {
        let error = error(Retry::UntilDeadline(None));
        let next = if attempt % 2 == 0 { backoff.next(error, "") } else { backoff.next_endpoint(error, "") };
        next.map(|pause| clock.sleep(pause.delay)).err().map(|error| (attempt, error.summary()))
    });
    let (attempts, summary) = end.unwrap();
    assert!(summary.contains(&format!("gave up after {attempts} attempts")), "{summary}");
}

#[test]
fn after_a_long_success_pauses_are_short_again() {
    let clock = FakeClock::at(SystemTime::UNIX_EPOCH);
    let mut backoff = Backoff::new(&clock, Deadline::after(&clock, Duration::from_hours(1)));
    let mut delay = |begins_anew: bool| {
        if begins_anew {
            backoff.reset();
        }
        backoff.next(error(Retry::UntilDeadline(None)), "").unwrap().delay
    };
    let (first, second) = (delay(false), delay(false));
    assert!(first < second, "{first:?} {second:?}");
    assert_eq!((delay(true), delay(false)), (first, second));
}
