//! The API server's own record of who asked for what.

use std::{collections::BTreeSet, fs, thread, time::Duration};

use serde_json::Value;

use super::cluster::Cluster;

/// A place in the audit log.
pub struct Mark(usize);

/// One request, as the API server saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub verb: String,
    pub uri: String,
    pub user: String,
    pub agent: String,
    /// The object's name. A name that a list or watch selects counts.
    pub name: String,
    pub code: u64,
    /// When it came, since midnight.
    pub came: Duration,
    id: String,
}

impl Cluster {
    /// The log's end, to read from later.
    pub fn mark(&self) -> Mark {
        Mark(self.audit_log().len())
    }

    /// Every request that ended, or began to stream, after `mark`, in the log's order.
    pub fn requests_since(&self, mark: &Mark) -> Vec<Request> {
        let log = self.audit_log();
        let (mut requests, mut known) = (Vec::new(), BTreeSet::new());
        // The server may be writing the last line right now.
        for line in log[mark.0..].split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let request = Request::from(&serde_json::from_str::<Value>(line).expect("the audit log is JSON"));
            // A watch is logged when it begins and when it ends.
            if known.insert(request.id.clone()) {
                requests.push(request);
            }
        }
        requests
    }

    /// What nodestrap asked after `mark`, when it has ended. Only of use while no other test joins this cluster.
    pub fn joins_since(&self, mark: &Mark) -> Vec<Request> {
        // A request's line is written after its answer has gone out.
        thread::sleep(Duration::from_millis(300));
        let mut requests = self.requests_since(mark);
        requests.retain(|request| request.agent.starts_with("nodestrap/"));
        requests
    }

    fn audit_log(&self) -> String {
        fs::read_to_string(self.scratch.file("audit.log")).unwrap_or_default()
    }
}

impl From<&Value> for Request {
    fn from(event: &Value) -> Self {
        let text =
            |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            verb: text("/verb"),
            uri: text("/requestURI"),
            user: text("/user/username"),
            agent: text("/userAgent"),
            name: text("/objectRef/name"),
            code: event.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default(),
            came: time_of_day(&text("/requestReceivedTimestamp")),
            id: text("/auditID"),
        }
    }
}

/// The time of day in a moment of Kubernetes' form, `2026-11-25T02:37:18.123456Z`.
fn time_of_day(moment: &str) -> Duration {
    let time = moment.split_once('T').expect("a moment").1.trim_end_matches('Z');
    time.split(':')
        .fold(Duration::ZERO, |sum, part| sum * 60 + Duration::from_secs_f64(part.parse().expect("a number")))
}
