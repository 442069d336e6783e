//! A loopback Kubernetes API server: honest by default, and any answer can be replaced by a script.

mod cluster;
mod http;
pub mod jws;
mod serve;
pub mod tls;

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

pub use cluster::{Cluster, KUBELET_CONFIG, TOKEN, bookmark_object, event};
pub use http::{Body, Piece, Reply, Request, Route, status_object};
pub use tls::Connection;

use super::golden;
use super::pki::{Authority, ServerIdentity};

/// How long a test waits for something the program must do.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Replaces the honest answer to the n-th request of a route (from 0); `None` leaves it.
type Script = Box<dyn FnMut(usize, &Request, &mut Cluster) -> Option<Reply> + Send>;

/// What an API server is made of; the default is what kubeadm would set up.
pub struct Setup {
    /// Signs the server's certificate, is named in cluster-info, and signs nodes.
    pub authority: Arc<Authority>,
    /// What the server shows; the default is for `localhost` and `127.0.0.1`.
    pub identity: Option<ServerIdentity>,
    /// The address that it listens on.
    pub listen: &'static str,
    /// TLS versions on offer.
    pub versions: &'static [&'static rustls::SupportedProtocolVersion],
    /// The server that cluster-info names; the default is `https://localhost:PORT` of this server.
    pub server: Option<String>,
    /// Changes the server's TLS before it listens.
    pub adjust: fn(&mut rustls::ServerConfig),
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            authority: Arc::new(Authority::new("kubernetes")),
            identity: None,
            listen: "127.0.0.1:0",
            versions: rustls::ALL_VERSIONS,
            server: None,
            adjust: |_| {},
        }
    }
}

/// A running API server. It serves until it is dropped.
pub struct Api {
    /// The authority it was set up with.
    pub authority: Arc<Authority>,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What the threads of one server have in common.
struct Shared {
    cluster: Mutex<Cluster>,
    /// Told after each change of the cluster.
    changed: Condvar,
    scripts: Mutex<HashMap<Route, (usize, Script)>>,
    log: Mutex<Log>,
    /// Told after each entry of the log.
    logged: Condvar,
    stop: AtomicBool,
    golden: Option<golden::Served>,
}

/// Everything that reached the server, in order.
#[derive(Default)]
struct Log {
    connections: Vec<Connection>,
    requests: Vec<Request>,
}

impl Api {
    /// Starts the default server.
    pub fn start() -> Self {
        Self::with(Setup::default())
    }

    /// Starts a server that approves nothing by itself.
    pub fn manual() -> Self {
        let api = Self::start();
        api.cluster(|cluster| cluster.approves = false);
        api
    }

    /// Starts a server on a port of the loopback interface.
    pub fn with(setup: Setup) -> Self {
        let listener = TcpListener::bind(setup.listen).expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let authority = setup.authority;
        let identity = setup.identity.unwrap_or_else(|| authority.server(&["localhost", "127.0.0.1"]));
        let config = tls::config(identity, setup.versions, setup.adjust);
        let server = setup.server.unwrap_or_else(|| format!("https://localhost:{}", address.port()));
        let shared = Arc::new(Shared {
            cluster: Mutex::new(Cluster::new(Arc::clone(&authority), &server)),
            changed: Condvar::new(),
            scripts: Mutex::default(),
            log: Mutex::default(),
            logged: Condvar::new(),
            stop: AtomicBool::new(false),
            golden: golden::here().map(|scope| scope.serves(address.port())),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || serve::accept(&listener, &config, &serving));
        Self { authority, address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `localhost:PORT`, as a join line has it.
    pub fn endpoint(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// Replaces answers of a route from now on.
    pub fn on(
        &self,
        route: Route,
        script: impl FnMut(usize, &Request, &mut Cluster) -> Option<Reply> + Send + 'static,
    ) -> &Self {
        self.shared.scripts.lock().expect("scripts").insert(route, (0, Box::new(script)));
        self
    }

    /// Looks at the cluster, or changes it; watchers see the change.
    pub fn cluster<R>(&self, change: impl FnOnce(&mut Cluster) -> R) -> R {
        let result = change(&mut self.shared.cluster());
        self.shared.changed.notify_all();
        result
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.log.lock().expect("log").requests.clone()
    }

    /// The routes of all requests so far.
    pub fn routes(&self) -> Vec<Route> {
        self.requests().iter().map(Request::route).collect()
    }

    /// How many requests of a route there were.
    pub fn count(&self, route: Route) -> usize {
        self.routes().iter().filter(|seen| **seen == route).count()
    }

    /// All connections so far.
    pub fn connections(&self) -> Vec<Connection> {
        self.shared.log.lock().expect("log").connections.clone()
    }

    /// How many requests carried a credential.
    pub fn credentials_seen(&self) -> usize {
        self.requests().iter().filter(|request| request.header("authorization").is_some()).count()
    }

    /// Waits until the n-th request of a route (from 1) has arrived, and returns it.
    ///
    /// # Panics
    /// When it does not arrive.
    pub fn wait_for(&self, route: Route, count: usize) -> Request {
        let end = Instant::now() + PATIENCE;
        let mut log = self.shared.log.lock().expect("log");
        loop {
            let found = log.requests.iter().filter(|request| request.route() == route).nth(count - 1);
            if let Some(request) = found {
                return request.clone();
            }
            let seen: Vec<_> = log.requests.iter().map(Request::route).collect();
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "request {count} for {route:?} did not arrive; seen: {seen:?}");
            log = self.shared.logged.wait_timeout(log, left).expect("log").0;
        }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().expect("cluster")
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The scripted answer to a request, or the honest one.
    fn answer(&self, request: &Request) -> Reply {
        let mut cluster = self.cluster();
        let mut scripts = self.scripts.lock().expect("scripts");
        let scripted = scripts.get_mut(&request.route()).and_then(|(count, script)| {
            *count += 1;
            script(*count - 1, request, &mut cluster)
        });
        let reply = scripted.unwrap_or_else(|| cluster.answer(request));
        self.changed.notify_all();
        reply
    }
}
