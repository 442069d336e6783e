//! The scanner's input, which ends where the scanner has too much in its hands.
//!
//! A collection in brackets or braces may turn out to be a key, so the scanner holds all of its parts until it has read
//! the end of it: 1 MiB of `{a:,a:,…}` takes 430 MiB. How many there are can be told by nobody but the scanner, which
//! knows what is a bracket and what is a part of a text.

use std::cell::Cell;

use saphyr_parser::{Input, StrInput};

use crate::limits;

/// A text that ends early when more than [`limits::YAML_TOKENS`] tokens are begun without an event.
pub(super) struct Bounded<'t, 'c> {
    text: StrInput<'t>,
    tokens: &'c Cell<usize>,
}

impl<'t, 'c> Bounded<'t, 'c> {
    /// `tokens` counts up; the reader of an event sets it to zero.
    pub(super) fn new(text: &'t str, tokens: &'c Cell<usize>) -> Self {
        Self { text: StrInput::new(text), tokens }
    }

    fn count(&self) {
        self.tokens.set(self.tokens.get() + 1);
    }

    fn end_where_it_is_too_much(&mut self) {
        if self.tokens.get() > limits::YAML_TOKENS {
            let ahead = self.text.buflen();
            self.text = StrInput::new("");
            self.text.lookahead(ahead);
        }
    }
}

impl Input for Bounded<'_, '_> {
    fn lookahead(&mut self, count: usize) {
        self.end_where_it_is_too_much();
        self.text.lookahead(count);
    }

    fn buflen(&self) -> usize {
        self.text.buflen()
    }

    fn bufmaxlen(&self) -> usize {
        self.text.bufmaxlen()
    }

    fn raw_read_ch(&mut self) -> char {
        self.text.raw_read_ch()
    }

    fn raw_read_non_breakz_ch(&mut self) -> Option<char> {
        self.text.raw_read_non_breakz_ch()
    }

    fn skip(&mut self) {
        self.text.skip();
    }

    fn skip_n(&mut self, count: usize) {
        self.text.skip_n(count);
    }

    fn peek(&self) -> char {
        self.text.peek()
    }

    fn peek_nth(&self, n: usize) -> char {
        self.text.peek_nth(n)
    }

    fn peek_opt(&self) -> Option<char> {
        self.text.peek_opt()
    }

    // Asked of nearly every character: the text has quicker ways than those that are built on `peek`.
    fn next_can_be_plain_scalar(&self, in_flow: bool) -> bool {
        self.text.next_can_be_plain_scalar(in_flow)
    }

    fn next_is_blank_or_breakz(&self) -> bool {
        self.text.next_is_blank_or_breakz()
    }

    /// For this character the scanner looks once before each token, and at no other time.
    fn next_char_is(&self, c: char) -> bool {
        if c == '\u{feff}' {
            self.count();
        }
        self.text.next_char_is(c)
    }

    /// A parameter of a directive, of which one token holds any number.
    fn fetch_while_is_yaml_non_space(&mut self, out: &mut String) -> usize {
        self.count();
        self.end_where_it_is_too_much();
        self.text.fetch_while_is_yaml_non_space(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_ends_behind_the_most_tokens_and_no_earlier() {
        for (count, next) in [(limits::YAML_TOKENS, '['), (limits::YAML_TOKENS + 1, '\0')] {
            let tokens = Cell::new(count);
            let mut input = Bounded::new("[a", &tokens);
            input.lookahead(1);
            assert_eq!((input.peek(), input.buflen() > 0), (next, true), "{count}");
        }
    }
}
