//! Names, as Go resolves them: every answer of a name server, every line of resolv.conf and hosts, by a table that the tests
//! against real Kubernetes hold against Go too. Needs root, for a network namespace.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::support::api::{Api, Reply, Route, Setup};
use crate::support::dns::lookup::{self, Resolver};
use crate::support::dns::{Asked, Case, Expected, Says, answers, files, search};
use crate::support::node::Node;
use crate::support::pki::Authority;
use crate::support::proxy::Proxy;
use crate::support::run;
use crate::support::scratch::Scratch;

/// Cases that are run at once; most of them wait.
const AT_ONCE: usize = 12;

/// Holds a table against what the program does.
fn check(cases: &[Case]) {
    let scratch = Scratch::new();
    lookup::defaults();
    let numbered: Vec<_> = cases.iter().enumerate().collect();
    for some in numbered.chunks(AT_ONCE) {
        crate::support::all(
            some,
            |(_, case)| case.name.to_owned(),
            |(number, case)| {
                let resolver = Resolver::new(case, 1, *number, scratch.path());
                resolver.check(&resolver.look(&run::program()));
            },
        );
    }
}

#[test]
fn whatever_a_name_server_answers_is_taken_as_go_takes_it() {
    if !lookup::again("name_resolution::whatever_a_name_server_answers_is_taken_as_go_takes_it", &[]) {
        check(answers::CASES);
    }
}

#[test]
fn the_search_list_is_gone_through_as_go_does_it() {
    if !lookup::again("name_resolution::the_search_list_is_gone_through_as_go_does_it", &[]) {
        check(search::CASES);
    }
}

#[test]
fn the_systems_files_are_read_as_go_reads_them() {
    if !lookup::again("name_resolution::the_systems_files_are_read_as_go_reads_them", &[]) {
        check(files::CASES);
    }
}

const NAME: &str = "api.lab";

/// An API server of that name, at the only address that the case's servers know.
fn api() -> Api {
    let authority = Arc::new(Authority::new("kubernetes"));
    let identity = Some(authority.server(&[NAME]));
    let server = Some(format!("https://{NAME}:6443"));
    Api::with(Setup { authority, identity, server, listen: "127.0.0.1:6443", ..Setup::default() })
}

/// Servers for a machine that joins.
fn servers(resolv_conf: &'static str, says: Says) -> Case {
    let expected = Expected::Addresses(&[]);
    Case { name: "a join", resolv_conf, hosts: "", host: NAME, says, expected, unlike_go: None }
}

/// IPv4 is there, IPv6 is not.
fn half(asked: &Asked) -> Vec<Vec<u8>> {
    if asked.v6 { asked.code(2) } else { asked.has(&["127.0.0.1"]) }
}

#[test]
fn one_family_is_enough_for_a_join_with_and_without_a_dot_at_the_end() {
    if lookup::again(
        "name_resolution::one_family_is_enough_for_a_join_with_and_without_a_dot_at_the_end",
        &[],
    ) {
        return;
    }
    let (scratch, api) = (Scratch::new(), api());
    let case = servers("nameserver S1\n", half);
    let resolver = Resolver::new(&case, 1, 0, scratch.path());
    for name in [NAME, "API.lab."] {
        let node = Node::new();
        let endpoint = format!("{name}:6443");
        node.join(&api).endpoint(endpoint).with_cert().through(resolver.words()).run().expect("joined");
        assert_eq!(api.connections().last().and_then(|seen| seen.sni.clone()).as_deref(), Some(NAME));
    }
}

#[test]
fn a_silent_name_server_costs_no_more_than_the_deadline() {
    if lookup::again("name_resolution::a_silent_name_server_costs_no_more_than_the_deadline", &[]) {
        return;
    }
    let (scratch, api) = (Scratch::new(), api());
    let url = format!("https://files.{NAME}/a");
    let proxy = format!("http://proxy.{NAME}:3128");
    let ways = [("", ""), ("--discovery-file", url.as_str()), ("--cluster-info", &url), ("proxy", &proxy)];
    let confs = [
        "nameserver S1\n",
        "nameserver S1\nnameserver S2\nnameserver S3\nsearch a.example b.example\n",
        "nameserver S1\noptions single-request timeout:30 attempts:9\n",
        "nameserver S1\noptions use-vc\n",
    ];
    let cases = confs.map(|conf| servers(conf, silent));
    let cases: Vec<_> = cases.iter().flat_map(|case| ways.map(|way| (case, way))).enumerate().collect();
    crate::support::all(
        &cases,
        |(_, (case, way))| format!("{:?} {way:?}", case.resolv_conf),
        |(number, (case, (flag, value)))| {
            let (resolver, node) = (Resolver::new(case, 1, *number, scratch.path()), Node::new());
            let mut join = node.join(&api).endpoint(format!("{NAME}:6443")).args("--timeout 2s");
            match *flag {
                "" => {}
                "proxy" => join = join.env("HTTPS_PROXY", *value),
                flag => join = join.endpoint("").args(&format!("{flag} {value}")),
            }
            if *flag == "--discovery-file" {
                join = join.pins(&[]);
            }
            let run = join.through(resolver.words()).run();
            run.expect("unreachable").says(&["cannot resolve ", "did not respond"]);
            run.check(
                run.elapsed < Duration::from_millis(4500),
                "two seconds, and no time-out of resolv.conf",
            );
            node.is_untouched_by(&api);
        },
    );
}

#[test]
fn proxies_and_urls_are_resolved_like_endpoints() {
    if lookup::again("name_resolution::proxies_and_urls_are_resolved_like_endpoints", &[]) {
        return;
    }
    let (scratch, api) = (Scratch::new(), api());
    let case = servers("nameserver S1\nsearch x.example corp.example\n", |asked| match asked.name.as_str() {
        "proxy.corp.example" | "files.corp.example" | NAME => half(asked),
        _ => asked.code(3),
    });
    let resolver = Resolver::new(&case, 1, 0, scratch.path());
    let proxy = Proxy::to(api.address());
    let url = format!("http://{}", proxy.endpoint().replace("127.0.0.1", "proxy"));
    let node = Node::new();
    let join = node.join(&api).endpoint(format!("{NAME}:6443")).with_cert().through(resolver.words());
    join.env("HTTPS_PROXY", url).run().expect("joined");

    let authority = Arc::new(Authority::new("web"));
    let identity = Some(authority.server(&["files"]));
    let web = Api::with(Setup { authority, identity, listen: "127.0.0.1:443", ..Setup::default() });
    let ca = api.authority.pem();
    let text = kubeconfig(&format!("https://{NAME}:6443"), &ca);
    web.on(Route::Other, move |_, _, _| Some(Reply::text(200, "text/plain", &text)));
    let node = Node::new();
    fs::write(node.beside("web.pem"), web.authority.pem()).expect("a CA");
    let flags =
        format!("--discovery-file https://files/a --discovery-ca {}", node.beside("web.pem").display());
    let join = node.join(&api).endpoint("").pins(&[]).with_cert().through(resolver.words());
    join.args(&flags).run().expect("joined");
}

/// A kubeconfig without a user.
fn kubeconfig(server: &str, ca: &str) -> String {
    let ca = BASE64_STANDARD.encode(ca);
    let cluster = json!({"server": server, "certificate-authority-data": ca});
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "c", "cluster": cluster}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    })
    .to_string()
}

#[test]
fn resolv_conf_is_read_for_each_lookup() {
    if lookup::again("name_resolution::resolv_conf_is_read_for_each_lookup", &[]) {
        return;
    }
    let (scratch, api) = (Scratch::new(), api());
    let case =
        servers("nameserver S1\n", |asked| if asked.server == 1 { asked.code(5) } else { half(asked) });
    let resolver = Resolver::new(&case, 1, 0, scratch.path());
    let other =
        Resolver::new(&servers("nameserver S2\n", case.says), 1, 1, scratch.path()).folder().to_owned();
    let node = Node::new();
    let join = node.join(&api).endpoint(format!("{NAME}:6443")).with_cert().through(resolver.words());
    let running = join.start();
    std::thread::sleep(Duration::from_secs(1));
    fs::copy(other.join("resolv.conf"), resolver.folder().join("resolv.conf")).expect("another resolv.conf");
    running.finish().expect("joined").says(&["name server 127.1.0.1 responded with REFUSED; check the name"]);
}

/// Says nothing for longer than any test lasts.
fn silent(_: &Asked) -> Vec<Vec<u8>> {
    std::thread::sleep(Duration::from_mins(2));
    Vec::new()
}
