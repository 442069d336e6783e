//! The kinds of join that are interrupted, and the machine and API server for one of them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use super::state::{HERE, State, TEMPORARIES};
use crate::support::api::{Api, Setup, TOKEN};
use crate::support::join::Join;
use crate::support::node::{BOOTSTRAP_CONF, CA, CURRENT, KEY_TMP, KUBELET, KUBELET_CONF, Node, PKI};
use crate::support::pki::Authority;

/// A way to join.
pub struct Flow {
    pub name: &'static str,
    pub flags: &'static str,
    /// Leaves something on the machine before it joins; the second one is another cluster.
    pub before: fn(&Node, &Api, &Api),
    /// How many requests for certificates it makes.
    pub requests: usize,
}

/// Everything that writes.
pub const FLOWS: [Flow; 7] = [
    Flow { name: "join", flags: "--with-client-cert", before: |_, _, _| {}, requests: 1 },
    Flow { name: "prepare", flags: "", before: |_, _, _| {}, requests: 0 },
    Flow {
        name: "kubelet configuration, token removed",
        flags: "--with-client-cert --with-kubelet-config --remove-token-file",
        before: |_, _, _| {},
        requests: 1,
    },
    Flow {
        name: "serving certificate",
        flags: "--with-serving-cert --san 10.0.0.5",
        before: |_, _, _| {},
        requests: 2,
    },
    Flow {
        name: "replace",
        flags: "--with-client-cert --replace",
        before: |node, _, there| {
            there.cluster(|cluster| cluster.approves_serving = true);
            node.join(there).name("old").args("--with-serving-cert --san 10.0.0.5").run().expect("joined");
            node.write(&format!("{PKI}/operators.txt"), "not a kubelet's\n");
        },
        requests: 1,
    },
    Flow {
        name: "join again",
        flags: "--with-client-cert",
        before: |node, here, _| {
            node.joins(here);
            let old = format!("{PKI}/kubelet-client-2020-01-01-00-00-00.pem");
            fs::rename(node.at(&node.pair()), node.at(&old)).expect("an older pair");
            fs::remove_file(node.at(CURRENT)).expect("the link to it");
            symlink(format!("/{old}"), node.at(CURRENT)).expect("a link to it");
            node.write(KUBELET_CONF, "kind: Config\n");
        },
        requests: 1,
    },
    Flow {
        name: "already joined",
        flags: "--with-client-cert",
        before: |node, here, _| {
            node.join(here).with_cert().args("--keep-bootstrap-kubeconfig").run().expect("joined");
        },
        requests: 0,
    },
];

/// A flow with what all its machines have in common.
pub struct Setting<'a> {
    pub flow: &'a Flow,
    authority: Arc<Authority>,
    left: Node,
    /// Whoever was joined before; while they are here, no other server gets their addresses.
    _servers: [Api; 2],
    /// What is there before.
    before: State,
    /// Every file that a join writes, whole.
    known: State,
    /// What is there after a join that nothing has disturbed.
    after: State,
}

impl<'a> Setting<'a> {
    /// Makes what is there before, and joins once without any disturbance.
    pub fn new(flow: &'a Flow) -> Self {
        let authority = Arc::new(Authority::new("kubernetes"));
        let left = Node::new();
        let servers = [api(&authority), Api::start()];
        (flow.before)(&left, &servers[0], &servers[1]);
        let before = State::of(&left.root(), "");
        let (known, after) = (State::default(), State::default());
        let mut setting = Self { flow, authority, left, _servers: servers, before, known, after };
        let machine = setting.machine();
        if flow.requests == 0 {
            machine.join().run().check_success();
            setting.known = machine.state();
        } else {
            machine.join().args("--keep-bootstrap-kubeconfig").run().expect("joined");
            setting.known = machine.state();
            machine.join().run().expect("already-joined");
        }
        setting.after = machine.state();
        setting.judge(&machine);
        setting
    }

    /// A machine before it joins.
    pub fn machine(&self) -> Machine {
        let machine = self.bare_machine();
        self.leave(&machine.node);
        machine
    }

    /// A machine whose disk is empty.
    pub fn bare_machine(&self) -> Machine {
        Machine::new(api(&self.authority), self.flow.flags)
    }

    /// Puts what is there before on a disk.
    pub fn leave(&self, node: &Node) {
        let copy = Command::new("cp").arg("-a").arg(self.left.root().join(".")).arg(node.root()).status();
        assert!(copy.expect("cp").success(), "what was there before is copied");
    }

    /// Asserts that every file that is there is a whole one with its mode, however a run was interrupted.
    pub fn is_whole(&self, machine: &Machine) {
        let state = machine.state();
        let faults = state.faults(&self.before, &self.known);
        assert!(faults.is_empty(), "{faults:#?} in {:#?}", machine.node.tree());
    }

    /// Asserts that nothing is missing of what is there after a join.
    pub fn is_done(&self, machine: &Machine) {
        self.is_whole(machine);
        let differences = machine.state().differences(&self.after);
        let missing: Vec<_> = differences.iter().filter(|line| !line.starts_with(HERE)).collect();
        assert!(missing.is_empty(), "{missing:#?} in {:#?}", machine.node.tree());
    }

    /// Runs again, undisturbed: that ends with the same as a join that nothing has disturbed, and with the same key.
    pub fn finish(&self, machine: &Machine) {
        let key = machine.node.has(KEY_TMP).then(|| machine.node.read(KEY_TMP));
        let run = machine.join().run();
        run.check_success();
        self.judge(machine);
        let is_kept = key.is_none_or(|key| machine.node.read(&machine.node.pair_in_use()).ends_with(&key));
        run.check(is_kept, "the key that was on disk is the one that joined");
    }

    /// Asserts that nothing is missing and nothing is left over, here and on the server.
    pub fn judge(&self, machine: &Machine) {
        self.is_whole(machine);
        let differences = machine.state().differences(&self.after);
        assert!(differences.is_empty(), "at the end, and after an undisturbed join: {differences:#?}");
        let names = machine.api.cluster(|cluster| cluster.names());
        assert_eq!(names.len(), self.flow.requests, "requests for certificates: {names:?}");
        let removes = self.flow.flags.contains("--remove-token-file");
        assert_eq!(machine.token().exists(), !removes, "the token's file");
    }
}

/// A server of the cluster that is joined.
fn api(authority: &Arc<Authority>) -> Api {
    let api = Api::with(Setup { authority: Arc::clone(authority), ..Setup::default() });
    api.cluster(|cluster| cluster.approves_serving = true);
    api
}

/// A machine, and the server of the cluster that it is to join.
pub struct Machine {
    pub api: Api,
    pub node: Node,
    flags: &'static str,
}

impl Machine {
    /// An empty machine with a token.
    pub fn new(api: Api, flags: &'static str) -> Self {
        let machine = Self { api, node: Node::new(), flags };
        fs::write(machine.token(), format!("{TOKEN}\n")).expect("a token's file");
        machine
    }

    fn token(&self) -> PathBuf {
        self.node.beside("token")
    }

    /// The command line.
    pub fn join(&self) -> Join<'_> {
        let token = format!("--token-file {}", self.token().display());
        self.node.join(&self.api).token("").secret("0123456789abcdef").args(&token).args(self.flags)
    }

    /// What is there, with a word instead of the server's address, which is another one for each machine.
    pub fn state(&self) -> State {
        State::of(&self.node.root(), &self.api.endpoint())
    }

    /// All directories and files that a join opens or names, below the root.
    pub fn paths(&self) -> Vec<PathBuf> {
        let directories = ["etc", "etc/kubernetes", "etc/kubernetes/pki", "var", "var/lib", KUBELET, PKI];
        let temporary = directories.map(|at| TEMPORARIES.map(|name| format!("{at}/{name}"))).concat();
        let files = [BOOTSTRAP_CONF, CA, KEY_TMP, KUBELET_CONF];
        let below = directories.iter().chain(&files).copied().chain(temporary.iter().map(String::as_str));
        below.map(|path| self.node.at(path)).chain([self.node.root()]).collect()
    }
}
