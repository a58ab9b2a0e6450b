//! The commands that start and end runs under idempotency keys, and the keys' expiry.
//!
//! A key's row is small; what its run returned lies apart, by run, so that looking at keys reads no
//! results. A second row says when the key expires: from its end on, not before.

use std::collections::HashMap;

use tidegate_engine::idempotency::{KeyDecision, KeyRow, KeyUse, Keyed, StoredResult};
use tidegate_engine::run::{Fence, NewRun, Run, RunEnd, RunId};
use tidegate_engine::store::rules;
use tidegate_engine::{StoreError, Timestamp};

use crate::disk::{Writes, damaged};
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows;

use super::{Writer, encode, unless_damaged};

/// What the writer remembers of keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// How many a connection has, of those that were counted.
    counts: HashMap<u64, u64>,
    /// Those that expired until then are to be forgotten.
    expiring: Option<Timestamp>,
}

impl Keys {
    /// A connection has one more.
    pub(super) fn count(&mut self, connection: u64) {
        if let Some(count) = self.counts.get_mut(&connection) {
            *count += 1;
        }
    }
}

impl Writer {
    pub(crate) fn start_keyed_run(
        &mut self,
        new: NewRun,
        wanted: &KeyUse,
    ) -> Result<Keyed, StoreError> {
        let (key, action) = rules::action_of(&new)?;
        let key = key.clone();
        let connection = self.connection_number(&key)?;
        let place = keys::idempotency(connection)
            .name(action.as_str())
            .raw(wanted.key.as_str().as_bytes());
        if self.view().get(&keys::run(new.id))?.is_some() {
            return self.start_run(new).map(Keyed::Started);
        }
        self.expire_later(new.now);
        let mut writes = Writes::default();
        let row: Option<KeyRow> = self.view().row(&place, rows::decode)?;
        let is_new = row.is_none();
        match row {
            Some(row) if row.is_expired(new.now) => {
                self.forget_key(&mut writes, &place, &row)?;
            }
            Some(row) => {
                if let KeyDecision::Answer(run) = row.judge(wanted)? {
                    return Ok(Keyed::Kept(Box::new(self.kept(run)?)));
                }
                self.forget_key(&mut writes, &place, &row)?;
            }
            None => self.make_room(&key, connection)?,
        }
        let row = encode(place.as_ref(), &KeyRow::taken(new.id, wanted.input))?;
        writes.put_new(place.clone(), &row);
        let started = self.put_start(writes, new, connection, Some(place))?;
        if is_new {
            self.keys.count(connection);
        }
        Ok(Keyed::Started(started))
    }

    pub(super) fn kept(&self, id: RunId) -> Result<StoredResult, StoreError> {
        let view = self.view();
        let run: Option<Run> = view.row(&keys::run(id), rows::decode)?;
        let run = run.ok_or_else(|| StoreError::Damaged {
            place: id.to_string(),
            reason: "an idempotency key names it, and there is no such run".into(),
        })?;
        let output = view.row(&keys::output(id), keys::decode_text)?;
        Ok(StoredResult { run, output })
    }

    /// Refuse a further key of a connection that has too many; those that have expired don't count.
    pub(super) fn make_room(
        &mut self,
        key: &tidegate_engine::ConnectionKey,
        connection: u64,
    ) -> Result<(), StoreError> {
        let most = self.tuning.keys_max;
        if self.count_keys(connection)? >= most {
            while self.wants_expiry() {
                self.expiry_step()?;
            }
        }
        rules::check_room(key, self.count_keys(connection)?, most)
    }

    fn count_keys(&mut self, connection: u64) -> Result<u64, StoreError> {
        if let Some(count) = self.keys.counts.get(&connection) {
            return Ok(*count);
        }
        let prefix = keys::idempotency(connection);
        let mut count = 0;
        for item in self.view().raw(&prefix, &prefix.after_prefix()) {
            item?;
            count += 1;
        }
        self.keys.counts.insert(connection, count);
        Ok(count)
    }

    pub(crate) fn finish_keyed_run(
        &mut self,
        id: RunId,
        fence: Fence,
        end: RunEnd,
        output: &str,
    ) -> Result<Run, StoreError> {
        let running = self.writing(id, fence)?;
        let (has_key, job) = (running.key.is_some(), running.run.job);
        let job = job.and_then(|id| self.board.active_job(id));
        let holds = has_key || job.is_some_and(|job| job.holds_key);
        let mut writes = Writes::default();
        if holds {
            writes.put_new(keys::output(id), output.as_bytes());
        }
        self.put_end(writes, id, end)
    }

    /// The run that holds the key has ended.
    pub(super) fn settle_key(
        &self,
        writes: &mut Writes,
        place: &Key,
        end: &RunEnd,
    ) -> Result<(), StoreError> {
        let row: Option<KeyRow> = unless_damaged(self.view().row(place, rows::decode))?;
        let Some(row) = row else { return Ok(()) };
        let row = row.settled(end);
        if let Some(at) = row.expires_at {
            writes.put_new(expiry(at, place), &[]);
        }
        writes.put_new(place.clone(), &encode(place.as_ref(), &row)?);
        Ok(())
    }

    /// Take a key away with its result, in its own rows and that of its expiry.
    pub(super) fn forget_key(
        &self,
        writes: &mut Writes,
        place: &Key,
        row: &KeyRow,
    ) -> Result<(), StoreError> {
        if let Some(at) = row.expires_at {
            writes.remove_short(expiry(at, place));
        }
        if let Some(run) = row.run {
            writes.remove_any(&self.view(), keys::output(run))?;
        }
        writes.remove_short(place.clone());
        Ok(())
    }

    /// Forget what has expired by `now`, sooner or later.
    pub(super) fn expire_later(&mut self, now: Timestamp) {
        self.keys.expiring = self.keys.expiring.max(Some(now));
    }

    pub(super) fn wants_expiry(&self) -> bool {
        self.keys.expiring.is_some()
    }

    /// Forget some of the keys that have expired.
    pub(super) fn expiry_step(&mut self) -> Result<(), StoreError> {
        let Some(now) = self.keys.expiring else {
            return Ok(());
        };
        let prefix = Key::new(Tag::Expiry);
        let end = keys::expiry(now.0.saturating_add(1));
        let mut writes = Writes::default();
        let mut forgotten = Vec::new();
        let mut looked_at = 0;
        for item in self.view().range(&prefix, &end).take(self.tuning.step_keys) {
            let (key, _) = item?;
            looked_at += 1;
            let bad = |corrupt| damaged(&key, corrupt);
            let (_, rest) = keys::rest(&key, &prefix)
                .and_then(keys::split_number)
                .map_err(bad)?;
            let (connection, _) = keys::split_number(rest).map_err(bad)?;
            let place = Key::new(Tag::Idempotency).raw(rest);
            let row: Option<KeyRow> = self.view().row(&place, rows::decode)?;
            match row {
                Some(row) if row.is_expired(now) => {
                    self.forget_key(&mut writes, &place, &row)?;
                    forgotten.push(connection);
                }
                // Its connection was dropped.
                _ => writes.remove_short(Key::stored(&key)),
            }
        }
        if looked_at < self.tuning.step_keys {
            self.keys.expiring = None;
        }
        self.apply(writes)?;
        for connection in forgotten {
            if let Some(count) = self.keys.counts.get_mut(&connection) {
                *count = count.saturating_sub(1);
            }
        }
        Ok(())
    }
}

/// The row that says when the key at `place` expires.
pub(super) fn expiry(at: Timestamp, place: &Key) -> Key {
    let rest = place.as_ref().get(1..).unwrap_or_default();
    keys::expiry(at.0).raw(rest)
}
