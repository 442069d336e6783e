//! A `nodestrap join` of a machine, put together and run.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::api::{Api, TOKEN};
use super::node::{Node, USER};
use super::run::{self, Finished, Running};

/// What a join command names: the API server, a token and pins.
pub trait Target {
    fn endpoint(&self) -> String;
    fn token(&self) -> String;
    fn pins(&self) -> Vec<String>;
}

impl Target for Api {
    fn endpoint(&self) -> String {
        self.endpoint()
    }

    fn token(&self) -> String {
        TOKEN.to_owned()
    }

    fn pins(&self) -> Vec<String> {
        vec![self.authority.pin()]
    }
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
    /// The join command for a cluster, as kubeadm prints it, with this machine's root and a report.
    pub fn join(&self, cluster: &impl Target) -> Join<'_> {
        self.join_at(&cluster.endpoint(), &cluster.pins()).token(&cluster.token())
    }

    /// A join that names nothing but this machine, its root and a report, and these flags.
    pub fn join_with<W: AsRef<OsStr>>(&self, flags: &[W]) -> Join<'_> {
        self.join_at("", &[]).token("").flags(flags)
    }

    /// The same for whoever listens there, with these pins.
    pub fn join_at(&self, endpoint: &str, pins: &[String]) -> Join<'_> {
        Join {
            node: self,
            endpoint: endpoint.to_owned(),
            token: TOKEN.to_owned(),
            pins: pins.to_vec(),
            prefix: false,
            name: self.name.clone(),
            report: self.report(),
            extra: Vec::new(),
            variables: Vec::new(),
            secrets: Vec::new(),
            through: Vec::new(),
        }
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

    /// Adds arguments, each as it is.
    pub fn flags<W: AsRef<OsStr>>(mut self, flags: &[W]) -> Self {
        self.extra.extend(flags.iter().map(|flag| flag.as_ref().to_owned()));
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
        // A report of an earlier run must not pass for this one's.
        let _ = fs::remove_file(&self.report);
        run::start_as(&self.command(), self.node.scratch.path(), Some(self.report.clone()), self.secrets())
    }

    /// What is started.
    pub fn command(&self) -> Command {
        let mut command = run::command();
        if let [first, rest @ ..] = self.through.as_slice() {
            let program = std::mem::replace(&mut command, Command::new(first));
            command.args(rest).arg(program.get_program());
            for (variable, _) in program.get_envs() {
                command.env_remove(variable);
            }
        }
        command.args(self.words()).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
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
