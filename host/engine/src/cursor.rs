//! A consumer's place in a change feed, as opaque text.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// Points just after a change of one feed of one store.
///
/// As text: `c1_` and base64url of store, feed, sequence, pruned (big-endian `u64` each) and a CRC-32
/// of them, so that a damaged cursor is noticed and one of another feed is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor {
    /// The store that gave it out.
    pub store: u64,
    /// The store's number of the (connection, model).
    pub feed: u64,
    /// The sequence of the last change read; 0 is before the first.
    pub seq: u64,
    /// Up to this sequence the reader knows that bodies may be missing, because retention had
    /// removed them before it began to read.
    pub pruned: u64,
}

/// Why a cursor can't be used. All of them are the reader's to fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    #[error("this is not a cursor, or a damaged one: use a cursor exactly as it was given out")]
    Malformed,
    #[error(
        "this cursor was given out by another store: read this one from the start, without a cursor"
    )]
    OtherStore,
    #[error(
        "this cursor belongs to another connection or model, or to data that has been removed since"
    )]
    OtherFeed,
    #[error("this cursor lies beyond the end of the feed: read from the start, without a cursor")]
    Ahead,
    #[error("this cursor is older than what retention kept: read from the start, without a cursor")]
    Expired,
}

const PREFIX: &str = "c1_";

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(36);
        for part in [self.store, self.feed, self.seq, self.pruned] {
            bytes.extend_from_slice(&part.to_be_bytes());
        }
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl TryFrom<String> for Cursor {
    type Error = CursorError;
    fn try_from(text: String) -> Result<Self, CursorError> {
        text.parse()
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.to_string()
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(CursorError::Malformed)?;
        let [store, feed, seq, pruned] = numbers(encoded)?;
        Ok(Self {
            store,
            feed,
            seq,
            pruned,
        })
    }
}

/// The numbers of a cursor, if the checksum after them is theirs.
fn numbers(encoded: &str) -> Result<[u64; 4], CursorError> {
    let bytes = URL_SAFE_NO_PAD
        .decode(encoded)
        .map_err(|_| CursorError::Malformed)?;
    let (parts, crc) = bytes
        .split_at_checked(4 * 8)
        .ok_or(CursorError::Malformed)?;
    if crc32fast::hash(parts).to_be_bytes() != crc {
        return Err(CursorError::Malformed);
    }
    let mut numbers = [0; 4];
    for (number, bytes) in numbers.iter_mut().zip(parts.chunks_exact(8)) {
        *number = bytes
            .iter()
            .fold(0u64, |number, byte| (number << 8) | u64::from(*byte));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for seq in [0, 1, u64::MAX] {
            let cursor = Cursor {
                store: 0xdead_beef_0000_0001,
                feed: 7,
                seq,
                pruned: 5,
            };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
    }

    #[test]
    fn damage_is_noticed() {
        let good = Cursor {
            store: 1,
            feed: 2,
            seq: 3,
            pruned: 4,
        }
        .to_string();
        for position in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[position] = if bytes[position] == b'B' { b'C' } else { b'B' };
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(
                text.parse::<Cursor>(),
                Err(CursorError::Malformed),
                "{text}"
            );
        }
        for bad in [
            "",
            "c1_",
            "c1_????",
            "c2_",
            &good[..20],
            &format!("{good}A"),
            "0",
        ] {
            assert_eq!(bad.parse::<Cursor>(), Err(CursorError::Malformed), "{bad}");
        }
    }
}
