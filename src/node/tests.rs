//! The node's files below a directory of each test's own, as they are written, found, and removed.

mod ca_file;
mod state;
mod identity;
mod identity_files;
mod kubelet_files;
mod patches;
mod replace;

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::{Clock, Deadline, fake::FakeClock};
use crate::credentials::Credentials;
use crate::csr::CertificateKind;
use crate::disk::Scratch;
use crate::http::{NameSources, Proxies, ServerUrl, System, SystemNetwork, Traffic};
use crate::key::Key;
use crate::kubeconfig;
use crate::kubelet::KubeletFiles;
use crate::log::Log;
use crate::secret::Secret;
use crate::trust::{CaBundle, Pins, TrustedCluster};

const CA: &[u8] = include_bytes!("../../tests/fuzz/pki/ca.pem");
/// For `system:node:n1`, in time from 2026 to 2126.
const NODE: &str = include_str!("../../tests/fuzz/pki/node.pem");
const KEY: &str = include_str!("../../tests/vectors/sec1-p256.pem");
/// A certificate, and not the CA.
const OTHER: &[u8] = include_bytes!("../../tests/fuzz/pki/server.pem");

const CA_CRT: &str = "etc/kubernetes/pki/ca.crt";
const CONF: &str = "etc/kubernetes/kubelet.conf";
const BOOTSTRAP_CONF: &str = "etc/kubernetes/bootstrap-kubelet.conf";
const PKI: &str = "var/lib/kubelet/pki";
const KEY_TMP: &str = "var/lib/kubelet/pki/kubelet-client.key.tmp";
const PAIR: &str = "var/lib/kubelet/pki/kubelet-client-current.pem";

/// 2030 begins.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(525_960)
}

/// A node's disk.
struct Node(Scratch);

impl Node {
    fn new(test: &str) -> Self {
        Self(Scratch::new(&format!("files-{test}")))
    }

    fn files(&self) -> NodeFiles {
        NodeFiles::open(&self.0.path("root"), Layout::default()).unwrap()
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.0.path("root").join(path)
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        std::fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        std::fs::write(self.at(path), text).unwrap();
    }

    fn open(&self, path: &str, mode: u32) {
        std::fs::set_permissions(self.at(path), PermissionsExt::from_mode(mode)).unwrap();
    }

    fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.at(path)).unwrap()
    }

    fn mode(&self, path: &str) -> u32 {
        std::fs::metadata(self.at(path)).unwrap().permissions().mode() & 0o7777
    }

    /// All files with what they hold.
    fn state(&self) -> BTreeMap<String, Vec<u8>> {
        let (mut state, mut folders) = (BTreeMap::new(), vec![String::new()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(self.at(&folder)).unwrap() {
                let entry = entry.unwrap();
                let path = format!("{folder}{}", entry.file_name().into_string().unwrap());
                if entry.file_type().unwrap().is_dir() {
                    folders.push(path + "/");
                } else {
                    state.insert(path.clone(), std::fs::read(self.at(&path)).unwrap());
                }
            }
        }
        state
    }

    fn names(&self) -> Vec<String> {
        self.state().into_keys().collect()
    }
}

/// A cluster that nobody talks to.
fn cluster(authorities: &[u8]) -> TrustedCluster {
    let clock: Arc<dyn Clock> = Arc::new(FakeClock::at(now()));
    let system = System {
        network: Arc::new(SystemNetwork::new(clock.clone(), NameSources::of_system())),
        clock,
        proxies: Arc::new(Proxies::default()),
        traffic: Arc::new(Traffic::default()),
    };
    let server = ServerUrl::parse("https://192.0.2.1:6443").unwrap();
    let authorities = CaBundle::from_pem(authorities.to_vec()).unwrap();
    TrustedCluster::configured(&system, server, authorities, &Pins::None, None, now()).unwrap()
}

/// Asserts that it is an error of files that says this.
fn assert_files<T: std::fmt::Debug>(result: Result<T>, words: &str) {
    let error = result.unwrap_err();
    let text = without_root(&error.to_string());
    assert!(error.kind() == ErrorKind::Files && text.contains(words), "{error}");
}

/// A text with the paths of a node's files as they are below its root.
fn without_root(text: &str) -> String {
    let temp = std::env::temp_dir().display().to_string();
    let mut parts = text.split(&temp);
    let below = |part: &str| part.split_once("/root").map_or(part, |(_, path)| path).to_owned();
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + &below(part))
}

#[test]
fn paths_are_shown_behind_the_root() {
    for (root, shown) in [("/", "/etc/x"), ("/tmp", "/tmp/etc/x"), ("/tmp/", "/tmp/etc/x")] {
        let files = NodeFiles::open(Path::new(root), Layout::default()).unwrap();
        assert_eq!(files.shown("/etc/x"), shown);
    }
}

#[test]
fn a_root_that_is_not_there_is_a_usage_error() {
    let node = Node::new("root");
    node.write("f", "");
    for path in ["none", "f"] {
        let error = NodeFiles::open(&node.at(path), Layout::default()).unwrap_err();
        assert!(
            error.kind() == ErrorKind::Usage && error.to_string().contains("cannot be opened"),
            "{error}"
        );
    }
    assert_files(NodeFiles::open(&node.at(&"n".repeat(300)), Layout::default()), "cannot be opened");
}

#[test]
fn the_host_name_is_the_first_line_that_is_no_comment() {
    let node = Node::new("hostname");
    assert_eq!(node.files().hostname().unwrap(), None);
    for (text, name) in [
        (&b""[..], None),
        (b"\n \n# N2\n", None),
        (b"\xff\n", None),
        (b"N1", Some("N1")),
        (b"\n# N2\n\t #N3\n N1 \nN4\n", Some("N1")),
    ] {
        node.write("etc/hostname", text);
        assert_eq!(node.files().hostname().unwrap().as_deref(), name, "{text:?}");
    }
    std::fs::remove_file(node.at("etc/hostname")).unwrap();
    std::fs::create_dir(node.at("etc/hostname")).unwrap();
    assert_files(node.files().hostname(), "/etc/hostname cannot be read");
}

#[test]
fn another_run_is_waited_for_until_the_deadline() {
    // A directory for locks, and none: then the root itself is locked.
    for run in ["run", "none"] {
        let node = Node::new(&format!("lock-{run}"));
        std::fs::create_dir(node.0.path("run")).unwrap();
        let runtime = node.0.path(run).join("nodestrap");
        let (first, second) = (node.files(), node.files());
        let clock = FakeClock::at(now());
        let lock = |files: &NodeFiles| {
            let deadline = Deadline::after(&clock, Duration::from_secs(1));
            files.lock(&runtime, &clock, deadline, &Log::silent())
        };
        let held = lock(&first).unwrap();
        assert_eq!(clock.elapsed(), Duration::ZERO, "nobody is in");
        assert_files(lock(&second), "another nodestrap process");
        assert_eq!(clock.elapsed(), Duration::from_secs(1));
        drop((held, first));
        lock(&second).unwrap();
        assert_eq!(node.names(), [""; 0]);
    }
}

#[test]
fn ca_crt_is_written_once_and_never_over_another() {
    let (node, cluster) = (Node::new("ca"), cluster(CA));
    node.files().write_ca(&cluster).unwrap();
    assert_eq!((node.read(CA_CRT), node.mode(CA_CRT)), (CA.to_vec(), 0o644));
    let inode = || std::fs::metadata(node.at(CA_CRT)).unwrap().ino();
    let before = inode();
    node.files().write_ca(&cluster).unwrap();
    assert_eq!(inode(), before);
    node.write(CA_CRT, OTHER);
    assert_files(node.files().write_ca(&cluster), "/etc/kubernetes/pki/ca.crt holds CA keys that");
    assert_eq!(node.read(CA_CRT), OTHER);
    std::fs::remove_file(node.at(CA_CRT)).unwrap();
    std::fs::create_dir(node.at(CA_CRT)).unwrap();
    assert_files(node.files().write_ca(&cluster), "/etc/kubernetes/pki/ca.crt cannot be read");
}

/// Only what is the identity's own is closed, and only where nobody else can have written it.
#[test]
fn a_secret_that_others_can_read_is_closed_when_that_is_told() {
    for (mode, secret, closes, after) in [
        (0o644, true, true, 0o600),
        (0o640, true, true, 0o600),
        (0o600, true, true, 0o600),
        (0o400, true, true, 0o400),
        (0o644, false, true, 0o644),
        (0o644, true, false, 0o644),
        (0o666, true, true, 0o666),
    ] {
        let node = Node::new("exposed");
        node.write(CONF, "text");
        node.open(CONF, mode);
        let files = node.files();
        let (text, is_safe) = files.examine("/etc/kubernetes/kubelet.conf", |_| secret).unwrap().unwrap();
        assert_eq!((text.expose().as_slice(), is_safe), (&b"text"[..], mode != 0o666));
        files.log_findings(closes, &Log::silent());
        assert_eq!(node.mode(CONF), after, "{mode:o} {secret} {closes}");
        assert!(files.examine("/none", |_| true).unwrap().is_none());
    }
}
