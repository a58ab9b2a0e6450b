//! The ids that a run has seen, as hashes: to notice those that come twice.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

/// Beyond this many nothing is remembered: the host counts in any case.
const IDS_MAX: usize = 1_000_000;
/// How many ids are named in a message.
const NAMED_MAX: usize = 10;

/// Ids that were seen, to notice those that come twice. Of at most a million is something kept.
#[derive(Debug, Default)]
pub struct SeenIds {
    hashes: HashSet<u64, BuildHasherDefault<PassThroughHasher>>,
    repeated: u64,
    named: Vec<String>,
}

impl SeenIds {
    /// Take an id in. False when it was there already.
    pub fn insert(&mut self, id: &str) -> bool {
        self.insert_hash(hash(id), id)
    }

    pub(super) fn insert_hash(&mut self, hash: u64, id: &str) -> bool {
        let is_new = if self.hashes.len() < IDS_MAX {
            self.hashes.insert(hash)
        } else {
            !self.hashes.contains(&hash)
        };
        if !is_new {
            self.repeated += 1;
            if self.named.len() < NAMED_MAX && !self.named.iter().any(|named| named == id) {
                self.named.push(id.to_owned());
            }
        }
        is_new
    }

    /// Whether an id was taken in.
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        self.hashes.contains(&hash(id))
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Which came twice, for a message: the first ten, and how many more.
    #[must_use]
    pub fn repeated(&self) -> Option<String> {
        let names = self.named.join(", ");
        let more = self.repeated.saturating_sub(self.named.len() as u64);
        match (self.repeated, more) {
            (0, _) => None,
            (_, 0) => Some(names),
            _ => Some(format!("{names} and {more} more")),
        }
    }
}

/// Of an id.
pub(super) fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

/// What is put in is a hash already.
#[derive(Debug, Default)]
struct PassThroughHasher(u64);

impl Hasher for PassThroughHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
