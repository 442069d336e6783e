//! Pins over a bundle of several CAs: what Go's verifier says with the pinned ones as the only roots and the others as
//! intermediates, and what kubeadm makes of the same, beside the whole trust decision here.

use std::slice;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use nodestrap::testing::error::ErrorKind::{Clock, NotTrusted};
use nodestrap::testing::trust::{CaBundle, Pin, Pins};
use rcgen::{BasicConstraints, CertificateParams, IsCa};
use rustls::pki_types::CertificateDer;

use super::ca_bundles::block;
use super::chains::{self, Shown, theirs};
use super::diff_report::{Case, Class, DiffReport};
use super::oracle::Oracle;
use super::random::{Random, count};
use crate::support::pki::{Authority, DAY, valid};

/// What Go says with the pinned certificates as the only roots, where it refuses.
const ALONE: &str = "no chain to a pinned CA, says Go";

const CLASSES: &[Class<Shown, ()>] = &[Class {
    name: "a chain to a CA that is not pinned",
    reason: "kubeadm takes the whole bundle where one of it is pinned, so a holder of the token can add his own CA",
    explains: |case| (case.stricter(NotTrusted, "") || case.stricter(Clock, "")) && case.input.has(ALONE),
}];

/// CAs of one or two names, below, across and beside each other; a server of one of them; and pins for some. No more
/// than four have one name: of five there can be more paths than webpki tries.
fn draw(random: &mut Random) -> (Shown, Vec<String>) {
    let change = |random: &mut Random| -> fn(&mut CertificateParams) {
        match random.below(24) {
            0 => |params| valid(params, -20 * DAY, -DAY),
            1 => |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)),
            2 => |params| params.is_ca = IsCa::ExplicitNoCa,
            _ => |_| {},
        }
    };
    let mut all: Vec<Authority> = Vec::new();
    for _ in 0..3 {
        let name = random.pick(&["kubernetes", "kubernetes", "other"]);
        let change = change(random);
        let below = random.once_in(3).then(|| all.last()).flatten();
        let authority =
            below.map_or_else(|| Authority::with(name, change), |above| above.below(name, change));
        all.push(authority);
    }
    let mut certificates: Vec<CertificateDer<'static>> =
        all.iter().map(|authority| authority.certificate.clone()).collect();
    for _ in 0..random.below(2) {
        let (one, other) = (&all[random.below(3)], &all[random.below(3)]);
        certificates.push(one.cross_signed_by(other));
    }
    let identity = all[random.below(3)].server(&["api.example"]);
    let mut some = |times| -> Vec<CertificateDer<'static>> {
        certificates.iter().filter(|_| !random.once_in(times)).cloned().collect()
    };
    let (mut roots, mut shown) = (some(3), some(2));
    let mut traits = Vec::new();
    if random.once_in(10) {
        traits.push("the server's certificate is a root");
        roots.push(identity.chain[0].clone());
    }
    if roots.is_empty() {
        roots.push(certificates[0].clone());
    }
    if random.once_in(2) {
        roots.reverse();
        shown.reverse();
    }
    let pins = keys(&roots);
    let pins: Vec<String> = pins.iter().filter(|_| random.once_in(2)).cloned().collect();
    let key = rustls::crypto::ring::sign::any_supported_type(&identity.key).expect("a key that can sign");
    let chain = identity.chain.into_iter().chain(shown).collect();
    (Shown { host: "api.example".to_owned(), traits, chain, roots, key }, pins)
}

/// The pins of these.
fn keys(certificates: &[CertificateDer<'static>]) -> Vec<String> {
    let pem: String = certificates.iter().map(block).collect();
    CaBundle::from_pem(pem.into_bytes()).expect("certificates").pins()
}

#[test]
fn pinned_chains() {
    let (mut random, oracle) = (Random::of("pinned chains"), Arc::new(Mutex::new(Oracle::start())));
    let now = SystemTime::now();
    let seconds = now.duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
    let mut alone = DiffReport::new("pinned CAs alone", chains::CLASSES);
    let mut kubeadms = DiffReport::new("pinned CAs and kubeadm", CLASSES);
    for _ in 0..count() {
        let (mut input, pins) = draw(&mut random);
        let parsed = pins.iter().map(|pin| Pin::parse(pin).expect("a pin")).collect();
        let ours = chains::ours(&input, &Pins::AnyCa(parsed), now);
        let is_pinned =
            |certificate: &CertificateDer<'static>| pins.contains(&keys(slice::from_ref(certificate))[0]);
        let (pinned, others): (Vec<_>, Vec<_>) = input.roots.iter().cloned().partition(is_pinned);
        let kubeadm = if pinned.is_empty() {
            Err("no pin".to_owned())
        } else {
            theirs(&oracle, &input, &input.chain, &input.roots, seconds)
        };
        let strict = theirs(&oracle, &input, &[input.chain.clone(), others].concat(), &pinned, seconds);
        if strict.is_err() {
            input.traits.push(ALONE);
        }
        // What Go's verifier takes otherwise than this one has its classes in the first diff.
        if ours.is_ok() == strict.is_ok() {
            kubeadms.hold(&Case { ours: ours.clone(), theirs: kubeadm, input: input.clone() });
        }
        alone.hold(&Case { ours, theirs: strict, input });
    }
    alone.finish();
    kubeadms.finish();
}
