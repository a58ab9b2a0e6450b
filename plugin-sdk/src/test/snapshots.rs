//! The snapshots of the fake host: passes, and what their end may delete.

use std::collections::BTreeSet;

use tidegate_rules::Name;
use tidegate_rules::limits::UNSEEN_MAX;
use tidegate_rules::record::Page;
use tidegate_rules::snapshot::SnapshotGuard;

use super::declared::Grants;
use super::store::{Records, check_checkpoint, granted, invalid};
use crate::host::{Proof, SnapshotEnd, StoreError, Unseen};

/// A snapshot that has begun and not ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    /// The ids that were saved since the pass began.
    seen: BTreeSet<String>,
    /// A record without an id was skipped, which may be any of those that are stored.
    holes: bool,
    /// What the pass before did not see.
    missed: Option<BTreeSet<String>>,
}

impl Snapshot {
    /// What it learns of a page that was stored.
    pub(super) fn saw(&mut self, page: &Page) {
        let saved = page.save.iter().map(|save| save.id.clone());
        let skipped = page.skipped.iter().filter_map(|skipped| skipped.id.clone());
        self.seen.extend(saved.chain(skipped));
        self.holes |= page.skipped.iter().any(|skipped| skipped.id.is_none());
    }

    fn proves(&self, proof: Proof, unseen: &[String]) -> bool {
        match (proof, &self.missed) {
            _ if self.holes => false,
            (Proof::OneAnswer, _) => true,
            (Proof::TwoPasses, Some(missed)) => unseen.iter().all(|id| missed.contains(id)),
            (Proof::TwoPasses, None) | (Proof::None, _) => false,
        }
    }
}

/// Whose snapshot: a run of a sync, which may write what its grants say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Puller<'a> {
    /// `None` in actions and events, which have no snapshots.
    pub(super) sync: Option<&'a str>,
    pub(super) grants: &'a Grants,
}

impl<'a> Puller<'a> {
    fn sync(&self) -> Result<&'a str, StoreError> {
        let refused = || StoreError::denied("only a sync has snapshots".to_owned());
        self.sync.ok_or_else(refused)
    }
}

impl Records {
    pub(super) fn begin_snapshot(
        &mut self,
        model: &str,
        restart: bool,
        by: Puller<'_>,
    ) -> Result<bool, StoreError> {
        granted(by.grants, model)?;
        let sync = by.sync()?;
        let snapshots = self.snapshots.entry(model.to_owned()).or_default();
        let open = snapshots.contains_key(sync) && !restart;
        if !open {
            snapshots.insert(sync.to_owned(), Snapshot::default());
        }
        Ok(open)
    }

    /// The open snapshot of a model, and the ids that it has not seen.
    fn open_snapshot(
        &self,
        model: &Name,
        by: Puller<'_>,
    ) -> Result<(&Snapshot, Vec<String>), StoreError> {
        let of_model = self.snapshots.get(model.as_str());
        let sync = by.sync()?;
        let Some(snapshot) = of_model.and_then(|snapshots| snapshots.get(sync)) else {
            return invalid(format!(
                "no snapshot of {model} is open: begin-snapshot comes first"
            ));
        };
        let live = self.live.get(model.as_str()).into_iter().flatten();
        let unseen = live.filter(|(id, _)| !snapshot.seen.contains(*id));
        Ok((snapshot, unseen.map(|(id, _)| id.clone()).collect()))
    }

    fn close(&mut self, model: &Name, by: Puller<'_>) {
        let of_model = self.snapshots.get_mut(model.as_str());
        if let (Some(snapshots), Some(sync)) = (of_model, by.sync) {
            snapshots.remove(sync);
        }
    }

    fn live_count(&self, model: &Name) -> u64 {
        self.live
            .get(model.as_str())
            .map_or(0, |live| live.len() as u64)
    }

    /// Whether so many deletions are fine; else the snapshot is closed.
    fn guard(&mut self, model: &Name, gone: u64, by: Puller<'_>) -> Result<(), StoreError> {
        let percent = by.grants.limits.snapshot_delete_percent;
        let guard = SnapshotGuard {
            max_share_percent: u8::try_from(percent).unwrap_or(u8::MAX),
            allow_all: false,
        };
        let checked = guard.check(model, self.live_count(model), gone);
        checked.map_err(|refusal| {
            self.close(model, by);
            StoreError::refused(refusal.to_string())
        })
    }

    pub(super) fn unseen(
        &mut self,
        model: &str,
        after: u64,
        limit: u32,
        by: Puller<'_>,
    ) -> Result<Unseen, StoreError> {
        let model = granted(by.grants, model)?;
        if !(1..=UNSEEN_MAX).contains(&limit) {
            return invalid(format!("a limit of {limit} ids; it is 1 to {UNSEEN_MAX}"));
        }
        let (_, unseen) = self.open_snapshot(&model, by)?;
        let count = unseen.len() as u64;
        self.guard(&model, count, by)?;
        let places = self.places.get(model.as_str());
        let placed = |id: String| (places.and_then(|places| places.get(&id)).copied(), id);
        let placed: BTreeSet<(Option<u64>, String)> = unseen.into_iter().map(placed).collect();
        let mut rest = placed
            .into_iter()
            .filter(|(place, _)| place.unwrap_or(0) >= after);
        let ids = rest.by_ref().take(limit as usize).map(|(_, id)| id);
        Ok(Unseen {
            ids: ids.collect(),
            next: rest.next().and_then(|(place, _)| place),
            unseen: count,
            seen: self.live_count(&model) - count,
        })
    }

    pub(super) fn repeat_snapshot(
        &mut self,
        model: &str,
        checkpoint: Option<&str>,
        by: Puller<'_>,
    ) -> Result<u64, StoreError> {
        let model = granted(by.grants, model)?;
        check_checkpoint(checkpoint, by.grants, by.sync.is_some())?;
        let (snapshot, unseen) = self.open_snapshot(&model, by)?;
        let count = unseen.len() as u64;
        let pass = Snapshot {
            seen: BTreeSet::new(),
            holes: false,
            // A pass with holes saw what it can't name, so that it proves nothing together with the next.
            missed: (!snapshot.holes).then(|| unseen.into_iter().collect()),
        };
        let of_model = self.snapshots.entry(model.as_str().to_owned()).or_default();
        of_model.insert(by.sync()?.to_owned(), pass);
        Ok(count)
    }

    pub(super) fn end_snapshot(
        &mut self,
        model: &str,
        proof: Proof,
        checkpoint: Option<&str>,
        by: Puller<'_>,
    ) -> Result<SnapshotEnd, StoreError> {
        let model = granted(by.grants, model)?;
        check_checkpoint(checkpoint, by.grants, by.sync.is_some())?;
        let (snapshot, unseen) = self.open_snapshot(&model, by)?;
        let count = unseen.len() as u64;
        if !snapshot.proves(proof, &unseen) {
            self.close(&model, by);
            return Ok(SnapshotEnd {
                deleted: 0,
                kept: count,
            });
        }
        self.guard(&model, count, by)?;
        if let Some(live) = self.live.get_mut(model.as_str()) {
            live.retain(|id, _| !unseen.contains(id));
        }
        self.close(&model, by);
        Ok(SnapshotEnd {
            deleted: count,
            kept: 0,
        })
    }
}
