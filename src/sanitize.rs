//! Text that others supplied, made fit for one line of a terminal or a log.

use std::fmt;

use crate::limits;

/// A cause as it stands behind a colon: of the system's errors without their number, `connection refused`.
pub fn reason(cause: &dyn fmt::Display) -> String {
    let cause = cause.to_string();
    match cause.split_once(" (os error ") {
        Some((reason, number)) if number.ends_with(')') => {
            let mut reason = reason.to_owned();
            // Not of `I/O error`.
            if reason.chars().nth(1).is_some_and(char::is_lowercase) {
                reason[..1].make_ascii_lowercase();
            }
            reason
        }
        _ => cause,
    }
}

/// Text that a server or a file supplied, made fit for one line of a terminal or a log: control characters (escape
/// sequences, line breaks) become spaces, and no more than [`limits::FOREIGN_TEXT`] characters are kept.
pub fn sanitize(text: &str) -> String {
    let mut rest = text.trim().chars();
    let mut clean: String = rest.by_ref().take(limits::FOREIGN_TEXT).map(replace_control_char).collect();
    if rest.next().is_some() {
        clean.push('…');
    }
    clean
}

/// Text with a space for each control character, whole: a path that a message names can hold any.
pub fn one_line(text: &str) -> String {
    text.chars().map(replace_control_char).collect()
}

fn replace_control_char(c: char) -> char {
    if c.is_control() || is_bidi(c) { ' ' } else { c }
}

/// Characters that make a terminal show text in another order than it is written (Unicode TR 9, section 2).
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_cut() {
        assert_eq!(sanitize(&"x".repeat(10_000)).chars().count(), limits::FOREIGN_TEXT + 1);
    }
}
