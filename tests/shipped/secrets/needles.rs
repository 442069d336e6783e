//! What is looked for: each form in which a secret could stand somewhere, and how much of it is found in some bytes.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::rand::{SecureRandom, SystemRandom};

/// So many bytes in a row of a secret are no accident: at least forty bits.
const WINDOW: usize = 8;

/// Secrets in their forms.
pub struct Needles {
    forms: Vec<(String, Vec<u8>)>,
    /// Where two bytes can begin a run: form and place in it.
    starts: Vec<Vec<(usize, usize)>>,
}

impl Needles {
    /// The secret half of a bootstrap token, plain, inside base64 wherever it begins, and as HMAC pads it.
    pub fn of_token(token: &str) -> Self {
        let (_, secret) = token.split_once('.').expect("a bootstrap token");
        let mut needles = Self { forms: Vec::new(), starts: vec![Vec::new(); 1 << 16] };
        needles.add("token", secret.as_bytes().to_vec());
        for shift in 0..3 {
            needles.add("token in base64", base64_inside(secret.as_bytes(), shift));
        }
        // HMAC's two pads over the key (RFC 2104).
        for pad in [0x36, 0x5c] {
            needles.add("token in a pad", secret.bytes().map(|byte| byte ^ pad).collect());
        }
        needles
    }

    /// A private key on P-256 in PEM, `EC PRIVATE KEY`: the number itself, both ways round and as Montgomery
    /// multiplication has it, inside PEM, and inside base64 of that PEM.
    #[must_use]
    pub fn and_key(mut self, name: &str, pem: &str) -> Self {
        let block = pem::parse(pem).expect("PEM");
        // RFC 5915, section 3: the number stands behind two headers and a version.
        let number: [u8; 32] = block.contents()[7..39].try_into().expect("32 bytes");
        let reversed = |mut number: [u8; 32]| {
            number.reverse();
            number.to_vec()
        };
        self.add(name, number.to_vec());
        self.add(&format!("{name} reversed"), reversed(number));
        self.add(&format!("{name} in Montgomery form"), reversed(montgomery(number)));
        // The characters that hang on the number alone: from byte 9, where three bytes begin, to byte 39; all in the
        // first line.
        let text = BASE64_STANDARD.encode(&block.contents()[9..39]);
        assert!(pem.contains(&text), "the number stands in the PEM");
        self.add(&format!("{name} in PEM"), text.as_bytes().to_vec());
        for shift in 0..3 {
            self.add(&format!("{name} in base64 of PEM"), base64_inside(text.as_bytes(), shift));
        }
        self
    }

    fn add(&mut self, name: &str, bytes: Vec<u8>) {
        for (at, pair) in bytes.windows(2).enumerate().take(bytes.len() - WINDOW + 1) {
            self.starts[key(pair)].push((self.forms.len(), at));
        }
        self.forms.push((name.to_owned(), bytes));
    }

    /// How many bytes of each stand in `text`: those in runs of at least [`WINDOW`]. A run that is found twice counts
    /// twice.
    pub fn in_bytes(&self, text: &[u8]) -> BTreeMap<&str, usize> {
        let mut found = BTreeMap::new();
        let mut at = 0;
        while at + WINDOW <= text.len() {
            let here = &text[at..];
            let run = self.starts[key(here)].iter().map(|(index, start)| {
                let needle = &self.forms[*index].1[*start..];
                (here.iter().zip(needle).take_while(|(a, b)| a == b).count(), *index)
            });
            match run.max().filter(|(length, _)| *length >= WINDOW) {
                Some((length, index)) => {
                    *found.entry(self.forms[index].0.as_str()).or_default() += length;
                    at += length;
                }
                None => at += 1,
            }
        }
        found
    }
}

fn key(pair: &[u8]) -> usize {
    usize::from(pair[0]) << 8 | usize::from(pair[1])
}

/// A token that nothing else looks like.
pub fn token() -> String {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).expect("randomness");
    let letters = b"abcdefghijklmnopqrstuvwxyz012345";
    let secret: String = bytes.iter().map(|byte| char::from(letters[usize::from(byte % 32)])).collect();
    format!("abcdef.{secret}")
}

/// The characters of base64 that hang on `bytes` alone, when `shift` bytes stand before them in their group of three.
fn base64_inside(bytes: &[u8], shift: usize) -> Vec<u8> {
    let skipped = (3 - shift) % 3;
    let whole = (bytes.len() - skipped) / 3 * 3;
    BASE64_STANDARD.encode(&bytes[skipped..skipped + whole]).into_bytes()
}

/// `number * 2^256` modulo the order of P-256 (FIPS 186-4, D.1.2.3), by doubling.
fn montgomery(number: [u8; 32]) -> [u8; 32] {
    const ORDER: [u64; 4] =
        [0xffff_ffff_0000_0000, 0xffff_ffff_ffff_ffff, 0xbce6_faad_a717_9e84, 0xf3b9_cac2_fc63_2551];
    let mut limbs = [0_u64; 4];
    for (limb, bytes) in limbs.iter_mut().zip(number.chunks_exact(8)) {
        *limb = u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
    }
    for _ in 0..256 {
        let carry = limbs[0] >> 63;
        for at in 0..4 {
            limbs[at] = limbs[at] << 1 | limbs.get(at + 1).map_or(0, |next| next >> 63);
        }
        if carry == 1 || limbs >= ORDER {
            let mut borrow = false;
            for at in (0..4).rev() {
                let (less, first) = limbs[at].overflowing_sub(ORDER[at]);
                let (less, second) = less.overflowing_sub(u64::from(borrow));
                (limbs[at], borrow) = (less, first || second);
            }
        }
    }
    let mut bytes = [0; 32];
    for (chunk, limb) in bytes.chunks_exact_mut(8).zip(limbs) {
        chunk.copy_from_slice(&limb.to_be_bytes());
    }
    bytes
}
