//! Help and manual page have the flags, exit codes and variables that the code has, and no others; README has the exit
//! codes; and no document and no message names a flag that there is not.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cli::help;
use crate::cli::{Flag, Kind};
use crate::error::EXIT_CODES;

const MANUAL: &str = include_str!("../../../image/man/nodestrap.8");
const README: &str = include_str!("../../../README.md");
/// Those that name some of the flags, beside the documents of tests/.
const OTHERS: [(&str, &str); 5] = [
    ("README.md", README),
    ("image/man/nodestrap.8.md", include_str!("../../../image/man/nodestrap.8.md")),
    ("image/README.md", include_str!("../../../image/README.md")),
    ("SECURITY.md", include_str!("../../../SECURITY.md")),
    ("CHANGELOG.md", include_str!("../../../CHANGELOG.md")),
];

/// Flags of other programs that the documents speak of.
const FOREIGN: [&str; 21] = [
    // kubeadm token create, kubeadm kubeconfig user, kubeadm upgrade node
    "print-join-command",
    "old-config",
    "new-config",
    "ttl",
    "org",
    "client-name",
    // the kubelet, kube-apiserver, kube-controller-manager
    "node-ip",
    "register-with-taints",
    "container-runtime-endpoint",
    "pod-infra-container-image",
    "cluster-signing-duration",
    "client-ca-file",
    "enable-bootstrap-token-auth",
    // Butane, systemd-nspawn, dracut, COPY in a Containerfile, sha256sum, cargo
    "files-dir",
    "set-credential",
    "force",
    "from",
    "ignore-missing",
    "check",
    "lib",
    "test",
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
        (!is_word_before && !name.is_empty()).then_some(name)
    })
}

/// Each name in the text is a flag.
fn has_no_other(document: &str, text: &str) {
    let own = own_flags();
    for name in names(text, "--") {
        assert!(own.contains(name) || FOREIGN.contains(&name), "{document}: there is no --{name}");
    }
}

#[test]
fn the_help_has_every_flag_and_no_other() {
    let (help, own) = (help(), own_flags());
    let told: BTreeSet<_> = names(&help, "--").collect();
    for name in &own {
        // A secret's file may go by its secret's name.
        let secret = name.strip_suffix("-file").filter(|secret| own.contains(*secret));
        assert!(
            told.contains(name.as_str()) || secret.is_some_and(|secret| told.contains(secret)),
            "the help does not tell of --{name}"
        );
    }
    has_no_other("the help", &help);
}

#[test]
fn the_help_fits_two_screens() {
    let help = help();
    let widest = help.lines().max_by_key(|line| line.chars().count()).unwrap();
    assert!(widest.chars().count() <= 100, "{widest}");
    assert!(help.lines().count() <= 2 * 50, "{} lines", help.lines().count());
}

/// The documents below a folder.
fn documents(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            documents(&path, found);
        } else if path.extension().is_some_and(|end| end == "md") {
            found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn no_document_has_another_flag() {
    for (document, text) in OTHERS {
        has_no_other(document, text);
    }
    let mut of_tests = Vec::new();
    documents(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), &mut of_tests);
    assert!(of_tests.len() > 7, "{} documents of tests were found", of_tests.len());
    for (document, text) in of_tests {
        has_no_other(&document, &text);
    }
}

/// A section of the manual, without its title.
fn section(title: &str) -> &'static str {
    MANUAL.split(&format!(".Sh {title}\n")).nth(1).unwrap().split(".Sh ").next().unwrap()
}

#[test]
fn the_manual_has_every_flag_and_no_other() {
    let items = section("OPTIONS").lines().filter(|line| line.starts_with(".It Fl "));
    let mut told: Vec<_> = items.flat_map(|line| names(line, "Fl -")).collect();
    told.sort_unstable();
    assert!(told.iter().copied().eq(&own_flags()), "the manual's flags are {told:?}");
    let lines = MANUAL.lines().filter(|line| line.starts_with('.'));
    for name in lines.flat_map(|line| names(line, "Fl -")) {
        assert!(own_flags().contains(name), "the manual speaks of --{name}, which is not there");
    }
}

/// A flag's values go by the same names in both, which the manual writes small.
#[test]
fn the_manual_names_values_as_the_help_does() {
    let items: Vec<String> = section("OPTIONS")
        .lines()
        .filter_map(|line| line.strip_prefix(".It Fl "))
        .flat_map(|line| {
            line.split(" , Fl ").map(|item| item.replace("Ar ", "").replace(" Ns", "").replace(' ', ""))
        })
        .collect();
    let help = help();
    let flags = help.split_once("Flags of kubeadm join:").unwrap().1.split_once("Environment:").unwrap().0;
    for flag in flags.split_whitespace().collect::<Vec<_>>().windows(2) {
        let [flag, value] = flag else { unreachable!("two words") };
        let is_value = value.contains(|c: char| c.is_ascii_uppercase()) && !value.contains([';', ',']);
        if let (Some(name), true) = (flag.strip_prefix('-').filter(|name| name.starts_with('-')), is_value) {
            let told = format!("{name}{}", value.to_lowercase());
            assert!(
                items.contains(&told) || value.starts_with("sha256:"),
                "the manual lacks .It Fl {told}: {items:?}"
            );
        }
    }
}

#[test]
fn manual_and_readme_have_the_exit_codes() {
    let told: Vec<_> = section("EXIT STATUS").lines().filter_map(|line| line.strip_prefix(".It ")).collect();
    let mut codes = vec!["0".to_owned()];
    for (failure, name, advice) in EXIT_CODES {
        codes.push(format!("{} {name}", failure.exit_code()));
        let row = format!("| {} | `{name}` | {advice} |", failure.exit_code());
        assert!(README.contains(&row), "the README lacks {row}");
    }
    assert_eq!(told, codes, "the manual's exit codes");
}

#[test]
fn help_and_manual_have_the_variables() {
    for (document, text) in [("the help", help().as_str()), ("the manual", MANUAL)] {
        for name in ["NODESTRAP_TOKEN", "_JOIN", "_CONFIG", "HTTPS_PROXY", "NO_PROXY", "NOTIFY_SOCKET"] {
            assert!(text.contains(name), "{document} does not tell of {name}");
        }
    }
}

/// The sources without comments and tests, which hold all messages.
fn messages(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            messages(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") && name != "tests.rs" {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            found.push((path.display().to_string(), lines.collect::<Vec<_>>().join("\n")));
        }
    }
}

/// A message that advises a flag that there is not helps nobody.
#[test]
fn every_flag_in_a_message_is_there() {
    let mut found = Vec::new();
    messages(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 60);
    let named: usize = found.iter().map(|(_, text)| names(text, "--").count()).sum();
    assert!(named > 50, "{named} flags were found in messages");
    for (file, text) in found {
        has_no_other(&file, &text);
    }
}
