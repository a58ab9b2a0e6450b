//! Removes the keys of what was dropped, a bounded step at a time.
//!
//! What is left to do is in the `d` rows, so an interruption loses nothing: it goes on when the
//! store is opened again. Readers can't find any of it, and its numbers are never given out again; a
//! schedule's id may come again, but only when its fires are gone.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_engine::job::JobId;
use tidegate_engine::run::RunId;
use tidegate_engine::schedule::ScheduleId;
use tidegate_engine::upkeep::Dropped;
use tidegate_engine::webhook::EndpointId;
use tidegate_engine::{Name, StoreError};

use crate::disk::{Writes, damaged};
use crate::layout::Corrupt;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows::{self, ConnectionRow, SyncRow};
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
    /// An integration, with its connections.
    Integration(Name),
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
    ///
    /// Whatever is there was not dropped, whatever a `d` row says: such a row is taken away, and said in a note.
    pub(super) fn load_purges(&mut self) -> Result<(), StoreError> {
        let number = |rest: &[u8]| keys::split_number(rest).map(|(number, _)| number);
        let endpoint = |rest: &[u8]| keys::split_endpoint(rest).map(|(id, _)| id);
        let mut purges = Vec::new();
        let (mut feeds, mut connections) = (BTreeSet::new(), BTreeMap::new());
        for (number, _) in self.removals(&keys::dropped_feeds(), number)? {
            feeds.insert(number);
        }
        for (number, value) in self.removals(&keys::dropped_connections(), number)? {
            let mut name = value;
            name.push(0);
            let key = keys::dropped_connections().number(number);
            let name =
                keys::decode_name(&name).map_err(|corrupt| damaged(key.as_ref(), corrupt))?;
            connections.insert(number, name);
        }
        let mut stray = Writes::default();
        for number in self.feeds_in_use(&feeds)? {
            feeds.remove(&number);
            self.keep(&mut stray, keys::dropped_feeds().number(number), "a model");
        }
        for number in self.connections_in_use(&connections)? {
            connections.remove(&number);
            let row = keys::dropped_connections().number(number);
            self.keep(&mut stray, row, "a connection");
        }
        for (id, _) in self.removals(&keys::dropped_endpoints(), endpoint)? {
            let is_there = self.view().get(&keys::endpoint(id))?.is_some();
            match is_there {
                false => purges.push(Purge::Endpoint(id)),
                true => {
                    let row = keys::dropped_endpoints().raw(&id.to_bytes());
                    self.keep(&mut stray, row, "a webhook endpoint");
                }
            }
        }
        let schedules = self.removals(&keys::dropped_schedules(), keys::decode_id)?;
        let mut has_fires = false;
        for (id, _) in schedules {
            let id = ScheduleId::from_bytes(id);
            let is_there = self.view().get(&keys::schedule(id))?.is_some();
            match is_there {
                false => has_fires = true,
                true => {
                    let row = keys::dropped_schedules().raw(&id.to_bytes());
                    self.keep(&mut stray, row, "a schedule");
                }
            }
        }
        self.apply(stray)?;
        for (name, _) in self.removals(&keys::dropped_integrations(), keys::decode_name)? {
            self.going.insert(name.clone(), Dropped::default());
            purges.push(Purge::Integration(name));
        }
        for (name, _) in self.removals(&keys::unfinished_imports(), keys::decode_name)? {
            self.unfinished.insert(name.clone());
            purges.push(Purge::Integration(name));
        }
        purges.extend(feeds.into_iter().map(Purge::Feed));
        let connections = connections.into_iter();
        purges.extend(connections.map(|(number, name)| Purge::Connection(number, name)));
        self.purges.extend(purges);
        if has_fires {
            self.purge_fires_later();
        }
        Ok(())
    }

    /// All `d` rows of a kind, each with its value.
    fn removals<T>(
        &self,
        prefix: &Key,
        id_of: impl Fn(&[u8]) -> Result<T, Corrupt>,
    ) -> Result<Vec<(T, Vec<u8>)>, StoreError> {
        let view = self.view();
        let rows = view.prefix(prefix).map(|item| {
            let (key, value) = item?;
            let id = keys::rest(&key, prefix).and_then(&id_of);
            let id = id.map_err(|corrupt| damaged(&key, corrupt))?;
            Ok((id, value.to_vec()))
        });
        rows.collect()
    }

    /// Which of these feeds a model has.
    fn feeds_in_use(&self, feeds: &BTreeSet<u64>) -> Result<Vec<u64>, StoreError> {
        let mut used = Vec::new();
        if feeds.is_empty() {
            return Ok(used);
        }
        for item in self.view().prefix(&Key::new(Tag::Model)) {
            let (_, value) = item?;
            // `check` finds what is damaged.
            used.extend(
                keys::decode_number(&value)
                    .ok()
                    .filter(|own| feeds.contains(own)),
            );
        }
        Ok(used)
    }

    /// Which of these numbers a connection has that is there.
    fn connections_in_use(&self, numbers: &BTreeMap<u64, Name>) -> Result<Vec<u64>, StoreError> {
        let mut used = Vec::new();
        let integrations: BTreeSet<&Name> = numbers.values().collect();
        for integration in integrations {
            for item in self.view().prefix(&keys::connections(integration)) {
                let (_, value) = item?;
                let row = rows::decode::<ConnectionRow>(&value).ok();
                let number = row.map(|row| row.number);
                used.extend(number.filter(|own| numbers.contains_key(own)));
            }
        }
        Ok(used)
    }

    /// Take away a row that says of something that is there that it is being removed.
    fn keep(&mut self, writes: &mut Writes, row: Key, what: &str) {
        let place = keys::describe(row.as_ref());
        self.notes.push(format!(
            "{place} said of {what} that is there that it is being removed: it stays, and the row is gone"
        ));
        writes.remove_short(row);
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
            Purge::Integration(name) => self.drop_step(name),
        };
        if matches!(done, Ok(true) | Err(StoreError::Damaged { .. })) {
            // What is damaged stays, with its `d` row, until the store is opened again. Others may have come before it.
            let own = self.purges.iter().position(|own| *own == purge);
            own.and_then(|own| self.purges.remove(own));
        }
        if let (Purge::Integration(name), Err(StoreError::Damaged { .. })) = (&purge, &done) {
            self.keep_integration(name)?;
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
        let done = self.purge_schedules(&mut writes, &mut budget)?;
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
        let done = self.purge_models(&mut writes, number, &mut budget, &mut feeds)?
            && self.purge_syncs(&mut writes, number, &mut budget)?
            && self.purge_keys(&mut writes, number, &mut budget)?
            && self.purge_runs(&mut writes, number, integration, &mut budget)?
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

    /// Remove the rows of schedules that were removed, each with the last of its fires.
    fn purge_schedules(
        &self,
        writes: &mut Writes,
        budget: &mut Budget,
    ) -> Result<bool, StoreError> {
        let view = self.view();
        let list = keys::dropped_schedules();
        for item in view.raw(&list, &list.after_prefix()) {
            let (key, _) = item?;
            let id = keys::rest(&key, &list).and_then(keys::decode_id);
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
