//! Bundles of CAs as a cluster publishes them, most of them good.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use rustls::pki_types::CertificateDer;

use super::random::Random;
use crate::support::pki::{Authority, DAY, pem_text, valid};

/// Certificates to draw from.
pub struct Bundles {
    /// CAs that can be roots.
    good: Vec<Authority>,
    /// Certificates that cannot.
    bad: Vec<Authority>,
    /// Blocks that are no certificates, or texts that are no blocks.
    other: Vec<String>,
}

impl Bundles {
    pub fn make(random: &mut Random) -> Self {
        let good = (0..4).map(|n| Authority::new(&format!("ca {n}"))).collect();
        let changes: [fn(&mut CertificateParams); 5] = [
            |params| params.is_ca = IsCa::ExplicitNoCa,
            |params| params.is_ca = IsCa::NoCa,
            |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature],
            |params| valid(params, -20 * DAY, -DAY),
            |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)),
        ];
        let bad = changes.into_iter().map(|change| Authority::with("odd", change)).collect();
        let key = KeyPair::generate().expect("a key");
        let other = vec![
            pem_text("EC PRIVATE KEY", &random.bytes(120)),
            pem_text("X509 CRL", &revocations(&key)),
            pem_text("CERTIFICATE", &random.bytes(300)),
            pem_text("CERTIFICATE", b""),
            pem_text("TRUSTED CERTIFICATE", &random.bytes(300)),
            "# the CA of our cluster\n".to_owned(),
            "\n\n".to_owned(),
            "subject=CN = kubernetes\nissuer=CN = kubernetes\n".to_owned(),
        ];
        Self { good, bad, other }
    }

    /// A text with certificates, and pins for some of them.
    pub fn draw(&self, random: &mut Random) -> (Vec<u8>, Vec<String>) {
        let (mut text, mut pins) = (String::new(), Vec::new());
        for _ in 0..[1, 1, 1, 1, 2, 3, 0][random.below(7)] {
            let authority = if random.once_in(10) {
                &self.bad[random.below(self.bad.len())]
            } else {
                &self.good[random.below(self.good.len())]
            };
            text.push_str(&authority.pem());
            if !random.once_in(4) {
                pins.push(authority.pin());
            }
        }
        if random.once_in(8) {
            let other = &self.other[random.below(self.other.len())];
            if random.once_in(2) { text.push_str(other) } else { text.insert_str(0, other) }
        }
        if random.once_in(10) {
            text = match random.below(4) {
                0 => text.replace('\n', "\r\n"),
                1 => text.trim_end().to_owned(),
                2 => rewrapped(&text, 76),
                _ => text.replacen("-----\n", "-----\nkey: value\n\n", 1),
            };
        }
        (text.into_bytes(), pins)
    }

    /// One of the good ones.
    pub fn good(&self, random: &mut Random) -> &Authority {
        &self.good[random.below(self.good.len())]
    }
}

/// The blocks with lines of another length.
fn rewrapped(text: &str, width: usize) -> String {
    let blocks = pem::parse_many(text).unwrap_or_default();
    blocks.iter().fold(String::new(), |mut all, block| {
        all = all + "-----BEGIN " + block.tag() + "-----\n";
        for line in BASE64_STANDARD.encode(block.contents()).as_bytes().chunks(width) {
            all += std::str::from_utf8(line).expect("ASCII");
            all.push('\n');
        }
        all + &format!("-----END {}-----\n", block.tag())
    })
}

/// An empty list of revocations.
fn revocations(key: &KeyPair) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::CrlSign];
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(2044, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(&Issuer::from_params(&params, key)).expect("a list").der().to_vec()
}

/// A certificate's block.
pub fn block(certificate: &CertificateDer<'_>) -> String {
    pem_text("CERTIFICATE", certificate)
}
