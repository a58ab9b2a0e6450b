//! The command that drops a model, a connection or an integration.
//!
//! One batch takes the names away, so that readers find nothing any more, and leaves a `d` row for
//! what remains to be purged. Purging follows, in steps. An integration, which may have any number of connections, goes
//! some connections at a time, its own name last: its `d` row says from the first step on that it does.

use std::collections::BTreeSet;

use tidegate_engine::integration::{Digest, Integration};
use tidegate_engine::run::RunId;
use tidegate_engine::store::rules;
use tidegate_engine::upkeep::{Dropped, Scope};
use tidegate_engine::{ConnectionKey, ModelKey, Name, StoreError, Timestamp};

use crate::components::Components;
use crate::disk::{Writes, damaged};
use crate::feeds::Publication;
use crate::layout::header::Header;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows::{self, ConnectionRow};

use super::purge::Purge;
use super::{Writer, not_found};

/// Connections that go in one batch.
const CONNECTIONS_STEP: usize = 100;

impl Writer {
    /// Take the names of everything in `scope` away. What is left is purged later.
    /// `runs` is how many there are of it, which is counted beside this thread.
    pub(crate) fn drop_names(&mut self, scope: &Scope, runs: u64) -> Result<Dropped, StoreError> {
        let mut writes = Writes::default();
        let mut purges = Vec::new();
        let mut dropped = match scope {
            Scope::Model(key) => self.drop_model(&mut writes, &mut purges, key)?,
            Scope::Connection(key) => {
                let row = self.connection_row(key)?;
                self.check_idle(scope)?;
                self.drop_connections(&mut writes, &mut purges, &[row])?
            }
            Scope::Integration(name) => {
                self.begin_drop(&mut writes, name)?;
                purges.push(Purge::Integration(name.clone()));
                Dropped::default()
            }
        };
        self.apply(writes)?;
        if let Scope::Integration(name) = scope {
            self.going.insert(name.clone(), Dropped::default());
        }
        self.numbers.get_mut().forget();
        for purge in &purges {
            if let Purge::Feed(number) = purge {
                self.forget_feed(*number);
            }
        }
        self.put_off(purges);
        dropped.runs = runs;
        Ok(dropped)
    }

    /// The same for a connection whose runs may not have ended: they end as cancelled in the same
    /// batch.
    pub(crate) fn remove_connection(
        &mut self,
        key: &ConnectionKey,
        runs: u64,
        now: Timestamp,
    ) -> Result<Dropped, StoreError> {
        let row = self.connection_row(key)?;
        let mut dropped = self.remove_rows(Writes::default(), &[row], now)?;
        dropped.runs = runs;
        Ok(dropped)
    }

    /// Take some connections away with the runs that have not ended, in one batch with `writes`.
    fn remove_rows(
        &mut self,
        mut writes: Writes,
        rows: &[ConnectionRow],
        now: Timestamp,
    ) -> Result<Dropped, StoreError> {
        let mut purges = Vec::new();
        let mut events = Vec::new();
        let numbers: BTreeSet<u64> = rows.iter().map(|row| row.number).collect();
        let running = self.running.iter();
        let own: Vec<RunId> = running
            .filter(|(_, running)| numbers.contains(&running.connection))
            .map(|(id, _)| *id)
            .collect();
        for id in &own {
            let figures = self
                .running
                .get(id)
                .map(|running| running.run.progress.clone());
            let end = rules::removed(figures.unwrap_or_default(), now);
            events.extend(self.end_run(&mut writes, *id, end)?);
        }
        let dropped = self.drop_connections(&mut writes, &mut purges, rows)?;
        self.forget_endings(&mut writes, &own)?;
        self.apply_telling(writes, events, None)?;
        self.numbers.get_mut().forget();
        for id in own {
            self.running.remove(&id);
        }
        self.put_off(purges);
        Ok(dropped)
    }

    fn put_off(&mut self, purges: Vec<Purge>) {
        for purge in purges {
            match purge {
                Purge::Fires => self.purge_fires_later(),
                other => self.purges.push_back(other),
            }
        }
    }

    /// The feed's keys are being removed: nobody may go by what is in memory.
    pub(super) fn forget_feed(&mut self, number: u64) {
        self.feeds.remove(&number);
        self.pending.push(Publication::Dropped(number));
    }

    /// Runs that have not ended keep their connection, and with it its models and integration.
    fn check_idle(&self, scope: &Scope) -> Result<(), StoreError> {
        let busy = self
            .running
            .iter()
            .find(|(_, running)| scope.is_touched_by(running.run.target.connection()));
        match busy {
            Some((id, _)) => Err(StoreError::Busy {
                what: scope.to_string(),
                by: id.to_string(),
            }),
            None => Ok(()),
        }
    }

    fn drop_model(
        &self,
        writes: &mut Writes,
        purges: &mut Vec<Purge>,
        key: &ModelKey,
    ) -> Result<Dropped, StoreError> {
        let connection = self.connection_number(&key.connection)?;
        self.check_idle(&Scope::Model(key.clone()))?;
        let stored = keys::model(connection, &key.model);
        let number = self.view().row(&stored, keys::decode_number)?;
        let number = number.ok_or_else(|| not_found("model", key))?;
        let mut dropped = Dropped::default();
        self.count_feed(&mut dropped, number)?;
        writes.remove_short(stored);
        writes.remove_short(keys::of_feed(Tag::Feed, number));
        writes.put_new(keys::dropped_feeds().number(number), &[]);
        purges.push(Purge::Feed(number));
        Ok(dropped)
    }

    fn drop_connections(
        &mut self,
        writes: &mut Writes,
        purges: &mut Vec<Purge>,
        rows: &[ConnectionRow],
    ) -> Result<Dropped, StoreError> {
        let mut dropped = Dropped {
            connections: rows.len() as u64,
            ..Dropped::default()
        };
        for row in rows {
            let ConnectionKey {
                integration,
                connection,
            } = &row.connection.key;
            for item in self.view().prefix(&keys::models(row.number)) {
                let (key, value) = item?;
                let number =
                    keys::decode_number(&value).map_err(|corrupt| damaged(&key, corrupt))?;
                self.count_feed(&mut dropped, number)?;
            }
            writes.remove(&self.view(), keys::connection(integration, connection))?;
            writes.put_new(
                keys::dropped_connections().number(row.number),
                integration.as_str().as_bytes(),
            );
            purges.push(Purge::Connection(row.number, integration.clone()));
        }
        if self.drop_schedules(writes, rows)? {
            purges.push(Purge::Fires);
        }
        Ok(dropped)
    }

    /// From here on the integration goes, now or when the store is opened again.
    fn begin_drop(&mut self, writes: &mut Writes, name: &Name) -> Result<(), StoreError> {
        self.check_stays(name)?;
        if self.view().get(&keys::integration(name))?.is_none() {
            return Err(not_found("integration", name));
        }
        self.check_idle(&Scope::Integration(name.clone()))?;
        writes.put_new(keys::dropped_integrations().name(name.as_str()), &[]);
        Ok(())
    }

    /// Nothing is added to an integration that is being dropped, or not imported as a whole yet.
    pub(super) fn check_stays(&self, name: &Name) -> Result<(), StoreError> {
        let by = match self.going.contains_key(name) {
            true => "its removal",
            false if self.unfinished.contains(name) => "its import",
            false => return Ok(()),
        };
        Err(StoreError::Busy {
            what: Scope::Integration(name.clone()).to_string(),
            by: by.to_owned(),
        })
    }

    /// Take some more connections of an integration away, and at last itself; says whether it is gone. A run that has
    /// begun meanwhile ends as cancelled.
    pub(super) fn drop_step(&mut self, name: &Name) -> Result<bool, StoreError> {
        let most = CONNECTIONS_STEP.min(self.tuning.step_keys);
        let mut rows: Vec<ConnectionRow> = Vec::with_capacity(most);
        let mut is_last = true;
        for item in self.view().prefix(&keys::connections(name)) {
            let (key, value) = item?;
            if rows.len() == most {
                is_last = false;
                break;
            }
            rows.push(rows::decode(&value).map_err(|corrupt| damaged(&key, corrupt))?);
        }
        let mut writes = Writes::default();
        if is_last {
            writes.remove(&self.view(), keys::integration(name))?;
            writes.remove_short(keys::dropped_integrations().name(name.as_str()));
            writes.remove_short(keys::unfinished_imports().name(name.as_str()));
        }
        let now = self.latest(&rows);
        let step = self.remove_rows(writes, &rows, now)?;
        let sum = self.going.entry(name.clone()).or_default();
        sum.connections += step.connections;
        sum.models += step.models;
        sum.records += step.records;
        if is_last {
            self.unfinished.remove(name);
            let sum = self.going.remove(name).unwrap_or_default();
            self.gone.insert(name.clone(), sum);
        }
        Ok(is_last)
    }

    /// A connection can't be read, so the integration stays, with those that have not gone.
    pub(super) fn keep_integration(&mut self, name: &Name) -> Result<(), StoreError> {
        self.going.remove(name);
        let mut writes = Writes::default();
        writes.remove_short(keys::dropped_integrations().name(name.as_str()));
        self.apply(writes)
    }

    /// The time of the last thing that happened to runs of these connections: the store has no clock.
    fn latest(&self, rows: &[ConnectionRow]) -> Timestamp {
        let of = |number| rows.iter().any(|row| row.number == number);
        let running = self.running.values().filter(|own| of(own.connection));
        let started = running.map(|own| own.run.started_at).max();
        started.unwrap_or_default()
    }

    /// What an integration had that is gone now.
    pub(crate) fn take_gone(&mut self, name: &Name) -> Option<Dropped> {
        self.gone.remove(name)
    }

    fn count_feed(&self, dropped: &mut Dropped, number: u64) -> Result<(), StoreError> {
        let key = keys::of_feed(Tag::Feed, number);
        let header = self.view().row(&key, Header::decode)?.unwrap_or_default();
        dropped.models += u64::from(header.records() > 0);
        dropped.records += header.records();
        Ok(())
    }

    /// The components of an integration's deployments, if there is one.
    pub(crate) fn components_of(&self, name: &Name) -> Result<Vec<Digest>, StoreError> {
        let row: Option<Integration> = self.view().row(&keys::integration(name), rows::decode)?;
        Ok(row.iter().flat_map(digests).collect())
    }

    /// Delete the files of these components but for those that a deployment uses. Happens in this
    /// thread, so that no deployment comes between.
    pub(crate) fn remove_unused(
        &self,
        components: &Components,
        mut candidates: Vec<Digest>,
    ) -> Result<(), StoreError> {
        for item in self.view().prefix(&Key::new(Tag::Integration)) {
            let (key, value) = item?;
            let row: Integration =
                rows::decode(&value).map_err(|corrupt| damaged(&key, corrupt))?;
            let used: Vec<Digest> = digests(&row).collect();
            candidates.retain(|digest| !used.contains(digest));
        }
        candidates
            .into_iter()
            .try_for_each(|digest| components.remove(digest))
    }
}

/// The components of all deployments that are kept.
fn digests(integration: &Integration) -> impl Iterator<Item = Digest> {
    let all = std::iter::once(&integration.current).chain(&integration.earlier);
    all.map(|deployment| deployment.digest)
}

#[cfg(test)]
mod tests;
