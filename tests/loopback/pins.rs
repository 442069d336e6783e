//! What is pinned, and what is trusted beside it.

use std::sync::Arc;

use crate::support::api::{Api, Route, Setup, jws};
use crate::support::node::{CA, Node};
use crate::support::pki::Authority;

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
                assert_eq!(api.routes(), [Route::Discovery]);
                node.is_untouched_by(&api);
            }
        },
    );
}

#[test]
fn a_ca_beside_the_pinned_one_is_trusted_as_in_kubeadm_unless_every_ca_must_be_pinned() {
    let stranger = Authority::new("stranger");
    for (flag, both, good) in
        [("", false, true), ("--pin-every-ca", false, false), ("--pin-every-ca", true, true)]
    {
        let (api, node) = (Api::start(), Node::new());
        let bundle = api.authority.pem() + &stranger.pem();
        let server = format!("https://{}", api.endpoint());
        api.cluster(|cluster| cluster.publish(&jws::kubeconfig(&bundle, &server)));
        let mut pins = vec![api.authority.pin()];
        pins.extend(both.then(|| stranger.pin()));
        let run = node.join(&api).with_cert().pins(&pins).args(flag).run();
        if good {
            run.expect("joined");
            assert_eq!(node.read(CA), bundle);
        } else {
            run.expect("not-trusted").says(&[&stranger.pin()]);
            node.is_untouched_by(&api);
        }
    }
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
        assert_eq!(dialled.credentials_seen(), 0);
        assert_eq!(named.requests().is_empty(), pinned);
    }
}
