//! The commands of imports: staging parts, and making all of them visible in one batch.
//!
//! Records are staged where they stay, in a feed of their own that no model has yet. Its `d` row says
//! that it is to be purged; the end of the import takes that row away and gives the feed to its
//! model. So an import that nobody finishes leaves nothing behind.

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

use super::changes::{Op, What, plan};
use super::{Writer, encode, not_found};

/// An import that is staged or done.
#[derive(Debug)]
pub(super) enum Import {
    Staged(Staged),
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
            Some(finished @ Import::Finished(_)) => {
                self.imports.insert(import, finished);
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
            what: What::Import(record),
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
        let known = staged.integrations.contains_key(integration)
            || self.view().get(&keys::integration(integration))?.is_some();
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

    pub(crate) fn finish_import(
        &mut self,
        import: ImportId,
        files: &Components,
    ) -> Result<Imported, StoreError> {
        let staged = match self.imports.remove(&import) {
            None => return Err(not_found("import", &format!("{:x}", import.0))),
            Some(Import::Staged(staged)) => staged,
            Some(Import::Finished(imported)) => {
                self.imports.insert(import, Import::Finished(imported));
                return Ok(imported);
            }
        };
        let finished = self.finish(&staged, files);
        let import_is = match finished {
            Ok(imported) => Import::Finished(imported),
            Err(_) => Import::Staged(staged),
        };
        self.imports.insert(import, import_is);
        finished
    }

    fn finish(&mut self, staged: &Staged, files: &Components) -> Result<Imported, StoreError> {
        // Others may have come since it was staged.
        for integration in staged.integrations.values() {
            self.check_new_integration(integration, files)?;
        }
        for key in staged.connections.keys() {
            self.check_new_connection(staged, key)?;
        }
        let mut replaced = Vec::new();
        for model in staged.models.keys() {
            replaced.extend(self.check_new_model(staged, model)?);
            // A run may hold on to the feed that the model had.
            let mut running = self.running.values().map(|running| &running.run);
            if let Some(run) = running.find(|run| *run.target.connection() == model.connection) {
                return Err(StoreError::Busy {
                    what: format!("connection {}", model.connection),
                    by: run.id.to_string(),
                });
            }
        }

        let mut writes = Writes::default();
        for integration in staged.integrations.values() {
            let key = keys::integration(&integration.name);
            let row = encode(key.as_ref(), integration)?;
            writes.put_new(key, &row);
        }
        let mut numbers = BTreeMap::new();
        for (key, connection) in &staged.connections {
            self.counters.connection += 1;
            let number = self.counters.connection;
            self.put_connection(&mut writes, number, connection.clone())?;
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
        for feed in &replaced {
            writes.put_new(keys::dropped_feeds().number(*feed), &[]);
        }
        for (sync, checkpoint) in &staged.checkpoints {
            let Some(connection) = numbers.get(&sync.connection) else {
                return Err(not_found("connection", &sync.connection));
            };
            self.counters.sync += 1;
            let row = SyncRow {
                number: self.counters.sync,
            };
            self.put_sync(&mut writes, *connection, sync, row)?;
            writes.put_new(keys::checkpoint(row.number), checkpoint.as_bytes());
        }
        self.put_counters(&mut writes)?;
        self.apply(writes)?;
        for feed in replaced {
            self.purge_later(feed);
        }
        Ok(Imported {
            integrations: staged.integrations.len() as u64,
            connections: staged.connections.len() as u64,
            models: staged.models.len() as u64,
            records: staged.models.values().map(|own| own.records).sum(),
            checkpoints: staged.checkpoints.len() as u64,
        })
    }

    pub(crate) fn abort_import(&mut self, import: ImportId) {
        match self.imports.remove(&import) {
            Some(Import::Staged(staged)) => {
                for own in staged.models.into_values() {
                    self.purge_later(own.feed);
                }
            }
            Some(finished) => {
                self.imports.insert(import, finished);
            }
            None => {}
        }
    }
}
