//! Many nodes that join at once, each by a process of its own.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    node::Node,
    process::{spawn, tail, tether},
    scratch::Scratch,
    wording,
};

/// How often the ends of its processes are looked for.
const LOOK: Duration = Duration::from_millis(10);

/// The nodes, in the order in which they were started. Their processes and files go with it.
pub struct Load {
    name: String,
    members: Vec<Member>,
    scratch: Scratch,
}

struct Member {
    node: Node,
    child: Child,
    started: Instant,
    /// How long it took.
    ended: Option<Duration>,
    log: PathBuf,
}

impl Load {
    /// Nobody yet; the nodes' names will begin with this.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), members: Vec::new(), scratch: Scratch::new() }
    }

    /// Starts so many more nodes, one right after the other. `command` says what a node runs.
    pub fn start(&mut self, count: usize, command: impl Fn(&Node) -> Command) {
        for _ in 0..count {
            let name = format!("{}-{}", self.name, self.members.len());
            let (node, log) = (Node::named(&name), self.scratch.path().join(&name));
            let said = File::create(&log).expect("a log");
            let mut command = tether(&command(&node));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
            let (child, started) = (spawn(command), Instant::now());
            self.members.push(Member { node, child, started, ended: None, log });
        }
    }

    /// How many have been started.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// How many have ended. Panics when one of them has failed, with what it said.
    pub fn ended(&mut self) -> usize {
        for member in self.members.iter_mut().filter(|member| member.ended.is_none()) {
            let Some(status) = member.child.try_wait().unwrap() else { continue };
            assert!(status.success(), "{}: {status}\n{}", member.node.name, tail(&member.log));
            member.ended = Some(member.started.elapsed());
            wording::hold(&fs::read_to_string(&member.log).expect("a log"), None);
        }
        self.members.iter().filter(|member| member.ended.is_some()).count()
    }

    /// Waits until at least `count` have ended well. Panics when that takes longer than `patience`.
    pub fn wait_for(&mut self, count: usize, patience: Duration) {
        let start = Instant::now();
        loop {
            let ended = self.ended();
            if ended >= count {
                return;
            }
            if start.elapsed() > patience {
                let late = self.members.iter().find(|member| member.ended.is_none()).expect("somebody");
                let (name, said) = (&late.node.name, tail(&late.log));
                panic!("{ended} of {count} after {patience:?}; {name} says:\n{said}");
            }
            thread::sleep(LOOK);
        }
    }

    /// The nodes' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.node.name.as_str())
    }

    /// How long each took that has ended, shortest first.
    pub fn times(&self) -> Vec<Duration> {
        let mut times: Vec<_> = self.members.iter().filter_map(|member| member.ended).collect();
        times.sort();
        times
    }

    /// The reports of those that wrote one.
    pub fn reports(&self) -> impl Iterator<Item = Value> {
        let texts = self.members.iter().filter_map(|member| fs::read(member.node.report()).ok());
        texts.map(|text| serde_json::from_slice(&text).expect("a report is JSON"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for member in &mut self.members {
            // Both fail only when it has ended.
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
    }
}

/// How many of these moments lie in the fullest stretch of that length.
pub fn densest(moments: &mut [Duration], stretch: Duration) -> usize {
    moments.sort();
    let within = |(index, from): (usize, &Duration)| {
        moments[index..].iter().take_while(|moment| moment.saturating_sub(*from) <= stretch).count()
    };
    moments.iter().enumerate().map(within).max().unwrap_or_default()
}

/// The moments counted by the tenth of a second from `start`, as a line of digits and letters: `.` for none, `#` for more than 35.
pub fn histogram(moments: &[Duration], start: Duration) -> String {
    let tenth = |moment: &Duration| usize::try_from(moment.saturating_sub(start).as_millis() / 100).unwrap();
    let mut counts = vec![0_u32; moments.iter().map(tenth).max().map_or(0, |last| last + 1)];
    for moment in moments {
        counts[tenth(moment)] += 1;
    }
    let mark = |count: u32| if count == 0 { '.' } else { char::from_digit(count, 36).unwrap_or('#') };
    counts.into_iter().map(mark).collect()
}
