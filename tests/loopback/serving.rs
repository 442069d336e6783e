//! The serving certificate: requested by the node itself once it is joined, and never in the way of the join.

use std::process::Command;
use std::time::Duration;

use rcgen::{ExtendedKeyUsagePurpose, SanType};

use crate::support::api::{Api, Request, Route, Setup};
use crate::support::join::Join;
use crate::support::node::{BOOTSTRAP_CONF, CURRENT, KEY_TMP, KUBELET_CONF, Node};
use crate::support::pki::{self, DAY, valid};
use crate::support::run::Finished;

const KEY: &str = "var/lib/kubelet/pki/kubelet-server.key.tmp";
const LINK: &str = "var/lib/kubelet/pki/kubelet-server-current.pem";
const PREFIX: &str = "node-serving-csr-";

/// A server with an add-on that approves serving certificates.
fn approving() -> Api {
    let api = Api::start();
    api.cluster(|cluster| cluster.approves_serving = true);
    api
}

fn join<'a>(node: &'a Node, api: &Api, flags: &str) -> Join<'a> {
    node.join(api).args("--with-serving-cert").args(flags)
}

/// The stored serving pair.
fn pair(node: &Node) -> String {
    let files = node.files();
    let file = files.iter().rfind(|file| file.contains("kubelet-server-2")).expect("a stored pair");
    assert_eq!(node.mode(file), 0o600);
    node.read(file)
}

/// The names of the requests for serving certificates.
fn requests(api: &Api) -> Vec<String> {
    let names = api.cluster(|cluster| cluster.names());
    names.into_iter().filter(|name| name.starts_with(PREFIX)).collect()
}

fn approve(api: &Api, name: &str) {
    api.cluster(|cluster| {
        cluster.approve(name);
        cluster.issue(name);
    });
}

/// The client's identity is whole, whatever became of the serving certificate.
fn is_joined(node: &Node, run: &Finished) {
    run.check(node.has(KUBELET_CONF) && node.has(CURRENT), "joined");
    run.check(!node.has(KEY_TMP) && !node.has(BOOTSTRAP_CONF), "nothing of the bootstrap");
    run.check(!run.report()["certificate"].is_null(), "the report has the client certificate");
}

fn without_a_pair(node: &Node, run: &Finished) {
    let strange = node.files().into_iter().any(|file| file.contains("kubelet-server") && file != KEY);
    run.check(!strange, "no serving pair");
    run.says(&["the node is joined without its serving certificate"]);
}

#[test]
fn the_node_requests_it_for_itself() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let versions: &'static [_] = Box::leak(Box::new([version]));
        let (api, node) = (Api::with(Setup { versions, ..Setup::default() }), Node::new());
        api.cluster(|cluster| cluster.approves_serving = true);
        let run = join(&node, &api, "--san n1,N1.example.org --san 10.0.0.5 --san fd00::5").run();
        run.expect("joined").says(&["DNS:n1, DNS:n1.example.org, IP:10.0.0.5, IP:fd00::5"]);
        is_joined(&node, &run);

        let expected = [Route::Discovery, Route::Create, Route::Watch, Route::Create, Route::Watch];
        assert_eq!(api.routes(), expected);
        let by = |request: &Request| {
            (request.connection, request.header("authorization").is_some(), request.client.is_some())
        };
        let seen: Vec<_> = api.requests().iter().map(by).collect();
        let (anonymous, token, node_itself) = ((0, false, false), (0, true, false), (1, false, true));
        assert_eq!(
            seen,
            [anonymous, token, token, node_itself, node_itself],
            "the token stays on its connection"
        );
        assert!(api.connections().iter().all(|connection| !connection.resumed));

        let name = requests(&api).remove(0);
        let report = run.report();
        assert_eq!(
            (&report["servingCsrName"], &report["requests"], &report["handshakes"]),
            (&name.as_str().into(), &5.into(), &2.into())
        );
        assert!(report["servingCertificate"]["file"].as_str().unwrap().contains("/kubelet-server-2"));
        assert_eq!(report["certificate"]["file"].as_str().unwrap().matches("kubelet-client").count(), 1);
        api.cluster(|cluster| {
            let spec = &cluster.item(&name)["spec"];
            assert_eq!(spec["signerName"], "kubernetes.io/kubelet-serving");
            assert_eq!(spec["usages"], serde_json::json!(["digital signature", "server auth"]));
            assert_eq!(spec["username"], "system:node:n1");
            let params = pki::parse_request(&cluster.pkcs10(&name)).unwrap().params;
            let mut names: Vec<_> = params.subject_alt_names.iter().map(said).collect();
            names.sort();
            assert_eq!(names, ["10.0.0.5", "fd00::5", "n1", "n1.example.org"]);
        });
        let pair = pair(&node);
        assert!(
            pair.starts_with("-----BEGIN CERTIFICATE-----\n")
                && pair.ends_with("-----END EC PRIVATE KEY-----\n")
        );
        assert!(!node.has(KEY));
        let target = std::fs::read_link(node.at(LINK)).unwrap();
        assert!(target.to_str().unwrap().starts_with("/var/lib/kubelet/pki/kubelet-server-2"));
        assert!(!pair.contains(node.read_pair().split("EC PRIVATE KEY").nth(1).unwrap()), "a key of its own");
    }
}

fn said(name: &SanType) -> String {
    match name {
        SanType::DnsName(name) => name.to_string(),
        SanType::IpAddress(address) => address.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_stored_pair_needs_no_connection() {
    let (api, node) = (approving(), Node::new());
    join(&node, &api, "--san n1,10.0.0.5").run().expect("joined");
    let connections = api.connections().len();
    for flags in ["--san n1,10.0.0.5", "--san 10.0.0.5", ""] {
        // Left by a crash between the last rename and the last removal.
        node.write(KEY, "key");
        let run = join(&node, &api, flags).run();
        run.expect("already-joined");
        assert!(!run.report()["servingCertificate"].is_null() && !node.has(KEY));
    }
    assert_eq!(api.connections().len(), connections);
}

/// An add-on that wants another name, an expired pair, a torn one, one of another key: each is replaced.
#[test]
fn a_pair_that_will_not_do_is_replaced() {
    type Spoil = fn(&Api, &Node);
    let cases: [(&str, &str, Spoil); 5] = [
        ("other hosts", "--san n1,10.0.0.6", |_, _| {}),
        ("no pair", "", |_, node| std::fs::remove_file(node.at(LINK)).unwrap()),
        ("torn", "", |_, node| spoil(node, |text| text[..text.len() / 2].to_owned())),
        ("another key", "", |_, node| {
            let client = node.read_pair();
            let key = client[client.find("-----BEGIN EC").unwrap()..].to_owned();
            spoil(node, move |text| text[..text.find("-----BEGIN EC").unwrap()].to_owned() + &key);
        }),
        ("a client's", "", |_, node| {
            let client = node.read_pair();
            spoil(node, move |_| client);
        }),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, flags, spoil)| {
            let (api, node) = (approving(), Node::new());
            join(&node, &api, "--san n1").run().expect("joined");
            spoil(&api, &node);
            // The link's target is outside of the root on this machine, and inside of it for the program.
            let before = api.requests().len();
            let run = join(&node, &api, flags).run();
            run.expect("joined");
            is_joined(&node, &run);
            let new = api.requests().split_off(before);
            run.check(new.iter().all(|request| request.client.is_some()), "as the node, without the token");
            run.check(new.iter().any(|request| request.route() == Route::Create), "a new CSR");
            join(&node, &api, flags).run().expect("already-joined");
        },
    );
}

fn spoil(node: &Node, change: impl FnOnce(String) -> String) {
    let file = node.files().into_iter().find(|file| file.contains("kubelet-server-2")).unwrap();
    node.write(&file, change(node.read(&file)));
}

#[test]
fn without_an_approver_it_is_pending_and_found_again() {
    let (api, node) = (Api::start(), Node::new());
    let mut name = String::new();
    for (flags, waits) in
        [("--serving-timeout 3s", true), ("--serving-timeout 0s", false), ("--timeout 3s", true)]
    {
        let run = join(&node, &api, flags).run();
        name = requests(&api).remove(0);
        run.expect("serving-pending").says(&[&format!("kubectl certificate approve {name}")]);
        assert_eq!(run.report()["servingCsrName"], name.as_str());
        is_joined(&node, &run);
        without_a_pair(&node, &run);
        run.check((run.elapsed > Duration::from_secs(2)) == waits, "waits as long as it is told");
        assert_eq!(node.mode(KEY), 0o600);
    }
    let key = node.read(KEY);
    approve(&api, &name);
    let before = api.requests().len();
    let run = join(&node, &api, "--serving-timeout 0s").run();
    run.expect("joined");
    assert_eq!(requests(&api), [name.clone()]);
    assert_eq!(run.report()["servingCsrName"], name.as_str());
    let routes: Vec<_> = api.routes().split_off(before);
    assert_eq!(routes, [Route::Create, Route::List], "found, not made");
    assert!(pair(&node).ends_with(&key) && !node.has(KEY), "the key of the first run");
}

#[test]
fn a_node_that_joined_before_goes_on_to_it() {
    let (api, node) = (approving(), Node::new());
    node.joins(&api);
    let before = api.requests().len();
    let run = join(&node, &api, "").run();
    run.expect("joined").says(&["already joined"]);
    is_joined(&node, &run);
    let new = api.requests().split_off(before);
    assert!(new.iter().all(|request| request.client.is_some() && request.header("authorization").is_none()));
    assert_eq!(new.len(), 2, "no discovery");
}

/// On loopback there is no address that a kubelet would choose.
#[test]
fn by_default_it_is_for_the_node() {
    let (api, node) = (approving(), Node::new());
    let run = join(&node, &api, "").run();
    run.expect("joined").says(&["requesting a certificate for DNS:n1\n", "use --san"]);
    assert_eq!(api.connections().len(), 2, "the connection that tells the address carries the request");
}

/// A network in which the way to every loopback address begins at an address that is none.
const NETWORK: &str = "ip link set lo up
ip address add 10.0.0.5/32 dev lo
ip route replace local 127.0.0.1 dev lo table local src 10.0.0.5
exec \"$@\"";

/// Runs itself again in a network namespace, which needs root, as all of CI has it.
#[test]
fn by_default_it_is_for_the_address_that_leads_to_the_server() {
    const NAME: &str = "serving::by_default_it_is_for_the_address_that_leads_to_the_server";
    if std::env::var_os("NODESTRAP_IN_NETWORK").is_none() {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-euc", NETWORK, "sh"]).arg(std::env::current_exe().unwrap());
        let output = command.args(["--exact", NAME]).env("NODESTRAP_IN_NETWORK", "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let (api, node) = (approving(), Node::new());
    let run = join(&node, &api, "").run();
    run.expect("joined").says(&["requesting a certificate for DNS:n1, IP:10.0.0.5\n"]);
    run.check(!run.stderr.contains("warning: serving"), "no warning");
    assert_eq!(api.connections().len(), 2, "the connection that tells the address carries the request");
    join(&node, &api, "").run().expect("already-joined");
}

#[test]
fn a_verdict_against_it_uses_the_key_up() {
    for verdict in ["Denied", "Failed"] {
        let (api, node) = (Api::start(), Node::new());
        let running = join(&node, &api, "--serving-timeout 30s").start();
        api.wait_for(Route::Watch, 2);
        let first = requests(&api).remove(0);
        api.cluster(|cluster| cluster.condition(&first, verdict));
        let run = running.finish();
        run.expect("denied");
        is_joined(&node, &run);
        without_a_pair(&node, &run);
        assert!(!node.has(KEY));

        api.cluster(|cluster| cluster.approves_serving = true);
        join(&node, &api, "").run().expect("joined");
        assert_eq!(requests(&api).len(), 2, "{verdict}: another key, another request");
    }
}

#[test]
fn a_certificate_that_is_not_what_was_asked_for_is_not_stored() {
    type Adjust = fn(&mut rcgen::CertificateSigningRequestParams);
    let cases: [(&str, &str, Adjust); 5] = [
        ("other hosts", "not-trusted", |r| {
            r.params.subject_alt_names = vec![SanType::IpAddress([10, 0, 0, 6].into())];
        }),
        ("no hosts", "not-trusted", |r| r.params.subject_alt_names.clear()),
        ("for clients", "not-trusted", |r| {
            r.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }),
        ("another node", "not-trusted", |r| {
            r.params.distinguished_name.push(rcgen::DnType::CommonName, "system:node:n2");
        }),
        ("expired", "clock", |r| valid(&mut r.params, -9 * DAY, -DAY)),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, outcome, adjust)| {
            let (api, node) = (approving(), Node::new());
            let (authority, adjust) = (api.authority.clone(), *adjust);
            api.cluster(|cluster| {
                cluster.serving_signer = Box::new(move |request| {
                    authority.sign_with(request, |request| {
                        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                        adjust(request);
                    })
                });
            });
            let run = join(&node, &api, "--serving-timeout 3s").run();
            run.expect(outcome);
            is_joined(&node, &run);
            without_a_pair(&node, &run);
        },
    );
}

/// Whoever takes the API server's address over after the join is not told who the node is.
#[test]
fn another_server_in_its_place_gets_nothing() {
    let (api, node) = (Api::start(), Node::new());
    node.joins(&api);
    let impostor = Api::start();
    let conf = node.read(KUBELET_CONF).replace(&api.endpoint(), &impostor.endpoint());
    node.write(KUBELET_CONF, conf);
    let run = join(&node, &api, "--serving-timeout 3s").run();
    run.expect("not-trusted");
    is_joined(&node, &run);
    assert!(impostor.requests().is_empty());
    assert!(
        impostor
            .connections()
            .iter()
            .all(|connection| !connection.completed && !connection.client_certificate)
    );
}

#[test]
fn an_api_server_that_is_gone_is_unreachable() {
    let (api, node) = (Api::start(), Node::new());
    node.joins(&api);
    let conf = node.read(KUBELET_CONF).replace(&api.endpoint(), "localhost:1");
    node.write(KUBELET_CONF, conf);
    for flags in ["--serving-timeout 2s", "--serving-timeout 2s --san n1"] {
        let run = join(&node, &api, flags).run();
        run.expect("unreachable");
        is_joined(&node, &run);
        without_a_pair(&node, &run);
    }
}

#[test]
fn an_api_server_that_does_not_know_the_node_refuses() {
    let (api, node) = (Api::start(), Node::new());
    node.joins(&api);
    api.cluster(|cluster| cluster.names().iter().for_each(|name| cluster.delete(name)));
    let run = join(&node, &api, "--serving-timeout 3s").run();
    run.expect("refused");
    is_joined(&node, &run);
}
