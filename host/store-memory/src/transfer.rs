//! Staged imports of the memory store.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_engine::integration::{Connection, Integration};
use tidegate_engine::record;
use tidegate_engine::store::StoreError;
use tidegate_engine::transfer::{ImportId, ImportPart, Imported, ImportedRecord, components};
use tidegate_engine::{ConnectionKey, ModelKey, Name, SyncKey};

use super::records::Feed;
use super::{State, not_found};

/// An import that is staged or done.
#[derive(Debug)]
pub(super) enum Import {
    Staged(Staged),
    /// Kept, so that a repeated finish gets the same answer.
    Finished(Imported),
}

/// What an import has brought so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Staged {
    parts: u64,
    integrations: BTreeMap<Name, Integration>,
    connections: BTreeMap<ConnectionKey, Connection>,
    models: BTreeMap<ModelKey, Vec<ImportedRecord>>,
    checkpoints: BTreeMap<SyncKey, String>,
}

fn exists(what: &'static str, name: &impl ToString) -> StoreError {
    StoreError::Exists {
        what,
        name: name.to_string(),
    }
}

impl State {
    pub(super) fn stage_import(
        &mut self,
        import: ImportId,
        number: u64,
        part: ImportPart,
    ) -> Result<(), StoreError> {
        let mut staged = match self.imports.get(&import) {
            None => Staged::default(),
            Some(Import::Staged(staged)) => staged.clone(),
            Some(Import::Finished(_)) => return Ok(()),
        };
        if number < staged.parts {
            return Ok(());
        }
        if number > staged.parts {
            return Err(not_found("part of the import", &staged.parts));
        }
        self.add_part(&mut staged, part)?;
        staged.parts += 1;
        self.imports.insert(import, Import::Staged(staged));
        Ok(())
    }

    fn add_part(&self, staged: &mut Staged, part: ImportPart) -> Result<(), StoreError> {
        match part {
            ImportPart::Integration(integration) => {
                let name = integration.name.clone();
                self.check_new_integration(&integration)?;
                if staged
                    .integrations
                    .insert(name.clone(), *integration)
                    .is_some()
                {
                    return Err(exists("integration", &name));
                }
            }
            ImportPart::Connection(connection) => {
                let key = connection.key.clone();
                self.check_new_connection(staged, &key)?;
                if staged
                    .connections
                    .insert(key.clone(), *connection)
                    .is_some()
                {
                    return Err(exists("connection", &key));
                }
            }
            ImportPart::Records { model, records } => {
                self.check_new_model(staged, &model)?;
                let own = staged.models.entry(model.clone()).or_default();
                let mut ids: BTreeSet<String> = own.iter().map(|own| own.id.clone()).collect();
                for (index, record) in records.into_iter().enumerate() {
                    record.check(&model.model, index)?;
                    if !ids.insert(record.id.clone()) {
                        return Err(exists("record", &format!("{} of {model}", record.id)));
                    }
                    own.push(record);
                }
            }
            ImportPart::Checkpoint { key, checkpoint } => {
                record::check_is_json(&checkpoint)?;
                if !staged.connections.contains_key(&key.connection) {
                    return Err(not_found("connection", &key.connection));
                }
                if staged.checkpoints.insert(key.clone(), checkpoint).is_some() {
                    return Err(exists("checkpoint", &key));
                }
            }
        }
        Ok(())
    }

    fn check_new_integration(&self, integration: &Integration) -> Result<(), StoreError> {
        if self.integrations.contains_key(&integration.name) {
            return Err(exists("integration", &integration.name));
        }
        match components(integration).find(|digest| !self.components.contains_key(digest)) {
            Some(digest) => Err(not_found("component", &digest)),
            None => Ok(()),
        }
    }

    fn check_new_connection(&self, staged: &Staged, key: &ConnectionKey) -> Result<(), StoreError> {
        let integration = &key.integration;
        let known = self.integrations.contains_key(integration)
            || staged.integrations.contains_key(integration);
        if !known {
            return Err(not_found("integration", integration));
        }
        match self.connections.contains_key(key) {
            true => Err(exists("connection", key)),
            false => Ok(()),
        }
    }

    fn check_new_model(&self, staged: &Staged, model: &ModelKey) -> Result<(), StoreError> {
        if staged.connections.contains_key(&model.connection) {
            return Ok(());
        }
        self.connection(&model.connection)?;
        match self.feeds.get(model) {
            Some(feed) if !feed.records.is_empty() => Err(exists("model", model)),
            _ => Ok(()),
        }
    }

    pub(super) fn finish_import(&mut self, import: ImportId) -> Result<Imported, StoreError> {
        let staged = match self.imports.get(&import) {
            None => return Err(not_found("import", &format!("{:x}", import.0))),
            Some(Import::Finished(imported)) => return Ok(*imported),
            Some(Import::Staged(staged)) => staged.clone(),
        };
        // Others may have come since it was staged.
        for integration in staged.integrations.values() {
            self.check_new_integration(integration)?;
        }
        for key in staged.connections.keys() {
            self.check_new_connection(&staged, key)?;
        }
        for model in staged.models.keys() {
            self.check_new_model(&staged, model)?;
            let runs = self.runs.values();
            let mut own = runs.filter(|run| *run.target.connection() == model.connection);
            if let Some(run) = own.find(|run| run.end.is_none()) {
                return Err(StoreError::Busy {
                    what: format!("connection {}", model.connection),
                    by: run.id.to_string(),
                });
            }
        }
        let imported = Imported {
            integrations: staged.integrations.len() as u64,
            connections: staged.connections.len() as u64,
            models: staged.models.len() as u64,
            records: staged
                .models
                .values()
                .map(|records| records.len() as u64)
                .sum(),
            checkpoints: staged.checkpoints.len() as u64,
        };
        self.integrations.extend(staged.integrations);
        self.connections.extend(staged.connections);
        self.checkpoints.extend(staged.checkpoints);
        for (model, records) in staged.models {
            self.last_feed += 1;
            let feed = Feed::imported(self.last_feed, &records);
            self.feeds.insert(model, feed);
        }
        self.imports.insert(import, Import::Finished(imported));
        Ok(imported)
    }

    pub(super) fn abort_import(&mut self, import: ImportId) {
        if let Some(Import::Staged(_)) = self.imports.get(&import) {
            self.imports.remove(&import);
        }
    }
}
