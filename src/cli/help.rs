//! The help text: prose by hand, flags and exit codes from their tables.

use std::fmt::Write as _;

use super::flags::{Flag, Group, Row};
use crate::error::EXIT_CODES;

/// Where what a flag means begins.
const COLUMN: usize = 33;

const USAGE: &str = "\
Joins this machine to a Kubernetes cluster, and exits. All of it: nodestrap(8).

Usage: nodestrap join HOST:PORT[,HOST:PORT] --token TOKEN --discovery-token-ca-cert-hash PIN [flags]
       nodestrap ca-hash FILE           print the pin of each certificate in a PEM file
       nodestrap verify --cluster-info FILE --token-file FILE --discovery-token-ca-cert-hash PIN
                                        verify a cluster-info as a join does; print server and CAs
       nodestrap check [--root DIR]     find tokens, keys and identities in an image (exit code 10)

Accepts the command that `kubeadm token create --print-join-command` prints. Settings are read, in
increasing precedence, from --config, a systemd credential nodestrap.token, .join or .config, the
kernel command line (nodestrap.token=, .join= or .config=BASE64), the environment (NODESTRAP_TOKEN,
_JOIN or _CONFIG), flags.
";

const REST: &str = "\
  -h, --help    -V, --version

Environment:
  HTTPS_PROXY, NO_PROXY          as kubeadm reads them, also in lower case; http:// proxies only
  NOTIFY_SOCKET                  the service manager's socket: STATUS= lines, READY=1 on success

Exit codes:
   0 joined, already joined, prepared (without --with-client-cert), or the command succeeded
";

/// The text that `--help` prints.
pub fn help() -> String {
    let mut text = USAGE.to_owned();
    for (group, title) in [
        (Group::Kubeadm, "\nFlags of kubeadm join:\n"),
        (Group::Other, "\nFlags of kubeadm join that are accepted, or refused by name:\n"),
        (Group::Own, "\nnodestrap flags:\n"),
    ] {
        text.push_str(title);
        for row in Flag::ALL.into_iter().map(Flag::row).filter(|row| row.group == group) {
            write_row(row, &mut text);
        }
    }
    text.push_str(REST);
    for (failure, name, advice) in EXIT_CODES {
        let _ = writeln!(text, "  {:>2} {name}: {advice}", failure.exit_code());
    }
    text
}

/// Writes a flag, and what it means behind it; below it where the flag is long.
fn write_row(row: &Row, text: &mut String) {
    let mut column = 0;
    for part in ["  --", row.name, if row.value.is_empty() { "" } else { " " }, row.value] {
        text.push_str(part);
        column += part.len();
    }
    for line in row.help.lines() {
        if column >= COLUMN {
            text.push('\n');
            column = 0;
        }
        text.extend(std::iter::repeat_n(' ', COLUMN - column));
        text.push_str(line);
        column = COLUMN;
    }
    text.push('\n');
}
