//! Removes the keys of what was dropped, a bounded step at a time.
//!
//! What is left to do is in the `d` rows, so an interruption loses nothing: it goes on when the
//! store is opened again. Readers can't find any of it, and its numbers are never given out again; a
//! schedule's id may come again, but only when its fires are gone.

use tidegate_engine::job::JobId;
use tidegate_engine::run::RunId;
use tidegate_engine::schedule::ScheduleId;
use tidegate_engine::webhook::EndpointId;
use tidegate_engine::{Name, StoreError};

use crate::disk::{Writes, damaged};
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows::{self, SyncRow};
use crate::open::Tuning;

use super::Writer;

/// What belongs to a feed, apart from its header.
const OF_FEED: [Tag; 10] = [
    Tag::Pack,
    Tag::Segment,
    Tag::Journal,
    Tag::Live,
    Tag::Tomb,
    Tag::Pruned,
    Tag::Snapshot,
    Tag::SeenDelta,
    Tag::Seen,
    Tag::Missed,
];

/// Something that was dropped and still has keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purge {
    Feed(u64),
    /// With its integration.
    Connection(u64, Name),
    /// A webhook endpoint.
    Endpoint(EndpointId),
    /// The fires of all schedules that were removed.
    Fires,
}

/// What one step may still remove.
struct Budget {
    keys: usize,
    bytes: usize,
}

impl Budget {
    fn new(tuning: &Tuning) -> Self {
        Self {
            keys: tuning.step_keys,
            bytes: tuning.step_bytes,
        }
    }

    /// Whether nothing is left of it after `bytes` more in one more key.
    fn spend(&mut self, bytes: usize) -> bool {
        self.keys = self.keys.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.is_spent()
    }

    fn is_spent(&self) -> bool {
        self.keys == 0 || self.bytes == 0
    }
}

impl Writer {
    /// Find what was dropped before the store was closed or killed.
    pub(super) fn load_purges(&mut self) -> Result<(), StoreError> {
        let prefix = keys::dropped_feeds();
        let mut purges = Vec::new();
        for item in self.view().prefix(&prefix) {
            let (key, _) = item?;
            let number = keys::rest(&key, &prefix).and_then(keys::split_number);
            let (number, _) = number.map_err(|corrupt| damaged(&key, corrupt))?;
            purges.push(Purge::Feed(number));
        }
        let prefix = keys::dropped_connections();
        for item in self.view().prefix(&prefix) {
            let (key, value) = item?;
            let bad = |corrupt| damaged(&key, corrupt);
            let number = keys::rest(&key, &prefix).and_then(keys::split_number);
            let (number, _) = number.map_err(bad)?;
            let mut name = value.to_vec();
            name.push(0);
            let name = keys::decode_name(&name).map_err(bad)?;
            purges.push(Purge::Connection(number, name));
        }
        let prefix = keys::dropped_endpoints();
        for item in self.view().prefix(&prefix) {
            let (key, _) = item?;
            let id = keys::rest(&key, &prefix).and_then(keys::split_endpoint);
            let (id, _) = id.map_err(|corrupt| damaged(&key, corrupt))?;
            // One that is there was not removed: its deliveries stay, and `check` says that the two rows disagree.
            if self.view().get(&keys::endpoint(id))?.is_none() {
                purges.push(Purge::Endpoint(id));
            }
        }
        self.purges.extend(purges);
        let first = self.view().prefix(&keys::dropped_schedules()).next();
        if first.transpose()?.is_some() {
            self.purge_fires_later();
        }
        Ok(())
    }

    pub(super) fn wants_purge(&self) -> bool {
        !self.purges.is_empty()
    }

    /// Purge the keys of a feed that has a `d` row, sooner or later.
    pub(crate) fn purge_later(&mut self, feed: u64) {
        if !self.purges.contains(&Purge::Feed(feed)) {
            self.forget_feed(feed);
            self.purges.push_back(Purge::Feed(feed));
        }
    }

    /// Purge the fires of schedules that have `d` rows, before anything else: whoever puts one with such an id
    /// waits for that.
    pub(super) fn purge_fires_later(&mut self) {
        if !self.purges.contains(&Purge::Fires) {
            self.purges.push_front(Purge::Fires);
        }
    }

    /// Go on with what is to be purged; true once nothing is.
    pub(crate) fn purge_step(&mut self) -> Result<bool, StoreError> {
        // Readers let go of a feed before its keys go.
        if !self.pending.is_empty() {
            self.flush()?;
        }
        let Some(purge) = self.purges.front().cloned() else {
            return Ok(true);
        };
        let done = match &purge {
            Purge::Feed(number) => self.purge_feed(*number),
            Purge::Connection(number, integration) => self.purge_connection(*number, integration),
            Purge::Endpoint(id) => self.purge_endpoint(*id),
            Purge::Fires => self.purge_fires(),
        };
        if matches!(done, Ok(true) | Err(StoreError::Damaged { .. })) {
            // What is damaged stays, with its `d` row, until the store is opened again.
            self.purges.pop_front();
        }
        done?;
        Ok(self.purges.is_empty())
    }

    fn purge_feed(&mut self, number: u64) -> Result<bool, StoreError> {
        let mut writes = Writes::default();
        let mut budget = Budget::new(&self.tuning);
        writes.remove_short(keys::of_feed(Tag::Feed, number));
        for tag in OF_FEED {
            if !self.remove_keys(&mut writes, &keys::of_feed(tag, number), &mut budget)? {
                self.apply(writes)?;
                return Ok(false);
            }
        }
        writes.remove_short(keys::dropped_feeds().number(number));
        self.apply(writes)?;
        Ok(true)
    }

    fn purge_endpoint(&mut self, id: EndpointId) -> Result<bool, StoreError> {
        let mut writes = Writes::default();
        let mut budget = Budget::new(&self.tuning);
        let done = self.remove_keys(&mut writes, &keys::pending(id), &mut budget)?
            && self.remove_keys(&mut writes, &keys::deliveries(id), &mut budget)?;
        if done {
            writes.remove_short(keys::dropped_endpoints().raw(&id.to_bytes()));
        }
        self.apply(writes)?;
        Ok(done)
    }

    /// Go on with the fires of schedules that were removed; true once none is left.
    pub(crate) fn purge_fires(&mut self) -> Result<bool, StoreError> {
        let mut writes = Writes::default();
        let mut budget = Budget::new(&self.tuning);
        let done = self.purge_schedules(&mut writes, &keys::dropped_schedules(), &mut budget)?;
        self.apply(writes)?;
        Ok(done)
    }

    /// Remove keys that begin with `prefix`, with the parts of their values, as long as the budget
    /// lasts; true once none is left.
    fn remove_keys(
        &self,
        writes: &mut Writes,
        prefix: &Key,
        budget: &mut Budget,
    ) -> Result<bool, StoreError> {
        let view = self.view();
        for item in view.raw(prefix, &prefix.after_prefix()) {
            let (key, stored) = item?;
            if budget.is_spent() {
                return Ok(false);
            }
            let bytes = stored.len() + writes.remove_any(&view, Key::stored(&key))?;
            budget.spend(bytes);
        }
        Ok(true)
    }

    fn purge_connection(&mut self, number: u64, integration: &Name) -> Result<bool, StoreError> {
        let mut writes = Writes::default();
        let mut budget = Budget::new(&self.tuning);
        let mut feeds = Vec::new();
        // There are some if an earlier version dropped it.
        let schedules = keys::schedules_of_connection(number);
        let done = self.purge_models(&mut writes, number, &mut budget, &mut feeds)?
            && self.purge_syncs(&mut writes, number, &mut budget)?
            && self.purge_keys(&mut writes, number, &mut budget)?
            && self.purge_runs(&mut writes, number, integration, &mut budget)?
            && self.purge_schedules(&mut writes, &schedules, &mut budget)?
            && self.purge_jobs(&mut writes, number, integration, &mut budget)?;
        if done {
            writes.remove_short(keys::dropped_connections().number(number));
        }
        self.apply(writes)?;
        for feed in feeds {
            self.forget_feed(feed);
            self.purges.push_back(Purge::Feed(feed));
        }
        Ok(done)
    }

    /// The connection's feeds become dropped ones.
    fn purge_models(
        &self,
        writes: &mut Writes,
        connection: u64,
        budget: &mut Budget,
        feeds: &mut Vec<u64>,
    ) -> Result<bool, StoreError> {
        for item in self.view().prefix(&keys::models(connection)) {
            let (key, value) = item?;
            let feed = keys::decode_number(&value).map_err(|corrupt| damaged(&key, corrupt))?;
            writes.remove_short(Key::stored(&key));
            writes.remove_short(keys::of_feed(Tag::Feed, feed));
            writes.put_new(keys::dropped_feeds().number(feed), &[]);
            feeds.push(feed);
            if budget.spend(value.len()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn purge_syncs(
        &self,
        writes: &mut Writes,
        connection: u64,
        budget: &mut Budget,
    ) -> Result<bool, StoreError> {
        let view = self.view();
        for item in view.prefix(&keys::syncs(connection)) {
            let (key, value) = item?;
            let row: SyncRow = rows::decode(&value).map_err(|corrupt| damaged(&key, corrupt))?;
            let bytes = writes.remove_any(&view, keys::checkpoint(row.number))?;
            writes.remove_short(Key::stored(&key));
            if budget.spend(bytes) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Without the index of when they expire: that is done with when they do.
    fn purge_keys(
        &self,
        writes: &mut Writes,
        connection: u64,
        budget: &mut Budget,
    ) -> Result<bool, StoreError> {
        self.remove_keys(writes, &keys::idempotency(connection), budget)
    }

    fn purge_runs(
        &self,
        writes: &mut Writes,
        connection: u64,
        integration: &Name,
        budget: &mut Budget,
    ) -> Result<bool, StoreError> {
        let view = self.view();
        let prefix = keys::runs_of_connection(connection);
        for item in view.raw(&prefix, &prefix.after_prefix()) {
            let (key, _) = item?;
            let (end, id) = keys::rest(&key, &prefix)
                .and_then(keys::split_end)
                .map_err(|corrupt| damaged(&key, corrupt))?;
            let id = RunId::from_bytes(id);
            // The run goes together with the last of its log.
            if !self.remove_keys(writes, &keys::logs(id), budget)? {
                return Ok(false);
            }
            let output = writes.remove_any(&view, keys::output(id))?;
            let bytes = output + writes.remove_any(&view, keys::run(id))?;
            writes.remove_short(keys::running(id));
            writes.remove_short(keys::runs_of_integration(integration).end(end).run(id));
            writes.remove_short(Key::stored(&key));
            if budget.spend(bytes) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Remove the keys of a list of schedules, each with the last of its fires.
    fn purge_schedules(
        &self,
        writes: &mut Writes,
        list: &Key,
        budget: &mut Budget,
    ) -> Result<bool, StoreError> {
        let view = self.view();
        for item in view.raw(list, &list.after_prefix()) {
            let (key, _) = item?;
            let id = keys::rest(&key, list).and_then(keys::decode_id);
            let id = ScheduleId::from_bytes(id.map_err(|corrupt| damaged(&key, corrupt))?);
            if !self.remove_keys(writes, &keys::fires(id), budget)? {
                return Ok(false);
            }
            writes.remove_short(Key::stored(&key));
            if budget.spend(0) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn purge_jobs(
        &self,
        writes: &mut Writes,
        connection: u64,
        integration: &Name,
        budget: &mut Budget,
    ) -> Result<bool, StoreError> {
        let view = self.view();
        let prefix = keys::jobs_of_connection(connection);
        for item in view.raw(&prefix, &prefix.after_prefix()) {
            let (key, _) = item?;
            let (end, id) = keys::rest(&key, &prefix)
                .and_then(keys::split_end)
                .map_err(|corrupt| damaged(&key, corrupt))?;
            let bytes = writes.remove_any(&view, keys::job(JobId::from_bytes(id)))?;
            writes.remove_short(keys::jobs_of_integration(integration).end(end).raw(&id));
            writes.remove_short(Key::stored(&key));
            if budget.spend(bytes) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
