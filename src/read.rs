//! Reading to the end what nobody has bounded but the reader. std's way is compiled for each type of source, half a
//! kilobyte each.

use std::io::{self, Read};

/// What is read at once.
const PIECE: usize = 4096;

/// Reads all that is left into `bytes`, which is empty, but no more than `max`. Where it has room for all of it, it
/// does not grow, which would leave copies behind.
///
/// # Errors
/// The source's. What came before is in `bytes`.
pub fn to_end(source: &mut dyn Read, bytes: &mut Vec<u8>, max: usize) -> io::Result<()> {
    let mut piece = [0; PIECE];
    while bytes.len() < max {
        let room = PIECE.min(max - bytes.len());
        match source.read(&mut piece[..room]) {
            Ok(0) => break,
            Ok(length) => bytes.extend_from_slice(&piece[..length]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time, and is interrupted before each; then it fails, if it does.
    struct Slow<'a>(&'a [u8], bool, Option<io::ErrorKind>);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            assert!(!buffer.is_empty(), "a source may take that for a read behind its end");
            self.1 = !self.1;
            let max = buffer.len().min(7);
            match (self.1, self.2) {
                (true, _) => Err(io::ErrorKind::Interrupted.into()),
                (false, Some(failure)) if self.0.is_empty() => Err(failure.into()),
                _ => self.0.read(&mut buffer[..max]),
            }
        }
    }

    #[test]
    fn all_is_read_up_to_the_limit_whatever_room_there_is() {
        let all: Vec<u8> = (0..=255).cycle().take(3 * PIECE).collect();
        for length in [0, 1, 7, PIECE, PIECE + 1, 3 * PIECE] {
            for room in [0, length, 2 * length, PIECE] {
                for max in [0, 1, length, length + 1, 4 * PIECE] {
                    let mut bytes = Vec::with_capacity(room);
                    to_end(&mut Slow(&all[..length], false, None), &mut bytes, max).unwrap();
                    assert!(bytes == all[..length.min(max)], "{length} bytes, {room} of room, {max} at most");
                    assert!(room < length || bytes.capacity() == room, "{length} bytes, {room} of room");
                }
            }
        }
    }

    #[test]
    fn what_came_before_a_failure_is_kept() {
        let mut bytes = Vec::new();
        let failure = to_end(&mut Slow(b"0123456789", false, Some(io::ErrorKind::TimedOut)), &mut bytes, 100);
        assert_eq!((failure.unwrap_err().kind(), &*bytes), (io::ErrorKind::TimedOut, &b"0123456789"[..]));
    }
}
