//! Names into addresses, as Go's own resolver does it (`netdns=go`; `net/dnsclient_unix.go`), which kubeadm and the
//! kubelet have: the file of hosts, then the name servers of `resolv.conf`. musl's `getaddrinfo` takes one bad answer
//! for the end of it, and no deadline.
//!
//! Nothing that a name server says is trusted: who answers at an address has to prove that it is the right one. Bounded are
//! the time, by the caller; the bytes of a message, by its transport; names, pointers and addresses in it.

mod config;
mod conversation;
mod names;
mod order;
mod packet;
mod query;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::clock::Clock;
use config::Config;
use packet::Question;
use query::{Query, Word};

/// Where the running system keeps what it knows about names. They are never those of `--root`.
#[derive(Clone, Debug)]
pub struct NameSources {
    /// hosts(5).
    pub hosts: PathBuf,
    /// resolv.conf(5).
    pub resolv_conf: PathBuf,
    /// The machine's name, whose domain is searched where resolv.conf names none.
    pub hostname: fn() -> String,
    /// The port of name servers.
    pub port: u16,
}

impl NameSources {
    /// Those of the running system.
    pub fn of_system() -> Self {
        Self {
            hosts: "/etc/hosts".into(),
            resolv_conf: "/etc/resolv.conf".into(),
            hostname: || rustix::system::uname().nodename().to_string_lossy().into_owned(),
            port: 53,
        }
    }
}

/// Looks names up.
#[derive(Debug)]
pub(super) struct Resolver {
    clock: Arc<dyn Clock>,
    sources: NameSources,
    /// How many questions were asked, for `rotate`.
    turns: AtomicUsize,
}

impl Resolver {
    /// Draws the numbers of its messages from `clock`.
    pub(super) fn new(clock: Arc<dyn Clock>, sources: NameSources) -> Self {
        Self { clock, sources, turns: AtomicUsize::new(0) }
    }

    /// All addresses of a host, with this port, in the order in which they are worth a try: at least one.
    ///
    /// # Errors
    /// With [`Unresolved`] inside, by `until` at the latest.
    pub(super) fn lookup(&self, host: &str, port: u16, until: Instant) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let mut found = config::hosts(&self.sources, host);
        if found.is_empty() {
            found = self.ask(host, until).map_err(io::Error::other)?;
        }
        let mut sorted = order::sort(found);
        for address in &mut sorted {
            address.set_port(port);
        }
        Ok(sorted)
    }

    /// Asks the name servers for one name after the other. Each but the last has half of the time that is left.
    fn ask(&self, host: &str, until: Instant) -> Result<Vec<SocketAddr>, Unresolved> {
        let config = Config::read(&self.sources);
        let names = names::candidates(host, &config);
        let mut words = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let is_last = index + 1 == names.len();
            let end = if is_last { until } else { query::half(Instant::now(), until) };
            let mut queries = [packet::A, packet::AAAA].map(|record| {
                let first = if config.rotate { self.turns.fetch_add(1, Ordering::Relaxed) } else { 0 };
                Query::new(&*self.clock, &config, Question { name, record }, first)
            });
            if config.single_request {
                let [ipv4, ipv6] = &mut queries;
                query::run(std::slice::from_mut(ipv4), query::half(Instant::now(), end));
                let end = if ipv4.found.is_empty() { end } else { query::half(Instant::now(), end) };
                query::run(std::slice::from_mut(ipv6), end);
            } else {
                query::run(&mut queries, end);
            }
            let found: Vec<_> = queries.iter().flat_map(|query| &query.found).collect();
            if !found.is_empty() {
                return Ok(found.into_iter().map(|address| SocketAddr::new(*address, 0)).collect());
            }
            words.extend(queries.into_iter().flat_map(|query| query.words));
        }
        Err(Unresolved::new(host, words))
    }
}

/// A name without an address, and why.
#[derive(Debug)]
pub(super) struct Unresolved(String);

impl Unresolved {
    /// Names servers that gave no answer, if there are such; else those that refused.
    fn new(host: &str, mut words: Vec<Word>) -> Self {
        if words.iter().any(|word| !word.is_denial) {
            words.retain(|word| !word.is_denial);
        }
        // What a server said of several names is shown once, of the host itself if it was that.
        let host = host.trim_end_matches('.');
        let mut reported: Vec<(String, String)> = Vec::new();
        for Word { name, text, .. } in words {
            let name = name.trim_end_matches('.').to_owned();
            match reported.iter_mut().find(|(other, _)| *other == text) {
                Some((_, of)) if name == host => *of = name,
                Some(_) => {}
                None => reported.push((text, name)),
            }
        }
        reported.truncate(crate::limits::NAME_SERVERS);
        let clause = |(text, name)| if name == host { text } else { format!("{text} for {name}") };
        let mut clauses: Vec<_> = reported.into_iter().map(clause).collect();
        if clauses.is_empty() {
            clauses.push("not in /etc/hosts, and not a DNS name".to_owned());
        }
        Self(format!("cannot resolve {host}: {}", clauses.join(", ")))
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unresolved {}
