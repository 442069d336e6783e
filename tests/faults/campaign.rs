//! Many points of one suite, judged by a few workers, and counted.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::golden;

/// Whether every point is to be tried, and not the sample that is quick.
pub fn is_full() -> bool {
    std::env::var_os("CAMPAIGN").is_some_and(|value| value == "full")
}

/// Judges each point, which tells whether a run came to it, and prints how many there were and how many failed.
///
/// # Panics
/// When one failed, or there are none.
pub fn run<P: Sync>(
    suite: &str,
    points: &[P],
    name: impl Fn(&P) -> String + Sync,
    judge: impl Fn(&P) -> bool + Sync,
) {
    let (next, reached, failed) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
            let judged = catch_unwind(AssertUnwindSafe(|| judge(point)));
            reached.fetch_add(usize::from(*judged.as_ref().unwrap_or(&true)), Ordering::Relaxed);
            if judged.is_err() {
                failed.lock().expect("the failed points").push(name(point));
            }
        }
    };
    let golden = golden::Table::begin(&[suite.to_owned()]);
    let work = || {
        let _case = golden.as_ref().map(|table| table.case(0));
        work();
    };
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let (reached, failed) = (reached.into_inner(), failed.into_inner().expect("the failed points"));
    // Not by a macro, which the test harness would keep to itself.
    let line = format!("{suite}: {reached} points, {} failed\n", failed.len());
    std::io::stdout().write_all(line.as_bytes()).expect("standard output");
    assert!(failed.is_empty(), "{suite}: failed points: {failed:#?} (each one's panic is printed above)");
    assert!(reached > 0, "{suite}: no points");
    if let Some(golden) = golden {
        golden.end();
    }
}
