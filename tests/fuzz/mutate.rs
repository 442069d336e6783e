//! Mutations of seeds for the ordinary tests: cheap, and the same on every machine. libFuzzer has better ones.

/// A stream of numbers that its seed decides (xorshift64*, Vigna 2016).
pub struct Numbers(u64);

impl Numbers {
    /// The stream of this seed.
    pub fn of(seed: &str) -> Self {
        // FNV-1a.
        let hash = seed.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(hash | 1)
    }

    /// The next one below `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(number).expect("32 bits") % bound
    }
}

/// What means something to one or another parser.
const WORDS: [&[u8]; 24] = [
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xff\x01",
    b"\xff\x02",
    b"\"",
    b"'",
    b": ",
    b"- ",
    b"#",
    b"&a ",
    b"*a",
    b"!!str ",
    b"{",
    b"}",
    b"[",
    b"null",
    b"..",
    b"%",
    b"\xe2\x80\xae",
    b"-1",
    b"\x80",
    b"99999999999999999999",
];

/// A copy of `seed` that differs from it in one to four places; parts of `other` may be in it.
pub fn mutate(seed: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(data.len() + 1);
        let end = (at + 1 + numbers.below(16)).min(data.len());
        match numbers.below(8) {
            0 | 1 if at < data.len() => data[at] ^= 1 << numbers.below(8),
            2 if at < data.len() => data[at] = [0, 0x7f, 0x80, 0xff, b'0', b' '][numbers.below(6)],
            3 => drop(data.drain(at..end)),
            4 => {
                let again = data[at..end].to_vec();
                data.splice(at..at, again);
            }
            5 if !other.is_empty() => {
                let from = numbers.below(other.len());
                let until = (from + numbers.below(64)).min(other.len());
                data.splice(at..end, other[from..until].iter().copied());
            }
            6 => data.truncate(at),
            _ => drop(data.splice(at..at, WORDS[numbers.below(WORDS.len())].iter().copied())),
        }
    }
    data
}
