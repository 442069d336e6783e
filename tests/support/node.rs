//! A machine that is to join: its name, its disk, and what is on that.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::api::{Api, PATIENCE};
use super::golden;
use super::run::Finished;
use super::scratch::{self, Scratch};

/// A user that is not root.
pub const USER: u32 = 1000;

pub const CA: &str = "etc/kubernetes/pki/ca.crt";
pub const BOOTSTRAP_CONF: &str = "etc/kubernetes/bootstrap-kubelet.conf";
pub const KUBELET_CONF: &str = "etc/kubernetes/kubelet.conf";
pub const KUBELET: &str = "var/lib/kubelet";
pub const PKI: &str = "var/lib/kubelet/pki";
pub const KEY_TMP: &str = "var/lib/kubelet/pki/kubelet-client.key.tmp";
pub const CURRENT: &str = "var/lib/kubelet/pki/kubelet-client-current.pem";

/// A machine before, while and after it joins.
pub struct Node {
    pub name: String,
    root: PathBuf,
    // For its disk, where that is made here, and for what lies beside it.
    pub(super) scratch: Scratch,
}

impl Node {
    /// A machine with an empty root.
    pub fn new() -> Self {
        Self::named("n1")
    }

    /// The same by another name.
    pub fn named(name: &str) -> Self {
        let scratch = Scratch::new();
        let node = Self { name: name.to_owned(), root: scratch.path().join("root"), scratch };
        fs::create_dir(node.root()).expect("an empty root");
        if let Some(scope) = golden::here() {
            scope.has_node(node.root());
        }
        node
    }

    /// A machine whose disk is there.
    pub fn on(name: &str, root: PathBuf) -> Self {
        Self { name: name.to_owned(), root, scratch: Scratch::new() }
    }

    /// Its root.
    pub fn root(&self) -> PathBuf {
        self.root.clone()
    }

    /// A file beside the root.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Where its report is written.
    pub fn report(&self) -> PathBuf {
        self.beside("report.json")
    }

    /// Where a path of this machine, absolute or not, lies.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Whether anything is there, a dangling link included.
    pub fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.at(path)).is_ok()
    }

    /// Waits until it is: the last file that is written while a request is pending is [`BOOTSTRAP_CONF`].
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_for(&self, path: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.has(path) {
            assert!(Instant::now() < end, "{path} does not come: {:#?}", self.tree());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The text of a file.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path))
            .unwrap_or_else(|error| panic!("{path}: {error}; {:#?}", self.tree()))
    }

    /// The last of the dated pairs, which the link leads to: inside a root its target is no path of this machine.
    pub fn pair(&self) -> String {
        let dated = |path: &String| {
            path.starts_with("var/lib/kubelet/pki/kubelet-client-2") && !path.contains(".old-")
        };
        self.files()
            .into_iter()
            .rfind(dated)
            .unwrap_or_else(|| panic!("no stored pair in {:#?}", self.tree()))
    }

    /// The dated pair that the link leads to.
    pub fn pair_in_use(&self) -> String {
        let target = fs::read_link(self.at(CURRENT)).expect("the link to the pair in use");
        target.strip_prefix("/").expect("an absolute target").display().to_string()
    }

    /// The text of the last dated pair.
    pub fn read_pair(&self) -> String {
        self.read(&self.pair())
    }

    /// The key in that pair, as PEM.
    pub fn read_key(&self) -> String {
        let pair = self.read_pair();
        pair[pair.find("-----BEGIN EC PRIVATE KEY-----").expect("a key")..].to_owned()
    }

    /// Writes a file and the directories above it.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, content).expect("a file");
    }

    /// Writes a file that is for nobody else's eyes.
    pub fn write_secret(&self, path: &str, content: impl AsRef<[u8]>) {
        self.write(path, content);
        fs::set_permissions(self.at(path), Permissions::from_mode(0o600)).expect("a mode");
    }

    /// The permission bits of a file.
    pub fn mode(&self, path: &str) -> u32 {
        scratch::mode(&self.at(path))
    }

    /// Every entry under the root.
    pub fn tree(&self) -> Vec<String> {
        scratch::tree(&self.root())
    }

    /// Regular files and links under the root, without modes.
    pub fn files(&self) -> Vec<String> {
        self.tree()
            .iter()
            .filter(|line| !line.starts_with('d'))
            .filter_map(|line| line.split(' ').nth(1).map(str::to_owned))
            .collect()
    }

    /// Joins and asserts that the node has its identity and nothing of the bootstrap any more.
    pub fn joins(&self, api: &Api) -> Finished {
        let run = self.join(api).with_cert().run();
        run.expect("joined");
        run.check(self.has(KUBELET_CONF) && self.has(CURRENT), "an identity");
        run.check(!self.has(KEY_TMP) && !self.has(BOOTSTRAP_CONF), "nothing of the bootstrap");
        run
    }

    /// Asserts that a run left no trace on disk and that no credential went over the wire.
    pub fn is_untouched_by(&self, api: &Api) {
        assert_eq!(api.credentials_seen(), 0, "a credential went to {:#?}", api.requests());
        assert_eq!(self.tree(), Vec::<String>::new(), "something was written");
        assert!(api.connections().iter().all(|connection| !connection.client_certificate));
    }

    /// Joins with little time for the exchange and asserts a failure that leaves no identity and nothing strange.
    pub fn fails(&self, api: &Api, outcome: &str) -> Finished {
        let run = self.join(api).with_cert().args("--tls-bootstrap-timeout 3s").run();
        run.expect(outcome);
        let expected = [BOOTSTRAP_CONF, CA, KEY_TMP];
        let strange: Vec<_> =
            self.files().into_iter().filter(|file| !expected.contains(&file.as_str())).collect();
        run.check(strange.is_empty(), &format!("an identity or a temporary file was left: {strange:?}"));
        run
    }
}
