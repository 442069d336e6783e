//! The text of a suite: a block for each test, in which cases that do the same stand together.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A test, and a case of it, whose name is empty for runs of the test itself.
pub type Key = (String, String);

/// What the first line of each run begins with.
pub const EXIT: &str = "exit ";
const TEST: &str = "# ";
const CASE: &str = "## ";
const HEAD: &str = "What runs do. `make goldens` writes this; tests/goldens/README.md says how it is read.\n";

/// Cases, and the runs that each of them has.
type Group<'a> = (Vec<&'a str>, &'a [String]);

/// The runs of all tests.
#[derive(Default)]
pub struct Text(BTreeMap<Key, Vec<String>>);

impl Text {
    /// Reads what [`Self::render`] has written.
    pub fn parse(text: &str) -> Self {
        let (mut found, mut name, mut cases) = (Self::default(), String::new(), vec![String::new()]);
        let mut is_open = false;
        for line in text.lines().skip(1).filter(|line| !line.is_empty()) {
            if let Some(case) = line.strip_prefix(CASE) {
                if is_open {
                    cases.clear();
                }
                is_open = false;
                cases.push(case.to_owned());
            } else if let Some(test) = line.strip_prefix(TEST) {
                test.clone_into(&mut name);
                cases = vec![String::new()];
                is_open = true;
            } else {
                is_open = true;
                for case in &cases {
                    let runs = found.0.entry((name.clone(), case.clone())).or_default();
                    if line.starts_with(EXIT) {
                        runs.push(String::new());
                    }
                    let run = runs.last_mut().expect("a run begins with its exit code");
                    let _ = writeln!(run, "{line}");
                }
            }
        }
        found
    }

    /// All of it, by test; cases with the same runs share them.
    pub fn render(&self) -> String {
        let mut tests: BTreeMap<&str, Vec<Group<'_>>> = BTreeMap::new();
        for ((test, case), runs) in &self.0 {
            let groups = tests.entry(test).or_default();
            let same = groups.iter_mut().find(|(cases, own)| *own == runs && !cases[0].is_empty());
            match same {
                Some((cases, _)) => cases.push(case),
                None => groups.push((vec![case], runs)),
            }
        }
        let mut text = HEAD.to_owned();
        for (test, groups) in tests {
            let _ = writeln!(text, "\n{TEST}{test}");
            for (cases, runs) in groups {
                for case in cases.iter().filter(|case| !case.is_empty()) {
                    let _ = writeln!(text, "{CASE}{case}");
                }
                text.push_str(&runs.concat());
            }
        }
        text
    }

    /// The tests and cases, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.keys()
    }

    /// The runs of one, in order.
    pub fn runs(&self, key: &Key) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// Adds a run; the first one takes the place of all that were there. Of distinct ones each is there once, in the order of
    /// the alphabet.
    pub fn push(&mut self, key: &Key, run: String, is_first: bool, is_distinct: bool) {
        let runs = self.0.entry(key.clone()).or_default();
        if is_first {
            runs.clear();
        }
        runs.push(run);
        if is_distinct {
            runs.sort();
            runs.dedup();
        }
    }

    /// Takes one out.
    pub fn remove(&mut self, key: &Key) {
        self.0.remove(key);
    }
}

/// The lines of both, those of one only marked.
pub fn difference(before: &str, after: &str) -> String {
    let (a, b): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    // How many lines the rest of both has in common.
    let mut common = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            let longer = common[i + 1][j].max(common[i][j + 1]);
            common[i][j] = if a[i] == b[j] { common[i + 1][j + 1] + 1 } else { longer };
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    while i < a.len() || j < b.len() {
        let (mark, line) = if i < a.len() && j < b.len() && a[i] == b[j] {
            (i, j) = (i + 1, j + 1);
            (' ', a[i - 1])
        } else if j == b.len() || i < a.len() && common[i + 1][j] >= common[i][j + 1] {
            i += 1;
            ('-', a[i - 1])
        } else {
            j += 1;
            ('+', b[j - 1])
        };
        let _ = writeln!(text, "{mark} {line}");
    }
    text
}

#[test]
fn what_is_written_is_read_again() {
    let key = |test: &str, case: &str| (test.to_owned(), case.to_owned());
    let mut text = Text::default();
    for (name, runs) in [
        (key("a", ""), vec!["exit 0\n> GET x\n", "exit 1\n"]),
        (key("a", "one"), vec!["exit 2\n"]),
        (key("a", "three"), vec!["exit 2\n"]),
        (key("a", "two"), vec!["exit 3\n= f\n"]),
        (key("b", "one"), vec!["exit 2\n"]),
    ] {
        for run in runs {
            text.push(&name, run.to_owned(), false, false);
        }
    }
    let written = text.render();
    assert!(
        written.ends_with("## one\n## three\nexit 2\n## two\nexit 3\n= f\n\n# b\n## one\nexit 2\n"),
        "{written}"
    );
    assert_eq!(Text::parse(&written).0, text.0);
    assert_eq!(difference("a\nb\nc\n", "a\nd\nc\n"), "  a\n- b\n+ d\n  c\n");
}
