//! Certificates as a signer may issue them, the objects that they come in, and pairs of an image.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::Tag;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, SubjectPublicKeyInfo, date_time_ymd,
};
use serde_json::{Value, json};

use super::object::{CsrStatus, Object};
use super::*;
use crate::asn1::{Reader, tlv};
use crate::credentials::{ClientPair, Credentials};
use crate::error::{Error, ErrorKind, Retry};
use crate::http::{HandshakeSignature, SignsHandshake as _};
use crate::key::Key;
use crate::key::RsaKey;
use crate::limits;
use crate::node_name::NodeName;
use crate::pem_blocks;
use crate::x509::{self, AltName, AltNames};

const KEY: &str = include_str!("../../tests/vectors/sec1-p256.pem");
const NODE: &str = include_str!("../../tests/fuzz/pki/node.pem");

const SECOND: Duration = Duration::from_secs(1);

/// The first moment of what is issued here: 2030 begins.
fn begin() -> SystemTime {
    UNIX_EPOCH + Duration::from_hours(525_960)
}

/// The last: 2031 begins.
fn end() -> SystemTime {
    UNIX_EPOCH + Duration::from_hours(534_720)
}

fn key() -> Key {
    Key::from_pem(KEY.as_bytes()).unwrap()
}

fn client() -> CertificateRequest {
    CertificateRequest::new(&key(), &CertificateTemplate::client(&NodeName::new("n1").unwrap())).unwrap()
}

fn serving(hosts: &[&str]) -> CertificateRequest {
    let mut names = AltNames::default();
    for host in hosts {
        names.add(AltName::parse(host).unwrap());
    }
    CertificateRequest::new(&key(), &CertificateTemplate::serving(&NodeName::new("n1").unwrap(), names))
        .unwrap()
}

/// What a signer issues for this key and the node n1, changed before it is signed.
fn issued(spki: &[u8], hosts: &[&str], adjust: impl FnOnce(&mut CertificateParams)) -> String {
    let name = |parts: &[(DnType, &str)]| {
        let mut name = DistinguishedName::new();
        for (kind, text) in parts {
            name.push(kind.clone(), *text);
        }
        name
    };
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name =
        name(&[(DnType::OrganizationName, "system:nodes"), (DnType::CommonName, "system:node:n1")]);
    (params.not_before, params.not_after) = (date_time_ymd(2030, 1, 1), date_time_ymd(2031, 1, 1));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    adjust(&mut params);
    let mut signer = CertificateParams::default();
    signer.distinguished_name = name(&[(DnType::CommonName, "signer")]);
    let signer = Issuer::new(signer, KeyPair::generate().unwrap());
    let certificate = params.signed_by(&SubjectPublicKeyInfo::from_der(spki).unwrap(), &signer).unwrap();
    certificate.pem().replace("\r\n", "\n")
}

/// How a certificate is made other than it should be.
type Adjust = fn(&mut CertificateParams);

fn unchanged(_: &mut CertificateParams) {}

fn check(pem: &str, request: &CertificateRequest) -> crate::error::Result<IssuedCertificate> {
    IssuedCertificate::check(pem.as_bytes(), request)
}

fn assert_refused(pem: &str, request: &CertificateRequest, problem: &str) {
    let error = check(pem, request).unwrap_err();
    assert!(error.kind() == ErrorKind::NotTrusted && error.to_string().contains(problem), "{error}");
}

#[test]
fn a_certificate_is_taken_only_for_our_key_our_node_and_one_use() {
    let request = client();
    let good = issued(&request.spki, &[], unchanged);
    check(&good, &request).unwrap();
    check(&issued(&request.spki, &["n1"], unchanged), &request).unwrap();
    let other = Key::generate().unwrap().spki();
    assert_refused(&issued(&other, &[], unchanged), &request, "is for another key");
    let cases: [(Adjust, &str); 4] = [
        (
            |params| params.distinguished_name.push(DnType::CommonName, "system:node:n2"),
            "names O=system:nodes",
        ),
        (|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth], "is not for"),
        (|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained), "is not for"),
        (
            |params| {
                let mut unknown = CustomExtension::from_oid_content(&[1, 3, 9999], vec![5, 0]);
                unknown.set_criticality(true);
                params.custom_extensions.push(unknown);
            },
            "critical extension",
        ),
    ];
    for (adjust, problem) in cases {
        assert_refused(&issued(&request.spki, &[], adjust), &request, problem);
    }
    assert_refused("", &request, "is not one certificate");
    assert_refused(KEY, &request, "is not one certificate");
    assert_refused(&format!("a {good}"), &request, "is not PEM");
    assert_refused(&KEY.replace("EC PRIVATE KEY", "CERTIFICATE"), &request, "is malformed");
}

#[test]
fn a_serving_certificate_is_for_all_hosts_that_were_asked_for() {
    let request = serving(&["n1", "10.0.0.5"]);
    let server = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    check(&issued(&request.spki, &["10.0.0.5", "n1", "more"], server), &request).unwrap();
    assert_refused(&issued(&request.spki, &["n1"], server), &request, "and not for");
    assert_refused(&issued(&request.spki, &["10.0.0.5", "n1"], unchanged), &request, "is not for");
}

#[test]
fn a_chain_is_as_long_as_the_limit_says() {
    let request = client();
    let good = issued(&request.spki, &[], unchanged);
    for (count, taken) in
        [(1, true), (2, true), (limits::CERTIFICATES, true), (limits::CERTIFICATES + 1, false)]
    {
        assert_eq!(check(&good.repeat(count), &request).is_ok(), taken, "{count}");
    }
}

#[test]
fn what_was_issued_is_kept_and_told() {
    let request = client();
    let good = issued(&request.spki, &[], unchanged);
    let certificate = check(&format!("# ours\n{KEY}{good}"), &request).unwrap();
    assert_eq!(certificate.pem(), good, "certificates only");
    let leaf = certificate.leaf();
    assert_eq!(leaf.issuer.to_string(), "CN=signer");
    assert_eq!((leaf.not_before, x509::utc(leaf.not_after).as_str()), (begin(), "2031-01-01T00:00:00Z"));
}

#[test]
fn its_time_and_that_of_its_chain_last_to_the_last_second() {
    let request = client();
    let good = issued(&request.spki, &[], unchanged);
    let short = issued(&request.spki, &[], |params| params.not_after = date_time_ymd(2030, 7, 1));
    let alone = check(&good, &request).unwrap();
    for (now, in_time, expired) in [
        (begin() - SECOND, false, false),
        (begin(), true, false),
        (end(), true, false),
        (end() + SECOND, false, true),
    ] {
        assert_eq!(
            (alone.validity_error(now).is_none(), alone.is_expired(now)),
            (in_time, expired),
            "{now:?}"
        );
    }
    let error = alone.validity_error(begin() - SECOND).unwrap();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Clock, Retry::UntilDeadline(None)));
    let chain = check(&format!("{good}{short}"), &request).unwrap();
    assert!(chain.is_expired(end()) && chain.validity_error(end()).is_some() && !chain.is_expired(begin()));
}

/// The object of this request as the API server would have it.
fn object(request: &CertificateRequest, status: &Value) -> Value {
    let mut object: Value = serde_json::from_slice(&request.body()).unwrap();
    object["status"] = status.clone();
    object
}

fn check_object(
    object: &Value,
    request: &CertificateRequest,
    now: SystemTime,
) -> crate::error::Result<CsrStatus> {
    Object::read(object).unwrap().check(request, now)
}

fn unusable(status: crate::error::Result<CsrStatus>) -> Error {
    match status {
        Ok(CsrStatus::Unusable(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn conditions_decide_and_a_certificate_counts_only_when_approved() {
    let request = client();
    let certificate = STANDARD.encode(issued(&request.spki, &[], unchanged));
    let conditions = |kinds: &[&str]| -> Vec<Value> {
        kinds.iter().map(|kind| json!({"type": kind, "reason": "Why", "message": "because"})).collect()
    };
    for status in [
        Value::Null,
        json!({}),
        json!({"certificate": certificate}),
        json!({"conditions": conditions(&["Approved"])}),
        json!({"conditions": conditions(&["Approved"]), "certificate": ""}),
        json!({"conditions": conditions(&["Other"]), "certificate": certificate}),
    ] {
        let checked = check_object(&object(&request, &status), &request, begin());
        assert!(matches!(checked, Ok(CsrStatus::Pending)), "{status}: {checked:?}");
    }
    let issued = json!({"conditions": conditions(&["Other", "Approved"]), "certificate": certificate});
    assert!(matches!(check_object(&object(&request, &issued), &request, begin()), Ok(CsrStatus::Issued(_))));
    for (kinds, words) in [
        (&["Approved", "Denied"][..], "was denied (Why: because)"),
        (&["Approved", "Failed"], "failed at the signer (Why: because)"),
    ] {
        let status = json!({"conditions": conditions(kinds), "certificate": certificate});
        let error = unusable(check_object(&object(&request, &status), &request, begin()));
        assert!(error.kind() == ErrorKind::Denied && error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_certificate_that_is_over_spends_the_request_and_one_that_is_to_come_waits_for_the_clock() {
    let request = client();
    let status =
        |text: &str| json!({"conditions": [{"type": "Approved"}], "certificate": STANDARD.encode(text)});
    let good = status(&issued(&request.spki, &[], unchanged));
    let late = check_object(&object(&request, &good), &request, end() + SECOND);
    assert_eq!(unusable(late).kind(), ErrorKind::Clock);
    let early = check_object(&object(&request, &good), &request, begin() - SECOND);
    assert_eq!(early.unwrap_err().kind(), ErrorKind::Clock);
    let foreign = status(&issued(&Key::generate().unwrap().spki(), &[], unchanged));
    let torn = json!({"conditions": [{"type": "Approved"}], "certificate": "%"});
    for status in [foreign, torn] {
        let error = unusable(check_object(&object(&request, &status), &request, begin()));
        assert_eq!(error.kind(), ErrorKind::NotTrusted);
    }
}

#[test]
fn an_object_that_asks_for_anything_else_is_not_ours() {
    let request = client();
    let pending = json!({});
    let changes: [(&str, Value); 5] = [
        ("signerName", "kubernetes.io/kubelet-serving".into()),
        ("usages", json!(["digital signature"])),
        ("usages", json!(["client auth", "digital signature"])),
        ("request", "".into()),
        ("request", object(&serving(&["n1"]), &pending)["spec"]["request"].clone()),
    ];
    for (field, value) in changes {
        let mut object = object(&request, &pending);
        object["spec"][field] = value;
        let error = unusable(check_object(&object, &request, begin()));
        assert!(error.kind() == ErrorKind::Denied && error.to_string().contains("differs from"), "{error}");
    }
}

#[test]
fn a_pair_of_an_image_is_a_chain_and_its_key() {
    let take = |certificate: &str, key: &str| ClientPair::from_pem(certificate.as_bytes(), key.as_bytes());
    let rsa = include_str!("../../tests/vectors/rsa-client.pem");
    let rsa_key = include_str!("../../tests/vectors/rsa-2048.pem");
    let labelled = |label: &str| KEY.replace("EC PRIVATE KEY", label);
    take(NODE, KEY).unwrap();
    take(&format!("{KEY}{NODE}"), &format!("{NODE}{KEY}")).unwrap();
    take(&NODE.repeat(limits::CERTIFICATES), KEY).unwrap();
    let other = Key::generate().unwrap();
    for (certificate, key, problem) in [
        (NODE.repeat(limits::CERTIFICATES + 1), KEY.to_owned(), "not a PEM certificate and its chain"),
        (String::new(), KEY.to_owned(), "not a PEM certificate and its chain"),
        (rsa.to_owned(), rsa_key.to_owned(), "does not match its client certificate"),
        (rsa.to_owned(), labelled("RSA PRIVATE KEY"), "is not a PEM RSA PRIVATE KEY of type RSA"),
        (rsa.to_owned(), labelled("PRIVATE KEY"), "PKCS#8 (PRIVATE KEY) of type RSA"),
        (rsa.to_owned(), KEY.to_owned(), "is not a PEM RSA PRIVATE KEY of type RSA"),
        (rsa.to_owned(), String::new(), "is not a PEM RSA PRIVATE KEY of type RSA"),
        (NODE.to_owned(), rsa_key.to_owned(), "PKCS#8 (PRIVATE KEY) of type P-256"),
        (NODE.to_owned(), labelled("PRIVATE KEY"), "PKCS#8"),
        (NODE.to_owned(), labelled("ENCRYPTED PRIVATE KEY"), "encrypted"),
        (NODE.to_owned(), labelled("RSA PRIVATE KEY"), "is not a PEM EC PRIVATE KEY"),
        (NODE.to_owned(), other.pem().expose().clone(), "does not match its client certificate"),
    ] {
        let (error, _) = take(&certificate, &key).unwrap_err();
        assert!(error.contains(problem), "{error}");
    }
}

/// The SubjectPublicKeyInfo of an RSA key with this modulus.
fn rsa_spki(modulus: &[u8]) -> Vec<u8> {
    let algorithm = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
    let algorithm = tlv(Tag::Sequence, &[&tlv(Tag::ObjectIdentifier, &[&algorithm]), &tlv(Tag::Null, &[])]);
    let public = [tlv(Tag::Integer, &[&[0], modulus]), tlv(Tag::Integer, &[&[1, 0, 1]])];
    let public = tlv(Tag::Sequence, &[&public[0], &public[1]]);
    tlv(Tag::Sequence, &[&algorithm, &tlv(Tag::BitString, &[&[0], &public])])
}

#[test]
fn an_rsa_key_of_an_image_is_read_in_either_form_and_in_the_sizes_that_sign() {
    let pkcs8 = include_str!("../../tests/vectors/rsa-2048.pem");
    let (_, der) = pem_blocks::private_key(pkcs8.as_bytes()).unwrap();
    let mut fields = Reader::of_sequence(der.expose()).unwrap();
    fields.any().unwrap(); // version
    fields.any().unwrap(); // algorithm
    let pkcs1 = fields.any().unwrap().value;
    let mut numbers = Reader::of_sequence(pkcs1).unwrap();
    numbers.any().unwrap(); // version
    let modulus = numbers.any().unwrap().value.strip_prefix(&[0]).unwrap();
    let certificate = issued(&rsa_spki(modulus), &[], unchanged);
    let take = |certificate: &str, key: &str| ClientPair::from_pem(certificate.as_bytes(), key.as_bytes());
    let pkcs1_pem = pem_blocks::encode("RSA PRIVATE KEY", pkcs1);
    for key in [pkcs8, &pkcs1_pem] {
        let user = Credentials::of_user(None, Some(take(&certificate, key).unwrap())).unwrap();
        assert_eq!(user.embedded().pair, Some((certificate.clone(), key)), "as it was");
    }

    let other = issued(&rsa_spki(&[0xff; 256]), &[], unchanged);
    assert!(take(&other, pkcs8).unwrap_err().0.contains("does not match"));
    for bytes in [64, 128, 255, 513, 1024] {
        let certificate = issued(&rsa_spki(&[0xff].repeat(bytes)), &[], unchanged);
        let (error, help) = take(&certificate, pkcs8).unwrap_err();
        let expected =
            format!("a key of type RSA-{}, nodestrap supports P-256, and RSA of 2048 to 4096", bytes * 8);
        assert!(error.contains(&expected) && help.is_some(), "{error}");
    }
    // A part of the key that does not fit the others, wherever it is.
    for at in [30, 590, 720, 850, 980, 1140] {
        let mut broken = pkcs1.to_vec();
        broken[at] ^= 1;
        let key = pem_blocks::encode("RSA PRIVATE KEY", &broken);
        assert!(take(&certificate, &key).is_err(), "{at}");
    }
    let encrypted = pem_blocks::encode("RSA PRIVATE KEY", &[7; 64]).replacen(
        '\n',
        "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n",
        1,
    );
    let (error, help) = take(&certificate, &encrypted).unwrap_err();
    assert!(error.contains("is encrypted") && help.unwrap().contains("openssl"), "{error}");
}

#[test]
fn an_rsa_key_signs_handshakes_of_both_versions() {
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
    let key = RsaKey::from_pem(include_bytes!("../../tests/vectors/rsa-2048.pem")).unwrap();
    assert_eq!(format!("{key:?}"), "RsaKey(***)");
    assert_eq!(key.sign(HandshakeSignature::EcdsaSha256, b"hello"), None);
    for (signature, algorithm) in [
        (HandshakeSignature::RsaPssSha256, &RSA_PSS_2048_8192_SHA256),
        (HandshakeSignature::RsaPkcs1Sha256, &RSA_PKCS1_2048_8192_SHA256),
    ] {
        let signed = key.sign(signature, b"hello").unwrap();
        let public = UnparsedPublicKey::new(algorithm, key.public());
        assert!(public.verify(b"hello", &signed).is_ok() && public.verify(b"hullo", &signed).is_err());
    }
}

#[test]
fn credentials_are_presented_and_embedded_as_they_are() {
    let secret = || crate::secret::Secret::new("abcdef.0123456789abcdef".to_owned());
    let pair = || ClientPair::from_pem(format!("{NODE}{NODE}").as_bytes(), KEY.as_bytes()).unwrap();
    assert!(Credentials::of_user(None, None).is_none());
    for (token, has_pair) in [(true, false), (false, true), (true, true)] {
        let user = Credentials::of_user(token.then(secret), has_pair.then(pair)).unwrap();
        assert_eq!(
            (user.bearer(&crate::log::Log::silent()).unwrap().is_some(), user.identity().is_some()),
            (token, has_pair)
        );
        let known = user.token().map(|token| token.expose().as_str());
        assert_eq!(known, token.then_some("abcdef.0123456789abcdef"));
        let embedded = user.embedded();
        assert_eq!(embedded.token, token.then_some("abcdef.0123456789abcdef"));
        let expected = has_pair.then(|| (NODE.repeat(2), KEY));
        assert_eq!(embedded.pair, expected);
    }
    let user = Credentials::from(secret());
    assert!(user.bearer(&crate::log::Log::silent()).unwrap().is_some() && user.identity().is_none());
}
