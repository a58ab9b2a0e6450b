//! The snapshots of the fake host: passes, and what their end may delete.

use std::collections::BTreeSet;

use super::store::Records;
use super::store_rules::{check_checkpoint, check_model, invalid};
use crate::host::{Proof, SnapshotEnd, StoreError, Unseen};

const UNSEEN_MAX: u32 = 1_000;

/// A snapshot that has begun and not ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    /// The ids that were saved since the pass began.
    pub(super) seen: BTreeSet<String>,
    /// A record without an id was skipped, which may be any of those that are stored.
    pub(super) holes: bool,
    /// What the pass before did not see.
    missed: Option<BTreeSet<String>>,
}

impl Snapshot {
    fn proves(&self, proof: Proof, unseen: &[String]) -> bool {
        match (proof, &self.missed) {
            _ if self.holes => false,
            (Proof::OneAnswer, _) => true,
            (Proof::TwoPasses, Some(missed)) => unseen.iter().all(|id| missed.contains(id)),
            (Proof::TwoPasses, None) | (Proof::None, _) => false,
        }
    }
}

impl Records {
    pub(super) fn begin_snapshot(
        &mut self,
        model: &str,
        restart: bool,
        models: &[String],
    ) -> Result<bool, StoreError> {
        check_model(model, models)?;
        let open = self.snapshots.contains_key(model) && !restart;
        if !open {
            self.snapshots.insert(model.to_owned(), Snapshot::default());
        }
        Ok(open)
    }

    /// The open snapshot of a model, and the ids that it has not seen.
    fn open_snapshot(&self, model: &str) -> Result<(&Snapshot, Vec<String>), StoreError> {
        let Some(snapshot) = self.snapshots.get(model) else {
            return invalid(format!("no snapshot of {model} was begun"));
        };
        let live = self.live.get(model).into_iter().flatten();
        let unseen = live.filter(|(id, _)| !snapshot.seen.contains(*id));
        Ok((snapshot, unseen.map(|(id, _)| id.clone()).collect()))
    }

    /// Whether so many deletions are fine; else the snapshot is closed.
    fn guard(&mut self, model: &str, gone: usize) -> Result<(), StoreError> {
        let live = self.live.get(model).map_or(0, |live| live.len());
        let too_many = gone as u64 * 100 > live as u64 * self.snapshot_delete_percent;
        if gone > 0 && (too_many || gone == live) {
            self.snapshots.remove(model);
            return Err(StoreError::refused(format!(
                "{gone} of {live} {model} records were not seen, more than the limit \
                 snapshot_delete_percent allows"
            )));
        }
        Ok(())
    }

    pub(super) fn unseen(
        &mut self,
        model: &str,
        after: u64,
        limit: u32,
        models: &[String],
    ) -> Result<Unseen, StoreError> {
        check_model(model, models)?;
        if !(1..=UNSEEN_MAX).contains(&limit) {
            return invalid(format!("a limit of {limit} ids; it is 1 to {UNSEEN_MAX}"));
        }
        let (_, unseen) = self.open_snapshot(model)?;
        self.guard(model, unseen.len())?;
        let live = self.live.get(model).map_or(0, |live| live.len());
        let count = unseen.len();
        let places = self.places.get(model);
        let placed = |id: String| (places.and_then(|places| places.get(&id)).copied(), id);
        let placed: BTreeSet<(Option<u64>, String)> = unseen.into_iter().map(placed).collect();
        let mut rest = placed
            .into_iter()
            .filter(|(place, _)| place.unwrap_or(0) >= after);
        let ids = rest.by_ref().take(limit as usize).map(|(_, id)| id);
        Ok(Unseen {
            ids: ids.collect(),
            next: rest.next().and_then(|(place, _)| place),
            unseen: count as u64,
            seen: (live - count) as u64,
        })
    }

    pub(super) fn repeat_snapshot(
        &mut self,
        model: &str,
        checkpoint: Option<&str>,
        models: &[String],
    ) -> Result<u64, StoreError> {
        check_model(model, models)?;
        if let Some(checkpoint) = checkpoint {
            check_checkpoint(checkpoint)?;
        }
        let (snapshot, unseen) = self.open_snapshot(model)?;
        let count = unseen.len() as u64;
        let pass = Snapshot {
            seen: BTreeSet::new(),
            holes: false,
            // A pass with holes saw what it can't name, so that it proves nothing together with the next.
            missed: (!snapshot.holes).then(|| unseen.into_iter().collect()),
        };
        self.snapshots.insert(model.to_owned(), pass);
        Ok(count)
    }

    pub(super) fn end_snapshot(
        &mut self,
        model: &str,
        proof: Proof,
        checkpoint: Option<&str>,
        models: &[String],
    ) -> Result<SnapshotEnd, StoreError> {
        check_model(model, models)?;
        if let Some(checkpoint) = checkpoint {
            check_checkpoint(checkpoint)?;
        }
        let (snapshot, unseen) = self.open_snapshot(model)?;
        let count = unseen.len() as u64;
        if !snapshot.proves(proof, &unseen) {
            self.snapshots.remove(model);
            return Ok(SnapshotEnd {
                deleted: 0,
                kept: count,
            });
        }
        self.guard(model, unseen.len())?;
        if let Some(live) = self.live.get_mut(model) {
            live.retain(|id, _| !unseen.contains(id));
        }
        self.snapshots.remove(model);
        Ok(SnapshotEnd {
            deleted: count,
            kept: 0,
        })
    }
}
