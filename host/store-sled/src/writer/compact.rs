//! Rewrites segments that are mostly superseded or very small, a bounded step at a time.
//!
//! Sequences stay as they are; only which segment holds an entry changes. Entries are dropped only
//! when a flushed commit superseded them: whoever reads past one finds its successor later.

use std::sync::Arc;

use tidegate_engine::StoreError;

use crate::disk::{Writes, damaged};
use crate::layout::header::Header;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::segment::{Builder, Built, RAW_TARGET, Segment};

use crate::open::Tuning;

use super::Writer;
use super::feed::FeedState;

impl Writer {
    pub(super) fn wants_compaction(&self) -> bool {
        self.feeds.iter().any(|(number, feed)| {
            feed.wants_compaction(self.tuning.compact_slack) && self.held(*number).is_none()
        })
    }

    /// Go on with the compaction of one feed, if any wants it and nothing is unflushed.
    pub(super) fn compact_step(&mut self) -> Result<(), StoreError> {
        if !self.pending.is_empty() {
            return Ok(());
        }
        let slack = self.tuning.compact_slack;
        let mut wanting = self.feeds.iter();
        let wanting = wanting
            .find(|(number, feed)| feed.wants_compaction(slack) && self.held(**number).is_none());
        let Some(number) = wanting.map(|(number, _)| *number) else {
            return Ok(());
        };
        let Some(feed) = self.feeds.get_mut(&number) else {
            return Ok(());
        };
        let disk = Arc::clone(&self.disk);
        let mut writes = Writes::default();
        match feed.compact(&disk.writer_view(), &mut writes, &self.tuning) {
            Ok(()) => self.apply(writes),
            Err(StoreError::Damaged { .. }) => {
                // Nothing has changed. Whoever reads it is told; the other feeds go on.
                feed.compact_from = None;
                feed.compact_after = u64::MAX;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether the segments of a feed should be rewritten.
pub(super) fn is_wanted(header: &Header, slack: u64) -> bool {
    let mostly_dead = header.entries > 2 * header.records() + slack;
    // A full segment is rarely stored in less than 1 KiB.
    let many_small = header.segments > slack / 64 + 16 + header.segment_bytes / 1024;
    mostly_dead || many_small
}

impl FeedState {
    fn wants_compaction(&self, slack: u64) -> bool {
        if self.compact_from.is_some() {
            return true;
        }
        self.header.last_seq >= self.compact_after && is_wanted(&self.header, slack)
    }

    fn compact(
        &mut self,
        view: &crate::disk::View<'_>,
        writes: &mut Writes,
        tuning: &Tuning,
    ) -> Result<(), StoreError> {
        let prefix = keys::of_feed(Tag::Segment, self.published.number);
        let from = prefix.clone().number(self.compact_from.unwrap_or(0));
        let mut header = self.header;
        let mut builder = Builder::default();
        let mut built = Vec::new();
        let mut bytes = 0;
        let mut next = None;
        for item in view.range(&from, &prefix.after_prefix()) {
            let (key, value) = item?;
            let bad = |corrupt| damaged(&key, corrupt);
            let segment = Segment::decode(&value).map_err(bad)?;
            if bytes >= tuning.step_bytes {
                next = Some(segment.first_seq);
                break;
            }
            bytes += value.len();
            let mut live = Vec::new();
            for entry in segment.iter() {
                let entry = entry.map_err(bad)?;
                if self.live.contains(entry.seq) {
                    live.push(entry);
                }
            }
            let full = segment.raw_len() >= RAW_TARGET / 2;
            if full && live.len() as u64 * 4 >= segment.entries * 3 {
                built.extend(builder.finish());
                continue;
            }
            for entry in &live {
                built.extend(builder.push(entry));
            }
            header.segments -= 1;
            header.entries -= segment.entries;
            header.segment_bytes -= value.len() as u64;
            writes.remove(view, Key::stored(&key))?;
        }
        built.extend(builder.finish());
        for Built {
            first_seq,
            entries,
            value,
        } in built
        {
            header.segments += 1;
            header.entries += entries;
            header.segment_bytes += value.len() as u64;
            // Comes after the removal of the segment that had this key.
            writes.put_new(prefix.clone().number(first_seq), &value);
        }
        writes.put_new(
            keys::of_feed(Tag::Feed, self.published.number),
            &header.encode(),
        );
        self.header = header;
        self.compact_from = next;
        if next.is_none() {
            let slack = tuning.compact_slack.max(self.header.records() / 4);
            self.compact_after = self.header.last_seq + slack;
        }
        Ok(())
    }
}
