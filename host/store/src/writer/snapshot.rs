//! The commands that begin and end snapshots; `pass` has those in between.
//!
//! A snapshot knows what it saw by sequences. A record that was saved and changed since the
//! beginning has a later sequence than the snapshot's `begin_seq`; one that was saved unchanged has
//! its sequence in the seen set. What is left of the live sequences is what the pull did not see.

use tidegate_engine::record::Counts;
use tidegate_engine::run::{Fence, RunId};
use tidegate_engine::store::{EndSnapshot, Ended};
use tidegate_engine::{Name, StoreError};

use crate::disk::{Writes, damaged};
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows::{self, Ending, SnapshotRow};
use crate::layout::seqset::SeqSet;
use crate::segments;

use super::changes::{Op, What, plan};
use super::feed::{FeedState, OpenSnapshot};
use super::{Writer, encode};

/// Bodies that one batch of deletions handles.
const STEP_BYTES: usize = 16 * 1024 * 1024;

impl Writer {
    pub(crate) fn begin_snapshot(
        &mut self,
        id: RunId,
        fence: Fence,
        model: &Name,
        restart: bool,
    ) -> Result<bool, StoreError> {
        let (_, sync) = self.writing_sync(id, fence)?;
        let mut writes = Writes::default();
        let number = self.feed_of_run(id, model, &mut writes)?;
        let feed = self.load_feed(number)?;
        if !restart && feed.snapshots.contains_key(&sync) {
            return Ok(true);
        }
        let row = SnapshotRow {
            begin_seq: feed.header.last_seq,
            next_delta: 0,
            repeated: false,
            ending: None,
        };
        self.remove_snapshot(&mut writes, number, sync)?;
        let key = keys::snapshot(number, sync);
        let value = encode(key.as_ref(), &row)?;
        writes.put(&self.view(), key, &value)?;
        self.apply(writes)?;
        let open = OpenSnapshot {
            row,
            seen: SeqSet::default(),
            missed: SeqSet::default(),
            first_delta: 0,
        };
        self.load_feed(number)?.snapshots.insert(sync, open);
        Ok(false)
    }

    pub(crate) fn end_snapshot(
        &mut self,
        id: RunId,
        fence: Fence,
        model: &Name,
        end: EndSnapshot,
    ) -> Result<Ended, StoreError> {
        let (number, sync) = self.open_snapshot(id, fence, model)?;
        let feed = self.load_feed(number)?;
        let snapshot = super::pass::of(feed, sync, model)?;
        let unseen = feed.unseen(snapshot);
        let deletes = unseen.len();
        if !snapshot.proves(end.proof, &unseen) {
            self.close_snapshot(number, sync, end.checkpoint)?;
            return Ok(Ended {
                deleted: 0,
                kept: deletes,
            });
        }
        if let Err(refusal) = end.guard.check(model, feed.header.stats.live, deletes) {
            self.close_snapshot(number, sync, None)?;
            return Err(refusal.into());
        }
        let row = SnapshotRow {
            ending: Some(Ending {
                run: id,
                model: model.clone(),
                deletes,
                checkpoint: end.checkpoint,
                now: end.now,
            }),
            ..snapshot.row.clone()
        };
        self.decide_ending(number, sync, row)?;
        let deleted = self.finish_ending(number, sync)?;
        Ok(Ended { deleted, kept: 0 })
    }

    /// Close a snapshot without deleting anything.
    pub(super) fn close_snapshot(
        &mut self,
        feed: u64,
        sync: u64,
        checkpoint: Option<String>,
    ) -> Result<(), StoreError> {
        let mut writes = Writes::default();
        self.remove_snapshot(&mut writes, feed, sync)?;
        if let Some(checkpoint) = checkpoint {
            writes.put(&self.view(), keys::checkpoint(sync), checkpoint.as_bytes())?;
        }
        self.apply(writes)?;
        self.load_feed(feed)?.snapshots.remove(&sync);
        Ok(())
    }

    /// Write down that the snapshot ends. From here on the deletions happen, now or when the store
    /// is opened again.
    fn decide_ending(&mut self, feed: u64, sync: u64, row: SnapshotRow) -> Result<(), StoreError> {
        let step = self.tuning.ending_step;
        let many = row.ending.as_ref().is_some_and(|e| e.deletes > step as u64);
        if many {
            let mut writes = Writes::default();
            let key = keys::snapshot(feed, sync);
            let value = encode(key.as_ref(), &row)?;
            writes.put(&self.view(), key, &value)?;
            self.apply(writes)?;
        }
        if let Some(open) = self.load_feed(feed)?.snapshots.get_mut(&sync) {
            open.row = row;
        }
        Ok(())
    }

    /// Go on with the endings that a crash interrupted. Nobody reads yet.
    pub(super) fn finish_endings(&mut self) -> Result<(), StoreError> {
        let prefix = Key::new(Tag::Snapshot);
        let mut endings = Vec::new();
        for item in self.view().prefix(&prefix) {
            let (key, value) = item?;
            let bad = |corrupt| damaged(&key, corrupt);
            let row: SnapshotRow = rows::decode(&value).map_err(bad)?;
            if row.ending.is_some() {
                let (feed, rest) = keys::rest(&key, &prefix)
                    .and_then(keys::split_number)
                    .map_err(bad)?;
                endings.push((feed, keys::split_number(rest).map_err(bad)?.0));
            }
        }
        for (feed, sync) in endings {
            self.finish_ending(feed, sync)?;
        }
        Ok(())
    }

    /// Delete what the snapshot has not seen, batch by batch; the last batch closes it. Readers see
    /// all of it at once, after the flush that follows.
    fn finish_ending(&mut self, number: u64, sync: u64) -> Result<u64, StoreError> {
        let step = self.tuning.ending_step;
        loop {
            let feed = self.load_feed(number)?;
            let Some(snapshot) = feed.snapshots.get(&sync) else {
                return Ok(0);
            };
            let Some(ending) = snapshot.row.ending.clone() else {
                return Ok(0);
            };
            let unseen: Vec<u64> = feed.unseen(snapshot).from(0).take(step).collect();
            let all = feed.unseen(snapshot).len();
            let ids = self.ids(number, &unseen)?;
            let last = ids.len() as u64 == all;

            let ops = ids
                .iter()
                .map(|id| Op {
                    id,
                    page: 0,
                    what: What::Delete,
                })
                .collect();
            let mut counts = [Counts::default()];
            let plan = plan(&self.view(), number, ops, ending.now, &mut counts)?;
            let mut writes = Writes::default();
            if last {
                self.remove_snapshot(&mut writes, number, sync)?;
                if let Some(checkpoint) = &ending.checkpoint {
                    writes.put(&self.view(), keys::checkpoint(sync), checkpoint.as_bytes())?;
                }
            }
            let [counts] = counts;
            let start = self.end_of_feed(number)?;
            self.put_progress(ending.run, &mut writes, |run| {
                run.note_start(&ending.model, start);
                run.progress
                    .counts
                    .entry(ending.model.clone())
                    .or_default()
                    .add(counts);
            })?;
            self.write_plans(&[(number, plan)], writes)?;
            if last {
                self.load_feed(number)?.snapshots.remove(&sync);
                return Ok(ending.deletes);
            }
            // Not published yet, so this is for memory only: sled keeps what is not flushed.
            self.disk.flush()?;
        }
    }

    /// The ids of the entries with these sequences, in their order; fewer when bodies are long.
    pub(super) fn ids(&self, feed: u64, sequences: &[u64]) -> Result<Vec<String>, StoreError> {
        let view = self.view();
        let mut ids = Vec::with_capacity(sequences.len());
        let mut bytes = 0;
        let missing = segments::visit(
            |seq| segments::find(&view, feed, seq),
            sequences,
            |entry| {
                ids.push(entry.id.to_owned());
                bytes += entry.body.map_or(0, str::len);
                bytes < STEP_BYTES
            },
        )?;
        match missing.first() {
            Some(seq) => Err(segments::lost(feed, *seq)),
            None => Ok(ids),
        }
    }

    /// Remove a sync's checkpoint and its open snapshots.
    pub(super) fn forget_progress(
        &mut self,
        writes: &mut Writes,
        connection: u64,
        sync: u64,
    ) -> Result<(), StoreError> {
        let mut feeds = Vec::new();
        for item in self.view().prefix(&keys::models(connection)) {
            let (key, value) = item?;
            feeds.push(keys::decode_number(&value).map_err(|corrupt| damaged(&key, corrupt))?);
        }
        // From here on nothing that is damaged stands in the way: it is to be forgotten.
        writes.remove_any(&self.view(), keys::checkpoint(sync))?;
        for feed in feeds {
            let found = self.view().found(&keys::snapshot(feed, sync));
            if !matches!(found, Ok(None)) {
                self.remove_snapshot(writes, feed, sync)?;
                if let Some(feed) = self.feeds.get_mut(&feed) {
                    feed.snapshots.remove(&sync);
                }
            }
        }
        Ok(())
    }

    pub(super) fn remove_snapshot(
        &self,
        writes: &mut Writes,
        feed: u64,
        sync: u64,
    ) -> Result<(), StoreError> {
        let view = self.view();
        for prefix in [
            keys::seen_deltas(feed, sync),
            keys::seen(feed, sync),
            keys::missed(feed, sync),
        ] {
            for item in view.raw(&prefix, &prefix.after_prefix()) {
                let (key, _) = item?;
                writes.remove_any(&view, Key::stored(&key))?;
            }
        }
        writes.remove_any(&view, keys::snapshot(feed, sync))?;
        Ok(())
    }
}

impl FeedState {
    /// Live sequences of records that the snapshot's pass has not seen.
    pub(super) fn unseen(&self, snapshot: &OpenSnapshot) -> SeqSet {
        self.live
            .without(snapshot.row.begin_seq, [&self.tombs, &snapshot.seen])
    }
}
