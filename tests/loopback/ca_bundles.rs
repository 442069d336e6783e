//! CA bundles as clusters have them while they rotate a CA, or after somebody has had a hand in them.

use std::sync::Arc;

use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyPair};

use crate::support::api::{Api, Route, Setup, jws};
use crate::support::node::{CA, Node};
use crate::support::pki::{Authority, DAY, ServerIdentity, pem_text, pin_of, valid};

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// What cluster-info holds, what the server shows, and what is pinned.
struct Bundle {
    pem: String,
    shown: ServerIdentity,
    pins: Vec<String>,
}

/// What it is, how the join ends, and how it is made.
type Case = (&'static str, &'static str, fn() -> Bundle);

/// An old CA and the one that follows it.
fn rotation() -> (Authority, Authority) {
    (Authority::new("kubernetes"), Authority::new("kubernetes"))
}

fn expired() -> Authority {
    Authority::with("kubernetes", |params| valid(params, -9 * DAY, -DAY))
}

/// Joins the cluster of each bundle. A good one is written as it was published, with a pin for each of its keys in the
/// report; of any other nothing is left and no credential was sent.
fn all(cases: &[Case]) {
    crate::support::all(
        cases,
        |case| case.0.to_owned(),
        |(_, outcome, make)| {
            let Bundle { pem, shown, pins } = make();
            // Whoever signs nodes is not the question here.
            let signer = Arc::new(Authority::new("signer"));
            let api = Api::with(Setup { authority: signer, identity: Some(shown), ..Setup::default() });
            let node = Node::new();
            let server = format!("https://{}", api.endpoint());
            api.cluster(|cluster| cluster.publish(&jws::kubeconfig(&pem, &server)));
            let join = node.join(&api).with_cert().pins(&pins).args("--discovery-timeout 3s");
            let run = join.run();
            run.expect(outcome);
            if *outcome == "joined" {
                assert_eq!(node.read(CA), pem, "as it was published");
                let hashes = run.report()["caHashes"].as_array().map(Vec::len);
                assert_eq!(hashes, Some(pem.matches("-----BEGIN CERTIFICATE-----").count()));
            } else {
                assert!(api.routes().iter().all(|route| *route == Route::Discovery));
                node.is_untouched_by(&api);
            }
        },
    );
}

#[test]
fn a_rotation_is_joined_at_any_of_its_steps() {
    all(&[
        ("both pinned, the old one serves", "joined", || {
            let (old, new) = rotation();
            let pins = vec![old.pin(), new.pin()];
            Bundle { pem: old.pem() + &new.pem(), shown: old.server(&NAMES), pins }
        }),
        ("both pinned, the new one serves", "joined", || {
            let (old, new) = rotation();
            let pins = vec![old.pin(), new.pin()];
            Bundle { pem: old.pem() + &new.pem(), shown: new.server(&NAMES), pins }
        }),
        ("the old one pinned, the old one serves", "joined", || {
            let (old, new) = rotation();
            Bundle { pem: old.pem() + &new.pem(), shown: old.server(&NAMES), pins: vec![old.pin()] }
        }),
        ("the old one pinned, the new one serves", "not-trusted", || {
            let (old, new) = rotation();
            Bundle { pem: old.pem() + &new.pem(), shown: new.server(&NAMES), pins: vec![old.pin()] }
        }),
        ("the new one pinned, the new one serves", "joined", || {
            let (old, new) = rotation();
            Bundle { pem: old.pem() + &new.pem(), shown: new.server(&NAMES), pins: vec![new.pin()] }
        }),
        ("the new one pinned, the old one serves", "not-trusted", || {
            let (old, new) = rotation();
            Bundle { pem: old.pem() + &new.pem(), shown: old.server(&NAMES), pins: vec![new.pin()] }
        }),
        ("the new one before the old one", "joined", || {
            let (old, new) = rotation();
            Bundle { pem: new.pem() + &old.pem(), shown: old.server(&NAMES), pins: vec![old.pin()] }
        }),
        ("a third one serves", "not-trusted", || {
            let (old, new) = rotation();
            let shown = Authority::new("kubernetes").server(&NAMES);
            Bundle { pem: old.pem() + &new.pem(), shown, pins: vec![old.pin()] }
        }),
    ]);
}

#[test]
fn a_cross_signed_ca_is_one_in_the_bundle_and_in_the_chain() {
    all(&[
        ("in the bundle", "joined", || {
            let (old, new) = rotation();
            let cross = pem_text("CERTIFICATE", &new.cross_signed_by(&old));
            Bundle { pem: old.pem() + &cross, shown: new.server(&NAMES), pins: vec![new.pin()] }
        }),
        ("in the bundle, below the pinned one", "joined", || {
            let (old, new) = rotation();
            let cross = pem_text("CERTIFICATE", &new.cross_signed_by(&old));
            Bundle { pem: old.pem() + &cross, shown: new.server(&NAMES), pins: vec![old.pin()] }
        }),
        ("in the bundle, before its self-signed form, below the pinned one", "joined", || {
            let (old, new) = rotation();
            let cross = pem_text("CERTIFICATE", &new.cross_signed_by(&old));
            let pem = cross + &new.pem() + &old.pem();
            Bundle { pem, shown: new.server(&NAMES), pins: vec![old.pin()] }
        }),
        ("in the bundle, the old one's below the new one, which is not pinned", "not-trusted", || {
            let (old, new) = rotation();
            let cross = pem_text("CERTIFICATE", &old.cross_signed_by(&new));
            let pem = old.pem() + &cross + &new.pem();
            Bundle { pem, shown: new.server(&NAMES), pins: vec![old.pin()] }
        }),
        ("in the bundle, without the one that has signed it, which is pinned", "not-trusted", || {
            let (old, new) = rotation();
            let cross = pem_text("CERTIFICATE", &new.cross_signed_by(&old));
            Bundle { pem: cross, shown: new.server(&NAMES), pins: vec![old.pin()] }
        }),
        ("in the bundle, beside its self-signed form", "joined", || {
            let (old, new) = rotation();
            let cross = pem_text("CERTIFICATE", &new.cross_signed_by(&old));
            Bundle { pem: new.pem() + &cross, shown: new.server(&NAMES), pins: vec![new.pin()] }
        }),
        ("in the chain that the server shows", "joined", || {
            let (old, new) = rotation();
            let mut shown = new.server(&NAMES);
            shown.chain.push(new.cross_signed_by(&old));
            Bundle { pem: old.pem(), shown, pins: vec![old.pin()] }
        }),
        ("in neither", "not-trusted", || {
            let (old, new) = rotation();
            Bundle { pem: old.pem(), shown: new.server(&NAMES), pins: vec![old.pin()] }
        }),
    ]);
}

#[test]
fn an_expired_ca_is_no_root_and_harms_no_other() {
    all(&[
        ("before a good one", "joined", || {
            let (old, new) = (expired(), Authority::new("kubernetes"));
            Bundle { pem: old.pem() + &new.pem(), shown: new.server(&NAMES), pins: vec![new.pin()] }
        }),
        ("behind a good one", "joined", || {
            let (old, new) = (expired(), Authority::new("kubernetes"));
            Bundle { pem: new.pem() + &old.pem(), shown: new.server(&NAMES), pins: vec![new.pin()] }
        }),
        ("the one that serves", "not-trusted", || {
            let (old, new) = (expired(), Authority::new("kubernetes"));
            Bundle { pem: old.pem() + &new.pem(), shown: old.server(&NAMES), pins: vec![new.pin()] }
        }),
        ("the pinned one, before the one that serves", "not-trusted", || {
            let (old, new) = (expired(), Authority::new("kubernetes"));
            Bundle { pem: old.pem() + &new.pem(), shown: new.server(&NAMES), pins: vec![old.pin()] }
        }),
        ("the pinned one, which serves beside a good one", "clock", || {
            let (old, new) = (expired(), Authority::new("other"));
            Bundle { pem: old.pem() + &new.pem(), shown: old.server(&NAMES), pins: vec![old.pin()] }
        }),
        ("one between the pinned one and the server", "not-trusted", || {
            let (root, middle) = (Authority::new("root"), expired());
            let pem = root.pem() + &pem_text("CERTIFICATE", &middle.cross_signed_by(&root));
            Bundle { pem, shown: middle.server(&NAMES), pins: vec![root.pin()] }
        }),
        ("all of them", "clock", || {
            let (old, older) = (expired(), expired());
            Bundle { pem: old.pem() + &older.pem(), shown: old.server(&NAMES), pins: vec![old.pin()] }
        }),
    ]);
}

#[test]
fn a_certificate_twice_or_one_of_no_ca_does_no_harm_and_is_no_root() {
    all(&[
        ("twice", "joined", || {
            let ca = Authority::new("kubernetes");
            Bundle { pem: ca.pem() + &ca.pem(), shown: ca.server(&NAMES), pins: vec![ca.pin()] }
        }),
        ("a server's beside the CA", "joined", || {
            let ca = Authority::new("kubernetes");
            let shown = ca.server(&NAMES);
            let pem = pem_text("CERTIFICATE", &shown.chain[0]) + &ca.pem();
            Bundle { pem, shown, pins: vec![ca.pin()] }
        }),
        ("a server's beside the CA that has signed it, and pinned", "not-trusted", || {
            let (ca, key) = (Authority::new("kubernetes"), KeyPair::generate().expect("a key"));
            let other = ca.server_of(&key, &["other"], |_| {});
            let pem = ca.pem() + &pem_text("CERTIFICATE", &other.chain[0]);
            Bundle { pem, shown: ca.server(&NAMES), pins: vec![pin_of(&key)] }
        }),
        ("the server's own beside a CA that did not sign it", "not-trusted", || {
            let (ca, other) = rotation();
            let shown = other.server(&NAMES);
            let pem = ca.pem() + &pem_text("CERTIFICATE", &shown.chain[0]);
            Bundle { pem, shown, pins: vec![ca.pin()] }
        }),
    ]);
}

/// A root, and the chain of a server below a CA that the root has signed.
fn below(root: &Authority) -> Bundle {
    let middle = Authority::new("middle");
    let mut shown = middle.server(&NAMES);
    shown.chain.push(middle.cross_signed_by(root));
    Bundle { pem: root.pem(), shown, pins: vec![root.pin()] }
}

#[test]
fn a_root_vouches_as_far_as_it_says() {
    all(&[
        ("a CA below a root that does not count them", "joined", || below(&Authority::new("root"))),
        ("a CA below a root that allows one", "joined", || {
            below(&Authority::with("root", |ca| ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(1))))
        }),
        ("a CA below a root that allows none", "not-trusted", || {
            below(&Authority::with("root", |ca| ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))))
        }),
        ("a CA that is pinned below a root that is not", "joined", || {
            let root = Authority::new("root");
            let middle = root.below("middle", |_| {});
            let pins = vec![middle.pin()];
            Bundle { pem: root.pem() + &middle.pem(), shown: middle.server(&NAMES), pins }
        }),
        ("a root that is pinned, and a server of a CA that only the bundle holds", "joined", || {
            let root = Authority::new("root");
            let middle = root.below("middle", |_| {});
            Bundle { pem: middle.pem() + &root.pem(), shown: middle.server(&NAMES), pins: vec![root.pin()] }
        }),
        ("a root that is pinned and allows none, and a server of a CA in the bundle", "not-trusted", || {
            let root = Authority::with("root", |ca| ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
            let middle = root.below("middle", |_| {});
            Bundle { pem: middle.pem() + &root.pem(), shown: middle.server(&NAMES), pins: vec![root.pin()] }
        }),
        ("a CA that is pinned beside a sibling that serves", "not-trusted", || {
            let root = Authority::new("root");
            let (one, other) = (root.below("one", |_| {}), root.below("other", |_| {}));
            let pem = one.pem() + &other.pem() + &root.pem();
            Bundle { pem, shown: other.server(&NAMES), pins: vec![one.pin()] }
        }),
        ("a server below a root that allows no CA", "joined", || {
            let root = Authority::with("root", |ca| ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
            Bundle { pem: root.pem(), shown: root.server(&NAMES), pins: vec![root.pin()] }
        }),
        ("a root for servers and clients", "joined", || {
            let purposes = [ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
            let root = Authority::with("root", |ca| ca.extended_key_usages = purposes.to_vec());
            Bundle { pem: root.pem(), shown: root.server(&NAMES), pins: vec![root.pin()] }
        }),
        ("a root for clients", "not-trusted", || {
            let root = Authority::with("root", |ca| {
                ca.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            });
            Bundle { pem: root.pem(), shown: root.server(&NAMES), pins: vec![root.pin()] }
        }),
    ]);
}

/// A root whose text has been changed.
fn changed(from: &str, to: &str) -> Bundle {
    let root = Authority::new("root");
    Bundle { pem: root.pem().replacen(from, to, 1), shown: root.server(&NAMES), pins: vec![root.pin()] }
}

#[test]
fn a_bundle_that_no_kubelet_could_read_is_refused() {
    all(&[
        ("a block that does not begin its line", "not-trusted", || changed("-----BEGIN", " -----BEGIN")),
        ("a block that ends within its line", "not-trusted", || changed("\n-----END", "-----END")),
        ("a block whose end is another", "not-trusted", || {
            changed("END CERTIFICATE-----", "END CERTIFICATE------")
        }),
        ("a block with headers", "not-trusted", || changed("-----\n", "-----\nkey: value\n\n")),
    ]);
}
