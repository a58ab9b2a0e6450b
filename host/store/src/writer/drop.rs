//! The command that drops a model, a connection or an integration.
//!
//! One batch takes the names away, so that readers find nothing any more, and leaves a `d` row for
//! what remains to be purged. Purging follows, in steps.

use tidegate_engine::integration::{Digest, Integration};
use tidegate_engine::memory::rules;
use tidegate_engine::run::RunId;
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
                self.drop_connection(&mut writes, &mut purges, &row)?
            }
            Scope::Integration(name) => self.drop_integration(&mut writes, &mut purges, name)?,
        };
        self.apply(writes)?;
        self.numbers.get_mut().forget();
        for purge in &purges {
            if let Purge::Feed(number) = purge {
                self.forget_feed(*number);
            }
        }
        self.purges.extend(purges);
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
        let mut writes = Writes::default();
        let mut purges = Vec::new();
        let mut events = Vec::new();
        let running = self.running.iter();
        let own: Vec<RunId> = running
            .filter(|(_, running)| running.connection == row.number)
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
        let mut dropped = self.drop_connection(&mut writes, &mut purges, &row)?;
        dropped.runs = runs;
        self.forget_endings(&mut writes, &own)?;
        self.apply_telling(writes, events, None)?;
        self.numbers.get_mut().forget();
        for id in own {
            self.running.remove(&id);
        }
        self.purges.extend(purges);
        Ok(dropped)
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

    fn drop_connection(
        &mut self,
        writes: &mut Writes,
        purges: &mut Vec<Purge>,
        row: &ConnectionRow,
    ) -> Result<Dropped, StoreError> {
        let ConnectionKey {
            integration,
            connection,
        } = &row.connection.key;
        let mut dropped = Dropped {
            connections: 1,
            ..Dropped::default()
        };
        for item in self.view().prefix(&keys::models(row.number)) {
            let (key, value) = item?;
            let number = keys::decode_number(&value).map_err(|corrupt| damaged(&key, corrupt))?;
            self.count_feed(&mut dropped, number)?;
        }
        writes.remove(&self.view(), keys::connection(integration, connection))?;
        if self.drop_schedules(writes, row)? && !purges.contains(&Purge::Fires) {
            purges.push(Purge::Fires);
        }
        writes.put_new(
            keys::dropped_connections().number(row.number),
            integration.as_str().as_bytes(),
        );
        purges.push(Purge::Connection(row.number, integration.clone()));
        Ok(dropped)
    }

    fn drop_integration(
        &mut self,
        writes: &mut Writes,
        purges: &mut Vec<Purge>,
        name: &Name,
    ) -> Result<Dropped, StoreError> {
        let key = keys::integration(name);
        if self.view().get(&key)?.is_none() {
            return Err(not_found("integration", name));
        }
        self.check_idle(&Scope::Integration(name.clone()))?;
        let mut dropped = Dropped::default();
        let mut own = Vec::new();
        for item in self.view().prefix(&keys::connections(name)) {
            let (key, value) = item?;
            own.push(rows::decode(&value).map_err(|corrupt| damaged(&key, corrupt))?);
        }
        for row in own {
            let own = self.drop_connection(writes, purges, &row)?;
            dropped.connections += own.connections;
            dropped.models += own.models;
            dropped.records += own.records;
        }
        writes.remove(&self.view(), key)?;
        Ok(dropped)
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
