//! Servers that repeat the token that they were shown, or that they know: in words, in pages, in names and in forms of it.
//! No line and no report shows it; every run is searched for that ([`crate::support::run`]), and here for other forms, too.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rcgen::DnType;
use serde_json::{Value, json};

use crate::support::api::{Api, Cluster, Piece, Reply, Request, Route, Setup, TOKEN, event, jws};
use crate::support::node::Node;
use crate::support::pki::Authority;
use crate::support::relay::Relay;
use crate::support::run::Finished;

const DEADLINE: &str = "--discovery-timeout 3s --tls-bootstrap-timeout 3s";

/// Ways to repeat a token.
fn forms(token: &str) -> Vec<String> {
    let secret = token.split_once('.').map_or(token, |(_, secret)| secret);
    let mut forms = vec![token.to_owned(), secret.to_owned()];
    for before in ["", "x", "Bearer "] {
        forms.push(BASE64_STANDARD.encode([before, token].concat()));
        forms.push(BASE64_URL_SAFE_NO_PAD.encode([before, token].concat()));
    }
    forms
}

/// All forms in one text.
fn echo(token: &str) -> String {
    forms(token).join(" ")
}

/// Where a line is cut.
fn cut(token: &str) -> String {
    format!("{}{token}{token}", "x".repeat(280))
}

fn shows_none(run: &Finished, token: &str) {
    let all = [run.stderr.clone(), run.stdout.clone(), run.report().to_string()].concat();
    let secret = token.split_once('.').map_or(token, |(_, secret)| secret);
    for form in forms(token) {
        run.check(!all.contains(&form), "a form of the token is shown");
    }
    run.check(!all.contains(&secret[..8]), "the beginning of the secret is shown");
}

type Script = fn(&mut Cluster, &Request, &str) -> Reply;
type Echo = (&'static str, Route, Script);

/// A condition on the created request with these words.
fn condition(cluster: &mut Cluster, request: &Request, kind: &str, words: &str) -> Reply {
    cluster.approves = false;
    cluster.create(request);
    let name = cluster.names().remove(0);
    let condition = json!([{"type": kind, "status": "True", "reason": words, "message": words}]);
    cluster.edit(&name, |item| item["status"]["conditions"] = condition);
    Reply::json(201, cluster.item(&name))
}

fn stream(object: &Value) -> Reply {
    Reply::chunked(vec![Piece::Bytes(format!("{object}\n").into_bytes()), Piece::Hold])
}

fn status(code: u16, words: &str) -> Value {
    json!({"kind": "Status", "status": "ErrorKind", "code": code, "message": words})
}

const ECHOES: [Echo; 15] = [
    ("a page with 201", Route::Create, |_, _, words| Reply::text(201, "text/html", &format!("<p>{words}"))),
    ("other JSON with 201", Route::Create, |_, _, words| Reply::json(201, &json!({"metadata": words}))),
    ("a text where a number belongs", Route::Create, |_, _, words| {
        Reply::json(201, &json!({"metadata": {"name": [words]}}))
    }),
    ("a refusal", Route::Create, |_, _, words| Reply::json(403, &status(403, words))),
    ("a refusal in text", Route::Create, |_, _, words| Reply::text(503, words, words)),
    ("a redirect", Route::Create, |_, _, words| Reply::text(302, words, "").header("Location", words)),
    ("a reason and a page", Route::Create, |_, _, words| {
        Reply::raw(vec![Piece::Bytes(
            format!("HTTP/1.1 422 {words}\r\nX: {words}\r\n\r\n{words}").into_bytes(),
        )])
    }),
    ("a denial", Route::Create, |cluster, request, words| condition(cluster, request, "Denied", words)),
    ("a failure", Route::Create, |cluster, request, words| condition(cluster, request, "Failed", words)),
    ("an error in the watch", Route::Watch, |_, _, words| stream(&event("ERROR", &status(500, words)))),
    ("an error that is none", Route::Watch, |_, _, words| stream(&event("ERROR", &json!({"code": words})))),
    ("an event that is none", Route::Watch, |_, _, words| stream(&json!({"type": [words]}))),
    ("an event of another kind", Route::Watch, |_, _, words| {
        stream(&json!({"type": words, "object": {"metadata": words}}))
    }),
    ("a refused watch", Route::Watch, |_, _, words| Reply::json(400, &status(400, words))),
    ("a watch of text", Route::Watch, |_, _, words| {
        Reply::text(200, "text/plain", &format!("{words}\n{words}\n"))
    }),
];

#[test]
fn a_verified_server_that_repeats_the_token_is_not_quoted() {
    for words in [echo as fn(&str) -> String, cut] {
        crate::support::all(
            &ECHOES,
            |case| case.0.to_owned(),
            |(_, route, script)| {
                let (api, node, script) = (Api::manual(), Node::new(), *script);
                let words = words(TOKEN);
                api.on(*route, move |_, request, cluster| Some(script(cluster, request, &words)));
                let run = node.join(&api).with_cert().args(DEADLINE).run();
                run.check(run.code != Some(0), "it was refused");
                shows_none(&run, TOKEN);
            },
        );
    }
}

#[test]
fn a_token_of_any_kind_is_not_quoted() {
    const BEARER: &str = "a+Static/Token-~WithNoDot==";
    let (api, node) = (Api::start(), Node::new());
    let file = node.beside("bearer");
    std::fs::write(&file, BEARER).expect("a file beside the root");
    api.on(Route::Create, |_, request, _| {
        let given = request.header("authorization").unwrap_or_default();
        let percent = "a%2BStatic%2FToken-~WithNoDot%3D%3D";
        Some(Reply::json(400, &status(400, &format!("{given} {percent} {}", echo(BEARER)))))
    });
    let ca = node.beside("ca.pem");
    std::fs::write(&ca, api.authority.pem()).expect("a file beside the root");
    let words = format!(
        "--server https://{} --certificate-authority {} --bearer-token-file {}",
        api.endpoint(),
        ca.display(),
        file.display(),
    );
    let run = node.join_at("", &[]).token("").with_cert().args(&words).args(DEADLINE).run();
    run.expect("denied").says(&["Bearer *** ***"]);
    shows_none(&run, BEARER);
}

#[test]
fn a_certificate_that_names_the_token_is_not_quoted() {
    // The issuer of what is issued, which the report tells.
    let (api, node) = (Api::start(), Node::new());
    let issuer = Authority::new(TOKEN);
    api.cluster(|cluster| cluster.signer = Box::new(move |request| issuer.sign(request)));
    let run = node.join(&api).with_cert().run();
    run.expect("joined").says(&["issued by CN=***"]);
    shows_none(&run, TOKEN);
    let again = node.join(&api).with_cert().run();
    again.expect("already-joined");
    shows_none(&again, TOKEN);

    // The server of a redial, which is for other names than this.
    let (api, node) = (Api::start(), Node::new());
    let identity = api.authority.server_with(&[TOKEN], |params| {
        params.distinguished_name.push(DnType::CommonName, TOKEN);
    });
    let other = Api::with(Setup {
        authority: Arc::clone(&api.authority),
        identity: Some(identity),
        ..Setup::default()
    });
    let relay = Relay::start(vec![api.address(), other.address()]);
    let published = jws::kubeconfig(&api.authority.pem(), &format!("https://{}", relay.endpoint()));
    api.cluster(|cluster| cluster.publish(&published));
    api.on(Route::Discovery, |_, _, cluster| Some(cluster.config_map().close()));
    let run = node.join(&api).endpoint(relay.endpoint()).with_cert().args(DEADLINE).run();
    run.expect("not-trusted");
    shows_none(&run, TOKEN);
}

#[test]
fn what_the_cluster_has_for_a_kubelet_is_not_quoted() {
    type Config = (&'static str, fn(&str) -> Reply);
    let cases: [Config; 4] = [
        ("no JSON", |words| Reply::text(200, "text/plain", words)),
        ("no text", |words| Reply::json(200, &json!({"data": {"kubelet": [words]}}))),
        ("no configuration", |words| {
            Reply::json(200, &json!({"data": {"kubelet": format!("{words}: [{words}")}}))
        }),
        ("a CA by that name", |words| {
            let text =
                "apiVersion: kubelet.config.k8s.io/v1beta1\nauthentication:\n  x509:\n    clientCAFile: \"";
            Reply::json(
                200,
                &json!({"data": {"kubelet": format!("{text}/{words}\"\nkind: KubeletConfiguration\n")}}),
            )
        }),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, reply)| {
            let (api, node, reply) = (Api::start(), Node::new(), *reply);
            api.on(Route::KubeletConfig, move |_, _, _| Some(reply(&echo(TOKEN))));
            let run = node.join(&api).with_cert().args("--with-kubelet-config").args(DEADLINE).run();
            shows_none(&run, TOKEN);
        },
    );
}
