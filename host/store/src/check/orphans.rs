//! Keys that belong to nothing: of feeds that no model has, and of kinds that nothing knows.

use std::collections::HashSet;

use tidegate_engine::StoreError;

use crate::disk::damaged;
use crate::layout::keys::{self, Key, Tag};

use super::look::Look;

/// Kinds of rows that belong to a feed.
const OF_FEEDS: [Tag; 11] = [
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
const OTHERS: [Tag; 29] = [
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
    Tag::JobOfConnection,
    Tag::Queued,
];

/// One look at all feeds' keys, from feed to feed without reading what is between.
pub(super) fn check(look: &mut Look<'_>) -> Result<(), StoreError> {
    look.subject("");
    unknown_kinds(look)?;
    let feeds = known_feeds(look)?;
    for tag in OF_FEEDS {
        let prefix = Key::new(tag);
        let end = prefix.after_prefix();
        let mut from = prefix.clone();
        let view = look.view;
        while let Some(item) = view.raw(&from, &end).next() {
            let Some((key, _)) = look.undamaged(item)? else {
                break;
            };
            let number = keys::rest(&key, &prefix).and_then(keys::split_number);
            let number = number.map_err(|corrupt| damaged(&key, corrupt));
            let Some((feed, _)) = look.undamaged(number)? else {
                from = Key::stored(&key).raw(&[0]);
                continue;
            };
            if !feeds.contains(&feed) {
                look.wrong_key(
                    &key,
                    format!("a row of feed number {feed}, which no model has"),
                );
            }
            from = keys::of_feed(tag, feed).after_prefix();
        }
    }
    Ok(())
}

/// The feeds of models, and those that are being removed.
fn known_feeds(look: &Look<'_>) -> Result<HashSet<u64>, StoreError> {
    let mut feeds = HashSet::new();
    for item in look.view.prefix(&Key::new(Tag::Model)) {
        // Damage there has been found already.
        let number = item
            .ok()
            .and_then(|(_, value)| keys::decode_number(&value).ok());
        feeds.extend(number);
    }
    let dropped = keys::dropped_feeds();
    for item in look.view.prefix(&dropped) {
        let number = item.ok().and_then(|(key, _)| {
            let (number, _) = keys::rest(&key, &dropped)
                .and_then(keys::split_number)
                .ok()?;
            Some(number)
        });
        feeds.extend(number);
    }
    Ok(feeds)
}

fn unknown_kinds(look: &mut Look<'_>) -> Result<(), StoreError> {
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
