//! A whole join in one terminal page: an API server with a CA, an approver and a signer, and a scratch root to join.
//!
//! `make demo` runs it. It leaves nothing behind.

#[path = "../support/mod.rs"]
mod support;

use std::ffi::OsString;
use std::time::Duration;

use rcgen::DnType;

use support::api::{Api, Cluster, Request, Route};
use support::node::Node;
use support::pki;

/// How long the approver takes: long enough for the program to say what it waits for.
const APPROVAL: Duration = Duration::from_millis(2500);

fn main() {
    let (api, node) = (Api::manual(), Node::new());
    let join = node.join(&api).with_cert();
    println!("$ nodestrap {}", wrapped(&join.words()));
    let run = std::thread::scope(|scope| {
        scope.spawn(|| {
            api.wait_for(Route::Watch, 1);
            std::thread::sleep(APPROVAL);
            api.cluster(Cluster::grant);
        });
        join.run()
    });
    run.expect("joined");
    print!("{}", run.stderr);

    println!("\nThe report, laid out:");
    println!("{}", serde_json::to_string_pretty(run.report()).expect("JSON"));

    println!("\nThe files below the root:");
    for line in node.tree().iter().filter(|line| !line.starts_with('d')) {
        println!("  {line}");
    }

    let connections = api.connections();
    println!("\nWhat the API server saw, on {} connection ({}):", connections.len(), connections[0].version);
    for request in api.requests() {
        println!(
            "  {:9}  {:4} {}",
            credential(&request),
            request.method,
            request.target.replace('?', "\n      ?")
        );
    }
    println!("and what it was asked to sign:\n  {}", asked(&api));
}

/// One option and its value a line, as people write long commands.
fn wrapped(words: &[OsString]) -> String {
    let text: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    text.join(" ").replace(" --", " \\\n    --")
}

fn credential(request: &Request) -> &'static str {
    if request.header("authorization").is_some() { "token" } else { "anonymous" }
}

/// Subject and usages of the one request.
fn asked(api: &Api) -> String {
    api.cluster(|cluster| {
        let name = cluster.names().remove(0);
        let request = pki::parse_request(&cluster.pkcs10(&name)).expect("a signed request");
        let attribute = |kind| pki::subject(&request.params, &kind);
        let (o, cn) = (attribute(DnType::OrganizationName), attribute(DnType::CommonName));
        format!("O={o}, CN={cn} for {}", cluster.item(&name)["spec"]["usages"])
    })
}
