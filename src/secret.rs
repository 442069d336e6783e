//! Secrets: wiped when dropped, and not to be printed by accident.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::{Zeroize, Zeroizing};

use crate::limits;

/// A value that is wiped from memory when dropped and that neither `Debug` nor `Display` shows.
#[derive(Clone, Default)]
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    /// Takes a secret value over.
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value itself, for the one place that needs it.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// The value, to be put together in its place.
    pub fn expose_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a line shows in place of a secret.
const HIDDEN: &str = "***";

/// Secrets that no line may show, also where a server repeats them, in the forms in which a server can have them: as they are, as a
/// part of a URL, and in base64.
#[derive(Debug, Default)]
pub struct Hidden {
    /// In each of the forms in which it may be repeated.
    forms: Vec<Secret<String>>,
    /// The first characters of these, a bit each: nearly all of a line is none of them.
    heads: u128,
}

impl Hidden {
    /// From now on hides `secret`, and of a token with a dot what stands behind it: before that is a name.
    pub fn add(&mut self, secret: &str) {
        for part in [secret, secret.split_once('.').map_or("", |(_, behind)| behind)] {
            if part.len() < limits::HIDDEN_LEAST {
                continue;
            }
            for form in forms(part) {
                self.heads |= form.bytes().next().map_or(0, bit);
                if self.forms.iter().all(|known| *known.expose() != form) {
                    self.forms.push(Secret::new(form));
                }
            }
        }
    }

    /// The text without them and, where it is cut, without the beginning of one.
    pub fn mask(&self, text: &str) -> String {
        let mut clean = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.bytes().position(|byte| self.heads & bit(byte) != 0) {
            let (before, here) = rest.split_at(at);
            clean.push_str(before);
            let hidden = self.forms.iter().map(|form| begun(here, form.expose())).max().unwrap_or_default();
            clean.push_str(if hidden > 0 { HIDDEN } else { &here[..1] });
            rest = &here[hidden.max(1)..];
        }
        clean.push_str(rest);
        clean
    }
}

/// The bit of an ASCII character; no other character begins a form.
fn bit(byte: u8) -> u128 {
    1_u128.checked_shl(byte.into()).unwrap_or_default()
}

/// The forms in which a secret is looked for.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), percent_encoded(secret)];
    for alignment in 0..3 {
        // The letters that it shares with what stands beside it are not looked for.
        let whole = secret.as_bytes().get(alignment..).unwrap_or_default();
        let whole = &whole[..whole.len() / 3 * 3];
        if whole.len() >= limits::HIDDEN_LEAST {
            forms.extend([STANDARD_NO_PAD.encode(whole), URL_SAFE_NO_PAD.encode(whole)]);
        }
    }
    forms
}

/// How much of `form` the text begins with: all of it, or what is left where the text is cut; else nothing.
fn begun(text: &str, form: &str) -> usize {
    let same = text.bytes().zip(form.bytes()).take_while(|(own, other)| own == other).count();
    let is_cut = || text.get(same..).is_some_and(|rest| rest.starts_with('…'));
    if same == form.len() || same > 0 && is_cut() { same } else { 0 }
}

/// As a part of a URL (RFC 3986, section 2.3).
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

/// Overwrites the stack below the caller, as far as [`limits::STACK`]: what has returned left copies of secrets there
/// that no owner can wipe, such as the numbers that ring signs with. The heap needs nothing of the kind: the allocator
/// wipes what is freed.
///
/// Against those who get at the machine's memory after the program has ended: from a snapshot or migration of a virtual
/// machine, a dump of a crashed kernel, memory that keeps its contents over a reset. Linux clears a page only when it gives
/// it to somebody else, unless it was booted with `init_on_free=1` (`Documentation/admin-guide/kernel-parameters.txt`), so
/// that a stack can outlive its process by days. Not against root, who can read the memory while the program runs.
#[inline(never)]
#[allow(clippy::large_stack_arrays, reason = "the stack is what is meant")]
pub fn wipe_stack() {
    let mut stack = [0_u8; limits::STACK];
    std::hint::black_box(&mut stack);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".to_owned())), "***");
    }
    #[test]
    fn a_secret_is_hidden_in_every_form_in_which_it_can_be_repeated() {
        const TOKEN: &str = "abcdef.0123456789abcdef";
        let mut hidden = Hidden::default();
        hidden.add(TOKEN);
        for (text, shown) in [
            ("nothing", "nothing"),
            ("Bearer abcdef.0123456789abcdef is unknown", "Bearer *** is unknown"),
            ("0123456789abcdef0123456789abcdef", "******"),
            ("abcdef.***, 0123456789abcdeg", "abcdef.***, 0123456789abcdeg"),
            ("it says abcdef.01234… (x)", "it says ***… (x)"),
            ("its secret 0123456789abcde…: y…", "its secret ***…: y…"),
            ("… a…", "… ***…"),
        ] {
            assert_eq!(hidden.mask(text), shown);
        }
        for before in ["", "B", "Be", "Bearer "] {
            for secret in [TOKEN, &TOKEN[7..]] {
                let repeated = STANDARD_NO_PAD.encode([before, secret, "!"].concat());
                let shown = hidden.mask(&repeated);
                assert!(
                    shown.contains("***") && shown.len() <= "***".len() + before.len() * 2 + 8,
                    "{shown}"
                );
            }
        }
        hidden.add("a+b/c=é?>?>~~~");
        let url = hidden.mask("https://host/a%2Bb%2Fc%3D%C3%A9%3F%3E%3F%3E~~~/x");
        assert_eq!(url, "https://host/***/x");
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            assert!(hidden.mask(&engine.encode("a+b/c=é?>?>~~~")).starts_with("***"));
        }
    }

    #[test]
    fn a_secret_has_as_many_characters_as_the_limit_says() {
        let least = limits::HIDDEN_LEAST;
        for (length, shown) in [(least, "a *** b"), (least + 1, "a *** b"), (least - 1, "a xxx b")] {
            let (mut hidden, secret) = (Hidden::default(), "x".repeat(length));
            hidden.add(&secret);
            assert_eq!(hidden.mask(&format!("a {secret} b")), shown);
        }
    }

    #[test]
    fn what_is_too_short_to_be_a_secret_hides_no_words() {
        let mut hidden = Hidden::default();
        for short in ["", "a", "a.b", "abc", ".", "abcdef."] {
            hidden.add(short);
        }
        assert_eq!(hidden.mask("abc abcdef a.b."), "abc abcdef a.b.");
        assert_eq!(hidden.mask("it is abcdef.…"), "it is ***…");
    }
}
