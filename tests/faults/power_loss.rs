//! The power goes at every system call that changes the disk, and a second run finishes the job: what was said to be done
//! is there, and what is there is whole.

use super::campaign;
use super::disk::{Blank, Kind};
use super::flows::{FLOWS, Flow, Setting};
use super::injection::{Calls, Point, inject, record};

#[test]
fn cut_off_at_any_write_the_next_run_finishes_on_ext4() {
    cut_off(Kind::Ext4);
}

#[test]
fn cut_off_at_any_write_the_next_run_finishes_on_xfs() {
    cut_off(Kind::Xfs);
}

fn cut_off(kind: Kind) {
    let blank = Blank::new(kind);
    let flows: &[Flow] = if campaign::is_full() { &FLOWS } else { &FLOWS[..2] };
    for flow in flows {
        let setting = Setting::new(flow);
        let points = points(&setting);
        for (when, is_at_once) in [("there", true), ("after the next run", false)] {
            let suite = format!("power cut {when} on {kind:?}, {}", flow.name);
            campaign::run(&suite, &points, ToString::to_string, |point| {
                cut(&setting, &blank, point, is_at_once)
            });
        }
    }
}

/// The calls that change a disk. Between them the power leaves the same.
fn points(setting: &Setting) -> Vec<Point> {
    let machine = setting.machine();
    let (points, run) = record(&machine.join(), Calls::On(&machine.paths()));
    run.check_success();
    points.into_iter().filter(Point::is_change).collect()
}

/// The run ends on entering the call, by a power cut or otherwise, and the power goes when the next run has said that
/// all is done. All of it is there then; what the first run has removed may be back, and goes again.
fn cut(setting: &Setting, blank: &Blank, point: &Point, is_at_once: bool) -> bool {
    let machine = setting.bare_machine();
    let disk = blank.mount(machine.node.beside("disk"), machine.node.root());
    setting.leave(&machine.node);
    disk.sync();
    let paths = machine.paths();
    let (run, _) = inject(&machine.join(), Calls::On(&paths), point, "signal=KILL");
    run.check(run.code.is_none(), "killed");
    if is_at_once {
        disk.cut();
        setting.is_whole(&machine);
    }
    setting.finish(&machine);
    disk.cut();
    setting.is_done(&machine);
    setting.finish(&machine);
    true
}
