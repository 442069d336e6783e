//! The files of a node as lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ring::digest::SHA256;
use rustix::process::geteuid;

use super::normalize::plain;
use crate::support::scratch;

/// What is longer is no file of a node.
const LONGEST: u64 = 1 << 20;
/// Enough of a digest to tell texts apart.
const BYTES: usize = 4;

/// What stands for the files of a join, where nothing is unusual about them. The digest is of a text without what differs
/// from run to run.
const USUAL: [(&str, &str); 10] = [
    ("ca.crt", "-rw-r--r-- root etc/kubernetes/pki/ca.crt ac13a765"),
    ("bootstrap-kubelet.conf", "-rw------- root etc/kubernetes/bootstrap-kubelet.conf 44d305c9"),
    ("kubelet.conf", "-rw------- root etc/kubernetes/kubelet.conf a078cd11"),
    (".staged", "-rw------- root etc/kubernetes/.nodestrap.staged a078cd11"),
    ("key", "-rw------- root var/lib/kubelet/pki/kubelet-client.key.tmp 1f9d2c53"),
    ("pair", "-rw------- root var/lib/kubelet/pki/kubelet-client-DATE.pem 7d7d7555"),
    (
        "current",
        "lrwxrwxrwx root var/lib/kubelet/pki/kubelet-client-current.pem -> /var/lib/kubelet/pki/kubelet-client-DATE.pem",
    ),
    ("serving-key", "-rw------- root var/lib/kubelet/pki/kubelet-server.key.tmp 1f9d2c53"),
    ("serving-pair", "-rw------- root var/lib/kubelet/pki/kubelet-server-DATE.pem 7d7d7555"),
    (
        "serving-current",
        "lrwxrwxrwx root var/lib/kubelet/pki/kubelet-server-current.pem -> /var/lib/kubelet/pki/kubelet-server-DATE.pem",
    ),
];
/// The directories above them, which are told where they are empty or unusual only.
const DIRECTORIES: [&str; 7] = [
    "drwxr-xr-x root etc",
    "drwxr-xr-x root etc/kubernetes",
    "drwxr-xr-x root etc/kubernetes/pki",
    "drwxr-xr-x root var",
    "drwxr-xr-x root var/lib",
    "drwx------ root var/lib/kubelet",
    "drwxr-xr-x root var/lib/kubelet/pki",
];
/// What is behind the name of a file that was moved aside.
const MOVED: &str = ".old-DATE";
/// What the runner itself has beside a root.
const RUNNERS: [&str; 3] = ["report.json", "strace.log", "peak"];

/// Everything below a root.
#[derive(Default)]
pub struct Tree {
    /// Line and digest of each entry, as they are.
    raw: Vec<String>,
    /// Without what differs from run to run, by path. Of what has the same path then, the newest is there.
    plain: BTreeMap<String, String>,
}

/// The names of all that is no directory.
pub fn names(root: &Path) -> BTreeSet<String> {
    let tree = scratch::tree(root);
    let files = tree.iter().filter(|line| !line.starts_with('d')).filter_map(|line| line.split(' ').nth(1));
    files.map(|path| short(&dateless(path.rsplit('/').next().unwrap_or_default()))).collect()
}

/// A name, or what stands for it.
fn short(name: &str) -> String {
    let (name, moved) = name.strip_suffix(MOVED).map_or((name, ""), |name| (name, ".old"));
    let ends = |long: &str| {
        let path = long.split(' ').nth(2).unwrap_or_default();
        path.rsplit('/').next() == Some(name)
    };
    let usual = USUAL.iter().find(|(_, long)| ends(long)).map_or(name, |(short, _)| short);
    format!("{usual}{moved}")
}

/// A path without dates, nor the number behind the second of one second.
fn dateless(path: &str) -> String {
    let plain = plain(path, &[]);
    match plain.rsplit_once(MOVED) {
        Some((before, number)) if number.bytes().all(|b| b.is_ascii_digit() || b == b'-') => {
            format!("{before}{MOVED}")
        }
        _ => plain,
    }
}

/// What is beside a root.
pub fn beside(root: &Path) -> BTreeSet<String> {
    let entries = root.parent().map(fs::read_dir).into_iter().flatten().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !RUNNERS.contains(&name.as_str())).collect()
}

impl Tree {
    /// All entries with mode, owner, target and digest.
    pub fn of(root: &Path) -> Self {
        let mut tree = Self::default();
        for line in scratch::tree(root) {
            let (mode, rest) = line.split_once(' ').unwrap_or_default();
            let (path, target) = rest.split_once(" -> ").map_or((rest, None), |(a, b)| (a, Some(b)));
            let Ok(metadata) = fs::symlink_metadata(root.join(path)) else { continue };
            let is_read = metadata.is_file() && metadata.len() <= LONGEST;
            let bytes = if is_read { fs::read(root.join(path)).unwrap_or_default() } else { Vec::new() };
            tree.raw.push(format!("{line} {} {}", metadata.uid(), digest(&bytes)));
            let owner = if metadata.uid() == geteuid().as_raw() { "root" } else { "other" };
            let mut entry = format!("{mode} {owner} {}", dateless(path));
            if let Some(target) = target {
                entry.extend([" -> ", &plain(target, &[])]);
            }
            if is_read {
                entry.extend([" ", &digest(plain(&String::from_utf8_lossy(&bytes), &[]).as_bytes())]);
            }
            tree.plain.insert(dateless(path), entry);
        }
        tree
    }

    /// Whether nothing was written in between.
    pub fn is_same(&self, other: &Self) -> bool {
        self.raw == other.raw && !self.raw.is_empty()
    }

    /// The lines that are printed: usual files on one, others on one each.
    pub fn lines(&self) -> Vec<String> {
        let has_more = |at: &str| {
            let below = format!("{at}/");
            self.plain.range(below.clone()..).next().is_some_and(|(path, _)| path.starts_with(&below))
        };
        let (mut usual, mut others) = (Vec::new(), Vec::new());
        for (path, line) in &self.plain {
            match USUAL.iter().find(|(_, long)| *long == line.replacen(MOVED, "", 1)) {
                Some((short, _)) if line.contains(MOVED) => usual.push(format!("{short}.old")),
                Some((short, _)) => usual.push((*short).to_owned()),
                None if DIRECTORIES.contains(&line.as_str()) && has_more(path) => {}
                None => others.push(line.clone()),
            }
        }
        let usual = if usual.is_empty() { None } else { Some(usual.join(" ")) };
        usual.into_iter().chain(others).collect()
    }
}

fn digest(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&SHA256, bytes);
    let first: [u8; BYTES] = digest.as_ref()[..BYTES].try_into().expect("a digest is longer");
    format!("{:08x}", u32::from_be_bytes(first))
}
