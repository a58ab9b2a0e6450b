//! Keys that belong to nothing: of feeds that no model has, and of kinds that nothing knows.

use tidegate_engine::StoreError;

use crate::disk::damaged;
use crate::layout::keys::{self, Key, Tag};

use super::catalog::Catalog;
use super::checker::Checker;
use super::{ResumeAt, STEP};

/// Kinds of rows that belong to a feed.
pub(super) const OF_FEEDS: [Tag; 11] = [
    Tag::Feed,
    Tag::Segment,
    Tag::Pack,
    Tag::Journal,
    Tag::Live,
    Tag::Tomb,
    Tag::Pruned,
    Tag::Snapshot,
    Tag::SeenDelta,
    Tag::Seen,
    Tag::Missed,
];

/// All other kinds.
const OTHERS: [Tag; 30] = [
    Tag::ApiKey,
    Tag::Request,
    Tag::RequestExpiry,
    Tag::Endpoint,
    Tag::Event,
    Tag::Delivery,
    Tag::Pending,
    Tag::Idempotency,
    Tag::Expiry,
    Tag::Output,
    Tag::Store,
    Tag::Connection,
    Tag::Dropped,
    Tag::Integration,
    Tag::Checkpoint,
    Tag::Log,
    Tag::Model,
    Tag::Run,
    Tag::Running,
    Tag::RunOfIntegration,
    Tag::RunOfConnection,
    Tag::Sync,
    Tag::Part,
    Tag::Schedule,
    Tag::ScheduleOfConnection,
    Tag::Fire,
    Tag::Job,
    Tag::JobOfIntegration,
    Tag::JobOfConnection,
    Tag::Queued,
];

/// A look at some feeds' keys of one kind, from feed to feed without reading what is between.
pub(super) fn check(
    look: &mut Checker<'_>,
    catalog: &Catalog,
    tag: Tag,
    from: &Key,
) -> Result<ResumeAt, StoreError> {
    look.subject("");
    let prefix = Key::new(tag);
    let end = prefix.after_prefix();
    let mut from = from.clone();
    let view = look.view;
    for _ in 0..STEP {
        let Some(item) = view.raw(&from, &end).next() else {
            return Ok(None);
        };
        let Some((key, _)) = look.undamaged(item)? else {
            return Ok(None);
        };
        let number = keys::rest(&key, &prefix).and_then(keys::split_number);
        let number = number.map_err(|corrupt| damaged(&key, corrupt));
        let Some((feed, _)) = look.undamaged(number)? else {
            from = Key::stored(&key).raw(&[0]);
            continue;
        };
        if !catalog.feeds.contains(&feed) && !is_known(look, catalog, feed)? {
            look.wrong_key(
                &key,
                format!("a row of feed number {feed}, which no model has"),
            );
        }
        from = keys::of_feed(tag, feed).after_prefix();
    }
    Ok(Some(from))
}

/// Whether a feed that no model had when these were looked at came later, or is being removed.
fn is_known(look: &Checker<'_>, catalog: &Catalog, feed: u64) -> Result<bool, StoreError> {
    let came_later = catalog.last_feed < feed && feed <= super::catalog::counters(look).feed;
    let dropped = look.view.get(&keys::dropped_feeds().number(feed))?;
    Ok(came_later || dropped.is_some())
}

/// Rows of kinds that nothing knows.
pub(super) fn unknown_kinds(look: &mut Checker<'_>) -> Result<(), StoreError> {
    look.subject("");
    let view = look.view;
    for first in 0..=u8::MAX {
        if OF_FEEDS
            .iter()
            .chain(&OTHERS)
            .any(|tag| *tag as u8 == first)
        {
            continue;
        }
        let prefix = Key::stored(&[first]);
        let end = match first {
            u8::MAX => Key::stored(&[first; 64]),
            _ => prefix.after_prefix(),
        };
        if let Some(item) = view.raw(&prefix, &end).next()
            && let Some((key, _)) = look.undamaged(item)?
        {
            look.wrong_key(&key, "a row of a kind that this version does not know");
        }
    }
    Ok(())
}
