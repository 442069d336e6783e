//! The shipped program, for a sample of what the library is asked: `verify` and `ca-hash` beside the same oracle.

use std::fs;

use nodestrap::testing::error::EXIT_CODES;
use nodestrap::testing::trust::CaBundle;
use serde_json::json;

use super::ca_bundles::Bundles;
use super::corruption::Corruption;
use super::diff_report::{Case, DiffReport, Refusal};
use super::oracle::{Oracle, bytes, given_text};
use super::random::{Random, count};
use super::trust::{self, Published};
use crate::support::run::{self, Finished};
use crate::support::scratch::Scratch;

/// Every so manieth input: starting a program takes longer than asking a library.
const SAMPLE: usize = 10;

fn finished(arguments: &[String], folder: &Scratch) -> Finished {
    let arguments: Vec<_> = arguments.iter().map(Into::into).collect();
    run::start(&arguments, folder.path(), None, Vec::new()).finish()
}

/// What it printed, or its exit code and what it said of it.
fn said(finished: &Finished) -> Result<&str, Refusal> {
    if finished.code == Some(0) {
        return Ok(&finished.stdout);
    }
    let kind = EXIT_CODES.iter().find(|(kind, ..)| finished.code == Some(kind.exit_code().into()));
    let kind = Some(kind.expect("an exit code of the table").0);
    Err(Refusal { kind, words: finished.stderr.clone() })
}

#[test]
fn verify() {
    let (mut random, mut oracle) = (Random::of("verify"), Oracle::start());
    let (bundles, folder) = (Bundles::make(&mut random), Scratch::new());
    let file = folder.path().join("cluster-info.json");
    let mut diff = DiffReport::<Published, _>::new("the program's verify", trust::CLASSES);
    for _ in 0..count() / SAMPLE {
        let input = trust::draw(&mut random, &bundles);
        fs::write(&file, json!({"data": input.data}).to_string()).expect("a file");
        let mut arguments =
            vec!["verify".to_owned(), "--cluster-info".to_owned(), file.display().to_string()];
        arguments.extend(["--token".to_owned(), input.token.clone()]);
        arguments.extend(input.pins.iter().map(|pin| format!("--discovery-token-ca-cert-hash={pin}")));
        if input.pins.is_empty() {
            arguments.push("--discovery-token-unsafe-skip-ca-verification".to_owned());
        }
        let finished = finished(&arguments, &folder);
        let server =
            |text: &str| text.lines().find_map(|line| line.strip_prefix("server: ")).map(str::to_owned);
        let ours = said(&finished).map(|text| (server(text).expect("a server"), String::new()));
        let theirs = trust::discover(&mut oracle, &input).map(|(server, _)| (server, String::new()));
        diff.hold(&Case { ours, theirs, input });
    }
    diff.finish();
}

#[test]
fn ca_hash() {
    let (mut random, mut oracle) = (Random::of("ca-hash"), Oracle::start());
    let (bundles, folder) = (Bundles::make(&mut random), Scratch::new());
    let file = folder.path().join("ca.crt");
    let mut diff = DiffReport::new("the program's ca-hash", trust::HASHES);
    for _ in 0..count() / SAMPLE {
        let (pem, _) = bundles.draw(&mut random);
        let pem = if random.once_in(2) { Corruption::pem(&mut random, &pem) } else { pem };
        fs::write(&file, &pem).expect("a file");
        let finished = finished(&["ca-hash".to_owned(), file.display().to_string()], &folder);
        let ours: Result<Vec<String>, _> =
            said(&finished).map(|text| text.lines().map(str::to_owned).collect());
        assert_eq!(
            ours.is_ok(),
            CaBundle::from_pem(pem.clone()).is_ok(),
            "the program and its library are one"
        );
        let theirs = oracle
            .ask("hashes", &bytes(&pem))
            .map(|value| value.as_array().expect("a list").iter().map(given_text).collect());
        let input = String::from_utf8_lossy(&pem).into_owned();
        diff.hold(&Case { ours, theirs, input });
    }
    diff.finish();
}
