//! Keys of the kinds that certificates have, also of those that no test's library signs with: the oracle does it then.

use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{
    CertificateParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    PKCS_RSA_SHA256,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use serde_json::json;

use super::oracle::{Answer, Oracle, bytes, given_bytes};
use super::random::Random;
use crate::support::pki;

/// The kinds, by name, with how each signs where it can be done here. The first is the usual one.
const KINDS: [(&str, Option<&rcgen::SignatureAlgorithm>); 6] = [
    ("P-256", Some(&PKCS_ECDSA_P256_SHA256)),
    ("P-384", Some(&PKCS_ECDSA_P384_SHA384)),
    ("Ed25519", Some(&PKCS_ED25519)),
    ("RSA-2048", Some(&PKCS_RSA_SHA256)),
    (RSA_1024, None),
    ("P-521", None),
];

const RSA_1024: &str = "RSA-1024";

/// So many of each kind; a chain has no key twice.
const EACH: usize = 4;

/// The oracle, for all who need its keys.
pub type Shared = Arc<Mutex<Oracle>>;

/// Asks it.
pub fn ask(oracle: &Shared, question: &str, input: &serde_json::Value) -> Answer {
    oracle.lock().unwrap_or_else(PoisonError::into_inner).ask(question, input)
}

/// One key.
pub struct Key {
    kind: &'static str,
    /// It, or one of the usual kind in the place of a key that is foreign here.
    pair: KeyPair,
    /// PKCS#8.
    der: Vec<u8>,
    /// Who signs with a key that is foreign here.
    oracle: Option<Shared>,
}

impl Key {
    /// The certificate of these for this key, by that issuer.
    pub fn certified(
        &self,
        params: &CertificateParams,
        issuer: (&CertificateParams, &Self),
    ) -> CertificateDer<'static> {
        let by = Issuer::from_params(issuer.0, &issuer.1.pair);
        let der = params.signed_by(&self.pair, &by).expect("a certificate").der().clone();
        let Some(oracle) = self.oracle.as_ref().or(issuer.1.oracle.as_ref()) else { return der };
        let wanted =
            json!({"certificate": bytes(&der), "key": bytes(&self.der), "issuer": bytes(&issuer.1.der)});
        given_bytes(&ask(oracle, "certificate", &wanted).expect("a certificate")).into()
    }

    /// A certificate that this key has signed as one of version 1 or 2. `None` of keys that are foreign here.
    pub fn old(&self, certificate: &[u8], version: u8) -> Option<CertificateDer<'static>> {
        self.oracle.is_none().then(|| pki::old(certificate, version, &self.pair).into())
    }

    /// What a server of this key signs its handshakes with.
    pub fn of_a_server(&self) -> Arc<dyn SigningKey> {
        match &self.oracle {
            Some(oracle) => Arc::new(Foreign {
                is_rsa: self.kind == RSA_1024,
                der: self.der.clone(),
                oracle: oracle.clone(),
            }),
            None => {
                let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.der.clone()));
                rustls::crypto::ring::sign::any_supported_type(&der).expect("a key that can sign")
            }
        }
    }
}

/// Keys to choose from; making RSA keys takes long.
pub struct Keys(Vec<Key>);

impl Keys {
    pub fn make(oracle: &Shared) -> Self {
        let mut keys = Vec::new();
        for (kind, algorithm) in KINDS {
            for _ in 0..EACH {
                let der = given_bytes(&ask(oracle, "key", &json!(kind)).expect("a key"));
                let own = |algorithm| {
                    let der = PrivatePkcs8KeyDer::from(der.as_slice());
                    KeyPair::from_pkcs8_der_and_sign_algo(&der, algorithm)
                };
                let pair = algorithm.map_or_else(KeyPair::generate, own).expect("a key");
                let oracle = algorithm.is_none().then(|| oracle.clone());
                keys.push(Key { kind, pair, der, oracle });
            }
        }
        Self(keys)
    }

    /// One of the `nth` of each kind: usually the usual.
    pub fn draw(&self, random: &mut Random, nth: usize, traits: &mut Vec<&'static str>) -> &Key {
        let kind = if random.once_in(6) { random.below(KINDS.len()) } else { 0 };
        let key = &self.0[kind * EACH + nth];
        traits.push(key.kind);
        key
    }
}

/// A key that the oracle signs with.
#[derive(Clone, Debug)]
struct Foreign {
    is_rsa: bool,
    der: Vec<u8>,
    oracle: Shared,
}

impl SigningKey for Foreign {
    /// No client here offers anything that a key on P-521 could sign.
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let is_offered = self.is_rsa && offered.contains(&SignatureScheme::RSA_PSS_SHA256);
        is_offered.then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        if self.is_rsa { SignatureAlgorithm::RSA } else { SignatureAlgorithm::ECDSA }
    }
}

impl Signer for Foreign {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let input = json!({"key": bytes(&self.der), "message": bytes(message)});
        let signature = ask(&self.oracle, "sign a handshake", &input).map_err(rustls::Error::General)?;
        Ok(given_bytes(&signature))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::RSA_PSS_SHA256
    }
}
