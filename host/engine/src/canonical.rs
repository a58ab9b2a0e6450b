//! The hash by which a changed body is told from an unchanged one.
//!
//! A body's canonical form has no whitespace, sorted keys (the last of repeated ones wins), each
//! string escaped in one way and each number spelled in one way, as in RFC 8785 - but numbers stay
//! exact: RFC 8785 rounds them to 64-bit floats, which would hide the change from
//! 9007199254740992 to 9007199254740993.
//!
//! # Cost
//!
//! One pass over the text. What is canonical as it stands is copied in one piece, and members are
//! moved only where keys are not sorted. 100,000 bodies of 343 bytes (11 unsorted members, an object
//! and a list among them) take 0.11 s of a processor that is busy otherwise too, 0.05 s of it in
//! BLAKE3 (`cargo bench -p tidegate-store`, `hash_alone`). Hashing the raw text first would save
//! the other 0.06 s where nothing changed, but cost 0.05 s where something did and 16 bytes in each
//! index entry; so there is one hash only.

mod error;
mod number;
mod scan;

use std::cell::RefCell;
use std::fmt;

pub use error::BodyError;
pub use scan::DEPTH_MAX;

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
    hash_of(body, false)
}

/// The same for any JSON value.
pub fn hash_value(json: &str) -> Result<BodyHash, BodyError> {
    hash_of(json, true)
}

fn hash_of(text: &str, any: bool) -> Result<BodyHash, BodyError> {
    SCANNER.with_borrow_mut(|scanner| {
        let canonical = scanner.canonical(text, any)?;
        let mut bytes = [0; 16];
        for (byte, hashed) in bytes.iter_mut().zip(blake3::hash(canonical).as_bytes()) {
            *byte = *hashed;
        }
        Ok(BodyHash(bytes))
    })
}

#[cfg(test)]
mod tests;
