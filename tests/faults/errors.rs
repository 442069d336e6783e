//! Every system call that touches the node's disk fails, in each of the ways in which disks do.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::campaign;
use super::flows::{FLOWS, Machine, Setting};
use super::injection::{Calls, Point, inject, record};
use super::state::is_temporary;
use crate::support::join::Join;

/// How calls fail: full, broken, over quota, read-only, not allowed, out of descriptors, interrupted.
const ERRORS: [(&str, i32); 7] = [
    ("ENOSPC", 28),
    ("EIO", 5),
    ("EDQUOT", 122),
    ("EROFS", 30),
    ("EACCES", 13),
    ("EMFILE", 24),
    ("EINTR", 4),
];
/// One of which an error names.
const PLACES: [&str; 5] =
    ["/etc/kubernetes", "/var/lib/kubelet", "the root", "/etc/hostname", "/run/systemd/resolve/resolv.conf"];

#[test]
fn a_call_that_fails_is_told_and_the_next_run_heals() {
    for (number, flow) in FLOWS.iter().enumerate() {
        let setting = Setting::new(flow);
        let points = points(&setting, number == 0);
        let name = |(point, error): &(Point, usize)| format!("{point} {}", ERRORS[*error].0);
        campaign::run(&format!("errors, {}", flow.name), &points, name, |(point, error)| {
            fail(&setting, point, ERRORS[*error])
        });
    }
}

/// All calls, each with another error than the one before; with all errors where everything is tried.
fn points(setting: &Setting, is_first: bool) -> Vec<(Point, usize)> {
    let machine = setting.machine();
    let (points, run) = record(&machine.join(), Calls::On(&machine.paths()));
    run.check_success();
    let each = match (campaign::is_full(), is_first) {
        (true, true) => ERRORS.len(),
        (true, false) => 2,
        (false, _) => 1,
    };
    let points = points.into_iter().filter(|point| campaign::is_full() || is_first || point.is_change());
    let errors = |at: usize| (0..each).map(move |more| (at + more) % ERRORS.len());
    points.enumerate().flat_map(|(at, point)| errors(at).map(move |error| (point.clone(), error))).collect()
}

/// The report is no part of the join: that it cannot be written is a warning. It has a directory of its own here; the one
/// beside the root is walked for the token, too.
#[test]
fn a_report_that_cannot_be_written_is_a_warning() {
    let setting = Setting::new(&FLOWS[0]);
    let machine = setting.machine();
    let (calls, run) = record(&reporting(&machine), Calls::On(&reports(&machine)));
    run.check_success();
    let points: Vec<_> =
        calls.into_iter().flat_map(|call| ERRORS.map(|(error, _)| (call.clone(), error))).collect();
    let name = |(point, error): &(Point, &str)| format!("{point} {error}");
    campaign::run("errors, report", &points, name, |(point, error)| {
        let machine = setting.machine();
        let how = format!("error={error}");
        let (run, _) = inject(&reporting(&machine), Calls::On(&reports(&machine)), point, &how);
        run.expect("joined");
        let is_told = run.stderr.contains("warning: files: the report ");
        run.check(is_told || run.report.is_some(), "a report, or a warning");
        setting.judge(&machine);
        true
    });
}

fn reports(machine: &Machine) -> [PathBuf; 1] {
    let at = machine.node.beside("reports");
    fs::create_dir_all(&at).expect("a directory");
    [at]
}

fn reporting(machine: &Machine) -> Join<'_> {
    machine.join().report(reports(machine)[0].join("report.json"))
}

/// A disk may take less than it is given; the rest comes then, and no byte twice.
#[test]
fn a_short_write_is_carried_on() {
    let setting = Setting::new(&FLOWS[2]);
    let machine = setting.machine();
    let (calls, _) = record(&machine.join(), Calls::On(&machine.paths()));
    let points: Vec<_> = calls.into_iter().filter(|point| point.call == "write").collect();
    campaign::run("short writes", &points, ToString::to_string, |point| {
        let machine = setting.machine();
        let (run, log) = inject(&machine.join(), Calls::On(&machine.paths()), point, "retval=1");
        let mut writes = log.lines().skip_while(|line| !line.ends_with("= 1 (INJECTED)")).map(length);
        let (short, rest) = (writes.next().flatten(), writes.next().flatten());
        run.check(
            short.is_some() && short == rest.map(|rest| rest + 1),
            &format!("{short:?}, then {rest:?}"),
        );

        let machine = setting.machine();
        let (run, _) = inject(&machine.join(), Calls::On(&machine.paths()), point, "retval=0");
        run.expect("files");
        setting.is_whole(&machine);
        setting.finish(&machine);
        true
    });
}

/// NFS and 9p refuse a rename that never overwrites.
#[test]
fn without_a_rename_that_never_overwrites_it_is_linked_and_removed() {
    let setting = Setting::new(&FLOWS[4]);
    for error in ["EINVAL", "ENOSYS"] {
        let machine = setting.machine();
        let inject = format!("inject=renameat2:error={error}");
        let (run, log) = machine.join().traced(["-e", "trace=renameat2,linkat", "-e", &inject]);
        run.expect("joined");
        run.check(log.contains("linkat("), "it was linked");
        setting.is_done(&machine);
        setting.finish(&machine);
    }
    // Nor does a link: what is there by the moment of it stays, and the number behind it is taken.
    let machine = setting.machine();
    let (run, log) = machine.join().traced([
        "-e",
        "trace=renameat2,linkat",
        "-e",
        "inject=renameat2:error=EINVAL",
        "-e",
        "inject=linkat:error=EEXIST:when=1",
    ]);
    run.expect("joined");
    run.check(log.contains(".old-") && log.contains("-2\""), "the next name");
    setting.is_whole(&machine);
}

/// How many bytes a call of `write` was given.
fn length(line: &str) -> Option<usize> {
    line.rsplit_once(") = ")?.0.rsplit_once(", ")?.1.parse().ok()
}

fn fail(setting: &Setting, point: &Point, (error, number): (&str, i32)) -> bool {
    let machine = setting.machine();
    let paths = machine.paths();
    let (run, _) = inject(&machine.join(), Calls::On(&paths), point, &format!("error={error}"));
    setting.is_whole(&machine);
    match run.code {
        Some(10) => {
            // Small letters begin it, and no number is behind it.
            let text = io::Error::from_raw_os_error(number).to_string().to_lowercase();
            let text = text.split(" (os error").next().unwrap_or_default();
            let line = run.stderr.lines().find(|line| line.starts_with("nodestrap: error: "));
            let line = line.unwrap_or_default();
            let is_named = PLACES.iter().any(|at| line.contains(at));
            run.check(is_named && line.to_lowercase().contains(text), "an error that says what and why");
            let is_clear = point.call.starts_with("unlink")
                || !machine.node.files().iter().any(|file| is_temporary(file));
            run.check(is_clear, "no temporary file is left");
        }
        Some(0) => {
            // Of what cannot be removed, the end tells whether it was there.
            let may_fail = point.call == "unlinkat" || error == "EINTR";
            run.check(!point.is_change() || may_fail, "a change that failed is an error");
            setting.judge(&machine);
        }
        _ => run.check(false, "an error of files, or success"),
    }
    setting.finish(&machine);
    true
}
