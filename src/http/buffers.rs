//! The buffers between ureq and the connection. ureq's own are filled with zeros byte by byte when they are made, a
//! twentieth of all that a join computes; these are memory that the system gives zeroed.

use ureq::unversioned::transport::Buffers;
use zeroize::Zeroize as _;

use crate::limits;

/// The least room for a piece of a request's body, as in ureq's `LazyBuffers`.
const PIECE: usize = 10 * 1024;

/// One request and one response's header fit in; bodies pass through.
pub(super) struct HeaderBuffers {
    input: Vec<u8>,
    /// What of the input is there and not consumed yet begins here and ends before `filled`.
    consumed: usize,
    filled: usize,
    /// Whether the last look at the input consumed anything; if not, more has to come first.
    progress: bool,
    output: Vec<u8>,
}

impl HeaderBuffers {
    pub(super) fn new() -> Self {
        let [input, output] = [(); 2].map(|()| vec![0; limits::HEADER_BYTES]);
        Self { input, consumed: 0, filled: 0, progress: false, output }
    }

    /// Forgets what was sent, a token among it.
    pub(super) fn wipe_output(&mut self, amount: usize) {
        self.output[..amount].zeroize();
    }
}

impl Buffers for HeaderBuffers {
    fn output(&mut self) -> &mut [u8] {
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        &self.input[self.consumed..self.filled]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.input.copy_within(self.consumed..self.filled, 0);
        self.filled -= self.consumed;
        self.consumed = 0;
        &mut self.input[self.filled..]
    }

    fn input_appended(&mut self, amount: usize) {
        self.filled += amount;
    }

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.consumed += amount;
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        if self.input_append_buf().len() < PIECE {
            self.input.resize(self.filled + PIECE, 0);
        }
        (&mut self.input[self.filled..], &mut self.output)
    }

    fn can_use_input(&self) -> bool {
        self.progress && !self.input().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_what_is_there_a_piece_has_room() {
        let mut buffers = HeaderBuffers::new();
        for _ in 0..3 {
            let room = buffers.input_append_buf().len();
            buffers.input_appended(room);
            let filled = buffers.filled;
            let (room, output) = buffers.tmp_and_output();
            assert_eq!((room.len(), output.len()), (PIECE, limits::HEADER_BYTES));
            assert_eq!(buffers.input.len(), filled + PIECE);
        }
    }
}
