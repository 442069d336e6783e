//! A join whose command line says no more than what to do: how the cluster is found is left to each test.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::support::api::{Api, TOKEN};
use crate::support::node::{CA, KUBELET_CONF, Node};
use crate::support::run::{self, Finished};

/// A machine, a cluster, and a command line that says no more than what to do.
pub struct JoinBuilder {
    pub api: Api,
    pub node: Node,
    pub arguments: Vec<String>,
    variables: Vec<(&'static str, String)>,
    pub input: String,
}

impl JoinBuilder {
    /// A cluster and a machine with an empty root.
    pub fn new() -> Self {
        let (api, node) = (Api::start(), Node::new());
        let root = node.root().display().to_string();
        let arguments = [
            "join",
            "--with-client-cert",
            "--node-name",
            "n1",
            "--tls-bootstrap-timeout",
            "5s",
            "--root",
            &root,
        ];
        let arguments = arguments.map(str::to_owned).to_vec();
        Self { api, node, arguments, variables: Vec::new(), input: String::new() }
    }

    /// Adds words to the command line.
    pub fn with(mut self, words: &[&str]) -> Self {
        self.arguments.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Takes a word off the command line.
    pub fn without(mut self, word: &str) -> Self {
        self.arguments.retain(|own| own != word);
        self
    }

    /// Sets a variable of the environment.
    pub fn variable(mut self, name: &'static str, value: String) -> Self {
        self.variables.push((name, value));
        self
    }

    /// Writes a file beside the root and returns its path.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.node.beside(name);
        fs::write(&path, text).expect("a file beside the root");
        path
    }

    /// Runs the program, which must not print the token.
    pub fn run(&self) -> Finished {
        let mut command = run::command();
        command.args(&self.arguments).envs(self.variables.iter().map(|(name, value)| (*name, value)));
        let secret = TOKEN.split_once('.').expect("a dot").1.to_owned();
        run::start_with_input(&command, Some(&self.input), &self.node.root(), None, vec![secret]).finish()
    }

    /// Joins and asserts that the node has its identity. Returns what was said.
    pub fn joins(&self) -> String {
        let run = self.run();
        run.check_success();
        run.check(self.node.has(KUBELET_CONF) && self.node.has(CA), "an identity");
        run.stderr
    }

    /// Asserts an exit code, words in the error line, and that nothing was written or sent.
    pub fn is_refused(&self, code: i32, words: &str) {
        let run = self.run();
        run.check(run.code == Some(code), &format!("expected exit code {code}"));
        run.says(&[words]);
        self.node.is_untouched_by(&self.api);
    }

    /// The line that kubeadm prints.
    pub fn join_line(&self) -> String {
        let (endpoint, pin) = (self.api.endpoint(), self.api.authority.pin());
        format!("kubeadm join {endpoint} --token {TOKEN} \\\n    --discovery-token-ca-cert-hash {pin} \n")
    }

    /// The same as a JoinConfiguration.
    pub fn configuration(&self) -> String {
        let (endpoint, pin) = (self.api.endpoint(), self.api.authority.pin());
        format!(
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ndiscovery:\n  bootstrapToken:\n    token: {TOKEN}\n    \
             apiServerEndpoint: {endpoint}\n    caCertHashes: ['{pin}']\n"
        )
    }

    /// Names the server, this CA and the token by flags.
    pub fn by_the_operators_word(self, ca: &str) -> Self {
        let (ca, token) = (self.file("ca.pem", ca), self.file("token", TOKEN));
        let server = format!("https://{}", self.api.endpoint());
        let word =
            ["--server", &server, "--certificate-authority", path(&ca), "--bearer-token-file", path(&token)];
        self.with(&word)
    }

    /// A kubeconfig with the cluster's CA and this user.
    pub fn kubeconfig(&self, user: &str) -> String {
        let ca = BASE64_STANDARD.encode(self.api.authority.pem());
        format!(
            "clusters: [{{name: c, cluster: {{server: 'https://{}', certificate-authority-data: {ca}}}}}]\n\
             contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\ncurrent-context: x\nusers: [{{name: u, user: {user}}}]\n",
            self.api.endpoint()
        )
    }

    /// cluster-info as kubectl prints it.
    pub fn config_map(&self) -> serde_json::Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cluster-info"},
               "data": self.api.cluster(|cluster| cluster.published.clone())})
    }
}

/// A path as an argument.
pub fn path(path: &std::path::Path) -> &str {
    path.to_str().expect("a path of plain characters")
}
