//! HTTP/1.1 as far as this server needs it: requests read whole, replies of any shape, honest or not.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The requests that a join makes, and everything else.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Route {
    /// GET of `cluster-info`.
    Discovery,
    /// GET of the ConfigMap `kubelet-config`.
    KubeletConfig,
    /// GET of one Node.
    Node,
    /// POST of a certificate signing request.
    Create,
    /// GET of the list of requests.
    List,
    /// The same with `watch=1`.
    Watch,
    /// Nothing that a join asks for.
    Other,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    /// The connection it arrived on, counted from 0.
    pub connection: usize,
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The certificate by which the connection's client is known, DER.
    pub client: Option<Vec<u8>>,
    /// When it had arrived.
    pub at: Instant,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// One answer. Without a change it is complete, has a Content-Length and leaves the connection open.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
    /// How long to wait before the first byte.
    pub delay: Duration,
    /// Whether the connection is closed after the answer, without a word about it in the headers.
    pub close: bool,
}

/// The body of an answer.
pub enum Body {
    /// With a Content-Length.
    Whole(Vec<u8>),
    /// Each piece of bytes is one chunk in one TLS record.
    Chunked(Vec<Piece>),
    /// The status line and headers are in the pieces too.
    Raw(Vec<Piece>),
    /// The cluster's own events after this version, for this name, until `timeoutSeconds` have passed.
    Events { name: String, version: u64, timeout: Duration },
}

/// A step in sending a body.
#[derive(Clone)]
pub enum Piece {
    Bytes(Vec<u8>),
    Pause(Duration),
    /// The same bytes at this interval until the client has gone.
    Repeat(Vec<u8>, Duration),
    /// Nothing more until the client has gone.
    Hold,
}

impl Request {
    /// Reads the next request. `None` when the client has closed the connection.
    pub fn read(connection: usize, stream: &mut impl Read) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) => head.push(byte[0]),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let text = String::from_utf8(head).map_err(io::Error::other)?;
        let mut lines = text.trim_end().split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
        let mut request =
            Self { connection, method, target, client: None, at: Instant::now(), headers, body: Vec::new() };
        let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        request.body.resize(length, 0);
        stream.read_exact(&mut request.body)?;
        Ok(Some(request))
    }

    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter of the query, as it was sent.
    pub fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, v)| v)
    }

    /// The name that the field selector asks for.
    pub fn selected_name(&self) -> Option<&str> {
        self.query("fieldSelector")?.strip_prefix("metadata.name%3D")
    }

    /// The JSON of the body.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Which of the requests of a join it is.
    pub fn route(&self) -> Route {
        let path = self.target.split('?').next().unwrap_or_default();
        let requests = path == "/apis/certificates.k8s.io/v1/certificatesigningrequests";
        match self.method.as_str() {
            "GET" if path == "/api/v1/namespaces/kube-public/configmaps/cluster-info" => Route::Discovery,
            "GET" if path == "/api/v1/namespaces/kube-system/configmaps/kubelet-config" => {
                Route::KubeletConfig
            }
            "GET" if path.starts_with("/api/v1/nodes/") => Route::Node,
            "GET" if requests && self.query("watch").is_some() => Route::Watch,
            "GET" if requests => Route::List,
            "POST" if requests => Route::Create,
            _ => Route::Other,
        }
    }
}

impl Reply {
    /// An answer with a JSON object.
    pub fn json(status: u16, value: &Value) -> Self {
        Self::text(status, "application/json", &value.to_string())
    }

    /// An answer with text of some media type.
    pub fn text(status: u16, media_type: &str, body: &str) -> Self {
        Self::new(status, Body::Whole(body.as_bytes().to_vec())).header("Content-Type", media_type)
    }

    /// A `Status` object, as the API server answers errors.
    pub fn status(status: u16, reason: &str) -> Self {
        Self::json(status, &status_object(status, reason, None))
    }

    /// A `Status` with a delay in its details instead of in a header.
    pub fn retry_in_details(status: u16, reason: &str, seconds: u32) -> Self {
        Self::json(status, &status_object(status, reason, Some(seconds)))
    }

    /// An answer in pieces of its own, head included; the connection is closed after the last one.
    pub fn raw(pieces: Vec<Piece>) -> Self {
        Self::new(200, Body::Raw(pieces)).close()
    }

    /// An answer whose body is sent in these pieces, each a chunk.
    pub fn chunked(pieces: Vec<Piece>) -> Self {
        Self::new(200, Body::Chunked(pieces)).header("Content-Type", "application/json")
    }

    /// An answer from its parts.
    pub fn new(status: u16, body: Body) -> Self {
        Self { status, headers: Vec::new(), body, delay: Duration::ZERO, close: false }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }

    /// Status line and headers, with the header that tells how the body ends.
    pub fn head(&self) -> String {
        let framing = match &self.body {
            Body::Whole(body) => format!("Content-Length: {}", body.len()),
            Body::Chunked(_) | Body::Events { .. } => "Transfer-Encoding: chunked".to_owned(),
            Body::Raw(_) => return String::new(),
        };
        let headers = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        format!("HTTP/1.1 {} Answer\r\n{}{framing}\r\n\r\n", self.status, headers.collect::<String>())
    }
}

/// A `Status` object.
pub fn status_object(code: u16, reason: &str, retry_after_seconds: Option<u32>) -> Value {
    let mut status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "ErrorKind",
        "message": format!("the server says {reason}"), "reason": reason, "details": {}, "code": code,
    });
    if let Some(seconds) = retry_after_seconds {
        status["details"]["retryAfterSeconds"] = json!(seconds);
    }
    status
}
