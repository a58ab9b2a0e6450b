//! Retention, dropping and sizes of the memory store.

use crate::canonical::BodyHash;
use crate::store::StoreError;
use crate::upkeep::{Dropped, Pruned, Scope, StoreStats};
use crate::{ConnectionKey, ModelKey, SyncKey, Timestamp};

use super::State;

impl State {
    pub(super) fn list_checkpoints(
        &self,
        key: &ConnectionKey,
    ) -> Result<Vec<(SyncKey, String)>, StoreError> {
        self.connection(key)?;
        Ok(Vec::new())
    }

    pub(super) fn hashes(
        &self,
        _model: &ModelKey,
        ids: &[String],
    ) -> Result<Vec<Option<(BodyHash, u64)>>, StoreError> {
        Ok(vec![None; ids.len()])
    }

    pub(super) fn prune(&mut self, _: &ModelKey, _: Timestamp) -> Result<Pruned, StoreError> {
        Ok(Pruned::default())
    }

    pub(super) fn drop_scope(&mut self, _: &Scope) -> Result<Dropped, StoreError> {
        Ok(Dropped::default())
    }

    pub(super) fn store_stats(&self) -> StoreStats {
        StoreStats::default()
    }
}
