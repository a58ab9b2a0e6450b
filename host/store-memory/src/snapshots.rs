//! Snapshots of the memory store.

use std::collections::{BTreeMap, HashSet};

use tidegate_engine::Name;
use tidegate_engine::record::Counts;
use tidegate_engine::run::{Fence, RunId};
use tidegate_engine::store::{EndSnapshot, Ended, Proof, SnapshotGuard, StoreError, Unseen};
use tidegate_engine::{ModelKey, SyncKey};

use super::State;
use super::records::Feed;

/// A snapshot that has begun and not ended.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// The ids that were saved since the pass began.
    pub(super) seen: HashSet<String>,
    /// A record without an id was skipped, which may be any of those that are stored.
    pub(super) holes: bool,
    /// What the pass before did not see; `None` in the first one.
    missed: Option<HashSet<String>>,
}

impl Snapshot {
    /// In the order of the feed, by sequence.
    fn unseen(&self, feed: &Feed) -> BTreeMap<u64, String> {
        feed.live()
            .filter(|record| !self.seen.contains(&record.id))
            .map(|record| (record.seq, record.id.clone()))
            .collect()
    }

    fn proves(&self, proof: Proof, unseen: &BTreeMap<u64, String>) -> bool {
        match (proof, &self.missed) {
            _ if self.holes => false,
            (Proof::OneAnswer, _) => true,
            (Proof::TwoPasses, Some(missed)) => unseen.values().all(|id| missed.contains(id)),
            (Proof::TwoPasses, None) | (Proof::None, _) => false,
        }
    }
}

impl State {
    pub(super) fn begin_snapshot(
        &mut self,
        id: RunId,
        fence: Fence,
        model: &Name,
        restart: bool,
    ) -> Result<bool, StoreError> {
        let sync = self.writing_sync(id, fence)?;
        let feed = self.feed(sync.connection.model(model.clone()));
        if !restart && feed.snapshots.contains_key(&sync) {
            return Ok(true);
        }
        feed.snapshots.insert(sync, Snapshot::default());
        Ok(false)
    }

    /// The feed with the snapshot that the run's sync has open, and both keys.
    fn open_snapshot(
        &mut self,
        id: RunId,
        fence: Fence,
        model: &Name,
    ) -> Result<(SyncKey, ModelKey, &mut Feed), StoreError> {
        let sync = self.writing_sync(id, fence)?;
        let key = sync.connection.model(model.clone());
        match self.feeds.get_mut(&key) {
            Some(feed) if feed.snapshots.contains_key(&sync) => Ok((sync, key, feed)),
            _ => Err(StoreError::NoSnapshot {
                model: model.clone(),
            }),
        }
    }

    pub(super) fn unseen(
        &mut self,
        id: RunId,
        fence: Fence,
        model: &Name,
        guard: SnapshotGuard,
        after: u64,
        limit: usize,
    ) -> Result<Unseen, StoreError> {
        let (sync, _, feed) = self.open_snapshot(id, fence, model)?;
        let all = feed.snapshots.get(&sync).map(|s| s.unseen(feed));
        let all = all.unwrap_or_default();
        let (live, unseen) = (feed.stats().live, all.len() as u64);
        if let Err(refusal) = guard.check(model, live, unseen) {
            feed.snapshots.remove(&sync);
            return Err(refusal.into());
        }
        let mut rest = all.range(after..);
        let ids = rest.by_ref().take(limit).map(|(_, id)| id.clone());
        Ok(Unseen {
            ids: ids.collect(),
            next: rest.next().map(|(seq, _)| *seq),
            unseen,
            seen: live - unseen,
        })
    }

    pub(super) fn repeat_snapshot(
        &mut self,
        id: RunId,
        fence: Fence,
        model: &Name,
        checkpoint: Option<String>,
    ) -> Result<u64, StoreError> {
        let (sync, _, feed) = self.open_snapshot(id, fence, model)?;
        let before = feed.snapshots.get(&sync);
        // A pass with holes saw what it can't name, so that it proves nothing together with the next.
        let has_holes = before.is_some_and(|before| before.holes);
        let unseen = before.map(|before| before.unseen(feed));
        let missed: HashSet<String> = unseen.unwrap_or_default().into_values().collect();
        let unseen = missed.len() as u64;
        let pass = Snapshot {
            seen: HashSet::new(),
            holes: false,
            missed: (!has_holes).then_some(missed),
        };
        feed.snapshots.insert(sync.clone(), pass);
        if let Some(checkpoint) = checkpoint {
            self.checkpoints.insert(sync, checkpoint);
        }
        Ok(unseen)
    }

    pub(super) fn end_snapshot(
        &mut self,
        id: RunId,
        fence: Fence,
        model: &Name,
        end: EndSnapshot,
    ) -> Result<Ended, StoreError> {
        let (sync, key, feed) = self.open_snapshot(id, fence, model)?;
        let snapshot = feed.snapshots.remove(&sync).unwrap_or_default();
        let gone = snapshot.unseen(feed);
        if !snapshot.proves(end.proof, &gone) {
            if let Some(checkpoint) = end.checkpoint {
                self.checkpoints.insert(sync, checkpoint);
            }
            return Ok(Ended {
                deleted: 0,
                kept: gone.len() as u64,
            });
        }
        let live = feed.stats().live;
        end.guard.check(model, live, gone.len() as u64)?;
        self.note_start(id, key.clone());
        let mut counts = Counts::default();
        let feed = self.feed(key);
        for id in gone.values() {
            feed.delete(id, end.now, &mut counts);
        }
        if let Some(checkpoint) = end.checkpoint {
            self.checkpoints.insert(sync, checkpoint);
        }
        let run = self.writing(id, fence)?;
        run.progress
            .counts
            .entry(model.clone())
            .or_default()
            .add(counts);
        Ok(Ended {
            deleted: counts.deleted,
            kept: 0,
        })
    }
}
