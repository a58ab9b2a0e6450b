//! The commands of imports: staging parts, and making all of them visible in one batch.
//!
//! Records are staged where they stay, in a feed of their own that no model has yet. Its `d` row says
//! that it is to be purged; the end of the import takes that row away and gives the feed to its
//! model. So an import that nobody finishes leaves nothing behind. Connections of new integrations go in step by step if
//! they are many: a `d` row of their integration hides them until the last step.

use std::collections::BTreeMap;

use tidegate_engine::integration::{Connection, Integration};
use tidegate_engine::record::check_is_json;
use tidegate_engine::transfer::{ImportId, ImportPart, Imported, ImportedRecord, components};
use tidegate_engine::{ConnectionKey, ModelKey, Name, StoreError, SyncKey, Timestamp};

use crate::components::Components;
use crate::disk::Writes;
use crate::layout::header::Header;
use crate::layout::keys::{self, Tag};
use crate::layout::rows::SyncRow;

use super::changes::{Op, RecordEffect, plan};
use super::purge::Purge;
use super::{Writer, encode, not_found};

/// An import that is staged or done.
#[derive(Debug)]
pub(super) enum Import {
    Staged(Staged),
    /// It goes in step by step, and what is in is seen with the last one.
    Finishing(Finishing),
    /// Kept, so that a repeated finish gets the same answer.
    Finished(Imported),
}

/// What an import has brought so far.
#[derive(Debug, Default)]
pub(super) struct Staged {
    /// Parts so far: the number of the next one.
    parts: u64,
    integrations: BTreeMap<Name, Integration>,
    connections: BTreeMap<ConnectionKey, Connection>,
    models: BTreeMap<ModelKey, StagedModel>,
    checkpoints: BTreeMap<SyncKey, String>,
}

#[derive(Debug, Clone, Copy)]
struct StagedModel {
    feed: u64,
    records: u64,
}

/// An import that goes in step by step.
#[derive(Debug)]
pub(super) struct Finishing {
    /// What the last step brings: integrations, and what is of others than those.
    last: Staged,
    /// Connections of these integrations, with what is of them.
    own: Staged,
    brings: Imported,
}

/// Rows that one batch brings, unless a single connection has more.
const STEP_ROWS: usize = 500;

impl Staged {
    fn brings(&self) -> Imported {
        Imported {
            integrations: self.integrations.len() as u64,
            connections: self.connections.len() as u64,
            models: self.models.len() as u64,
            records: self.models.values().map(|own| own.records).sum(),
            checkpoints: self.checkpoints.len() as u64,
        }
    }

    fn rows(&self) -> usize {
        self.connections.len() + self.models.len() + self.checkpoints.len()
    }

    /// What is of new integrations, apart from them and from the rest.
    fn split(mut self) -> (Self, Self) {
        let new = &self.integrations;
        let is_new = |key: &ConnectionKey| new.contains_key(&key.integration);
        let part = Self {
            connections: split(&mut self.connections, is_new),
            models: split(&mut self.models, |key| is_new(&key.connection)),
            checkpoints: split(&mut self.checkpoints, |key| is_new(&key.connection)),
            ..Self::default()
        };
        (part, self)
    }

    /// Take the first connections out, with what is of them: about so many rows.
    fn take(&mut self, rows: usize) -> Self {
        let mut part = Self::default();
        while part.rows() < rows {
            let Some((key, connection)) = self.connections.pop_first() else {
                break;
            };
            while let Some(model) = self.models.first_entry()
                && model.key().connection <= key
            {
                let (model, own) = model.remove_entry();
                part.models.insert(model, own);
            }
            while let Some(sync) = self.checkpoints.first_entry()
                && sync.key().connection <= key
            {
                let (sync, checkpoint) = sync.remove_entry();
                part.checkpoints.insert(sync, checkpoint);
            }
            part.connections.insert(key, connection);
        }
        part
    }
}

/// Take out the rows that are wanted. All of them, which is usual, is one move however many they are.
fn split<K: Ord, V>(rows: &mut BTreeMap<K, V>, is_wanted: impl Fn(&K) -> bool) -> BTreeMap<K, V> {
    let all = std::mem::take(rows);
    if all.keys().all(&is_wanted) {
        return all;
    }
    let (wanted, rest) = all.into_iter().partition(|(key, _)| is_wanted(key));
    *rows = rest;
    wanted
}

fn exists(what: &'static str, name: &impl ToString) -> StoreError {
    StoreError::Exists {
        what,
        name: name.to_string(),
    }
}

impl Writer {
    pub(crate) fn stage_import(
        &mut self,
        import: ImportId,
        number: u64,
        part: ImportPart,
        files: &Components,
    ) -> Result<(), StoreError> {
        let mut staged = match self.imports.remove(&import) {
            None => Staged::default(),
            Some(Import::Staged(staged)) => staged,
            Some(other) => {
                self.imports.insert(import, other);
                return Ok(());
            }
        };
        let added = match number.cmp(&staged.parts) {
            std::cmp::Ordering::Less => Ok(()),
            std::cmp::Ordering::Greater => Err(not_found("part of the import", &staged.parts)),
            std::cmp::Ordering::Equal => self.add_part(&mut staged, part, files),
        };
        if added.is_ok() {
            staged.parts = staged.parts.max(number + 1);
        }
        self.imports.insert(import, Import::Staged(staged));
        added
    }

    /// Add a part, or change nothing.
    fn add_part(
        &mut self,
        staged: &mut Staged,
        part: ImportPart,
        files: &Components,
    ) -> Result<(), StoreError> {
        match part {
            ImportPart::Integration(integration) => {
                let name = integration.name.clone();
                self.check_new_integration(&integration, files)?;
                if staged.integrations.contains_key(&name) {
                    return Err(exists("integration", &name));
                }
                staged.integrations.insert(name, *integration);
            }
            ImportPart::Connection(connection) => {
                let key = connection.key.clone();
                self.check_new_connection(staged, &key)?;
                if staged.connections.contains_key(&key) {
                    return Err(exists("connection", &key));
                }
                staged.connections.insert(key, *connection);
            }
            ImportPart::Records { model, records } => {
                self.stage_records(staged, model, &records)?;
            }
            ImportPart::Checkpoint { key, checkpoint } => {
                check_is_json(&checkpoint)?;
                if !staged.connections.contains_key(&key.connection) {
                    return Err(not_found("connection", &key.connection));
                }
                if staged.checkpoints.contains_key(&key) {
                    return Err(exists("checkpoint", &key));
                }
                staged.checkpoints.insert(key, checkpoint);
            }
        }
        Ok(())
    }

    fn stage_records(
        &mut self,
        staged: &mut Staged,
        model: ModelKey,
        records: &[ImportedRecord],
    ) -> Result<(), StoreError> {
        self.check_new_model(staged, &model)?;
        for (index, record) in records.iter().enumerate() {
            record.check(&model.model, index)?;
        }
        let mut writes = Writes::default();
        let old = staged.models.get(&model).copied();
        let mut own = match old {
            Some(own) => own,
            None => {
                self.counters.feed += 1;
                let feed = self.counters.feed;
                self.put_counters(&mut writes)?;
                writes.put_new(keys::dropped_feeds().number(feed), &[]);
                StagedModel { feed, records: 0 }
            }
        };
        self.load_feed(own.feed)?;
        let ops = records.iter().map(|record| Op {
            id: &record.id,
            page: 0,
            what: RecordEffect::Import(record),
        });
        let plan = plan(&self.view(), own.feed, ops.collect(), Timestamp(0), &mut [])?;
        if let Some(id) = plan.replaced() {
            return Err(exists("record", &format!("{id} of {model}")));
        }
        self.write_plans(&[(own.feed, plan)], writes)?;
        own.records += records.len() as u64;
        staged.models.insert(model, own);
        Ok(())
    }

    fn check_new_integration(
        &self,
        integration: &Integration,
        files: &Components,
    ) -> Result<(), StoreError> {
        let name = &integration.name;
        self.check_stays(name)?;
        if self.view().get(&keys::integration(name))?.is_some() {
            return Err(exists("integration", name));
        }
        match components(integration).find(|digest| !files.has(*digest)) {
            Some(digest) => Err(not_found("component", &digest)),
            None => Ok(()),
        }
    }

    fn check_new_connection(&self, staged: &Staged, key: &ConnectionKey) -> Result<(), StoreError> {
        let integration = &key.integration;
        if staged.integrations.contains_key(integration) {
            return Ok(());
        }
        self.check_stays(integration)?;
        let known = self.view().get(&keys::integration(integration))?.is_some();
        if !known {
            return Err(not_found("integration", integration));
        }
        let stored = keys::connection(integration, &key.connection);
        match self.view().get(&stored)? {
            Some(_) => Err(exists("connection", key)),
            None => Ok(()),
        }
    }

    /// The feed that the model has already, if any: one without records.
    fn check_new_model(
        &self,
        staged: &Staged,
        model: &ModelKey,
    ) -> Result<Option<u64>, StoreError> {
        if staged.connections.contains_key(&model.connection) {
            return Ok(None);
        }
        let connection = self.connection_number(&model.connection)?;
        let key = keys::model(connection, &model.model);
        let Some(feed) = self.view().row(&key, keys::decode_number)? else {
            return Ok(None);
        };
        let key = keys::of_feed(Tag::Feed, feed);
        let header = self.view().row(&key, Header::decode)?.unwrap_or_default();
        match header.records() {
            0 => Ok(Some(feed)),
            _ => Err(exists("model", model)),
        }
    }

    /// Go on with the end of an import; what it has brought once all of it is seen. Repeat it until then.
    pub(crate) fn finish_import(
        &mut self,
        import: ImportId,
        files: &Components,
    ) -> Result<Option<Imported>, StoreError> {
        match self.imports.remove(&import) {
            None => Err(not_found("import", &format!("{:x}", import.0))),
            Some(Import::Staged(staged)) => match self.check_finish(&staged, files) {
                Ok(()) => self.decide_import(import, staged),
                Err(error) => {
                    self.imports.insert(import, Import::Staged(staged));
                    Err(error)
                }
            },
            Some(Import::Finishing(mut finishing)) => {
                let part = finishing.own.take(STEP_ROWS.min(self.tuning.step_keys));
                let imported = match part.connections.is_empty() {
                    true => Some(finishing.brings),
                    false => None,
                };
                let last = std::mem::take(&mut finishing.last);
                match imported {
                    Some(brings) => {
                        self.finish(&last)?;
                        self.imports.insert(import, Import::Finished(brings));
                    }
                    None => {
                        self.bring(&part)?;
                        finishing.last = last;
                        self.imports.insert(import, Import::Finishing(finishing));
                    }
                }
                Ok(imported)
            }
            Some(Import::Finished(imported)) => {
                self.imports.insert(import, Import::Finished(imported));
                Ok(Some(imported))
            }
        }
    }

    /// Whether it can be finished: others may have come since it was staged.
    fn check_finish(&self, staged: &Staged, files: &Components) -> Result<(), StoreError> {
        for integration in staged.integrations.values() {
            self.check_new_integration(integration, files)?;
        }
        for key in staged.connections.keys() {
            self.check_new_connection(staged, key)?;
        }
        for model in staged.models.keys() {
            if staged.connections.contains_key(&model.connection) {
                continue;
            }
            self.check_new_model(staged, model)?;
            // A run may hold on to the feed that the model had.
            let mut running = self.running.values().map(|running| &running.run);
            if let Some(run) = running.find(|run| *run.target.connection() == model.connection) {
                return Err(StoreError::Busy {
                    what: format!("connection {}", model.connection),
                    by: run.id.to_string(),
                });
            }
        }
        for sync in staged.checkpoints.keys() {
            if !staged.connections.contains_key(&sync.connection) {
                return Err(not_found("connection", &sync.connection));
            }
        }
        Ok(())
    }

    /// Finish what fits into one batch. Of more, write down first whose connections are nobody's yet: what a crash
    /// leaves of them is purged.
    fn decide_import(
        &mut self,
        import: ImportId,
        staged: Staged,
    ) -> Result<Option<Imported>, StoreError> {
        let brings = staged.brings();
        if staged.rows() <= STEP_ROWS.min(self.tuning.step_keys) || staged.integrations.is_empty() {
            self.finish(&staged)?;
            self.imports.insert(import, Import::Finished(brings));
            return Ok(Some(brings));
        }
        let mut writes = Writes::default();
        for name in staged.integrations.keys() {
            writes.put_new(keys::unfinished_imports().name(name.as_str()), &[]);
        }
        self.apply(writes)?;
        self.unfinished.extend(staged.integrations.keys().cloned());
        let (own, last) = staged.split();
        let finishing = Finishing { last, own, brings };
        self.imports.insert(import, Import::Finishing(finishing));
        Ok(None)
    }

    /// Bring the last of an import, and with it all of it.
    fn finish(&mut self, staged: &Staged) -> Result<(), StoreError> {
        let mut replaced = Vec::new();
        for model in staged.models.keys() {
            replaced.extend(self.check_new_model(staged, model)?);
        }
        let mut writes = Writes::default();
        for integration in staged.integrations.values() {
            let key = keys::integration(&integration.name);
            let row = encode(key.as_ref(), integration)?;
            writes.put_new(key, &row);
            if self.unfinished.contains(&integration.name) {
                let name = integration.name.as_str();
                writes.remove_short(keys::unfinished_imports().name(name));
            }
        }
        self.put_rows(&mut writes, staged)?;
        for feed in &replaced {
            writes.put_new(keys::dropped_feeds().number(*feed), &[]);
        }
        self.apply(writes)?;
        for name in staged.integrations.keys() {
            self.unfinished.remove(name);
        }
        for feed in replaced {
            self.purge_later(feed);
        }
        Ok(())
    }

    /// Bring some connections of an import that nobody sees yet.
    fn bring(&mut self, part: &Staged) -> Result<(), StoreError> {
        let mut writes = Writes::default();
        self.put_rows(&mut writes, part)?;
        self.apply(writes)
    }

    /// Connections with what is of them, and models of others.
    fn put_rows(&mut self, writes: &mut Writes, staged: &Staged) -> Result<(), StoreError> {
        let mut numbers = BTreeMap::new();
        for (key, connection) in &staged.connections {
            self.counters.connection += 1;
            let number = self.counters.connection;
            self.put_connection(writes, number, connection.clone())?;
            numbers.insert(key, number);
        }
        for (model, own) in &staged.models {
            let connection = match numbers.get(&model.connection) {
                Some(number) => *number,
                None => self.connection_number(&model.connection)?,
            };
            let key = keys::model(connection, &model.model);
            writes.put_new(key, &keys::encode_number(own.feed));
            writes.remove_short(keys::dropped_feeds().number(own.feed));
        }
        for (sync, checkpoint) in &staged.checkpoints {
            let Some(connection) = numbers.get(&sync.connection) else {
                return Err(not_found("connection", &sync.connection));
            };
            self.counters.sync += 1;
            let row = SyncRow {
                number: self.counters.sync,
            };
            self.put_sync(writes, *connection, sync, row)?;
            writes.put_new(keys::checkpoint(row.number), checkpoint.as_bytes());
        }
        self.put_counters(writes)
    }

    pub(crate) fn abort_import(&mut self, import: ImportId) {
        match self.imports.remove(&import) {
            Some(Import::Staged(staged)) => self.give_up(staged),
            Some(Import::Finishing(Finishing { last, own, .. })) => {
                let names = last.integrations.keys().cloned();
                self.purges.extend(names.map(Purge::Integration));
                self.give_up(last);
                self.give_up(own);
            }
            Some(finished) => {
                self.imports.insert(import, finished);
            }
            None => {}
        }
    }

    fn give_up(&mut self, staged: Staged) {
        for own in staged.models.into_values() {
            self.purge_later(own.feed);
        }
    }
}
