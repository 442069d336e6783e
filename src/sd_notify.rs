//! Word to the service manager, as sd_notify(3) has it: what the program is at, and that it has ended well.
//!
//! One datagram per line of the report. No server is contacted whether it arrived: a manager that does not listen is not a reason
//! to stop.

use std::ffi::{OsStr, OsString};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::limits;

/// A socket on which a service manager listens.
#[derive(Debug)]
pub struct Notify {
    socket: UnixDatagram,
    manager: SocketAddr,
}

impl Notify {
    /// The socket that `$NOTIFY_SOCKET` names, by a path or as an abstract `@name`. `None` for anything else, such as
    /// the `vsock:` of a virtual machine, which is for other programs.
    pub fn to(variable: Option<OsString>) -> Option<Self> {
        let name = variable?;
        let manager = match name.as_bytes() {
            [b'@', name @ ..] if !name.is_empty() => SocketAddr::from_abstract_name(name),
            path @ [b'/', ..] => SocketAddr::from_pathname(OsStr::from_bytes(path)),
            _ => return None,
        };
        Some(Self { socket: UnixDatagram::unbound().ok()?, manager: manager.ok()? })
    }

    /// Says what the program is at. A queue that is full is passed over.
    pub fn status(&self, line: &str) {
        let _ = self.socket.set_nonblocking(true);
        self.send("STATUS=", line);
    }

    /// Says that the work is done. A queue that is full is waited for, since a manager that misses this takes the unit
    /// for failed.
    pub fn ready(&self, line: &str) {
        let _ = self.socket.set_nonblocking(false);
        let _ = self.socket.set_write_timeout(Some(READY));
        self.send("READY=1\nSTATUS=", line);
    }

    fn send(&self, before: &str, line: &str) {
        let _ = self.socket.send_to_addr(message(before, line).as_bytes(), &self.manager);
    }
}

/// How long the last word may wait for room: a manager that is busy with a boot takes its time.
const READY: Duration = Duration::from_secs(5);

/// One assignment per line: what a server said must not become another one.
fn message(before: &str, line: &str) -> String {
    let mut message = before.to_owned();
    message.extend(line.chars().map(|c| if c.is_control() { ' ' } else { c }));
    message.truncate(message.floor_char_boundary(limits::NOTIFY_BYTES));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_assignment_of_bounded_length() {
        assert_eq!(message("STATUS=", "a\nMAINPID=1\r\0b"), "STATUS=a MAINPID=1  b");
        let long = message("STATUS=", &"ä".repeat(limits::NOTIFY_BYTES));
        assert!(long.len() <= limits::NOTIFY_BYTES && long.ends_with('ä'));
    }

    #[test]
    fn only_paths_and_abstract_names_are_sockets() {
        let long = "/".repeat(200);
        for (name, good) in [
            ("/run/systemd/notify", true),
            ("@/org/freedesktop/systemd1/notify", true),
            ("", false),
            ("@", false),
            ("run/notify", false),
            ("vsock:2:1234", false),
            (long.as_str(), false),
        ] {
            assert_eq!(Notify::to(Some(name.into())).is_some(), good, "{name}");
        }
        assert!(Notify::to(None).is_none());
    }
}
