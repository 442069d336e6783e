//! What lets people find out that a release is what was published: provenance, and one signature for all of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::scratch::Scratch;
use crate::{artifacts, clone, dist, machines, one, output};

/// Name and digest of each file, as SHA256SUMS has them.
fn sums() -> BTreeMap<String, String> {
    let text = fs::read_to_string(dist().join("SHA256SUMS")).expect("the checksums");
    let lines = text.lines().map(|line| line.split_once("  ").expect("DIGEST  NAME"));
    lines.map(|(digest, name)| (name.to_owned(), digest.to_owned())).collect()
}

#[test]
fn the_provenance_is_of_every_other_file_and_of_no_single_run() {
    let path = one("nodestrap-", ".intoto.json");
    let text = fs::read_to_string(&path).expect("it is there");
    let statement: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    let subjects = statement["subject"].as_array().expect("subjects").iter();
    let subjects: BTreeMap<_, _> = subjects
        .map(|subject| {
            [&subject["name"], &subject["digest"]["sha256"]].map(|text| text.as_str().unwrap().to_owned())
        })
        .map(|[name, digest]| (name, digest))
        .collect();
    let mut expected = sums();
    let own = Path::new(&path).file_name().expect("a name").to_string_lossy();
    assert!(expected.remove(own.as_ref()).is_some(), "the checksums cover the provenance");
    assert_eq!(subjects, expected);

    let definition = &statement["predicate"]["buildDefinition"];
    let dependencies = definition["resolvedDependencies"].as_array().expect("dependencies");
    let commit = output("git", ["rev-parse", "HEAD"]);
    assert_eq!(dependencies[0]["digest"]["gitCommit"], commit.trim());
    let lock = output("sha256sum", ["Cargo.lock"]);
    assert_eq!(dependencies[1]["digest"]["sha256"], lock.split(' ').next().unwrap());
    let crates = dependencies.iter().filter_map(|one| one["uri"].as_str()?.strip_prefix("pkg:cargo/"));
    assert!(crates.clone().any(|name| name.starts_with("ring@")) && crates.count() > 40);
    let compilers = definition["internalParameters"].as_object().expect("compilers");
    for compiler in ["rustc", "cargo", "gcc", "go"] {
        assert!(compilers[compiler].as_str().is_some_and(|text| text.contains('1')), "{compiler}");
    }
    let here = env!("CARGO_MANIFEST_DIR");
    for run in ["invocationId", "startedOn", "finishedOn", here] {
        assert!(!text.contains(run), "{run}: it would differ from run to run");
    }
    assert!(!machines().is_empty());
}

/// A clone in which a release was made, as far as signing looks at it; keys, and who may sign.
struct Signer {
    scratch: Scratch,
}

impl Signer {
    fn new() -> Self {
        let scratch = Scratch::new();
        let root = scratch.path();
        let dist = root.join("target/dist");
        fs::create_dir_all(&dist).expect("a folder");
        fs::create_dir(root.join(".ci")).expect("a folder");
        fs::copy(clone().join(".ci/sign"), root.join(".ci/sign")).expect("the script");
        for path in artifacts("") {
            // Small ones are enough, and the checksums have to be those of what is there.
            if path.extension().is_some_and(|end| end == "json") {
                fs::copy(&path, dist.join(path.file_name().unwrap())).expect("a copy");
            }
        }
        let sums = ["-c", "sha256sum -- *.json >SHA256SUMS"];
        assert!(Command::new("sh").args(sums).current_dir(&dist).status().expect("sh").success());
        for key in ["ours", "theirs"] {
            let file = root.join(key).display().to_string();
            output("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", key, "-f", &file]);
        }
        let public = fs::read_to_string(root.join("ours.pub")).expect("a key");
        let line = format!("releases@nodestrap namespaces=\"nodestrap-release\" {public}");
        fs::write(root.join("signers"), line).expect("a file");
        Self { scratch }
    }

    fn sh(&self, folder: &str, script: &str) -> bool {
        let folder = self.scratch.path().join(folder);
        let output = Command::new("sh").args(["-c", script]).current_dir(folder).output().expect("sh");
        output.status.success()
    }

    fn sign(&self, key: &str) -> bool {
        self.sh("", &format!(".ci/sign {key} signers"))
    }

    /// The two commands of README's section on installing.
    fn verify(&self) -> bool {
        let section = include_str!("../../README.md").split_once("\n## Install\n").expect("it").1;
        let block = section.split("```\n").nth(1).expect("a block of commands");
        assert_eq!(block.lines().count(), 2, "{block}");
        self.sh("target/dist", &format!("set -e\n{}", block.replace(" allowed-signers ", " ../../signers ")))
    }
}

#[test]
fn one_signature_covers_every_file() {
    let signer = Signer::new();
    assert!(!signer.verify(), "nothing is signed yet");
    assert!(signer.sign("ours") && signer.verify());

    // A file that was changed.
    assert!(signer.sh("target/dist", "f=$(ls *.json | head -n 1); cp $f ../kept; echo >>$f"));
    assert!(!signer.verify());
    // With its checksum.
    assert!(signer.sh("target/dist", "cp SHA256SUMS ../sums; sha256sum -- *.json >SHA256SUMS"));
    assert!(!signer.verify());
    assert!(signer.sh("target/dist", "cp ../kept $(ls *.json | head -n 1); cp ../sums SHA256SUMS"));
    assert!(signer.verify());

    // Somebody else's signature, and one for another purpose.
    let others = "ssh-keygen -q -Y sign -f ../../theirs -n nodestrap-release SHA256SUMS";
    assert!(signer.sh("target/dist", &format!("rm SHA256SUMS.sig; {others}")) && !signer.verify());
    let other_purpose = "ssh-keygen -q -Y sign -f ../../ours -n git SHA256SUMS";
    assert!(signer.sh("target/dist", &format!("rm SHA256SUMS.sig; {other_purpose}")) && !signer.verify());
    // None.
    assert!(signer.sh("target/dist", "rm SHA256SUMS.sig") && !signer.verify());
}

#[test]
fn what_nobody_could_verify_is_not_signed() {
    let signer = Signer::new();
    assert!(!signer.sign("theirs"));
    assert!(!signer.scratch.path().join("target/dist/SHA256SUMS.sig").exists());
    assert!(signer.sh("target/dist", "echo >>$(ls *.json | head -n 1)"));
    assert!(!signer.sign("ours"), "a file is not the one of the checksums");
}
