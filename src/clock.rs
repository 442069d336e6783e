//! The clock, which is passed in: wall time for certificates, a running time for deadlines, sleep, and randomness, by which
//! machines booting together do not ask together.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use ring::rand::{SecureRandom, SystemRandom};

/// Time and chance as the program sees them.
pub trait Clock: Send + Sync {
    /// Wall time, which may jump and may be wrong.
    fn now(&self) -> SystemTime;
    /// Time since the program started, which never jumps.
    fn elapsed(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration);
    /// A number drawn evenly from all that there are. Nothing secret may hang on it.
    fn random(&self) -> u32;

    /// A duration drawn evenly from nothing to `max`, in microseconds.
    fn jitter(&self, max: Duration) -> Duration {
        let max = u64::try_from(max.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(max.saturating_mul(self.random().into()) / u64::from(u32::MAX))
    }
}

/// What it is, and no more: nobody reads the fields of one.
impl fmt::Debug for dyn Clock + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// How far two moments are apart, in the largest unit that fits: `3 hours`.
pub fn distance(one: SystemTime, other: SystemTime) -> String {
    let seconds =
        one.duration_since(other).or_else(|_| other.duration_since(one)).unwrap_or_default().as_secs();
    for (unit, length) in [("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)] {
        let count = seconds / length;
        if count > 0 {
            return format!("{count} {unit}{}", if count == 1 { "" } else { "s" });
        }
    }
    "less than a second".to_owned()
}

/// A time as Go prints it, in whole seconds, rounded up: `4m52s`.
pub fn short(time: Duration) -> String {
    let seconds = time.as_millis().div_ceil(1000);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// Puts `items` into an order drawn evenly from all orders (Fisher and Yates).
pub fn shuffle<T>(clock: &dyn Clock, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        let choices = last as u64 + 1;
        let chosen = (u64::from(clock.random()) * choices) >> 32;
        items.swap(last, usize::try_from(chosen).unwrap_or(last));
    }
}

/// The machine's own clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose running time begins now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// Without randomness (no source of entropy yet at early boot) the middle is taken.
    fn random(&self) -> u32 {
        let mut bytes = [0; 4];
        match SystemRandom::new().fill(&mut bytes) {
            Ok(()) => u32::from_le_bytes(bytes),
            Err(_) => u32::MAX / 2,
        }
    }
}

/// A point of the running time by which a stage must be done.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    end: Duration,
    /// What says so, for messages; empty where no setting does.
    setting: &'static str,
}

impl Deadline {
    /// `budget` from now.
    pub fn after(clock: &dyn Clock, budget: Duration) -> Self {
        Self::at(clock.elapsed().saturating_add(budget))
    }

    /// `budget` from the start of the program.
    pub fn at(budget: Duration) -> Self {
        Self { end: budget, setting: "" }
    }

    /// Notes the setting that says it, for the error when it has come.
    #[must_use]
    pub fn set_by(self, setting: &'static str) -> Self {
        Self { setting, ..self }
    }

    /// The setting that says so; empty where none does.
    pub fn setting(self) -> &'static str {
        self.setting
    }

    /// The earlier of two.
    #[must_use]
    pub fn earlier(self, other: Option<Self>) -> Self {
        other.filter(|other| other.end < self.end).unwrap_or(self)
    }

    /// The time that is left, `None` when it is over.
    pub fn left(self, clock: &dyn Clock) -> Option<Duration> {
        self.end.checked_sub(clock.elapsed()).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! A clock that moves only by sleeping.

    use std::sync::Mutex;

    use super::*;

    /// Sleeping moves it at once; what it draws is always the same, at first the most.
    #[derive(Debug)]
    pub(crate) struct FakeClock(Mutex<Duration>, SystemTime, u32);

    impl FakeClock {
        pub(crate) fn at(now: SystemTime) -> Self {
            Self(Mutex::new(Duration::ZERO), now, u32::MAX)
        }

        pub(crate) fn drawing(self, number: u32) -> Self {
            Self(self.0, self.1, number)
        }
    }

    impl Clock for FakeClock {
        fn now(&self) -> SystemTime {
            self.1 + self.elapsed()
        }
        fn elapsed(&self) -> Duration {
            *self.0.lock().unwrap()
        }
        fn sleep(&self, time: Duration) {
            let mut elapsed = self.0.lock().unwrap();
            *elapsed += time;
            assert!(*elapsed < Duration::from_hours(24), "no test waits for so long: this has no end");
        }
        fn random(&self) -> u32 {
            self.2
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_told_in_the_largest_unit_that_fits() {
        for (seconds, told) in [
            (0, "less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "1 minute"),
            (3_599, "59 minutes"),
            (3 * 3_600 + 59, "3 hours"),
            (86_399, "23 hours"),
            (86_400, "1 day"),
            (400 * 86_400, "400 days"),
        ] {
            let (one, other) =
                (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!((distance(one, other), distance(other, one)), (told.to_owned(), told.to_owned()));
        }
    }

    #[test]
    fn of_two_deadlines_the_earlier_counts_and_the_first_of_equal_ones() {
        let (first, second) = (Duration::from_secs(1), Duration::from_secs(2));
        let earlier = |one, other: Option<Duration>| {
            let other = other.map(|end| Deadline::at(end).set_by("other"));
            Deadline::at(one).set_by("own").earlier(other).setting()
        };
        assert_eq!((earlier(first, Some(second)), earlier(second, Some(first))), ("own", "other"));
        assert_eq!((earlier(first, Some(first)), earlier(first, None)), ("own", "own"));
        assert_eq!(Deadline::at(first).setting(), "");
    }

    #[test]
    fn the_systems_clock_goes_on() {
        let clock = SystemClock::start();
        clock.sleep(Duration::from_millis(1));
        assert!(clock.elapsed() >= Duration::from_millis(1));
    }

    #[test]
    fn a_shuffle_follows_what_is_drawn_and_reaches_every_order() {
        let shuffled = |clock: &dyn Clock| {
            let mut items = ['a', 'b', 'c'];
            shuffle(clock, &mut items);
            String::from_iter(items)
        };
        let fixed = |number| fake::FakeClock::at(SystemTime::UNIX_EPOCH).drawing(number);
        assert_eq!(shuffled(&fixed(u32::MAX)), "abc", "each stays where it is");
        assert_eq!(shuffled(&fixed(0)), "bca", "each goes to the front");
        let clock = SystemClock::start();
        let orders: std::collections::BTreeSet<_> = (0..500).map(|_| shuffled(&clock)).collect();
        assert_eq!(orders.len(), 6, "{orders:?}");
    }

    #[test]
    fn jitter_stays_below_the_most_and_varies() {
        let clock = SystemClock::start();
        let max = Duration::from_secs(5);
        let drawn: Vec<_> = (0..64).map(|_| clock.jitter(max)).collect();
        assert!(drawn.iter().all(|d| *d <= max));
        assert!(drawn.iter().any(|d| *d != drawn[0]));
        assert!(
            drawn.iter().max().unwrap().saturating_sub(*drawn.iter().min().unwrap()) > Duration::from_secs(1)
        );
    }
}
