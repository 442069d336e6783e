//! The certificate request: PKCS#10 as the kubelet's, in a CertificateSigningRequest whose name both derive alike.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use der::Tag;
use ring::digest;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use super::key::Key;
use crate::asn1::{context, oid, tlv};
use crate::error::Result;
use crate::node::{NodeName, ORGANIZATION};
use crate::x509;

/// The signer that issues certificates which the API server accepts from kubelets (`k8s.io/api/certificates/v1`).
pub(super) const SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// What a kubelet asks for an EC key (`pkg/kubelet/certificate/kubelet.go`, without key encipherment since 1.27).
pub(super) const USAGES: [&str; 2] = ["digital signature", "client auth"];

/// A request for one key and one node name.
#[derive(Debug)]
pub struct CertificateRequest {
    name: String,
    der: Vec<u8>,
    point: Vec<u8>,
    /// Whose certificate it asks for.
    pub node: NodeName,
    /// The raw SubjectPublicKeyInfo of the key.
    pub spki: Vec<u8>,
}

impl CertificateRequest {
    /// Builds and signs the request.
    ///
    /// # Errors
    /// When the system has no randomness for the signature.
    pub fn new(key: &Key, node: &NodeName) -> Result<Self> {
        let spki = key.spki();
        let info = request_info(ORGANIZATION, &node.user(), &spki);
        let der = signed(&info, &key.sign(&info)?);
        let name = object_name(&spki, &node.user());
        Ok(Self { name, der, point: key.point().to_vec(), node: node.clone(), spki })
    }

    /// The name of the object, which a second run with the same key finds again.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The JSON of the object (`k8s.io/api/certificates/v1/types.go`). Nothing in it needs an escape.
    pub(super) fn body(&self) -> Vec<u8> {
        let pem = STANDARD.encode(pem::encode_config(
            &pem::Pem::new("CERTIFICATE REQUEST", self.der.as_slice()),
            pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
        ));
        let [first, second] = USAGES;
        format!(
            r#"{{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{{"name":"{}"}},"spec":{{"request":"{pem}","signerName":"{SIGNER}","usages":["{first}","{second}"]}}}}"#,
            self.name
        )
        .into_bytes()
    }

    /// Whether `request`, a `spec.request`, asks for the same: subject, key, and a signature made with our key
    /// (`k8s.io/client-go/util/certificate/csr`, `ensureCompatible`). Not trusted: another may hold our name.
    pub(super) fn is_like(&self, request: &str) -> bool {
        let Ok(pem) = STANDARD.decode(request) else { return false };
        let Ok(block) = pem::parse(pem) else { return false };
        let Ok(other) = x509::Request::from_der(block.contents()) else { return false };
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point);
        other.subject == self.node.subject()
            && other.spki == self.spki
            && key.verify(other.info, other.signature).is_ok()
    }
}

/// `node-csr-` and the digest of key, subject and usages (`pkg/kubelet/certificate/bootstrap`, `digestedName`):
/// SHA-512/256 over each value in base64url, a `|` behind each.
fn object_name(spki: &[u8], user: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA512_256);
    let values = [spki, user.as_bytes(), ORGANIZATION.as_bytes()];
    for value in values.into_iter().chain(USAGES.iter().map(|usage| usage.as_bytes())) {
        context.update(URL_SAFE_NO_PAD.encode(value).as_bytes());
        context.update(b"|");
    }
    format!("node-csr-{}", URL_SAFE_NO_PAD.encode(context.finish()))
}

/// CertificationRequestInfo (RFC 2986, section 4.1): the subject in Go's order, as PrintableString, which holds every
/// character of a node's user name; no attributes.
fn request_info(organization: &str, common_name: &str, spki: &[u8]) -> Vec<u8> {
    let attribute = |id: &[u8], value: &str| {
        let id = tlv(Tag::ObjectIdentifier, &[id]);
        let value = tlv(Tag::PrintableString, &[value.as_bytes()]);
        tlv(Tag::Set, &[&tlv(Tag::Sequence, &[&id, &value])])
    };
    let organization = attribute(oid::ORGANIZATION, organization);
    let subject = tlv(Tag::Sequence, &[&organization, &attribute(oid::COMMON_NAME, common_name)]);
    tlv(Tag::Sequence, &[&tlv(Tag::Integer, &[&[0]]), &subject, spki, &tlv(context(0), &[])])
}

/// CertificationRequest (RFC 2986, section 4.2) with an ECDSA signature.
fn signed(info: &[u8], signature: &[u8]) -> Vec<u8> {
    let algorithm = tlv(Tag::Sequence, &[&tlv(Tag::ObjectIdentifier, &[oid::ECDSA_SHA256])]);
    tlv(Tag::Sequence, &[info, &algorithm, &tlv(Tag::BitString, &[&[0], signature])])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str) -> (Key, CertificateRequest) {
        let key = Key::from_pem(include_bytes!("../../tests/vectors/sec1-p256.pem")).unwrap();
        let request = CertificateRequest::new(&key, &NodeName::new(name).unwrap()).unwrap();
        (key, request)
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
            assert!(one.is_like(&spec_request(&two)));
        }
    }

    #[test]
    fn a_request_for_another_name_or_key_is_not_alike() {
        let (_, ours) = request("n1");
        let (_, other_name) = request("n2");
        let other_key = CertificateRequest::new(&Key::generate().unwrap(), &ours.node).unwrap();
        for other in [&other_name, &other_key] {
            assert_ne!(ours.name(), other.name());
            assert!(!ours.is_like(&spec_request(other)));
        }
        assert!(!ours.is_like("%"));
        assert!(!ours.is_like(&STANDARD.encode("no PEM")));
    }

    #[test]
    fn the_object_name_is_the_kubelets() {
        // digestedName of kubernetes 1.36.3 for the key in tests/vectors and the node n1.
        assert_eq!(request("n1").1.name(), include_str!("../../tests/vectors/csr-name.txt").trim());
    }
}
