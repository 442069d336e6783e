//! Certificates that servers and CAs have, with oddities now and then, each named by its trait.

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyUsagePurpose, NameConstraints, SanType,
};

use super::random::Random;
use crate::support::pki::{DAY, valid};

const NAMES: [&str; 10] = [
    "api.example",
    "api.example.org",
    "example.org",
    "a.b.example.org",
    "10.0.0.1",
    "10.1.2.3",
    "fd00::1",
    "*.example.org",
    "*.example",
    "API.Example.org",
];

/// A host, or a pattern for hosts.
pub fn name_of(random: &mut Random) -> String {
    random.pick(&NAMES).to_owned()
}

fn alt_name(name: &str) -> SanType {
    match name.parse() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into().expect("ASCII")),
    }
}

fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// A CA's certificate, with oddities now and then.
pub fn authority(random: &mut Random, name: &str, traits: &mut Vec<&'static str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    valid(&mut params, -DAY, 3650 * DAY);
    if !random.once_in(3) {
        return params;
    }
    match random.below(11) {
        0 => {
            traits.push("no CA");
            params.is_ca = IsCa::ExplicitNoCa;
        }
        1 => {
            traits.push("not even said that it is no CA");
            params.is_ca = IsCa::NoCa;
        }
        2 | 3 => {
            traits.push("path length");
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained([0, 0, 1][random.below(3)]));
        }
        4 => {
            traits.push("may not sign certificates");
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        }
        5 => {
            traits.push("out of time");
            let (from, until) = if random.once_in(2) { (-20 * DAY, -DAY) } else { (DAY, 20 * DAY) };
            valid(&mut params, from, until);
        }
        6 => {
            traits.push("CA's extended key usage");
            set_usages(random, &mut params);
        }
        7 => {
            traits.push("critical unknown extension of a CA");
            let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
            extension.set_criticality(true);
            params.custom_extensions.push(extension);
        }
        8 => {
            traits.push("no key usage");
            params.key_usages.clear();
        }
        _ => {
            traits.push("name constraints");
            params.name_constraints = Some(constraints(random));
        }
    }
    params
}

fn usages(random: &mut Random) -> Vec<ExtendedKeyUsagePurpose> {
    match random.below(5) {
        0 => vec![ExtendedKeyUsagePurpose::ClientAuth],
        1 => vec![ExtendedKeyUsagePurpose::Any],
        2 => vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth],
        _ => Vec::new(),
    }
}

/// Also an extension without any.
fn set_usages(random: &mut Random, params: &mut CertificateParams) {
    params.extended_key_usages = usages(random);
    if params.extended_key_usages.is_empty() && random.once_in(2) {
        params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 37], vec![0x30, 0]));
    }
}

fn constraints(random: &mut Random) -> NameConstraints {
    let tree = |random: &mut Random| match random.below(8) {
        0 => GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(
            "10.0.0.0".parse().expect("an address"),
            8,
        )),
        1 => {
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix("fd00::".parse().expect("an address"), 16))
        }
        2 => GeneralSubtree::DnsName(".example.org".to_owned()),
        3 => GeneralSubtree::DnsName("api.example.org".to_owned()),
        4 => GeneralSubtree::DnsName("other.net".to_owned()),
        5 => GeneralSubtree::Rfc822Name("example.org".to_owned()),
        _ => GeneralSubtree::DnsName("example.org".to_owned()),
    };
    let list = |random: &mut Random| (0..random.below(3)).map(|_| tree(random)).collect::<Vec<_>>();
    let (permitted, excluded) = (list(random), list(random));
    if permitted.is_empty() && excluded.is_empty() {
        return NameConstraints { permitted_subtrees: vec![tree(random)], excluded_subtrees: excluded };
    }
    NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded }
}

/// A server's certificate, with oddities now and then.
pub fn leaf(random: &mut Random, host: &str, traits: &mut Vec<&'static str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject("kube-apiserver");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    valid(&mut params, -DAY, 365 * DAY);
    let mut names = vec![host.to_owned()];
    if random.once_in(3) {
        names = (0..random.below(4)).map(|_| name_of(random)).collect();
    }
    if names.iter().any(|name| name == "*.example") {
        traits.push("short wildcard");
    }
    params.subject_alt_names = names.iter().map(|name| alt_name(name)).collect();
    if !random.once_in(3) {
        return params;
    }
    match random.below(7) {
        0 => {
            traits.push("leaf out of time");
            let (from, until) = if random.once_in(2) { (-20 * DAY, -DAY) } else { (DAY, 20 * DAY) };
            valid(&mut params, from, until);
        }
        1 | 2 => {
            traits.push("leaf's extended key usage");
            set_usages(random, &mut params);
        }
        3 => {
            traits.push("leaf is a CA");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        4 => {
            traits.push("the host in the common name only");
            params.distinguished_name = subject(host);
            params.subject_alt_names.clear();
        }
        5 => {
            traits.push("critical unknown extension of the leaf");
            let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
            extension.set_criticality(true);
            params.custom_extensions.push(extension);
        }
        _ => {
            traits.push("other types of names");
            let other = random.pick(&["node@example.org", "node@other.net"]).try_into().expect("ASCII");
            params.subject_alt_names.push(SanType::Rfc822Name(other));
        }
    }
    params
}
