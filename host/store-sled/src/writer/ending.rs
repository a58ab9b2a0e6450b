//! Carries out the end of a snapshot: deletes what the pull did not see, a bounded step at a time.
//!
//! What fits into one batch is one. More is decided first, in a batch that makes it certain; then come the steps,
//! with other commands between them. Readers are shown nothing before the last one: for them the feed stands
//! as it was decided on ([`Feed::begin_ending`](crate::feeds::Feed::begin_ending)). Meanwhile the feed is held.

use std::sync::Arc;

use tidegate_engine::record::Counts;
use tidegate_engine::run::{Fence, RunId};
use tidegate_engine::store::{EndSnapshot, Ended};
use tidegate_engine::{Name, StoreError};
use tokio::sync::oneshot;

use crate::disk::{Writes, damaged};
use crate::feeds::Publication;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows::{self, Ending, SnapshotRow};
use crate::layout::seqset::SeqSet;
use crate::segments;
use crate::turns::{Held, Hold, Turn};

use super::changes::{Op, RecordEffect, plan};
use super::{Writer, encode};

/// Bodies that one batch of deletions handles.
const STEP_BYTES: usize = 4 * 1024 * 1024;

/// What the end of a snapshot came to, or where it will be said how many were deleted.
#[derive(Debug)]
pub(crate) enum End {
    Now(Ended),
    Later(oneshot::Receiver<Result<u64, StoreError>>),
}

/// The end of a snapshot on its way.
#[derive(Debug)]
pub(super) struct Deleting {
    feed: u64,
    sync: u64,
    what: Ending,
    /// All that it deletes.
    unseen: Arc<SeqSet>,
    /// The sequence to go on from.
    from: u64,
    hold: Hold,
    /// Whoever waits for it; nobody does when a store that was killed is opened.
    answer: Option<oneshot::Sender<Result<u64, StoreError>>>,
}

impl Writer {
    pub(crate) fn end_snapshot(
        &mut self,
        id: RunId,
        fence: Fence,
        model: &Name,
        end: EndSnapshot,
    ) -> Result<Turn<End>, StoreError> {
        let (number, sync) = self.open_snapshot(id, fence, model)?;
        if let Some(held) = self.held(number) {
            return Ok(Turn::After(held));
        }
        let feed = self.load_feed(number)?;
        let snapshot = super::pass::of(feed, sync, model)?;
        let unseen = feed.unseen(snapshot);
        let deletes = unseen.len();
        if !snapshot.proves(end.proof, &unseen) {
            self.close_snapshot(number, sync, end.checkpoint)?;
            return Ok(Turn::Done(End::Now(Ended {
                deleted: 0,
                kept: deletes,
            })));
        }
        if let Err(refusal) = end.guard.check(model, feed.header.stats.live, deletes) {
            self.close_snapshot(number, sync, None)?;
            return Err(refusal.into());
        }
        let what = Ending {
            run: id,
            model: model.clone(),
            deletes,
            checkpoint: end.checkpoint,
            now: end.now,
        };
        let row = SnapshotRow {
            ending: Some(what.clone()),
            ..snapshot.row.clone()
        };
        let mut deleting = Deleting {
            feed: number,
            sync,
            what,
            unseen: Arc::new(unseen),
            from: 0,
            hold: Hold::new(),
            answer: None,
        };
        let ids = self.next_ids(&deleting)?;
        if ids.len() as u64 == deletes {
            self.delete(&mut deleting, &ids)?;
            return Ok(Turn::Done(End::Now(Ended {
                deleted: deletes,
                kept: 0,
            })));
        }
        let (answer, answered) = oneshot::channel();
        deleting.answer = Some(answer);
        self.decide(deleting, row)?;
        Ok(Turn::Done(End::Later(answered)))
    }

    /// Write down that the snapshot ends. From here on the deletions happen, now or when the store is opened
    /// again.
    fn decide(&mut self, deleting: Deleting, row: SnapshotRow) -> Result<(), StoreError> {
        let Deleting { feed, sync, .. } = deleting;
        let mut writes = Writes::default();
        let key = keys::snapshot(feed, sync);
        let value = encode(key.as_ref(), &row)?;
        writes.put(&self.view(), key, &value)?;
        let start = self.end_of_feed(feed)?;
        self.put_progress(deleting.what.run, &mut writes, |run| {
            run.note_start(&deleting.what.model, start);
        })?;
        self.apply(writes)?;
        if let Some(open) = self.load_feed(feed)?.snapshots.get_mut(&sync) {
            open.row = row;
        }
        self.take_up(deleting)
    }

    /// Hold the feed, and do the rest in steps.
    fn take_up(&mut self, deleting: Deleting) -> Result<(), StoreError> {
        self.note_hold(deleting.feed, &deleting.hold);
        let feed = self.load_feed(deleting.feed)?;
        feed.is_ending = true;
        let (published, unseen) = (Arc::clone(&feed.published), Arc::clone(&deleting.unseen));
        published.begin_ending(unseen);
        self.endings.push_back(deleting);
        Ok(())
    }

    /// Take up the endings that a crash interrupted, and finish them. Nobody reads yet.
    pub(super) fn finish_endings(&mut self) -> Result<(), StoreError> {
        let prefix = Key::new(Tag::Snapshot);
        let mut decided = Vec::new();
        for item in self.view().prefix(&prefix) {
            let (key, value) = item?;
            let bad = |corrupt| damaged(&key, corrupt);
            let row: SnapshotRow = rows::decode(&value).map_err(bad)?;
            if let Some(what) = row.ending {
                let (feed, rest) = keys::rest(&key, &prefix)
                    .and_then(keys::split_number)
                    .map_err(bad)?;
                let (sync, _) = keys::split_number(rest).map_err(bad)?;
                decided.push((feed, sync, what));
            }
        }
        for (number, sync, what) in decided {
            let feed = self.load_feed(number)?;
            let Some(snapshot) = feed.snapshots.get(&sync) else {
                continue;
            };
            let unseen = Arc::new(feed.unseen(snapshot));
            self.take_up(Deleting {
                feed: number,
                sync,
                what,
                unseen,
                from: 0,
                hold: Hold::new(),
                answer: None,
            })?;
        }
        while self.wants_ending() {
            self.ending_step()?;
        }
        Ok(())
    }

    pub(super) fn wants_ending(&self) -> bool {
        !self.endings.is_empty()
    }

    /// Go on with one of the endings.
    pub(super) fn ending_step(&mut self) -> Result<(), StoreError> {
        // For memory only, as nothing of it is shown yet: sled keeps what is not flushed.
        self.flush()?;
        let Some(mut deleting) = self.endings.pop_front() else {
            return Ok(());
        };
        let ids = self.next_ids(&deleting);
        match ids.and_then(|ids| self.delete(&mut deleting, &ids)) {
            Ok(false) => self.endings.push_back(deleting),
            Ok(true) => {
                self.show_ending(&deleting)?;
                let deletes = deleting.what.deletes;
                self.ended.push((deleting, Ok(deletes)));
                self.flush()?;
            }
            Err(error @ StoreError::Damaged { .. }) => {
                // What was deleted so far stays so; the next pull finds the rest, if it can.
                self.close_snapshot(deleting.feed, deleting.sync, None)?;
                self.show_ending(&deleting)?;
                self.ended.push((deleting, Err(error)));
                self.flush()?;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The ids of what comes next: at most as many as one batch deletes, and fewer when bodies are long.
    fn next_ids(&self, deleting: &Deleting) -> Result<Vec<String>, StoreError> {
        let next = deleting.unseen.from(deleting.from);
        let sequences: Vec<u64> = next.take(self.tuning.ending_step).collect();
        self.ids(deleting.feed, &sequences)
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

    /// Delete these in one batch, which closes the snapshot when they are the last ones; says whether they are.
    fn delete(&mut self, deleting: &mut Deleting, ids: &[String]) -> Result<bool, StoreError> {
        let Deleting { feed, sync, .. } = *deleting;
        let what = &deleting.what;
        let mut handled = deleting.unseen.from(deleting.from).skip(ids.len());
        let next = handled.next();
        drop(handled);
        let ops = ids.iter().map(|id| Op {
            id,
            page: 0,
            what: RecordEffect::Delete,
        });
        let plan = plan(&self.view(), feed, ops.collect(), what.now, &mut [])?;
        let mut writes = Writes::default();
        if next.is_none() {
            self.remove_snapshot(&mut writes, feed, sync)?;
            if let Some(checkpoint) = &what.checkpoint {
                writes.put(&self.view(), keys::checkpoint(sync), checkpoint.as_bytes())?;
            }
            let start = self.end_of_feed(feed)?;
            let counts = Counts {
                deleted: what.deletes,
                ..Counts::default()
            };
            self.put_progress(what.run, &mut writes, |run| {
                // Noted already if there were steps before.
                run.note_start(&what.model, start);
                let own = run.progress.counts.entry(what.model.clone()).or_default();
                own.add(counts);
            })?;
        }
        self.write_plans(&[(feed, plan)], writes)?;
        deleting.from = next.unwrap_or(u64::MAX);
        if next.is_none() {
            self.load_feed(feed)?.snapshots.remove(&sync);
        }
        Ok(next.is_none())
    }

    /// Let readers see what was deleted, once it is flushed.
    fn show_ending(&mut self, deleting: &Deleting) -> Result<(), StoreError> {
        let feed = self.load_feed(deleting.feed)?;
        feed.is_ending = false;
        let none = SeqSet::default();
        let handled = deleting.from.saturating_sub(1);
        let publication = Publication::Ended {
            feed: Arc::clone(&feed.published),
            last_seq: feed.header.last_seq,
            deleted: deleting.unseen.without(handled, [&none, &none]),
            stats: feed.header.stats,
        };
        self.pending.push(publication);
        Ok(())
    }

    /// Tell those who wait for endings that are flushed and shown; their feeds are let go of.
    pub(super) fn answer_endings(&mut self) {
        for (deleting, ended) in self.ended.drain(..) {
            // Nobody may be waiting any more; it happened all the same.
            let _ = deleting.answer.map(|answer| answer.send(ended));
        }
    }

    /// Nothing is written any more: whoever waits is to find that out.
    pub(super) fn drop_endings(&mut self) {
        self.endings.clear();
        self.ended.clear();
    }

    /// The connection is being removed, and what its snapshots would delete goes with it.
    pub(super) fn forget_endings(
        &mut self,
        writes: &mut Writes,
        runs: &[RunId],
    ) -> Result<(), StoreError> {
        let of_others = |own: &Deleting| !runs.contains(&own.what.run);
        for own in self.endings.iter().filter(|own| !of_others(own)) {
            self.remove_snapshot(writes, own.feed, own.sync)?;
        }
        self.endings.retain(of_others);
        Ok(())
    }

    /// Whether a snapshot of the run is ending: the run ends after it.
    pub(super) fn ending_of(&self, run: RunId) -> Option<Held> {
        let mut endings = self.endings.iter();
        let own = endings.find(|own| own.what.run == run)?;
        Some(own.hold.held())
    }
}

#[cfg(test)]
mod tests;
