//! Retention, imports, checks and sizes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use tidegate_engine::store::Maintenance;
use tidegate_engine::transfer::{ImportId, ImportPart, Imported};
use tidegate_engine::upkeep::{CheckReport, Dropped, Pruned, Scope, StoreStats};
use tidegate_engine::{ModelKey, StoreError, Timestamp};

use super::SledStore;
use crate::check;
use crate::stats;
use crate::writer::Writer;

#[async_trait]
impl Maintenance for SledStore {
    async fn prune(&self, model: &ModelKey, before: Timestamp) -> Result<Pruned, StoreError> {
        self.prune_by_steps(model, before).await
    }

    async fn drop_scope(&self, scope: &Scope) -> Result<Dropped, StoreError> {
        self.drop_by_steps(scope).await
    }

    async fn stage_import(
        &self,
        import: ImportId,
        number: u64,
        part: ImportPart,
    ) -> Result<(), StoreError> {
        let components = self.components.clone();
        self.write(move |writer| writer.stage_import(import, number, part, &components))
            .await
    }

    async fn finish_import(&self, import: ImportId) -> Result<Imported, StoreError> {
        loop {
            let components = self.components.clone();
            let step = move |writer: &mut Writer| writer.finish_import(import, &components);
            if let Some(imported) = self.write(step).await? {
                return Ok(imported);
            }
        }
    }

    async fn abort_import(&self, import: ImportId) -> Result<(), StoreError> {
        self.write(move |writer| {
            writer.abort_import(import);
            Ok(())
        })
        .await
    }

    async fn check(&self) -> Result<CheckReport, StoreError> {
        self.check_open()?;
        check::all(self).await
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        let components = self.components.clone();
        let reader = Arc::clone(&self.reader);
        self.large(move || stats::stats(&reader, &components)).await
    }

    async fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.read(|reader| reader.disk.size()).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        // From memory: whoever asks this again and again is not to wait behind what is being written.
        self.check_open()?;
        self.queue.ready()
    }

    async fn settle(&self) -> Result<(), StoreError> {
        self.settle_by_steps().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.closed.store(true, Ordering::Release);
        self.queue.stop().await
    }
}
