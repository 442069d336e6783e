//! `kill -9` at every system call, and a second run that finishes the job.

use std::ffi::OsString;

use super::campaign;
use super::flows::{FLOWS, Setting};
use super::injection::{Calls, Point, inject, record};

#[test]
fn killed_at_any_call_the_next_run_finishes() {
    for (number, flow) in FLOWS.iter().enumerate() {
        let setting = Setting::new(flow);
        let points = points(&setting, |point| number == 0 || point.is_change());
        let suite = format!("kill -9, {}", flow.name);
        campaign::run(&suite, &points, ToString::to_string, |point| kill(&setting, point, &[]));
    }
}

/// A directory or a file that is there for a moment with another mode would stay so.
#[test]
fn killed_under_another_umask_nothing_is_left_with_another_mode() {
    let setting = Setting::new(&FLOWS[0]);
    let points = points(&setting, |point| point.is_change() || point.call == "openat");
    let starter = ["sh", "-c", "umask 077; exec \"$@\"", "sh"];
    campaign::run("kill -9, umask 077", &points, ToString::to_string, |point| {
        kill(&setting, point, &starter)
    });
}

/// All calls of a run, or those of them that touch the node's disk and are wanted in a sample.
fn points(setting: &Setting, in_sample: impl Fn(&Point) -> bool) -> Vec<Point> {
    let machine = setting.machine();
    let paths = machine.paths();
    let calls = if campaign::is_full() { Calls::All } else { Calls::On(&paths) };
    let (points, run) = record(&machine.join(), calls);
    run.check_success();
    points.into_iter().filter(|point| campaign::is_full() || in_sample(point)).collect()
}

fn kill(setting: &Setting, point: &Point, starter: &[&str]) -> bool {
    let machine = setting.machine();
    let paths = machine.paths();
    let calls = if campaign::is_full() { Calls::All } else { Calls::On(&paths) };
    let join = machine.join().through(starter.iter().map(OsString::from));
    let (run, _) = inject(&join, calls, point, "signal=KILL");
    if run.code == Some(0) && campaign::is_full() {
        // How often the network is read or waited for is not the same in every run.
        return false;
    }
    run.check(run.code.is_none(), "killed");
    setting.is_whole(&machine);
    setting.finish(&machine);
    true
}
