//! Inputs that are drawn, and drawn again in the same way: all of them follow from one number.

use std::env;
use std::sync::OnceLock;

/// Numbers after Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (SplitMix64).
pub struct Random(u64);

/// The number from which everything is drawn.
pub fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| number("DIFFERENTIAL_SEED", 1))
}

/// How many inputs a question gets.
pub fn count() -> usize {
    usize::try_from(number("DIFFERENTIAL_COUNT", 1000)).expect("a number of inputs")
}

fn number(variable: &str, default: u64) -> u64 {
    let Ok(text) = env::var(variable) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}"))
}

impl Random {
    /// The numbers of one test, by its name.
    pub fn of(name: &str) -> Self {
        let start =
            name.bytes().fold(seed(), |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self(start)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound as u64).expect("a small number")
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T: ?Sized>(&mut self, among: &[&'a T]) -> &'a T {
        among[self.below(among.len())]
    }

    /// So many of these characters.
    pub fn text(&mut self, alphabet: &str, length: usize) -> String {
        let alphabet: Vec<char> = alphabet.chars().collect();
        (0..length).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.number().to_be_bytes()[0]).collect()
    }

    /// A bootstrap token.
    pub fn token(&mut self) -> String {
        let alphabet =
            self.pick(&["abcdefghijklmnopqrstuvwxyz0123456789", "0123456789", "0123456789e", "nyoxf01"]);
        format!("{}.{}", self.text(alphabet, 6), self.text(alphabet, 16))
    }

    /// A text with a slip or two of somebody's pen.
    pub fn slips(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for _ in 0..=self.below(2) {
            text = self.slip(&text);
        }
        text
    }

    fn slip(&mut self, text: &str) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        let at = self.below(chars.len() + 1);
        let odd = || {
            " \t\n\r:.,-_/\\\"'#&*?|>@`%!=[]{}~0oOxX1eE+\u{e4}\u{2028}\u{7f}\0".chars().collect::<Vec<_>>()
        };
        match self.below(8) {
            0 if at < chars.len() => {
                chars.remove(at);
            }
            1 if at < chars.len() => chars.insert(at, chars[at]),
            2 if at < chars.len() => {
                let odd = odd();
                chars[at] = odd[self.below(odd.len())];
            }
            3 if at + 1 < chars.len() => chars.swap(at, at + 1),
            4 if at < chars.len() => {
                let flipped: String = if chars[at].is_lowercase() {
                    chars[at].to_uppercase().collect()
                } else {
                    chars[at].to_lowercase().collect()
                };
                return chars[..at].iter().collect::<String>()
                    + &flipped
                    + &chars[at + 1..].iter().collect::<String>();
            }
            5 => return self.line_slip(text),
            6 => chars.truncate(at),
            _ => {
                let odd = odd();
                chars.insert(at, odd[self.below(odd.len())]);
            }
        }
        chars.into_iter().collect()
    }

    /// A line is missing, or there twice, or in another's place, or further in, or ends as on another system.
    fn line_slip(&mut self, text: &str) -> String {
        let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
        let (at, other) = (self.below(lines.len()), self.below(lines.len()));
        match self.below(5) {
            0 => {
                lines.remove(at);
            }
            1 => lines.insert(at, lines[at].clone()),
            2 => lines.swap(at, other),
            3 => lines[at].insert(0, ' '),
            _ => return text.replace('\n', "\r\n"),
        }
        lines.join("\n")
    }
}
