//! The commands between the beginning and the end of a snapshot: what its pass has not seen, and
//! another pass.
//!
//! Two passes prove that what both missed is gone when the second saw all that the first saw: then
//! none of these was deleted while the first was read, so that nothing can have moved up into a
//! place that had been read already.

use tidegate_engine::run::{Fence, RunId};
use tidegate_engine::store::{Proof, SnapshotGuard, Unseen};
use tidegate_engine::{Name, StoreError};

use crate::disk::Writes;
use crate::layout::keys;
use crate::layout::rows::SnapshotRow;
use crate::layout::seqset::SeqSet;
use crate::turns::Turn;

use super::feed::{FeedState, OpenSnapshot, put_chunks};
use super::{Writer, encode};

/// The snapshot of a feed that a sync has open.
pub(super) fn of<'f>(
    feed: &'f FeedState,
    sync: u64,
    model: &Name,
) -> Result<&'f OpenSnapshot, StoreError> {
    let snapshot = feed.snapshots.get(&sync);
    snapshot.ok_or_else(|| none(model))
}

fn none(model: &Name) -> StoreError {
    StoreError::NoSnapshot {
        model: model.clone(),
    }
}

impl Writer {
    /// The numbers of the feed and the sync of the snapshot that the run has open.
    pub(super) fn open_snapshot(
        &mut self,
        id: RunId,
        fence: Fence,
        model: &Name,
    ) -> Result<(u64, u64), StoreError> {
        let (_, sync) = self.writing_sync(id, fence)?;
        let connection = self.writing(id, fence)?.connection;
        let key = keys::model(connection, model);
        let number = self.view().row(&key, keys::decode_number)?;
        let number = number.ok_or_else(|| none(model))?;
        of(self.load_feed(number)?, sync, model)?;
        Ok((number, sync))
    }

    pub(crate) fn unseen(
        &mut self,
        id: RunId,
        fence: Fence,
        model: &Name,
        guard: SnapshotGuard,
        after: u64,
        limit: usize,
    ) -> Result<Turn<Unseen>, StoreError> {
        let (number, sync) = self.open_snapshot(id, fence, model)?;
        if let Some(held) = self.held(number) {
            return Ok(Turn::After(held));
        }
        let feed = self.load_feed(number)?;
        let all = feed.unseen(of(feed, sync, model)?);
        let (live, unseen) = (feed.header.stats.live, all.len());
        if let Err(refusal) = guard.check(model, live, unseen) {
            self.close_snapshot(number, sync, None)?;
            return Err(refusal.into());
        }
        let sequences: Vec<u64> = all.from(after).take(limit).collect();
        let ids = self.ids(number, &sequences)?;
        let last = ids.len().checked_sub(1).and_then(|at| sequences.get(at));
        let next = last.and_then(|last| all.from(last + 1).next());
        Ok(Turn::Done(Unseen {
            ids,
            next,
            unseen,
            seen: live.saturating_sub(unseen),
        }))
    }

    pub(crate) fn repeat_snapshot(
        &mut self,
        id: RunId,
        fence: Fence,
        model: &Name,
        checkpoint: Option<String>,
    ) -> Result<Turn<u64>, StoreError> {
        let (number, sync) = self.open_snapshot(id, fence, model)?;
        if let Some(held) = self.held(number) {
            return Ok(Turn::After(held));
        }
        let feed = self.load_feed(number)?;
        let before = of(feed, sync, model)?;
        // A pass with holes saw what it can't name, so that it proves nothing together with the next.
        let repeated = !before.row.holes;
        let mut missed = feed.unseen(before).unstored();
        let row = SnapshotRow {
            begin_seq: feed.header.last_seq,
            next_delta: 0,
            holes: false,
            repeated,
            ending: None,
        };
        let mut writes = Writes::default();
        self.remove_snapshot(&mut writes, number, sync)?;
        let view = self.view();
        let key = keys::snapshot(number, sync);
        let value = encode(key.as_ref(), &row)?;
        writes.put(&view, key, &value)?;
        let chunks = keys::missed(number, sync);
        put_chunks(&view, &mut writes, &chunks, &mut missed)?;
        if let Some(checkpoint) = checkpoint {
            writes.put(&view, keys::checkpoint(sync), checkpoint.as_bytes())?;
        }
        drop(view);
        self.apply(writes)?;
        let unseen = missed.len();
        let open = OpenSnapshot {
            row,
            seen: SeqSet::default(),
            missed,
            first_delta: 0,
        };
        self.load_feed(number)?.snapshots.insert(sync, open);
        Ok(Turn::Done(unseen))
    }
}

impl OpenSnapshot {
    /// Whether what the pass has not seen is gone.
    pub(super) fn proves(&self, proof: Proof, unseen: &SeqSet) -> bool {
        match proof {
            Proof::None => false,
            _ if self.row.holes => false,
            Proof::OneAnswer => true,
            Proof::TwoPasses => self.row.repeated && unseen.is_within(&self.missed),
        }
    }
}
