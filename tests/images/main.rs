//! Machines that boot with the files of image/ and join a real control plane.
//!
//! `images [--skip WORD] [WORD…]` boots those whose names contain one of the words; without words, all of them, but for
//! such whose names contain the word to skip. Needs root.
//! Everything runs in a network and a mount namespace of its own: machines meet the control plane and nothing else, and
//! nothing stays behind.

#[path = "../kubernetes/harness/mod.rs"]
mod harness;
#[path = "../support/mod.rs"]
mod support;
mod boot_network;
mod control_group;
mod disk;
mod early_boot;
mod extensions;
mod initramfs;
mod installed;
mod machine;
mod nightly;
mod packages;
mod presets;
mod provision;
mod qemu;
mod readme;
mod systemd;
mod units;
mod versions;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use boot_network::BootNetwork;

/// A boot: its name, and what happens. What it returns is printed beside its time. Names of those that take more than
/// about 40 seconds begin with `nightly: `.
type Boot = (&'static str, fn(&BootNetwork) -> String);

/// A boot for each systemd that is booted, oldest first: with the name of its root file system and its version.
macro_rules! each_systemd {
    ($what:literal, $boot:expr) => {{
        const BOOT: fn(&$crate::boot_network::BootNetwork, &str, &str) -> String = $boot;
        const BOOTS: [$crate::Boot; 3] = [
            (concat!("systemd 252: ", $what), |net| BOOT(net, "bookworm", "252")),
            (concat!("systemd 257: ", $what), |net| BOOT(net, "trixie", "257")),
            (concat!("systemd 262: ", $what), |net| BOOT(net, "forky", "262")),
        ];
        BOOTS
    }};
}
pub(crate) use each_systemd;

/// Boots that run at once. A container is quick, and an emulated machine keeps one processor busy.
const AT_ONCE: usize = 2;

fn main() -> ExitCode {
    boot_network::enter();
    let (skipped, words) = words();
    let asked = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let skipped = |name: &str| skipped.as_ref().is_some_and(|word| name.contains(word.as_str()));
    let boots = [
        systemd::BOOTS,
        provision::BOOTS,
        early_boot::BOOTS,
        extensions::BOOTS,
        initramfs::BOOTS,
        nightly::BOOTS,
        &units::boots(),
        &presets::boots(),
        &packages::boots(),
        &installed::boots(),
    ]
    .concat();
    let boots: Vec<Boot> = boots.into_iter().filter(|(name, _)| asked(name) && !skipped(name)).collect();
    if boots.is_empty() {
        eprintln!("no boot has a name like that");
        return ExitCode::FAILURE;
    }
    control_group::sweep();
    let net = BootNetwork::start();
    let (place, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((name, boot)) = boots.get(place.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    match catch_unwind(AssertUnwindSafe(|| boot(&net))) {
                        Ok(told) => {
                            let seconds = start.elapsed().as_secs_f32();
                            println!("ok      | {name} | {} | {seconds:.1} s | {told}", versions::noted());
                        }
                        Err(_) => {
                            let seconds = start.elapsed().as_secs_f32();
                            println!("FAILED  | {name} | {} | {seconds:.1} s", versions::noted());
                            failed.lock().unwrap().push(*name);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("{} boots, {} failed: {failed:?}", boots.len(), failed.len());
    if !failed.is_empty() {
        eprintln!("{}", net.cluster.logs());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The word to skip, and the words to boot.
fn words() -> (Option<String>, Vec<String>) {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let Some(place) = words.iter().position(|word| word == "--skip") else { return (None, words) };
    let skipped = words.drain(place..(place + 2).min(words.len())).next_back();
    (skipped, words)
}
