//! The sequence sets and the header of a feed, against its index and its segments.

use tidegate_engine::StoreError;

use crate::disk::damaged;
use crate::feeds::Loaded;
use crate::layout::header::Header;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::seqset::SeqSet;

use super::checker::Checker;
use super::feed::Segments;
use super::index::{Index, Indexed};

/// Look at the rows that the sets are loaded from: that they are within the feed.
pub(super) fn count_rows(
    look: &mut Checker<'_>,
    feed: u64,
    header: &Header,
) -> Result<(), StoreError> {
    let (last_seq, folded_seq) = (header.last_seq, header.folded_seq);
    let mut journal = 0;
    number_rows(
        look,
        &keys::of_feed(Tag::Journal, feed),
        |look, key, seq| {
            journal += 1;
            if seq > last_seq || seq <= folded_seq {
                look.wrong_key(
                key,
                format!("a journal entry of sequence {seq}, in a feed that was folded at {folded_seq} and ends at {last_seq}"),
            );
            }
        },
    )?;
    if journal != header.journal_entries {
        look.wrong(
            "header",
            format!(
                "it says that there are {} journal entries, and there are {journal}",
                header.journal_entries
            ),
        );
    }
    if folded_seq > last_seq {
        look.wrong(
            "header",
            format!("the feed ends at {last_seq}, and was folded at {folded_seq}"),
        );
    }
    for tag in SETS {
        number_rows(look, &keys::of_feed(tag, feed), |_, _, _| {})?;
    }
    Ok(())
}

/// Tags of the sets' chunks.
const SETS: [Tag; 3] = [Tag::Live, Tag::Tomb, Tag::Pruned];

/// Rows whose keys end with a number. Their values are looked at when the sets are loaded.
fn number_rows(
    look: &mut Checker<'_>,
    prefix: &Key,
    mut look_at: impl FnMut(&mut Checker<'_>, &[u8], u64),
) -> Result<(), StoreError> {
    let view = look.view;
    for item in view.raw(prefix, &prefix.after_prefix()) {
        let Some((key, _)) = look.undamaged(item)? else {
            return Ok(());
        };
        look.report.keys += 1;
        let number = keys::rest(&key, prefix).and_then(keys::split_number);
        let number = number.map_err(|corrupt| damaged(&key, corrupt));
        if let Some((number, _)) = look.undamaged(number)? {
            look_at(look, &key, number);
        }
    }
    Ok(())
}

/// The sets must be what the index and the feed's entries make them.
pub(super) fn compare(look: &mut Checker<'_>, index: &Index, loaded: &Loaded) {
    let set_of = |is_in: fn(&Indexed) -> bool| {
        let mut set = SeqSet::default();
        for entry in index.entries.iter().filter(|entry| is_in(entry)) {
            set.insert(entry.seq);
        }
        set
    };
    let rows = [
        ("live", &loaded.live, set_of(|_| true)),
        ("tomb", &loaded.tombs, set_of(|entry| entry.deleted)),
        ("pruned", &loaded.pruned, set_of(|entry| entry.pruned)),
    ];
    let none = SeqSet::default();
    for (name, stored, should_be) in rows {
        for seq in should_be.without(u64::MAX, [stored, &none]).from(0) {
            look.wrong(
                format!("sequence {seq}"),
                format!("the {name} set lacks it, though it is the latest of a record"),
            );
        }
        // What a damaged pack had is not known.
        if index.whole {
            for seq in stored.without(u64::MAX, [&should_be, &none]).from(0) {
                look.wrong(
                    format!("sequence {seq}"),
                    format!("the {name} set has it, and the index does not"),
                );
            }
        }
    }
}

/// The header must count what there is.
pub(super) fn compare_header(
    look: &mut Checker<'_>,
    index: &Index,
    segments: &Segments,
    header: &Header,
) {
    let mut rows = Vec::new();
    if index.whole {
        let deleted = index.entries.iter().filter(|entry| entry.deleted).count() as u64;
        let live = index.entries.len() as u64 - deleted;
        rows.push(("live records", header.stats.live, live));
        rows.push(("deleted records", header.stats.deleted, deleted));
    }
    if segments.damaged.is_empty() {
        rows.push(("entries in segments", header.entries, segments.entries));
        rows.push(("segments", header.segments, segments.count));
        rows.push(("bytes of segments", header.segment_bytes, segments.bytes));
    }
    if index.whole && segments.damaged.is_empty() {
        let bodies = index
            .entries
            .iter()
            .filter(|entry| !entry.deleted && !entry.pruned);
        let bytes = bodies.map(|entry| entry.body_len).sum();
        rows.push(("bytes of live bodies", header.stats.live_bytes, bytes));
        let pruned = index.entries.iter().filter(|entry| entry.pruned);
        rows.push((
            "pruned records",
            header.stats.pruned,
            pruned.clone().count() as u64,
        ));
        let last = pruned
            .filter(|entry| !entry.deleted)
            .map(|entry| entry.seq)
            .max();
        if let Some(last) = last.filter(|last| *last > header.pruned_seq) {
            look.wrong(
                "header",
                format!(
                    "it says that retention came up to sequence {}, and {last} has no body",
                    header.pruned_seq
                ),
            );
        }
    }
    for (what, says, is) in rows {
        if says != is {
            look.wrong(
                "header",
                format!("it says {says} {what}, and there are {is}"),
            );
        }
    }
}
