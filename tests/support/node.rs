//! A machine that is to join: a scratch root and the command line for it.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::api::{Api, PATIENCE, TOKEN};
use super::golden;
use super::run::{self, Finished, Running};
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
    scratch: Scratch,
}

/// A command line being put together.
#[derive(Clone)]
pub struct Join<'a> {
    node: &'a Node,
    endpoint: String,
    token: String,
    pins: Vec<String>,
    prefix: bool,
    name: String,
    report: PathBuf,
    extra: Vec<OsString>,
    variables: Vec<(&'a str, String)>,
    secrets: Vec<&'a str>,
    through: Vec<OsString>,
}

impl Node {
    /// A machine with an empty root.
    pub fn new() -> Self {
        let node = Self { scratch: Scratch::new() };
        fs::create_dir(node.root()).expect("an empty root");
        if let Some(scope) = golden::here() {
            scope.has_node(node.root());
        }
        node
    }

    /// Its root.
    pub fn root(&self) -> PathBuf {
        self.scratch.path().join("root")
    }

    /// A file beside the root.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Where a path lies on this machine.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root().join(path)
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

    /// The join line for a server, as kubeadm prints it, with this machine's root and a report.
    pub fn join(&self, api: &Api) -> Join<'_> {
        self.join_at(&api.endpoint(), &[api.authority.pin()])
    }

    /// The same for whoever listens there, with these pins.
    pub fn join_at(&self, endpoint: &str, pins: &[String]) -> Join<'_> {
        Join {
            node: self,
            endpoint: endpoint.to_owned(),
            token: TOKEN.to_owned(),
            pins: pins.to_vec(),
            prefix: false,
            name: "n1".to_owned(),
            report: self.beside("report.json"),
            extra: Vec::new(),
            variables: Vec::new(),
            secrets: Vec::new(),
            through: Vec::new(),
        }
    }
}

impl Node {
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

impl<'a> Join<'a> {
    /// Dials another endpoint.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// Uses another token; none is given when it is empty.
    pub fn token(mut self, token: &str) -> Self {
        token.clone_into(&mut self.token);
        self
    }

    /// Pins these and nothing else.
    pub fn pins(mut self, pins: &[String]) -> Self {
        self.pins = pins.to_vec();
        self
    }

    /// Takes another node name; none is given when it is empty.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Has the report written elsewhere than beside the root.
    pub fn report(mut self, path: impl Into<PathBuf>) -> Self {
        self.report = path.into();
        self
    }

    /// Adds arguments, given as one line of words.
    pub fn args(mut self, line: &str) -> Self {
        self.extra.extend(line.split_whitespace().map(OsString::from));
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, variable: &'a str, value: impl Into<String>) -> Self {
        self.variables.push((variable, value.into()));
        self
    }

    /// A text that must never be printed, beside the token.
    pub fn secret(mut self, text: &'a str) -> Self {
        self.secrets.push(text);
        self
    }

    /// Looks names up in this instead of `/etc/hosts`, which takes root.
    pub fn hosts(self, hosts: &str) -> Self {
        let file = self.node.beside("hosts");
        fs::write(&file, hosts).expect("a hosts file");
        let bind = r#"mount --bind "$0" /etc/hosts && exec "$@""#;
        self.through(
            ["unshare", "--mount", "sh", "-c", bind].map(OsString::from).into_iter().chain([file.into()]),
        )
    }

    /// Is started by this command, which is given what is to be started, so far the program and its arguments, behind
    /// its own.
    pub fn through(mut self, command: impl IntoIterator<Item = OsString>) -> Self {
        self.through.splice(..0, command);
        self
    }

    /// Runs as the user with the UID and GID [`USER`], to whom the root and the directory of the report are given. This
    /// takes root.
    pub fn by_user(self) -> Self {
        let root = self.node.root();
        for at in [root.parent().expect("a scratch directory"), &root] {
            chown(at, Some(USER), Some(USER)).expect("root's right to give directories away");
        }
        let id = |kind: &str| format!("--re{kind}id={USER}");
        let user = ["setpriv".to_owned(), id("u"), id("g"), "--clear-groups".to_owned()];
        self.through(user.map(OsString::from))
    }

    /// Begins with `kubeadm`, as a printed join line does.
    pub fn kubeadm(mut self) -> Self {
        self.prefix = true;
        self
    }

    /// Asks for a client certificate too.
    pub fn with_cert(self) -> Self {
        self.args("--with-client-cert")
    }

    /// Starts it.
    pub fn start(&self) -> Running {
        let _ = fs::remove_file(&self.report);
        let mut command = run::command();
        if let [first, rest @ ..] = self.through.as_slice() {
            let program = std::mem::replace(&mut command, Command::new(first));
            command.args(rest).arg(program.get_program());
            for (variable, _) in program.get_envs() {
                command.env_remove(variable);
            }
        }
        command.args(self.words()).envs(self.variables.iter().map(|(name, value)| (name, value)));
        run::start_as(command, self.node.scratch.path(), Some(self.report.clone()), self.secrets())
    }

    /// Runs it to its end.
    pub fn run(&self) -> Finished {
        self.start().finish()
    }

    /// Runs it to its end under strace, which is given these words too, and what that wrote down: each system call behind
    /// the number of its process, with the file behind each descriptor.
    ///
    /// # Panics
    /// When strace is not there.
    pub fn traced<W: Into<OsString>>(&self, words: impl IntoIterator<Item = W>) -> (Finished, String) {
        let log = self.node.beside("strace.log");
        let mut strace = ["strace", "-f", "-y", "-qq", "-o"].map(OsString::from).to_vec();
        strace.push(log.clone().into());
        strace.extend(words.into_iter().map(Into::into));
        let run = self.clone().through(strace).run();
        (run, fs::read_to_string(log).expect("strace wrote a log"))
    }

    /// The command line after the program's name.
    pub fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = self.prefix.then(|| "kubeadm".into()).into_iter().collect();
        words.push("join".into());
        if !self.endpoint.is_empty() {
            words.push(self.endpoint.clone().into());
        }
        if !self.token.is_empty() {
            words.extend(["--token".into(), self.token.clone().into()]);
        }
        for pin in &self.pins {
            words.extend(["--discovery-token-ca-cert-hash".into(), pin.into()]);
        }
        if !self.name.is_empty() {
            words.extend(["--node-name".into(), self.name.clone().into()]);
        }
        words.extend([
            "--root".into(),
            self.node.root().into(),
            "--report".into(),
            self.report.clone().into(),
        ]);
        words.extend(self.extra.iter().cloned());
        words
    }

    /// The token's secret part, also as it would look in base64.
    fn secrets(&self) -> Vec<String> {
        let secret = self.token.split_once('.').map_or("", |(_, secret)| secret).to_owned();
        let own =
            if secret.is_empty() { Vec::new() } else { vec![BASE64_STANDARD.encode(&self.token), secret] };
        own.into_iter().chain(self.secrets.iter().map(ToString::to_string)).collect()
    }
}
