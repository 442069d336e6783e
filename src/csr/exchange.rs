//! The CSR exchange: POST, then WATCH from the version that the POST returned, until somebody has decided.
//!
//! A small machine: every state is one request, every answer names the next state. What is unexpected (the object is
//! there already, an old version, a deletion, a changed UID) leads to LIST, which tells how things stand.

use std::time::Duration;

use serde_json::Value;

use super::issued::IssuedCertificate;
use super::object::{FIELDS, Judgement, Object, resource_version};
use super::request::CertificateRequest;
use crate::clock::{Clock, Deadline};
use crate::error::{Error, Result, Retry, Step, sanitize};
use crate::http::{self, Bearer, Next, Reply, Verified};
use crate::json;
use crate::limits;
use crate::log::Log;
use crate::report::Report;
use crate::retry::Backoff;

/// The collection of all requests (`k8s.io/api/certificates/v1`).
const PATH: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// How the exchange ended.
#[derive(Debug)]
pub enum Verdict {
    /// The certificate is there.
    Issued(IssuedCertificate),
    /// The request was denied, has failed or is of no use any more, and with it the key.
    Spent {
        /// The object was there before this run made its own: a verdict on an earlier attempt.
        earlier: bool,
        /// What to say if it is the last word.
        error: Error,
    },
}

/// How far the wait for a verdict has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The watch is open, and the verdict may be on its way.
    Begins,
    /// Nobody has decided for [`limits::WATCH_TICK`], or something came between.
    Lasts,
}

/// One exchange for one request.
pub struct Exchange<'a> {
    api: &'a Verified,
    bearer: Option<&'a Bearer>,
    request: &'a CertificateRequest,
    clock: &'a dyn Clock,
    deadline: Deadline,
    /// Whether an undecided request is waited for.
    waits: bool,
    backoff: Backoff<'a>,
    /// The UID of the object that this run made, or found undecided.
    ours: Option<String>,
    /// The user was told that approval is pending.
    announced: bool,
}

/// Where the machine stands.
enum State {
    Post,
    List,
    Watch { uid: String, version: String },
}

/// What an answer leads to.
enum Answer {
    Go(State),
    /// Something came between: after a pause, so that no server makes the program run in circles.
    Later(State, String),
    Done(Verdict),
}

impl<'a> Exchange<'a> {
    /// Prepares an exchange that gives up at `deadline`. The API server knows the node by `bearer`, or by the client
    /// certificate of the connection.
    #[must_use]
    pub fn new(
        api: &'a Verified,
        bearer: Option<&'a Bearer>,
        request: &'a CertificateRequest,
        clock: &'a dyn Clock,
        deadline: Deadline,
    ) -> Self {
        let backoff = Backoff::new(clock, deadline);
        Self { api, bearer, request, clock, deadline, waits: true, backoff, ours: None, announced: false }
    }

    /// The same, but it looks once: a request that nobody has decided yet is a failure at once.
    #[must_use]
    pub fn looking_once(self) -> Self {
        Self { waits: false, ..self }
    }

    /// Runs it. `meanwhile` is work that does not depend on the answer; it is called whenever a wait begins, and again
    /// when that one lasts.
    ///
    /// # Errors
    /// The last failure when the deadline has come ([`crate::error::ErrorKind::Pending`] when nobody has decided), or one that no
    /// waiting heals.
    pub fn run(
        mut self,
        log: &Log,
        report: &mut Report,
        meanwhile: &mut dyn FnMut(Wait) -> Result<()>,
    ) -> Result<Verdict> {
        let mut state = State::Post;
        loop {
            let answer = match &state {
                State::Post => self.post(log, report),
                State::List => self.list(),
                State::Watch { uid, version } => self.watch(uid, version.clone(), log, meanwhile),
            };
            match answer {
                Ok(Answer::Go(next)) => state = next,
                Ok(Answer::Later(next, why)) => {
                    meanwhile(Wait::Lasts)?;
                    let pause = self.backoff.next(self.pending(), &why)?;
                    if pause.news.is_some() {
                        log.info(&format!("approval: {why}; reconnecting"));
                    }
                    self.clock.sleep(pause.delay);
                    state = next;
                }
                Ok(Answer::Done(verdict)) => return Ok(verdict),
                Err(error) => {
                    if self.ours.is_some() {
                        meanwhile(Wait::Lasts)?;
                    }
                    let pause = self.backoff.next(error, "")?;
                    log.retry(&pause);
                    self.clock.sleep(pause.delay);
                }
            }
        }
    }

    fn post(&mut self, log: &Log, report: &mut Report) -> Result<Answer> {
        let name = self.request.name();
        let reply = self.call(Step::Request, PATH, Some(self.request.body()))?;
        match reply.status {
            200..=299 => {
                let object = reply.json(&FIELDS).and_then(|object| Object::read(&object));
                let object = object.ok_or_else(|| reply.unreadable(Step::Approval, "the created CSR"))?;
                let user = self.request.wanted.node.user();
                log.info(&format!("request: CSR {name} submitted for {user}"));
                if let Some(phase) = self.request.wanted.kind.submission {
                    report.end_phase(phase, self.clock);
                }
                self.ours = Some(object.uid.clone());
                self.judge(object)
            }
            409 => {
                log.info(&format!("request: CSR {name} already exists; resuming it"));
                Ok(Answer::Go(State::List))
            }
            _ => Err(reply.failure(Step::Request, &format!("CSR {name} cannot be created"))),
        }
    }

    fn list(&mut self) -> Result<Answer> {
        let name = self.request.name();
        let reply =
            self.call(Step::Approval, &format!("{PATH}?fieldSelector=metadata.name%3D{name}"), None)?;
        if reply.status != 200 {
            return Err(self.refusal(&reply));
        }
        let read = |list: Value| {
            let objects = json::list(&list, "items")?.iter().map(Object::read).collect::<Option<Vec<_>>>()?;
            Some((objects, resource_version(&list)?))
        };
        let list = reply.json(&FIELDS).and_then(read);
        let (objects, version) = list.ok_or_else(|| reply.unreadable(Step::Approval, "the list of CSRs"))?;
        match objects.into_iter().find(|object| object.name == name) {
            Some(mut object) => {
                object.resource_version = version;
                self.judge(object)
            }
            None => Ok(Answer::Later(State::Post, "the CSR was deleted".to_owned())),
        }
    }

    /// Judges an object and watches it from its version while nobody has decided.
    fn judge(&mut self, object: Object) -> Result<Answer> {
        Ok(match self.verdict(&object)? {
            Some(verdict) => Answer::Done(verdict),
            None if !self.waits => {
                return Err(self.pending().with_retry(Retry::Never));
            }
            None => {
                let (uid, version) = (object.uid, object.resource_version);
                self.ours = Some(uid.clone());
                Answer::Go(State::Watch { uid, version })
            }
        })
    }

    fn verdict(&self, object: &Object) -> Result<Option<Verdict>> {
        Ok(match object.judge(self.request, self.clock.now())? {
            Judgement::Pending => None,
            Judgement::Issued(certificate) => Some(Verdict::Issued(certificate)),
            Judgement::Spent(error) => {
                Some(Verdict::Spent { earlier: self.ours.as_ref() != Some(&object.uid), error })
            }
        })
    }

    /// Watches one object until an event leads elsewhere.
    fn watch(
        &mut self,
        uid: &str,
        mut version: String,
        log: &Log,
        meanwhile: &mut dyn FnMut(Wait) -> Result<()>,
    ) -> Result<Answer> {
        let left = self.left()?;
        // A round that takes as long as the longest pause runs in no circle: the pauses begin anew behind it.
        let circle = Deadline::after(self.clock, limits::BACKOFF_CAP);
        let name = self.request.name();
        let seconds = limits::WATCH.min(left).as_secs() + 1;
        let path = format!(
            "{PATH}?watch=1&fieldSelector=metadata.name%3D{name}&resourceVersion={version}\
             &allowWatchBookmarks=true&timeoutSeconds={seconds}"
        );
        let mut watch = match self.api.watch(Step::Approval, &path, self.bearer, left)? {
            Ok(watch) => watch,
            Err(reply) if reply.status == 410 => {
                return Ok(Answer::Later(State::List, "the resource version is too old".to_owned()));
            }
            Err(reply) => return Err(self.refusal(&reply)),
        };
        self.backoff.accepted();
        meanwhile(Wait::Begins)?;
        let mut dead = Deadline::after(self.clock, limits::WATCH_SILENCE);
        loop {
            match watch.wait() {
                Next::Event(line) => {
                    dead = Deadline::after(self.clock, limits::WATCH_SILENCE);
                    if let Some(answer) = self.event(&line, uid, &mut version)? {
                        return Ok(answer);
                    }
                }
                Next::Quiet => {
                    self.left()?;
                    self.announce(log);
                    meanwhile(Wait::Lasts)?;
                    if dead.left(self.clock).is_none() {
                        return Ok(Answer::Go(State::Watch { uid: uid.to_owned(), version }));
                    }
                }
                Next::Ended => {
                    if circle.left(self.clock).is_none() {
                        self.backoff.reset();
                    }
                    let state = State::Watch { uid: uid.to_owned(), version };
                    return Ok(Answer::Later(state, "watch ended".to_owned()));
                }
            }
        }
    }

    /// Takes one line of the watch; `None` while it changes nothing.
    fn event(&self, line: &[u8], uid: &str, version: &mut String) -> Result<Option<Answer>> {
        let unreadable = |what| http::unreadable(Step::Approval, what, &http::first_words(line));
        let event = json::tree(line, &FIELDS).unwrap_or_default();
        let object = &event["object"];
        let Some(kind) = event["type"].as_str().filter(|_| object.is_object()) else {
            return Err(unreadable("a watch event"));
        };
        match kind {
            "ERROR" => {
                let code = match &object["code"] {
                    Value::Null => Some(0),
                    code => code.as_u64(),
                };
                let (Some(code), Some(message)) = (code, json::text(object, "message")) else {
                    return Err(unreadable("a watch error"));
                };
                let why = format!("watch failed with {code} ({})", sanitize(message));
                return Ok(Some(Answer::Later(State::List, why)));
            }
            "BOOKMARK" => {
                *version = resource_version(object).ok_or_else(|| unreadable("a bookmark"))?;
                return Ok(None);
            }
            _ => {}
        }
        let object = Object::read(object).ok_or_else(|| unreadable("a watched object"))?;
        if object.name != self.request.name() {
            return Ok(None);
        }
        if kind == "DELETED" || object.uid != uid {
            return Ok(Some(Answer::Later(State::List, "the CSR was deleted".to_owned())));
        }
        version.clone_from(&object.resource_version);
        self.verdict(&object).map(|verdict| verdict.map(Answer::Done))
    }

    fn announce(&mut self, log: &Log) {
        if !std::mem::replace(&mut self.announced, true) {
            let name = self.request.name();
            log.info(&format!(
                "approval: CSR {name} is pending; to approve it: kubectl certificate approve {name}"
            ));
        }
    }

    fn call(&mut self, step: Step, path: &str, body: Option<Vec<u8>>) -> Result<Reply> {
        let timeout = self.left()?.min(limits::REQUEST);
        let reply = self.api.call(step, path, self.bearer, body, timeout)?;
        if !matches!(reply.status, 401 | 403) {
            self.backoff.accepted();
        }
        Ok(reply)
    }

    /// Time until the deadline.
    fn left(&self) -> Result<Duration> {
        self.deadline.left(self.clock).ok_or_else(|| self.pending())
    }

    /// Nobody has decided yet, which may heal.
    fn pending(&self) -> Error {
        let name = self.request.name();
        Error::new(Step::Approval, self.request.wanted.kind.pending, format!("CSR {name} is still pending"))
            .with_help(format!("{}: kubectl certificate approve {name}", self.request.wanted.kind.approval))
            .with_retry(Retry::UntilDeadline(None))
    }

    fn refusal(&self, reply: &Reply) -> Error {
        reply.failure(Step::Approval, &format!("CSR {} cannot be watched", self.request.name()))
    }
}
