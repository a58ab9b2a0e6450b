//! Retention, dropping and sizes of the memory store.

use std::collections::BTreeSet;

use tidegate_engine::canonical::BodyHash;
use tidegate_engine::integration::{Digest, Integration};
use tidegate_engine::store::StoreError;
use tidegate_engine::upkeep::{Dropped, ModelSize, Pruned, Scope, StoreStats};
use tidegate_engine::{ConnectionKey, ModelKey, SyncKey, Timestamp};

use super::{State, not_found};

impl State {
    pub(super) fn list_checkpoints(
        &self,
        key: &ConnectionKey,
    ) -> Result<Vec<(SyncKey, String)>, StoreError> {
        self.connection(key)?;
        let own = self.checkpoints.iter();
        let mut own: Vec<(SyncKey, String)> = own
            .filter(|(sync, _)| sync.connection == *key)
            .map(|(sync, checkpoint)| (sync.clone(), checkpoint.clone()))
            .collect();
        own.sort();
        Ok(own)
    }

    pub(super) fn hashes(
        &self,
        model: &ModelKey,
        ids: &[String],
    ) -> Result<Vec<Option<(BodyHash, u64)>>, StoreError> {
        self.connection(&model.connection)?;
        let feed = self.feeds.get(model);
        let find = |id| {
            let stored = feed?.records.get(id)?;
            Some((stored.hash, stored.body_len))
        };
        Ok(ids.iter().map(find).collect())
    }

    pub(super) fn prune(
        &mut self,
        model: &ModelKey,
        before: Timestamp,
    ) -> Result<Pruned, StoreError> {
        self.connection(&model.connection)?;
        let feed = self.feeds.get_mut(model);
        Ok(feed.map_or(Pruned::default(), |feed| feed.prune(before)))
    }

    pub(super) fn drop_scope(&mut self, scope: &Scope) -> Result<Dropped, StoreError> {
        self.check_idle(scope)?;
        let mut dropped = Dropped::default();
        match scope {
            Scope::Model(key) => {
                self.connection(&key.connection)?;
                self.drop_model(key, &mut dropped)?;
            }
            Scope::Connection(key) => {
                self.connection(key)?;
                self.drop_connection(key, &mut dropped)?;
            }
            Scope::Integration(name) => {
                let gone = self.integrations.remove(name);
                let gone = gone.ok_or_else(|| not_found("integration", name))?;
                let own = self.connections.keys();
                let own: Vec<ConnectionKey> = own
                    .filter(|key| key.integration == *name)
                    .cloned()
                    .collect();
                for key in own {
                    self.drop_connection(&key, &mut dropped)?;
                }
                let used: BTreeSet<Digest> = self.integrations.values().flat_map(digests).collect();
                for digest in digests(&gone).filter(|digest| !used.contains(digest)) {
                    self.components.remove(&digest);
                }
            }
        }
        Ok(dropped)
    }

    /// Runs that have not ended keep their connection, and with it its models and integration.
    fn check_idle(&self, scope: &Scope) -> Result<(), StoreError> {
        let busy = self.runs.values().find(|run| {
            let key = run.target.connection();
            run.end.is_none() && scope.is_touched_by(key)
        });
        match busy {
            Some(run) => Err(StoreError::Busy {
                what: scope.to_string(),
                by: run.id.to_string(),
            }),
            None => Ok(()),
        }
    }

    fn drop_model(&mut self, key: &ModelKey, dropped: &mut Dropped) -> Result<(), StoreError> {
        let feed = self.feeds.remove(key);
        let stats = feed.ok_or_else(|| not_found("model", key))?.stats();
        let records = stats.live + stats.deleted;
        dropped.models += u64::from(records > 0);
        dropped.records += records;
        Ok(())
    }

    pub(super) fn drop_connection(
        &mut self,
        key: &ConnectionKey,
        dropped: &mut Dropped,
    ) -> Result<(), StoreError> {
        self.connections.remove(key);
        dropped.connections += 1;
        let own = self.feeds.keys().filter(|model| model.connection == *key);
        for model in own.cloned().collect::<Vec<_>>() {
            self.drop_model(&model, dropped)?;
        }
        self.checkpoints.retain(|sync, _| sync.connection != *key);
        self.keys.forget_connection(key);
        let (schedules, _) = self.board.remove_connection(key);
        self.fires
            .retain(|(schedule, _), _| !schedules.contains(schedule));
        self.jobs.retain(|_, job| job.target.connection() != key);
        let runs = self.runs.len();
        self.runs.retain(|_, run| run.target.connection() != key);
        dropped.runs += (runs - self.runs.len()) as u64;
        let runs = &self.runs;
        self.logs.retain(|id, _| runs.contains_key(id));
        Ok(())
    }

    /// There are no files and no segments, and no superseded entries are kept.
    pub(super) fn store_stats(&self) -> StoreStats {
        let mut stats = StoreStats {
            components: self.components.len() as u64,
            component_bytes: self.components.values().map(|c| c.len() as u64).sum(),
            integrations: self.integrations.len() as u64,
            connections: self.connections.len() as u64,
            runs: self.runs.len() as u64,
            ..StoreStats::default()
        };
        for (model, feed) in self
            .feeds
            .iter()
            .filter(|(_, feed)| !feed.records.is_empty())
        {
            let size = ModelSize {
                stats: feed.stats(),
                entries: feed.records.len() as u64,
                ..ModelSize::default()
            };
            stats.models += 1;
            stats.total.add(&size);
            stats.largest.push((model.clone(), size));
        }
        stats.largest.truncate(StoreStats::LARGEST);
        stats
    }
}

/// The components of all deployments that are kept.
fn digests(integration: &Integration) -> impl Iterator<Item = Digest> {
    let all = std::iter::once(&integration.current).chain(&integration.earlier);
    all.map(|deployment| deployment.digest)
}
