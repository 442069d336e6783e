//! The program: the process's arguments, environment, clock and network come in here and are passed on; one command
//! runs; one report and one exit code go out.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::cli::{Invocation, SettingSources, help};
use crate::clock::SystemClock;
use crate::commands;
use crate::config::Command;
use crate::disk;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::http::{NameSources, Proxies, System, SystemNetwork, Traffic};
use crate::join::join;
use crate::log::Log;
use crate::report::Report;
use crate::sd_notify::Notify;

const VERSION: &str = concat!("nodestrap ", env!("CARGO_PKG_VERSION"), " (", env!("NODESTRAP_COMMIT"), ")\n");

/// Runs the program with the arguments and the environment of this process: one command, its report, one exit code.
///
/// It has a frame of its own: what it leaves on the stack lies below its caller.
#[inline(never)]
#[must_use]
pub fn run() -> ExitCode {
    disk::clear_umask();
    // A token and a key are in this memory: no core is made of it, wherever cores go, and no other process of the same
    // user looks into it (prctl(2), PR_SET_DUMPABLE). A kernel that does not know how is not a reason to stop.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let clock = Arc::new(SystemClock::start());
    let mut invocation = Invocation::default();
    let log = Log::new(Notify::to(std::env::var_os("NOTIFY_SOCKET")))
        .with_priorities(std::env::var_os("JOURNAL_STREAM").as_deref());
    let mut report = Report::new();
    let result = invocation.read(std::env::args_os().skip(1), &SettingSources::of_process(clock.clone()));
    // What is wrong in itself was meant for this machine.
    mark_kubelet_unit(result.is_err() || invocation.names_cluster(), &log);
    let system = System {
        clock: clock.clone(),
        network: Arc::new(SystemNetwork::new(clock.clone(), NameSources::of_system())),
        proxies: Arc::new(Proxies::from_environment(|name| {
            let of_file = invocation.variable(name).map(str::to_owned);
            of_file.or_else(|| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
        })),
        traffic: Arc::new(Traffic::default()),
    };
    let result = result.and_then(|()| Command::of(&invocation));
    let result = match result {
        Ok(Command::Join(config)) => join(&config, &system, &log, &mut report),
        Ok(Command::CaHash(authorities)) => commands::ca_hash(&authorities, &log, &mut report),
        Ok(Command::Verify(info, warnings)) => commands::verify(&info, &warnings, &*clock, &log, &mut report),
        Ok(Command::Check(root)) => commands::check(&root, &log, &mut report),
        Ok(Command::PrintConfig(config, text)) => {
            match commands::print_config(&config, &text, &system, &log, &mut report) {
                Ok(()) => return ExitCode::SUCCESS,
                Err(error) => Err(error),
            }
        }
        Ok(Command::PrintRole(role)) => return print(&[role, "\n"].concat(), &log),
        Ok(Command::Help) => return print(&help(), &log),
        Ok(Command::Version) => return print(VERSION, &log),
        Err(error) => Err(error),
    };
    report.requests = system.traffic.requests();
    report.handshakes = system.traffic.handshakes();
    let code = report.finish(&result, &*clock, &log);
    if let Some(path) = invocation.report() {
        // The exit code tells how the join ended, not how its report did.
        write_report(&report, path, &log).unwrap_or_else(|error| log.warn(&error.to_string()));
    }
    match &result {
        Ok(success) => {
            let node = report.node_name.as_ref().map(|name| format!(": {name}")).unwrap_or_default();
            log.ready(&[success.name(), &node].concat());
        }
        Err(error) => log.error(error),
    }
    ExitCode::from(code)
}

/// Marks for the kubelet's unit whether it has to wait for this machine to be joined, by a file that its condition looks
/// for. `RUNTIME_DIRECTORY` is that of nodestrap.service (systemd.exec(5)): nobody waits for a run by hand, and without
/// anything to join by the kubelet is somebody else's.
fn mark_kubelet_unit(waits: bool, log: &Log) {
    if std::env::var_os("RUNTIME_DIRECTORY").is_none_or(|directory| directory != disk::RUNTIME) {
        return;
    }
    let file = Path::new(disk::RUNTIME).join("kubelet-waits");
    let result = if waits {
        disk::write_caller_file(&file, 0o644, b"")
    } else {
        disk::remove_caller_file(&file).map(|_| ())
    };
    if let Err(error) = result {
        log.warn(&format!("cannot tell the kubelet's unit to wait: {}: {error}", file.display()));
    }
}

fn print(text: &str, log: &Log) -> ExitCode {
    log.print(text).map_or_else(|error| ExitCode::from(error.kind().exit_code()), |()| ExitCode::SUCCESS)
}

fn write_report(report: &Report, path: &Path, log: &Log) -> Result<()> {
    disk::write_caller_file(path, 0o644, report.json(log)?.as_bytes()).map_err(|e| {
        let shown = if path.is_absolute() { format!(" {}", path.display()) } else { String::new() };
        let message = format!("the report{shown} cannot be written");
        Error::new(Step::Files, ErrorKind::Files, message).caused_by(e)
    })
}

/// Ends the program after a panic, which is a bug, with an exit code of its own and the place; the payload could quote
/// anything.
pub fn exit_on_panic(info: &std::panic::PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let what = format!("a bug at {place}");
    let error = Error::new(Step::Internal, ErrorKind::Internal, what).with_help("report it with this line");
    Log::new(None).with_priorities(std::env::var_os("JOURNAL_STREAM").as_deref()).error(&error);
    std::process::exit(ErrorKind::Internal.exit_code().into());
}
