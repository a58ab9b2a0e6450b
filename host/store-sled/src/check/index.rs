//! The index of a feed: packs that cover all ids, and what their entries say.

use std::hash::{DefaultHasher, Hash, Hasher};

use tidegate_engine::StoreError;
use tidegate_engine::canonical::BodyHash;

use crate::disk::damaged;
use crate::layout::keys::{self, Tag};
use crate::layout::pack::{Entry, Pack};

use super::checker::Checker;

/// What the index says of a record, in the order of the feed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Indexed {
    pub(super) seq: u64,
    /// A hash of the id: ids can be long, and there can be millions.
    pub(super) id: u64,
    pub(super) hash: BodyHash,
    pub(super) first_seen: u64,
    pub(super) body_len: u64,
    pub(super) deleted: bool,
    /// Set when a segment has its entry.
    pub(super) found: bool,
    /// Set when that entry has no body.
    pub(super) pruned: bool,
}

#[derive(Debug)]
pub(super) struct Index {
    /// By sequence.
    pub(super) entries: Vec<Indexed>,
    /// Whether all packs could be read.
    pub(super) whole: bool,
}

pub(super) fn hash_of(id: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

/// Read the index of a feed whose sequences end with `last_seq`.
pub(super) fn read(look: &mut Checker<'_>, feed: u64, last_seq: u64) -> Result<Index, StoreError> {
    let prefix = keys::of_feed(Tag::Pack, feed);
    let mut entries = Vec::new();
    // Where the pack before ends; the first one begins with the empty id.
    let mut end: Option<Vec<u8>> = Some(Vec::new());
    let mut packs = 0;
    let mut decoded = 0;
    let keys_before = look.report.keys;
    look.rows(&prefix, |look, key, value| {
        let bad = |corrupt| damaged(key, corrupt);
        let first = keys::rest(key, &prefix).map_err(bad)?;
        let before = end.replace(Vec::new());
        packs += 1;
        let pack = Pack::decode(value).map_err(bad)?;
        // After a damaged pack nobody knows where it ended.
        if decoded + 1 == packs && before.as_deref() != Some(first) {
            let what = match before {
                Some(_) if packs == 1 => {
                    "the first pack of the index does not begin with the empty id"
                }
                Some(_) => "a pack of the index does not begin where the one before it ends",
                None => "a pack of the index comes after the last one",
            };
            look.wrong_key(key, what);
        }
        decoded += 1;
        end = pack.end.map(<[u8]>::to_vec);
        let mut last: Option<&[u8]> = None;
        for (id, entry) in &pack.entries {
            if *id < first || !pack.covers(id) || last.is_some_and(|last| last >= *id) {
                look.wrong_key(
                    key,
                    format!(
                        "record \"{}\" is not in its place in the index",
                        id.escape_ascii()
                    ),
                );
            }
            last = Some(id);
            if entry.seq == 0 || entry.seq > last_seq {
                look.wrong(
                    format!("record \"{}\"", id.escape_ascii()),
                    format!(
                        "the index has it at sequence {}, and the feed ends at {last_seq}",
                        entry.seq
                    ),
                );
            }
            entries.push(indexed(id, entry));
        }
        Ok(())
    })?;
    let whole = decoded == look.report.keys - keys_before;
    if let (true, Some(end)) = (whole && packs > 0, &end) {
        look.wrong(
            "",
            format!(
                "the index goes on with a pack from id \"{}\", which is not there",
                end.escape_ascii()
            ),
        );
    }
    entries.sort_unstable_by_key(|entry: &Indexed| entry.seq);
    for same in entries.windows(2) {
        if let [a, b] = same
            && a.seq == b.seq
        {
            look.wrong(
                format!("sequence {}", a.seq),
                "two records of the index are there",
            );
        }
    }
    Ok(Index { entries, whole })
}

fn indexed(id: &[u8], entry: &Entry) -> Indexed {
    Indexed {
        seq: entry.seq,
        id: hash_of(id),
        hash: entry.hash,
        first_seen: entry.first_seen.0,
        body_len: entry.body_len,
        deleted: entry.deleted,
        found: false,
        pruned: false,
    }
}

/// The ids that the index has at these sequences; it is read again for them.
pub(super) fn names(
    look: &Checker<'_>,
    feed: u64,
    sequences: &[u64],
) -> Result<Vec<(u64, String)>, StoreError> {
    let mut names = Vec::new();
    for item in look.view.prefix(&keys::of_feed(Tag::Pack, feed)) {
        let Ok((_, value)) = item else { continue };
        let Ok(pack) = Pack::decode(&value) else {
            continue;
        };
        for (id, entry) in &pack.entries {
            if sequences.binary_search(&entry.seq).is_ok() {
                names.push((entry.seq, id.escape_ascii().to_string()));
            }
        }
    }
    names.sort_unstable();
    Ok(names)
}
