//! What each run does, held against the suite's text in `tests/goldens`: the exit code, fields of the report, the requests
//! in their order with the node's files at each of them, and the files at the end. No message is in it.
//!
//! A run belongs to the test whose thread starts it, and so does a server. With `GOLDENS=write` the text is written anew.

mod files;
mod normalize;
mod report;
mod requests;
mod run;
mod text;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

pub use normalize::{short, undated};
pub use run::{Run, Served};
use text::{Key, Text};

use super::repository::root;

/// This suite.
const SUITE: &str = env!("CARGO_CRATE_NAME");
/// The suites that have a text; other programs of tests have none.
const SUITES: [&str; 3] = ["loopback", HOSTILE, FAULTS];
/// Its servers let connections fail, which is tried again and not counted.
const HOSTILE: &str = "hostile";
/// Interrupts programs everywhere: of each of its tables, the distinct ends count.
const FAULTS: &str = "faults";
/// Says that texts are to be written.
const VARIABLE: &str = "GOLDENS";
/// What to do about a difference.
const ADVICE: &str = "if it is meant, `make goldens` writes it anew (CONTRIBUTING.md)";

/// Tests whose runs are not the same each time, or too many alike. Of these, the distinct ends count: exit code, step and
/// files.
const DISTINCT: [&str; 14] = [
    // The program draws which endpoint it asks first; some go on until it was each one's turn.
    "endpoints::a_black_hole_costs_about_a_second",
    "endpoints::a_name_may_have_many_addresses_of_both_families",
    "endpoints::a_redial_in_discovery_may_move_on",
    "endpoints::a_refusing_endpoint_costs_nothing",
    "endpoints::a_server_that_hangs_is_left_after_ten_seconds",
    "endpoints::an_endpoint_that_answers_with_an_error_is_left_for_another",
    "endpoints::an_open_port_with_nobody_behind_it_costs_three_seconds",
    "endpoints::the_endpoint_that_came_furthest_decides_the_exit_code",
    "endpoints::the_order_is_shuffled_and_the_one_that_answered_is_kept",
    "verification_retries::one_forged_answer_ends_nothing_while_another_endpoint_may_heal",
    "verification_retries::ten_seconds_end_a_run_where_every_endpoint_is_a_misfit",
    // Either of two programs may be the first.
    "reruns::two_runs_at_once_join_once",
    // What the client sends before it has seen the end of a connection is lost, and asked once more.
    "bootstrap::a_server_that_closes_after_each_answer_is_dialled_again_and_never_resumed",
    // Each of many files in turn.
    "replace::interrupted_after_any_file_the_next_run_finishes",
];

/// Tests without a golden.
const RANDOM: [&str; 2] = [
    // Another process races with the program for its files, and may win.
    "planted_files::nothing_is_written_through_what_is_planted_while_it_runs",
    "planted_files::nothing_that_was_put_in_the_place_of_a_file_gets_its_name",
];

thread_local! {
    /// The test, and the case of one of its tables, that this thread runs, where its name does not tell.
    static CASE: RefCell<Option<Key>> = const { RefCell::new(None) };
}

static GOLDEN: LazyLock<Option<Mutex<Golden>>> = LazyLock::new(|| {
    // The long form of a suite has ends that the short one has not.
    let is_long = std::env::var_os("CAMPAIGN").is_some_and(|value| value == "full");
    if is_long || !SUITES.contains(&SUITE) {
        return None;
    }
    let path = root().join(format!("tests/goldens/{SUITE}.txt"));
    let is_written = std::env::var_os(VARIABLE).is_some_and(|value| value == "write");
    let text = Text::parse(&std::fs::read_to_string(&path).unwrap_or_default());
    let (scopes, tables) = (HashMap::new(), HashMap::new());
    Some(Mutex::new(Golden { path, is_written, text, scopes, tables, begun: HashSet::new(), written: None }))
});

/// The text of this suite, and what runs now.
struct Golden {
    path: PathBuf,
    is_written: bool,
    text: Text,
    scopes: HashMap<Key, Arc<Scope>>,
    /// How many tables of cases each test has begun.
    tables: HashMap<String, usize>,
    /// What has been written by this process.
    begun: HashSet<Key>,
    /// The length of the file, and when it was written, when this process did.
    written: Option<(u64, SystemTime)>,
}

/// One test, or one case of it: the servers and runs that belong to it.
pub struct Scope {
    key: Key,
    live: Mutex<run::Live>,
}

/// A table of cases, each of which is a scope.
pub struct Table {
    test: String,
    number: usize,
    cases: Vec<String>,
}

/// Until this is dropped, the thread runs a case.
pub struct Case(Key);

fn golden() -> Option<MutexGuard<'static, Golden>> {
    Some(GOLDEN.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The test and the case that this thread runs.
fn key() -> Option<Key> {
    let own = || {
        let thread = std::thread::current();
        let name = thread.name().filter(|name| name.contains("::") && !RANDOM.contains(name))?;
        Some((name.to_owned(), String::new()))
    };
    CASE.with_borrow(Clone::clone).or_else(own)
}

/// The scope of this thread. `None` where it runs no test, or the suite has no text.
pub fn here() -> Option<Arc<Scope>> {
    let key = key()?;
    let mut golden = golden()?;
    let scope = || Arc::new(Scope { key: key.clone(), live: Mutex::default() });
    Some(Arc::clone(golden.scopes.entry(key.clone()).or_insert_with(scope)))
}

/// Begins a case, by its name as [`short`] makes it.
pub fn case(test: &str, name: &str) -> Case {
    let key = (test.to_owned(), name.to_owned());
    CASE.set(Some(key.clone()));
    Case(key)
}

impl Drop for Case {
    fn drop(&mut self) {
        CASE.set(None);
    }
}

impl Case {
    /// Asserts that the case had no fewer runs than before.
    ///
    /// # Panics
    /// When it had.
    pub fn end(self) {
        let Some(golden) = golden() else { return };
        let known = golden.text.runs(&self.0).len();
        let scope = golden.scopes.get(&self.0).cloned().filter(|scope| !scope.is_set() && !golden.is_written);
        drop(golden);
        let count = scope.map_or(known, |scope| scope.live().ended());
        assert!(count >= known, "{count} runs in {:?}, {known} in its golden; {ADVICE}", self.0);
    }
}

impl Table {
    /// Begins the next table of the test that this thread runs. Later tables have a number before the names of their cases,
    /// cases that are called alike one behind them.
    pub fn begin(names: &[String]) -> Option<Self> {
        let (test, _) = key()?;
        let mut golden = golden()?;
        let number = golden.tables.entry(test.clone()).or_default();
        *number += 1;
        let mut cases: Vec<String> = Vec::new();
        for name in names {
            let name = if *number == 1 { short(name) } else { format!("{number}. {}", short(name)) };
            let alike = (2..).map(|number| format!("{name} ({number})"));
            let name = std::iter::once(name.clone()).chain(alike).find(|name| !cases.contains(name));
            cases.extend(name);
        }
        let number = *number;
        Some(Self { test, number, cases })
    }

    /// Begins one of its cases.
    pub fn case(&self, number: usize) -> Case {
        case(&self.test, &self.cases[number])
    }

    /// Keeps what a server of all cases was asked, and asserts that there is no golden of another case.
    ///
    /// # Panics
    /// When there is one.
    pub fn end(self) {
        if let Some(scope) = here() {
            let asked = scope.live().asked_by_all();
            if !asked.is_empty() {
                scope.record(format!("{}of all cases\n{}\n", text::EXIT, asked.join("\n")));
            }
        }
        for case in self.cases.iter().filter(|_| SUITE == FAULTS) {
            has_all_ends(&(self.test.clone(), case.clone()));
        }
        let table = |case: &str| match case.split_once(". ") {
            Some((number, _)) => number.parse().unwrap_or(1),
            None => 1,
        };
        forget(|(test, case)| {
            *test == self.test && !case.is_empty() && table(case) == self.number && !self.cases.contains(case)
        });
    }
}

/// Asserts that each end of a golden was seen.
fn has_all_ends(key: &Key) {
    let Some(golden) = golden() else { return };
    let Some(scope) = golden.scopes.get(key).cloned() else { return };
    let known = golden.text.runs(key).concat();
    drop(golden);
    let seen = scope.live().seen();
    assert!(known == seen, "golden of {key:?}:\n{}{ADVICE}", text::difference(&known, &seen));
}

/// Asserts that there is no golden of a test or case that is gone.
///
/// # Panics
/// When there is one.
pub fn forget(is_gone: impl Fn(&Key) -> bool) {
    let Some(mut golden) = golden() else { return };
    let gone: Vec<Key> = golden.text.keys().filter(|key| is_gone(key)).cloned().collect();
    if golden.is_written {
        golden.change(|text| gone.iter().for_each(|key| text.remove(key)));
        return;
    }
    drop(golden);
    assert!(gone.is_empty(), "goldens of what is no more: {gone:?}; {ADVICE}");
}

impl Golden {
    /// Changes the text as it is in the file: some tests run in a process of their own.
    fn change(&mut self, change: impl FnOnce(&mut Text)) {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&self.path);
        let mut file = file.expect("the goldens");
        file.lock().expect("a lock");
        let state = |file: &File| {
            let metadata = file.metadata().ok()?;
            Some((metadata.len(), metadata.modified().ok()?))
        };
        if self.written.is_none() || state(&file) != self.written {
            let mut text = String::new();
            file.read_to_string(&mut text).expect("the goldens");
            self.text = Text::parse(&text);
        }
        change(&mut self.text);
        file.set_len(0).and_then(|()| file.rewind()).expect("a file to write");
        file.write_all(self.text.render().as_bytes()).expect("the goldens are written");
        self.written = state(&file);
    }
}

impl Scope {
    fn live(&self) -> MutexGuard<'_, run::Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That of the test, where this is one of a case.
    fn of_test(&self) -> Option<Arc<Self>> {
        let (test, case) = &self.key;
        let key = (test.clone(), String::new());
        if case.is_empty() { None } else { golden()?.scopes.get(&key).cloned() }
    }

    /// Notes a server, and returns what its requests are noted with.
    pub fn serves(self: &Arc<Self>, port: u16) -> Served {
        Served::new(Arc::clone(self), self.live().add_server(port))
    }

    /// Notes the root of a node.
    pub fn has_node(&self, root: PathBuf) {
        self.live().add_node(root);
    }

    /// Whether not each run counts, but the distinct ends of all.
    fn is_set(&self) -> bool {
        SUITE == FAULTS || DISTINCT.contains(&self.key.0.as_str())
    }

    /// Holds the text of the next run against its golden, or keeps it as that.
    ///
    /// # Panics
    /// When it differs.
    fn record(&self, text: String) {
        let number = self.live().count(&text);
        let Some(mut golden) = golden() else { return };
        if golden.is_written {
            let is_first = golden.begun.insert(self.key.clone());
            let is_set = self.is_set();
            if is_first || !is_set || !golden.text.runs(&self.key).contains(&text) {
                golden.change(|all| all.push(&self.key, text, is_first, is_set));
            }
            return;
        }
        let known = golden.text.runs(&self.key);
        let is_known = self.is_set() && known.contains(&text);
        let known = known.get(number).cloned().unwrap_or_default();
        drop(golden);
        let (key, number) = (&self.key, number + 1);
        let difference = || text::difference(&known, &text);
        assert!(
            is_known || known == text,
            "golden of {} {:?}, run {number}:\n{}{ADVICE}",
            key.0,
            key.1,
            difference()
        );
    }
}

/// Tests that were renamed or removed leave nothing behind.
#[test]
fn every_golden_is_of_a_test() {
    let list = std::process::Command::new(std::env::current_exe().expect("the tests' own program"))
        .args(["--list", "--format", "terse"])
        .output()
        .expect("a list of tests");
    let list = String::from_utf8(list.stdout).expect("text");
    let tests: HashSet<&str> = list.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    assert!(!tests.is_empty());
    forget(|(test, _)| !tests.contains(test.as_str()));
}
