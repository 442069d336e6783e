//! One run as text.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

use super::files::{self, Tree};
use super::normalize::{letter, plain};
use super::text::EXIT;
use super::{Scope, here};
use super::{report, requests};
use crate::support::api::Request;

/// The servers, nodes and runs of a scope.
#[derive(Default)]
pub struct Live {
    servers: Vec<u16>,
    nodes: Vec<PathBuf>,
    running: Vec<(usize, Option<PathBuf>)>,
    begun: usize,
    counted: usize,
    seen: BTreeSet<String>,
    /// Whether two runs ran at once since none did.
    is_shared: bool,
    asked: Vec<Asked>,
}

/// A request that has come.
struct Asked {
    server: usize,
    line: String,
    /// The node's files at that time, where it is clear whose they are.
    files: Option<BTreeSet<String>>,
}

/// A server of a scope.
pub struct Served {
    scope: Arc<Scope>,
    number: usize,
}

/// A run from its start to its end.
pub struct Run {
    scope: Arc<Scope>,
    number: usize,
    root: Option<PathBuf>,
    tree: Tree,
    files: BTreeSet<String>,
    beside: BTreeSet<String>,
}

impl Live {
    pub fn add_server(&mut self, port: u16) -> usize {
        self.servers.push(port);
        self.servers.len() - 1
    }

    pub fn add_node(&mut self, root: PathBuf) {
        self.nodes.push(root);
    }

    /// How many runs there were before; one more from now on, with this text.
    pub fn count(&mut self, text: &str) -> usize {
        self.counted += 1;
        self.seen.insert(text.to_owned());
        self.counted - 1
    }

    /// The distinct texts of all.
    pub fn seen(&self) -> String {
        self.seen.iter().map(String::as_str).collect()
    }

    /// How many runs there were.
    pub fn ended(&self) -> usize {
        self.counted
    }

    /// What the servers were asked by nobody knows which run, each once and in the order of the alphabet.
    pub fn asked_by_all(&mut self) -> Vec<String> {
        let asked: Vec<Asked> = self.asked.drain(..).collect();
        let lines: BTreeSet<String> = asked.iter().map(|asked| self.line(asked)).collect();
        lines.into_iter().collect()
    }

    fn line(&self, asked: &Asked) -> String {
        let line = plain(&asked.line, &self.servers);
        if self.servers.len() > 1 {
            format!("> {} {line}", letter(asked.server))
        } else {
            format!("> {line}")
        }
    }

    /// The requests of a run in order, repetitions once, with the files that have come and gone since the one before.
    /// A deadline may cut a repetition short.
    fn asked(&mut self, files: &BTreeSet<String>, has_failed: bool) -> (Vec<String>, bool) {
        let asked: Vec<Asked> = self.asked.drain(..).collect();
        let mut before = files.clone();
        let mut lines: Vec<(String, String)> = Vec::new();
        for one in &asked {
            let mut changes = String::new();
            if let Some(now) = &one.files {
                now.difference(&before).for_each(|file| _ = write!(changes, " +{file}"));
                before.difference(now).for_each(|file| _ = write!(changes, " -{file}"));
                before.clone_from(now);
            }
            lines.push((self.line(one), changes));
        }
        let count = lines.len();
        requests::once(&mut lines);
        if has_failed {
            requests::cut(&mut lines);
        }
        let is_once = lines.len() == count;
        (lines.into_iter().map(|(line, changes)| line + &changes).collect(), is_once)
    }
}

impl Served {
    pub fn new(scope: Arc<Scope>, number: usize) -> Self {
        Self { scope, number }
    }

    /// Notes a request.
    pub fn note(&self, request: &Request) {
        if self.scope.is_set() {
            return;
        }
        let root = match &self.scope.live().running[..] {
            [(_, Some(root))] => Some(root.clone()),
            _ => None,
        };
        let files = root.map(|root| files::names(&root));
        self.scope.live().asked.push(Asked { server: self.number, line: requests::line(request), files });
    }
}

impl Run {
    /// The run that a command begins. `None` where this is no run of a test with a golden.
    pub fn begin(command: &Command) -> Option<Self> {
        Self::with(&format!("{command:?}"))
    }

    /// The same, by a text with the node's root in it.
    pub fn with(command: &str) -> Option<Self> {
        let scope = here()?;
        let of_test = scope.of_test();
        let mut live = scope.live();
        let named =
            |nodes: &[PathBuf]| nodes.iter().find(|root| command.contains(&*root.to_string_lossy())).cloned();
        let root = named(&live.nodes).or_else(|| named(&of_test?.live().nodes));
        let number = live.begun;
        live.begun += 1;
        live.is_shared = !live.running.is_empty();
        live.running.push((number, root.clone()));
        drop(live);
        let (mut tree, mut files, mut beside) = (Tree::default(), BTreeSet::new(), BTreeSet::new());
        if let Some(root) = &root {
            (tree, files, beside) = (Tree::of(root), files::names(root), files::beside(root));
        }
        Some(Self { scope, number, root, tree, files, beside })
    }

    /// Holds the run against its golden; `code` is `None` when a signal has ended it.
    ///
    /// # Panics
    /// When it differs.
    pub fn end(self, code: Option<i32>, stderr: &str, report: Option<&Value>) {
        let mut live = self.scope.live();
        let is_alone = !live.is_shared;
        let is_last = live.running.len() == 1;
        let is_set = self.scope.is_set();
        let (asked, is_once) = match (is_alone, is_last) {
            _ if is_set => (Vec::new(), false),
            (true, true) => live.asked(&self.files, code != Some(0)),
            (_, true) => (live.asked_by_all(), false),
            (_, false) => (Vec::new(), false),
        };
        let servers = live.servers.clone();
        drop(live);
        let mut text = EXIT.to_owned();
        text.push_str(&code.map_or_else(|| "by a signal".to_owned(), |code| code.to_string()));
        if code != Some(0) {
            let step =
                report.and_then(|report| report["error"][0].as_str()).or_else(|| report::error(stderr));
            if let Some((step, _)) = step.and_then(|error| error.split_once(": ")) {
                let _ = write!(text, " {step}");
            }
        }
        if let Some(report) = report.filter(|_| !is_set) {
            report::fields(&mut text, report, code == Some(0) && is_once, &servers);
        }
        text.push('\n');
        for line in asked {
            let _ = writeln!(text, "{line}");
        }
        // What others run meanwhile may write.
        if let Some(root) = self.root.as_ref().filter(|_| is_last || is_set) {
            let beside = files::beside(root);
            let removed = self.beside.difference(&beside).map(|name| format!(" -{name}"));
            let added = beside.difference(&self.beside).map(|name| format!(" +{name}"));
            let changes: String = removed.chain(added).collect();
            if !changes.is_empty() && !is_set && is_alone {
                let _ = writeln!(text, "beside the root:{changes}");
            }
            let tree = Tree::of(root);
            if tree.is_same(&self.tree) && !is_set {
                text.push_str("= as before\n");
            } else {
                tree.lines().iter().for_each(|line| _ = writeln!(text, "= {line}"));
            }
        }
        let scope = Arc::clone(&self.scope);
        drop(self);
        scope.record(text);
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let mut live = self.scope.live();
        live.running.retain(|(number, _)| *number != self.number);
        if live.running.is_empty() {
            live.asked.clear();
            live.is_shared = false;
        }
    }
}
