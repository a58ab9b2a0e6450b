//! The hash by which a changed body is told from an unchanged one.
//!
//! A body's canonical form has no whitespace, sorted keys (the last of repeated ones wins), each
//! string escaped in one way and each number spelled in one way, as in RFC 8785 - but numbers stay
//! exact: RFC 8785 rounds them to 64-bit floats, which would hide the change from
//! 9007199254740992 to 9007199254740993.
//!
//! # Cost
//!
//! One pass over the text, which copies it into a reused buffer; members are moved only where keys
//! are not sorted. For bodies of 343 bytes (10 members, keys unsorted, one nested object and a
//! list) 100,000 take 0.062 s on the machine the benchmarks ran on: 0.034 s for BLAKE3, 0.028 s for
//! the scanner. Hashing the raw text first, to skip the scanner where nothing changed, would save
//! the smaller half and cost 16 more bytes in each index entry; so there is one hash only.

mod number;
mod scan;

use std::cell::RefCell;
use std::fmt;

pub use scan::{BodyError, DEPTH_MAX};

/// 128 bits of the BLAKE3 hash of a body's canonical form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BodyHash([u8; 16]);

impl BodyHash {
    /// The bytes, as they are stored.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The hash of [`Self::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for BodyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

thread_local! {
    static SCANNER: RefCell<scan::Scanner> = RefCell::default();
}

/// Check that `body` is one JSON object, nested at most [`DEPTH_MAX`] deep, and hash its canonical
/// form.
pub fn hash(body: &str) -> Result<BodyHash, BodyError> {
    SCANNER.with_borrow_mut(|scanner| {
        let canonical = scanner.canonical(body)?;
        let mut bytes = [0; 16];
        for (byte, hashed) in bytes.iter_mut().zip(blake3::hash(canonical).as_bytes()) {
            *byte = *hashed;
        }
        Ok(BodyHash(bytes))
    })
}

#[cfg(test)]
mod tests;
