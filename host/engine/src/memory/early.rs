//! Early answers of the memory store, which has no disk to wait for.

use async_trait::async_trait;

use super::MemoryStore;
use crate::run::{Fence, NewRun, Run, RunEnd, RunId};
use crate::store::{Durable, EarlyAck, Started, Store, StoreError};

#[async_trait]
impl EarlyAck for MemoryStore {
    async fn start_run_early(&self, run: NewRun) -> Result<(Started, Durable), StoreError> {
        Ok((self.start_run(run).await?, Durable::already()))
    }

    async fn finish_run_early(
        &self,
        run: RunId,
        fence: Fence,
        end: RunEnd,
    ) -> Result<Run, StoreError> {
        self.finish_run(run, fence, end).await
    }
}
