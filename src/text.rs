//! Looking for one text in another, letter by letter. std's search takes no longer for a text that is made to slow it down,
//! and 2 KB for that; what is looked for here is short.

/// Where `part`, which is not empty, begins for the first time.
#[must_use]
pub fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|here| here == part)
}

/// Whether it is there.
#[must_use]
pub fn contains(text: impl AsRef<[u8]>, part: impl AsRef<[u8]>) -> bool {
    find(text.as_ref(), part.as_ref()).is_some()
}

/// What stands before and behind it there.
#[must_use]
pub fn split_once<'t>(text: &'t str, part: &str) -> Option<(&'t str, &'t str)> {
    let at = find(text.as_bytes(), part.as_bytes())?;
    Some((&text[..at], &text[at + part.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_the_first_place() {
        for (text, cut) in [
            ("a://b://c", Some(("a", "b://c"))),
            ("ä://", Some(("ä", ""))),
            ("://", Some(("", ""))),
            (":/", None),
            ("", None),
        ] {
            assert_eq!(split_once(text, "://"), cut, "{text}");
        }
    }
}
