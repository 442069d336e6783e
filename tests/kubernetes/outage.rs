//! The control plane or the network fails in the middle of many joins: all of them join, with one request each, and
//! nobody comes back in step with the others.
//!
//! It runs in a network namespace of its own, where it can take a link down. `NODES` says how many join under each
//! fault; with 200 or more the faults last as long as they do in life.

use std::{
    env,
    ffi::OsString,
    fs,
    io::Read,
    process::{Child, Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use crate::harness::{
    cluster::{Cluster, Options},
    load::{Load, densest, histogram},
};
use crate::support::process::{run, tethered, wait_for};

/// Enough to be in the middle of it, few enough for every run of the tests.
const NODES: usize = 40;
/// From so many on it is the long form.
const MANY: usize = 200;
/// The host's end of the link; kubeadm has it in the API server's certificate, as the address to advertise.
const HOST: &str = "192.0.2.1";
const NODE: &str = "192.0.2.2";
/// For all that is left of the joins after a fault; no verdict hangs on its exact value.
const PATIENCE: Duration = Duration::from_mins(4);
/// Nodes that come in one such stretch come at once.
const STRETCH: Duration = Duration::from_millis(250);

/// What goes wrong, how it begins and ends, and how long it lasts in the short and the long form.
struct Fault {
    name: &'static str,
    begin: fn(&Linked),
    end: fn(&Linked),
    seconds: [u64; 2],
    /// All nodes that are not done meet it, and so come back by their own pauses.
    spreads: bool,
}

const FAULTS: [Fault; 6] = [
    Fault {
        name: "too-many-requests",
        begin: Linked::reject,
        end: |linked| drop(linked.hog.lock().unwrap().take()),
        seconds: [4, 20],
        spreads: true,
    },
    Fault {
        name: "api-server-restarts",
        begin: |linked| linked.cluster.stop_api_server(),
        end: |linked| linked.cluster.start_api_server(),
        seconds: [3, 10],
        spreads: true,
    },
    Fault {
        name: "api-server-stands-still",
        begin: |linked| linked.cluster.signal_api_server("STOP"),
        end: |linked| linked.cluster.signal_api_server("CONT"),
        seconds: [4, 30],
        spreads: false,
    },
    Fault {
        name: "etcd-is-gone",
        begin: |linked| linked.cluster.stop_etcd(),
        end: |linked| linked.cluster.start_etcd(),
        seconds: [4, 30],
        spreads: false,
    },
    Fault {
        name: "controllers-are-gone",
        begin: |linked| linked.cluster.stop_controllers(),
        end: |linked| linked.cluster.start_controllers(),
        seconds: [8, 90],
        spreads: false,
    },
    Fault {
        name: "link-is-down",
        begin: |_| link("down"),
        end: |_| link("up"),
        seconds: [4, 30],
        spreads: false,
    },
];

/// Starts [`inside`] in a network namespace.
#[test]
fn all_join_whatever_fails_meanwhile() {
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", r#"ip link set lo up && exec "$@""#, "sh"]);
    command.arg(env::current_exe().unwrap()).args(["outage::inside", "--exact", "--ignored", "--nocapture"]);
    // Told as it goes: the long form takes its time.
    assert!(command.status().expect("unshare").success());
}

#[test]
#[ignore = "needs a network namespace of its own: all_join_whatever_fails_meanwhile runs it there"]
fn inside() {
    let nodes = env::var("NODES").map_or(NODES, |text| text.parse().expect("a number of nodes"));
    let linked = Linked::new();
    for fault in &FAULTS {
        linked.joins_despite(fault, nodes);
    }
}

/// A cluster, and nodes behind a link.
struct Linked {
    cluster: Cluster,
    /// Holds the nodes' network namespace.
    holder: Tied,
    /// Keeps the API server busy.
    hog: Mutex<Option<Tied>>,
}

/// A process that ends with its value.
struct Tied(Child);

impl Drop for Tied {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Linked {
    fn new() -> Self {
        let mut holder = tethered("unshare");
        holder.args(["--net", "sh", "-c", "ip link set lo up && echo && exec sleep infinity"]);
        let mut holder = holder.stdout(Stdio::piped()).spawn().expect("unshare");
        let mut line = [0];
        holder.stdout.as_mut().unwrap().read_exact(&mut line).expect("a namespace");
        let process = holder.id().to_string();
        let ip = |words: &str| run(Command::new("ip").args(words.split(' ')));
        ip(&format!("link add name host type veth peer name node netns {process}"));
        ip(&format!("address add {HOST}/24 dev host"));
        ip("link set host up");
        for words in [&format!("address add {NODE}/24 dev node"), "link set node up"] {
            let net = format!("--net=/proc/{process}/ns/net");
            run(Command::new("nsenter").args([&net, "ip"]).args(words.split(' ')));
        }
        let options = Options { bind: "0.0.0.0", host: HOST, algorithm: "ECDSA-P256", ..Options::default() };
        Self { cluster: Cluster::start(options), holder: Tied(holder), hog: Mutex::new(None) }
    }

    /// Has the API server take one request at a time of machines that join (API Priority and Fairness), and keeps it
    /// busy with one whose body does not come: all others are rejected.
    fn reject(&self) {
        let limit = self.cluster.scratch.path().join("limit.yaml");
        fs::write(&limit, LIMIT).unwrap();
        self.cluster.kubectl(&["apply", "-f", &limit.display().to_string()]);
        let token = self.cluster.token().value;
        let url = |path: &str| format!("https://{}{path}", self.cluster.address());
        let start = || {
            let mut hog = tethered("curl");
            // In HTTP/2, or with `-T -`, curl waits for the body before it sends anything.
            hog.args([
                "-s",
                "-k",
                "--http1.1",
                "-X",
                "POST",
                "-T",
                ".",
                "-H",
                "Content-Type: application/json",
            ]);
            hog.args(["-H", &format!("Authorization: Bearer {token}")]);
            hog.arg(url("/apis/certificates.k8s.io/v1/certificatesigningrequests"));
            hog.stdout(Stdio::null()).stderr(Stdio::null());
            Tied(hog.stdin(Stdio::piped()).spawn().expect("curl"))
        };
        let mut probe = Command::new("curl");
        probe.args(["-s", "-k", "-o", "/dev/null", "-w", "%{http_code}"]);
        probe.arg(url("/api/v1/namespaces/kube-public/configmaps/cluster-info"));
        let mut hog = start();
        wait_for("an API server that rejects every request", || {
            let rejects = (0..5).all(|_| run(&mut probe) == "429");
            // It may have been rejected itself, for the sake of a node.
            if hog.0.try_wait().unwrap().is_some() {
                hog = start();
                return None;
            }
            rejects.then_some(())
        });
        *self.hog.lock().unwrap() = Some(hog);
    }

    fn joins_despite(&self, fault: &Fault, nodes: usize) {
        let token = self.cluster.token();
        let lasts = Duration::from_secs(fault.seconds[usize::from(nodes >= MANY)]);
        let net = format!("--net=/proc/{}/ns/net", self.holder.0.id());
        let mut load = Load::new(fault.name);
        let start = |load: &mut Load, count| {
            load.start(count, |node| {
                let inside = ["nsenter", &net].map(OsString::from);
                node.join(&token).with_cert().through(inside).command()
            });
        };
        let mark = self.cluster.mark();
        // One half has begun, the other begins during the fault.
        start(&mut load, nodes / 2);
        load.wait_for(nodes / 10, PATIENCE);
        (fault.begin)(self);
        let before = load.ended();
        start(&mut load, nodes - nodes / 2);
        thread::sleep(lasts);
        (fault.end)(self);
        let (healed, ended) = (Instant::now(), load.ended());
        assert!(ended < nodes, "{}: nobody was left to meet the fault", fault.name);
        let back = now();
        load.wait_for(nodes, PATIENCE);
        let last = healed.elapsed();

        let mut requests = self.cluster.requests_since(&mark);
        requests.retain(|request| request.agent.starts_with("nodestrap/"));
        let count = |is: fn(u64) -> bool| requests.iter().filter(|request| is(request.code)).count();
        let mut after: Vec<_> =
            requests.iter().map(|request| request.came).filter(|came| *came >= back).collect();
        let together = densest(&mut after, STRETCH);
        let (many, failed) = (count(|code| code == 429), count(|code| code >= 500));
        // A row of the table in tests/kubernetes/bench/README.md.
        println!(
            "| {}, {} s | {nodes} of {nodes} | {:.1} s | {:.2} | {many}, {failed} | {together} of {} |",
            fault.name.replace('-', " "),
            lasts.as_secs(),
            last.as_secs_f64(),
            share(requests.len(), nodes),
            after.len(),
        );
        eprintln!(
            "{}: {before} joined before it, {ended} until its end; requests after it: {}",
            fault.name,
            histogram(&after, back),
        );
        self.assert_one_request_each(&load, fault.name);
        if fault.name == "too-many-requests" {
            assert!(count(|code| code == 429) > 0, "nobody was rejected");
            self.cluster.kubectl(&["delete", "flowschema,prioritylevelconfiguration", "joining"]);
        }
        assert!(!fault.spreads || together * 2 < after.len(), "{}: they come in step", fault.name);
    }

    /// In etcd there is one request for each node, whatever was answered.
    fn assert_one_request_each(&self, load: &Load, name: &str) {
        let mut made = self.cluster.signing_requests();
        made.retain(|node| node.starts_with(name));
        made.sort();
        let mut names: Vec<_> = load.names().collect();
        names.sort_unstable();
        assert_eq!(made, names, "one request each");
    }
}

fn link(state: &str) {
    run(Command::new("ip").args(["link", "set", "host", state]));
}

/// The time of day, as the audit log has it.
fn now() -> Duration {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Duration::from_nanos(u64::try_from(since.as_nanos() % (24 * 3_600 * 1_000_000_000)).unwrap())
}

const LIMIT: &str = "\
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata: {name: joining}
spec:
  type: Limited
  limited: {nominalConcurrencyShares: 0, lendablePercent: 0, borrowingLimitPercent: 0, limitResponse: {type: Reject}}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: joining}
spec:
  matchingPrecedence: 2
  priorityLevelConfiguration: {name: joining}
  rules:
  - subjects:
    - {kind: Group, group: {name: system:bootstrappers}}
    - {kind: Group, group: {name: system:unauthenticated}}
    resourceRules:
    - {verbs: ['*'], apiGroups: ['*'], resources: ['*'], namespaces: ['*'], clusterScope: true}
";

/// Both are far below what a float holds exactly.
#[allow(clippy::cast_precision_loss)]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}
