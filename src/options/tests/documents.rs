//! Help, manual page and README tell of the same flags, exit codes and variables as the code has, and of no others.

use std::collections::BTreeSet;

use super::help;
use crate::error::EXIT_CODES;
use crate::options::flags::{Flag, Kind};

const MANUAL: &str = include_str!("../../../image/man/nodestrap.8");
const README: &str = include_str!("../../../README.md");

/// Flags of other programs that the documents speak of.
const FOREIGN: [&str; 14] = [
    // kubeadm token create, kubeadm kubeconfig user
    "print-join-command",
    "org",
    "client-name",
    "patches",
    // the kubelet, kube-apiserver, kube-controller-manager
    "node-ip",
    "register-with-taints",
    "pod-infra-container-image",
    "tls-curve-preferences",
    "tls-cipher-suites",
    "cluster-signing-duration",
    // systemd-nspawn, dracut, COPY in a Containerfile, sha256sum
    "set-credential",
    "force",
    "from",
    "ignore-missing",
];

/// Every name that follows `--` on the command line.
fn own_flags() -> BTreeSet<String> {
    let mut names = BTreeSet::from(["help".to_owned(), "version".to_owned()]);
    for row in Flag::ALL.into_iter().filter(|flag| flag.is_flag()).map(Flag::row) {
        names.insert(row.name.to_owned());
        if row.kind == Kind::Secret {
            names.insert(format!("{}-file", row.name));
        }
    }
    names
}

/// What follows `mark` in a text, as far as it is the name of a flag.
fn names<'t>(text: &'t str, mark: &'t str) -> impl Iterator<Item = &'t str> {
    text.match_indices(mark).filter_map(move |(at, _)| {
        let is_word_before = text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
        let rest = &text[at + mark.len()..];
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(rest.len());
        let name = rest[..end].trim_end_matches('-');
        (!is_word_before && name.len() > 1).then_some(name)
    })
}

/// Each flag is in the text, but a secret's file may go by its secret's name; each name in the text is a flag.
fn agree(document: &str, text: &str) {
    let own = own_flags();
    let told: BTreeSet<_> = names(text, "--").collect();
    for name in &own {
        let secret = name.strip_suffix("-file").filter(|secret| own.contains(*secret));
        assert!(
            told.contains(name.as_str()) || secret.is_some_and(|secret| told.contains(secret)),
            "{document} does not tell of --{name}"
        );
    }
    for name in told {
        assert!(own.contains(name) || FOREIGN.contains(&name), "{document}: there is no --{name}");
    }
}

#[test]
fn the_help_has_every_flag_and_no_other() {
    agree("the help", &help());
}

#[test]
fn the_help_fits_two_screens() {
    let help = help();
    let widest = help.lines().max_by_key(|line| line.chars().count()).unwrap();
    assert!(widest.chars().count() <= 100, "{widest}");
    assert!(help.lines().count() <= 2 * 50, "{} lines", help.lines().count());
}

#[test]
fn the_readme_has_every_flag_and_no_other() {
    agree("the README", README);
    assert!(README.contains(&format!("```\n{}```\n", help())), "the README's flags are not those of --help");
}

#[test]
fn the_manual_has_every_flag_and_no_other() {
    let items = MANUAL.lines().filter(|line| line.starts_with(".It Fl "));
    let mut told: Vec<_> = items.flat_map(|line| names(line, "Fl -")).collect();
    told.sort_unstable();
    assert!(told.iter().copied().eq(&own_flags()), "the manual's flags are {told:?}");
    let lines = MANUAL.lines().filter(|line| line.starts_with('.'));
    for name in lines.flat_map(|line| names(line, "Fl -")) {
        assert!(own_flags().contains(name), "the manual speaks of --{name}, which is not there");
    }
}

#[test]
fn manual_and_readme_have_the_exit_codes() {
    let section = MANUAL.split(".Sh EXIT STATUS").nth(1).unwrap().split(".Sh ").next().unwrap();
    let told: Vec<_> = section.lines().filter_map(|line| line.strip_prefix(".It ")).collect();
    let mut codes = vec!["0".to_owned()];
    for (failure, name, advice) in EXIT_CODES {
        codes.push(format!("{} {name}", failure.exit_code()));
        let row = format!("| {} | `{name}` | {advice} |", failure.exit_code());
        assert!(README.contains(&row), "the README lacks {row}");
    }
    assert_eq!(told, codes, "the manual's exit codes");
}

#[test]
fn every_document_has_the_variables() {
    for (document, text) in [("the help", help().as_str()), ("the manual", MANUAL), ("the README", README)] {
        for name in ["NODESTRAP_TOKEN", "_JOIN", "_CONFIG", "HTTPS_PROXY", "NO_PROXY", "NOTIFY_SOCKET"] {
            assert!(text.contains(name), "{document} does not tell of {name}");
        }
    }
}
