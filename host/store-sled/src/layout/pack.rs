//! Index packs: for a range of record ids, what each record's latest state is and where it is.
//!
//! A pack holds the records from its first id (in its key) up to, not including, `end`. The first
//! pack of a feed has the empty id. Packs are split and never merged, so each id has exactly one.

use tidegate_engine::Timestamp;
use tidegate_engine::canonical::BodyHash;

use super::Corrupt;
use super::codec::{Reader, put_bytes, put_number};

const VERSION: u8 = 1;
/// Records in a pack before it is split. Fewer: more keys, each of which costs sled some 60 bytes
/// of memory and an insert. More: one changed record rewrites more of its neighbours.
pub(crate) const PACK_MAX: usize = 6;

/// Bytes of a pack before it is split, so that ids as long as allowed don't make it long.
const BYTES_MAX: usize = 4096;
/// An entry without its id is no longer than this.
const ENTRY_BYTES: usize = 48;

const DELETED: u8 = 1;

/// What the index knows of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where its latest state is in the feed.
    pub(crate) seq: u64,
    pub(crate) hash: BodyHash,
    pub(crate) first_seen: Timestamp,
    /// Bytes of the body as it was saved.
    pub(crate) body_len: u64,
    pub(crate) deleted: bool,
}

/// A decoded pack; ids borrow from the stored value.
#[derive(Debug)]
pub(crate) struct Pack<'a> {
    /// The first id of the next pack; `None` for the last one.
    pub(crate) end: Option<&'a [u8]>,
    /// By id.
    pub(crate) entries: Vec<(&'a [u8], Entry)>,
}

impl<'a> Pack<'a> {
    pub(crate) const EMPTY: Self = Self {
        end: None,
        entries: Vec::new(),
    };

    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Corrupt> {
        let mut reader = Reader(bytes);
        reader.version(VERSION)?;
        // The empty id is the first of all, so it never ends a pack.
        let end = Some(reader.bytes()?).filter(|end| !end.is_empty());
        let mut entries = Vec::with_capacity(PACK_MAX);
        while !reader.is_empty() {
            let id = reader.bytes()?;
            let flags = reader.byte()?;
            if flags & !DELETED != 0 {
                return Err(Corrupt("an index entry has unknown flags"));
            }
            let seq = reader.number()?;
            let hash = BodyHash::from_bytes(reader.array()?);
            let first_seen = Timestamp(reader.number()?);
            let body_len = reader.number()?;
            let deleted = flags & DELETED != 0;
            entries.push((
                id,
                Entry {
                    seq,
                    hash,
                    first_seen,
                    body_len,
                    deleted,
                },
            ));
        }
        Ok(Self { end, entries })
    }

    pub(crate) fn covers(&self, id: &[u8]) -> bool {
        self.end.is_none_or(|end| id < end)
    }

    pub(crate) fn get(&self, id: &[u8]) -> Option<&Entry> {
        let found = self
            .entries
            .binary_search_by(|(own, _)| (*own).cmp(id))
            .ok()?;
        self.entries.get(found).map(|(_, entry)| entry)
    }

    /// Put `changes` (by id) in, and return the packs to store: first ids and values. The first
    /// keeps `first_id`.
    pub(crate) fn with(
        &self,
        first_id: &[u8],
        changes: &[(&[u8], Entry)],
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut merged = Vec::with_capacity(self.entries.len() + changes.len());
        let mut old = self.entries.iter().peekable();
        for change in changes {
            while let Some(entry) = old.next_if(|(id, _)| *id < change.0) {
                merged.push(entry);
            }
            old.next_if(|(id, _)| *id == change.0);
            merged.push(change);
        }
        merged.extend(old);

        let longest = merged.iter().map(|(id, _)| id.len()).max().unwrap_or(0) + ENTRY_BYTES;
        let packs = merged
            .len()
            .div_ceil(PACK_MAX.min(BYTES_MAX / longest).max(1))
            .max(1);
        let mut chunks = merged
            .chunks(merged.len().div_ceil(packs).max(1))
            .peekable();
        let mut first_id = first_id;
        let mut stored = Vec::with_capacity(packs);
        while let Some(chunk) = chunks.next() {
            let next = chunks
                .peek()
                .and_then(|next| next.first())
                .map(|(id, _)| *id);
            stored.push((first_id.to_vec(), encode(next.or(self.end), chunk)));
            first_id = next.unwrap_or_default();
        }
        stored
    }
}

fn encode(end: Option<&[u8]>, entries: &[&(&[u8], Entry)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + entries.len() * 64);
    out.push(VERSION);
    put_bytes(&mut out, end.unwrap_or_default());
    for (id, entry) in entries {
        put_bytes(&mut out, id);
        out.push(if entry.deleted { DELETED } else { 0 });
        put_number(&mut out, entry.seq);
        out.extend_from_slice(&entry.hash.to_bytes());
        put_number(&mut out, entry.first_seen.0);
        put_number(&mut out, entry.body_len);
    }
    out
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests {
    use super::*;

    fn entry(seq: u64) -> Entry {
        Entry {
            seq,
            hash: BodyHash::from_bytes([seq.to_le_bytes()[0]; 16]),
            first_seen: Timestamp(1_700_000_000_000),
            body_len: 343,
            deleted: seq.is_multiple_of(2),
        }
    }

    #[test]
    fn packs_split_and_each_id_has_one() {
        let ids: Vec<String> = (0..100).map(|n| format!("id-{n:03}")).collect();
        let changes: Vec<(&[u8], Entry)> = ids
            .iter()
            .enumerate()
            .map(|(n, id)| (id.as_bytes(), entry(n as u64)))
            .collect();
        let stored = Pack::EMPTY.with(b"", &changes);
        assert_eq!(stored.len(), 100usize.div_ceil(PACK_MAX));
        assert_eq!(stored[0].0, b"");
        let packs: Vec<Pack<'_>> = stored
            .iter()
            .map(|(_, v)| Pack::decode(v).unwrap())
            .collect();
        for (here, (next_first, _)) in packs.iter().zip(stored.iter().skip(1)) {
            assert_eq!(here.end, Some(&next_first[..]));
        }
        assert_eq!(packs.last().unwrap().end, None);
        for (id, entry) in &changes {
            let holders: Vec<_> = packs.iter().filter_map(|pack| pack.get(id)).collect();
            assert_eq!(holders, [entry]);
        }
    }

    #[test]
    fn changes_replace_and_interleave() {
        let stored = Pack::EMPTY.with(b"", &[(b"b", entry(1)), (b"d", entry(2))]);
        let pack = Pack::decode(&stored[0].1).unwrap();
        let stored = pack.with(b"", &[(b"a", entry(3)), (b"b", entry(4)), (b"e", entry(5))]);
        let pack = Pack::decode(&stored[0].1).unwrap();
        let seqs: Vec<_> = pack.entries.iter().map(|(id, e)| (*id, e.seq)).collect();
        assert_eq!(seqs, [(&b"a"[..], 3), (b"b", 4), (b"d", 2), (b"e", 5)]);
        assert!(pack.covers(b"zzz") && pack.get(b"c").is_none());
        assert!(Pack::decode(&stored[0].1[..20]).is_err());
    }
}
