//! Never before trust: men in the middle with all that can be had without the cluster's own keys.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::ExtendedKeyUsagePurpose;

use crate::suite::{Case, Expect, JOINED, Stage, ends, waits};
use crate::support::api::{Api, Reply, Route, Setup, TOKEN, jws};
use crate::support::pki::{Authority, DAY, ServerIdentity, pem_text, valid};
use crate::support::proxy::{Answer, Proxy};
use crate::support::relay::Relay;

type Versions = &'static [&'static rustls::SupportedProtocolVersion];

const NOT_VERIFIED: Expect = waits("not-trusted", "cannot be verified; check that the address is that of");
/// Every CA is the right one, but the name is not in the certificate, as after a change of the address.
pub const ANOTHER_NAME: Expect =
    waits("not-trusted", "cannot be verified; use a name in its certificate, or add this one to it");
const NOT_PINNED: Expect = waits("not-trusted", "CA keys in cluster-info are not pinned");
const FORGED: Expect = waits("not-trusted", "does not match the secret of token abcdef");
const CLOCK: Expect = waits("clock", "is not valid now; set the clock");
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];
const VERSIONS: [(&str, Versions); 2] =
    [("TLS 1.3", &[&rustls::version::TLS13]), ("TLS 1.2", &[&rustls::version::TLS12])];

/// What a man in the middle shows, who does not have the key of the CA that he stands before.
type Shown = (&'static str, Expect, fn(&Authority) -> ServerIdentity);

const IMPOSTORS: [Shown; 8] = [
    ("a certificate of a public CA", NOT_VERIFIED, |_| Authority::new("Public CA").server(&NAMES)),
    ("a certificate of a CA with the cluster's name", NOT_VERIFIED, |_| {
        Authority::new("kubernetes").server(&NAMES)
    }),
    ("a public CA's certificate and the cluster's CA behind it", NOT_VERIFIED, |cluster| {
        Authority::new("Public CA").server(&NAMES).behind([cluster])
    }),
    ("the cluster's certificate for another name", ANOTHER_NAME, |cluster| {
        cluster.server(&["node-2.example"])
    }),
    ("the cluster's certificate of a client", NOT_VERIFIED, |cluster| {
        cluster.server_with(&NAMES, |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }),
    ("the server's certificate of last year", CLOCK, |cluster| {
        cluster.server_with(&NAMES, |params| valid(params, -90 * DAY, -DAY))
    }),
    ("the server's certificate without its key", NOT_VERIFIED, |cluster| {
        cluster.server(&NAMES).with_another_key()
    }),
    // Its signature is looked at before its name where no CA is trusted yet, and behind it else.
    ("the cluster's CA itself without its key", waits("not-trusted", "cannot be verified"), |cluster| {
        cluster.itself().with_another_key()
    }),
];

/// A server that stands for another one, and says what that one says.
fn impostor(real: &Authority, identity: ServerIdentity, versions: Versions, server: Option<String>) -> Api {
    let api = Api::with(Setup { identity: Some(identity), versions, server, ..Setup::default() });
    let server = api.cluster(|cluster| cluster.kubeconfig());
    let url =
        server.lines().find_map(|line| line.trim().strip_prefix("server: ")).expect("a server").to_owned();
    api.cluster(|cluster| cluster.publish(&jws::kubeconfig(&real.pem(), &url)));
    api
}

/// He is there from the first connection on, and repeats the cluster's own, rightly signed cluster-info.
fn in_the_middle(shown: Shown, version: (&str, Versions)) -> Case {
    let (what, expect, identity) = shown;
    // A handshake that is not signed with the certificate's key ends before anybody is asked, and may be a mistake.
    let expect = if what.ends_with("without its key") { expect.waiting() } else { expect };
    Case::new(format!("from the first connection on, {what}, {}", version.0), expect, move || {
        let cluster = Authority::new("kubernetes");
        let api = impostor(&cluster, identity(&cluster), version.1, None);
        Stage::at(api.endpoint(), vec![cluster.pin()]).and_untrusted(api)
    })
}

/// He takes over once the cluster has been found, or once the request is filed.
fn taking_over(shown: Shown, version: (&str, Versions), after: Route) -> Case {
    let (what, expect, identity) = shown;
    Case::new(format!("once {after:?} is answered, {what}, {}", version.0), expect, move || {
        let real = Api::manual();
        let impostor = impostor(&real.authority, identity(&real.authority), version.1, None);
        let relay = Relay::start(vec![real.address(), impostor.address()]);
        let server = format!("https://{}", relay.endpoint());
        real.cluster(|cluster| cluster.publish(&jws::kubeconfig(&real.authority.pem(), &server)));
        real.on(after, move |_, request, cluster| {
            let reply = if after == Route::Create { cluster.create(request) } else { cluster.config_map() };
            Some(reply.close())
        });
        let mut stage =
            Stage::at(relay.endpoint(), vec![real.authority.pin()]).and_untrusted(impostor).and(relay);
        stage.begins = true;
        let stage = if after == Route::Create { stage.and_trusted(real) } else { stage.and_untrusted(real) };
        stage.checked(|stage| {
            assert!(stage.untrusted[0].given().connections > 0, "nobody came to the impostor");
        })
    })
}

/// cluster-info leads from an honest server to him.
fn led_there(shown: Shown) -> Case {
    let (what, expect, identity) = shown;
    Case::new(format!("named by cluster-info, {what}"), expect, move || {
        let cluster = Arc::new(Authority::new("kubernetes"));
        let named = impostor(&cluster, identity(&cluster), rustls::ALL_VERSIONS, None);
        let server = Some(format!("https://{}", named.endpoint()));
        let dialled = Api::with(Setup { authority: cluster, server, ..Setup::default() });
        let mut stage = Stage::with_untrusted(dialled).and_untrusted(named);
        stage.begins = true;
        stage
    })
}

/// A way of naming the server without discovery: the words of the command line, made of a kubeconfig's text and path.
type Given = (&'static str, &'static str, &'static [&'static str]);

const GIVEN: [Given; 4] = [
    ("a token", "{token: abcdef.0123456789abcdef}", &["--discovery-file", "@conf"]),
    (
        "a client certificate",
        "{client-certificate-data: @cert, client-key-data: @key}",
        &["--discovery-file", "@conf"],
    ),
    ("a prepared node's token", "{token: abcdef.0123456789abcdef}", &["--bootstrap-kubeconfig", "@conf"]),
    (
        "flags",
        "",
        &["--server", "@server", "--certificate-authority", "@ca", "--bearer-token-file", "@token"],
    ),
];

/// A machine that is led to a server in such a way, and the client certificate that it may have, DER.
fn led(given: Given, endpoint: &str, cluster: &Authority) -> (Stage, Vec<u8>) {
    let (_, user, words) = given;
    let mut stage = Stage::at(String::new(), Vec::new());
    stage.token = "";
    stage.begins = true;
    let (certificate, key) = cluster.client("system:bootstrappers", "image");
    let der = pem::parse(&certificate).expect("PEM").into_contents();
    let user = user
        .replace("@cert", &BASE64_STANDARD.encode(certificate))
        .replace("@key", &BASE64_STANDARD.encode(key));
    let (server, data) = (format!("https://{endpoint}"), BASE64_STANDARD.encode(cluster.pem()));
    let conf = format!(
        "{{clusters: [{{name: c, cluster: {{server: '{server}', certificate-authority-data: {data}}}}}], contexts: \
         [{{name: x, context: {{cluster: c, user: u}}}}], current-context: x, users: [{{name: u, user: {user}}}]}}"
    );
    for word in words {
        let text = match *word {
            "@conf" => &conf,
            "@ca" => &cluster.pem(),
            "@token" => TOKEN,
            _ => {
                stage.words.push(word.replace("@server", &server));
                continue;
            }
        };
        let path = stage.node.beside(&word[1..]);
        std::fs::write(&path, text).expect("a file beside the root");
        stage.words.push(path.display().to_string());
    }
    (stage, der)
}

/// The operator's word leads to him.
fn by_the_operators_word(given: Given, shown: Shown, version: (&str, Versions)) -> Case {
    let (what, expect, identity) = shown;
    Case::new(format!("with {}, {what}, {}", given.0, version.0), expect, move || {
        let cluster = Authority::new("kubernetes");
        let api = impostor(&cluster, identity(&cluster), version.1, None);
        led(given, &api.endpoint(), &cluster).0.and_untrusted(api)
    })
}

/// The operator's word leads to the cluster itself, which is given all: so those who count can count.
fn to_the_cluster_itself(given: Given, version: (&str, Versions)) -> Case {
    Case::new(format!("with {}, the cluster itself, {}", given.0, version.0), JOINED, move || {
        let api = Api::with(Setup { versions: version.1, ..Setup::default() });
        let (stage, certificate) = led(given, &api.endpoint(), &api.authority);
        api.cluster(|cluster| cluster.bootstrapper = Some(certificate));
        stage.and_trusted(api)
    })
}

/// A whole cluster of his own, with what else he has got hold of.
fn others() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case =
        |name: &str, expect: Expect, stage: fn() -> Stage| cases.push(Case::new(name, expect, stage));
    case("the right token and a cluster of his own", NOT_PINNED, || {
        let api = Api::start();
        Stage::at(api.endpoint(), vec![Authority::new("kubernetes").pin()]).and_untrusted(api)
    });
    case("the right token, and a certificate of his for the pinned key", NOT_VERIFIED, || {
        let (cluster, own) = (Authority::new("kubernetes"), Authority::new("kubernetes"));
        let api = Api::with(Setup { identity: Some(own.server(&NAMES)), ..Setup::default() });
        let forged = pem_text("CERTIFICATE", &cluster.cross_signed_by(&own));
        let server = format!("https://{}", api.endpoint());
        api.cluster(|state| state.publish(&jws::kubeconfig(&forged, &server)));
        Stage::at(api.endpoint(), vec![cluster.pin()]).and_untrusted(api)
    });
    case("the right token, and a CA of his beside the pinned one, where each must be", NOT_PINNED, || {
        let (cluster, own) = (Authority::new("kubernetes"), Authority::new("kubernetes"));
        let api = Api::with(Setup { identity: Some(own.server(&NAMES)), ..Setup::default() });
        let server = format!("https://{}", api.endpoint());
        let bundle = cluster.pem() + &own.pem();
        api.cluster(|state| state.publish(&jws::kubeconfig(&bundle, &server)));
        Stage::at(api.endpoint(), vec![cluster.pin()]).and_untrusted(api).words(&["--pin-every-ca"])
    });
    case("another cluster's cluster-info, of another token", FORGED, || {
        let api = Api::start();
        api.cluster(|state| {
            let text = state.kubeconfig();
            state.publish_as(&text, &jws::sign("abcdef.fedcba9876543210", &text));
        });
        Stage::with_untrusted(api)
    });
    case("another cluster's cluster-info, of the same token", NOT_PINNED, || {
        let api = Api::start();
        let other = Authority::new("kubernetes");
        let server = format!("https://{}", api.endpoint());
        api.cluster(|state| state.publish(&jws::kubeconfig(&other.pem(), &server)));
        Stage::with_untrusted(api)
    });
    case("another server in a cluster-info that is signed rightly", FORGED, || {
        let (api, other) = (Api::start(), Api::start());
        let server = format!("https://{}", other.endpoint());
        api.cluster(|state| {
            let text = state.kubeconfig();
            let signature = jws::sign(TOKEN, &text);
            state.publish_as(&jws::kubeconfig(&Authority::new("x").pem(), &server), &signature);
        });
        Stage::with_untrusted(api).and_untrusted(other)
    });
    case("no pin, and a chain that leads elsewhere", NOT_VERIFIED, || {
        let identity = Some(Authority::new("kubernetes").server(&NAMES));
        let api = Api::with(Setup { identity, ..Setup::default() });
        let skip = "--discovery-token-unsafe-skip-ca-verification";
        Stage::at(api.endpoint(), Vec::new()).and_untrusted(api).words(&[skip])
    });
    case("a proxy that opens TLS", NOT_VERIFIED, || {
        let cluster = Authority::new("kubernetes");
        let identity = Authority::new("Inspection CA").server(&["api.cluster.example"]);
        let api = impostor(
            &cluster,
            identity,
            rustls::ALL_VERSIONS,
            Some("https://api.cluster.example:6443".to_owned()),
        );
        let proxy = Proxy::to(api.address());
        let mut stage =
            Stage::at("api.cluster.example:6443".to_owned(), vec![cluster.pin()]).and_untrusted(api);
        stage.variables.push(("HTTPS_PROXY", format!("http://{}", proxy.endpoint())));
        stage.and(proxy)
    });
    case("a proxy that asks who we are", ends("unreachable", "407"), || {
        let answer =
            "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"token\"\r\nContent-Length: 0\r\n\r\n";
        let proxy = Proxy::start(|_, _| Answer::Text(answer.as_bytes().to_vec()));
        let mut stage = Stage::at("api.cluster.example:6443".to_owned(), vec![Authority::new("k").pin()]);
        stage.variables.push(("HTTPS_PROXY", format!("http://{}", proxy.endpoint())));
        stage.checked(move |_| {
            for seen in proxy.seen() {
                assert!(!seen.request.to_ascii_lowercase().contains("authorization"), "{}", seen.request);
            }
        })
    });
    case(
        "a question who we are",
        waits("not-published", "anonymous requests are disabled; allow anonymous"),
        || {
            let api = Api::start();
            api.on(Route::Discovery, |_, _, _| {
                Some(
                    Reply::status(401, "Unauthorized")
                        .header("WWW-Authenticate", "Bearer realm=\"kubernetes\""),
                )
            });
            Stage::with_untrusted(api)
        },
    );
    cases
}

/// Whoever stands at the API server's address, or takes it over, or is named there.
pub fn at_the_address() -> Vec<Case> {
    let mut cases = Vec::new();
    for shown in IMPOSTORS {
        for version in VERSIONS {
            cases.push(in_the_middle(shown, version));
            cases.push(taking_over(shown, version, Route::Discovery));
            cases.push(taking_over(shown, version, Route::Create));
        }
        cases.push(led_there(shown));
    }
    cases
}

pub fn cases() -> Vec<Case> {
    let mut cases = others();
    cases.extend(at_the_address());
    for given in GIVEN {
        cases.extend(VERSIONS.map(|version| to_the_cluster_itself(given, version)));
    }
    for shown in IMPOSTORS {
        for given in GIVEN {
            // The handshake decides, and where a client certificate is shown depends on its version.
            for version in &VERSIONS[..if given.0 == "a client certificate" { 2 } else { 1 }] {
                cases.push(by_the_operators_word(given, shown, *version));
            }
        }
    }
    cases
}
