//! A pin and no bootstrap token: nothing is signed, so the connection that delivers cluster-info is all that vouches for
//! it. What is played with a token in `chains`, `roots` and `trust` is played here too; the token of the platform must be
//! sent to nobody else than the cluster's own API server.

use rcgen::DnType;

use crate::suite::{Case, Expect, JOINED, Stage, ends, waits};
use crate::support::api::{Api, Reply, Route, Setup, TOKEN, jws};
use crate::support::pki::{Authority, DAY, pem_text, valid};
use crate::{chains, roots, trust};

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];
const NOT_VERIFIED: Expect = waits("not-trusted", "cannot be verified");
const NOT_FROM_PINNED: Expect = waits("not-trusted", "is not from a pinned CA; pin its key too");
const NOT_PINNED: Expect = waits("not-trusted", "CA keys in cluster-info are not pinned");
const REJECTED: Expect =
    ends("refused", "the token was rejected; audience (aud), issuer (iss) and time (exp, nbf)");

/// What an identity provider signs.
const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtYWNoaW5lLTEifQ.c2lnbmF0dXJlLW9mLXRoZS1maXJzdA";

/// The machine of this stage with its platform's token in a file, and no bootstrap token.
fn without_token(mut stage: Stage) -> Stage {
    let file = stage.node.beside("jwt");
    std::fs::write(&file, TOKEN).expect("a file beside the root");
    stage.token = "";
    stage.words.extend(["--bearer-token-file".to_owned(), file.display().to_string()]);
    stage
}

/// The same with a JWT, which the servers of the cluster take.
fn with_jwt(stage: Stage) -> Stage {
    let stage = without_token(stage);
    std::fs::write(stage.node.beside("jwt"), JWT).expect("a file beside the root");
    for api in &stage.trusted {
        api.cluster(|cluster| JWT.clone_into(&mut cluster.token));
    }
    stage
}

/// A server with this identity, by whose cluster-info these are the CAs.
fn server(bundle: &str, setup: Setup) -> Api {
    let api = Api::with(setup);
    let url = format!("https://{}", api.endpoint());
    api.cluster(|cluster| cluster.publish(&jws::kubeconfig(bundle, &url)));
    api
}

/// A server that shows a certificate of another CA than the pinned one, and publishes what is made of both.
fn other(bundle: fn(&Authority, &Authority) -> String) -> Stage {
    let (pinned, own) = (Authority::new("kubernetes"), Authority::new("kubernetes"));
    let identity = Some(own.server(&NAMES));
    let api = server(&bundle(&pinned, &own), Setup { identity, ..Setup::default() });
    Stage::at(api.endpoint(), vec![pinned.pin()]).and_untrusted(api)
}

/// A server whose certificate the pinned CA has signed, that answers the first question in this way.
fn answering(reply: fn() -> Reply) -> Stage {
    let api = Api::start();
    api.on(Route::Discovery, move |_, _, _| Some(reply()));
    Stage::with_untrusted(api)
}

/// The cluster itself, which answers the request for a certificate with this status.
fn after_trust(status: u16, reason: &'static str) -> Stage {
    let api = Api::start();
    api.on(Route::Create, move |_, _, _| Some(Reply::status(status, reason)));
    Stage::with_trusted(api)
}

/// One case: its name, its end, and the stage that it is played on.
type Row = (&'static str, Expect, fn() -> Stage);

const ROWS: [Row; 20] = [
    ("the cluster itself", JOINED, || Stage::with_trusted(Api::start())),
    ("the cluster itself, that has signed cluster-info for nobody", JOINED, || {
        let api = Api::start();
        api.cluster(|cluster| drop(cluster.published.remove("jws-kubeconfig-abcdef")));
        Stage::with_trusted(api)
    }),
    ("a cluster of another CA", NOT_PINNED, || other(|_, own| own.pem())),
    ("the pinned CA repeated, behind a certificate of another", NOT_VERIFIED, || {
        other(|pinned, _| pinned.pem())
    }),
    ("the pinned CA before another", NOT_FROM_PINNED, || other(|pinned, own| pinned.pem() + &own.pem())),
    ("the pinned CA behind another", NOT_FROM_PINNED, || other(|pinned, own| own.pem() + &pinned.pem())),
    ("the pinned key in a certificate that another CA has signed", NOT_FROM_PINNED, || {
        other(|pinned, own| pem_text("CERTIFICATE", &pinned.cross_signed_by(own)) + &own.pem())
    }),
    ("another key in a certificate that the pinned CA has signed", JOINED, || {
        let (pinned, own) = (Authority::new("kubernetes"), Authority::new("next"));
        let crossed = pem_text("CERTIFICATE", &own.cross_signed_by(&pinned));
        let identity = Some(own.server(&NAMES));
        let api = server(&(pinned.pem() + &crossed), Setup { identity, ..Setup::default() });
        Stage::at(api.endpoint(), vec![pinned.pin()]).and_trusted(api)
    }),
    ("a kubelet's serving certificate", waits("not-trusted", "system:nodes"), || {
        let pinned = Authority::new("kubernetes");
        let organization = DnType::OrganizationName;
        let identity = Some(
            pinned.server_with(&NAMES, |leaf| leaf.distinguished_name.push(organization, "system:nodes")),
        );
        let api = server(&pinned.pem(), Setup { identity, ..Setup::default() });
        Stage::at(api.endpoint(), vec![pinned.pin()]).and_untrusted(api)
    }),
    ("the pinned CA's certificate of another host", NOT_VERIFIED, || {
        let pinned = Authority::new("kubernetes");
        let identity = Some(pinned.server(&["registry.example", "10.0.0.1"]));
        let api = server(&pinned.pem(), Setup { identity, ..Setup::default() });
        Stage::at(api.endpoint(), vec![pinned.pin()]).and_untrusted(api)
    }),
    ("a pinned CA that has expired", waits("clock", ""), || {
        let pinned = Authority::with("kubernetes", |params| valid(params, -90 * DAY, -DAY));
        let identity = Some(pinned.server(&NAMES));
        let api = server(&pinned.pem(), Setup { identity, ..Setup::default() });
        Stage::at(api.endpoint(), vec![pinned.pin()]).and_untrusted(api)
    }),
    ("a pinned CA of version 1", JOINED, || {
        let pinned = Authority::new("kubernetes").of_version(1);
        let (pin, identity) = (pinned.pin(), Some(pinned.server(&NAMES)));
        let api = server(&pinned.pem(), Setup { identity, ..Setup::default() });
        Stage::at(api.endpoint(), vec![pin]).and_trusted(api)
    }),
    ("no CA in cluster-info", waits("not-trusted", "holds 0 certificates; correct ConfigMap"), || {
        let api = server("", Setup::default());
        Stage::with_untrusted(api)
    }),
    ("a redirect", waits("not-published", "redirects are not followed"), || {
        answering(|| Reply::status(302, "Found").header("Location", "https://other.example/"))
    }),
    ("a redirect to itself", waits("not-published", "redirects are not followed"), || {
        answering(|| Reply::status(307, "Temporary Redirect").header("Location", "/"))
    }),
    ("a question who we are", waits("not-published", "anonymous requests are disabled; allow"), || {
        answering(|| Reply::status(401, "Unauthorized").header("WWW-Authenticate", "Bearer realm=\"x\""))
    }),
    ("no right to read cluster-info", waits("not-published", ""), || {
        answering(|| Reply::status(403, "Forbidden"))
    }),
    ("a rejected token", REJECTED.waiting(), || after_trust(401, "Unauthorized")),
    ("a token without the right to create CSRs", waits("refused", "the credential lacks permission"), || {
        after_trust(403, "Forbidden")
    }),
    ("a redirect of the request", ends("denied", "redirects are not followed"), || after_trust(302, "Found")),
];

pub fn cases() -> Vec<Case> {
    let again = chains::cases().into_iter().chain(roots::cases()).chain(trust::at_the_address());
    let again = again.map(|case| {
        let Case { name, expect, stage } = case;
        Case::new(name, expect, move || without_token(stage()))
    });
    let own = ROWS.map(|(name, expect, stage)| Case::new(name, expect, move || with_jwt(stage())));
    again.chain(own).collect()
}
