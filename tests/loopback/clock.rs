//! A clock that is wrong, one that is set while the program waits, and waits of hours: the join as the library has it,
//! with a clock that moves when the program sleeps and when a test says so.

use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nodestrap::testing::cli::{Invocation, SettingSources};
use nodestrap::testing::clock::Clock;
use nodestrap::testing::config::Command;
use nodestrap::testing::error::{ErrorKind, Result};
use nodestrap::testing::http::{NameSources, Proxies, System, SystemNetwork, Traffic};
use nodestrap::testing::join::join;
use nodestrap::testing::log::Log;
use nodestrap::testing::report::{Report, Success};

use crate::support::api::{Api, Piece, Reply, Route, Setup};
use crate::support::golden;
use crate::support::node::Node;
use crate::support::pki::{Authority, DAY, valid};

/// How long discovery may take.
const WAIT: &str = "--discovery-timeout 40s";
/// When the clock is set.
const SET: Duration = Duration::from_secs(20);
/// Far more real time than any of these joins needs, on any machine.
const LIMIT: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// The wall time is set when its running time has come; that moves only by sleep and when it is told to.
#[derive(Debug)]
struct TestClock {
    /// When, in running time, and to what begin of that.
    set: Vec<(Duration, SystemTime)>,
    elapsed: Mutex<Duration>,
}

impl TestClock {
    /// Says `wrong` until it is set, and `right` from then on.
    fn new(wrong: SystemTime, right: SystemTime, set_at: Duration) -> Arc<Self> {
        Self::of(&[(Duration::ZERO, wrong), (set_at, right)])
    }

    fn of(set: &[(Duration, SystemTime)]) -> Arc<Self> {
        Arc::new(Self { set: set.to_vec(), elapsed: Mutex::default() })
    }

    /// Time passes.
    fn pass(&self, time: Duration) {
        *self.elapsed.lock().expect("elapsed") += time;
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        let elapsed = self.elapsed();
        let set = self.set.iter().rfind(|(at, _)| *at <= elapsed);
        set.expect("a time from the start").1 + elapsed
    }

    fn elapsed(&self) -> Duration {
        *self.elapsed.lock().expect("elapsed")
    }

    fn sleep(&self, time: Duration) {
        self.pass(time);
    }

    fn random(&self) -> u32 {
        u32::MAX
    }
}

/// A join under this clock.
fn join_under(clock: &Arc<TestClock>, node: &Node, api: &Api, flags: &str) -> Result<Success> {
    let mut invocation = Invocation::default();
    invocation.read(node.join(api).with_cert().args(flags).words(), &SettingSources::default())?;
    let Command::Join(wanted) = Command::of(&invocation)? else { panic!("a join") };
    let system = System {
        clock: clock.clone(),
        network: Arc::new(SystemNetwork::new(clock.clone(), NameSources::of_system())),
        proxies: Arc::new(Proxies::from_environment(|_| None)),
        traffic: Arc::new(Traffic::default()),
    };
    let golden = golden::Run::with(&node.root().display().to_string());
    let (done, outcome) = mpsc::channel();
    thread::spawn(move || done.send(join(&wanted, &system, &Log::new(None), &mut Report::new())));
    // Its deadlines are this clock's, which may not move.
    let outcome = outcome.recv_timeout(LIMIT).expect("the join ends");
    if let Some(golden) = golden {
        let code = outcome.as_ref().map_or_else(|error| error.kind().exit_code(), |_| 0);
        let error = outcome.as_ref().err().map(|error| format!("error: {}", error.chain()[0]));
        golden.end(Some(code.into()), &error.unwrap_or_default(), None);
    }
    outcome
}

/// A cluster, and a wrong and a right time for it.
struct Case {
    name: &'static str,
    api: Api,
    wrong: SystemTime,
    right: SystemTime,
    /// Whether discovery is worth a request under the wrong time.
    asks: bool,
}

fn cases() -> Vec<Case> {
    let now = SystemTime::now();
    let days = |days: u64| Duration::from_hours(24 * days);
    let of_tomorrow = Authority::with("kubernetes", |params| valid(params, DAY, 3650 * DAY));
    let api = Api::with(Setup { authority: Arc::new(of_tomorrow), ..Setup::default() });
    // The issued certificate has to be in time as well.
    let signer = Arc::clone(&api.authority);
    api.cluster(|cluster| {
        cluster.signer = Box::new(move |request| {
            signer.sign_with(request, |request| valid(&mut request.params, DAY, 9 * DAY))
        });
    });
    vec![
        Case { name: "no battery: 1970", api: Api::start(), wrong: UNIX_EPOCH, right: now, asks: false },
        Case { name: "before the CA", api, wrong: now, right: now + days(2), asks: true },
        Case { name: "after the CA", api: Api::start(), wrong: now + days(20 * 365), right: now, asks: true },
    ]
}

/// No credential is sent and nothing is written while the clock cannot be right; before the program's own making no
/// request is made at all.
#[test]
fn a_wrong_clock_ends_the_join_at_the_deadline() {
    crate::support::all(
        &cases(),
        |case| case.name.to_owned(),
        |case| {
            let node = Node::new();
            let clock = TestClock::new(case.wrong, case.wrong, Duration::ZERO);
            let error = join_under(&clock, &node, &case.api, WAIT).expect_err("the clock is wrong");
            assert_eq!(error.kind(), ErrorKind::Clock, "{error:?}");
            assert!(clock.elapsed() > SET / 2 * 3, "it may heal, so it is waited for");
            assert_eq!(case.api.requests().is_empty(), !case.asks);
            node.is_untouched_by(&case.api);
        },
    );
}

/// The clock's reading changes from attempt to attempt, what it says does not.
#[test]
fn a_wrong_clock_is_told_once_while_it_goes_on() {
    let of_tomorrow = Authority::with("kubernetes", |params| valid(params, DAY, 3650 * DAY));
    let api = Api::with(Setup { authority: Arc::new(of_tomorrow), ..Setup::default() });
    let run = Node::new().join(&api).args("--discovery-timeout 5s").run();
    run.expect("clock");
    assert!(api.count(Route::Discovery) > 2, "over several seconds");
    run.check(run.stderr.matches("retrying").count() == 1, "told once");
}

/// As NTP sets it when the network is up.
#[test]
fn a_clock_that_is_set_while_it_waits_lets_the_join_through() {
    crate::support::all(
        &cases(),
        |case| case.name.to_owned(),
        |case| {
            let node = Node::new();
            let clock = TestClock::new(case.wrong, case.right, SET);
            let success = join_under(&clock, &node, &case.api, WAIT);
            assert!(matches!(success, Ok(Success::Joined)), "{success:?}");
            assert!(clock.elapsed() >= SET);
            assert_eq!(case.api.count(Route::Discovery) == 1, !case.asks);
            assert_eq!(case.api.credentials_seen(), 2, "POST and WATCH");
        },
    );
}

/// The answer is judged by the clock as it is when it comes. One from before the program's own making was not noticed
/// once when the question had been asked under another, and the token was sent.
#[test]
fn a_clock_that_goes_back_before_the_answer_holds_the_join_up_until_it_is_right() {
    let now = SystemTime::now();
    let old = Authority::with("kubernetes", |params| valid(params, -3650 * DAY, 3650 * DAY));
    let identity = Some(old.server_with(&["localhost"], |params| valid(params, -3650 * DAY, 3650 * DAY)));
    let of_old = Api::with(Setup { authority: Arc::new(old), identity, ..Setup::default() });
    for (name, api, back) in [
        ("before the program and the CA", Api::start(), now - 24 * 365 * HOUR),
        ("before the program", of_old, now - 24 * 365 * HOUR),
    ] {
        let node = Node::new();
        let second = Duration::from_secs(1);
        let clock = TestClock::of(&[(Duration::ZERO, now), (second, back), (SET, now)]);
        let (passing, sent) = (Arc::clone(&clock), Arc::new(Mutex::new(Vec::new())));
        api.on(Route::Discovery, move |number, _, _| {
            passing.pass(if number == 0 { second } else { Duration::ZERO });
            None
        });
        let (passing, telling) = (Arc::clone(&clock), Arc::clone(&sent));
        api.on(Route::Create, move |_, _, _| {
            telling.lock().expect("moments").push(passing.elapsed());
            None
        });
        let success = join_under(&clock, &node, &api, WAIT);
        assert!(matches!(success, Ok(Success::Joined)), "{name}: {success:?}");
        let sent = sent.lock().expect("moments").clone();
        assert!(matches!(sent[..], [at] if at >= SET), "{name}: the token was sent after {sent:?}");
        assert_eq!(api.count(Route::Discovery), 2, "{name}: nobody is asked under a wrong clock");
    }
}

/// Each watch ends after the five minutes that it was asked for. One request is filed, and looked at no more often
/// than that.
#[test]
fn approval_is_waited_for_as_long_as_it_takes() {
    let now = SystemTime::now();
    for (approved_after, joined) in [(5 * HOUR, true), (9 * HOUR, false)] {
        let (api, node) = (Api::manual(), Node::new());
        let clock = TestClock::new(now, now, Duration::ZERO);
        let passing = Arc::clone(&clock);
        api.on(Route::Watch, move |_, request, cluster| {
            if passing.elapsed() > approved_after {
                cluster.grant();
                return None;
            }
            let asked = request.query("timeoutSeconds").and_then(|text| text.parse().ok());
            passing.pass(Duration::from_secs(asked.expect("a number of seconds")));
            Some(Reply::chunked(Vec::new()))
        });
        let outcome = join_under(&clock, &node, &api, "--tls-bootstrap-timeout 6h");
        match outcome {
            Ok(success) => assert!(joined && matches!(success, Success::Joined)),
            Err(error) => assert_eq!((joined, error.kind()), (false, ErrorKind::Pending), "{error:?}"),
        }
        let (hours, watches) = (if joined { 5 } else { 6 }, api.count(Route::Watch));
        assert_eq!(api.count(Route::Create), 1);
        assert!((hours * 11..=hours * 12 + 1).contains(&watches), "{watches} watches in {hours} hours");
    }
}

/// A server that ends each watch at once is asked less and less often; one that lets it last is not.
#[test]
fn pauses_begin_anew_behind_a_watch_that_lasted() {
    let now = SystemTime::now();
    for (lasts, pauses) in [(0, 250 + 500 + 1000), (4_999, 250 + 500 + 1000), (5_000, 3 * 250)] {
        let (api, node) = (Api::manual(), Node::new());
        let clock = TestClock::new(now, now, Duration::ZERO);
        let passing = Arc::clone(&clock);
        api.on(Route::Watch, move |number, _, cluster| {
            if number == 3 {
                cluster.grant();
                return None;
            }
            passing.pass(Duration::from_millis(lasts));
            Some(Reply::chunked(Vec::new()))
        });
        let success = join_under(&clock, &node, &api, "");
        assert!(matches!(success, Ok(Success::Joined)), "{success:?}");
        assert_eq!(clock.elapsed(), Duration::from_millis(3 * lasts + pauses), "{lasts}");
    }
}

/// A connection that died without a word is noticed by its silence, for which bookmarks come too often.
#[test]
fn a_watch_that_stays_silent_is_opened_again() {
    let now = SystemTime::now();
    let (api, node) = (Api::manual(), Node::new());
    let clock = TestClock::new(now, now, Duration::ZERO);
    let (passing, begun) = (Arc::clone(&clock), Arc::new(Mutex::new(Vec::new())));
    let telling = Arc::clone(&begun);
    api.on(Route::Watch, move |number, _, cluster| {
        telling.lock().expect("moments").push(passing.elapsed());
        if number == 0 {
            return Some(Reply::chunked(vec![Piece::Hold]));
        }
        cluster.grant();
        None
    });
    let success = thread::scope(|scope| {
        let join = scope.spawn(|| join_under(&clock, &node, &api, "--tls-bootstrap-timeout 6h"));
        while !join.is_finished() {
            if api.count(Route::Watch) == 1 {
                clock.pass(Duration::from_secs(10));
            }
            thread::sleep(Duration::from_millis(50));
        }
        join.join().expect("no panic")
    });
    assert!(matches!(success, Ok(Success::Joined)), "{success:?}");
    let [first, second] = begun.lock().expect("moments")[..] else { panic!("two watches") };
    assert!(second >= first + Duration::from_secs(90), "{first:?}, {second:?}");
    assert_eq!((api.count(Route::Create), api.count(Route::List), api.connections().len()), (1, 0, 2));
}

/// The wall time steps while approval is waited for: deadlines do not feel it, the request stays the one. Back before
/// the certificate's time it is taken once its time has come again.
#[test]
fn a_clock_that_steps_during_the_wait_changes_nothing() {
    let now = SystemTime::now();
    for stepped in [now + HOUR, now - Duration::from_mins(20), now + 24 * 30 * HOUR] {
        let (api, node) = (Api::manual(), Node::new());
        let clock = TestClock::new(now, stepped, Duration::from_mins(7));
        let passing = Arc::clone(&clock);
        api.on(Route::Watch, move |count, _, cluster| {
            if count > 1 {
                cluster.grant();
                return None;
            }
            passing.pass(Duration::from_mins(5));
            Some(Reply::chunked(Vec::new()))
        });
        let success = join_under(&clock, &node, &api, "--tls-bootstrap-timeout 3h");
        assert!(matches!(success, Ok(Success::Joined)), "{success:?}");
        assert_eq!((api.count(Route::Create), api.count(Route::Discovery)), (1, 1));
        assert_eq!(clock.elapsed() > Duration::from_mins(14), stepped < now, "{:?}", clock.elapsed());
    }
}

/// The clock draws the most each time.
#[test]
fn a_splay_puts_the_first_request_off_and_leaves_half_of_the_time() {
    let now = SystemTime::now();
    for (flags, seconds) in [
        ("", 0),
        ("--splay 0s", 0),
        ("--splay 30s", 30),
        ("--splay 20m --discovery-timeout 30s", 1200),
        ("--splay 10m --timeout 1m", 30),
        ("--splay 10s --timeout 1m", 10),
    ] {
        let (api, node) = (Api::start(), Node::new());
        let clock = TestClock::new(now, now, Duration::ZERO);
        let asked = Arc::new(Mutex::new(None));
        let (telling, passing) = (Arc::clone(&asked), Arc::clone(&clock));
        api.on(Route::Discovery, move |_, _, _| {
            telling.lock().expect("asked").get_or_insert(passing.elapsed());
            None
        });
        let success = join_under(&clock, &node, &api, flags);
        assert!(matches!(success, Ok(Success::Joined)), "{flags}: {success:?}");
        assert_eq!(*asked.lock().expect("asked"), Some(Duration::from_secs(seconds)), "{flags}");

        let before = clock.elapsed();
        let success = join_under(&clock, &node, &api, flags);
        assert!(matches!(success, Ok(Success::AlreadyJoined)), "{flags}: {success:?}");
        assert_eq!(clock.elapsed(), before, "{flags}: a joined node does not wait");
    }
}

/// What the shipped program draws differs from run to run.
#[test]
fn a_splay_is_random_and_told() {
    let most = 400;
    let api = Api::start();
    let mut drawn: Vec<u64> = (0..6)
        .map(|_| {
            let run = Node::new().join(&api).with_cert().args(&format!("--splay {most}ms")).run();
            run.expect("joined").says(&["splay: waiting "]);
            let milliseconds =
                run.stderr.split("splay: waiting ").nth(1).and_then(|rest| rest.split(' ').next());
            let milliseconds = milliseconds.and_then(|text| text.parse().ok()).expect("a number");
            run.check(run.report()["milliseconds"]["splay"].as_u64() >= Some(milliseconds), "in the report");
            milliseconds
        })
        .collect();
    drawn.sort_unstable();
    assert!(drawn[5] <= most && drawn[0] < drawn[5], "{drawn:?}");
}
