//! A feed: its index against its segments, entry by entry and body by body.

use tidegate_engine::StoreError;
use tidegate_engine::canonical;
use tidegate_engine::record::Action;
use tidegate_engine::upkeep::CheckReport;

use crate::disk::damaged;
use crate::feeds;
use crate::layout::header::Header;
use crate::layout::keys::{self, Tag};
use crate::layout::segment::{FeedEntry, Segment};

use super::catalog::Model;
use super::checker::Checker;
use super::index::{self, Index, Indexed};
use super::{sets, snapshots};

/// What the segments of a feed add up to.
#[derive(Debug, Default)]
pub(super) struct Segments {
    pub(super) count: u64,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    /// The first sequences of damaged ones: what they hold is not known to be missing.
    pub(super) damaged: Vec<u64>,
}

/// Whether a model of the catalog is still there.
pub(super) fn is_there(look: &Checker<'_>, model: &Model) -> bool {
    let row = keys::model(model.connection, &model.key.model);
    let feed = look.view.row(&row, keys::decode_number);
    matches!(feed, Ok(Some(feed)) if feed == model.feed)
}

/// What is left to look at, in the writer thread: rows that not only those change who give way to a [`Hold`].
///
/// [`Hold`]: crate::turns::Hold
pub(super) fn check_snapshots(look: &mut Checker<'_>, model: &Model) -> Result<(), StoreError> {
    look.subject(model.key.to_string());
    let key = keys::of_feed(Tag::Feed, model.feed);
    // Damage there has been found already.
    let Ok(header) = look.view.row(&key, Header::decode) else {
        return Ok(());
    };
    let last_seq = header.unwrap_or_default().last_seq;
    snapshots::check(look, model.connection, model.feed, last_seq)
}

/// Check a model whose feed is held, so that nothing of it changes.
pub(super) fn check(look: &mut Checker<'_>, model: &Model) -> Result<(), StoreError> {
    look.subject(model.key.to_string());
    look.report.models += 1;
    let feed = model.feed;
    let key = keys::of_feed(Tag::Feed, feed);
    let header = look.view.row(&key, Header::decode);
    let Some(header) = look.undamaged(header)? else {
        // Nothing else can be judged without it, but whether it can be read.
        segments(look, feed, u64::MAX, None)?;
        return Ok(());
    };
    look.report.keys += u64::from(header.is_some());
    let header = header.unwrap_or_default();
    let mut index = index::read(look, feed, header.last_seq)?;
    let segments = segments(look, feed, header.last_seq, Some(&mut index))?;
    look.report.records += index.entries.len() as u64;
    missing(look, feed, &index, &segments)?;
    sets::count_rows(look, feed, &header)?;
    let loaded = feeds::load(look.view, feed);
    if let Some(loaded) = look.undamaged(loaded)? {
        sets::compare(look, &index, &loaded);
        sets::compare_header(look, &index, &segments, &loaded.header);
    }
    Ok(())
}

fn segments(
    look: &mut Checker<'_>,
    feed: u64,
    last_seq: u64,
    mut index: Option<&mut Index>,
) -> Result<Segments, StoreError> {
    let prefix = keys::of_feed(Tag::Segment, feed);
    let mut sums = Segments::default();
    let mut last = 0;
    let keys_before = look.report.keys;
    let wrong = look.rows(&prefix, |look, key, value| {
        let bad = |corrupt| damaged(key, corrupt);
        let (first, _) = keys::rest(key, &prefix)
            .and_then(keys::split_number)
            .map_err(bad)?;
        // Until it is known to be whole.
        sums.damaged.push(first);
        let segment = Segment::decode(value).map_err(bad)?;
        if segment.first_seq != first {
            look.wrong_key(
                key,
                format!("the segment begins with sequence {}", segment.first_seq),
            );
        }
        let mut entries = 0;
        for entry in segment.iter() {
            let entry = entry.map_err(bad)?;
            entries += 1;
            if entry.seq <= last || entry.seq > last_seq {
                look.wrong_key(
                    key,
                    format!(
                        "sequence {} comes after {last}, in a feed that ends at {last_seq}",
                        entry.seq
                    ),
                );
            }
            last = entry.seq;
            if let Some(index) = &mut index {
                compare(look, index, &entry);
            }
        }
        if entries != segment.entries {
            look.wrong_key(
                key,
                format!(
                    "the segment says that it has {} entries, and has {entries}",
                    segment.entries
                ),
            );
        }
        sums.damaged.pop();
        sums.count += 1;
        sums.entries += entries;
        sums.bytes += value.len() as u64;
        Ok(())
    })?;
    let rows = look.report.keys - keys_before;
    if wrong > 0 && rows > sums.count && sums.damaged.is_empty() {
        // One whose very key or parts are damaged: which sequences it had is not known.
        sums.damaged.push(0);
    }
    Ok(sums)
}

/// Compare a segment's entry with what the index says of its sequence, if it is the latest of its
/// record.
fn compare(look: &mut Checker<'_>, index: &mut Index, entry: &FeedEntry<'_>) {
    let found = index
        .entries
        .binary_search_by_key(&entry.seq, |indexed| indexed.seq);
    let Some(indexed) = found.ok().and_then(|found| index.entries.get_mut(found)) else {
        return;
    };
    if let Some(what) = difference(indexed, entry) {
        look.wrong(
            format!("record {:?}, sequence {}", entry.id, entry.seq),
            what,
        );
    }
    indexed.found = true;
    indexed.pruned = entry.body.is_none();
}

fn difference(indexed: &Indexed, entry: &FeedEntry<'_>) -> Option<String> {
    if indexed.found {
        return Some("two segments have an entry of this sequence".to_owned());
    }
    if indexed.id != index::hash_of(entry.id.as_bytes()) {
        return Some("the index has another record at this sequence".to_owned());
    }
    if indexed.first_seen != entry.first_seen.0 {
        return Some(format!(
            "the index says that it was first seen at {} ms, and the feed at {} ms",
            indexed.first_seen, entry.first_seen.0
        ));
    }
    let deleted = entry.action == Action::Deleted;
    if indexed.deleted != deleted {
        return Some(match deleted {
            true => "the feed says that it is deleted, and the index does not".to_owned(),
            false => "the index says that it is deleted, and the feed does not".to_owned(),
        });
    }
    let body = entry.body?;
    if indexed.body_len != body.len() as u64 {
        return Some(format!(
            "its body has {} bytes, and the index says {}",
            body.len(),
            indexed.body_len
        ));
    }
    match canonical::hash(body) {
        Ok(hash) if hash == indexed.hash => None,
        Ok(_) => Some("its body does not have the hash that the index has of it".to_owned()),
        Err(error) => Some(format!("its body is no record's: {error}")),
    }
}

/// Records whose entry no segment has.
fn missing(
    look: &mut Checker<'_>,
    feed: u64,
    index: &Index,
    segments: &Segments,
) -> Result<(), StoreError> {
    let missing: Vec<u64> = index
        .entries
        .iter()
        .filter(|entry| !entry.found)
        .map(|entry| entry.seq)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !segments.damaged.is_empty() {
        look.wrong(
            "",
            format!(
                "{} records can't be read, because of the segments that are damaged",
                missing.len()
            ),
        );
        return Ok(());
    }
    let named = missing.get(..CheckReport::FINDINGS_MAX).unwrap_or(&missing);
    let names = index::names(look, feed, named)?;
    for seq in &missing {
        let name = names.binary_search_by_key(seq, |(seq, _)| *seq).ok();
        let place = match name.and_then(|name| names.get(name)) {
            Some((_, id)) => format!("record \"{id}\", sequence {seq}"),
            None => format!("sequence {seq}"),
        };
        look.wrong(place, "the index has it there, and no segment does");
    }
    Ok(())
}
