//! Figures name the commit of the program that they were measured with, "at `64b6b27`". Once the program has changed, that
//! is a warning, and in a tagged release an error.

use std::process::Command;

use super::{documents, read, root};

/// What the program is made of.
const PROGRAM: [&str; 4] = ["src", "build.rs", "Cargo.lock", "Cargo.toml"];

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).current_dir(root()).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).expect("text").trim().to_owned())
}

/// Each seven digits of a commit behind the word "at".
fn commits(text: &str) -> Vec<String> {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let behind = line.split("at `").skip(1).filter_map(|rest| rest.split_once('`'));
    let words = behind.map(|(word, _)| word).filter(|word| word.len() == 7 && word.bytes().all(is_hex));
    words.map(str::to_owned).collect()
}

#[test]
fn figures_are_of_a_commit_that_is_there_and_of_this_program_in_a_release() {
    // In a source archive, and in a shallow clone, there is no history to look into.
    if git(&["rev-parse", "--is-shallow-repository"]).as_deref() != Some("false") {
        eprintln!("warning: the age of the figures is not known: there is no history here");
        return;
    }
    let is_release = git(&["describe", "--exact-match", "--tags", "HEAD"]).is_some();
    let mut found = 0;
    for (document, text) in documents() {
        for commit in commits(&text) {
            found += 1;
            if git(&["merge-base", "--is-ancestor", &commit, "HEAD"]).is_none() {
                eprintln!("warning: {document}: no commit {commit} before this one");
                assert!(!is_release, "{document}: {commit} is not in the history of this release");
                continue;
            }
            let range = format!("{commit}..HEAD");
            let arguments = [&["rev-list", "--count", &range, "--"][..], &PROGRAM].concat();
            let since = git(&arguments).expect("a number of commits");
            if since != "0" {
                eprintln!("warning: {document}: figures of {commit}, {since} commits of the program ago");
                assert!(
                    !is_release,
                    "{document}: {commit} is not the program of this release: `make figures`"
                );
            }
        }
    }
    assert!(found > 5, "{found} commits");
}

/// `make figures` puts its text between two lines, which name the run; and what it puts names the commit.
#[test]
fn every_block_of_figures_is_one_that_is_renewed() {
    let script = read(".ci/figures");
    let mut found = 0;
    for (document, text) in documents() {
        for block in text.split("<!-- figures: ").skip(1) {
            let (name, rest) = block.split_once(" -->\n").expect(&document);
            let (figures, _) = rest.split_once("<!-- end -->").expect(&document);
            assert!(!figures.contains("<!--"), "{document}: figures {name} do not end");
            assert!(
                script.contains(&format!("\n{name}() {{\n")),
                "{document}: .ci/figures does not renew {name}"
            );
            assert!(!commits(figures).is_empty(), "{document}: figures {name} do not name their commit");
            found += 1;
        }
    }
    assert!(found > 5, "{found} blocks of figures");
}
