//! What is on a machine's disk, and whether a kubelet or the next run could take any of it for something that it is not.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::support::golden::undated;
use crate::support::node::{CA, CURRENT, KUBELET_CONF, PKI};

/// The name under which the program prepares a file, and that of one that waits for another.
pub const TEMPORARIES: [&str; 2] = [".nodestrap.new", ".nodestrap.staged"];

/// Whether a path is one of those.
pub fn is_temporary(path: &str) -> bool {
    TEMPORARIES.iter().any(|name| path.ends_with(name))
}

/// What begins a difference that is there and should not be.
pub const HERE: &str = "here only";
/// What texts hold instead of the server's address.
const SERVER: &str = "SERVER";

/// Everything below a root, by its path.
#[derive(Clone, Debug, Default)]
pub struct State(BTreeMap<String, Entry>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    mode: u32,
    content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    Directory,
    Link(String),
    File(String),
    Other,
}

impl State {
    /// Reads it. `server` is left out of the texts.
    pub fn of(root: &Path, server: &str) -> Self {
        let mut state = Self::default();
        state.read(root, root, server);
        state
    }

    fn read(&mut self, root: &Path, at: &Path, server: &str) {
        for entry in fs::read_dir(at).expect("a directory") {
            let path = entry.expect("an entry").path();
            let metadata = fs::symlink_metadata(&path).expect("an entry that stays");
            let content = if metadata.is_symlink() {
                Content::Link(fs::read_link(&path).expect("a link").display().to_string())
            } else if metadata.is_dir() {
                self.read(root, &path, server);
                Content::Directory
            } else if metadata.is_file() {
                let text = String::from_utf8_lossy(&fs::read(&path).expect("a file")).into_owned();
                Content::File(if server.is_empty() { text } else { text.replace(server, SERVER) })
            } else {
                Content::Other
            };
            let name = path.strip_prefix(root).expect("below the root").display().to_string();
            self.0.insert(name, Entry { mode: metadata.mode() & 0o7777, content });
        }
    }

    /// What is wrong with it, for a machine on which this was `before` and on which the whole files of a join are those
    /// of `known`.
    pub fn faults(&self, before: &Self, known: &Self) -> Vec<String> {
        let mut faults: Vec<_> = self
            .0
            .iter()
            .filter_map(|(path, entry)| Some(format!("{path} {}", self.fault(path, entry, before, known)?)))
            .collect();
        let conf = self.0.get(KUBELET_CONF);
        let is_committed =
            conf.is_some() && conf == known.0.get(KUBELET_CONF) && conf != before.0.get(KUBELET_CONF);
        let has_rest = [CA, CURRENT].iter().all(|path| self.0.contains_key(*path));
        if is_committed && !has_rest {
            faults.push("kubelet.conf is there before what it commits".to_owned());
        }
        faults
    }

    fn fault(&self, path: &str, entry: &Entry, before: &Self, known: &Self) -> Option<&'static str> {
        let name = path.rsplit('/').next().unwrap_or_default();
        let is_as_before = |path: &str| before.0.get(path) == Some(entry);
        if is_temporary(name) {
            let is_wide = match &entry.content {
                Content::File(text) => entry.mode != 0o600 && has_secret(text),
                _ => false,
            };
            return is_wide.then_some("holds a secret that others can read");
        }
        if is_as_before(path) {
            return None;
        }
        if let Some((old, _)) = path.split_once(".old-") {
            return (!is_as_before(old)).then_some("was moved aside and is not what it was");
        }
        match &entry.content {
            Content::Link(target) if !self.0.contains_key(target.trim_start_matches('/')) => {
                Some("leads nowhere")
            }
            Content::File(text) if path.starts_with(PKI) => {
                if entry.mode != 0o600 {
                    return Some("has another mode than 0600");
                }
                let wanted: &[&str] = if name.ends_with(".key.tmp") {
                    &["EC PRIVATE KEY"]
                } else if undated(name) != name {
                    &["CERTIFICATE", "EC PRIVATE KEY"]
                } else {
                    return Some("is not known");
                };
                (!is_pem_of(text, wanted)).then_some("is not whole")
            }
            _ => {
                let found = known.0.iter().find(|(other, _)| undated(other) == undated(path));
                match found {
                    None => Some("is not known"),
                    Some((_, known)) if known.mode != entry.mode => Some("has another mode"),
                    Some((_, known)) if undated_entry(known) != undated_entry(entry) => Some("is not whole"),
                    _ => None,
                }
            }
        }
    }

    /// Whether any file has this text in it.
    pub fn holds(&self, text: &str) -> bool {
        self.0.values().any(|entry| matches!(&entry.content, Content::File(found) if found.contains(text)))
    }

    /// What is here and not in the other state, or there and not here, where it does not differ from join to join.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut missing = other.shape();
        let mut differences = Vec::new();
        for line in self.shape() {
            match missing.iter().position(|other| *other == line) {
                Some(at) => drop(missing.remove(at)),
                None => differences.push(format!("{HERE}: {line}")),
            }
        }
        differences.extend(missing.iter().map(|line| format!("there only: {line}")));
        differences
    }

    /// All paths with modes and with what does not differ from join to join.
    fn shape(&self) -> Vec<String> {
        let line = |(path, entry): (&String, &Entry)| {
            let content = match &entry.content {
                Content::Link(target) => format!(" -> {}", undated(target)),
                Content::File(text) if !path.starts_with(PKI) => format!(" {text:?}"),
                _ => String::new(),
            };
            format!("{:o} {}{content}", entry.mode, undated(path))
        };
        self.0.iter().map(line).collect()
    }
}

fn undated_entry(entry: &Entry) -> Entry {
    match &entry.content {
        Content::Link(target) => Entry { mode: entry.mode, content: Content::Link(undated(target)) },
        _ => entry.clone(),
    }
}

fn has_secret(text: &str) -> bool {
    text.contains("PRIVATE KEY") || text.contains("token:")
}

/// Whether a text is these PEM blocks and nothing else, to the last byte.
fn is_pem_of(text: &str, wanted: &[&str]) -> bool {
    let Ok(blocks) = pem::parse_many(text) else { return false };
    let tags: Vec<_> = blocks.iter().map(pem::Pem::tag).collect();
    let end = format!("-----END {}-----\n", wanted.last().expect("a block"));
    tags == wanted && text.ends_with(&end)
}
