//! Segments: runs of feed entries, compressed and checksummed, appended by commits.
//!
//! ```text
//! version  crc32 of the rest (4, little-endian)  first sequence  entries  raw length  LZ4 block
//! ```
//!
//! The block decompresses to entries: distance of the sequence, flags, first seen, distance of last
//! modified, id, body. An entry is live while its feed's live set has its sequence.

use tidegate_engine::Timestamp;
use tidegate_engine::record::{Action, Record};

use super::Corrupt;
use super::codec::{Reader, put_bytes, put_distance, put_number};

const VERSION: u8 = 1;
/// Raw bytes at which a segment is closed: about 35 records of 343 bytes. Large enough to compress
/// well, small enough that it is stored in one piece and that getting one record stays cheap.
pub(crate) const RAW_TARGET: usize = 12 * 1024;
/// More than any commit has; a length above is damage.
const RAW_MAX: u64 = 64 * 1024 * 1024;

const ADDED: u8 = 0;
const UPDATED: u8 = 1;
const DELETED: u8 = 2;
const ACTION: u8 = 3;
/// Retention dropped the body.
const PRUNED: u8 = 4;

/// An entry of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FeedEntry<'a> {
    pub(crate) seq: u64,
    pub(crate) action: Action,
    pub(crate) first_seen: Timestamp,
    pub(crate) last_modified: Timestamp,
    pub(crate) id: &'a str,
    pub(crate) body: Option<&'a str>,
}

impl FeedEntry<'_> {
    pub(crate) fn to_record(self) -> Record {
        Record {
            id: self.id.to_owned(),
            body: self.body.map(str::to_owned),
            action: self.action,
            first_seen_at: self.first_seen,
            last_modified_at: self.last_modified,
            deleted_at: (self.action == Action::Deleted).then_some(self.last_modified),
            seq: self.seq,
        }
    }
}

/// Collects entries, in the order of their sequences, into one segment.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    raw: Vec<u8>,
    first_seq: u64,
    last_seq: u64,
    entries: u64,
}

/// A segment ready to be stored.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) first_seq: u64,
    pub(crate) entries: u64,
    pub(crate) value: Vec<u8>,
}

impl Builder {
    /// Add an entry; returns the segment when it is full.
    pub(crate) fn push(&mut self, entry: &FeedEntry<'_>) -> Option<Built> {
        if self.entries == 0 {
            self.first_seq = entry.seq;
            self.last_seq = entry.seq;
        }
        let raw = &mut self.raw;
        put_number(raw, entry.seq - self.last_seq);
        let action = match entry.action {
            Action::Added => ADDED,
            Action::Updated => UPDATED,
            Action::Deleted => DELETED,
        };
        raw.push(action | if entry.body.is_none() { PRUNED } else { 0 });
        put_number(raw, entry.first_seen.0);
        put_distance(raw, entry.first_seen.0, entry.last_modified.0);
        put_bytes(raw, entry.id.as_bytes());
        if let Some(body) = entry.body {
            put_bytes(raw, body.as_bytes());
        }
        self.last_seq = entry.seq;
        self.entries += 1;
        if self.raw.len() >= RAW_TARGET {
            self.finish()
        } else {
            None
        }
    }

    /// The segment of what was added since the last one, if anything was.
    pub(crate) fn finish(&mut self) -> Option<Built> {
        if self.entries == 0 {
            return None;
        }
        let mut checked = Vec::with_capacity(self.raw.len());
        put_number(&mut checked, self.first_seq);
        put_number(&mut checked, self.entries);
        put_number(&mut checked, self.raw.len() as u64);
        checked.extend_from_slice(&lz4_flex::block::compress(&self.raw));
        let mut value = Vec::with_capacity(checked.len() + 5);
        value.push(VERSION);
        value.extend_from_slice(&crc32fast::hash(&checked).to_le_bytes());
        value.extend_from_slice(&checked);
        let built = Built {
            first_seq: self.first_seq,
            entries: self.entries,
            value,
        };
        self.raw.clear();
        self.entries = 0;
        Some(built)
    }
}

/// A segment that was read and found whole.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) first_seq: u64,
    pub(crate) entries: u64,
    raw: Vec<u8>,
}

impl Segment {
    pub(crate) fn decode(value: &[u8]) -> Result<Self, Corrupt> {
        let mut reader = Reader(value);
        reader.version(VERSION)?;
        let crc = u32::from_le_bytes(reader.array()?);
        if crc32fast::hash(reader.0) != crc {
            return Err(Corrupt("a segment does not have its checksum"));
        }
        let first_seq = reader.number()?;
        let entries = reader.number()?;
        let raw_len = reader.number()?;
        let len = usize::try_from(raw_len).ok().filter(|_| raw_len <= RAW_MAX);
        let len = len.ok_or(Corrupt("a segment is too long"))?;
        let raw = lz4_flex::block::decompress(reader.0, len)
            .map_err(|_| Corrupt("a segment can't be decompressed"))?;
        Ok(Self {
            first_seq,
            entries,
            raw,
        })
    }

    /// Bytes before compression.
    pub(crate) fn raw_len(&self) -> usize {
        self.raw.len()
    }

    pub(crate) fn iter(&self) -> Entries<'_> {
        Entries {
            reader: Reader(&self.raw),
            seq: self.first_seq,
        }
    }
}

/// Iterates over a segment.
#[derive(Debug)]
pub(crate) struct Entries<'a> {
    reader: Reader<'a>,
    seq: u64,
}

impl<'a> Entries<'a> {
    fn entry(&mut self) -> Result<FeedEntry<'a>, Corrupt> {
        let reader = &mut self.reader;
        let seq = self
            .seq
            .checked_add(reader.number()?)
            .ok_or(Corrupt("a sequence is too large"))?;
        let flags = reader.byte()?;
        let action = match flags & ACTION {
            ADDED => Action::Added,
            UPDATED => Action::Updated,
            DELETED => Action::Deleted,
            _ => return Err(Corrupt("an entry has an unknown action")),
        };
        if flags & !(ACTION | PRUNED) != 0 {
            return Err(Corrupt("an entry has unknown flags"));
        }
        let first_seen = reader.number()?;
        let last_modified = reader.distance(first_seen)?;
        let id = text(reader.bytes()?)?;
        let body = if flags & PRUNED == 0 {
            Some(text(reader.bytes()?)?)
        } else {
            None
        };
        self.seq = seq;
        let (first_seen, last_modified) = (Timestamp(first_seen), Timestamp(last_modified));
        Ok(FeedEntry {
            seq,
            action,
            first_seen,
            last_modified,
            id,
            body,
        })
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<FeedEntry<'a>, Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            None
        } else {
            Some(self.entry())
        }
    }
}

fn text(bytes: &[u8]) -> Result<&str, Corrupt> {
    std::str::from_utf8(bytes).map_err(|_| Corrupt("a text is not UTF-8"))
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests {
    use super::*;

    fn entry<'a>(seq: u64, id: &'a str, body: Option<&'a str>) -> FeedEntry<'a> {
        let action =
            [Action::Added, Action::Updated, Action::Deleted][usize::try_from(seq % 3).unwrap()];
        let (first_seen, last_modified) = (Timestamp(5_000), Timestamp(4_000 + seq));
        FeedEntry {
            seq,
            action,
            first_seen,
            last_modified,
            id,
            body,
        }
    }

    #[test]
    fn entries_come_back() {
        let entries = [
            entry(7, "a", Some("{}")),
            entry(8, "é", None),
            entry(900, "c", Some("{\"k\":1}")),
        ];
        let mut builder = Builder::default();
        for entry in &entries {
            assert!(builder.push(entry).is_none());
        }
        let built = builder.finish().unwrap();
        assert!(builder.finish().is_none());
        let segment = Segment::decode(&built.value).unwrap();
        assert_eq!((segment.first_seq, segment.entries), (7, 3));
        let back: Vec<_> = segment.iter().map(Result::unwrap).collect();
        assert_eq!(back, entries);
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let mut builder = Builder::default();
        builder.push(&entry(
            1,
            "a",
            Some("{\"k\":\"vvvvvvvvvvvvvvvvvvvvvvvvvv\"}"),
        ));
        let value = builder.finish().unwrap().value;
        for bit in 0..value.len() * 8 {
            let mut damaged = value.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Segment::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_full_segment_is_handed_out() {
        let body = format!("{{\"k\":\"{}\"}}", "x".repeat(RAW_TARGET / 2));
        let mut builder = Builder::default();
        assert!(builder.push(&entry(1, "a", Some(&body))).is_none());
        assert_eq!(
            builder.push(&entry(2, "b", Some(&body))).unwrap().entries,
            2
        );
        assert!(builder.push(&entry(3, "c", Some("{}"))).is_none());
        assert_eq!(builder.finish().unwrap().first_seq, 3);
    }
}
