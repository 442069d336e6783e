//! The node's files below a directory of each test's own, as they are written, found, and removed.

mod ca_file;
mod state;
mod identity;
mod patches;
mod replace;

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::{Clock, Deadline, fake::FakeClock};
use crate::disk::Scratch;
use crate::http::{NameSources, Proxies, ServerUrl, System, SystemNetwork, Traffic};
use crate::kubelet::KubeletFiles;
use crate::log::Log;
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

#[test]
fn a_file_with_a_secret_is_the_users_alone() {
    let (node, cluster) = (Node::new("bootstrap"), cluster(CA));
    let credentials = Credentials::from(Secret::new("abcdef.0123456789abcdef".to_owned()));
    let inode = || std::fs::metadata(node.at(BOOTSTRAP_CONF)).unwrap().ino();
    node.files().write_bootstrap(&cluster, &credentials).unwrap();
    assert!(String::from_utf8(node.read(BOOTSTRAP_CONF)).unwrap().contains("abcdef.0123456789abcdef"));
    assert_eq!(node.mode(BOOTSTRAP_CONF), 0o600);
    let before = inode();
    node.files().write_bootstrap(&cluster, &credentials).unwrap();
    assert_eq!(inode(), before);
    std::fs::set_permissions(node.at(BOOTSTRAP_CONF), PermissionsExt::from_mode(0o644)).unwrap();
    node.files().write_bootstrap(&cluster, &credentials).unwrap();
    assert_eq!(node.mode(BOOTSTRAP_CONF), 0o600);
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

#[test]
fn a_key_is_found_again_until_it_is_discarded() {
    let node = Node::new("key");
    node.files().discard_pending_key(CertificateKind::CLIENT).unwrap();
    let first = node.files().pending_key(CertificateKind::CLIENT).unwrap();
    assert_eq!((node.mode(KEY_TMP), node.mode(PKI), node.mode("var/lib/kubelet")), (0o600, 0o755, 0o700));
    assert_eq!(node.read(KEY_TMP), first.pem().expose().as_bytes());
    node.write(&format!("{PKI}/.nodestrap.new"), "half a fi");
    let serving = node.files().pending_key(CertificateKind::SERVING).unwrap();
    let again = node.files().pending_key(CertificateKind::CLIENT).unwrap();
    assert!(again.spki() == first.spki() && serving.spki() != first.spki());
    let server = "var/lib/kubelet/pki/kubelet-server.key.tmp";
    assert_eq!(node.names(), [KEY_TMP, server], "what a crash has left is cleared away");
    node.files().discard_pending_key(CertificateKind::CLIENT).unwrap();
    assert_eq!(node.names(), [server]);
    for torn in ["", &KEY[..100], NODE] {
        node.write(KEY_TMP, torn);
        let key = node.files().pending_key(CertificateKind::CLIENT).unwrap();
        assert_eq!(node.read(KEY_TMP), key.pem().expose().as_bytes());
    }
    std::fs::remove_file(node.at(KEY_TMP)).unwrap();
    std::fs::create_dir(node.at(KEY_TMP)).unwrap();
    assert_files(
        node.files().pending_key(CertificateKind::CLIENT).map(drop),
        "/kubelet-client.key.tmp cannot be read",
    );
    assert_files(
        node.files().discard_pending_key(CertificateKind::CLIENT),
        "/kubelet-client.key.tmp cannot be removed",
    );
}

#[test]
fn kubelet_conf_has_its_name_when_it_is_committed() {
    let (node, cluster) = (Node::new("commit"), cluster(CA));
    drop(node.files().stage_kubelet_conf(&cluster).unwrap());
    assert_eq!(node.names(), [""; 0]);
    let staged = node.files().stage_kubelet_conf(&cluster).unwrap();
    assert!(!node.at(CONF).exists());
    staged.commit().unwrap();
    assert_eq!((node.names(), node.mode(CONF)), (vec![CONF.to_owned()], 0o600));
    let text = String::from_utf8(node.read(CONF)).unwrap();
    for part in ["https://192.0.2.1:6443", &cluster.ca().base64(), &format!("/{PAIR}")] {
        assert!(text.contains(part), "{text}");
    }
    std::fs::remove_file(node.at(CONF)).unwrap();
    std::fs::create_dir(node.at(CONF)).unwrap();
    let staged = node.files().stage_kubelet_conf(&cluster).unwrap();
    assert_files(staged.commit(), "/etc/kubernetes/kubelet.conf cannot be written");
}

#[test]
fn what_is_not_needed_any_more_goes() {
    let node = Node::new("clean");
    node.files().finish_interrupted().and_then(|()| node.files().clean_up(false)).unwrap();
    for file in [CA_CRT, CONF, BOOTSTRAP_CONF, KEY_TMP, PAIR] {
        node.write(file, "");
    }
    node.write(&format!("{PKI}/.nodestrap.new"), "");
    node.files().finish_interrupted().and_then(|()| node.files().clean_up(true)).unwrap();
    assert_eq!(node.names(), [BOOTSTRAP_CONF, CONF, CA_CRT, PAIR]);
    node.write("etc/kubernetes/.nodestrap.new", "");
    node.files().finish_interrupted().and_then(|()| node.files().clean_up(false)).unwrap();
    assert_eq!(node.names(), [CONF, CA_CRT, PAIR]);
}

#[test]
fn what_is_in_the_way_is_told() {
    let node = Node::new("way");
    node.write(PKI, "a file");
    assert_files(node.files().finish_interrupted(), "/kubelet-client.key.tmp cannot be read");
    assert_files(node.files().clean_up(true), "/kubelet-client.key.tmp cannot be removed");
    assert_files(
        node.files().pending_key(CertificateKind::CLIENT).map(drop),
        "/var/lib/kubelet/pki cannot be opened",
    );
    // Of an interrupted run, whose directories are gone.
    let node = Node::new("gone");
    node.write(KEY_TMP, KEY);
    assert_files(node.files().finish_interrupted(), "directory /etc/kubernetes/pki cannot be synced");
}

#[test]
fn the_kubelets_own_directory_is_closed_wherever_the_pairs_lie() {
    for (number, (pki, closed)) in
        [("/var/lib/kubelet/a/b", true), ("/var/lib/kubelets/a", false)].iter().enumerate()
    {
        let node = Node::new(&format!("below-{number}"));
        let layout = Layout { certificates: NodePath::parse(pki).unwrap(), ..Layout::default() };
        let files = NodeFiles::open(&node.at(""), layout).unwrap();
        files.pending_key(CertificateKind::CLIENT).unwrap();
        assert_eq!(node.at("var/lib/kubelet").exists(), *closed);
        let parent = pki.rsplit_once('/').unwrap().0;
        assert_eq!(node.mode(parent.trim_start_matches('/')), 0o755);
        if *closed {
            assert_eq!(node.mode("var/lib/kubelet"), 0o700);
        }
    }
}

#[test]
fn the_kubelets_files_are_there_together_or_not() {
    let node = Node::new("kubelet");
    let [config, instance] = ["config\n", "instance\n"].map(|text| Some(text.to_owned()));
    let files = KubeletFiles { config, instance, flags: "flags\n".to_owned() };
    assert!(!node.files().has_kubelet_files(true).unwrap());
    node.files().write_kubelet_files(&files).unwrap();
    assert!(node.files().has_kubelet_files(true).unwrap());
    assert_eq!(node.mode("var/lib/kubelet"), 0o700);
    for (name, expected) in [
        ("config.yaml", "config\n"),
        ("instance-config.yaml", "instance\n"),
        ("kubeadm-flags.env", "flags\n"),
    ] {
        let path = format!("var/lib/kubelet/{name}");
        assert_eq!((node.read(&path), node.mode(&path)), (expected.into(), 0o644));
    }
    for name in ["config.yaml", "kubeadm-flags.env"] {
        let (path, aside) = (node.at(&format!("var/lib/kubelet/{name}")), node.at("aside"));
        std::fs::rename(&path, &aside).unwrap();
        assert!(!node.files().has_kubelet_files(true).unwrap());
        std::fs::create_dir(&path).unwrap();
        assert_files(node.files().has_kubelet_files(true), name);
        std::fs::remove_dir(&path).unwrap();
        std::fs::rename(&aside, &path).unwrap();
    }
}

#[test]
fn a_container_runtime_is_known_by_its_socket() {
    let node = Node::new("runtime");
    let runtimes = crate::kubelet::RUNTIMES;
    let url = |path: &str| format!("unix://{path}");
    assert_eq!(node.files().cri_socket().unwrap(), url(runtimes[0]));
    let bind = |path: &str| {
        let at = node.at(path.trim_start_matches('/'));
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        UnixListener::bind(at).unwrap()
    };
    let _second = bind(runtimes[1]);
    assert_eq!(node.files().cri_socket().unwrap(), url(runtimes[1]));
    let _first = bind(runtimes[0]);
    let error = node.files().cri_socket().unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("--cri-socket"), "{error}");
}

#[test]
fn the_list_of_name_servers_is_systemd_resolveds_where_there_is_one() {
    let node = Node::new("resolved");
    assert!(!node.files().has_systemd_resolved().unwrap());
    node.write(crate::kubelet::RESOLVED.trim_start_matches('/'), "");
    assert!(node.files().has_systemd_resolved().unwrap());
}
