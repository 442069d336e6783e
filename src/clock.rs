//! The clock, which is passed in: wall time for certificates, a running time for deadlines, and sleep.

use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime};

use ring::rand::{SecureRandom, SystemRandom};

/// Time as the program sees it.
pub trait Clock: Debug + Send + Sync {
    /// Wall time, which may jump and may be wrong.
    fn now(&self) -> SystemTime;
    /// Time since the program started, which never jumps.
    fn elapsed(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration);
    /// A duration drawn evenly from nothing to `most`.
    fn jitter(&self, most: Duration) -> Duration;
}

/// The machine's own clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose running time begins now.
    #[must_use]
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
    fn jitter(&self, most: Duration) -> Duration {
        let mut bytes = [0; 4];
        let share = match SystemRandom::new().fill(&mut bytes) {
            Ok(()) => u32::from_le_bytes(bytes),
            Err(_) => u32::MAX / 2,
        };
        most.mul_f64(f64::from(share) / f64::from(u32::MAX))
    }
}

/// A point of the running time by which a stage must be done.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Duration);

impl Deadline {
    /// `budget` from now.
    #[must_use]
    pub fn after(clock: &dyn Clock, budget: Duration) -> Self {
        Self(clock.elapsed().saturating_add(budget))
    }

    /// The earlier of two.
    #[must_use]
    pub fn earlier(self, other: Option<Self>) -> Self {
        other.map_or(self, |other| Self(self.0.min(other.0)))
    }

    /// The time that is left, `None` when it is over.
    #[must_use]
    pub fn left(self, clock: &dyn Clock) -> Option<Duration> {
        self.0.checked_sub(clock.elapsed()).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! A clock that moves only by sleeping.

    use std::sync::Mutex;

    use super::*;

    /// Sleeping moves it at once; jitter is always the most.
    #[derive(Debug)]
    pub(crate) struct FakeClock(Mutex<Duration>, SystemTime);

    impl FakeClock {
        pub(crate) fn at(now: SystemTime) -> Self {
            Self(Mutex::new(Duration::ZERO), now)
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
            *self.0.lock().unwrap() += time;
        }
        fn jitter(&self, most: Duration) -> Duration {
            most
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_below_the_most_and_varies() {
        let clock = SystemClock::start();
        let most = Duration::from_secs(5);
        let drawn: Vec<_> = (0..64).map(|_| clock.jitter(most)).collect();
        assert!(drawn.iter().all(|d| *d <= most));
        assert!(drawn.iter().any(|d| *d != drawn[0]));
        assert!(
            drawn.iter().max().unwrap().saturating_sub(*drawn.iter().min().unwrap()) > Duration::from_secs(1)
        );
    }
}
