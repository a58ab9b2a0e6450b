//! The command that begins a snapshot, and what closes one. Those in between are in [`super::pass`], the one that
//! ends it is in [`super::ending`].
//!
//! A snapshot knows what it saw by sequences. A record that was saved and changed since the
//! beginning has a later sequence than the snapshot's `begin_seq`; one that was saved unchanged has
//! its sequence in the seen set. What is left of the live sequences is what the pull did not see.

use tidegate_engine::run::{Fence, RunId};
use tidegate_engine::{Name, StoreError};

use crate::disk::{Writes, damaged};
use crate::layout::keys::{self, Key};
use crate::layout::rows::SnapshotRow;
use crate::layout::seqset::SeqSet;
use crate::turns::Turn;

use super::feed::{FeedState, OpenSnapshot};
use super::{Writer, encode};

impl Writer {
    pub(crate) fn begin_snapshot(
        &mut self,
        id: RunId,
        fence: Fence,
        model: &Name,
        restart: bool,
    ) -> Result<Turn<bool>, StoreError> {
        let (_, sync) = self.writing_sync(id, fence)?;
        if let Some(held) = self.held_model(id, model)? {
            return Ok(Turn::After(held));
        }
        let mut writes = Writes::default();
        let number = self.feed_of_run(id, model, &mut writes)?;
        let feed = self.load_feed(number)?;
        if !restart && feed.snapshots.contains_key(&sync) {
            return Ok(Turn::Done(true));
        }
        let row = SnapshotRow {
            begin_seq: feed.header.last_seq,
            next_delta: 0,
            holes: false,
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
        Ok(Turn::Done(false))
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
