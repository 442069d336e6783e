//! The exchange for a certificate, step by step: what each answer leads to, and when, by a clock that goes on by waiting
//! only.

use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use nodestrap::clock::Deadline;
use nodestrap::csr::{CertificateRequest, Exchange, Verdict, Wait, Wanted};
use nodestrap::error::{Error, ErrorKind, Result};
use nodestrap::http::Bearer;
use nodestrap::log::Log;
use nodestrap::report::Report;
use nodestrap::sd_notify::Notify;
use nodestrap::trust::{self, Pins};

use crate::answers::{answers, bookmark, chunked, denied, event, issued, json, list, object, status};
use crate::targets::{fixtures, transport};

/// How long each may take: longer than one watch.
const TIME: Duration = Duration::from_mins(6);

/// How an exchange went.
struct Played {
    outcome: Result<Verdict>,
    /// POST, LIST, or WATCH with the version that it goes on from.
    steps: Vec<String>,
    /// When each came.
    moments: Vec<Duration>,
    /// What the watches were asked to last, in seconds.
    seconds: Vec<u64>,
    /// Its own pauses, in milliseconds.
    pauses: Vec<u128>,
    waits: Vec<Wait>,
    /// The lines for people.
    said: Vec<String>,
}

impl Played {
    /// Asserts that it ended with the certificate, after these requests.
    fn is_issued_after(&self, steps: &[&str]) {
        assert!(matches!(self.outcome, Ok(Verdict::Issued(_))), "{steps:?}: {:?}", self.outcome);
        assert_eq!(self.steps, steps);
    }

    fn kind(&self) -> Option<ErrorKind> {
        self.outcome.as_ref().err().map(Error::kind)
    }

    /// How often it said something with this in it.
    fn times_said(&self, text: &str) -> usize {
        self.said.iter().filter(|line| line.contains(text)).count()
    }
}

/// Plays an exchange that waits, against these answers.
fn play(list: &[Vec<u8>]) -> Played {
    play_as(list, true)
}

fn play_as(list: &[Vec<u8>], waits_for_others: bool) -> Played {
    let (system, other) = transport::server(&answers(list));
    let clock = &*system.clock;
    let cluster =
        trust::given(&system, &fixtures::cluster(), &Pins::None, None, fixtures::now()).expect("a cluster");
    let request = CertificateRequest::new(&fixtures::key(), &Wanted::client(&fixtures::node()));
    let request = request.expect("a request");
    let bearer = Bearer::new(fixtures::token().whole()).expect("a header");
    let exchange = Exchange::new(cluster.api(), Some(&bearer), &request, clock, Deadline::after(clock, TIME));
    let (mut report, manager, mut waits) = (Report::new(), Manager::start(), Vec::new());
    let log = Log::new(Notify::to(Some(manager.name.clone().into())));
    let exchange = if waits_for_others { exchange } else { exchange.looking_once() };
    let outcome = exchange.run(&log, &mut report, &mut |wait| {
        waits.push(wait);
        Ok(())
    });
    let (moments, texts): (Vec<_>, Vec<_>) = other.timed_requests().into_iter().unzip();
    let seconds = texts.iter().filter_map(|text| query(text, "timeoutSeconds")?.parse().ok()).collect();
    let steps = texts.iter().map(|text| step(text)).collect();
    // The middle of a span is a microsecond short of its half.
    let pauses = other.pauses().iter().map(|pause| (pause.as_micros() + 1) / 1000).collect();
    Played { outcome, steps, moments, seconds, pauses, waits, said: manager.heard() }
}

fn step(request: &str) -> String {
    match query(request, "resourceVersion") {
        Some(version) => format!("WATCH {version}"),
        None if request.starts_with("POST ") => "POST".to_owned(),
        None => "LIST".to_owned(),
    }
}

fn query<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = request.lines().next()?.split(' ').nth(1)?.split_once('?')?;
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// A service manager, which is told the lines for people.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    fn start() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("nodestrap-exchange-{}-{number}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("an address");
        let socket = UnixDatagram::bind_addr(&address).expect("a socket");
        socket.set_nonblocking(true).expect("it waits for nothing");
        Self { socket, name: format!("@{name}") }
    }

    fn heard(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        std::iter::from_fn(|| {
            self.socket.recv(&mut buffer).ok().map(|n| String::from_utf8_lossy(&buffer[..n]).into())
        })
        .collect()
    }
}

fn pending(version: u32) -> Vec<u8> {
    json(&object(version, &json!({})))
}

fn there_already() -> Vec<u8> {
    status(409, "", "{}")
}

/// A watch with these events, left open.
fn open(events: &[(&str, Value)]) -> Vec<u8> {
    chunked(&events.iter().map(|(kind, object)| event(kind, object)).collect::<Vec<_>>())
}

/// The end of one that is open.
const END: &[u8] = b"0\r\n\r\n";

/// Nothing for so many ticks of the watch, and what comes then.
fn after(ticks: usize, rest: &[u8]) -> Vec<u8> {
    [[0xff, 2].repeat(ticks), rest.to_vec()].concat()
}

/// A changed object.
fn with(mut object: Value, pointer: &str, value: &str) -> Value {
    *object.pointer_mut(pointer).expect("a field") = json!(value);
    object
}

#[test]
fn what_is_issued_is_taken_at_each_step() {
    let signed = |version| object(version, &issued());
    let other = with(object(3, &denied()), "/metadata/name", "other");
    for (script, steps) in [
        (vec![json(&signed(2))], &["POST"][..]),
        (vec![pending(2), open(&[("MODIFIED", signed(3))])], &["POST", "WATCH 2"]),
        (vec![there_already(), list(9, &[signed(3)])], &["POST", "LIST"]),
        (vec![there_already(), list(9, &[other.clone(), signed(4)])], &["POST", "LIST"]),
        (vec![pending(2), open(&[("MODIFIED", other), ("MODIFIED", signed(4))])], &["POST", "WATCH 2"]),
        (
            vec![there_already(), list(9, &[object(3, &Value::Null)]), open(&[("MODIFIED", signed(10))])],
            &["POST", "LIST", "WATCH 9"],
        ),
    ] {
        let played = play(&script);
        played.is_issued_after(steps);
        assert_eq!(played.pauses, [0; 0], "{steps:?}");
    }
}

#[test]
fn what_comes_between_leads_to_the_list() {
    let signed = |version| object(version, &issued());
    let gone = json!({"code": 410, "message": "too old", "reason": "Expired"});
    for (watch, begins) in [
        (status(410, "", "{}"), false),
        (open(&[("ERROR", gone)]), true),
        (open(&[("DELETED", object(3, &json!({})))]), true),
        (open(&[("DELETED", signed(3))]), true),
        (open(&[("MODIFIED", with(signed(3), "/metadata/uid", "u-2"))]), true),
    ] {
        let played = play(&[pending(2), watch, list(9, &[signed(8)])]);
        played.is_issued_after(&["POST", "WATCH 2", "LIST"]);
        assert_eq!((played.pauses.as_slice(), played.times_said("reconnecting")), (&[125][..], 1));
        assert_eq!(played.waits, if begins { &[Wait::Begins, Wait::Lasts][..] } else { &[Wait::Lasts] });
    }
    let played = play(&[there_already(), list(9, &[]), pending(2), open(&[("MODIFIED", signed(3))])]);
    played.is_issued_after(&["POST", "LIST", "POST", "WATCH 2"]);
}

#[test]
fn what_a_server_refuses_for_now_is_asked_for_again() {
    let busy = || status(503, "", "{}");
    let signed = || object(9, &issued());
    for (script, steps) in [
        (vec![busy(), json(&signed())], &["POST", "POST"][..]),
        (vec![b"{}".to_vec(), json(&signed())], &["POST", "POST"]),
        (vec![there_already(), busy(), list(9, &[signed()])], &["POST", "LIST", "LIST"]),
        (vec![pending(2), busy(), open(&[("MODIFIED", signed())])], &["POST", "WATCH 2", "WATCH 2"]),
    ] {
        let played = play(&script);
        played.is_issued_after(steps);
        assert_eq!(played.pauses, [125], "{steps:?}");
    }
}

#[test]
fn a_verdict_is_on_this_attempt_or_on_an_earlier_one() {
    let watched = || open(&[("MODIFIED", object(10, &denied()))]);
    for (name, script, is_earlier) in [
        ("ours", vec![pending(2), watched()], false),
        ("there before, decided", vec![there_already(), list(9, &[object(3, &denied())])], true),
        (
            "there before, undecided",
            vec![there_already(), list(9, &[object(3, &json!({}))]), watched()],
            false,
        ),
    ] {
        let Ok(Verdict::Spent { earlier, error }) = play(&script).outcome else {
            panic!("{name}: a verdict")
        };
        assert_eq!((earlier, error.kind()), (is_earlier, ErrorKind::Denied), "{name}");
    }
}

#[test]
fn one_that_looks_once_waits_for_nobody() {
    for script in [vec![pending(2)], vec![there_already(), list(9, &[object(3, &json!({}))])]] {
        let played = play_as(&script, false);
        assert_eq!(played.kind(), Some(ErrorKind::Pending));
        assert_eq!((played.steps.len(), played.pauses.len()), (script.len(), 0));
    }
    play_as(&[json(&object(2, &issued()))], false).is_issued_after(&["POST"]);
}

#[test]
fn a_refused_token_is_tried_for_ten_seconds_since_it_was_taken_last() {
    let refused = || status(401, "", "{}");
    for (script, before) in
        [(vec![refused(); 40], 0), ([vec![refused(); 5], vec![pending(2)], vec![refused(); 40]].concat(), 5)]
    {
        let played = play(&script);
        assert_eq!(played.kind(), Some(ErrorKind::Refused));
        let spent: u128 = played.pauses[before..].iter().sum();
        assert!((9_000..10_000).contains(&spent), "{before}: {:?}", played.pauses);
    }
}

#[test]
fn a_watch_is_asked_to_last_as_long_as_there_is_time() {
    let played = play(&[pending(2), open(&[]), open(&[]), open(&[]), open(&[])]);
    assert_eq!(played.kind(), Some(ErrorKind::Pending));
    let left = played.moments[1..].iter().map(|moment| TIME.saturating_sub(*moment).as_secs());
    assert_eq!(played.seconds, left.map(|left| left.min(300) + 1).collect::<Vec<_>>());
    assert_eq!((played.seconds[0], played.seconds.len()), (301, 4));
}

#[test]
fn a_silent_watch_is_opened_again_from_the_last_version() {
    let signed = || open(&[("MODIFIED", object(20, &issued()))]);
    // A tick of a watch is two seconds, less what the machine takes for it.
    let seconds = |range: RangeInclusive<u64>, moment: Duration| range.contains(&moment.as_secs());
    let played = play(&[pending(2), open(&[]), signed()]);
    played.is_issued_after(&["POST", "WATCH 2", "WATCH 2"]);
    assert!(seconds(90..=92, played.moments[2]), "{:?}", played.moments);
    let ticks = played.waits.iter().filter(|wait| **wait == Wait::Lasts).count();
    assert!(ticks >= 45 && played.waits.len() == ticks + 2, "{:?}", played.waits);
    assert_eq!(played.pauses, [0; 0], "it has waited for long enough");
    assert_eq!(played.times_said("kubectl certificate approve"), 1, "{:?}", played.said);

    // A bookmark after nearly a minute.
    let mark = event("BOOKMARK", &bookmark(12));
    let mark = format!("{:x}\r\n{mark}\r\n", mark.len());
    let played = play(&[pending(2), [open(&[]), after(29, mark.as_bytes())].concat(), signed()]);
    played.is_issued_after(&["POST", "WATCH 2", "WATCH 12"]);
    assert!(seconds(120..=150, played.moments[2]), "{:?}", played.moments);
}

#[test]
fn pauses_grow_behind_watches_that_end_soon_and_begin_anew_behind_one_that_lasted() {
    let signed = || open(&[("MODIFIED", object(20, &issued()))]);
    for (ticks, pauses) in [(0, [125, 250, 500]), (2, [125, 250, 500]), (5, [125, 125, 125])] {
        let watch = || [open(&[]), after(ticks, END)].concat();
        let played = play(&[pending(2), watch(), watch(), watch(), signed()]);
        played.is_issued_after(&["POST", "WATCH 2", "WATCH 2", "WATCH 2", "WATCH 2"]);
        assert_eq!(played.pauses, pauses, "{ticks}");
    }
}
