//! What the cluster, the kubelet and kubeadm have to say of a node.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{cluster::Cluster, token::Token};
use crate::support::{join::Target, node::Node, process::run};

/// What the command that kubeadm printed says, also where a test has changed it.
impl Target for Token {
    fn endpoint(&self) -> String {
        self.arguments[0].clone()
    }

    fn token(&self) -> String {
        self.arguments[2].clone()
    }

    fn pins(&self) -> Vec<String> {
        vec![self.arguments[4].clone()]
    }
}

impl Node {
    /// Every file and link below the root with its permissions, sorted, without the certificate's date in its name.
    pub fn listing(&self) -> Vec<String> {
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
        let link = self.at("/var/lib/kubelet/pki/kubelet-client-current.pem");
        let target = fs::read_link(&link).unwrap_or_else(|e| panic!("{}: {e}", link.display()));
        link.with_file_name(target.file_name().unwrap())
    }

    /// Asserts that the node is what a join promises: the files, nothing beside them, and an identity that the API
    /// server takes for this node.
    pub fn assert_joined(&self, cluster: &Cluster) {
        assert_eq!(self.listing(), JOINED, "the files of {}", self.name);
        self.assert_known(cluster);
    }

    /// The same of a node whose configuration has something for the kubelet's command line, kubeadm's socket for one.
    pub fn assert_joined_with_flags(&self, cluster: &Cluster) {
        let mut files = JOINED.map(str::to_owned).to_vec();
        files.push("/var/lib/kubelet/kubeadm-flags.env 644".to_owned());
        files.sort();
        assert_eq!(self.listing(), files, "the files of {}", self.name);
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
        command.arg(format!("--certificate-authority={}", self.at(ca).display()));
        command.arg(format!("--client-certificate={}", identity.display()));
        run(command.arg(format!("--client-key={}", identity.display())).args(args))
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
