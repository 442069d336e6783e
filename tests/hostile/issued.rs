//! Certificates that a signer should not have issued: another's, for more, for longer, or none at all.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{
    BasicConstraints, CertificateSigningRequestParams, CustomExtension, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
};
use serde_json::json;

use crate::suite::{Case, Expect, JOINED, Stage, ends, waits};
use crate::support::api::{Api, Cluster, Reply, Route};
use crate::support::pki::{self, Authority, DAY, pem_text, valid};

const fn unfit(problem: &'static str) -> Expect {
    ends("not-trusted", problem)
}

const OTHER_NAME: Expect = unfit(" names ");
const NO_CLIENT: Expect = unfit("is not for client authentication");
const MALFORMED: Expect = unfit("is malformed; check the configuration of the signer");
const EXPIRED: Expect = ends("clock", "expired");
const EARLY: Expect = waits("clock", "is valid from");

type Adjust = fn(&mut CertificateSigningRequestParams);

const ADJUSTED: [(&str, Expect, Adjust); 29] = [
    ("another node's name", OTHER_NAME, |request| rename(request, &["system:nodes"], &["system:node:n2"])),
    ("another organization", OTHER_NAME, |request| rename(request, &["system:masters"], &["system:node:n1"])),
    ("no organization", OTHER_NAME, |request| rename(request, &[], &["system:node:n1"])),
    ("no common name", OTHER_NAME, |request| rename(request, &["system:nodes"], &[])),
    ("nobody's name", OTHER_NAME, |request| rename(request, &[], &[])),
    ("a user's name", OTHER_NAME, |request| rename(request, &["system:nodes"], &["kubernetes-admin"])),
    ("the name in capitals", OTHER_NAME, |request| rename(request, &["system:nodes"], &["system:node:N1"])),
    ("the name and a NUL", OTHER_NAME, |request| rename(request, &["system:nodes"], &["system:node:n1\0"])),
    ("the name and a space", OTHER_NAME, |request| rename(request, &["system:nodes"], &["system:node:n1 "])),
    ("an organization more", OTHER_NAME, |request| {
        let name = &mut request.params.distinguished_name;
        name.push(DnType::CustomDnType(vec![2, 5, 4, 10, 1]), "system:masters");
    }),
    ("an organizational unit", OTHER_NAME, |request| {
        request.params.distinguished_name.push(DnType::OrganizationalUnitName, "system:masters");
    }),
    ("a serial number in the name", OTHER_NAME, |request| {
        request.params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), "1");
    }),
    ("the name in letters of two bytes", OTHER_NAME, |request| {
        let name = &mut request.params.distinguished_name;
        let wide = DnValue::BmpString("system:node:n1".try_into().expect("letters"));
        name.push(DnType::CommonName, wide);
    }),
    ("the CA bit", NO_CLIENT, |request| {
        request.params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        request.params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    }),
    ("the CA bit, and no right to sign", NO_CLIENT, |request| {
        request.params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    }),
    ("the CA bit, and an extension that nobody knows", NO_CLIENT, |request| {
        request.params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        request.params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        unknown(request);
    }),
    ("a critical extension that nobody knows", unfit("has an unknown critical extension"), unknown),
    ("a server's usage", NO_CLIENT, |request| usages(request, &[ExtendedKeyUsagePurpose::ServerAuth])),
    ("no usage", NO_CLIENT, |request| usages(request, &[])),
    ("the usage of signing programs", NO_CLIENT, |request| {
        usages(request, &[ExtendedKeyUsagePurpose::CodeSigning]);
    }),
    ("any usage, which is not named", NO_CLIENT, |request| usages(request, &[ExtendedKeyUsagePurpose::Any])),
    ("a server's usage too", JOINED, |request| {
        usages(request, &[ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]);
    }),
    ("hosts that were not asked for", JOINED, |request| {
        let host = SanType::DnsName("kubernetes".try_into().expect("a name"));
        request.params.subject_alt_names = vec![host];
    }),
    ("expired", EXPIRED, |request| valid(&mut request.params, -9 * DAY, -DAY)),
    ("expired a second ago", EXPIRED, |request| valid(&mut request.params, -DAY, -1)),
    ("of tomorrow", EARLY, |request| valid(&mut request.params, DAY, 9 * DAY)),
    ("valid in two seconds", JOINED, |request| valid(&mut request.params, 2, DAY)),
    ("time that ends before it begins", ends("clock", "is valid from"), |request| {
        valid(&mut request.params, DAY, -DAY);
    }),
    ("valid for a thousand years", JOINED, |request| valid(&mut request.params, -DAY, 365_000 * DAY)),
];

/// Makes of a request what stands in the status, where it is PEM in the end.
type Signed = (&'static str, Expect, fn(&Authority, &str) -> String);

const SIGNED: [Signed; 17] = [
    ("another key", unfit("is for another key"), |ca, _| {
        ca.sign(&pki::foreign_request("system:nodes", "system:node:n1"))
    }),
    ("the cluster's CA", unfit("is for another key"), |ca, _| ca.pem()),
    ("the issuer before the leaf", unfit("is for another key"), |ca, request| ca.pem() + &ca.sign(request)),
    ("the issuer behind the leaf", JOINED, |ca, request| ca.sign(request) + &ca.pem()),
    ("the leaf twice", JOINED, |ca, request| ca.sign(request).repeat(2)),
    ("forty certificates", unfit("is not one certificate and its chain"), |ca, request| {
        ca.sign(request).repeat(40)
    }),
    ("an expired issuer behind it", EXPIRED, |ca, request| {
        ca.sign(request) + &Authority::with("old", |params| valid(params, -9 * DAY, -DAY)).pem()
    }),
    ("noise behind it", MALFORMED, |ca, request| ca.sign(request) + &pem_text("CERTIFICATE", b"noise")),
    ("a key beside it", JOINED, |ca, request| ca.sign(request) + &pem_text("EC PRIVATE KEY", b"key")),
    ("a megabyte of words around it", JOINED, |ca, request| "words\n".repeat(150_000) + &ca.sign(request)),
    ("line ends of DOS", JOINED, |ca, request| ca.sign(request).replace('\n', "\r\n")),
    ("the request again", unfit("is not one certificate"), |_, request| request.to_owned()),
    ("words", unfit("is not one certificate"), |_, _| "issued".to_owned()),
    ("no DER", MALFORMED, |_, _| pem_text("CERTIFICATE", b"issued")),
    ("an indefinite length", MALFORMED, |_, _| {
        pem_text("CERTIFICATE", &[0x30, 0x80, 0x30, 0x80, 0, 0, 0, 0])
    }),
    ("a length of 4 GiB", MALFORMED, |_, _| {
        pem_text("CERTIFICATE", &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0])
    }),
    ("bytes behind its end", MALFORMED, |ca, request| {
        let der = pem::parse(ca.sign(request)).expect("PEM").into_contents();
        pem_text("CERTIFICATE", &[der, vec![0; 2]].concat())
    }),
];

/// What stands in the status instead of base64 of PEM.
const TEXTS: [(&str, Expect, &str); 3] = [
    ("no base64", unfit("is not one certificate"), "%%%"),
    ("PEM without base64", unfit("is not one certificate"), "-----BEGIN CERTIFICATE-----"),
    ("spaces", unfit("is not one certificate"), "    "),
];

fn rename(request: &mut CertificateSigningRequestParams, organizations: &[&str], common_names: &[&str]) {
    let name = &mut request.params.distinguished_name;
    *name = DistinguishedName::new();
    for text in organizations {
        name.push(DnType::OrganizationName, *text);
    }
    for text in common_names {
        name.push(DnType::CommonName, *text);
    }
}

fn usages(request: &mut CertificateSigningRequestParams, usages: &[ExtendedKeyUsagePurpose]) {
    request.params.extended_key_usages = usages.to_vec();
}

fn unknown(request: &mut CertificateSigningRequestParams) {
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
    extension.set_criticality(true);
    request.params.custom_extensions.push(extension);
}

/// A cluster whose signer does that.
fn signs(sign: impl Fn(&Authority, &str) -> String + Send + 'static) -> Stage {
    let api = Api::start();
    let authority = Arc::clone(&api.authority);
    api.cluster(|cluster| cluster.signer = Box::new(move |request| sign(&authority, request)));
    Stage::with_trusted(api)
}

/// What somebody may have left under our name before we came, which is taken up or gets out of the way.
type Left = (&'static str, fn(&mut Cluster, &str));

const LEFT: [Left; 6] = [
    ("denied", |cluster, name| cluster.condition(name, "Denied")),
    ("under another key", |cluster, name| {
        let foreign = pki::foreign_request("system:nodes", "system:node:n1");
        cluster.edit(name, |item| item["spec"]["request"] = json!(BASE64_STANDARD.encode(foreign)));
    }),
    ("under another key, issued", |cluster, name| {
        let foreign = pki::foreign_request("system:nodes", "system:node:n1");
        cluster.edit(name, |item| item["spec"]["request"] = json!(BASE64_STANDARD.encode(foreign)));
        cluster.grant();
    }),
    ("for another signer", |cluster, name| {
        cluster.edit(name, |item| item["spec"]["signerName"] = json!("example.com/signer"));
    }),
    ("with an expired certificate", |cluster, name| {
        let ca = Authority::new("kubernetes");
        let expired =
            ca.sign_with(&cluster.pkcs10(name), |request| valid(&mut request.params, -9 * DAY, -DAY));
        cluster.approve(name);
        cluster.edit(name, |item| item["status"]["certificate"] = json!(BASE64_STANDARD.encode(expired)));
    }),
    ("with another's certificate", |cluster, name| {
        let ca = Authority::new("kubernetes");
        let other = ca.sign(&pki::foreign_request("system:nodes", "system:node:n1"));
        cluster.approve(name);
        cluster.edit(name, |item| item["status"]["certificate"] = json!(BASE64_STANDARD.encode(other)));
    }),
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, expect, adjust) in ADJUSTED {
        cases.push(Case::new(name, expect, move || signs(move |ca, request| ca.sign_with(request, adjust))));
    }
    for (name, expect, sign) in SIGNED {
        cases.push(Case::new(name, expect, move || signs(sign)));
    }
    for (name, expect, text) in TEXTS {
        cases.push(Case::new(name, expect, move || {
            let api = Api::manual();
            api.on(Route::Watch, move |_, request, cluster| {
                let name = request.selected_name().unwrap_or_default().to_owned();
                cluster.approve(&name);
                cluster.edit(&name, |item| item["status"]["certificate"] = json!(text));
                None
            });
            Stage::with_trusted(api)
        }));
    }
    for (name, leave) in LEFT {
        cases.push(Case::new(format!("there already, {name}"), JOINED, move || {
            let api = Api::manual();
            api.on(Route::Create, move |number, request, cluster| {
                cluster.approves = number > 0;
                (number == 0).then(|| {
                    cluster.create(request);
                    let name = cluster.names().remove(0);
                    leave(cluster, &name);
                    Reply::status(409, "AlreadyExists")
                })
            });
            Stage::with_trusted(api).checked(|stage| {
                let creates = stage.trusted[0].count(Route::Create);
                assert_eq!(creates, 2, "a request under a key of its own");
            })
        }));
    }
    cases
}
