//! Bootstrap tokens.

use std::time::Duration;

use super::{
    cluster::{AUTOMATIC, Cluster},
    process::run,
    wait_for,
};

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

    /// Whether cluster-info has a signature for this token.
    pub fn is_signed_for(&self, token: &Token) -> bool {
        let cluster_info = self.json(&["get", "configmap", "cluster-info", "--namespace=kube-public"]);
        cluster_info["data"].get(format!("jws-kubeconfig-{}", token.id())).is_some()
    }
}
