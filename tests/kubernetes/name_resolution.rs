//! Names beside Go's own resolver (`netdns=go`), which kubeadm and the kubelet have: the tables of `tests/support/dns`, each
//! case with the same name servers and files for both.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;

use crate::support::dns::lookup::{self, Found, Resolver};
use crate::support::dns::{Case, answers, files, search};
use crate::support::{repository::program, scratch::Scratch};

/// Cases that are run at once; most of them wait.
const AT_ONCE: usize = 12;

/// Looks up its argument.
const PROGRAM: &str = r#"package main

import (
	"context"
	"encoding/json"
	"net"
	"os"
)

func main() {
	addresses, err := net.DefaultResolver.LookupIPAddr(context.Background(), os.Args[1])
	found := []string{}
	for _, address := range addresses {
		found = append(found, address.IP.String())
	}
	said := ""
	if err != nil {
		said = err.Error()
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{"found": found, "error": said})
}
"#;

#[test]
fn the_addresses_are_those_that_go_finds() {
    let scratch = Scratch::new();
    let go = std::env::var("NODESTRAP_GO").unwrap_or_else(|_| build(&scratch));
    if lookup::again("name_resolution::the_addresses_are_those_that_go_finds", &[("NODESTRAP_GO", &go)]) {
        return;
    }
    lookup::defaults();
    let cases: Vec<_> = answers::CASES.iter().chain(search::CASES).chain(files::CASES).enumerate().collect();
    let mut failed = Vec::new();
    for some in cases.chunks(AT_ONCE) {
        thread::scope(|scope| {
            let running: Vec<_> = some
                .iter()
                .map(|(number, case)| scope.spawn(|| beside(case, *number, scratch.path(), Path::new(&go))))
                .collect();
            failed.extend(running.into_iter().filter_map(|case| case.join().expect("a case ends")));
        });
    }
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

/// Builds the program.
fn build(scratch: &Scratch) -> String {
    let (source, program) = (scratch.file("lookup.go"), scratch.file("lookup"));
    fs::write(&source, PROGRAM).expect("a source");
    let mut command = Command::new("go");
    command.args(["build", "-o", &program, &source]).env("CGO_ENABLED", "0");
    assert!(command.status().expect("Go").success(), "lookup.go was not built");
    program
}

/// What is not the same in both, where it should be.
fn beside(case: &Case, number: usize, folder: &Path, go: &Path) -> Option<String> {
    // Servers of its own for each: some count.
    let resolver = Resolver::new(case, 1, number, folder);
    let ours = resolver.look(&program());
    resolver.check(&ours);
    let resolver = Resolver::new(case, 2, number, folder);
    let mut command = resolver.command();
    command.arg(go).arg(case.host).env("GODEBUG", "netdns=go").stdin(Stdio::null());
    let output = command.output().expect("unshare");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let found: Vec<IpAddr> = answer["found"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|address| address.as_str().and_then(|text| text.parse().ok()).expect("an address"))
        .collect();
    let is_same = match (&ours, found.first()) {
        (Found::Addresses(tried, v6), Some(first)) => {
            *tried == found.iter().copied().collect::<BTreeSet<_>>() && *v6 == first.is_ipv6()
        }
        (Found::Fails(_), None) => true,
        _ => false,
    };
    if is_same == case.unlike_go.is_none() {
        return None;
    }
    Some(format!("{}: {ours:?}; Go: {answer}; known as unlike: {:?}", case.name, case.unlike_go))
}
