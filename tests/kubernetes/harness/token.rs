//! Bootstrap tokens, and the kind that came before them.

use std::{fs, process::Command, time::Duration};

use super::cluster::{AUTOMATIC, Cluster};
use crate::support::process::{run, wait_for};

/// The user and the group of the token in `--token-auth-file`, by the names in Kubernetes' first page on the matter.
pub const STATIC_USER: [&str; 2] = ["kubelet-bootstrap", "system:kubelet-bootstrap"];

/// What `kubeadm token create` is asked for.
#[derive(Clone, Copy)]
pub struct Wanted {
    pub usages: &'static str,
    pub group: &'static str,
    pub lifetime: Duration,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { usages: "signing,authentication", group: AUTOMATIC, lifetime: Duration::from_hours(1) }
    }
}

/// A token with all that a node must know to join.
pub struct Token {
    /// What follows `kubeadm join` in the line that kubeadm printed: address, token, pins.
    pub arguments: Vec<String>,
    /// The whole token, `ID.SECRET`.
    pub value: String,
    /// The pin, `sha256:HEX`.
    pub pin: String,
}

impl Token {
    /// The public half.
    pub fn id(&self) -> &str {
        self.value.split('.').next().unwrap()
    }

    /// The line that kubeadm printed.
    pub fn join_line(&self) -> String {
        format!("kubeadm join {}", self.arguments.join(" "))
    }

    /// The name by which the API server knows its bearer.
    pub fn user(&self) -> String {
        format!("system:bootstrap:{}", self.id())
    }
}

impl Cluster {
    /// A new token as kubeadm makes it by default, already in the signed cluster-info.
    pub fn token(&self) -> Token {
        self.token_with(Wanted::default())
    }

    /// A new token. One with the signing usage is in the signed cluster-info on return.
    pub fn token_with(&self, wanted: Wanted) -> Token {
        let lifetime = format!("{}s", wanted.lifetime.as_secs());
        let mut command = self.tool("kubeadm");
        command.args(["token", "create", "--print-join-command", "--ttl", &lifetime]);
        let line = run(command.args(["--usages", wanted.usages, "--groups", wanted.group]));
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let ["kubeadm", "join", _, "--token", value, "--discovery-token-ca-cert-hash", pin] =
            words.iter().map(String::as_str).collect::<Vec<_>>()[..]
        else {
            panic!("not the join line that is documented: {line}");
        };
        let token = Token { arguments: words[2..].to_vec(), value: value.into(), pin: pin.into() };
        if wanted.usages.contains("signing") {
            wait_for("the token's signature in cluster-info", || self.is_signed_for(&token).then_some(()));
        }
        token
    }

    /// Makes the file for `--token-auth-file` with one random token of 128 bits (`head -c 16 /dev/urandom | od -An -t x`).
    pub(super) fn make_static_token(&self) {
        let hex = run(Command::new("od").args(["-An", "-t", "x", "-N", "16", "/dev/urandom"]));
        let token: String = hex.split_whitespace().collect();
        let [user, group] = STATIC_USER;
        fs::write(self.scratch.file("tokens.csv"), format!("{token},{user},10001,\"{group}\"\n")).unwrap();
    }

    /// The token in `--token-auth-file`.
    pub fn static_token(&self) -> String {
        let line = fs::read_to_string(self.scratch.file("tokens.csv")).expect("Options::static_token");
        line.split(',').next().unwrap().to_owned()
    }

    /// Whether cluster-info has a signature for this token.
    pub fn is_signed_for(&self, token: &Token) -> bool {
        let cluster_info = self.json(&["get", "configmap", "cluster-info", "--namespace=kube-public"]);
        cluster_info["data"].get(format!("jws-kubeconfig-{}", token.id())).is_some()
    }
}
