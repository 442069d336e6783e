//! What is pinned, and what is trusted beside it.

use std::sync::Arc;

use crate::support::api::{Api, Route, Setup, jws};
use crate::support::node::{CA, Node};
use crate::support::pki::{Authority, ServerIdentity, pem_text};
use crate::support::relay::Relay;

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

#[test]
fn one_right_pin_is_needed_and_enough() {
    type Words = fn(&str, &str) -> Vec<String>;
    let wrong = format!("sha256:{}", "00".repeat(32));
    let cases: [(&str, Words, bool); 5] = [
        ("a wrong one", |_, wrong| vec![wrong.to_owned()], false),
        (
            "a wrong one beside the flag that asks for none",
            |_, wrong| vec![wrong.to_owned(), "--discovery-token-unsafe-skip-ca-verification".to_owned()],
            false,
        ),
        ("two, the second right", |right, wrong| vec![wrong.to_owned(), right.to_owned()], true),
        ("a list with commas", |right, wrong| vec![format!("{right},{wrong}")], true),
        ("upper case", |right, _| vec![right.to_uppercase().replace("SHA256", "sha256")], true),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, words, good)| {
            let (api, node) = (Api::start(), Node::new());
            let (flags, pins): (Vec<_>, Vec<_>) =
                words(&api.authority.pin(), &wrong).into_iter().partition(|word| word.starts_with("--"));
            let run = node.join(&api).with_cert().pins(&pins).args(&flags.join(" ")).run();
            if *good {
                run.expect("joined");
            } else {
                run.expect("not-trusted");
                assert!(api.routes().iter().all(|route| *route == Route::Discovery));
                node.is_untouched_by(&api);
            }
        },
    );
}

#[test]
fn the_server_of_a_pinned_ca_vouches_for_the_rest_unless_every_ca_must_be_pinned() {
    let other = Authority::new("other");
    for (flag, both, good) in
        [("", false, true), ("--pin-every-ca", false, false), ("--pin-every-ca", true, true)]
    {
        let (api, node) = (Api::start(), Node::new());
        let bundle = api.authority.pem() + &other.pem();
        let server = format!("https://{}", api.endpoint());
        api.cluster(|cluster| cluster.publish(&jws::kubeconfig(&bundle, &server)));
        let mut pins = vec![api.authority.pin()];
        pins.extend(both.then(|| other.pin()));
        let run = node.join(&api).with_cert().pins(&pins).args(flag).run();
        if good {
            run.expect("joined");
            assert_eq!(node.read(CA), bundle);
        } else {
            run.expect("not-trusted").says(&[&other.pin()]);
            node.is_untouched_by(&api);
        }
    }
}

/// A holder of the token with a CA of his own, who has the public certificate of the pinned one: what he publishes, and
/// what his server shows.
struct Forged {
    bundle: String,
    shown: ServerIdentity,
    /// The keys that would have to be pinned to trust him, where there are such.
    named: Vec<String>,
}

/// What it is, and how it is made beside the pinned CA.
type Forgery = (&'static str, fn(&Authority) -> Forged);

#[test]
fn a_ca_that_a_holder_of_the_token_adds_is_not_trusted() {
    let cases: [Forgery; 9] = [
        ("behind the pinned one", |pinned| {
            let own = Authority::new("own");
            let named = vec![own.pin()];
            Forged { bundle: pinned.pem() + &own.pem(), shown: own.server(&NAMES), named }
        }),
        ("before the pinned one", |pinned| {
            let own = Authority::new("own");
            let named = vec![own.pin()];
            Forged { bundle: own.pem() + &pinned.pem(), shown: own.server(&NAMES), named }
        }),
        ("of the same name", |pinned| {
            let own = Authority::new("kubernetes");
            let named = vec![own.pin()];
            Forged { bundle: own.pem() + &pinned.pem(), shown: own.server(&NAMES), named }
        }),
        ("of the same name, with the pinned one behind the server's certificate", |pinned| {
            let own = Authority::new("kubernetes");
            let named = vec![own.pin()];
            let shown = own.server(&NAMES).behind([&own, pinned]);
            Forged { bundle: pinned.pem() + &own.pem(), shown, named }
        }),
        ("one that has signed the pinned one's key", |pinned| {
            let own = Authority::new("kubernetes");
            let named = vec![own.pin()];
            let cross = pem_text("CERTIFICATE", &pinned.cross_signed_by(&own));
            Forged { bundle: cross + &pinned.pem() + &own.pem(), shown: own.server(&NAMES), named }
        }),
        ("one that has signed the pinned one's key, which alone is published", |pinned| {
            let own = Authority::new("kubernetes");
            let mut shown = own.server(&NAMES).behind([&own]);
            let cross = pinned.cross_signed_by(&own);
            shown.chain.push(cross.clone());
            Forged { bundle: pem_text("CERTIFICATE", &cross), shown, named: Vec::new() }
        }),
        ("a root of his and a CA below it, which signs", |pinned| {
            let root = Authority::new("root");
            let own = root.below("own", |_| {});
            let named = vec![root.pin(), own.pin()];
            Forged { bundle: pinned.pem() + &root.pem() + &own.pem(), shown: own.server(&NAMES), named }
        }),
        ("a root of his, with a CA below it that he shows", |pinned| {
            let root = Authority::new("root");
            let own = root.below("own", |_| {});
            let named = vec![root.pin()];
            let shown = own.server(&NAMES).behind([&own]);
            Forged { bundle: pinned.pem() + &root.pem(), shown, named }
        }),
        ("a server that signs itself", |pinned| {
            let own = Authority::new("localhost");
            Forged { bundle: pinned.pem() + &own.pem(), shown: own.itself(), named: Vec::new() }
        }),
    ];
    crate::support::all(
        &cases,
        |case| case.0.to_owned(),
        |(_, forge)| {
            let pinned = Authority::new("kubernetes");
            let Forged { bundle, shown, named } = forge(&pinned);
            for elsewhere in [false, true] {
                let signer = Arc::new(Authority::new("own"));
                let (real, node) = (Api::start(), Node::new());
                let shown = ServerIdentity { chain: shown.chain.clone(), key: shown.key.clone_key() };
                let setup = Setup { authority: signer, identity: Some(shown), ..Setup::default() };
                let forger = Api::with(setup);
                let server = if elsewhere { real.endpoint() } else { forger.endpoint() };
                let kubeconfig = jws::kubeconfig(&bundle, &format!("https://{server}"));
                forger.cluster(|cluster| cluster.publish(&kubeconfig));
                let join = node.join(&forger).with_cert().pins(&[pinned.pin()]);
                let run = join.args("--discovery-timeout 3s").run();
                let keys: Vec<&str> = named.iter().map(String::as_str).collect();
                run.expect("not-trusted").says(&keys);
                assert!(forger.routes().iter().all(|route| *route == Route::Discovery));
                node.is_untouched_by(&forger);
                assert_eq!(real.connections().len(), 0, "what he names is dialled");
            }
        },
    );
}

#[test]
fn the_dialled_server_vouches_for_the_named_one_of_another_ca() {
    let (old, new) = (Arc::new(Authority::new("kubernetes")), Arc::new(Authority::new("kubernetes")));
    for (dialled, named, outcome) in [(&old, &new, "joined"), (&new, &old, "not-trusted")] {
        let named = Api::with(Setup { authority: Arc::clone(named), ..Setup::default() });
        let dialled = Api::with(Setup { authority: Arc::clone(dialled), ..Setup::default() });
        let bundle = old.pem() + &new.pem();
        let kubeconfig = jws::kubeconfig(&bundle, &format!("https://{}", named.endpoint()));
        dialled.cluster(|cluster| cluster.publish(&kubeconfig));
        let node = Node::new();
        let join = node.join(&dialled).with_cert().pins(&[old.pin()]).args("--discovery-timeout 3s");
        join.run().expect(outcome);
        assert_eq!(dialled.credentials_seen(), 0);
        assert_eq!(named.connections().is_empty(), outcome != "joined");
    }
}

/// The first connection is judged by the pinned CA, and once it is trusted a redial by any CA of the bundle: behind one
/// name are servers of both.
#[test]
fn once_trusted_a_redial_may_meet_any_ca_of_the_bundle() {
    let (old, new) = (Authority::new("kubernetes"), Authority::new("kubernetes"));
    let first = Api::with(Setup { identity: Some(old.server(&NAMES)), ..Setup::default() });
    let second = Api::with(Setup { identity: Some(new.server(&NAMES)), ..Setup::default() });
    let relay = Relay::start(vec![first.address(), second.address()]);
    let kubeconfig = jws::kubeconfig(&(old.pem() + &new.pem()), &format!("https://{}", relay.endpoint()));
    first.cluster(|cluster| cluster.publish(&kubeconfig));
    first.on(Route::Discovery, |_, request, cluster| Some(cluster.answer(request).close()));
    let node = Node::new();
    node.join_at(&relay.endpoint(), &[old.pin()]).with_cert().run().expect("joined");
    assert_eq!(
        (first.routes(), second.routes()),
        (vec![Route::Discovery], vec![Route::Create, Route::Watch])
    );
}

#[test]
fn a_dialled_server_without_a_good_chain_is_enough_only_without_pins() {
    for (pinned, outcome) in [(true, "not-trusted"), (false, "joined")] {
        let (named, node) = (Api::start(), Node::new());
        let dialled = Api::with(Setup {
            authority: Arc::clone(&named.authority),
            identity: Some(Authority::new("proxy").server(&["localhost"])),
            server: Some(format!("https://{}", named.endpoint())),
            ..Setup::default()
        });
        let join = node.join(&dialled).with_cert();
        let unpinned = || join.clone().pins(&[]).args("--discovery-token-unsafe-skip-ca-verification");
        let run = if pinned { join.run() } else { unpinned().run() };
        run.expect(outcome);
        run.check(
            pinned != run.stderr.contains("trust: signature verified, without a CA pin"),
            "told that it is not pinned",
        );
        assert_eq!(dialled.credentials_seen(), 0);
        assert_eq!(named.requests().is_empty(), pinned);
    }
}
