//! Retention, imports and sizes: each command takes the lock, and does its part of the state's work.

use async_trait::async_trait;
use tidegate_engine::store::Maintenance;
use tidegate_engine::transfer::{ImportId, ImportPart, Imported};
use tidegate_engine::upkeep::{CheckReport, Dropped, Pruned, Scope, StoreStats};
use tidegate_engine::{ModelKey, StoreError, Timestamp};

use crate::MemoryStore;

#[async_trait]
impl Maintenance for MemoryStore {
    async fn prune(&self, model: &ModelKey, before: Timestamp) -> Result<Pruned, StoreError> {
        self.with(|state| state.prune(model, before))
    }

    async fn drop_scope(&self, scope: &Scope) -> Result<Dropped, StoreError> {
        self.with(|state| state.drop_scope(scope))
    }

    async fn stage_import(
        &self,
        import: ImportId,
        number: u64,
        part: ImportPart,
    ) -> Result<(), StoreError> {
        self.with(|state| state.stage_import(import, number, part))
    }

    async fn finish_import(&self, import: ImportId) -> Result<Imported, StoreError> {
        self.with(|state| state.finish_import(import))
    }

    async fn abort_import(&self, import: ImportId) -> Result<(), StoreError> {
        self.with(|state| {
            state.abort_import(import);
            Ok(())
        })
    }

    async fn check(&self) -> Result<CheckReport, StoreError> {
        self.with(|_| Ok(CheckReport::default()))
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        self.with(|state| Ok(state.store_stats()))
    }

    async fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.with(|_| Ok(0))
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.with(|_| Ok(()))
    }

    async fn settle(&self) -> Result<(), StoreError> {
        self.with(|_| Ok(()))
    }

    async fn close(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        state.closed = true;
        Ok(())
    }
}
