//! Chains, and the rules that webpki leaves out.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

use super::*;

const NAME: &str = "api.example";

/// What a certificate is to be.
struct Made {
    params: CertificateParams,
    key: KeyPair,
    der: CertificateDer<'static>,
}

impl Made {
    /// A CA of this name, by itself or by another one.
    fn ca(name: &str, by: Option<&Self>, adjust: impl FnOnce(&mut CertificateParams)) -> Self {
        Self::new(name, by, |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            adjust(params);
        })
    }

    /// A server's certificate.
    fn server(by: &Self, adjust: impl FnOnce(&mut CertificateParams)) -> Self {
        Self::new("server", Some(by), |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            adjust(params);
        })
    }

    /// From 2020 until the end of 2049.
    fn new(name: &str, by: Option<&Self>, adjust: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2050, 1, 1));
        adjust(&mut params);
        let key = KeyPair::generate().unwrap();
        let der = match by {
            None => params.self_signed(&key).unwrap().der().clone(),
            Some(by) => {
                params.signed_by(&key, &Issuer::from_params(&by.params, &by.key)).unwrap().der().clone()
            }
        };
        Self { params, key, der }
    }

    fn read(&self) -> Certificate {
        Certificate::from_der(&self.der).unwrap()
    }
}

/// Seconds since 2030 began.
fn at(seconds: i64) -> SystemTime {
    let begin = UNIX_EPOCH + Duration::from_hours(525_960);
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { begin - by } else { begin + by }
}

/// Whether this chain leads to one of `roots` at that time.
fn holds(roots: &[&Made], between: &[&Made], chain: &[&Made], now: SystemTime) -> bool {
    let read = |list: &[&Made]| list.iter().map(|made| made.read()).collect::<Vec<_>>();
    let (roots, between) = (read(roots), read(between));
    let chain: Vec<_> = chain.iter().map(|made| made.der.clone()).collect();
    Anchors::read(&roots, &between).verify(&chain, &NAME.try_into().unwrap(), now).is_ok()
}

#[test]
fn a_root_is_valid_to_both_ends_of_its_time() {
    let from_2030 = Made::ca("root", None, |params| params.not_before = date_time_ymd(2030, 1, 1));
    let to_2030 = Made::ca("root", None, |params| params.not_after = date_time_ymd(2030, 1, 1));
    let always = Made::ca("root", None, |_| {});
    for (root, before, when, behind) in
        [(&from_2030, false, true, true), (&to_2030, true, true, false), (&always, true, true, true)]
    {
        let server = Made::server(root, |_| {});
        for (seconds, expected) in [(-1, before), (0, when), (1, behind)] {
            for roots in [&[root][..], &[root, root]] {
                assert_eq!(holds(roots, &[], &[&server], at(seconds)), expected, "{seconds}");
            }
        }
    }
    let other = Made::ca("other", None, |_| {});
    assert!(!holds(&[&other], &[], &[&Made::server(&always, |_| {})], at(0)));
    assert!(!holds(&[&always], &[], &[], at(0)), "no certificate at all");
}

/// They differ in what they allow, and their chains look the same.
#[test]
fn of_roots_of_one_name_and_key_any_may_allow_it() {
    let root = Made::ca("root", None, |_| {});
    let again = |adjust: fn(&mut CertificateParams)| {
        let mut params = root.params.clone();
        adjust(&mut params);
        let der = params.self_signed(&root.key).unwrap().der().clone();
        Made { params, key: KeyPair::generate().unwrap(), der }
    };
    let (early, late) = (
        again(|params| params.not_after = date_time_ymd(2029, 1, 1)),
        again(|params| params.not_before = date_time_ymd(2031, 1, 1)),
    );
    let server = Made::server(&root, |_| {});
    for (roots, expected) in [
        (&[&early][..], false),
        (&[&late], false),
        (&[&early, &late], false),
        (&[&early, &root], true),
        (&[&root, &late], true),
        (&[&late, &root, &early], true),
    ] {
        assert_eq!(holds(roots, &[], &[&server], at(0)), expected);
    }
}

#[test]
fn a_root_reaches_as_far_down_as_it_says() {
    for (length, one, two) in [(0, false, false), (1, true, false), (2, true, true)] {
        let root = Made::ca("root", None, |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(length));
        });
        let first = Made::ca("first", Some(&root), |_| {});
        let second = Made::ca("second", Some(&first), |_| {});
        assert!(holds(&[&root], &[], &[&Made::server(&root, |_| {})], at(0)));
        assert_eq!(holds(&[&root], &[], &[&Made::server(&first, |_| {}), &first], at(0)), one, "{length}");
        let server = Made::server(&second, |_| {});
        assert_eq!(holds(&[&root], &[], &[&server, &second, &first], at(0)), two, "{length}");
        // What the server does not send, and what both have.
        assert_eq!(holds(&[&root], &[&first], &[&server, &second], at(0)), two, "{length}");
        assert_eq!(holds(&[&root], &[&first, &second], &[&server, &second], at(0)), two, "{length}");
        assert!(!holds(&[&root], &[], &[&server, &second], at(0)));
    }
}

#[test]
fn who_signs_may_do_so_by_its_own_usage() {
    let may_not = |params: &mut CertificateParams| params.key_usages = vec![KeyUsagePurpose::CrlSign];
    let root = Made::ca("root", None, |_| {});
    let middle = Made::ca("middle", Some(&root), may_not);
    assert!(!holds(&[&root], &[], &[&Made::server(&middle, |_| {}), &middle], at(0)));
    let root = Made::ca("root", None, may_not);
    assert!(!holds(&[&root], &[], &[&Made::server(&root, |_| {})], at(0)));
    let for_clients = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let root = Made::ca("root", None, for_clients);
    assert!(!holds(&[&root], &[], &[&Made::server(&root, |_| {})], at(0)));
}

#[test]
fn a_root_that_the_server_shows_too_is_the_end_of_the_chain() {
    let top = Made::ca("top", None, |params| params.not_after = date_time_ymd(2029, 1, 1));
    let root = Made::ca("root", Some(&top), |_| {});
    let server = Made::server(&root, |_| {});
    for chain in [&[&server, &root][..], &[&server, &root, &top]] {
        assert!(holds(&[&root], &[], chain, at(0)));
        assert!(!holds(&[&top], &[], chain, at(0)));
    }
}

#[test]
fn a_servers_certificate_among_the_roots_is_a_chain_by_itself() {
    let nobody = Made::ca("nobody", None, |_| {});
    let own = Made::server(&nobody, |params| params.not_before = date_time_ymd(2030, 1, 1));
    assert!(holds(&[&own], &[], &[&own], at(0)) && !holds(&[&own], &[], &[&own], at(-1)));
    let another = Made::server(&nobody, |_| {});
    assert!(!holds(&[&own], &[], &[&another], at(0)) && !holds(&[&another], &[], &[&own], at(0)));
    let for_clients = Made::server(&nobody, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    assert!(!holds(&[&for_clients], &[], &[&for_clients], at(0)));
}

#[test]
fn a_kubelet_is_no_server_of_the_api() {
    let root = Made::ca("root", None, |_| {});
    for (organization, expected) in [("system:nodes", false), ("system:masters", true)] {
        let server = Made::server(&root, |params| {
            params.distinguished_name.push(DnType::OrganizationName, organization);
        });
        assert_eq!(holds(&[&root], &[], &[&server], at(0)), expected, "{organization}");
        assert_eq!(holds(&[&server], &[], &[&server], at(0)), expected, "{organization}");
    }
}
