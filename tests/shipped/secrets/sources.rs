//! A machine that is told its secret by one source.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::memory::behind;
use super::needles::{self, Needles};
use crate::support::api::Api;
use crate::support::node::Node;
use crate::support::run;

/// Who says the secret.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    Argument,
    TokenFile,
    StandardInput,
    Credential,
    CredentialConfiguration,
    KernelCommandLine,
    KernelConfiguration,
    Environment,
    EnvironmentJoin,
    Configuration,
    /// A token and a client certificate, embedded.
    Kubeconfig,
}

pub const SOURCES: [Source; 11] = [
    Source::Argument,
    Source::TokenFile,
    Source::StandardInput,
    Source::Credential,
    Source::CredentialConfiguration,
    Source::KernelCommandLine,
    Source::KernelConfiguration,
    Source::Environment,
    Source::EnvironmentJoin,
    Source::Configuration,
    Source::Kubeconfig,
];

/// A machine, a cluster, and the secrets that go between them.
pub struct Told {
    pub api: Api,
    pub node: Node,
    pub source: Source,
    pub token: String,
    /// The key of the bootstrap kubeconfig's client certificate.
    key: Option<String>,
    /// What the service manager hears.
    manager: UnixDatagram,
}

impl Told {
    pub fn by(source: Source) -> Self {
        let (api, node, token) = (Api::start(), Node::new(), needles::token());
        let (certificate, key) = api.authority.client("system:bootstrappers", "image");
        api.cluster(|cluster| {
            cluster.token.clone_from(&token);
            cluster.publish(&cluster.kubeconfig());
            cluster.approves_serving = true;
        });
        let manager = UnixDatagram::bind(node.beside("notify")).expect("a socket");
        manager.set_nonblocking(true).expect("a socket that does not wait");
        let mut told = Self { api, node, source, token, key: None, manager };
        told.prepare(&certificate, &key);
        told
    }

    /// Writes what the source consists of.
    fn prepare(&mut self, certificate: &str, key: &str) {
        let configuration = format!(
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ndiscovery:\n  bootstrapToken:\n    token: {}\n    \
             apiServerEndpoint: {}\n    caCertHashes: ['{}']\n",
            self.token,
            self.api.endpoint(),
            self.api.authority.pin()
        );
        let encode = |text: &str| BASE64_STANDARD.encode(text);
        let text = match self.source {
            Source::Argument | Source::Environment | Source::EnvironmentJoin | Source::StandardInput => {
                return;
            }
            Source::TokenFile | Source::Credential => format!("{}\n", self.token),
            Source::CredentialConfiguration | Source::Configuration => configuration,
            Source::KernelCommandLine => format!("quiet nodestrap.token={} ro\n", self.token),
            Source::KernelConfiguration => format!("quiet nodestrap.config={} ro\n", encode(&configuration)),
            Source::Kubeconfig => {
                self.key = Some(key.to_owned());
                format!(
                    "clusters: [{{name: c, cluster: {{server: 'https://{}', certificate-authority-data: {}}}}}]\n\
                     contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\ncurrent-context: x\nusers: [{{name: u, user: \
                     {{token: {}, client-certificate-data: {}, client-key-data: {}}}}}]\n",
                    self.api.endpoint(),
                    encode(&self.api.authority.pem()),
                    self.token,
                    encode(certificate),
                    encode(key)
                )
            }
        };
        let file = self.file();
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(&file, text).expect("the source");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its mode");
    }

    /// Where the source is, when it is a file.
    pub fn file(&self) -> PathBuf {
        self.node.beside("source").join(match self.source {
            Source::Credential => "nodestrap.token",
            Source::CredentialConfiguration => "nodestrap.config",
            _ => "secret",
        })
    }

    /// Everything that is secret so far, and the keys that the machine has made.
    pub fn needles(&self) -> Needles {
        let mut needles = Needles::of_token(&self.token);
        if let Some(key) = &self.key {
            needles = needles.and_key("bootstrap key", key);
        }
        let files = self.node.files();
        let stores = [
            ("client key", "kubelet-client-2"),
            ("client key", "kubelet-client.key.tmp"),
            ("serving key", "kubelet-server-2"),
        ];
        for (name, start) in stores {
            if let Some(pair) = files.iter().find(|file| file.contains(start)) {
                let pair = self.node.read(pair);
                needles = needles.and_key(name, &pair[pair.find("-----BEGIN EC").expect("a key")..]);
            }
        }
        needles
    }

    /// The command line of the join, to be run behind `words`.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = run::command();
        command.args(["join", "--with-serving-cert", "--san", "n1.example", "--node-name", "n1", "--root"]);
        command.arg(self.node.root()).arg("--report").arg(self.node.beside("report.json"));
        command.env("NOTIFY_SOCKET", self.node.beside("notify"));
        let (endpoint, pin, file) = (self.api.endpoint(), self.api.authority.pin(), self.file());
        let place = [endpoint.as_str(), "--discovery-token-ca-cert-hash", &pin];
        match self.source {
            Source::Argument => command.args(place).args(["--token", &self.token]),
            Source::TokenFile => command.args(place).arg("--token-file").arg(&file),
            Source::StandardInput => command.args(place).args(["--token-file", "-"]),
            Source::Credential => {
                command.args(place).env("CREDENTIALS_DIRECTORY", file.parent().expect("a folder"))
            }
            Source::CredentialConfiguration => {
                command.env("CREDENTIALS_DIRECTORY", file.parent().expect("a folder"))
            }
            Source::KernelCommandLine => command.args(place),
            Source::KernelConfiguration => &mut command,
            Source::Environment => command.args(place).env("NODESTRAP_TOKEN", &self.token),
            Source::EnvironmentJoin => command
                .env("NODESTRAP_JOIN", format!("kubeadm join {} --token {}", place.join(" "), self.token)),
            Source::Configuration => command.arg("--config").arg(&file),
            Source::Kubeconfig => command.arg("--bootstrap-kubeconfig").arg(&file),
        };
        let command = behind(words, &command);
        if !matches!(self.source, Source::KernelCommandLine | Source::KernelConfiguration) {
            return command;
        }
        let script = r#"mount --bind "$0" /proc/cmdline && exec "$@""#;
        behind(&["unshare", "--mount", "sh", "-c", script, &file.display().to_string()], &command)
    }

    /// Starts it.
    pub fn start(&self, words: &[&str]) -> Child {
        let mut command = self.command(words);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut input = child.stdin.take().expect("a pipe");
        if self.source == Source::StandardInput {
            writeln!(input, "{}", self.token).expect("it takes the token");
        }
        child
    }

    /// All that the service manager has heard.
    pub fn heard(&self) -> Vec<u8> {
        let (mut buffer, mut all) = (vec![0; 65_536], Vec::new());
        while let Ok(length) = self.manager.recv(&mut buffer) {
            all.extend_from_slice(&buffer[..length]);
        }
        all
    }
}
