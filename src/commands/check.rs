//! `check`: what an image must not contain before machines are made of it, and what it should.
//!
//! What makes two machines one (an identity, a key) is an error; what ties an image to one cluster, and what a kubelet
//! will miss, is a warning. The image is not trusted: a link in it never leads out of it, nothing in it is written, and no
//! content of it is shown.

mod locations;
mod secrets;

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use rustix::fs::FileType;
use serde_json::Value;

use self::locations::{LOCATIONS, Location};
use self::secrets::holds_secret;
use crate::cli::Variables;
use crate::disk::{Root, Seen, TEMPORARIES};
use crate::error::{Error, ErrorKind, Result, Step};
use crate::kubeconfig::Kubeconfig;
use crate::limits;
use crate::log::Log;
use crate::node::{
    BOOTSTRAP, CA, CERTIFICATES, CONFIG, KUBELET, KUBELET_CONF, KUBERNETES, Layout, NodeFiles, PKI,
    is_moved_aside, path,
};
use crate::report::{Finding, Level, Report, Success};
use crate::sanitize::sanitize;
use crate::secret::Secret;
use crate::yaml;

/// The kubeconfigs of a control plane, each with a key (`cmd/kubeadm/app/constants`, `AdminKubeConfigFileName` and the
/// like).
const CONTROL_PLANE: [&str; 4] =
    ["admin.conf", "super-admin.conf", "controller-manager.conf", "scheduler.conf"];
/// Where keys lie: the cluster's, and etcd's below them (`cmd/kubeadm/app/phases/certs`).
const KEYS: [&str; 2] = [PKI, "/etc/kubernetes/pki/etcd"];
/// Where a kubelet keeps what it mounts into pods (`cmd/kubelet/app/server.go`, `getPodsDir`).
const PODS: &str = "/var/lib/kubelet/pods";
/// machine-id(5).
const MACHINE_ID: &str = "/etc/machine-id";
/// Where the unit reads its arguments.
const ARGUMENTS: [&str; 2] = ["/etc/default/nodestrap", "/etc/sysconfig/nodestrap"];
/// Where a kubelet's configuration is in images without kubeadm.
const CONFIGURATION: &str = "/etc/kubernetes/kubelet.yaml";

const REMOVE: &str = "remove it";

/// Checks the image at `root` and prints one line for each finding.
///
/// # Errors
/// A usage error when there is no such directory; [`ErrorKind::Files`] when the image holds what it must not, or a part of
/// it cannot be looked at.
pub fn check(root: &Path, log: &Log, report: &mut Report) -> Result<Success> {
    let files = NodeFiles::open(root, Layout::default())?.only_looking();
    let mut image = Image { root: files.disk(), findings: Vec::new(), seen: Vec::new() };
    image.directories();
    image.identity();
    image.keys();
    image.leftovers();
    image.cluster();
    image.machine_id();
    image.secrets();
    image.configuration(files.has_kubeadm());
    let findings = image.findings;
    let lines = findings.iter().map(|Finding { level, path, message, help }| {
        let level = level.name();
        format!("{level}: {path}: {message}; {help}\n")
    });
    let output = lines.collect::<String>();
    let errors = findings.iter().filter(|finding| finding.level == Level::Error).count();
    report.findings = Some(findings);
    log.print(&output)?;
    if errors == 0 {
        return Ok(Success::Checked);
    }
    Err(Error::new(Step::Files, ErrorKind::Files, format!("the image has {errors} errors"))
        .with_help("see the findings on standard output"))
}

/// An image, and what was found in it.
struct Image<'a> {
    root: &'a Root,
    findings: Vec<Finding>,
    /// The files and directories that were searched for secrets, by device and inode, sorted.
    seen: Vec<(u64, u64)>,
}

impl Image<'_> {
    fn error(&mut self, path: &str, message: &str, help: &str) {
        self.find(Level::Error, path, message, help);
    }

    fn warning(&mut self, path: &str, message: &str, help: &str) {
        self.find(Level::Warning, path, message, help);
    }

    fn find(&mut self, level: Level, path: &str, message: &str, help: &str) {
        let (message, help) = (message.to_owned(), help.to_owned());
        let finding = Finding { level, path: sanitize(path), message, help };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// What could not be looked at may hold anything.
    fn unreadable<T: Default>(&mut self, path: &str, looked: std::io::Result<T>) -> T {
        looked.unwrap_or_else(|e| {
            let message = format!("cannot be read ({})", sanitize(&e.to_string()));
            let is_denied = e.kind() == io::ErrorKind::PermissionDenied;
            self.error(path, &message, if is_denied { "run check as root" } else { "repair or remove it" });
            T::default()
        })
    }

    /// The names in a directory, sorted; none where there is no such directory.
    fn names(&mut self, directory: &str) -> Vec<String> {
        let names = self.root.names(directory);
        let names = self.unreadable(directory, names);
        names.iter().map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// The text of a file, where it is there.
    fn text(&mut self, path: &str) -> Option<Secret<String>> {
        let bytes = self.root.read(path);
        let bytes = Secret::new(self.unreadable(path, bytes)?);
        Some(Secret::new(String::from_utf8_lossy(bytes.expose()).into_owned()))
    }

    /// Directories of the node's files that others can change: a join refuses those that they can write to.
    fn directories(&mut self) {
        for directory in [KUBERNETES, PKI, KUBELET, CERTIFICATES] {
            // What else may be wrong is found when their files are looked at.
            let _ = self.root.directory(directory, None);
        }
        for stranger in self.root.new_strangers() {
            let level = if stranger.owner.is_none() { Level::Error } else { Level::Warning };
            self.find(level, &stranger.path, &stranger.problem(), &stranger.help());
        }
    }

    /// Kubeconfigs with an identity or a token, and all that a kubelet keeps in its store.
    fn identity(&mut self) {
        for name in self.names(KUBERNETES) {
            let message = match name.as_str() {
                KUBELET_CONF => "every machine of this image would be the same node",
                BOOTSTRAP => "holds a token that every machine of this image would have",
                name if CONTROL_PLANE.contains(&name) => "holds a control plane's key",
                _ => continue,
            };
            self.error(&path(KUBERNETES, &name), message, REMOVE);
        }
        for name in self.names(CERTIFICATES) {
            let message = "keys and certificates of a kubelet belong to one machine";
            self.error(&path(CERTIFICATES, &name), message, REMOVE);
        }
    }

    fn keys(&mut self) {
        for directory in KEYS {
            for name in self.names(directory) {
                if Path::new(&name).extension() == Some(OsStr::new("key")) {
                    self.error(&path(directory, &name), "private key of a cluster", REMOVE);
                }
            }
        }
    }

    /// What an interrupted write has left. In the kubelet's store everything is found already.
    fn leftovers(&mut self) {
        for directory in [KUBERNETES, PKI, KUBELET] {
            let names = self.names(directory);
            for leftover in
                TEMPORARIES.into_iter().filter(|leftover| names.iter().any(|name| name == leftover))
            {
                let message = "left by an interrupted run, may hold a token or a key";
                self.error(&path(directory, leftover), message, REMOVE);
            }
        }
    }

    fn cluster(&mut self) {
        if self.names(PKI).iter().any(|name| name == CA) {
            let message = "machines of this image can join this CA's cluster only";
            self.warning(&path(PKI, CA), message, "remove it; a join writes it");
        }
    }

    fn machine_id(&mut self) {
        let id = self.text(MACHINE_ID).unwrap_or_default();
        if !matches!(id.expose().trim(), "" | "uninitialized") {
            let message = "every machine of this image would have the same ID";
            self.warning(MACHINE_ID, message, "empty the file");
        }
    }

    /// Tokens and keys in all locations where images have them.
    fn secrets(&mut self) {
        for (location, paths) in LOCATIONS {
            for path in paths {
                self.search(location, path);
            }
        }
    }

    /// Looks into a file, or into all files below a directory. Links are followed inside the image, and nothing is looked
    /// at twice.
    fn search(&mut self, location: Location, path: &str) {
        let mut rest = vec![(path.to_owned(), limits::CHECKED_DEPTH)];
        while let Some((path, depth)) = rest.pop() {
            let found = match self.root.look(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotADirectory => continue, // nothing is below a file
                found => found,
            };
            let Some(Seen { kind, size, id }) = self.unreadable(&path, found) else { continue };
            let Err(at) = self.seen.binary_search(&id) else { continue };
            if self.seen.len() == limits::CHECKED_FILES {
                return self.unreadable(&path, Err(std::io::Error::other("too many files")));
            }
            self.seen.insert(at, id);
            match kind {
                FileType::Directory => {
                    let names = self.root.names(&path);
                    for name in self.unreadable(&path, names).iter().rev() {
                        match name.to_str().map(|name| self::path(&path, name)) {
                            // Volumes of pods are nobody's image.
                            Some(path) if path == PODS => {}
                            Some(path) if depth > 0 => rest.push((path, depth - 1)),
                            Some(path) => self.find_unread(location, &path),
                            None => self.find_unread(location, &self::path(&path, &name.to_string_lossy())),
                        }
                    }
                }
                FileType::RegularFile if location != Location::Boot || size <= limits::FILE_BYTES as u64 => {
                    self.check_file(location, &path);
                }
                _ if location == Location::Settings => self.find_unread(location, &path),
                _ => {}
            }
        }
    }

    /// What cannot be read may hold anything, unless it lies where much else does.
    fn find_unread(&mut self, location: Location, path: &str) {
        if location != Location::Boot {
            self.error(path, "cannot be checked: not a file, not UTF-8 or too deep", REMOVE);
        }
    }

    /// Looks into one file. What was found by its name is not told twice.
    fn check_file(&mut self, location: Location, path: &str) {
        let shown = sanitize(path);
        if self.findings.iter().any(|finding| finding.level == Level::Error && finding.path == shown) {
            return;
        }
        if location == Location::Node && is_moved_aside(path) {
            return if path.contains(".crt.old-") {
                self.warning(path, "moved aside by --replace", REMOVE);
            } else {
                self.error(path, "moved aside by --replace, may hold a key or a token", REMOVE);
            };
        }
        let Some(text) = self.text(path) else { return };
        let text = text.expose();
        // A kubeconfig's token has no shape of its own.
        let is_kubeconfig = location != Location::Boot && text.contains("users");
        let holds_secret = holds_secret(text)
            || is_kubeconfig && Kubeconfig::parse(text).is_ok_and(|config| config.holds_secret())
            || location == Location::Node && is_of_api_server(path, text);
        match location {
            Location::Boot if !holds_secret && is_packed(path, text) => {
                self.warning(path, "compressed, may hold a token or a key", "look into it");
            }
            _ if !holds_secret => {}
            Location::Node => {
                let message = "holds a token or a private key that every machine of this image would have";
                self.error(path, message, REMOVE);
            }
            Location::Settings | Location::Boot => {
                let message = "holds a token or a private key that anyone with the image can use";
                self.warning(path, message, "provide it at boot");
            }
        }
    }

    /// Whether the unit's own arguments ask for the cluster's kubelet configuration.
    fn fetches_configuration(&mut self) -> bool {
        ARGUMENTS.into_iter().any(|file| {
            let text = self.text(file).unwrap_or_default();
            let words = Variables::parse(text.expose()).arguments().unwrap_or_default();
            words.iter().any(|word| word == "--with-kubelet-config")
        })
    }

    fn configuration(&mut self, has_kubeadm: bool) {
        if self.fetches_configuration() {
            return; // a join writes it
        }
        let kubeadms = path(KUBELET, CONFIG);
        let found = [&kubeadms, CONFIGURATION].into_iter().find_map(|path| Some((path, self.text(path)?)));
        let Some((file, text)) = found else {
            let help = "add one, or join with --with-kubelet-config";
            return self.warning(&kubeadms, "no kubelet configuration found", help);
        };
        let Ok(config) = yaml::tree(text.expose()) else {
            return self.warning(file, "not valid YAML", "check it by hand");
        };
        if config["kind"] != "KubeletConfiguration" {
            return self.warning(file, "not a KubeletConfiguration", "correct it");
        }
        let authority = path(PKI, CA);
        if config["authentication"]["x509"]["clientCAFile"] != authority.as_str() {
            let message = format!(
                "authentication.x509.clientCAFile is not {authority}, where a join puts the CA: the kubelet would \
                 refuse the API server's logs and exec"
            );
            self.warning(file, &message, "correct it");
        }
        if config["rotateCertificates"] != Value::Bool(true) {
            let message = "rotateCertificates is not true: the node would stop when its certificate ends";
            self.warning(file, message, "correct it");
        }
        if has_kubeadm && *file == kubeadms {
            let message = "`kubeadm upgrade node` replaces it by the cluster's";
            self.warning(
                file,
                message,
                "join with --with-kubelet-config, or upgrade with --skip-phases=kubelet-config",
            );
        }
    }
}

/// Whether a file is a list of static tokens or passwords (`--token-auth-file`), or holds the keys of
/// `--encryption-provider-config` or the Secret of a bootstrap token: they have no shape of their own.
fn is_of_api_server(path: &str, text: &str) -> bool {
    path.rsplit('.').next() == Some("csv") && text.contains(',')
        || text.contains("EncryptionConfig") && text.contains("keys")
        || text.contains("bootstrap.kubernetes.io/token") && text.contains("token-secret")
}

/// Whether a file is, or holds in base64, what gzip has made (RFC 1952, section 2.3.1), as seeds may. Boot loaders and
/// logs have such files of their own.
fn is_packed(path: &str, text: &str) -> bool {
    let packed = text.starts_with("\u{1f}\u{fffd}\u{8}") || text.contains("H4sIA");
    packed && !["/boot/", "/efi/", "/var/log/"].iter().any(|location| path.starts_with(location))
}

#[cfg(test)]
mod tests;
