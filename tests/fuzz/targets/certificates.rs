//! Certificates, requests, bundles of certificates, pairs of a certificate and its key.

use rustls::pki_types::CertificateDer;

use nodestrap::testing::credentials::{ClientPair, Credentials};
use nodestrap::testing::key::Key;
use nodestrap::testing::limits;
use nodestrap::testing::trust::CaBundle;
use nodestrap::testing::x509::{AltName, Certificate, Request};

use super::{fixtures, is_one_line};

/// A certificate that is read has the key, and the names, that webpki finds in it: a pin that fits one key while chains
/// are verified with another would be worth nothing.
pub fn certificate(der: &[u8]) -> bool {
    let Ok(certificate) = Certificate::from_der(der) else { return false };
    assert!(der.len() <= limits::CERTIFICATE_BYTES && certificate.der == der);
    let again = Certificate::from_der(&certificate.der).expect("it was read");
    assert_eq!(format!("{certificate:?}"), format!("{again:?}"));
    is_one_line(&format!("{} {}", certificate.subject, certificate.describe_validity(fixtures::now())));
    let shown = CertificateDer::from(der);
    if let Ok(anchor) = webpki::anchor_from_trusted_cert(&shown) {
        let spki = anchor.subject_public_key_info.as_ref();
        assert!(certificate.spki.ends_with(spki), "webpki sees another key");
        assert!(certificate.spki.len() <= spki.len() + 5, "webpki sees another key");
    }
    if let Ok(leaf) = webpki::EndEntityCert::try_from(&shown) {
        assert_eq!(leaf.subject_public_key_info().as_ref(), certificate.spki, "webpki sees another key");
        for name in leaf.valid_dns_names() {
            let own = AltName::Dns(name.to_ascii_lowercase());
            assert!(certificate.alt_names.as_slice().contains(&own), "webpki sees another name, {name}");
        }
    }
    true
}

/// A request is signed over bytes of its own, which hold the key that it shows.
pub fn request(der: &[u8]) -> bool {
    let Ok(request) = Request::from_der(der) else { return false };
    let is_in =
        |part: &[u8], whole: &[u8]| part.is_empty() || whole.windows(part.len()).any(|own| own == part);
    assert!(is_in(request.info, der) && is_in(request.spki, request.info) && is_in(request.signature, der));
    is_one_line(&format!("{} {}", request.subject, request.alt_names));
    true
}

/// A bundle that is taken is the same by either way that it can come, keeps its bytes, and is bounded.
pub fn bundle(pem: &[u8]) -> bool {
    let Ok(bundle) = CaBundle::from_pem(pem.to_vec()) else { return false };
    assert_eq!(bundle.pem(), pem);
    let again = CaBundle::from_base64(&bundle.base64()).expect("the same by base64");
    assert_eq!((again.pem(), again.pins()), (bundle.pem(), bundle.pins()));
    let count = bundle.certificates().len();
    assert!((1..=limits::CERTIFICATES).contains(&count));
    assert_eq!(Certificate::chain_from_pem(pem).expect("certificates").len(), count);
    assert!(bundle.shares_a_key_with(again.certificates()));
    if let Err(error) = bundle.roots(fixtures::now(), "") {
        is_one_line(&error.to_string());
    }
    true
}

/// A key that is read is written and read again as the same; a pair too.
pub fn pair(pem: &[u8]) -> bool {
    if let Some(key) = Key::from_pem(pem) {
        let written = key.pem().expose();
        let again = Key::from_pem(written.as_bytes()).expect("what is written is read");
        assert_eq!((again.pem().expose(), again.spki()), (written, key.spki()));
    }
    match ClientPair::from_pem(pem, pem) {
        Err((problem, _)) => {
            is_one_line(&problem);
            false
        }
        Ok(pair) => {
            let credentials = Credentials::of_user(None, Some(pair)).expect("credentials");
            let (certificate, key) = credentials.embedded().pair.expect("a pair");
            let again =
                ClientPair::from_pem(certificate.as_bytes(), key.as_bytes()).expect("what is written");
            let again = Credentials::of_user(None, Some(again)).expect("credentials");
            assert_eq!(again.embedded().pair, Some((certificate, key)));
            true
        }
    }
}
