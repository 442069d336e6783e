//! A node-to-be: a scratch root, and `nodestrap join` run into it.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

pub use super::repository::program as nodestrap;
use super::{
    cluster::Cluster,
    process::{run, tethered},
    running::{Outcome, Running},
    scratch::Scratch,
    token::Token,
};

/// A node's name and its disk.
pub struct Node {
    pub name: String,
    root: PathBuf,
    // For the disk and the report of a node that is made here.
    scratch: Scratch,
}

impl Node {
    /// A node with an empty disk.
    pub fn new(name: &str) -> Self {
        let scratch = Scratch::new();
        let root = scratch.path().join("root");
        fs::create_dir(&root).unwrap();
        Self { name: name.into(), root, scratch }
    }

    /// A node whose disk is there.
    pub fn on(name: &str, root: PathBuf) -> Self {
        Self { name: name.into(), root, scratch: Scratch::new() }
    }

    /// The node's `/`.
    pub fn root(&self) -> PathBuf {
        self.root.clone()
    }

    /// A file of the node, by its absolute path there.
    pub fn file(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    /// A file's bytes.
    pub fn read(&self, path: &str) -> String {
        let file = self.file(path);
        fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
    }

    /// Every file and link below the root with its permissions, sorted, without the certificate's date in its name.
    pub fn files(&self) -> Vec<String> {
        let root = self.root();
        let mut files = Vec::new();
        let mut pending = vec![root.clone()];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(&directory).unwrap().map(Result::unwrap) {
                let meta = entry.metadata().unwrap();
                if meta.is_dir() {
                    pending.push(entry.path());
                    continue;
                }
                let path = format!("/{}", entry.path().strip_prefix(&root).unwrap().display());
                let mode = meta.permissions().mode() & 0o7777;
                files.push(if meta.is_symlink() { path } else { format!("{path} {mode:o}") });
            }
        }
        let mut files: Vec<_> = files.iter().map(|file| undated(file)).collect();
        files.sort();
        files
    }

    /// `/var/lib/kubelet/pki/kubelet-client-current.pem` with its link followed inside the root.
    pub fn identity_file(&self) -> PathBuf {
        let link = self.file("/var/lib/kubelet/pki/kubelet-client-current.pem");
        let target = fs::read_link(&link).unwrap_or_else(|e| panic!("{}: {e}", link.display()));
        link.with_file_name(target.file_name().unwrap())
    }

    /// What `nodestrap ARGUMENTS --node-name NAME --root ROOT --report FILE` is run as.
    pub fn command<S: AsRef<OsStr>>(&self, mut command: Command, arguments: &[S]) -> Command {
        command.arg("join").args(arguments).args(["--node-name", &self.name]).arg("--root").arg(self.root());
        command.arg("--report").arg(self.report());
        command
    }

    /// Runs `nodestrap join` with the token's join line, the client certificate and `extra` flags, to its end.
    pub fn join(&self, token: &Token, extra: &[&str]) -> Outcome {
        self.start(token, extra).finish()
    }

    /// Starts what [`join`](Self::join) runs.
    pub fn start(&self, token: &Token, extra: &[&str]) -> Running {
        let mut arguments: Vec<&str> = token.arguments.iter().map(String::as_str).collect();
        arguments.push("--with-client-cert");
        arguments.extend(extra);
        self.start_as(tethered(nodestrap()), &arguments)
    }

    /// Starts `program`, with exactly these arguments between `join` and this node's own.
    pub fn start_as<S: AsRef<OsStr>>(&self, program: Command, arguments: &[S]) -> Running {
        Running::start(self.command(program, arguments), self.report())
    }

    /// Asserts that the node is what a join promises: the files, nothing beside them, and an identity that the API
    /// server takes for this node.
    pub fn assert_joined(&self, cluster: &Cluster) {
        assert_eq!(self.files(), JOINED, "the files of {}", self.name);
        self.assert_known(cluster);
    }

    /// The same of a node whose configuration has something for the kubelet's command line, kubeadm's socket for one.
    pub fn assert_joined_with_flags(&self, cluster: &Cluster) {
        let mut files = JOINED.map(str::to_owned).to_vec();
        files.push("/var/lib/kubelet/kubeadm-flags.env 644".to_owned());
        files.sort();
        assert_eq!(self.files(), files, "the files of {}", self.name);
        self.assert_known(cluster);
    }

    /// Asserts that the API server takes the node's identity for this node.
    pub fn assert_known(&self, cluster: &Cluster) {
        self.assert_known_by(cluster, CA);
    }

    /// The same where the cluster's CA is at another path of the node.
    pub fn assert_known_by(&self, cluster: &Cluster, ca: &str) {
        let whoami = self.kubectl_trusting(cluster, ca, &["auth", "whoami", "-o", "json"]);
        let user = &serde_json::from_str::<Value>(&whoami).unwrap()["status"]["userInfo"];
        assert_eq!(user["username"], format!("system:node:{}", self.name));
        assert!(user["groups"].as_array().unwrap().contains(&"system:nodes".into()), "{user}");
    }

    /// `kubectl` with this node's certificate and nothing else.
    pub fn kubectl(&self, cluster: &Cluster, args: &[&str]) -> String {
        self.kubectl_trusting(cluster, CA, args)
    }

    fn kubectl_trusting(&self, cluster: &Cluster, ca: &str, args: &[&str]) -> String {
        let identity = self.identity_file();
        let mut command = cluster.tool("kubectl");
        command.env("KUBECONFIG", "/dev/null").arg(format!("--server=https://{}", cluster.address()));
        command.arg(format!("--certificate-authority={}", self.file(ca).display()));
        command.arg(format!("--client-certificate={}", identity.display()));
        run(command.arg(format!("--client-key={}", identity.display())).args(args))
    }

    /// Where its report goes.
    pub(super) fn report(&self) -> PathBuf {
        self.scratch.path().join("report.json")
    }
}

const CA: &str = "/etc/kubernetes/pki/ca.crt";

/// A node's files after a join, by kubelet's and kubeadm's own names and modes.
pub const JOINED: [&str; 4] = [
    "/etc/kubernetes/kubelet.conf 600",
    "/etc/kubernetes/pki/ca.crt 644",
    "/var/lib/kubelet/pki/kubelet-client-DATE.pem 600",
    "/var/lib/kubelet/pki/kubelet-client-current.pem",
];

fn undated(file: &str) -> String {
    match file.split_once("kubelet-client-2") {
        Some((start, rest)) => {
            let end = rest.trim_start_matches(|c: char| c == '-' || c.is_ascii_digit());
            format!("{start}kubelet-client-DATE{end}")
        }
        None => file.to_owned(),
    }
}

/// The PEM blocks of a file, in order: type and body.
pub fn pem_blocks(file: &Path) -> Vec<(String, Vec<u8>)> {
    let text = fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let blocks = pem::parse_many(text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    blocks.into_iter().map(|block| (block.tag().to_owned(), block.into_contents())).collect()
}
