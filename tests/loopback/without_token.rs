//! A machine without a bootstrap token: the connection that delivers cluster-info must end at a pinned CA, and only then the
//! bearer token's file is looked at.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use rcgen::DnType;
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::join_builder::{JoinBuilder, path};
use crate::support::api::{Api, Reply, Route, Setup, TOKEN, jws};
use crate::support::join::Join;
use crate::support::node::{BOOTSTRAP_CONF, CA, Node};
use crate::support::pki::{Authority, ServerIdentity};

/// A token as an identity provider signs it, and the one that replaces it.
const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtYWNoaW5lLTEifQ.c2lnbmF0dXJlLW9mLXRoZS1maXJzdA";
const NEXT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtYWNoaW5lLTEifQ.c2lnbmF0dXJlLW9mLXRoZS1zZWNvbmQ";
/// Where its file is below the root.
const FILE: &str = "run/machine/jwt";
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// A cluster that takes the token, and has signed its cluster-info for nobody.
fn cluster(setup: Setup) -> Api {
    let api = Api::with(setup);
    api.cluster(|cluster| {
        JWT.clone_into(&mut cluster.token);
        cluster.published.remove("jws-kubeconfig-abcdef");
    });
    api
}

/// A join with the file for a token.
fn join<'a>(node: &'a Node, api: &Api) -> Join<'a> {
    let file = node.at(FILE);
    node.join(api).token("").secret(JWT).secret(NEXT).args(&format!("--bearer-token-file {}", file.display()))
}

#[test]
fn a_pin_and_a_bearer_token_are_enough() {
    let (api, node) = (cluster(Setup::default()), Node::new());
    node.write(FILE, format!("{JWT}\n"));
    join(&node, &api).with_cert().run().expect("joined").says(&["is from a pinned CA"]);
    let bearer = format!("Bearer {JWT}");
    for request in api.requests() {
        let sent = (request.route() != Route::Discovery).then_some(bearer.as_str());
        assert_eq!(request.header("authorization"), sent, "{}", request.target);
    }
}

#[test]
fn a_kubelet_is_given_the_file_and_not_the_token() {
    let (api, node) = (cluster(Setup::default()), Node::new());
    node.write(FILE, JWT);
    join(&node, &api).run().expect("prepared");
    let text = node.read(BOOTSTRAP_CONF);
    assert!(text.contains(&format!("    tokenFile: \"/{FILE}\"\n")) && !text.contains(JWT), "{text}");
    assert!(node.has(CA));

    // Where the kubelet would not find it: an error where it is left with that, and not written else.
    for place in ["run/credentials/nodestrap.service/jwt", "tmp/jwt", "../jwt"] {
        let (api, node) = (cluster(Setup::default()), Node::new());
        let file = if place == "../jwt" { node.beside("jwt") } else { node.at(place) };
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(&file, JWT).expect("a token");
        let flag = format!("--bearer-token-file {} --tls-bootstrap-timeout 3s", file.display());
        let join = || node.join(&api).token("").secret(JWT).args(&flag);
        join().run().expect("usage").says(&["a kubelet cannot read the file at this path"]);
        assert_eq!(api.connections().len(), 0);
        api.cluster(|cluster| cluster.approves = false);
        join().with_cert().run().expect("pending").says(&["bootstrap-kubelet.conf is not written"]);
        assert!(!node.has(BOOTSTRAP_CONF));
    }
}

#[test]
fn the_file_is_waited_for_and_read_anew_for_each_request() {
    let (api, node) = (cluster(Setup::default()), Node::new());
    let first = AtomicBool::new(true);
    let file = node.at(FILE);
    api.on(Route::Create, move |_, _, cluster| {
        // The token has expired meanwhile, and the unit has written the next one.
        first.swap(false, Relaxed).then(|| {
            fs::write(&file, NEXT).expect("a token");
            NEXT.clone_into(&mut cluster.token);
            Reply::status(401, "Unauthorized")
        })
    });
    let running = join(&node, &api).with_cert().start();
    api.wait_for(Route::Discovery, 1);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(api.credentials_seen(), 0);
    node.write(FILE, JWT);
    running.finish().expect("joined").says(&["not found; check the unit that writes the token"]);
    let sent: Vec<_> =
        api.requests().iter().filter_map(|r| r.header("authorization").map(str::to_owned)).collect();
    assert_eq!(sent[..2], [format!("Bearer {JWT}"), format!("Bearer {NEXT}")]);
}

/// What can be read once is read at the start, as other files are.
#[test]
fn a_token_may_come_from_a_pipe() {
    for source in ["-", "a pipe"] {
        let builder = JoinBuilder::new();
        let pipe = builder.node.beside("pipe");
        if source == "a pipe" {
            mkfifoat(CWD, &pipe, Mode::from_raw_mode(0o600)).expect("a pipe");
            let pipe = pipe.clone();
            std::thread::spawn(move || fs::write(pipe, TOKEN).expect("a reader"));
        }
        let (endpoint, pin) = (builder.api.endpoint(), builder.api.authority.pin());
        let from = if source == "-" { "-" } else { path(&pipe) };
        let mut builder =
            builder.with(&[&endpoint, "--discovery-token-ca-cert-hash", &pin, "--bearer-token-file", from]);
        if source == "-" {
            TOKEN.clone_into(&mut builder.input);
        }
        assert!(builder.joins().contains("is from a pinned CA"), "{source}");
    }
}

#[test]
fn a_file_that_never_comes_ends_with_its_name() {
    for content in [None, Some(""), Some("two words")] {
        let (api, node) = (cluster(Setup::default()), Node::new());
        if let Some(content) = content {
            node.write(FILE, content);
        }
        let run = join(&node, &api).with_cert().args("--discovery-timeout 2s").run();
        run.expect("files").says(&["--bearer-token-file", FILE]);
        assert_eq!(api.credentials_seen(), 0);
        assert!(!node.has(CA));
    }
}

#[test]
fn a_refused_token_names_what_can_be_wrong_with_it() {
    let (api, node) = (cluster(Setup::default()), Node::new());
    node.write(FILE, JWT);
    api.cluster(|cluster| cluster.token_is_valid = false);
    let run = join(&node, &api).with_cert().args("--tls-bootstrap-timeout 2s").run();
    run.expect("refused").says(&["audience (aud), issuer (iss) and time (exp, nbf)"]);
}

/// A server that is not to be trusted: what its certificate is, and which CAs it publishes beside the pinned one.
type Case = (&'static str, fn(&Authority) -> (String, ServerIdentity));

#[test]
fn no_token_is_read_for_a_server_that_no_pinned_ca_vouches_for() {
    let cases: [Case; 5] = [
        ("a CA of its own", |_| {
            let own = Authority::new("own");
            (own.pem(), own.server(&NAMES))
        }),
        ("the pinned CA published, a chain of its own", |pinned| {
            (pinned.pem(), Authority::new("kubernetes").server(&NAMES))
        }),
        ("the pinned CA and its own", |pinned| {
            let own = Authority::new("own");
            (pinned.pem() + &own.pem(), own.server(&NAMES))
        }),
        ("a kubelet", |pinned| {
            let organization = DnType::OrganizationName;
            let shown =
                pinned.server_with(&NAMES, |leaf| leaf.distinguished_name.push(organization, "system:nodes"));
            (pinned.pem(), shown)
        }),
        ("another host", |pinned| (pinned.pem(), pinned.server(&["other.example"]))),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, make)| {
            let pinned = Authority::new("kubernetes");
            let (bundle, shown) = make(&pinned);
            let api = cluster(Setup { identity: Some(shown), ..Setup::default() });
            let server = format!("https://{}", api.endpoint());
            api.cluster(|cluster| cluster.publish(&jws::kubeconfig(&bundle, &server)));
            let node = Node::new();
            // Opening it would last until the deadline and say so.
            let run =
                join(&node, &api).with_cert().pins(&[pinned.pin()]).args("--discovery-timeout 3s").run();
            run.expect("not-trusted");
            node.is_untouched_by(&api);
        },
    );
}

#[test]
fn a_redirect_is_not_followed_with_a_pin_either() {
    let (api, node) = (cluster(Setup::default()), Node::new());
    api.on(Route::Discovery, |_, _, _| {
        Some(Reply::status(302, "Found").header("Location", "https://other.example/"))
    });
    let run = join(&node, &api).with_cert().args("--discovery-timeout 2s").run();
    run.expect("not-published").says(&["redirects are not followed"]);
    node.is_untouched_by(&api);
}

#[test]
fn without_a_token_a_pin_is_a_must_and_the_api_server_is_asked() {
    let (api, node) = (cluster(Setup::default()), Node::new());
    let info = node.beside("info");
    fs::write(&info, "kind: ConfigMap\n").expect("a file");
    let skip = "--discovery-token-unsafe-skip-ca-verification";
    for (pins, endpoint, flags, words) in [
        (Vec::new(), api.endpoint(), "--with-client-cert".to_owned(), "a pin is required"),
        (Vec::new(), api.endpoint(), format!("--with-client-cert {skip}"), "requires a bootstrap token"),
        (
            vec![api.authority.pin()],
            api.endpoint(),
            format!("--with-client-cert {skip}"),
            "requires a bootstrap token",
        ),
        (
            vec![api.authority.pin()],
            String::new(),
            format!("--with-client-cert --cluster-info {}", info.display()),
            "bootstrap token not set",
        ),
    ] {
        let file = node.beside("jwt");
        fs::write(&file, JWT).expect("a token");
        let token = format!("--bearer-token-file {}", file.display());
        let join = node.join(&api).token("").secret(JWT).args(&token);
        let run = join.pins(&pins).endpoint(endpoint).args(&flags).run();
        run.expect("usage").says(&[words]);
        node.is_untouched_by(&api);
    }
    assert_eq!(api.connections().len(), 0);
}

#[test]
fn a_configuration_without_a_token_takes_the_file_from_the_command_line() {
    let (api, node) = (cluster(Setup::default()), Node::new());
    node.write(FILE, JWT);
    let config = node.beside("join.yaml");
    let text = format!(
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ndiscovery:\n  bootstrapToken:\n    apiServerEndpoint: {}\n    \
         caCertHashes: ['{}']\n",
        api.endpoint(),
        api.authority.pin()
    );
    fs::write(&config, text).expect("a configuration");
    let run =
        join(&node, &api).endpoint("").pins(&[]).with_cert().args(&format!("--config {}", config.display()));
    run.run().expect("joined");
}
