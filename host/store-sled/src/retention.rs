//! Retention as the store offers it: each command in bounded steps, between which others get their
//! turn.

use tidegate_engine::store::{Durability, Maintenance as _};
use tidegate_engine::upkeep::{Dropped, Pruned, Scope};
use tidegate_engine::{ConnectionKey, ModelKey, StoreError, Timestamp};

use crate::SledStore;
use crate::disk::View;
use crate::layout::keys::{self, Key};
use crate::lists::SCAN;
use crate::writer::{Pruning, Settling, Writer};

impl SledStore {
    pub(crate) async fn prune_by_steps(
        &self,
        model: &ModelKey,
        before: Timestamp,
    ) -> Result<Pruned, StoreError> {
        let mut pruning = Pruning::new(before);
        while !pruning.is_done() {
            let model = model.clone();
            let step = move |writer: &mut Writer| writer.prune_step(&model, pruning);
            pruning = self.in_turn(Durability::Durable, step).await?;
        }
        Ok(pruning.pruned)
    }

    pub(crate) async fn drop_by_steps(&self, scope: &Scope) -> Result<Dropped, StoreError> {
        let scope = scope.clone();
        let runs = self.count_runs(&scope).await?;
        let integration = match &scope {
            Scope::Integration(name) => Some(name.clone()),
            _ => None,
        };
        let first = move |writer: &mut Writer| {
            let components = match &scope {
                Scope::Integration(name) => writer.components_of(name)?,
                _ => Vec::new(),
            };
            Ok((writer.drop_names(&scope, runs)?, components))
        };
        let (mut dropped, candidates) = self.write(first).await?;
        if let Some(name) = integration {
            loop {
                let name = name.clone();
                let step = move |writer: &mut Writer| {
                    let is_over = writer.purge_step()?;
                    Ok((writer.take_gone(&name), is_over))
                };
                let (gone, is_over) = self.write(step).await?;
                if let Some(gone) = gone {
                    dropped = Dropped { runs, ..gone };
                    break;
                }
                if is_over {
                    // Somebody else has been told.
                    break;
                }
            }
        }
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
        let runs = self.count_runs(&Scope::Connection(key.clone())).await?;
        let dropped = self
            .write(move |writer| writer.remove_connection(&key, runs, now))
            .await?;
        while !self.write(|writer| writer.purge_step()).await? {}
        Ok(dropped)
    }

    /// How many runs there are of what is about to be dropped.
    async fn count_runs(&self, scope: &Scope) -> Result<u64, StoreError> {
        // Whoever drops something where nothing is written any more hears of that, not of a read that failed.
        self.ready().await?;
        let scope = scope.clone();
        let list = move |view: &View<'_>| match scope {
            Scope::Model(_) => Ok(None),
            Scope::Integration(name) => Ok(Some(keys::runs_of_integration(&name))),
            Scope::Connection(key) => match crate::read::connection(view, &key) {
                Ok(row) => Ok(Some(keys::runs_of_connection(row.number))),
                // Whoever drops it is told.
                Err(StoreError::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            },
        };
        let Some(list) = self.view(list).await? else {
            return Ok(0);
        };
        let end = list.after_prefix();
        let (mut count, mut next) = (0, Some(list));
        while let Some(first) = next {
            let end = end.clone();
            let part = self.view(move |view| some_keys(view, &first, &end)).await?;
            (count, next) = (count + part.0, part.1);
        }
        Ok(count)
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

/// How many keys there are from `first` on, as far as one view looks; and where to go on.
fn some_keys(view: &View<'_>, first: &Key, end: &Key) -> Result<(u64, Option<Key>), StoreError> {
    let mut count = 0;
    for item in view.raw(first, end) {
        let (key, _) = item?;
        if count == SCAN as u64 {
            return Ok((count, Some(Key::stored(&key))));
        }
        count += 1;
    }
    Ok((count, None))
}
