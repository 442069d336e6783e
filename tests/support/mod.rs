//! What all tests of the program share: scratch directories, machines, a way to run the program with a time limit and a clean
//! environment, and what every run is held to; certificates, an API server, name servers and proxies on loopback.
#![allow(dead_code, unused_imports, missing_docs, reason = "each test program uses its own part of this")]

pub mod api;
pub mod dns;
pub mod golden;
pub mod join;
pub mod locks;
pub mod node;
pub mod pki;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod relay;
pub mod repository;
pub mod run;
pub mod schema;
pub mod scratch;
pub mod tmpfs;
pub mod unit_file;
pub mod wording;

/// Runs one case per thread, so that cases that wait for a deadline wait together, and names each that failed.
///
/// # Panics
/// When a case did.
pub fn all<C: Sync>(cases: &[C], name: impl Fn(&C) -> String, check: impl Fn(&C) + Sync) {
    let names: Vec<String> = cases.iter().map(name).collect();
    let table = golden::Table::begin(&names);
    let run = |number: usize| {
        let golden = table.as_ref().map(|table| table.case(number));
        check(&cases[number]);
        if let Some(golden) = golden {
            golden.end();
        }
    };
    let failed: Vec<&String> = std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..cases.len()).map(|number| scope.spawn(move || run(number))).collect();
        let ended = names.iter().zip(threads);
        ended.filter_map(|(name, thread)| thread.join().is_err().then_some(name)).collect()
    });
    assert!(failed.is_empty(), "failed cases: {failed:#?} (each one's panic is printed above)");
    if let Some(table) = table {
        table.end();
    }
}
