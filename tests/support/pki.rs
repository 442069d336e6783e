//! Certificates made for one test: authorities, server identities, and the certificates that a signer issues to nodes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use der::Tag;
use nodestrap::testing::asn1::{Reader, ctx_constructed, tlv};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SigningKey as _, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// One day, in seconds, for validity windows.
pub const DAY: i64 = 86_400;

/// A certificate authority that can sign servers and nodes.
pub struct Authority {
    /// Its certificate.
    pub certificate: CertificateDer<'static>,
    params: CertificateParams,
    key: KeyPair,
}

/// What a server shows and signs its handshake with: normally a matching pair.
pub struct ServerIdentity {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the handshake signature.
    pub key: PrivateKeyDer<'static>,
}

impl Authority {
    /// An authority as kubeadm makes it: CN, CA bit, certificate signing, ten years.
    pub fn new(name: &str) -> Self {
        Self::with(name, |_| {})
    }

    /// An authority whose certificate is changed before it is signed.
    pub fn with(name: &str, adjust: impl FnOnce(&mut CertificateParams)) -> Self {
        Self::of(KeyPair::generate().expect("a key"), name, adjust)
    }

    /// The same with this key.
    pub fn of(key: KeyPair, name: &str, adjust: impl FnOnce(&mut CertificateParams)) -> Self {
        let params = Self::params(name, adjust);
        let certificate = params.self_signed(&key).expect("a self-signed certificate").der().clone();
        Self { certificate, params, key }
    }

    /// An authority below this one.
    pub fn below(&self, name: &str, adjust: impl FnOnce(&mut CertificateParams)) -> Self {
        let (params, key) = (Self::params(name, adjust), KeyPair::generate().expect("a key"));
        let certificate = params.signed_by(&key, &self.issuer()).expect("an intermediate").der().clone();
        Self { certificate, params, key }
    }

    fn params(name: &str, adjust: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::KeyCertSign,
        ];
        valid(&mut params, -DAY, 3650 * DAY);
        adjust(&mut params);
        params
    }

    /// Another certificate of the same name and key, valid for longer, as PEM text.
    pub fn renewed(&self) -> String {
        let mut params = self.params.clone();
        valid(&mut params, -DAY, 7300 * DAY);
        pem_text("CERTIFICATE", params.self_signed(&self.key).expect("a certificate").der())
    }

    /// The certificate as PEM text, as `cluster-info` and `ca.crt` hold it.
    pub fn pem(&self) -> String {
        pem_text("CERTIFICATE", &self.certificate)
    }

    /// The pin that `kubeadm token create --print-join-command` prints for it.
    pub fn pin(&self) -> String {
        pin_of(&self.key)
    }

    /// A server certificate for these names (DNS names or addresses), with its key.
    pub fn server(&self, names: &[&str]) -> ServerIdentity {
        self.server_with(names, |_| {})
    }

    /// A server certificate that is changed before it is signed.
    pub fn server_with(&self, names: &[&str], adjust: impl FnOnce(&mut CertificateParams)) -> ServerIdentity {
        self.server_of(&KeyPair::generate().expect("a key"), names, adjust)
    }

    /// The same with this key.
    pub fn server_of(
        &self,
        key: &KeyPair,
        names: &[&str],
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> ServerIdentity {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("subject alternative names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        valid(&mut params, -DAY, 365 * DAY);
        adjust(&mut params);
        let certificate = params.signed_by(key, &self.issuer()).expect("a server certificate");
        ServerIdentity { chain: vec![certificate.der().clone()], key: private_key(key) }
    }

    /// The authority's own certificate and key, as a self-signed server has them.
    pub fn itself(&self) -> ServerIdentity {
        ServerIdentity { chain: vec![self.certificate.clone()], key: private_key(&self.key) }
    }

    /// This authority's name and key in a certificate that another authority has signed.
    pub fn cross_signed_by(&self, other: &Self) -> CertificateDer<'static> {
        self.params.signed_by(&self.key, &other.issuer()).expect("a cross-signed certificate").der().clone()
    }

    /// The certificate for a request, with the request's own key and subject, as kube-controller-manager issues it.
    pub fn sign(&self, request_pem: &str) -> String {
        self.sign_with(request_pem, |_| {})
    }

    /// A certificate for a request that is changed before it is signed.
    ///
    /// # Panics
    /// When the request does not parse or its signature does not verify.
    pub fn sign_with(
        &self,
        request_pem: &str,
        adjust: impl FnOnce(&mut CertificateSigningRequestParams),
    ) -> String {
        let mut request = parse_request(request_pem).expect("a valid certificate request");
        let params = &mut request.params;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        valid(params, -300, 365 * DAY);
        adjust(&mut request);
        pem_text("CERTIFICATE", request.signed_by(&self.issuer()).expect("a node certificate").der())
    }

    /// The serving certificate for a request, with the hosts that it asks for.
    pub fn sign_serving(&self, request_pem: &str) -> String {
        self.sign_with(request_pem, |request| {
            request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        })
    }

    /// A client certificate for a bootstrapping machine and its key, both PEM, the key in Go's form.
    pub fn client(&self, organization: &str, common_name: &str) -> (String, String) {
        self.client_with(organization, common_name, |_| {})
    }

    /// The same with a certificate that is changed before it is signed.
    pub fn client_with(
        &self,
        organization: &str,
        common_name: &str,
        adjust: impl FnOnce(&mut CertificateSigningRequestParams),
    ) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let request = request(&key, organization, common_name);
        // SEC 1 (RFC 5915, section 3) with the curve named, of what ring writes at fixed places of its PKCS#8.
        let der = key.serialize_der();
        let curve = [0xa0, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
        let head = [0x30, 0x77, 2, 1, 1, 4, 32];
        let sec1 = [&head, &der[36..68], &curve, &[0xa1, 0x44, 3, 0x42, 0], &der[der.len() - 65..]].concat();
        (self.sign_with(&request, adjust), pem_text("EC PRIVATE KEY", &sec1))
    }

    /// A client certificate in PEM for a key that is there already.
    pub fn client_of(&self, key: &KeyPair, organization: &str, common_name: &str) -> String {
        self.sign(&request(key, organization, common_name))
    }

    /// The same authority whose certificate is of this version of X.509, 1 or 2, and signed anew.
    pub fn of_version(mut self, version: u8) -> Self {
        self.certificate = old(&self.certificate, version, &self.key).into();
        self
    }

    /// A certificate that this authority has signed as one of this version, 1 or 2.
    pub fn sign_old(&self, der: &[u8], version: u8) -> Vec<u8> {
        old(der, version, &self.key)
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

impl ServerIdentity {
    /// The same with these behind the leaf.
    pub fn behind<'a>(mut self, issuers: impl IntoIterator<Item = &'a Authority>) -> Self {
        self.chain.extend(issuers.into_iter().map(|issuer| issuer.certificate.clone()));
        self
    }

    /// The same with another leaf, whose bytes are made from those of the one that there is.
    pub fn altered(mut self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Self {
        self.chain[0] = change(self.chain[0].to_vec()).into();
        self
    }

    /// The same chain, but the handshake is signed with a key that the certificate does not hold.
    pub fn with_another_key(mut self) -> Self {
        self.key = private_key(&KeyPair::generate().expect("a key"));
        self
    }
}

/// What a certificate says without its extensions, as one of version 1 or 2, signed by `key` (RFC 5280, section 4.1).
/// What openssl(1) makes of `x509 -req -signkey` depends on its age.
pub fn old(der: &[u8], version: u8, key: &KeyPair) -> Vec<u8> {
    let mut certificate = Reader::of_sequence(der).expect("a certificate");
    let mut tbs = certificate.any().expect("what is signed").fields();
    let algorithm = certificate.any().expect("an algorithm").raw;
    let mut kept = match version {
        1 => Vec::new(),
        _ => vec![0xa0, 3, 2, 1, version - 1],
    };
    while let Some(field) = tbs.read().expect("a field") {
        let is_numbered = [ctx_constructed(0), ctx_constructed(3)].contains(&field.tag);
        kept.extend_from_slice(if is_numbered { &[] } else { field.raw });
    }
    let tbs = tlv(Tag::Sequence, &[&kept]);
    let signature = key.sign(&tbs).expect("a signature");
    tlv(Tag::Sequence, &[&tbs, algorithm, &tlv(Tag::BitString, &[&[0], &signature])])
}

/// Parses a request and verifies its signature.
pub fn parse_request(request_pem: &str) -> Result<CertificateSigningRequestParams, rcgen::Error> {
    CertificateSigningRequestParams::from_pem(request_pem)
}

/// A certificate request under a fresh key, for items that are not the node's own.
pub fn foreign_request(organization: &str, common_name: &str) -> String {
    request(&KeyPair::generate().expect("a key"), organization, common_name)
}

fn request(key: &KeyPair, organization: &str, common_name: &str) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, organization);
    params.distinguished_name.push(DnType::CommonName, common_name);
    let request = params.serialize_request(key).expect("a request");
    pem_text("CERTIFICATE REQUEST", request.der())
}

/// The pin of a key, whoever's.
pub fn pin_of(key: &KeyPair) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, &key.subject_public_key_info());
    format!("sha256:{}", hex(digest.as_ref()))
}

/// The value of one attribute of a subject, as text.
pub fn subject(params: &CertificateParams, attribute: &DnType) -> String {
    match params.distinguished_name.get(attribute) {
        Some(rcgen::DnValue::PrintableString(text)) => text.as_str().to_owned(),
        Some(rcgen::DnValue::Utf8String(text)) => text.clone(),
        other => format!("{other:?}"),
    }
}

/// Sets the validity to a window around now, in seconds.
pub fn valid(params: &mut CertificateParams, from: i64, until: i64) {
    let now =
        SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs().cast_signed();
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs((now + from).cast_unsigned());
    params.not_after = epoch + Duration::from_secs((now + until).cast_unsigned());
}

/// PEM as Go writes it: lines of 64 characters and a newline at the end.
pub fn pem_text(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in BASE64_STANDARD.encode(der).as_bytes().chunks(64) {
        text.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn private_key(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}
