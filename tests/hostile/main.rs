//! Hostile servers, in tables: for each thing that a server can do, the exit code, bounded time and memory, one clear
//! error, nothing secret on a connection that is not verified, and no file that should not be there.
//!
//! `hostile [WORD…]` plays the cases whose area or name contains one of the words, without words all of them, and prints
//! what each of these said.

#[path = "../support/mod.rs"]
mod support;

mod chains;
mod client_keys;
mod content;
mod http;
mod issued;
mod legacy;
mod measure;
mod names;
mod objects;
mod openssl;
mod raw_tcp;
mod roots;
mod server_hello;
mod size;
mod statuses;
mod suite;
mod tls;
mod trust;
mod without_token;
mod yaml;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::golden;

use suite::{Case, Given, PEAK_KIB, Took, Totals, play};

/// Cases that run at once: most of them wait for a deadline.
const AT_ONCE: usize = 24;

/// The name of their threads.
const PLAYER: &str = "case";

/// What became of the cases of one area.
#[derive(Default)]
struct Area {
    cases: usize,
    failed: usize,
    slowest: Duration,
    most_kib: u64,
}

/// Plays a case under its own name.
fn play_as(area: &str, case: &Case, untrusted: &Totals, trusted: &Totals) -> Took {
    let golden = golden::case(area, &golden::short(&case.name));
    let took = play(case, untrusted, trusted);
    golden.end();
    took
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((measure::WORD, rest)) = arguments.split_first().map(|(word, rest)| (word.as_str(), rest)) {
        return measure::main(rest);
    }
    let words: Vec<String> = arguments.into_iter().filter(|word| !word.starts_with('-')).collect();
    let areas = [
        ("names", names::cases()),
        ("chains", chains::cases()),
        ("roots", roots::cases()),
        ("tls", tls::cases()),
        ("legacy", legacy::cases()),
        ("http", http::cases()),
        ("statuses", statuses::cases()),
        ("objects", objects::cases()),
        ("issued", issued::cases()),
        ("content", content::cases()),
        ("yaml", yaml::cases()),
        ("size", size::cases()),
        ("trust", trust::cases()),
        ("without_token", without_token::cases()),
        ("client_keys", client_keys::cases()),
    ];
    let names: Vec<&str> = areas.iter().map(|(area, _)| *area).collect();
    let mut cases: Vec<(usize, Case)> = Vec::new();
    for (area, (name, listed)) in areas.into_iter().enumerate() {
        let asked = |case: &Case| {
            let full = format!("{name}: {}", case.name);
            words.is_empty() || words.iter().any(|word| full.contains(word.as_str()))
        };
        cases.extend(listed.into_iter().filter(asked).map(|case| (area, case)));
    }
    // Those that wait go first, so that the others fill the time.
    cases.sort_by_key(|(_, case)| !case.expect.waits);

    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // What a case says is told beside its name.
        if std::thread::current().name() != Some(PLAYER) {
            default(info);
        }
    }));
    let began = Instant::now();
    let (next, untrusted, trusted) = (AtomicUsize::new(0), Totals::default(), Totals::default());
    let results = Mutex::new(names.iter().map(|_| Area::default()).collect::<Vec<_>>());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let player = std::thread::Builder::new().name(PLAYER.to_owned());
            let play_all = || {
                while let Some((area, case)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let play = || play_as(names[*area], case, &untrusted, &trusted);
                    let took = catch_unwind(AssertUnwindSafe(play));
                    let mut results = results.lock().expect("results");
                    let result = &mut results[*area];
                    result.cases += 1;
                    let name = format!("{}: {}", names[*area], case.name);
                    match took {
                        Ok(took) => {
                            result.slowest = result.slowest.max(took.time);
                            result.most_kib = result.most_kib.max(took.peak_kib);
                            if !words.is_empty() {
                                println!("ok      {name}: {} ({} KiB)", took.error, took.peak_kib);
                            }
                        }
                        Err(why) => {
                            result.failed += 1;
                            let words = why.downcast_ref::<&str>().map(ToString::to_string);
                            let words = words.or_else(|| why.downcast_ref::<String>().cloned());
                            println!("FAILED  {name}: {}", words.unwrap_or_default());
                        }
                    }
                }
            };
            player.spawn_scoped(scope, play_all).expect("a thread");
        }
    });

    if words.is_empty() {
        let all: HashSet<_> =
            cases.iter().map(|(area, case)| (names[*area].to_owned(), golden::short(&case.name))).collect();
        golden::forget(|key| !all.contains(key));
    }
    let results = results.into_inner().expect("results");
    println!("\n{:<12} {:>6} {:>7} {:>8} {:>9}", "area", "cases", "failed", "slowest", "most");
    for (name, area) in names.iter().zip(&results).filter(|(_, area)| area.cases > 0) {
        let (seconds, kib) = (area.slowest.as_secs_f32(), area.most_kib);
        println!("{name:<12} {:>6} {:>7} {seconds:>6.1} s {kib:>5} KiB", area.cases, area.failed);
    }
    let (failed, stray) = (results.iter().map(|area| area.failed).sum::<usize>(), untrusted.total());
    println!(
        "{} cases, {failed} failed, in {:.0} s; no run had more than {PEAK_KIB} KiB",
        cases.len(),
        began.elapsed().as_secs_f32()
    );
    for (whose, given) in [("not to be trusted", stray), ("of the cluster itself", trusted.total())] {
        println!(
            "servers {whose}: {} connections, {} Authorization headers, {} client certificates, {} certificate requests",
            given.connections, given.authorizations, given.certificates, given.requests_to_sign
        );
    }
    let kinds = |given: Given| [given.authorizations, given.certificates, given.requests_to_sign];
    let nothing = kinds(stray).iter().all(|count| *count == 0);
    // Counters that never count anything would prove nothing.
    let counted = !words.is_empty() || kinds(trusted.total()).iter().all(|count| *count > 0);
    if failed == 0 && nothing && counted && !cases.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
