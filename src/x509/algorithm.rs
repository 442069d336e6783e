//! The algorithms of keys and of signatures, by the names that people know. Which of them this program can check, it
//! says where it checks ([`crate::http`]).

use der::Tag;

use crate::asn1::Reader;

/// OIDs, as the value of their field, and what they are called: signatures (RFC 5758, section 3.2; RFC 8017,
/// appendix C; RFC 8410, section 3; RFC 9881, section 2), curves (RFC 5480, section 2.1.1.1; SEC 2) and keys.
const NAMES: [(&[u8], &str); 28] = [
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1], "ECDSA with SHA-1"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 1], "ECDSA with SHA-224"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], "ECDSA with SHA-256"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3], "ECDSA with SHA-384"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4], "ECDSA with SHA-512"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1], RSA),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4], "RSA with MD5"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5], "RSA with SHA-1"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10], "RSA-PSS"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11], "RSA with SHA-256"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12], "RSA with SHA-384"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13], "RSA with SHA-512"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 14], "RSA with SHA-224"),
    (&[0x2b, 0x65, 0x70], "Ed25519"),
    (&[0x2b, 0x65, 0x71], "Ed448"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 17], "ML-DSA-44"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 18], "ML-DSA-65"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 19], "ML-DSA-87"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1], "DSA"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 3], "DSA with SHA-1"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 2], "DSA with SHA-256"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1], "ECDSA on an unknown curve"),
    (&[0x2b, 0x81, 4, 0, 33], "P-224"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], "P-256"),
    (&[0x2b, 0x81, 4, 0, 34], "P-384"),
    (&[0x2b, 0x81, 4, 0, 35], "P-521"),
    (&[0x2b, 0x81, 4, 0, 10], "secp256k1"),
    (&[0x2a, 0x81, 0x1c, 0xcf, 0x55, 1, 0x82, 0x2d], "SM2"),
];

const RSA: &str = "RSA";

/// The name of an algorithm, as an AlgorithmIdentifier's content has it: that of the curve, where one is named.
pub fn algorithm_name(identifier: &[u8]) -> &'static str {
    let mut name = "an unknown algorithm";
    let mut fields = Reader::of(identifier);
    while let Ok(Some(field)) = fields.read() {
        let known = NAMES.iter().find(|(id, _)| field.tag == Tag::ObjectIdentifier && *id == field.value);
        name = known.map_or(name, |known| known.1);
    }
    name
}

/// The algorithm that a certificate is signed with, an AlgorithmIdentifier's content. Empty where it makes no sense.
pub fn signature_algorithm(certificate: &[u8]) -> &[u8] {
    let algorithm = Reader::of_sequence(certificate).and_then(|mut fields| {
        fields.any()?; // tbsCertificate
        fields.expect(Tag::Sequence)
    });
    algorithm.map(|field| field.value).unwrap_or_default()
}

/// The algorithm of a SubjectPublicKeyInfo, an AlgorithmIdentifier's content. Empty where it makes no sense.
pub fn key_algorithm(spki: &[u8]) -> &[u8] {
    let algorithm = Reader::of_sequence(spki).and_then(|mut fields| fields.expect(Tag::Sequence));
    algorithm.map(|field| field.value).unwrap_or_default()
}

/// The kind of a SubjectPublicKeyInfo's key as people name it: `RSA-2048`, `P-256`.
pub fn key_name(spki: &[u8]) -> String {
    match (algorithm_name(key_algorithm(spki)), rsa_bits(spki)) {
        (RSA, Some(bits)) => format!("RSA-{bits}"),
        (name, _) => name.to_owned(),
    }
}

/// Whether a SubjectPublicKeyInfo is that of an RSA key for any use (RFC 8017, appendix C, `rsaEncryption`).
pub fn is_rsa(spki: &[u8]) -> bool {
    algorithm_name(key_algorithm(spki)) == RSA
}

/// The length of an RSA key's modulus.
pub fn rsa_bits(spki: &[u8]) -> Option<usize> {
    let mut fields = Reader::of_sequence(spki).ok()?;
    fields.any().ok()?;
    let mut numbers = Reader::of_sequence(fields.any().ok()?.bit_string().ok()?).ok()?;
    let modulus = numbers.expect(Tag::Integer).ok()?.value;
    let first = modulus.iter().position(|byte| *byte != 0)?;
    Some((modulus.len() - first) * 8 - usize::try_from(modulus[first].leading_zeros()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_names_that_people_know() {
        let point = [&[3, 3, 0, 4, 1][..]].concat();
        let key = |algorithm: &[u8]| {
            let length = |bytes: &[u8]| u8::try_from(bytes.len()).expect("short");
            let algorithm = [&[0x30, length(algorithm)][..], algorithm].concat();
            [&[0x30, length(&algorithm) + length(&point)][..], &algorithm, &point].concat()
        };
        let ec = |curve: &[u8]| {
            let oid = [6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
            key(&[&oid[..], &[6, u8::try_from(curve.len()).expect("short")], curve].concat())
        };
        assert_eq!(key_name(&ec(&[0x2b, 0x81, 4, 0, 35])), "P-521");
        assert_eq!(key_name(&ec(&[0x2b, 0x81, 4, 0, 33])), "P-224");
        assert_eq!(key_name(&ec(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7])), "P-256");
        assert_eq!(key_name(&key(&[6, 3, 0x2b, 0x65, 0x70])), "Ed25519");
        assert_eq!(key_name(&key(&[6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 18])), "ML-DSA-65");
        assert_eq!(key_name(&key(&[6, 3, 0x2b, 1, 1])), "an unknown algorithm");
        assert_eq!(key_name(b"no key"), "an unknown algorithm");
        assert_eq!(key_algorithm(b"no key"), b"");
    }

    #[test]
    fn an_rsa_key_is_as_long_as_its_modulus() {
        let key = |modulus: &[u8]| {
            let length = u8::try_from(modulus.len()).expect("short");
            let numbers = [&[0x30, length + 5, 2, length][..], modulus, &[2, 1, 3]].concat();
            let rsa = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
            [&[0x30, length + 25][..], &rsa, &[3, length + 8, 0], &numbers].concat()
        };
        assert_eq!(key_name(&key(&[0, 0x80, 1, 1])), "RSA-24");
        assert!(is_rsa(&key(&[0x01, 0xff])) && !is_rsa(b"no key"));
        assert_eq!(key_name(&key(&[0x01, 0xff])), "RSA-9");
        assert_eq!(rsa_bits(&key(&[0])), None);
    }
}
