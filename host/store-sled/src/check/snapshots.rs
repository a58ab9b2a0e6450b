//! Open snapshots of a feed, and what they have seen.

use std::collections::BTreeMap;

use tidegate_engine::StoreError;

use crate::disk::damaged;
use crate::feeds::load_chunks;
use crate::layout::codec::Reader;
use crate::layout::keys::{self, Tag};
use crate::layout::rows::{self, SnapshotRow, SyncRow};
use crate::layout::seqset::read_runs;

use super::checker::Checker;

/// The snapshots of a feed that have begun, by sync, each with the sequence at which it began; `None` for a row that
/// can't be read.
fn begun(
    look: &mut Checker<'_>,
    connection: u64,
    feed: u64,
    last_seq: u64,
) -> Result<BTreeMap<u64, Option<u64>>, StoreError> {
    let mut syncs = Vec::new();
    for item in look.view.prefix(&keys::syncs(connection)) {
        // Damage there has been found already.
        if let Some(row) = item
            .ok()
            .and_then(|(_, value)| rows::decode::<SyncRow>(&value).ok())
        {
            syncs.push(row.number);
        }
    }
    let prefix = keys::of_feed(Tag::Snapshot, feed);
    let mut begun: BTreeMap<u64, Option<u64>> = BTreeMap::new();
    look.rows(&prefix, |look, key, value| {
        let bad = |corrupt| damaged(key, corrupt);
        let (sync, _) = keys::rest(key, &prefix)
            .and_then(keys::split_number)
            .map_err(bad)?;
        begun.insert(sync, None);
        if !syncs.contains(&sync) {
            look.wrong_key(
                key,
                format!("a snapshot by sync number {sync}, which the connection has not"),
            );
        }
        let row: SnapshotRow = rows::decode(value).map_err(bad)?;
        begun.insert(sync, Some(row.begin_seq));
        if row.begin_seq > last_seq {
            look.wrong_key(
                key,
                format!(
                    "a snapshot that began at sequence {}, in a feed that ends at {last_seq}",
                    row.begin_seq
                ),
            );
        }
        Ok(())
    })?;
    Ok(begun)
}

pub(super) fn check(
    look: &mut Checker<'_>,
    connection: u64,
    feed: u64,
    last_seq: u64,
) -> Result<(), StoreError> {
    let begun = begun(look, connection, feed, last_seq)?;
    let prefix = keys::of_feed(Tag::SeenDelta, feed);
    look.rows(&prefix, |look, key, value| {
        let bad = |corrupt| damaged(key, corrupt);
        let (sync, _) = keys::rest(key, &prefix)
            .and_then(keys::split_number)
            .map_err(bad)?;
        let runs = read_runs(&mut Reader(value)).map_err(bad)?;
        let last = runs.last().map(|(_, last)| *last);
        seen(look, key, begun.get(&sync), last);
        Ok(())
    })?;
    for tag in [Tag::Seen, Tag::Missed] {
        let prefix = keys::of_feed(tag, feed);
        look.rows(&prefix, |look, key, _| {
            let bad = |corrupt| damaged(key, corrupt);
            let (sync, chunk) = keys::rest(key, &prefix)
                .and_then(keys::split_number)
                .map_err(bad)?;
            keys::split_number(chunk).map_err(bad)?;
            seen(look, key, begun.get(&sync), None);
            Ok(())
        })?;
    }
    let sets = |(sync, begin): (&u64, &Option<u64>)| {
        let keys = [keys::seen(feed, *sync), keys::missed(feed, *sync)];
        let begin = *begin;
        keys.map(|key| (key, begin))
    };
    for (key, begin) in begun.iter().flat_map(sets) {
        let chunks = load_chunks(look.view, &key);
        if let Some(set) = look.undamaged(chunks)? {
            let begin = begin.unwrap_or(u64::MAX);
            let later = begin
                .checked_add(1)
                .and_then(|later| set.from(later).next());
            seen(look, key.as_ref(), Some(&Some(begin)), later);
        }
    }
    Ok(())
}

/// What was seen unchanged, or missed by the pass before, belongs to an open snapshot and was there
/// when its pass began.
fn seen(look: &mut Checker<'_>, key: &[u8], begun: Option<&Option<u64>>, last: Option<u64>) {
    match (begun, last) {
        (None, _) => look.wrong_key(key, "it belongs to a snapshot that is not open"),
        (Some(Some(begin)), Some(last)) if last > *begin => look.wrong_key(
            key,
            format!("sequence {last} is counted as seen by a snapshot that began at {begin}"),
        ),
        _ => {}
    }
}
