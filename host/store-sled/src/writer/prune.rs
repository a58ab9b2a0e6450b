//! Removes the bodies of records that nobody has changed for long, a bounded step at a time.
//!
//! A step walks some segments, rewrites those that have such records, and counts. Hashes and times
//! stay in the index, so that change detection goes on. Nothing marks how far a pruning has come: after
//! a crash the segments say it themselves.

use std::sync::Arc;

use tidegate_engine::record::Action;
use tidegate_engine::upkeep::Pruned;
use tidegate_engine::{ModelKey, StoreError, Timestamp};

use crate::disk::{View, Writes, damaged};
use crate::feeds::Publication;
use crate::layout::header::Header;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::segment::{Builder, Built, FeedEntry, Segment};

use crate::read::feed_number;
use crate::turns::Turn;

use super::Writer;
use super::feed::FeedState;

/// A pruning of one model on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pruning {
    before: Timestamp,
    /// The feed, and its last sequence when the pruning began; `None` before it has.
    feed: Option<(u64, u64)>,
    /// The sequence from which to go on; `None` when it is done.
    from: Option<u64>,
    pub(crate) pruned: Pruned,
}

impl Pruning {
    /// All records that were last modified before `before`.
    pub(crate) fn new(before: Timestamp) -> Self {
        Self {
            before,
            feed: None,
            from: Some(0),
            pruned: Pruned::default(),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.from.is_none()
    }
}

impl Writer {
    /// Go on with a pruning.
    pub(crate) fn prune_step(
        &mut self,
        model: &ModelKey,
        mut pruning: Pruning,
    ) -> Result<Turn<Pruning>, StoreError> {
        // Superseded entries are left out on the way, and only what is flushed may supersede.
        self.flush()?;
        let begun = pruning.feed;
        let number = match feed_number(&self.view(), model) {
            Err(StoreError::NotFound { .. }) if begun.is_some() => None,
            number => number?,
        };
        let Some(number) = number.filter(|number| begun.is_none_or(|(feed, _)| feed == *number))
        else {
            // Nothing was ever saved of it; or it was dropped between two steps.
            pruning.from = None;
            return Ok(Turn::Done(pruning));
        };
        if let Some(held) = self.held(number) {
            return Ok(Turn::After(held));
        }
        let disk = Arc::clone(&self.disk);
        let view = disk.writer_view();
        let step_bytes = self.tuning.step_bytes;
        let feed = self.load_feed(number)?;
        let (_, last_seq) = *pruning
            .feed
            .insert(begun.unwrap_or((number, feed.header.last_seq)));
        let mut writes = Writes::default();
        let step = feed.prune(&view, &mut writes, &pruning, last_seq, step_bytes)?;
        pruning.from = step.next;
        pruning.pruned.records += step.found.records;
        pruning.pruned.bytes += step.found.bytes;
        if step.found.records == 0 {
            return Ok(Turn::Done(pruning));
        }
        for seq in step.sequences {
            feed.pruned.insert(seq);
        }
        feed.header = step.header;
        let stored = feed.put_pruned(&view, &mut writes);
        let publication = Publication::Changed {
            feed: Arc::clone(&feed.published),
            last_seq: feed.header.last_seq,
            pruned_seq: feed.header.pruned_seq,
            superseded: Vec::new(),
            stats: feed.header.stats,
        };
        // The feed in memory is ahead of the disk by now.
        self.failure = stored.as_ref().err().cloned();
        stored?;
        self.apply(writes)?;
        self.pending.push(publication);
        Ok(Turn::Done(pruning))
    }
}

/// What one step found.
struct Step {
    found: Pruned,
    /// Of the records whose bodies are removed.
    sequences: Vec<u64>,
    /// The header as it is afterwards.
    header: Header,
    next: Option<u64>,
}

impl FeedState {
    /// Collect the writes of one step. Changes nothing in memory.
    fn prune(
        &self,
        view: &View<'_>,
        writes: &mut Writes,
        pruning: &Pruning,
        last_seq: u64,
        step_bytes: usize,
    ) -> Result<Step, StoreError> {
        let feed = self.published.number;
        let prefix = keys::of_feed(Tag::Segment, feed);
        let from = prefix.clone().number(pruning.from.unwrap_or(0));
        // Segments may have been put together since the last step.
        let first = view.at_or_before(&prefix, &from)?;
        let first = first.map_or(from, |(key, _)| Key::stored(&key));

        let mut step = Step {
            found: Pruned::default(),
            sequences: Vec::new(),
            header: self.header,
            next: None,
        };
        let mut builder = Builder::default();
        let mut built = Vec::new();
        let mut bytes = 0;
        for item in view.range(&first, &prefix.after_prefix()) {
            let (key, value) = item?;
            let bad = |corrupt| damaged(&key, corrupt);
            let segment = Segment::decode(&value).map_err(bad)?;
            if segment.first_seq > last_seq {
                break;
            }
            if bytes >= step_bytes {
                step.next = Some(segment.first_seq);
                break;
            }
            bytes += value.len();
            let found_before = step.found.records;
            let mut left = Vec::new();
            for entry in segment.iter() {
                let entry = entry.map_err(bad)?;
                if self.live.contains(entry.seq) {
                    let old = entry.last_modified < pruning.before && entry.seq <= last_seq;
                    left.push(if old { step.strip(entry) } else { entry });
                }
            }
            if step.found.records == found_before {
                built.extend(builder.finish());
                continue;
            }
            for entry in &left {
                built.extend(builder.push(entry));
            }
            step.header.segments -= 1;
            step.header.entries -= segment.entries;
            step.header.segment_bytes -= value.len() as u64;
            writes.remove(view, Key::stored(&key))?;
        }
        built.extend(builder.finish());
        for Built {
            first_seq,
            entries,
            value,
        } in built
        {
            step.header.segments += 1;
            step.header.entries += entries;
            step.header.segment_bytes += value.len() as u64;
            // Comes after the removal of the segment that had this key.
            writes.put_new(prefix.clone().number(first_seq), &value);
        }
        if step.found.records > 0 {
            writes.put_new(keys::of_feed(Tag::Feed, feed), &step.header.encode());
        }
        Ok(step)
    }
}

impl Step {
    /// Take the body from an entry, and count it.
    fn strip<'e>(&mut self, entry: FeedEntry<'e>) -> FeedEntry<'e> {
        let Some(body) = entry.body else { return entry };
        let len = body.len() as u64;
        self.found.records += 1;
        self.found.bytes += len;
        self.header.stats.pruned += 1;
        if entry.action != Action::Deleted {
            self.header.stats.live_bytes -= len;
            self.header.pruned_seq = self.header.pruned_seq.max(entry.seq);
        }
        self.sequences.push(entry.seq);
        FeedEntry {
            body: None,
            ..entry
        }
    }
}
