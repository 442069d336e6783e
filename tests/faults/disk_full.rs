//! Disks that are full or that nobody may write to, wholly or in one place.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::campaign;
use super::disk::{Blank, Kind, attribute};
use super::flows::{FLOWS, Setting};
use super::state::is_temporary;
use crate::support::node::{CA, KUBELET, KUBELET_CONF, PKI};
use crate::support::tmpfs::{Tmpfs, unmount};

/// The flow that writes most, on a disk that has room for less and less of it.
#[test]
fn a_disk_without_room_is_told_and_the_next_run_with_room_heals() {
    let setting = Setting::new(&FLOWS[2]);
    let pages = (1..=14).map(|pages| format!("size={}k", pages * 4));
    let inodes = (2..=20).map(|inodes| format!("nr_inodes={inodes}"));
    let points: Vec<String> = pages.chain(inodes).collect();
    campaign::run("disks without room", &points, String::clone, |options| {
        let machine = setting.machine();
        let Some(disk) = Tmpfs::mount(&machine.node.root(), options) else { return false };
        let run = machine.join().run();
        run.check(matches!(run.code, Some(0 | 10)), "joined, or a full disk");
        if run.code == Some(10) {
            run.says(&["no space left on device"]);
        }
        setting.is_whole(&machine);
        let left = machine.node.files().into_iter().find(|file| is_temporary(file));
        run.check(left.is_none(), "no temporary file is left");
        disk.remount("size=1m,nr_inodes=1000");
        setting.finish(&machine);
        true
    });
}

/// Files and directories that chattr has made immutable, on a machine whose identity is of no use any more.
#[test]
fn what_is_immutable_stays_and_is_told() {
    let blank = Blank::new(Kind::Ext4);
    let setting = Setting::new(&FLOWS[5]);
    let directories = ["etc", "etc/kubernetes", "etc/kubernetes/pki", "var", "var/lib", KUBELET, PKI];
    let points: Vec<&str> = directories.into_iter().chain([CA, KUBELET_CONF]).collect();
    campaign::run("immutable files", &points, ToString::to_string, |path| {
        let machine = setting.bare_machine();
        let _disk = blank.mount(machine.node.beside("disk"), machine.node.root());
        setting.leave(&machine.node);
        let path = machine.node.at(path);
        attribute(&path, "+i");
        let run = machine.join().run();
        run.check(matches!(run.code, Some(0 | 10)), "joined, or an error of files");
        setting.is_whole(&machine);
        attribute(&path, "-i");
        setting.finish(&machine);
        true
    });
}

/// A part of the machine that is mounted read-only, before its files are there and after.
#[test]
fn what_is_read_only_stays_and_is_told() {
    let points: Vec<(usize, &str)> = [0, 2, 3, 5]
        .into_iter()
        .flat_map(|flow| ["etc", "var/lib/kubelet", ""].map(|at| (flow, at)))
        .collect();
    let settings = FLOWS.each_ref().map(Setting::new);
    let name = |(flow, at): &(usize, &str)| format!("/{at}, {}", FLOWS[*flow].name);
    campaign::run("read-only mounts", &points, name, |(flow, at)| {
        let setting = &settings[*flow];
        let machine = setting.machine();
        let at = machine.node.root().join(at);
        if !at.exists() {
            fs::create_dir_all(at.parent().expect("a parent")).expect("directories");
            DirBuilder::new()
                .mode(if at.ends_with(KUBELET) { 0o700 } else { 0o755 })
                .create(&at)
                .expect("one more");
        }
        let bound = Bound::read_only(at.clone());
        let before = machine.state();
        let run = machine.join().run();
        run.expect("files").says(&["read-only file system"]);
        setting.is_whole(&machine);
        if at == machine.node.root() {
            assert_eq!(machine.api.cluster(|cluster| cluster.names().len()), 0, "requests");
            assert_eq!(machine.state().differences(&before), Vec::<String>::new());
        }
        drop(bound);
        setting.finish(&machine);
        true
    });
}

/// A directory mounted over itself.
struct Bound(PathBuf);

impl Bound {
    fn read_only(at: PathBuf) -> Self {
        for options in ["bind", "remount,bind,ro"] {
            let status =
                Command::new("mount").args(["-o", options]).arg(&at).arg(&at).status().expect("mount");
            assert!(status.success(), "mount -o {options} {}", at.display());
        }
        Self(at)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        unmount(&self.0);
    }
}
