//! The exchange for a certificate, step by step: what each answer leads to, and when, by a clock that goes on by waiting
//! only.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value, json};

use nodestrap::testing::clock::Deadline;
use nodestrap::testing::csr::{CertificateRequest, CertificateTemplate, Exchange, Progress};
use nodestrap::testing::error::ErrorKind;
use nodestrap::testing::http::Bearer;
use nodestrap::testing::limits;

use crate::answers::{answers, bookmark, chunked, denied, event, issued, json, list, object, status};
use crate::targets::{fixtures, transport};

/// How long each may take: longer than one watch.
const TIME: Duration = Duration::from_mins(6);

/// How an exchange went.
struct Played {
    /// How it ended.
    end: Progress,
    /// What it came to before that.
    progress: Vec<Progress>,
    /// POST, LIST, or WATCH with the version that it goes on from.
    steps: Vec<String>,
    /// When each came.
    moments: Vec<Duration>,
    /// What the watches were asked to last, in seconds.
    seconds: Vec<u64>,
    /// Its own pauses, in milliseconds.
    pauses: Vec<u128>,
}

impl Played {
    /// Asserts that it ended with the certificate, after these requests.
    fn is_issued_after(&self, steps: &[&str]) {
        assert!(matches!(self.end, Progress::Issued(_)), "{steps:?}: {:?}", self.end);
        assert_eq!(self.steps, steps);
    }

    fn kind(&self) -> Option<ErrorKind> {
        match &self.end {
            Progress::Failed { error, .. } => Some(error.kind()),
            _ => None,
        }
    }

    /// How often it came to this.
    fn count(&self, is_it: impl Fn(&Progress) -> bool) -> usize {
        self.progress.iter().filter(|progress| is_it(progress)).count()
    }

    /// Which of its attempts to go on had news, and whether the API server had the request then.
    fn retries(&self) -> Vec<(bool, bool)> {
        let retry = |progress: &Progress| match progress {
            Progress::Retry { news, is_submitted, .. } => Some((news.is_some(), *is_submitted)),
            _ => None,
        };
        self.progress.iter().filter_map(retry).collect()
    }
}

fn is_watching(progress: &Progress) -> bool {
    matches!(progress, Progress::Watching)
}

/// Plays an exchange that waits, against these answers.
fn play(list: &[Vec<u8>]) -> Played {
    play_as(list, true)
}

fn play_as(list: &[Vec<u8>], waits_for_others: bool) -> Played {
    let (system, other) = transport::server(&answers(list));
    let clock = &*system.clock;
    let cluster = fixtures::cluster(&system);
    let request = CertificateRequest::new(&fixtures::key(), &CertificateTemplate::client(&fixtures::node()));
    let request = request.expect("a request");
    let bearer = Bearer::new(fixtures::token().as_bearer()).expect("a header");
    let exchange = Exchange::new(cluster.api(), Some(&bearer), &request, clock, Deadline::after(clock, TIME));
    let mut exchange = if waits_for_others { exchange } else { exchange.no_wait() };
    let mut progress = Vec::new();
    let end = loop {
        let (before, pauses) = (clock.elapsed(), other.pauses().len());
        match exchange.advance() {
            end @ (Progress::Issued(_) | Progress::Unusable { .. } | Progress::Failed { .. }) => break end,
            next => progress.push(next),
        }
        assert_eq!(other.pauses().len(), pauses, "it sleeps by itself");
        let spent = clock.elapsed().saturating_sub(before);
        assert!(spent <= limits::REQUEST, "one poll takes {spent:?}");
        if let Some(Progress::Retry { delay, .. }) = progress.last() {
            clock.sleep(*delay);
        }
    };
    let (moments, texts): (Vec<_>, Vec<_>) = other.timed_requests().into_iter().unzip();
    let seconds = texts.iter().filter_map(|text| query(text, "timeoutSeconds")?.parse().ok()).collect();
    let steps = texts.iter().map(|text| step(text)).collect();
    // The middle of a span is a microsecond short of its half.
    let pauses = other.pauses().iter().map(|pause| (pause.as_micros() + 1) / 1000).collect();
    Played { end, progress, steps, moments, seconds, pauses }
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
    // Whether the watch begins, and whether the API server still has the request then.
    for (watch, begins, is_submitted) in [
        (status(410, "", "{}"), false, true),
        (open(&[("ERROR", gone)]), true, true),
        (open(&[("DELETED", object(3, &json!({})))]), true, false),
        (open(&[("DELETED", signed(3))]), true, false),
        (open(&[("MODIFIED", with(signed(3), "/metadata/uid", "u-2"))]), true, true),
    ] {
        let played = play(&[pending(2), watch, list(9, &[signed(8)])]);
        played.is_issued_after(&["POST", "WATCH 2", "LIST"]);
        assert_eq!((played.pauses.as_slice(), played.retries()), (&[125][..], vec![(true, is_submitted)]));
        assert_eq!(played.count(is_watching), usize::from(begins));
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
fn a_decision_is_on_this_attempt_or_on_an_earlier_one() {
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
        let played = play(&script);
        let Progress::Unusable { is_earlier: was, error } = played.end else { panic!("{name}: a decision") };
        assert_eq!((was, error.kind()), (is_earlier, ErrorKind::Denied), "{name}");
    }
}

#[test]
fn one_that_does_not_wait_checks_once() {
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
    let still_pending = |first| move |progress: &Progress| matches!(progress, Progress::StillPending { is_first } if first == *is_first);
    assert_eq!((played.count(still_pending(true)), played.count(is_watching)), (1, 2));
    assert!(played.count(still_pending(false)) >= 44, "{:?}", played.progress);
    assert_eq!(played.pauses, [0; 0], "it has waited for long enough");

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
