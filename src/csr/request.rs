//! The certificate request: PKCS#10 as the kubelet's, in a CertificateSigningRequest whose name both derive alike.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use der::Tag;
use ring::digest;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use super::kind::CertificateTemplate;
use crate::asn1::{ctx_constructed, oid, tlv};
use crate::error::Result;
use crate::key::Key;
use crate::node_name::ORGANIZATION;
use crate::pem_blocks;
use crate::x509::{self, AltNames};

/// A request for one key and one certificate.
#[derive(Debug)]
pub struct CertificateRequest {
    name: String,
    der: Vec<u8>,
    point: Vec<u8>,
    /// The certificate that it asks for.
    pub template: CertificateTemplate,
    /// The raw SubjectPublicKeyInfo of the key.
    pub spki: Vec<u8>,
}

impl CertificateRequest {
    /// Builds and signs the request.
    ///
    /// # Errors
    /// When the system has no randomness for the signature.
    pub fn new(key: &Key, template: &CertificateTemplate) -> Result<Self> {
        let spki = key.spki();
        let info = request_info(ORGANIZATION, &template.node.user(), &spki, &template.names);
        let der = signed(&info, &key.sign(&info)?);
        let name = object_name(&spki, template);
        Ok(Self { name, der, point: key.point().to_vec(), template: template.clone(), spki })
    }

    /// The name of the object, which a second run with the same key finds again.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The JSON of the object (`k8s.io/api/certificates/v1/types.go`). Nothing in it needs an escape.
    pub(super) fn body(&self) -> Vec<u8> {
        let pem = STANDARD.encode(pem_blocks::encode("CERTIFICATE REQUEST", &self.der));
        let (signer, [first, second]) = (self.template.kind.signer, self.template.kind.usages);
        let expiration = self.template.expiration_seconds;
        let expiration =
            expiration.map(|seconds| format!(r#","expirationSeconds":{seconds}"#)).unwrap_or_default();
        format!(
            r#"{{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{{"name":"{}"}},"spec":{{"request":"{pem}","signerName":"{signer}","usages":["{first}","{second}"]{expiration}}}}}"#,
            self.name
        )
        .into_bytes()
    }

    /// Whether `request`, a `spec.request`, asks for the same: subject, hosts, key, and a signature made with our key
    /// (`k8s.io/client-go/util/certificate/csr`, `ensureCompatible`, which leaves the hosts to the signature). Not
    /// trusted: another may hold our name.
    pub(super) fn is_compatible(&self, request: &str) -> bool {
        let Ok(pem) = STANDARD.decode(request) else { return false };
        let Ok(block) = pem::parse(pem) else { return false };
        // What this run has filed comes back as it was; a verification would be a tenth of the program's work.
        if block.contents() == self.der {
            return true;
        }
        let Ok(other) = x509::Request::from_der(block.contents()) else { return false };
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point);
        other.subject == self.template.node.subject()
            && other.alt_names == self.template.names
            && other.spki == self.spki
            && key.verify(other.info, other.signature).is_ok()
    }
}

/// The kind's prefix and the digest of key, subject, usages (`pkg/kubelet/certificate/bootstrap`, `digestedName`) and
/// hosts, which a client's request does not have: SHA-512/256 over each value in base64url, a `|` behind each.
fn object_name(spki: &[u8], template: &CertificateTemplate) -> String {
    let mut context = digest::Context::new(&digest::SHA512_256);
    let mut add = |value: &[u8]| {
        context.update(URL_SAFE_NO_PAD.encode(value).as_bytes());
        context.update(b"|");
    };
    add(spki);
    add(template.node.user().as_bytes());
    add(ORGANIZATION.as_bytes());
    template.kind.usages.iter().for_each(|usage| add(usage.as_bytes()));
    template.names.as_slice().iter().for_each(|name| add(name.to_string().as_bytes()));
    format!("{}{}", template.kind.prefix, URL_SAFE_NO_PAD.encode(context.finish()))
}

/// CertificationRequestInfo (RFC 2986, section 4.1): the subject in Go's order, as PrintableString, which holds every
/// character of a node's user name; the hosts, where there are any, in an extensionRequest (RFC 2985, section 5.4.2).
fn request_info(organization: &str, common_name: &str, spki: &[u8], names: &AltNames) -> Vec<u8> {
    let attribute = |id: &[u8], value: &str| {
        let id = tlv(Tag::ObjectIdentifier, &[id]);
        let value = tlv(Tag::PrintableString, &[value.as_bytes()]);
        tlv(Tag::Set, &[&tlv(Tag::Sequence, &[&id, &value])])
    };
    let organization = attribute(oid::ORGANIZATION, organization);
    let subject = tlv(Tag::Sequence, &[&organization, &attribute(oid::COMMON_NAME, common_name)]);
    let mut attributes = Vec::new();
    if !names.as_slice().is_empty() {
        let value = tlv(Tag::OctetString, &[&names.to_der()]);
        let id = tlv(Tag::ObjectIdentifier, &[oid::SUBJECT_ALT_NAME]);
        let extensions = tlv(Tag::Sequence, &[&tlv(Tag::Sequence, &[&id, &value])]);
        let id = tlv(Tag::ObjectIdentifier, &[oid::EXTENSION_REQUEST]);
        attributes = tlv(Tag::Sequence, &[&id, &tlv(Tag::Set, &[&extensions])]);
    }
    let version = tlv(Tag::Integer, &[&[0]]);
    tlv(Tag::Sequence, &[&version, &subject, spki, &tlv(ctx_constructed(0), &[&attributes])])
}

/// CertificationRequest (RFC 2986, section 4.2) with an ECDSA signature.
fn signed(info: &[u8], signature: &[u8]) -> Vec<u8> {
    let algorithm = tlv(Tag::Sequence, &[&tlv(Tag::ObjectIdentifier, &[oid::ECDSA_SHA256])]);
    tlv(Tag::Sequence, &[info, &algorithm, &tlv(Tag::BitString, &[&[0], signature])])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node_name::NodeName;
    use crate::x509::AltName;

    fn request(name: &str) -> (Key, CertificateRequest) {
        request_for(&CertificateTemplate::client(&NodeName::new(name).unwrap()))
    }

    fn request_for(template: &CertificateTemplate) -> (Key, CertificateRequest) {
        let key = Key::from_pem(include_bytes!("../../tests/vectors/sec1-p256.pem")).unwrap();
        let request = CertificateRequest::new(&key, template).unwrap();
        (key, request)
    }

    fn serving(hosts: &[&str]) -> CertificateTemplate {
        let mut names = AltNames::default();
        for host in hosts {
            names.add(AltName::parse(host).unwrap());
        }
        CertificateTemplate::serving(&NodeName::new("n1").unwrap(), names)
    }

    fn spec_request(request: &CertificateRequest) -> String {
        let body: serde_json::Value = serde_json::from_slice(&request.body()).unwrap();
        body["spec"]["request"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_request_is_like_itself_and_like_a_second_signature_of_it() {
        for name in ["n1", &"a".repeat(253)] {
            let (_, one) = request(name);
            let (_, two) = request(name);
            assert_eq!(one.name(), two.name());
            assert!(one.is_compatible(&spec_request(&two)));
        }
    }

    #[test]
    fn a_request_for_another_name_or_key_is_not_alike() {
        let (_, ours) = request("n1");
        let (_, other_name) = request("n2");
        let other_key = CertificateRequest::new(&Key::generate().unwrap(), &ours.template).unwrap();
        for other in [&other_name, &other_key] {
            assert_ne!(ours.name(), other.name());
            assert!(!ours.is_compatible(&spec_request(other)));
        }
        assert!(!ours.is_compatible("%"));
        assert!(!ours.is_compatible(&STANDARD.encode("no PEM")));
    }

    #[test]
    fn a_serving_request_is_told_apart_by_its_hosts() {
        let (_, ours) = request_for(&serving(&["n1", "10.0.0.5", "fd00::5"]));
        let (_, again) = request_for(&serving(&["fd00::5", "10.0.0.5", "N1"]));
        assert_eq!(ours.name(), again.name());
        assert!(ours.is_compatible(&spec_request(&again)));
        assert!(ours.name().starts_with("node-serving-csr-"));
        for hosts in [&["n1"][..], &["n1", "10.0.0.5"], &["n1", "10.0.0.6", "fd00::5"]] {
            let (_, other) = request_for(&serving(hosts));
            assert_ne!(ours.name(), other.name(), "{hosts:?}");
            assert!(!ours.is_compatible(&spec_request(&other)), "{hosts:?}");
        }
        assert!(!request("n1").1.is_compatible(&spec_request(&ours)), "a client's request names no host");
    }

    #[test]
    fn the_duration_is_a_field_of_the_object_and_not_of_its_name() {
        let spec = |template: &CertificateTemplate| {
            let (_, request) = request_for(template);
            let body: serde_json::Value = serde_json::from_slice(&request.body()).unwrap();
            (request.name().to_owned(), body["spec"]["expirationSeconds"].clone())
        };
        for template in [CertificateTemplate::client(&NodeName::new("n1").unwrap()), serving(&["n1"])] {
            let (plain, short) = (spec(&template), spec(&template.clone().expiring_in(Some(600))));
            assert_eq!((plain.1, short.1), (serde_json::Value::Null, 600.into()));
            assert_eq!(plain.0, short.0, "the kubelet's digest does not cover it");
        }
    }

    #[test]
    fn as_many_hosts_as_are_taken_fit() {
        let hosts: Vec<String> = (0..crate::limits::ALT_NAMES)
            .map(|n| {
                format!(
                    "{n:02}{}.example.org",
                    format!(".{}", "a".repeat(57)).repeat(4).trim_start_matches('.')
                )
            })
            .collect();
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let (_, request) = request_for(&serving(&hosts));
        assert!(request.is_compatible(&spec_request(&request)));
    }

    #[test]
    fn the_object_name_is_the_kubelets() {
        // digestedName of kubernetes 1.36.3 for the key in tests/vectors and the node n1.
        assert_eq!(request("n1").1.name(), include_str!("../../tests/vectors/csr-name.txt").trim());
    }
}
