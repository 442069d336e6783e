//! Secrets: wiped when dropped, and not to be printed by accident.

use std::fmt;

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

    /// The same, to be put together in its place.
    pub fn expose_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Overwrites the stack below the caller, as far as [`limits::STACK`]: what has returned left copies of secrets there
/// that no owner can wipe, such as the numbers that ring signs with. The heap needs nothing of the kind: the allocator
/// wipes what is freed.
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
}
