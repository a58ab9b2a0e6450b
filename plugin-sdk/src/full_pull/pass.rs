//! One reading of the list, as far as it is.

use serde::{Deserialize, Serialize};

use super::ids::hash;

/// How many reasons are kept, and how much of each.
const DOUBTS_MAX: usize = 3;
const DOUBT_CHARS: usize = 200;
/// How many ids are kept that are known to be in the list.
const KNOWN_MAX: usize = 3;

/// How far a full pull is: part of the plugin's checkpoint, so that an interrupted pull goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pass {
    /// Counts from 1.
    pub(super) number: u32,
    pub(super) answers: u64,
    /// Each time that one came.
    pub(super) records: u64,
    /// Records that were skipped: of these, the host does not count those that are not stored.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) skipped: u64,
    /// Of the ids, in their order.
    pub(super) digest: u64,
    /// That of the pass before, if that was whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) doubts: Vec<String>,
    /// Ids that were seen last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) known: Vec<String>,
    /// How many were deleted, as the API said that they are gone.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) confirmed: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Default for Pass {
    fn default() -> Self {
        Pass {
            number: 1,
            answers: 0,
            records: 0,
            skipped: 0,
            digest: 0,
            before: None,
            doubts: Vec::new(),
            known: Vec::new(),
            confirmed: 0,
        }
    }
}

impl Pass {
    /// Whether anything of it has been read.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.answers > 0
    }

    /// Take the next id in; returns its hash.
    pub(super) fn saw(&mut self, id: &str) -> u64 {
        let hash = hash(id);
        // One after the other, so that their order counts.
        self.digest = (self.digest ^ hash)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29);
        let place = usize::try_from(self.records).unwrap_or(usize::MAX) % KNOWN_MAX;
        // The first of them, and then one of every so many, is enough.
        if self.known.len() < KNOWN_MAX || self.records.is_multiple_of(100) {
            match self.known.get_mut(place) {
                Some(known) => id.clone_into(known),
                None => self.known.push(id.to_owned()),
            }
        }
        self.records += 1;
        hash
    }

    pub(super) fn doubt(&mut self, why: &str) {
        let why = crate::text::excerpt(why, DOUBT_CHARS);
        if self.doubts.len() < DOUBTS_MAX && !self.doubts.contains(&why) {
            self.doubts.push(why);
        }
    }

    /// Whether it read the same ids in the same order as the pass before.
    pub(super) fn agrees(&self) -> bool {
        self.before == Some(self.digest)
    }

    /// The pass after this one.
    pub(super) fn next(&self, is_whole: bool) -> Pass {
        Pass {
            number: self.number + 1,
            before: is_whole.then_some(self.digest),
            confirmed: self.confirmed,
            ..Pass::default()
        }
    }
}
