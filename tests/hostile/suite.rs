//! One case: a machine, the servers that it meets, how its join must end, and what must hold whatever happens.

use std::any::Any;
use std::ffi::OsString;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::measure;
use crate::support::api::{Api, Route, TOKEN};
use crate::support::node::{BOOTSTRAP_CONF, CA, CURRENT, KEY_TMP, KUBELET_CONF, Node};
use crate::support::run::Finished;

/// The most memory that any run may have had, in KiB. Three megabytes of ConfigMap take 12.6 MB: a buffer that grows is
/// there twice for a moment, since what it leaves is wiped; before memory was wiped it took 11.5 MB.
pub const PEAK_KIB: u64 = 14 * 1024;

/// More than what is read of any answer and the buffers of both systems together, less than what is endless.
const MOST: usize = 40 * 1024 * 1024;

/// Given to a join that must end by itself.
const PATIENCE: Duration = Duration::from_secs(50);

/// What it may take: less than one that waits until its deadline does.
const AT_ONCE: Duration = Duration::from_secs(45);

/// Given to a join that is to wait until the end of it: long enough for a first answer on a busy machine.
const DEADLINE: &str = "4s";

/// The steps that an error line can begin with.
const STEPS: [&str; 8] =
    ["options", "discovery", "trust", "cluster", "request", "approval", "certificate", "files"];

/// Every error tells what to do next, behind a comma, a colon or a semicolon, in one of these words.
const ACTIONS: [&str; 23] = [
    "allow", "approve", "bind", "check", "compare", "contact", "convert", "correct", "create", "decrypt",
    "delete", "get", "issue", "name", "pin", "publish", "put", "renew", "run", "serve", "set", "use",
    "write",
];

/// One thing that a server does.
pub struct Case {
    pub name: String,
    pub expect: Expect,
    pub stage: Box<dyn Fn() -> Stage + Send + Sync>,
}

impl Case {
    pub fn new(
        name: impl Into<String>,
        expect: Expect,
        stage: impl Fn() -> Stage + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), expect, stage: Box::new(stage) }
    }
}

/// How a join must end.
#[derive(Clone, Copy)]
pub struct Expect {
    outcome: &'static str,
    pub says: &'static str,
    pub waits: bool,
}

impl Expect {
    /// The same, but it may get better and is waited for.
    pub const fn waiting(self) -> Self {
        Self { waits: true, ..self }
    }
}

/// The join goes well in spite of it.
pub const JOINED: Expect = Expect { outcome: "joined", says: "", waits: false };

/// It ends at once, with this outcome and these words in its error.
pub const fn ends(outcome: &'static str, says: &'static str) -> Expect {
    Expect { outcome, says, waits: false }
}

/// The same after it has waited for better until its deadline.
pub const fn waits(outcome: &'static str, says: &'static str) -> Expect {
    Expect { outcome, says, waits: true }
}

/// It has waited for a server with which it has no TLS in common to change.
pub const DISAGREES: Expect = waits("unreachable", "TLS handshake with ; nodestrap supports TLS 1.2 and 1.3");

/// A machine and the servers that it meets.
pub struct Stage {
    pub node: Node,
    pub endpoint: String,
    pub pins: Vec<String>,
    pub token: &'static str,
    pub words: Vec<String>,
    pub variables: Vec<(&'static str, String)>,
    /// Servers that the machine has reason to trust: credentials may go there.
    pub trusted: Vec<Api>,
    /// Servers that it has no reason to trust.
    pub untrusted: Vec<Box<dyn Witness>>,
    /// Whether the node may have what a join that has begun leaves for the next one.
    pub begins: bool,
    /// What has to stay until the end.
    pub others: Vec<Box<dyn Any + Send>>,
    /// What else must hold at the end.
    pub check: Box<dyn Fn(&Stage) + Send>,
}

impl Stage {
    /// A machine that dials this endpoint.
    pub fn at(endpoint: String, pins: Vec<String>) -> Self {
        Self {
            node: Node::new(),
            endpoint,
            pins,
            token: TOKEN,
            words: Vec::new(),
            variables: Vec::new(),
            trusted: Vec::new(),
            untrusted: Vec::new(),
            begins: false,
            others: Vec::new(),
            check: Box::new(|_| {}),
        }
    }

    /// A machine that dials a server to which nothing secret may go.
    pub fn with_untrusted(api: Api) -> Self {
        Self::at(api.endpoint(), vec![api.authority.pin()]).and_untrusted(api)
    }

    /// A machine that dials its cluster.
    pub fn with_trusted(api: Api) -> Self {
        Self::at(api.endpoint(), vec![api.authority.pin()]).and_trusted(api)
    }

    pub fn and_trusted(mut self, server: Api) -> Self {
        self.trusted.push(server);
        self.begins = true;
        self
    }

    pub fn and_untrusted(mut self, server: impl Witness + 'static) -> Self {
        self.untrusted.push(Box::new(server));
        self
    }

    pub fn and(mut self, other: impl Any + Send) -> Self {
        self.others.push(Box::new(other));
        self
    }

    pub fn words(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(ToString::to_string));
        self
    }

    pub fn checked(mut self, check: impl Fn(&Stage) + Send + 'static) -> Self {
        self.check = Box::new(check);
        self
    }
}

/// What a server has been given.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given {
    pub connections: u64,
    pub authorizations: u64,
    pub certificates: u64,
    pub requests_to_sign: u64,
    /// Bytes of answers that one connection has taken.
    pub taken: usize,
}

/// A server that can tell what it has been given.
pub trait Witness: Send {
    fn given(&self) -> Given;
}

impl Witness for Api {
    fn given(&self) -> Given {
        let (connections, requests) = (self.connections(), self.requests());
        let secret = TOKEN.split_once('.').expect("a dot").1;
        let has_credential = |request: &&crate::support::api::Request| {
            request
                .headers
                .iter()
                .any(|(name, value)| name.contains("authorization") || value.contains(secret))
                || request.target.contains(secret)
        };
        let count = |number: usize| number as u64;
        Given {
            connections: count(connections.len()),
            authorizations: count(requests.iter().filter(has_credential).count()),
            certificates: count(connections.iter().filter(|c| c.client_certificate).count()),
            requests_to_sign: count(requests.iter().filter(|request| !request.body.is_empty()).count()),
            taken: connections.iter().map(|connection| connection.sent).max().unwrap_or_default(),
        }
    }
}

/// What all servers of all cases have been given.
#[derive(Default)]
pub struct Totals {
    connections: AtomicU64,
    authorizations: AtomicU64,
    certificates: AtomicU64,
    requests_to_sign: AtomicU64,
}

impl Totals {
    pub fn add(&self, given: Given) {
        self.connections.fetch_add(given.connections, Ordering::Relaxed);
        self.authorizations.fetch_add(given.authorizations, Ordering::Relaxed);
        self.certificates.fetch_add(given.certificates, Ordering::Relaxed);
        self.requests_to_sign.fetch_add(given.requests_to_sign, Ordering::Relaxed);
    }

    pub fn total(&self) -> Given {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Given {
            connections: get(&self.connections),
            authorizations: get(&self.authorizations),
            certificates: get(&self.certificates),
            requests_to_sign: get(&self.requests_to_sign),
            taken: 0,
        }
    }
}

/// What a case took.
pub struct Took {
    pub time: Duration,
    pub peak_kib: u64,
    pub error: String,
}

/// Plays one case.
///
/// # Panics
/// When anything is not as it must be.
pub fn play(case: &Case, untrusted: &Totals, trusted: &Totals) -> Took {
    let stage = (case.stage)();
    let peak = stage.node.beside("peak");
    let own = std::env::current_exe().expect("this program");
    let measured: [OsString; 3] = [own.into(), measure::WORD.into(), peak.clone().into()];
    let patience = format!("{}s", PATIENCE.as_secs());
    let deadline = if case.expect.waits { DEADLINE } else { &patience };
    let mut join = stage
        .node
        .join_at(&stage.endpoint, &stage.pins)
        .token(stage.token)
        .with_cert()
        .args(&format!("--discovery-timeout {deadline} --tls-bootstrap-timeout {deadline}"))
        .args(&stage.words.join(" "))
        .through(measured);
    for (variable, value) in &stage.variables {
        join = join.env(variable, value);
    }
    let run = join.run();
    // Before anything is judged: what was given away counts, however the case ends.
    let given: Vec<Given> = stage.untrusted.iter().map(|server| server.given()).collect();
    for given in &given {
        untrusted.add(*given);
    }
    for server in &stage.trusted {
        trusted.add(server.given());
    }

    run.expect(case.expect.outcome);
    for given in given {
        let nothing = given.authorizations + given.certificates + given.requests_to_sign == 0;
        run.check(nothing, &format!("a server that nobody should trust was given {given:?}"));
        run.check(given.taken < MOST, &format!("{} bytes were taken on one connection", given.taken));
    }
    for server in stage.trusted.iter().filter(|_| !stage.pins.is_empty() && !stage.endpoint.is_empty()) {
        let early = server.requests().into_iter().take_while(|request| request.route() != Route::Discovery);
        run.check(
            stage.trusted.len() > 1 || early.count() == 0,
            "something was asked before cluster-info was",
        );
    }
    let peak_kib = fs::read_to_string(peak).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX);
    run.check(peak_kib <= PEAK_KIB, &format!("{peak_kib} KiB of memory"));
    run.check(case.expect.waits || run.elapsed < AT_ONCE, "it waited for something that cannot get better");
    run.check(run.stderr.len() < 64 * 1024, "more lines than anybody reads");
    judge_files(&stage, &run, case.expect.outcome == "joined");
    let error = judge_error(&run, case.expect);
    (stage.check)(&stage);
    Took { time: run.elapsed, peak_kib, error }
}

/// A joined node has its identity and nothing of the bootstrap; one that is not has nothing at all or, where its
/// cluster was to be trusted, what the next run goes on from.
fn judge_files(stage: &Stage, run: &Finished, joined: bool) {
    let node = &stage.node;
    if joined {
        let whole = node.has(KUBELET_CONF) && node.has(CURRENT) && node.has(CA);
        run.check(whole && !node.has(KEY_TMP) && !node.has(BOOTSTRAP_CONF), "an identity and nothing else");
        return;
    }
    let allowed: &[&str] = if stage.begins { &[BOOTSTRAP_CONF, CA, KEY_TMP] } else { &[] };
    let strange: Vec<_> = node.files().into_iter().filter(|file| !allowed.contains(&file.as_str())).collect();
    run.check(strange.is_empty(), &format!("files were written: {strange:?}"));
    run.check(stage.begins || node.tree().is_empty(), "a directory was made");
}

/// A line with step and thing, another with the next action, no bug, nothing that a terminal would act on.
fn judge_error(run: &Finished, expect: Expect) -> String {
    let behind = |prefix| run.stderr.lines().find_map(|line| line.strip_prefix(prefix)).unwrap_or_default();
    let (line, help) = (behind("nodestrap: error: "), behind("nodestrap: help: "));
    if expect.outcome == "joined" {
        return String::new();
    }
    let step = line.split(": ").next().unwrap_or_default();
    run.check(STEPS.contains(&step), "the error names no step");
    // What the help says stands behind a semicolon.
    let (what, advice) = expect.says.split_once("; ").unwrap_or((expect.says, ""));
    run.check(line.contains(what), &format!("expected {what:?} in the error"));
    run.check(help.contains(advice), &format!("expected {advice:?} in the help"));
    let clauses = [line, help].into_iter().flat_map(|text| text.split([';', ',', ':'])).map(str::trim_start);
    let mut words = clauses.filter_map(|clause| clause.trim_start_matches("or ").split(' ').next());
    run.check(words.any(|word| ACTIONS.contains(&word)), "the error says nothing to do next");
    run.check(line.chars().count() < 1200, "the error is too long to read");
    run.check(!run.stderr.chars().any(|c| c.is_control() && c != '\n'), "a control character is printed");
    line.to_owned()
}
