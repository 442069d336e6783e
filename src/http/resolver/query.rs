//! The servers, asked for the addresses of one family under one name: in their order, each as often as the configuration
//! says. Two such queries are waited for together.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};

use super::config::Config;
use super::conversation::Conversation;
use super::packet::{Answer, Question};
use crate::clock::Clock;
use crate::limits;
use crate::sanitize::reason;

/// The middle between two moments: so much of the time is for one of two, that the other gets its part.
pub(super) fn half(from: Instant, until: Instant) -> Instant {
    from + until.saturating_duration_since(from) / 2
}

/// What a server has said that was not an address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Of which name, as it was asked for.
    pub name: String,
    /// The server, and what it did.
    pub text: String,
    /// It says that there is no address. Everything else is no answer.
    pub is_denial: bool,
}

/// One name and one family.
#[derive(Debug)]
pub(super) struct Query<'a> {
    clock: &'a dyn Clock,
    config: &'a Config,
    question: Question<'a>,
    /// The server that is asked first.
    first: usize,
    /// How many times a server was asked.
    asked: usize,
    /// When the next one is asked, whatever becomes of those that were.
    next: Instant,
    step: Duration,
    open: Vec<Conversation>,
    is_over: bool,
    /// The addresses that were found.
    pub found: Vec<IpAddr>,
    /// Why there are none.
    pub words: Vec<Word>,
}

/// Has all of `queries` answered, by `until` at the latest. Once one has addresses, the others are waited for no longer
/// than half of the time that is left: those are enough to go on with.
pub(super) fn run(queries: &mut [Query], until: Instant) {
    let mut end = until;
    loop {
        let now = Instant::now();
        for query in &mut *queries {
            query.advance(now, end);
        }
        if end == until && queries.iter().any(|query| !query.found.is_empty()) {
            end = half(now, until);
        }
        if now >= end {
            for query in &mut *queries {
                query.give_up(None);
            }
        }
        let mut waiting: Vec<_> =
            queries.iter().flat_map(|query| &query.open).map(Conversation::readiness).collect();
        if waiting.is_empty() {
            return;
        }
        let wake = queries.iter().filter_map(Query::wake).fold(end, Instant::min);
        // An error of the wait is none of an answer: the sockets tell.
        let _ = poll(&mut waiting, Timespec::try_from(wake.saturating_duration_since(now)).ok().as_ref());
        for query in &mut *queries {
            query.receive(Instant::now());
        }
    }
}

impl<'a> Query<'a> {
    /// Asks nobody yet.
    pub fn new(clock: &'a dyn Clock, config: &'a Config, question: Question<'a>, first: usize) -> Self {
        Self {
            clock,
            config,
            question,
            first,
            asked: 0,
            next: Instant::now(),
            step: Duration::ZERO,
            open: Vec::new(),
            is_over: false,
            found: Vec::new(),
            words: Vec::new(),
        }
    }

    /// Asks the next server if it is time. One that keeps silent is not given up for that: its answer may be late.
    ///
    /// A server has `timeout` for itself, as in Go, or less where all of them would not get their turn before `end`:
    /// half of the time that is left is for one round over them.
    fn advance(&mut self, now: Instant, end: Instant) {
        self.give_up(Some(now));
        let servers = &self.config.servers;
        while !self.is_over && self.asked < servers.len() * self.config.attempts {
            if !self.open.is_empty() && now < self.next {
                return;
            }
            if self.asked.is_multiple_of(servers.len()) {
                let share =
                    end.saturating_duration_since(now) / 2 / u32::try_from(servers.len()).unwrap_or(1);
                self.step = share.max(limits::DNS_STEP).min(self.config.timeout);
            }
            let server = servers[(self.first + self.asked) % servers.len()];
            self.asked += 1;
            self.next = now + self.step;
            self.ask(server, now, self.config.use_tcp);
        }
    }

    fn ask(&mut self, server: SocketAddr, now: Instant, use_tcp: bool) {
        let id = (self.clock.random() >> 16) as u16;
        let flags = (use_tcp, self.config.trust_ad);
        match Conversation::open(server, now + self.config.timeout, id, self.question, flags) {
            Ok(conversation) => self.open.push(conversation),
            Err(e) => self.hear(server, &format!("cannot be reached: {}", reason(&e)), false),
        }
    }

    /// Gives those up whose time is over, or all.
    fn give_up(&mut self, now: Option<Instant>) {
        for conversation in std::mem::take(&mut self.open) {
            if now.is_some_and(|now| now < conversation.until) {
                self.open.push(conversation);
            } else {
                self.hear(conversation.server, "did not respond", false);
            }
        }
        if now.is_none() {
            self.is_over = true;
        }
    }

    /// Takes what has come.
    fn receive(&mut self, now: Instant) {
        let newest = self.open.len();
        for (index, mut conversation) in std::mem::take(&mut self.open).into_iter().enumerate() {
            let server = conversation.server;
            let answer = match conversation.receive(self.question) {
                _ if self.is_over => continue,
                Ok(None) => {
                    self.open.push(conversation);
                    continue;
                }
                Ok(Some(answer)) => answer,
                Err(e) => Answer::Unusable(format!("cannot be reached: {}", reason(&e))),
            };
            match answer {
                Answer::Addresses(found) => {
                    self.found = found;
                    self.is_over = true;
                }
                Answer::Nothing(words) => {
                    self.hear(server, words, true);
                    self.is_over = true;
                }
                Answer::Truncated => {
                    self.next = now + self.step;
                    self.ask(server, now, true);
                }
                Answer::Unusable(words) => {
                    self.hear(server, &words, false);
                    // Nobody waits for a server that has answered.
                    if index + 1 == newest {
                        self.next = now;
                    }
                }
            }
        }
        if self.is_over {
            self.open.clear();
        }
    }

    /// When there is something to do without an answer.
    fn wake(&self) -> Option<Instant> {
        let is_last = self.asked == self.config.servers.len() * self.config.attempts;
        let next = if is_last { None } else { Some(self.next) };
        self.open.iter().map(|conversation| conversation.until).chain(next).min().filter(|_| !self.is_over)
    }

    fn hear(&mut self, server: SocketAddr, said: &str, is_denial: bool) {
        let text = format!("name server {} {said}", server.ip());
        self.words.push(Word { name: self.question.name.to_owned(), text, is_denial });
    }
}

#[cfg(test)]
mod tests;
