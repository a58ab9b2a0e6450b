//! Finding feed entries by their sequences.

use tidegate_engine::StoreError;

use crate::disk::{View, damaged};
use crate::layout::keys::{self, Tag};
use crate::layout::segment::{FeedEntry, Segment};

/// A stored segment with its key.
pub(crate) type Found = Option<(sled::IVec, sled::IVec)>;

/// The segment that has the entry `seq` of `feed`, if any has it.
pub(crate) fn find(view: &View<'_>, feed: u64, seq: u64) -> Result<Found, StoreError> {
    let prefix = keys::of_feed(Tag::Segment, feed);
    view.at_or_before(&prefix, &prefix.clone().number(seq))
}

/// Visit the entries whose sequences are in `wanted` (sorted), in order, until `visit` says false.
/// `find` finds the segment of a sequence. Returns the sequences that no segment has.
///
/// Segments that hold none of them are not read. What is missing was superseded and compacted away
/// since the caller learned of it, or is lost: the caller finds out which.
pub(crate) fn visit(
    find: impl Fn(u64) -> Result<Found, StoreError>,
    wanted: &[u64],
    mut visit: impl FnMut(&FeedEntry<'_>) -> bool,
) -> Result<Vec<u64>, StoreError> {
    let mut missing = Vec::new();
    let mut wanted = wanted.iter().copied().peekable();
    while let Some(seq) = wanted.peek().copied() {
        let Some((key, value)) = find(seq)? else {
            missing.push(seq);
            wanted.next();
            continue;
        };
        let segment = Segment::decode(&value).map_err(|corrupt| damaged(&key, corrupt))?;
        for entry in segment.iter() {
            let entry = entry.map_err(|corrupt| damaged(&key, corrupt))?;
            while let Some(absent) = wanted.next_if(|wanted| *wanted < entry.seq) {
                missing.push(absent);
            }
            if wanted.next_if_eq(&entry.seq).is_some() && !visit(&entry) {
                return Ok(missing);
            }
        }
        // This segment was the one to have it.
        if let Some(absent) = wanted.next_if_eq(&seq) {
            missing.push(absent);
        }
    }
    Ok(missing)
}

/// The damage that a missing live entry is.
pub(crate) fn lost(feed: u64, seq: u64) -> StoreError {
    let key = keys::of_feed(Tag::Segment, feed).number(seq);
    damaged(
        key.as_ref(),
        crate::layout::Corrupt("no segment has the feed's entry of this sequence"),
    )
}
