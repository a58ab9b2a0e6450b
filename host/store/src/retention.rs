//! Retention as the store offers it: each command in bounded steps, between which others get their
//! turn.

use tidegate_engine::upkeep::{Dropped, Pruned, Scope};
use tidegate_engine::{ConnectionKey, ModelKey, StoreError, Timestamp};

use crate::SledStore;
use crate::writer::{Pruning, Settling};

impl SledStore {
    pub(crate) async fn prune_by_steps(
        &self,
        model: &ModelKey,
        before: Timestamp,
    ) -> Result<Pruned, StoreError> {
        let mut pruning = Pruning::new(before);
        while !pruning.is_done() {
            let model = model.clone();
            pruning = self
                .write(move |writer| writer.prune_step(&model, pruning))
                .await?;
        }
        Ok(pruning.pruned)
    }

    pub(crate) async fn drop_by_steps(&self, scope: &Scope) -> Result<Dropped, StoreError> {
        let scope = scope.clone();
        let first = move |writer: &mut crate::writer::Writer| {
            let components = match &scope {
                Scope::Integration(name) => writer.components_of(name)?,
                _ => Vec::new(),
            };
            Ok((writer.drop_names(&scope)?, components))
        };
        let (dropped, candidates) = self.write(first).await?;
        if !candidates.is_empty() {
            // Only now is it certain that nobody needs them.
            let components = self.components().clone();
            self.write(move |writer| writer.remove_unused(&components, candidates))
                .await?;
        }
        while !self.write(|writer| writer.purge_step()).await? {}
        Ok(dropped)
    }

    pub(crate) async fn remove_by_steps(
        &self,
        key: &ConnectionKey,
        now: Timestamp,
    ) -> Result<Dropped, StoreError> {
        let key = key.clone();
        let dropped = self
            .write(move |writer| writer.remove_connection(&key, now))
            .await?;
        while !self.write(|writer| writer.purge_step()).await? {}
        Ok(dropped)
    }

    pub(crate) async fn settle_by_steps(&self) -> Result<(), StoreError> {
        let mut settling = Settling::default();
        while !settling.is_done() {
            settling = self
                .write(move |writer| writer.settle_step(settling))
                .await?;
        }
        Ok(())
    }
}
