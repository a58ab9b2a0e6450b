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
//! BLAKE3 (`cargo bench --bench store`). Hashing the raw text first would save
//! the other 0.06 s where nothing changed, but cost 0.05 s where something did and 16 bytes in each
//! index entry; so there is one hash only.

mod error;
mod number;
mod scan;
mod unique;

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

/// The same for a body that is about to be stored. Of a member that occurs more than once in an
/// object (RFC 8259 §4 leaves to the reader which one counts), only the last is left, as that is the one
/// that is hashed. Half of a surrogate pair, which is no character (§8.2), becomes U+FFFD: a text that was cut in
/// the middle of an emoji is no reason to lose its record. All else stays as it is written.
pub fn settle(body: &mut String) -> Result<BodyHash, BodyError> {
    let scanned = match hash_and_repeats(body, false) {
        Err(error) if error.is_half_a_pair() => {
            if let Some(mended) = crate::surrogates::mended(body) {
                *body = mended;
            }
            hash_and_repeats(body, false)
        }
        scanned => scanned,
    };
    let (hash, repeats) = scanned?;
    if repeats {
        *body = unique::last_members(body);
    }
    Ok(hash)
}

fn hash_of(text: &str, any: bool) -> Result<BodyHash, BodyError> {
    hash_and_repeats(text, any).map(|(hash, _)| hash)
}

/// The hash, and whether a member occurs more than once somewhere.
pub fn hash_and_repeats(text: &str, any: bool) -> Result<(BodyHash, bool), BodyError> {
    SCANNER.with_borrow_mut(|scanner| {
        let (canonical, repeats) = scanner.canonical(text, any)?;
        let mut bytes = [0; 16];
        for (byte, hashed) in bytes.iter_mut().zip(blake3::hash(canonical).as_bytes()) {
            *byte = *hashed;
        }
        Ok((BodyHash(bytes), repeats))
    })
}

#[cfg(test)]
mod tests;
