//! A feed as the writer has it: with what is applied but not yet flushed.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_engine::StoreError;

use crate::disk::{View, Writes, damaged};
use crate::feeds::{Feed, Loaded, load, load_chunks};
use crate::layout::codec::Reader;
use crate::layout::header::Header;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows::{self, SnapshotRow};
use crate::layout::seqset::{JournalEntry, SeqSet, put_runs, read_runs};
use crate::turns::{Held, Hold, Turn};

use super::Writer;

/// A feed in use by the writer.
#[derive(Debug)]
pub(super) struct FeedState {
    pub(super) published: Arc<Feed>,
    pub(super) header: Header,
    pub(super) live: SeqSet,
    pub(super) tombs: SeqSet,
    /// Live sequences that have no body.
    pub(super) pruned: SeqSet,
    /// By the number of the sync.
    pub(super) snapshots: BTreeMap<u64, OpenSnapshot>,
    /// Where a pass of compaction goes on.
    pub(super) compact_from: Option<u64>,
    /// No pass before the feed has reached this sequence.
    pub(super) compact_after: u64,
    /// When it was used last, by the writer's clock.
    pub(super) used: u64,
    /// A snapshot of it ends in steps: what changes is not shown before the last one.
    pub(super) is_ending: bool,
    fold_after: u64,
}

/// A snapshot that has begun and not ended.
#[derive(Debug)]
pub(super) struct OpenSnapshot {
    pub(super) row: SnapshotRow,
    /// Sequences of records that were saved unchanged, or skipped, since.
    pub(super) seen: SeqSet,
    /// Sequences that the pass before did not see.
    pub(super) missed: SeqSet,
    /// The first delta that is not in the stored chunks.
    pub(super) first_delta: u64,
}

impl Writer {
    /// Have the feed in memory.
    pub(super) fn load_feed(&mut self, number: u64) -> Result<&mut FeedState, StoreError> {
        self.clock += 1;
        if !self.feeds.contains_key(&number) {
            let disk = Arc::clone(&self.disk);
            let view = disk.writer_view();
            let published = self.published.get(number);
            let loaded = load(&view, number)?;
            // Readers have it from now on at the latest, while nothing of it is unflushed.
            published.offer(&loaded);
            let Loaded {
                header,
                live,
                tombs,
                pruned,
                ..
            } = loaded;
            let snapshots = self.load_snapshots(number)?;
            let state = FeedState {
                published,
                header,
                live,
                tombs,
                pruned,
                snapshots,
                compact_from: None,
                compact_after: 0,
                used: 0,
                is_ending: false,
                fold_after: self.tuning.fold_after,
            };
            self.feeds.insert(number, state);
        }
        let state = self.feeds.get_mut(&number);
        let state = state.ok_or_else(|| super::not_found("feed", &number))?;
        state.used = self.clock;
        Ok(state)
    }

    fn load_snapshots(&self, feed: u64) -> Result<BTreeMap<u64, OpenSnapshot>, StoreError> {
        let view = self.view();
        let prefix = keys::of_feed(Tag::Snapshot, feed);
        let mut snapshots = BTreeMap::new();
        for item in view.prefix(&prefix) {
            let (key, value) = item?;
            let bad = |corrupt| damaged(&key, corrupt);
            let (sync, _) = keys::rest(&key, &prefix)
                .and_then(keys::split_number)
                .map_err(bad)?;
            let mut row: SnapshotRow = rows::decode(&value).map_err(bad)?;
            let first_delta = row.next_delta;
            let mut seen = load_chunks(&view, &keys::seen(feed, sync))?;
            let deltas = keys::seen_deltas(feed, sync);
            for item in view.prefix(&deltas) {
                let (key, value) = item?;
                let bad = |corrupt| damaged(&key, corrupt);
                let delta = keys::rest(&key, &deltas).and_then(keys::split_number);
                row.next_delta = delta.map_err(bad)?.0 + 1;
                for (first, last) in read_runs(&mut Reader(&value)).map_err(bad)? {
                    seen.insert_range(first, last);
                }
            }
            snapshots.insert(
                sync,
                OpenSnapshot {
                    row,
                    seen,
                    missed: load_chunks(&view, &keys::missed(feed, sync))?,
                    first_delta,
                },
            );
        }
        Ok(snapshots)
    }

    /// Who works on the feed in steps, if anybody does.
    pub(super) fn held(&self, feed: u64) -> Option<Held> {
        let held = self.holds.get(&feed)?;
        (!held.is_over()).then(|| held.clone())
    }

    /// Hold a feed with nothing of it unflushed, unless somebody else does.
    pub(crate) fn hold(&mut self, feed: u64) -> Result<Turn<Hold>, StoreError> {
        if let Some(held) = self.held(feed) {
            return Ok(Turn::After(held));
        }
        self.flush()?;
        let hold = Hold::new();
        self.note_hold(feed, &hold);
        Ok(Turn::Done(hold))
    }

    pub(super) fn note_hold(&mut self, feed: u64, hold: &Hold) {
        self.holds.retain(|_, held| !held.is_over());
        self.holds.insert(feed, hold.held());
    }

    /// Forget the half of the feeds that was used longest ago. Everything is published but of those whose
    /// snapshots end.
    pub(super) fn forget_feeds(&mut self) {
        let mut used: Vec<u64> = self.feeds.values().map(|feed| feed.used).collect();
        used.sort_unstable();
        let limit = used.get(used.len() / 2).copied().unwrap_or(0);
        self.feeds
            .retain(|_, feed| feed.used > limit || feed.is_ending);
        let feeds = &self.feeds;
        self.published.forget(|number| feeds.contains_key(&number));
    }
}

impl FeedState {
    /// Write the header, and what a commit did to the sets: as a journal entry, or by
    /// folding the journal into the stored chunks when it is long.
    ///
    /// The sets and the header's other fields are up to date already.
    pub(super) fn put_sets(
        &mut self,
        view: &View<'_>,
        writes: &mut Writes,
        superseded: &[u64],
        tombs: &[u64],
        pruned: &[u64],
    ) -> Result<(), StoreError> {
        let feed = self.published.number;
        if self.header.journal_entries >= self.fold_after {
            writes.remove_prefix(view, &keys::of_feed(Tag::Journal, feed))?;
            let sets = [
                (Tag::Live, &mut self.live),
                (Tag::Tomb, &mut self.tombs),
                (Tag::Pruned, &mut self.pruned),
            ];
            for (tag, set) in sets {
                put_chunks(view, writes, &keys::of_feed(tag, feed), set)?;
            }
            self.header.folded_seq = self.header.last_seq;
            self.header.journal_entries = 0;
        } else if !(superseded.is_empty() && tombs.is_empty() && pruned.is_empty()) {
            let key = keys::of_feed(Tag::Journal, feed).number(self.header.last_seq);
            writes.put_new(key, &JournalEntry::encode(superseded, tombs, pruned));
            self.header.journal_entries += 1;
        }
        writes.put_new(keys::of_feed(Tag::Feed, feed), &self.header.encode());
        Ok(())
    }

    /// Store what changed in the set of pruned sequences. It may be ahead of the other sets: what
    /// is not live is left out when it is loaded.
    pub(super) fn put_pruned(
        &mut self,
        view: &View<'_>,
        writes: &mut Writes,
    ) -> Result<(), StoreError> {
        let prefix = keys::of_feed(Tag::Pruned, self.published.number);
        put_chunks(view, writes, &prefix, &mut self.pruned)
    }

    /// Count `sequences` (sorted) of unchanged records as seen by the open snapshots.
    pub(super) fn mark_seen(
        &mut self,
        view: &View<'_>,
        writes: &mut Writes,
        sequences: &[u64],
    ) -> Result<(), StoreError> {
        let (feed, fold_after) = (self.published.number, self.fold_after);
        for (sync, snapshot) in &mut self.snapshots {
            let OpenSnapshot {
                row,
                seen,
                first_delta,
                ..
            } = snapshot;
            let begin = row.begin_seq;
            let new = sequences
                .iter()
                .copied()
                .filter(|seq| *seq <= begin && !seen.contains(*seq));
            let new: Vec<u64> = new.collect();
            if new.is_empty() {
                continue;
            }
            for seq in &new {
                seen.insert(*seq);
            }
            let deltas = keys::seen_deltas(feed, *sync);
            if row.next_delta - *first_delta < fold_after {
                let mut value = Vec::new();
                put_runs(&mut value, &new);
                writes.put_new(deltas.number(row.next_delta), &value);
                row.next_delta += 1;
                continue;
            }
            writes.remove_prefix(view, &deltas)?;
            put_chunks(view, writes, &keys::seen(feed, *sync), seen)?;
            *first_delta = row.next_delta;
            let key = keys::snapshot(feed, *sync);
            let value = super::encode(key.as_ref(), row)?;
            writes.put_new(key, &value);
        }
        Ok(())
    }

    /// A record without an id was skipped, which may be any of those that are stored: no open snapshot is
    /// whole.
    pub(super) fn mark_holes(&mut self, writes: &mut Writes) -> Result<(), StoreError> {
        let feed = self.published.number;
        for (sync, snapshot) in &mut self.snapshots {
            if !std::mem::replace(&mut snapshot.row.holes, true) {
                let key = keys::snapshot(feed, *sync);
                let value = super::encode(key.as_ref(), &snapshot.row)?;
                writes.put_new(key, &value);
            }
        }
        Ok(())
    }
}

pub(super) fn put_chunks(
    view: &View<'_>,
    writes: &mut Writes,
    prefix: &Key,
    set: &mut SeqSet,
) -> Result<(), StoreError> {
    for (chunk, bytes) in set.take_dirty() {
        let key = prefix.clone().number(chunk);
        match bytes {
            Some(bytes) => writes.put(view, key, &bytes)?,
            None => writes.remove(view, key)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::disk::Disk;
    use crate::feeds::Feeds;
    use crate::open::Options;

    #[test]
    fn the_writer_holds_nothing_that_readers_wait_for_while_it_loads() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::default();
        let disk = Arc::new(Disk::open(dir.path(), &options).unwrap());
        let mut writes = Writes::default();
        writes.put_new(keys::of_feed(Tag::Feed, 7), &Header::default().encode());
        disk.apply(writes).unwrap();
        let feeds = Arc::new(Feeds::default());
        let mut writer = Writer::open(
            Arc::clone(&disk),
            Arc::clone(&feeds),
            Arc::default(),
            1,
            Arc::default(),
            options.tuning,
        )
        .unwrap();
        let (reading, waits) = mpsc::channel();
        let (go, goes) = mpsc::channel::<()>();
        let (done, ended) = mpsc::channel();
        let (own, of_reader) = (Arc::clone(&disk), done.clone());
        thread::spawn(move || {
            let view = own.view();
            reading.send(()).unwrap();
            goes.recv().unwrap();
            feeds.get(7).with(&view, |_| ()).unwrap();
            drop(view);
            of_reader.send(()).unwrap();
        });
        waits.recv().unwrap();
        thread::spawn(move || {
            writer.load_feed(7).unwrap();
            done.send(()).unwrap();
        });
        // Until it waits for the reader.
        while disk.rows_at_once().is_some() {
            thread::yield_now();
        }
        go.send(()).unwrap();
        for _ in 0..2 {
            let ended = ended.recv_timeout(Duration::from_secs(30));
            ended.expect("the reader and the writer wait for each other");
        }
    }
}
