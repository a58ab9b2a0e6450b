//! A set of sequences, in chunks of 65,536 that are stored one by one.

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringBitmap;

use super::Corrupt;
use super::codec::{Reader, put_number};

const CHUNK_BITS: u32 = 16;
const CHUNK_MAX: u32 = (1 << CHUNK_BITS) - 1;

/// A set of sequences that remembers which of its chunks changed.
#[derive(Debug, Clone, Default)]
pub(crate) struct SeqSet {
    chunks: BTreeMap<u64, RoaringBitmap>,
    dirty: BTreeSet<u64>,
}

fn split(seq: u64) -> (u64, u32) {
    let [low, high, ..] = seq.to_le_bytes();
    (seq >> CHUNK_BITS, u32::from_le_bytes([low, high, 0, 0]))
}

fn join(chunk: u64, low: u32) -> u64 {
    (chunk << CHUNK_BITS) | u64::from(low)
}

impl SeqSet {
    pub(crate) fn insert_range(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        let ((first_chunk, first_low), (last_chunk, last_low)) = (split(first), split(last));
        for chunk in first_chunk..=last_chunk {
            let from = if chunk == first_chunk { first_low } else { 0 };
            let to = if chunk == last_chunk {
                last_low
            } else {
                CHUNK_MAX
            };
            self.chunks
                .entry(chunk)
                .or_default()
                .insert_range(from..=to);
            self.dirty.insert(chunk);
        }
    }

    pub(crate) fn insert(&mut self, seq: u64) {
        let (chunk, low) = split(seq);
        if self.chunks.entry(chunk).or_default().insert(low) {
            self.dirty.insert(chunk);
        }
    }

    pub(crate) fn remove(&mut self, seq: u64) {
        let (chunk, low) = split(seq);
        let Some(bitmap) = self.chunks.get_mut(&chunk) else {
            return;
        };
        if bitmap.remove(low) {
            self.dirty.insert(chunk);
        }
        if bitmap.is_empty() {
            self.chunks.remove(&chunk);
        }
    }

    pub(crate) fn contains(&self, seq: u64) -> bool {
        let (chunk, low) = split(seq);
        self.chunks
            .get(&chunk)
            .is_some_and(|bitmap| bitmap.contains(low))
    }

    pub(crate) fn len(&self) -> u64 {
        self.chunks.values().map(RoaringBitmap::len).sum()
    }

    /// The member that has `n` others before it.
    pub(crate) fn nth(&self, mut n: u64) -> Option<u64> {
        for (chunk, bitmap) in &self.chunks {
            match n.checked_sub(bitmap.len()) {
                Some(rest) => n = rest,
                None => {
                    let low = bitmap.select(u32::try_from(n).ok()?)?;
                    return Some(join(*chunk, low));
                }
            }
        }
        None
    }

    /// Remove all members of `other`.
    pub(crate) fn remove_all(&mut self, other: &Self) {
        for (chunk, gone) in &other.chunks {
            if let Some(bitmap) = self.chunks.get_mut(chunk) {
                *bitmap -= gone;
                self.dirty.insert(*chunk);
            }
        }
        self.chunks.retain(|_, bitmap| !bitmap.is_empty());
    }

    /// Members from `from` on, in order.
    pub(crate) fn from(&self, from: u64) -> impl Iterator<Item = u64> {
        let (first, low) = split(from);
        self.chunks.range(first..).flat_map(move |(chunk, bitmap)| {
            let start = if *chunk == first { low } else { 0 };
            bitmap.range(start..).map(|low| join(*chunk, low))
        })
    }

    /// Members up to `last` that are in neither of the others.
    pub(crate) fn without(&self, last: u64, others: [&Self; 2]) -> Self {
        let mut left = Self::default();
        let (last_chunk, last_low) = split(last);
        for (chunk, bitmap) in self.chunks.range(..=last_chunk) {
            let mut bitmap = bitmap.clone();
            if *chunk == last_chunk && last_low < CHUNK_MAX {
                bitmap.remove_range(last_low + 1..);
            }
            for other in others {
                if let Some(other) = other.chunks.get(chunk) {
                    bitmap -= other;
                }
            }
            if !bitmap.is_empty() {
                left.chunks.insert(*chunk, bitmap);
            }
        }
        left
    }

    /// Whether all members are in `other`, too.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.chunks.iter().all(|(chunk, bitmap)| {
            let other = other.chunks.get(chunk);
            other.is_some_and(|other| bitmap.is_subset(other))
        })
    }

    /// The same set, none of which is stored yet.
    pub(crate) fn unstored(mut self) -> Self {
        self.dirty = self.chunks.keys().copied().collect();
        self
    }

    /// Keep only members of `other`.
    pub(crate) fn retain(&mut self, other: &Self) {
        for (chunk, bitmap) in &mut self.chunks {
            let before = bitmap.len();
            match other.chunks.get(chunk) {
                Some(other) => *bitmap &= other,
                None => bitmap.clear(),
            }
            if bitmap.len() != before {
                self.dirty.insert(*chunk);
            }
        }
        self.chunks.retain(|_, bitmap| !bitmap.is_empty());
    }

    /// The chunks that changed since this was last asked, as they are to be stored; `None` for one
    /// that is empty now.
    pub(crate) fn take_dirty(&mut self) -> Vec<(u64, Option<Vec<u8>>)> {
        let dirty = std::mem::take(&mut self.dirty);
        let stored = |chunk| {
            let bitmap = self.chunks.get_mut(&chunk)?;
            bitmap.optimize();
            let mut bytes = Vec::with_capacity(bitmap.serialized_size());
            // Writing to a vector can't fail.
            bitmap.serialize_into(&mut bytes).ok()?;
            Some(bytes)
        };
        let mut stored = stored;
        dirty
            .into_iter()
            .map(|chunk| (chunk, stored(chunk)))
            .collect()
    }

    /// For a copy that is never stored.
    pub(crate) fn forget_dirty(&mut self) {
        self.dirty.clear();
    }

    /// Put a stored chunk in.
    pub(crate) fn load_chunk(&mut self, chunk: u64, bytes: &[u8]) -> Result<(), Corrupt> {
        let bitmap = RoaringBitmap::deserialize_from(bytes)
            .map_err(|_| Corrupt("a chunk of sequences is no bitmap"))?;
        if bitmap.max().is_some_and(|max| max > CHUNK_MAX) {
            return Err(Corrupt("a chunk of sequences is too large"));
        }
        self.chunks.insert(chunk, bitmap);
        Ok(())
    }
}

/// Append sorted sequences as runs: the gap before each, and how many follow one another.
pub(crate) fn put_runs(out: &mut Vec<u8>, sorted: &[u64]) {
    let mut next = 0;
    let mut runs = sorted.chunk_by(|a, b| a + 1 == *b);
    put_number(out, runs.clone().count() as u64);
    for run in &mut runs {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            continue;
        };
        put_number(out, first.wrapping_sub(next));
        put_number(out, last - first);
        next = last + 1;
    }
}

/// Read the runs that [`put_runs`] wrote, each as its first and last sequence.
pub(crate) fn read_runs(reader: &mut Reader<'_>) -> Result<Vec<(u64, u64)>, Corrupt> {
    let bad = Corrupt("a sequence is too large");
    let count = reader.number()?;
    let mut runs = Vec::new();
    let mut next = 0u64;
    for _ in 0..count {
        let first = next.checked_add(reader.number()?).ok_or(bad)?;
        let last = first.checked_add(reader.number()?).ok_or(bad)?;
        next = last.checked_add(1).ok_or(bad)?;
        runs.push((first, last));
    }
    Ok(runs)
}

/// What one commit did to a feed's sets, each as runs of first and last sequence.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct JournalEntry {
    pub(crate) superseded: Vec<(u64, u64)>,
    /// New sequences that are deletions.
    pub(crate) tombs: Vec<(u64, u64)>,
    /// New sequences that have no body: deletions of records whose bodies were pruned.
    pub(crate) pruned: Vec<(u64, u64)>,
}

impl JournalEntry {
    /// The entry of sorted sequences.
    pub(crate) fn encode(superseded: &[u64], tombs: &[u64], pruned: &[u64]) -> Vec<u8> {
        let mut value = Vec::new();
        put_runs(&mut value, superseded);
        put_runs(&mut value, tombs);
        put_runs(&mut value, pruned);
        value
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Corrupt> {
        let mut reader = Reader(value);
        Ok(Self {
            superseded: read_runs(&mut reader)?,
            tombs: read_runs(&mut reader)?,
            pruned: read_runs(&mut reader)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_in_order_over_chunks() {
        let mut set = SeqSet::default();
        set.insert_range(65_530, 65_540);
        set.insert(200_000);
        set.remove(65_536);
        set.remove(7);
        assert_eq!(
            set.from(65_534).take(4).collect::<Vec<_>>(),
            [65_534, 65_535, 65_537, 65_538]
        );
        assert_eq!(set.from(65_541).next(), Some(200_000));
        assert_eq!(set.len(), 11);
        assert!(set.contains(65_540) && !set.contains(65_536));

        let mut other = SeqSet::default();
        other.insert_range(65_531, 65_600);
        let left = set.without(199_999, [&other, &SeqSet::default()]);
        assert_eq!(left.from(0).collect::<Vec<_>>(), [65_530]);
        let by_number: Vec<u64> = (0..11).filter_map(|n| set.nth(n)).collect();
        assert_eq!(by_number, set.from(0).collect::<Vec<_>>());
        assert_eq!(set.nth(11), None);
        let mut rest = set.clone();
        rest.remove_all(&other);
        assert_eq!(rest.from(0).collect::<Vec<_>>(), [65_530, 200_000]);
        other.retain(&set);
        assert_eq!(other.len(), 9);
    }

    #[test]
    fn chunks_are_stored_when_they_changed() {
        let mut set = SeqSet::default();
        set.insert_range(1, 70_000);
        let stored = set.take_dirty();
        assert_eq!(stored.len(), 2);
        assert!(set.take_dirty().is_empty());
        let mut loaded = SeqSet::default();
        for (chunk, bytes) in stored {
            loaded.load_chunk(chunk, &bytes.unwrap()).unwrap();
        }
        assert_eq!(loaded.len(), 70_000);
        for seq in 65_536..=70_000 {
            set.remove(seq);
        }
        assert_eq!(set.take_dirty(), [(1, None)]);
        assert!(loaded.load_chunk(0, b"nonsense").is_err());
    }

    #[test]
    fn runs_come_back() {
        for seqs in [&[][..], &[0], &[1, 2, 3, 7, 9, 10], &[u64::MAX - 2]] {
            let mut out = Vec::new();
            put_runs(&mut out, seqs);
            let runs = read_runs(&mut Reader(&out)).unwrap();
            let back: Vec<u64> = runs
                .into_iter()
                .flat_map(|(first, last)| first..=last)
                .collect();
            assert_eq!(back, seqs);
        }
    }

    #[test]
    fn journal_entries_come_back_whole_or_not_at_all() {
        let value = JournalEntry::encode(&[3, 4, 9], &[12], &[12, 14]);
        let entry = JournalEntry::decode(&value).unwrap();
        assert_eq!(entry.superseded, [(3, 4), (9, 9)]);
        assert_eq!(entry.tombs, [(12, 12)]);
        assert_eq!(entry.pruned, [(12, 12), (14, 14)]);
        let value = JournalEntry::encode(&[], &[12], &[]);
        assert_eq!(value, [0, 1, 12, 0, 0]);
        for length in 0..value.len() {
            assert!(JournalEntry::decode(&value[..length]).is_err(), "{length}");
        }
    }
}
