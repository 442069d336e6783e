//! The CSR exchange: POST, then WATCH from the version that the POST returned, until it is approved or denied.
//!
//! A state machine driven by its caller: each call of [`Exchange::advance`] blocks for at most one request or one tick of the
//! watch. It never sleeps, prints or writes. What is unexpected (an object of this name, an old version, a deletion, a changed
//! UID) leads to LIST, which reports the object's state.

use std::mem;
use std::time::Duration;

use serde_json::Value;

use super::issued::IssuedCertificate;
use super::object::{CsrStatus, Event, FIELDS, Object, resource_version};
use super::request::CertificateRequest;
use crate::clock::{Clock, Deadline};
use crate::error::{Error, Result, Retry, Step};
use crate::http::{Bearer, Response, Verified, Watch, WatchEvent};
use crate::json;
use crate::limits;
use crate::retry::Backoff;

/// The collection of all requests (`k8s.io/api/certificates/v1`).
const PATH: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// How far the exchange has come. After [`Progress::Issued`], [`Progress::Unusable`] and [`Progress::Failed`] it is over.
#[derive(Debug)]
pub enum Progress {
    /// The API server has created the object.
    Submitted,
    /// An object of this name is there already, which counts from now on.
    Resumed,
    /// The watch is open, and the decision may be on its way.
    Watching,
    /// It is neither approved nor denied, and for [`limits::WATCH_TICK`] nothing came.
    StillPending {
        /// Whether it is the first time.
        is_first: bool,
    },
    /// An attempt failed, or the watch or the object changed. The next call makes another one.
    Retry {
        /// How long to wait before that.
        delay: Duration,
        /// What happened and what comes next, for messages, where it is news.
        news: Option<String>,
        /// Whether the API server has the request: it may still be approved.
        is_submitted: bool,
    },
    /// The certificate is there.
    Issued(IssuedCertificate),
    /// This CSR cannot yield a usable certificate: discard its key.
    Unusable {
        /// The object was there before this run made its own: a decision on an earlier attempt.
        is_earlier: bool,
        /// What to say if it is the last word.
        error: Error,
    },
    /// The last failure when the deadline has come ([`crate::error::ErrorKind::Pending`] when it is neither approved
    /// nor denied), or one that is not retryable.
    Failed {
        /// Why.
        error: Error,
        /// Whether the API server has the request: it may still be approved.
        is_submitted: bool,
    },
}

/// One exchange for one request.
pub struct Exchange<'a> {
    api: &'a Verified,
    bearer: Option<&'a Bearer>,
    request: &'a CertificateRequest,
    clock: &'a dyn Clock,
    deadline: Deadline,
    /// An undecided request is not waited for.
    no_wait: bool,
    backoff: Backoff<'a>,
    state: State,
    /// The API server has an object of the request's name, as far as it has said.
    is_submitted: bool,
    /// The UID of the object that this run made, or found undecided.
    known_uid: Option<String>,
    was_pending: bool,
}

/// What the next call does.
enum State {
    /// Creates the object.
    Post,
    /// Looks at the one that was just created.
    Created(Object),
    /// Asks how things stand.
    List,
    /// Waits for events of the object.
    Watch(WatchState),
}

/// Where the watch of the object with this UID goes on.
struct WatchState {
    uid: String,
    version: String,
    /// The connection, dropped before any other request.
    open: Option<OpenWatch>,
}

/// What a line of the watch says.
enum Observed {
    /// Nothing that changes what is waited for.
    Unchanged,
    /// The object is decided.
    Decided(Progress),
    /// The object is deleted.
    Deleted,
    /// Only a LIST can tell how things stand, for this reason.
    Unknown(String),
}

struct OpenWatch {
    watch: Watch,
    /// Reconnect if no data arrives by then.
    idle_deadline: Deadline,
    /// A watch that lasts this long was healthy: its end resets the backoff.
    stable_after: Deadline,
}

impl<'a> Exchange<'a> {
    /// Prepares an exchange that gives up at `deadline`. The API server knows the node by `bearer`, or by the client
    /// certificate of the connection.
    pub fn new(
        api: &'a Verified,
        bearer: Option<&'a Bearer>,
        request: &'a CertificateRequest,
        clock: &'a dyn Clock,
        deadline: Deadline,
    ) -> Self {
        Self {
            api,
            bearer,
            request,
            clock,
            deadline,
            no_wait: false,
            backoff: Backoff::new(clock, deadline),
            state: State::Post,
            is_submitted: false,
            known_uid: None,
            was_pending: false,
        }
    }

    /// Has it check once: a request that is neither approved nor denied yet is a failure immediately.
    #[must_use]
    pub fn no_wait(self) -> Self {
        Self { no_wait: true, ..self }
    }

    /// Goes on until there is something to report: the response to a POST or a LIST within [`limits::REQUEST`], the
    /// next event of the watch that means something, or [`limits::WATCH_TICK`] without one.
    pub fn advance(&mut self) -> Progress {
        loop {
            let advanced = match mem::replace(&mut self.state, State::Post) {
                State::Post => self.post(),
                State::Created(object) => self.handle_object(object),
                State::List => self.list(),
                State::Watch(mut watch) => match watch.open.take() {
                    Some(open) => self.read(watch, open),
                    None => self.open_watch(watch),
                },
            };
            match advanced {
                Ok(Some(progress)) => return progress,
                Ok(None) => {}
                Err(error) => return self.retry(error, ""),
            }
        }
    }

    fn post(&mut self) -> Result<Option<Progress>> {
        let response = self.call(Step::Request, PATH, Some(self.request.body()))?;
        match response.status {
            200..=299 => {
                self.is_submitted = true;
                let object = response.json(&FIELDS).and_then(|object| Object::read(&object));
                let object = object.ok_or_else(|| response.unreadable(Step::Approval, "the created CSR"))?;
                self.known_uid = Some(object.uid.clone());
                self.state = State::Created(object);
                Ok(Some(Progress::Submitted))
            }
            409 => {
                self.is_submitted = true;
                self.state = State::List;
                Ok(Some(Progress::Resumed))
            }
            _ => {
                Err(response
                    .failure(Step::Request, &format!("CSR {} cannot be created", self.request.name())))
            }
        }
    }

    fn list(&mut self) -> Result<Option<Progress>> {
        self.state = State::List; // until it says more
        let name = self.request.name();
        let path = format!("{PATH}?fieldSelector=metadata.name%3D{name}");
        let response = self.call(Step::Approval, &path, None)?;
        if response.status != 200 {
            return Err(self.refusal(&response));
        }
        let read = |list: Value| {
            let objects = json::list(&list, "items")?.iter().map(Object::read).collect::<Option<Vec<_>>>()?;
            Some((objects, resource_version(&list)?))
        };
        let list = response.json(&FIELDS).and_then(read);
        let (objects, version) =
            list.ok_or_else(|| response.unreadable(Step::Approval, "the list of CSRs"))?;
        match objects.into_iter().find(|object| object.name == name) {
            Some(mut object) => {
                self.is_submitted = true;
                object.resource_version = version;
                self.handle_object(object)
            }
            None => Ok(Some(self.deleted(State::Post))),
        }
    }

    /// Checks an object, which is watched from its version while it is neither approved nor denied.
    fn handle_object(&mut self, object: Object) -> Result<Option<Progress>> {
        let decision = self.decision(&object)?;
        if decision.is_none() {
            if self.no_wait {
                return Err(self.pending().with_retry(Retry::Never));
            }
            self.known_uid = Some(object.uid.clone());
            self.state =
                State::Watch(WatchState { uid: object.uid, version: object.resource_version, open: None });
        }
        Ok(decision)
    }

    /// `None` while it is neither approved nor denied.
    fn decision(&self, object: &Object) -> Result<Option<Progress>> {
        Ok(match object.check(self.request, self.clock.now())? {
            CsrStatus::Pending => None,
            CsrStatus::Issued(certificate) => Some(Progress::Issued(certificate)),
            CsrStatus::Unusable(error) => {
                Some(Progress::Unusable { is_earlier: self.known_uid.as_ref() != Some(&object.uid), error })
            }
        })
    }

    fn open_watch(&mut self, mut watch: WatchState) -> Result<Option<Progress>> {
        let opened = self.request_watch(&watch.version);
        if let Ok(Err(response)) = &opened
            && response.status == 410
        {
            return Ok(Some(self.start_over(State::List, "the resource version is too old")));
        }
        let opened = opened.and_then(|opened| opened.map_err(|response| self.refusal(&response)));
        let outcome = opened.map(|open| {
            self.backoff.accepted();
            watch.open = Some(open);
            Some(Progress::Watching)
        });
        self.state = State::Watch(watch);
        outcome
    }

    fn request_watch(&self, version: &str) -> Result<std::result::Result<OpenWatch, Response>> {
        let left = self.left()?;
        let stable_after = Deadline::after(self.clock, limits::BACKOFF_CAP);
        let name = self.request.name();
        let seconds = limits::WATCH.min(left).as_secs() + 1;
        let path = format!(
            "{PATH}?watch=1&fieldSelector=metadata.name%3D{name}&resourceVersion={version}\
             &allowWatchBookmarks=true&timeoutSeconds={seconds}"
        );
        let opened = self.api.watch(Step::Approval, &path, self.bearer, left)?;
        let idle_deadline = Deadline::after(self.clock, limits::WATCH_SILENCE);
        Ok(opened.map(|watch| OpenWatch { watch, idle_deadline, stable_after }))
    }

    /// Waits for the next event of the watch. Errors and changes of the state close it.
    fn read(&mut self, mut watch: WatchState, mut open: OpenWatch) -> Result<Option<Progress>> {
        let outcome = match open.watch.wait() {
            WatchEvent::Event(line) => {
                open.idle_deadline = Deadline::after(self.clock, limits::WATCH_SILENCE);
                match self.observe(&mut watch, &line) {
                    Ok(Observed::Unchanged) => {
                        watch.open = Some(open);
                        Ok(None)
                    }
                    Ok(Observed::Decided(progress)) => return Ok(Some(progress)),
                    Ok(Observed::Deleted) => return Ok(Some(self.deleted(State::List))),
                    Ok(Observed::Unknown(why)) => return Ok(Some(self.start_over(State::List, &why))),
                    Err(error) => Err(error),
                }
            }
            WatchEvent::Quiet => self.left().map(|_| {
                // One that is dead is opened again, from the version where it was.
                if open.idle_deadline.left(self.clock).is_some() {
                    watch.open = Some(open);
                }
                let is_first = !mem::replace(&mut self.was_pending, true);
                Some(Progress::StillPending { is_first })
            }),
            WatchEvent::Ended => {
                if open.stable_after.left(self.clock).is_none() {
                    self.backoff.reset();
                }
                drop(open);
                return Ok(Some(self.start_over(State::Watch(watch), "watch ended")));
            }
        };
        self.state = State::Watch(watch);
        outcome
    }

    /// Reads one line of the watch. After an unusable one, the watch reopens at the last version, so that the line is sent
    /// again.
    fn observe(&self, watch: &mut WatchState, line: &[u8]) -> Result<Observed> {
        let (object, is_deleted) = match Event::read(line)? {
            Event::Object { object, is_deleted } => (object, is_deleted),
            Event::Bookmark(version) => {
                watch.version = version;
                return Ok(Observed::Unchanged);
            }
            Event::Failed(why) => return Ok(Observed::Unknown(why)),
        };
        if object.name != self.request.name() {
            return Ok(Observed::Unchanged);
        }
        if is_deleted {
            return Ok(Observed::Deleted);
        }
        if object.uid != watch.uid {
            return Ok(Observed::Unknown("the CSR was replaced by another one".to_owned()));
        }
        let decision = self.decision(&object)?;
        if decision.is_none() {
            watch.version = object.resource_version;
        }
        Ok(decision.map_or(Observed::Unchanged, Observed::Decided))
    }

    fn call(&mut self, step: Step, path: &str, body: Option<Vec<u8>>) -> Result<Response> {
        let timeout = self.left()?.min(limits::REQUEST);
        let response = self.api.call(step, path, self.bearer, body, timeout)?;
        if !matches!(response.status, 401 | 403) {
            self.backoff.accepted();
        }
        Ok(response)
    }

    /// The object is no more, and nobody can approve it.
    fn deleted(&mut self, state: State) -> Progress {
        self.is_submitted = false;
        self.known_uid = None;
        self.start_over(state, "the CSR was deleted")
    }

    /// The watch or the object changed: after a pause, so that no server keeps the program busy.
    fn start_over(&mut self, state: State, why: &str) -> Progress {
        self.state = state;
        let mut progress = self.retry(self.pending(), why);
        if let Progress::Retry { news: Some(news), .. } = &mut progress {
            *news = format!("approval: {why}; reconnecting");
        }
        progress
    }

    /// Another attempt after this failure, which is about `subject`, unless it is final.
    fn retry(&mut self, error: Error, subject: &str) -> Progress {
        let is_submitted = self.is_submitted;
        match self.backoff.next(error, subject) {
            Ok(pause) => Progress::Retry { delay: pause.delay, news: pause.line(), is_submitted },
            Err(error) => Progress::Failed { error, is_submitted },
        }
    }

    /// Time until the deadline.
    fn left(&self) -> Result<Duration> {
        self.deadline.left(self.clock).ok_or_else(|| self.pending())
    }

    /// It is neither approved nor denied yet, which is retryable.
    fn pending(&self) -> Error {
        let (name, kind) = (self.request.name(), self.request.template.kind);
        Error::new(Step::Approval, kind.pending, format!("CSR {name} is still pending"))
            .with_help(format!("{}: kubectl certificate approve {name}", kind.approval))
            .with_retry(Retry::UntilDeadline(None))
    }

    fn refusal(&self, response: &Response) -> Error {
        response.failure(Step::Approval, &format!("CSR {} cannot be watched", self.request.name()))
    }
}
